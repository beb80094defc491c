package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/trace"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/otlpsim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const traced = minimal + "tracing: {endpoint: \"http://collector.invalid:4318\"}\n"

// collected is a server whose spans go to a stand-in.
type collected struct {
	*otlpsim.Collector
	*wechatsim.InProcess
}

func newCollector(t *testing.T) *collected {
	t.Helper()
	c := &collected{Collector: otlpsim.New()}
	c.InProcess = wechatsim.HandlerTransport(c.Collector)
	t.Cleanup(func() { // behind the server's end
		c.Close()
		c.Wait()
		if p := c.Problems(); len(p) != 0 {
			t.Errorf("what was sent is not OTLP: %v", p)
		}
	})
	return c
}

// collects has a server's spans go to the collector.
func (c *collected) collects(t *testing.T) func(s *Server) {
	return func(s *Server) {
		t.Helper()
		s.tracing.close() // the exporter that it was made with has sent nothing yet
		s.tracing.transport = c.InProcess
		s.tracing.configure(s.files)
	}
}

// waterfall is the spans of a trace as a person reads them: children under their parents, times from the root's start.
func waterfall(spans []otlpsim.Span) string {
	var b strings.Builder
	var root time.Time
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		for _, s := range spans {
			if s.Parent != parent {
				continue
			}
			if parent == "" {
				root = s.Start
			}
			fmt.Fprintf(&b, "%-26s %6.2fs %6.2fs", indent+s.Name, s.Start.Sub(root).Seconds(), s.End.Sub(root).Seconds())
			for _, key := range []string{"wechatbot.outcome", "wechatbot.reply", "wechatbot.send"} {
				if v := s.Attributes[key]; v != "" {
					b.WriteString("  " + v)
				}
			}
			if len(s.Events) > 0 {
				b.WriteString("  (" + strings.Join(s.Events, ", ") + ")")
			}
			if s.Error != "" {
				b.WriteString("  error: " + s.Error)
			}
			b.WriteString("\n")
			draw(s.ID, indent+"  ")
		}
	}
	order := []string{"delivery", "reading", "queue", "answer", "dify chat", "send"} // of those that start at once
	slices.SortStableFunc(spans, func(a, b otlpsim.Span) int {
		return cmp.Or(a.Start.Compare(b.Start), slices.Index(order, a.Name)-slices.Index(order, b.Name))
	})
	draw("", "")
	return b.String()
}

// checkTrees checks that each trace has one root and that children lie within their parents, but for what followers read later;
// it returns the traces.
func checkTrees(t *testing.T, spans []otlpsim.Span) map[string][]otlpsim.Span {
	t.Helper()
	traces, byID := map[string][]otlpsim.Span{}, map[string]otlpsim.Span{}
	for _, s := range spans {
		traces[s.Trace] = append(traces[s.Trace], s)
		if _, twice := byID[s.Trace+s.ID]; twice {
			t.Errorf("two spans have the ID %s", s.ID)
		}
		byID[s.Trace+s.ID] = s
	}
	for id, all := range traces {
		roots := 0
		for _, s := range all {
			if s.Parent == "" {
				roots++
				continue
			}
			p, there := byID[s.Trace+s.Parent]
			if !there {
				t.Errorf("trace %s: %s has no parent", id, s.Name)
			} else if s.Start.Before(p.Start) || s.End.After(p.End) && s.Name != "reading" {
				t.Errorf("trace %s: %s is not within %s:\n%s", id, s.Name, p.Name, waterfall(all))
			}
		}
		if roots != 1 {
			t.Errorf("trace %s has %d roots, want 1:\n%s", id, roots, waterfall(all))
		}
	}
	return traces
}

