package otlp_test

import (
	"bytes"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/server/trace"
	"github.com/wechatbot/wechatbot-operator/server/trace/otlp"
	"github.com/wechatbot/wechatbot-operator/test/otlpsim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sender is an exporter before a stand-in.
type sender struct {
	*otlp.Exporter
	collector *otlpsim.Collector
	transport *wechatsim.InProcess
	log       bytes.Buffer

	mu     sync.Mutex
	counts map[otlp.Outcome]int
}

func send(endpoint string) *sender {
	s := &sender{collector: otlpsim.New(), counts: map[otlp.Outcome]int{}}
	s.transport = wechatsim.HandlerTransport(s.collector)
	s.Exporter = otlp.New(otlp.Options{
		Endpoint: endpoint, Transport: s.transport, Scope: "test", Version: "v1", Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Resource: []trace.Attribute{trace.Text("service.name", "winter")},
		Count: func(o otlp.Outcome, n int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.counts[o] += n
		},
	})
	return s
}

// close closes the exporter and the collector, and gives what became of the spans.
func (s *sender) close(t *testing.T, patience time.Duration) map[otlp.Outcome]int {
	t.Helper()
	began := time.Now()
	s.Close(patience)
	if took := time.Since(began); took > patience {
		t.Errorf("closing took %v, want %v at most", took, patience)
	}
	s.collector.Close()
	s.transport.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := maps.Clone(s.counts)
	maps.DeleteFunc(counts, func(_ otlp.Outcome, n int) bool { return n == 0 })
	return counts
}

func (s *sender) spans(n int) {
	at := time.Unix(1_800_000_000, 5)
	for range n {
		s.Export(&trace.Finished{
			Trace: trace.ID{1, 2}, ID: trace.SpanID{3}, Parent: trace.SpanID{4}, Name: "a span", Kind: trace.Client, Start: at, End: at.Add(time.Second),
			Attributes: []trace.Attribute{trace.Text("word", ""), trace.Number("number", int64(1)<<60)},
			Events:     []trace.Event{{Name: "event", At: at}}, Error: "wrong",
		})
	}
}

func TestSpan_AsCollectorsReadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := send("http://collector:4318/")
		s.spans(1)
		if counts := s.close(t, time.Second); counts[otlp.Exported] != 1 {
			t.Errorf("%v", counts)
		}
		at := time.Unix(1_800_000_000, 5)
		want := []otlpsim.Span{{
			Trace: "01020000000000000000000000000000", ID: "0300000000000000", Parent: "0400000000000000", Name: "a span", Kind: "CLIENT",
			Start: at, End: at.Add(time.Second), Attributes: map[string]string{"word": "", "number": "1152921504606846976"},
			Events: []string{"event"}, Error: "wrong", Resource: map[string]string{"service.name": "winter"},
		}}
		if d := cmp.Diff(want, s.collector.Spans()); d != "" {
			t.Errorf("(-want +got):\n%s\n%v", d, s.collector.Problems())
		}
	})
}

// A collector that comes back gets what has waited; one that does not costs what is over the bound, and some lines.
func TestCollectorAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := send("http://collector:4318/v1/traces")
		s.collector.SetFault(otlpsim.Fault{Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second})
		s.spans(3)
		time.Sleep(4 * time.Second) // the first try was refused
		s.collector.SetFault(otlpsim.Fault{})
		time.Sleep(5 * time.Second)
		if n := len(s.collector.Spans()); n != 3 {
			t.Errorf("%d spans, want those that have waited", n)
		}
		s.collector.SetFault(otlpsim.Fault{Hang: true})
		began := time.Now()
		s.spans(10_000)
		if time.Since(began) != 0 {
			t.Error("who has spans waits for the collector")
		}
		time.Sleep(10 * time.Minute)
		s.spans(5)
		if d := cmp.Diff(map[otlp.Outcome]int{otlp.Exported: 3, otlp.Dropped: 10_005}, s.close(t, 3*time.Second)); d != "" {
			t.Errorf("spans (-want +got):\n%s", d)
		}
		if lines := strings.Count(s.log.String(), "does not take spans"); lines == 0 || lines > 10 {
			t.Errorf("%d lines in the log", lines)
		}
	})
}

func TestCollectorRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		fault    otlpsim.Fault
		requests int
		want     map[otlp.Outcome]int
		log      string
	}{
		"all":            {otlpsim.Fault{Status: http.StatusBadRequest}, 1, map[otlp.Outcome]int{otlp.Refused: 9}, "HTTP 400"},
		"another server": {otlpsim.Fault{Status: http.StatusNotFound}, 1, map[otlp.Outcome]int{otlp.Refused: 9}, "HTTP 404: this is not the address of OTLP over HTTP"},
		"a redirect":     {otlpsim.Fault{Status: http.StatusFound}, 1, map[otlp.Outcome]int{otlp.Refused: 9}, "HTTP 302"},
		"protobuf only":  {otlpsim.Fault{Status: http.StatusUnsupportedMediaType}, 1, map[otlp.Outcome]int{otlp.Refused: 9}, "it takes no OTLP as JSON"},
		"some":           {otlpsim.Fault{Rejected: 4}, 1, map[otlp.Outcome]int{otlp.Exported: 5, otlp.Refused: 4}, "it has refused some of the spans"},
		"for now":        {otlpsim.Fault{Status: http.StatusTooManyRequests}, 4, map[otlp.Outcome]int{otlp.Dropped: 9}, "HTTP 429"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := send("http://collector:4318")
				s.collector.SetFault(c.fault)
				s.spans(9)
				time.Sleep(time.Minute)
				if n := s.collector.Requests(); n != c.requests {
					t.Errorf("%d requests, want %d", n, c.requests)
				}
				if d := cmp.Diff(c.want, s.close(t, time.Second)); d != "" || !strings.Contains(s.log.String(), c.log) {
					t.Errorf("spans (-want +got):\n%s\nlog: %s", d, &s.log)
				}
			})
		})
	}
}

// Many spans are sent in requests of a bounded size; the rest goes out when the exporter is closed.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := send("http://collector:4318")
		for range 10 {
			s.spans(120)
			synctest.Wait()
		}
		s.spans(1)
		if d := cmp.Diff(map[otlp.Outcome]int{otlp.Exported: 1201}, s.close(t, time.Second)); d != "" {
			t.Errorf("spans (-want +got):\n%s", d)
		}
		if n := s.collector.Requests(); n != 3 || len(s.collector.Spans()) != 1201 {
			t.Errorf("%d requests for %d spans, want 3", n, len(s.collector.Spans()))
		}
	})
}
