package server

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/trace"
	"github.com/wechatbot/wechatbot-operator/server/trace/otlp"
	"github.com/wechatbot/wechatbot-operator/server/turn"
)

// flushTime is how long a stopping server, or one that gets another collector, waits for its spans to be taken.
const flushTime = 3 * time.Second

// tracing is the tracer of the configuration that is in force. Without an endpoint there is none.
type tracing struct {
	name      func(k session.Key) [32]byte // of a turn: the same on all replicas, of no use without the Token
	options   otlp.Options
	spans     *prometheus.CounterVec
	transport http.RoundTripper // nil but in tests

	current atomic.Pointer[trace.Tracer]

	mu       sync.Mutex
	applied  serverconfig.Tracing
	headers  serverconfig.Secret // of applied
	exporter *otlp.Exporter
	flushing sync.WaitGroup // exporters of before
}

func (s *Server) newTracing(f files) *tracing {
	namespace, bot, _ := strings.Cut(f.config.Bot, "/")
	t := &tracing{
		name: func(k session.Key) [32]byte { return s.sealed(turn.Name(k)) },
		spans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "wechatbot", Name: "trace_spans_total", Help: "Spans of traces, by what became of them; none without tracing.endpoint.",
		}, []string{"outcome"}),
	}
	s.registry.MustRegister(t.spans)
	t.options = otlp.Options{
		Log: s.options.Log, Scope: "github.com/wechatbot/wechatbot-operator/server", Version: s.options.Version,
		Count: func(o otlp.Outcome, spans int) { t.spans.WithLabelValues(string(o)).Add(float64(spans)) },
		Resource: []trace.Attribute{
			trace.Text("service.name", bot), trace.Text("service.namespace", namespace),
			trace.Text("service.instance.id", s.options.Host), trace.Text("service.version", s.options.Version),
		},
	}
	t.configure(f)
	return t
}

// configure puts another collector in force, or other headers for it. The one before gets what is queued for it, with its own.
func (t *tracing) configure(f files) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, headers := f.config.Tracing, f.secrets.TracingHeaders
	if c == t.applied && headers == t.headers {
		return
	}
	t.applied, t.headers = c, headers
	if before := t.exporter; before != nil {
		t.current.Store(nil)
		t.exporter = nil
		t.flushing.Go(func() { before.Close(flushTime) })
	}
	if c.Endpoint == "" {
		return
	}
	o := t.options
	o.Endpoint, o.Headers, o.Transport = c.Endpoint, headersOf(headers), t.transport
	for _, outcome := range otlp.Outcomes {
		t.spans.WithLabelValues(string(outcome))
	}
	t.exporter = otlp.New(o)
	t.current.Store(trace.New(c.SamplingPercent, t.exporter.Export))
}

// headersOf are the headers that were checked when the files were read.
func headersOf(content serverconfig.Secret) http.Header {
	all, _ := serverconfig.TracingHeaders(content)
	h := http.Header{}
	for _, one := range all {
		h.Set(one.Name, one.Value.Reveal())
	}
	return h
}

// close sends what is queued. No turn runs any more.
func (t *tracing) close() {
	t.configure(files{})
	t.flushing.Wait()
}

// On tells whether turns are traced.
func (t *tracing) On() bool { return t.current.Load() != nil }

// Turn is the trace of a turn.
func (t *tracing) Turn(k session.Key) *trace.Turn {
	tracer := t.current.Load()
	if tracer == nil {
		return nil
	}
	return tracer.Turn(t.name(k))
}
