package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/otlpsim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// A collector that is slow, broken or away delays no turn, costs a line in the log, and does not keep a stopping server.
func TestTrace_CollectorFails(t *testing.T) {
	for name, f := range map[string]struct {
		fault   otlpsim.Fault
		outcome string
	}{
		"hangs":      {otlpsim.Fault{Hang: true}, "dropped"},
		"breaks":     {otlpsim.Fault{Status: http.StatusServiceUnavailable, RetryAfter: time.Hour}, "dropped"},
		"is not one": {otlpsim.Fault{Status: http.StatusNotFound}, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCollector(t)
				c.SetFault(f.fault)
				p := newPlace(t, traced)
				p.dify.SetBehaviour(difysim.Behaviour{Total: time.Second, FirstText: time.Second / 2})
				r := p.run(t, c.collects(t))
				platform := r.platform(t)
				for i := range 20 {
					x, err := platform.Follower("").Send(t.Context(), fmt.Sprintf("question %d", i))
					if err != nil || x.Outcome != wechatsim.Replied || x.Took != time.Second {
						t.Errorf("%+v, %v", x, err)
					}
				}
				time.Sleep(5 * time.Minute)
				if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, "wechatbot_trace_spans_total{outcome=\""+f.outcome+"\"} 100\n") {
					t.Errorf("not all spans are counted as %s:\n%s", f.outcome, metrics)
				}
				if n := p.lines("does not take spans"); n < 1 || n > 5 {
					t.Errorf("%d lines in the log:\n%s", n, p.log)
				}
				if _, err := platform.Follower("").Send(t.Context(), "the last"); err != nil {
					t.Error(err)
				}
				began := time.Now()
				r.stop()
				if err := <-r.ended; err != nil || time.Since(began) > DeliveredFor+flushTime {
					t.Errorf("ended with %v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// DeliveredFor is how long a server without a durable store stays at most for answers to be fetched.
const DeliveredFor = session.DeliveriesLast

// A stopping server sends what is queued, and the endpoint can change while it runs.
func TestTrace_ReloadAndStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCollector(t)
		p := newPlace(t, minimal)
		r := p.run(t, func(s *Server) { s.tracing.transport = c.InProcess })
		platform := r.platform(t)
		ask := func() {
			if _, err := platform.Follower("").Send(t.Context(), "a question"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		ask()
		p.write(t, "bot.yaml", traced)
		time.Sleep(6 * time.Second)
		if n := c.Requests(); n != 0 {
			t.Errorf("%d requests without an endpoint", n)
		}
		ask()
		p.write(t, "bot.yaml", minimal)
		time.Sleep(6 * time.Second)
		if traces := checkTrees(t, c.Spans()); len(traces) != 1 {
			t.Errorf("%d traces, want the one of the time with an endpoint", len(traces))
		}
		p.write(t, "bot.yaml", traced)
		time.Sleep(6 * time.Second)
		ask()
		r.stop()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		if traces := checkTrees(t, c.Spans()); len(traces) != 2 {
			t.Errorf("%d traces, want 2", len(traces))
		}
	})
}

// A backend that wants to know who sends gets the headers of the secret file, the new ones as soon as it is replaced.
func TestTrace_HeadersRotate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCollector(t)
		wants := func(key string) {
			c.Require(http.Header{"Authorization": {"Bearer " + key}, "X-Scope-Orgid": {"bots"}})
		}
		p := newPlace(t, traced)
		put := func(key string) {
			p.write(t, "secrets/tracing-headers", "Authorization: Bearer "+key+"\nX-Scope-OrgID: bots\n")
		}
		put("oldkey")
		wants("oldkey")
		r := p.run(t, c.collects(t))
		platform := r.platform(t)
		ask := func(traces int) {
			t.Helper()
			if _, err := platform.Follower("").Send(t.Context(), "a question"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			if got := checkTrees(t, c.Spans()); len(got) != traces {
				t.Errorf("%d traces, want %d", len(got), traces)
			}
		}
		ask(1)
		wants("newkey")
		ask(1)
		if p.lines("HTTP 401") != 1 || p.lines("tracing-headers") != 1 || p.lines("oldkey") != 0 {
			t.Errorf("the log does not say that other headers are wanted, or says too much: %s", p.log)
		}
		p.write(t, "secrets/tracing-headers", "Bearer newkey\n")
		time.Sleep(6 * time.Second)
		if p.lines("Refused a changed configuration") != 1 || p.lines("newkey") != 0 {
			t.Errorf("headers that are none: %s", p.log)
		}
		put("newkey")
		time.Sleep(6 * time.Second)
		ask(2)
	})
}
