// Package otlp sends spans to an OpenTelemetry collector: OTLP over HTTP, as JSON
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp, https://github.com/open-telemetry/opentelemetry-proto).
//
// Whoever has a span never waits for it: spans are queued up to a bound, and what does not fit, or what the collector does
// not take in time, is dropped and counted. It knows nothing of turns.
package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/trace"
)

const (
	maxQueued   = 2048             // spans that wait; about 1 KiB each
	maxBatch    = 512              // spans of one request
	batchAfter  = 2 * time.Second  // how long a span waits for others at most
	callTimeout = 10 * time.Second // for one request
	tries       = 4                // of one batch, if the collector is busy or away
	firstPause  = time.Second      // between them; it doubles
	longestWait = 30 * time.Second // that a collector may ask for
	maxAnswer   = 64 << 10         // bytes of a response that are read
	logEvery    = time.Minute      // how often it is said that the collector takes nothing
)

// Outcome is what became of spans.
type Outcome string

// The outcomes.
const (
	Exported Outcome = "exported"
	Dropped  Outcome = "dropped" // the queue was full, or the collector was away for too long
	Refused  Outcome = "refused" // by the collector
)

// Outcomes are all of them.
var Outcomes = []Outcome{Exported, Dropped, Refused}

// Options of an Exporter.
type Options struct {
	// Endpoint is the collector's address, such as http://otel-collector:4318; /v1/traces is added unless it ends so.
	Endpoint string
	// Headers are sent with each request, such as Authorization.
	Headers http.Header
	// Resource says who the spans are of: service.name and the like.
	Resource []trace.Attribute
	// Scope and Version name the program that has made the spans.
	Scope, Version string
	// Count is told what became of spans.
	Count func(o Outcome, spans int)
	Log   *slog.Logger
	// Transport makes the requests; nil is one of the exporter's own.
	Transport http.RoundTripper
}

// Exporter sends spans to one collector until Close. It is safe for concurrent use.
type Exporter struct {
	options Options
	url     string
	client  *http.Client
	queue   chan *trace.Finished
	closing chan struct{} // closed by Close: what is queued is the rest
	ended   chan struct{} // closed when it is sent or dropped
	life    context.Context
	end     context.CancelFunc
	lastLog time.Time // of the sending goroutine
	failing bool      // likewise
}

// New starts an exporter. The endpoint is one that serverconfig has checked.
func New(o Options) *Exporter {
	e := &Exporter{
		options: o, url: tracesURL(o.Endpoint),
		queue: make(chan *trace.Finished, maxQueued), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	}
	e.client = &http.Client{
		Transport: o.Transport, Timeout: callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	e.life, e.end = context.WithCancel(context.Background())
	go e.run()
	return e
}

func tracesURL(endpoint string) string {
	const path = "/v1/traces"
	endpoint = strings.TrimRight(endpoint, "/")
	if strings.HasSuffix(endpoint, path) {
		return endpoint
	}
	return endpoint + path
}

// Export queues a span, or drops it. It does not block.
func (e *Exporter) Export(s *trace.Finished) {
	select {
	case e.queue <- s:
	default:
		e.options.Count(Dropped, 1)
	}
}

// Close sends what is queued and ends the exporter. What is left then is dropped. Spans that are exported later are lost.
func (e *Exporter) Close(within time.Duration) {
	close(e.closing)
	over := time.AfterFunc(within, e.end)
	<-e.ended
	over.Stop()
	e.end()
	e.client.CloseIdleConnections()
}

// run sends batches until the exporter is closed and nothing is queued.
func (e *Exporter) run() {
	defer close(e.ended)
	for {
		batch, more := e.collect()
		if len(batch) > 0 {
			e.send(batch)
		}
		if !more {
			return
		}
	}
}

// collect waits for the next batch; more is false if it is the last.
func (e *Exporter) collect() (batch []*trace.Finished, more bool) {
	select {
	case s := <-e.queue:
		batch = append(batch, s)
	case <-e.closing:
		return e.rest(nil)
	}
	full := time.NewTimer(batchAfter)
	defer full.Stop()
	for len(batch) < maxBatch {
		select {
		case s := <-e.queue:
			batch = append(batch, s)
		case <-full.C:
			return batch, true
		case <-e.closing:
			return e.rest(batch)
		}
	}
	return batch, true
}

// rest adds what is queued without waiting for more.
func (e *Exporter) rest(batch []*trace.Finished) (_ []*trace.Finished, more bool) {
	for len(batch) < maxBatch {
		select {
		case s := <-e.queue:
			batch = append(batch, s)
		default:
			return batch, false
		}
	}
	return batch, true
}

// send sends a batch, again and again while that may help. A closing exporter tries each batch once.
func (e *Exporter) send(batch []*trace.Finished) {
	body := e.encode(batch)
	for try, pause := 1, firstPause; ; try, pause = try+1, 2*pause {
		refused, err := e.post(body, len(batch))
		if err == nil {
			e.taken(len(batch), refused)
			return
		}
		var no *refusal
		final := errors.As(err, &no) && !no.again
		if !final && try < tries && e.wait(max(pause, no.after())) {
			continue
		}
		outcome := Dropped
		if final {
			outcome = Refused
		}
		e.options.Count(outcome, len(batch))
		e.failed(err, len(batch))
		return
	}
}

// wait pauses; false if the exporter is closed meanwhile.
func (e *Exporter) wait(d time.Duration) bool {
	t := time.NewTimer(min(d, longestWait))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.closing:
		return false
	}
}