// wantPicture checks the one trace that was exported.
func wantPicture(t *testing.T, spans []otlpsim.Span, want string) {
	t.Helper()
	if traces := checkTrees(t, spans); len(traces) != 1 {
		t.Errorf("%d traces, want 1", len(traces))
	}
	if d := gocmp.Diff(strings.TrimLeft(want, "\n"), waterfall(spans)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A slow answer: the first delivery is held, the second is replied to.
func TestTrace_HeldDelivery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCollector(t)
		p := newPlace(t, traced)
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 2 * time.Second, Total: 7 * time.Second, Answer: "the secret answer"})
		r := p.run(t, c.collects(t))
		x, err := r.platform(t).Follower("").Send(t.Context(), "the secret question")
		if err != nil || !strings.Contains(x.Text, "the secret answer") {
			t.Fatalf("%+v, %v", x, err)
		}
		time.Sleep(5 * time.Second)
		spans := c.Spans()
		page, err := os.ReadFile("../docs/monitoring.md")
		if shown := waterfall(spans); err != nil || !strings.Contains(string(page), "```text\n"+shown+"```\n") {
			t.Errorf("docs/monitoring.md shows another trace than (%v)\n%s", err, shown)
		}
		wantPicture(t, spans, `
turn                         0.00s   7.00s  answered
  delivery                   0.00s   5.00s  held  (hold)
  queue                      0.00s   0.00s
  answer                     0.00s   7.00s  answered
    dify chat                0.00s   7.00s  (first text)
  delivery                   5.00s   7.00s  answer
`)
		if resource := map[string]string{"service.name": "winter", "service.namespace": "test", "service.instance.id": r.Server.options.Host, "service.version": ""}; gocmp.Diff(resource, spans[0].Resource) != "" {
			t.Errorf("resource (-want +got):\n%s", gocmp.Diff(resource, spans[0].Resource))
		}
		call := p.dify.Calls()[0]
		for _, s := range spans {
			if want := "00-" + s.Trace + "-" + s.ID + "-01"; s.Name == "dify chat" && call.Traceparent != want {
				t.Errorf("Dify got the traceparent %q, want %q", call.Traceparent, want)
			}
		}
		// The turn's line in the log has its trace's ID, which begins with what the message is called there.
		var line struct {
			Msg, Message string
			TraceID      string `json:"trace_id"`
		}
		for text := range strings.Lines(p.log.String()) {
			if strings.Contains(text, "Turn finished") && json.Unmarshal([]byte(text), &line) != nil {
				t.Errorf("not JSON: %s", text)
			}
		}
		if line.TraceID != spans[0].Trace || !strings.HasPrefix(line.TraceID, line.Message) || line.Message == "" {
			t.Errorf("the log has the trace %q of the message %q, exported was %s", line.TraceID, line.Message, spans[0].Trace)
		}
		for _, secret := range []string{"secret", call.User, call.Conversation, call.Message, token, difyKey} {
			if secret == "" || strings.Contains(c.Bodies(), secret) {
				t.Errorf("%q is in what was exported: %s", secret, c.Bodies())
			}
		}
	})
}

// A pushed answer: its sends belong to the turn.
func TestTrace_Push(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCollector(t)
		p := newPlace(t, traced+"wechat: {appID: "+appID+"}\nreply: {mode: CustomerService}\n")
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 2 * time.Second, Total: 8 * time.Second, Answer: "the answer"})
		o := p.runOfficial(t, wechatsim.VerifiedService, c.collects(t))
		time.Sleep(time.Second)
		if _, err := o.Follower("").Send(t.Context(), "a question"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		wantPicture(t, c.Spans(), `
turn                         0.00s   8.00s  answered
  delivery                   0.00s   4.50s  pushed
  queue                      0.00s   0.00s
  answer                     0.00s   8.00s  answered
    dify chat                0.00s   8.00s  (first text)
  send                       8.00s   8.00s  sent
`)
	})
}

