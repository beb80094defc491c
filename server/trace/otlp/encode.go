package otlp

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/trace"
)

// The messages of opentelemetry/proto/collector/trace/v1 and trace/v1 in OTLP's JSON: lowerCamelCase names, IDs in
// hexadecimal digits, 64-bit numbers as texts, enums as numbers.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	span struct {
		TraceID      string     `json:"traceId"`
		SpanID       string     `json:"spanId"`
		ParentSpanID string     `json:"parentSpanId,omitempty"`
		Flags        uint32     `json:"flags"`
		Name         string     `json:"name"`
		Kind         trace.Kind `json:"kind"`
		Start        string     `json:"startTimeUnixNano"`
		End          string     `json:"endTimeUnixNano"`
		Attributes   []keyValue `json:"attributes,omitempty"`
		Events       []event    `json:"events,omitempty"`
		Status       status     `json:"status"`
	}
	event struct {
		At         string     `json:"timeUnixNano"`
		Name       string     `json:"name"`
		Attributes []keyValue `json:"attributes,omitempty"`
	}
	status struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string   `json:"key"`
		Value anyValue `json:"value"`
	}
	anyValue struct {
		String *string `json:"stringValue,omitempty"`
		Int    *string `json:"intValue,omitempty"`
	}
)

const (
	sampled    = 1 // the flag of W3C Trace Context
	statusFail = 2 // STATUS_CODE_ERROR
)

// encode makes a request of spans.
func (e *Exporter) encode(batch []*trace.Finished) []byte {
	spans := make([]span, len(batch))
	for i, s := range batch {
		spans[i] = encoded(s)
	}
	body, err := json.Marshal(request{[]resourceSpans{{
		Resource:   resource{keyValues(e.options.Resource)},
		ScopeSpans: []scopeSpans{{Scope: scope{e.options.Scope, e.options.Version}, Spans: spans}},
	}}})
	if err != nil {
		panic("otlp: " + err.Error()) // texts and numbers always encode
	}
	return body
}

func encoded(s *trace.Finished) span {
	out := span{
		TraceID: s.Trace.String(), SpanID: s.ID.String(), Flags: sampled, Name: s.Name, Kind: s.Kind,
		Start: nanoseconds(s.Start), End: nanoseconds(s.End), Attributes: keyValues(s.Attributes),
	}
	if s.Parent != (trace.SpanID{}) {
		out.ParentSpanID = s.Parent.String()
	}
	if s.Error != "" {
		out.Status = status{statusFail, s.Error}
	}
	for _, ev := range s.Events {
		out.Events = append(out.Events, event{nanoseconds(ev.At), ev.Name, keyValues(ev.Attributes)})
	}
	return out
}

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func keyValues(attributes []trace.Attribute) []keyValue {
	var all []keyValue
	for _, a := range attributes {
		kv := keyValue{Key: a.Key}
		if a.IsText {
			kv.Value.String = &a.Text
		} else {
			kv.Value.Int = new(strconv.FormatInt(a.Number, 10))
		}
		all = append(all, kv)
	}
	return all
}