func (e *Exporter) taken(spans, refused int) {
	e.options.Count(Exported, spans-refused)
	if refused > 0 {
		e.options.Count(Refused, refused)
		e.failed(errors.New("it has refused some of the spans"), refused)
		return
	}
	if e.failing {
		e.failing = false
		e.options.Log.Info("The collector takes spans again")
	}
}

// failed logs that spans are lost, from time to time.
func (e *Exporter) failed(err error, spans int) {
	if e.failing && time.Since(e.lastLog) < logEvery {
		return
	}
	e.failing, e.lastLog = true, time.Now()
	e.options.Log.Warn("The collector at tracing.endpoint does not take spans: they are dropped, turns go on", "error", err, "spans", spans)
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	again  bool // it may help to send the same once more
	wait   time.Duration
}

func (r *refusal) Error() string {
	switch r.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Sprintf("HTTP %d: this is not the address of OTLP over HTTP", r.status)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Sprintf("HTTP %d: it wants other headers, such as Authorization, in the secret file tracing-headers", r.status)
	case http.StatusUnsupportedMediaType:
		return "HTTP 415: it takes no OTLP as JSON"
	}
	return "HTTP " + strconv.Itoa(r.status)
}

// after is how long the collector asks to be left alone.
func (r *refusal) after() time.Duration {
	if r == nil {
		return 0
	}
	return r.wait
}

// post makes one request. refused is how many of its spans the collector has not taken.
func (e *Exporter) post(body []byte, spans int) (refused int, err error) {
	r, err := http.NewRequestWithContext(e.life, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	maps.Copy(r.Header, e.options.Headers)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "OTel-OTLP-Exporter-wechatbot-server/"+e.options.Version)
	resp, err := e.client.Do(r)
	if err != nil {
		return 0, err
	}
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // one that breaks off says nothing: the status counts
	_ = resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		no := &refusal{status: resp.StatusCode}
		switch resp.StatusCode { // as OTLP names those that may be repeated
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			no.again = true
			if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
				no.wait = time.Duration(min(max(seconds, 0), int(longestWait/time.Second))) * time.Second
			}
		}
		return 0, no
	}
	return min(rejected(answer), spans), nil
}

// rejected is how many spans a response says were not taken; in JSON a 64-bit number may be a text.
func rejected(answer []byte) int {
	var a struct {
		PartialSuccess struct {
			RejectedSpans json.RawMessage `json:"rejectedSpans"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(answer, &a) != nil { // some answer in protobuf, or nothing
		return 0
	}
	n, err := strconv.Atoi(strings.Trim(string(a.PartialSuccess.RejectedSpans), `"`))
	if err != nil {
		return 0
	}
	return max(n, 0)
}