// Reading on belongs to the turn, while it goes on and when it is over.
func TestTrace_Reading(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCollector(t)
		p := newPlace(t, traced+"reply: {holdsPerMinute: 0}\n")
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 8 * time.Second, Total: 9 * time.Second, Length: 1200})
		f := p.run(t, c.collects(t)).platform(t).Follower("")
		send := func(text string) {
			if x, err := f.Send(t.Context(), text); err != nil || x.Outcome != wechatsim.Replied {
				t.Fatalf("%+v, %v", x, err)
			}
		}
		send("a question")
		time.Sleep(1500 * time.Millisecond)
		send("1")
		time.Sleep(time.Minute)
		send("1")
		time.Sleep(5 * time.Second)
		wantPicture(t, c.Spans(), `
turn                         0.00s   9.00s  answered
  delivery                   0.00s   4.50s  waiting
  queue                      0.00s   0.00s
  answer                     0.00s   9.00s  answered
    dify chat                0.00s   9.00s  (first text)
  reading                    6.00s   9.00s  page
  reading                   69.00s  69.00s  answer
`)
	})
}

// What fails, and what the follower has stopped, ends its trace too: once.
func TestTrace_EveryEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCollector(t)
		p := newPlace(t, traced+"limits: {concurrency: 1}\n")
		r := p.run(t, c.collects(t))
		platform := r.platform(t)
		p.dify.SetBehaviour(difysim.Behaviour{Fault: difysim.Fault{Kind: difysim.HTTPError, Name: "app_unavailable.400"}})
		ask := func(follower, text string) { <-r.asks(t, platform, follower, text) }
		ask("ofails", "question")
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 2 * time.Second, Total: time.Minute})
		running, queued := r.asks(t, platform, "oruns", "question"), r.asks(t, platform, "oqueued", "question")
		time.Sleep(3 * time.Second)
		ask("oqueued", "/clear")
		ask("oruns", "/stop")
		<-running
		<-queued
		time.Sleep(20 * time.Second)
		outcomes := map[string]int{}
		for _, s := range c.Spans() {
			if s.Parent == "" {
				outcomes[s.Attributes["wechatbot.outcome"]+"/"+s.Error]++
			}
		}
		if d := gocmp.Diff(map[string]int{"misconfigured/misconfigured": 1, "cancelled/": 2}, outcomes); d != "" {
			t.Errorf("roots (-want +got):\n%s", d)
		}
		checkTrees(t, c.Spans())
	})
}

// A turn that whoever runs the bot stops ends its trace once, where answers are pushed with what tells the follower.
func TestTrace_Stopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCollector(t)
		p := newPlace(t, traced+"wechat: {appID: "+appID+"}\nreply: {mode: CustomerService}\n")
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: time.Minute, Total: 2 * time.Minute})
		o := p.runOfficial(t, wechatsim.VerifiedService, c.collects(t))
		time.Sleep(time.Second)
		if _, err := o.Follower("oStopped").Send(t.Context(), "a question"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		if ok, err := o.engine.StopTurn(t.Context(), "oStopped"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		time.Sleep(20 * time.Second)
		wantPicture(t, c.Spans(), `
turn                         0.00s   6.00s  stopped
  delivery                   0.00s   4.50s  pushed
  queue                      0.00s   0.00s
  answer                     0.00s   6.00s  lost  error: lost
    dify chat                0.00s   6.00s  error: Canceled
  send                       6.00s   6.00s  sent
`)
	})
}

// asks is a follower's message that is under way.
func (r *running) asks(t *testing.T, p *wechatsim.Platform, follower, text string) chan *wechatsim.Exchange {
	t.Helper()
	done := make(chan *wechatsim.Exchange, 1)
	go func() {
		x, err := p.Follower(follower).Send(t.Context(), text)
		if err != nil {
			t.Error(err)
		}
		done <- x
	}()
	return done
}

// replicaOf makes a server use another one's store, as replicas have one.
func replicaOf(with *Server) func(*Server) {
	return func(s *Server) {
		s.store = with.store
		s.engine.Store = with.store
	}
}

