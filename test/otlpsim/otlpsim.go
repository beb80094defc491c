// Package otlpsim stands in for an OpenTelemetry collector, in tests of what sends traces: it takes OTLP over HTTP as JSON,
// refuses what the protocol's own schema does not know, and keeps the spans. It uses nothing of the server's.
package otlpsim

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Span is a span as the collector has understood it.
type Span struct {
	Trace, ID, Parent string // in hexadecimal digits; Parent is empty for a root
	Name              string
	Kind              string // SERVER, CLIENT, INTERNAL
	Start, End        time.Time
	Attributes        map[string]string
	Events            []string
	Error             string            // of its status; empty if it is not one
	Resource          map[string]string // whose it is
}

// Fault is what the collector does instead of taking spans.
type Fault struct {
	Status     int           // to answer with; 0 takes the spans
	RetryAfter time.Duration // with Status
	Hang       bool          // no answer at all
	Rejected   int           // spans that a 200 says were not taken
}

// Collector is an http.Handler. It is safe for concurrent use.
type Collector struct {
	mu       sync.Mutex
	fault    Fault
	spans    []Span
	bodies   []byte
	problems []string
	requests int
	required http.Header
	closing  chan struct{}
	once     sync.Once
}

// New returns a collector that takes all spans.
func New() *Collector { return &Collector{closing: make(chan struct{})} }

// Close ends the requests that hang.
func (c *Collector) Close() { c.once.Do(func() { close(c.closing) }) }

// SetFault orders a fault for later requests; the zero Fault ends it.
func (c *Collector) SetFault(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

// Require refuses later requests that have not these headers, as a backend does that wants to know who sends; nil takes all.
func (c *Collector) Require(headers http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.required = headers.Clone()
}

// Spans are those that were taken, in the order of their arrival.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Bodies are all that was ever sent, taken or not.
func (c *Collector) Bodies() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.bodies)
}

// Problems are the requests that break the protocol.
func (c *Collector) Problems() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.problems...)
}

// Requests is how many there were.
func (c *Collector) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// ServeHTTP takes spans as a collector does.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	c.mu.Lock()
	c.requests++
	c.bodies = append(c.bodies, body...)
	fault, known := c.fault, c.known(r)
	c.mu.Unlock()
	switch {
	case !known:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case fault.Hang:
		c.hang(r.Context())
		panic(http.ErrAbortHandler)
	case fault.Status != 0:
		if fault.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(fault.RetryAfter/time.Second)))
		}
		w.WriteHeader(fault.Status)
		return
	}
	spans, err := read(r, body)
	if err != nil {
		c.mu.Lock()
		c.problems = append(c.problems, err.Error())
		c.mu.Unlock()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.spans = append(c.spans, spans...)
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := `{"partialSuccess":{}}`
	if fault.Rejected > 0 {
		answer = fmt.Sprintf(`{"partialSuccess":{"rejectedSpans":"%d","errorMessage":"too many"}}`, fault.Rejected)
	}
	_, _ = io.WriteString(w, answer)
}

// known tells whether a request has the headers that are required.
func (c *Collector) known(r *http.Request) bool {
	for name := range c.required {
		if !slices.Equal(r.Header.Values(name), c.required.Values(name)) {
			return false
		}
	}
	return true
}

func (c *Collector) hang(ctx context.Context) {
	select {
	case <-c.closing:
	case <-ctx.Done():
	}
}

// read decodes a request by the protocol's schema. TracesData is what ExportTraceServiceRequest is too.
func read(r *http.Request, body []byte) ([]Span, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" {
		return nil, fmt.Errorf("%s %s", r.Method, r.URL.Path)
	}
	var data tracev1.TracesData
	if err := protojson.Unmarshal(body, &data); err != nil {
		return nil, fmt.Errorf("not OTLP: %w", err)
	}
	var spans []Span
	for _, of := range data.GetResourceSpans() {
		resource := attributes(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			if scope.GetScope().GetName() == "" {
				return nil, fmt.Errorf("spans of no scope")
			}
			for _, s := range scope.GetSpans() {
				span, err := spanOf(s)
				if err != nil {
					return nil, err
				}
				span.Resource = resource
				spans = append(spans, span)
			}
		}
	}
	return spans, nil
}

func spanOf(s *tracev1.Span) (Span, error) {
	out := Span{
		Name: s.GetName(), Kind: strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"),
		Start: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())), //nolint:gosec // until 2262
		Attributes: attributes(s.GetAttributes()),
	}
	var err error
	for _, id := range []struct {
		into  *string
		read  []byte
		bytes int
		empty bool
	}{{&out.Trace, s.GetTraceId(), 16, false}, {&out.ID, s.GetSpanId(), 8, false}, {&out.Parent, s.GetParentSpanId(), 8, true}} {
		if *id.into, err = hexadecimal(id.read, id.bytes, id.empty); err != nil {
			return out, fmt.Errorf("span %s: %w", out.Name, err)
		}
	}
	switch {
	case out.Name == "" || s.GetKind() == tracev1.Span_SPAN_KIND_UNSPECIFIED:
		return out, fmt.Errorf("a span without name or kind")
	case out.End.Before(out.Start):
		return out, fmt.Errorf("span %s ends %v before it starts", out.Name, out.Start.Sub(out.End))
	}
	for _, e := range s.GetEvents() {
		out.Events = append(out.Events, e.GetName())
	}
	if s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR {
		out.Error = s.GetStatus().GetMessage()
	}
	return out, nil
}

// hexadecimal checks an ID. OTLP's JSON has IDs in hexadecimal digits where protobuf's has base64: as which the digits were read
// here.
func hexadecimal(read []byte, bytes int, empty bool) (string, error) {
	digits := base64.StdEncoding.EncodeToString(read)
	if empty && digits == "" {
		return "", nil
	}
	id, err := hex.DecodeString(digits)
	if err != nil || len(id) != bytes || strings.Trim(digits, "0") == "" {
		return "", fmt.Errorf("%q is not the ID of %d bytes in hexadecimal digits", digits, bytes)
	}
	return digits, nil
}

func attributes(all []*commonv1.KeyValue) map[string]string {
	out := make(map[string]string, len(all))
	for _, a := range all {
		switch v := a.GetValue().GetValue().(type) {
		case *commonv1.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *commonv1.AnyValue_IntValue:
			out[a.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		default:
			out[a.GetKey()] = fmt.Sprintf("%T", v)
		}
	}
	return out
}