// The spans of two replicas that see deliveries of one question are one trace, though they share nothing for it.
func TestTrace_TwoReplicas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCollector(t)
		first := newPlace(t, traced)
		first.dify.SetBehaviour(difysim.Behaviour{FirstText: 2 * time.Second, Total: 7 * time.Second, Answer: "the answer"})
		a := first.run(t, instance("a"), c.collects(t))
		b := newPlace(t, traced).run(t, instance("b"), c.collects(t), replicaOf(a.Server))
		x, err := platformOf(t, &alternating{a.front.transport(), b.front.transport()}).Follower("").Send(t.Context(), "a question")
		if err != nil || !strings.Contains(x.Text, "the answer") {
			t.Fatalf("%+v, %v", x, err)
		}
		time.Sleep(5 * time.Second)
		byReplica := map[string]int{}
		for _, s := range c.Spans() {
			if s.Name == "delivery" {
				byReplica[s.Resource["service.instance.id"]+" "+s.Attributes["wechatbot.reply"]]++
			}
		}
		if d := gocmp.Diff(map[string]int{"a held": 1, "b answer": 1}, byReplica); d != "" {
			t.Errorf("deliveries (-want +got):\n%s", d)
		}
		wantPicture(t, c.Spans(), `
turn                         0.00s   7.00s  answered
  delivery                   0.00s   5.00s  held  (hold)
  queue                      0.00s   0.00s
  answer                     0.00s   7.00s  answered
    dify chat                0.00s   7.00s  (first text)
  delivery                   5.00s   7.00s  answer
`)
	})
}

// instance names a server in its spans.
func instance(name string) func(*Server) {
	return func(s *Server) {
		s.tracing.options.Resource = []trace.Attribute{trace.Text("service.instance.id", name)}
	}
}

// alternating leads one request after another to other servers.
type alternating []http.RoundTripper

func (a *alternating) RoundTrip(r *http.Request) (*http.Response, error) {
	to := (*a)[0]
	*a = append((*a)[1:], to)
	return to.RoundTrip(r)
}

func platformOf(t *testing.T, front http.RoundTripper) *wechatsim.Platform {
	t.Helper()
	p, err := wechatsim.New(wechatsim.Account{URL: "http://bot.invalid/wechat", Token: token}, wechatsim.Options{Transport: front})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Of a crowd, whose answers are fast, slow, broken and stopped, each turn that ends has one root, and nothing that anybody said
// is in what is sent.
func TestTrace_Crowd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCollector(t)
		p := newPlace(t, traced+"limits: {concurrency: 5, questions: 1000}\n")
		r := p.run(t, c.collects(t))
		platform := r.platform(t)
		p.dify.Script(func(q difysim.Request) difysim.Behaviour {
			b := difysim.Behaviour{FirstText: time.Duration(q.Number%4) * time.Second, Total: time.Duration(q.Number%9) * 2 * time.Second, Answer: "answer-" + q.Query}
			b.Total = max(b.Total, b.FirstText+time.Second)
			if q.Number%5 == 0 {
				b.Fault = difysim.Fault{Kind: difysim.ErrorEvent}
			}
			return b
		})
		var crowd sync.WaitGroup
		for i := range 12 {
			crowd.Go(func() {
				name := fmt.Sprintf("oFollower%d", i)
				for n := range 4 {
					asked := r.asks(t, platform, name, fmt.Sprintf("question-%d-%d", i, n))
					if (i+n)%4 == 0 {
						time.Sleep(2 * time.Second)
						<-r.asks(t, platform, name, []string{"/stop", "/clear"}[n%2])
					}
					<-asked
				}
			})
		}
		crowd.Wait()
		time.Sleep(3 * time.Minute) // until all turns are over, and exported
		roots := 0
		for _, s := range c.Spans() {
			if s.Parent == "" {
				roots++
			}
		}
		checkTrees(t, c.Spans())
		if roots != 48 {
			t.Errorf("%d roots of 48 questions", roots)
		}
		for _, said := range []string{"question-", "answer-", "oFollower"} {
			if strings.Contains(c.Bodies(), said) {
				t.Errorf("%q is in what was exported", said)
			}
		}
	})
}
