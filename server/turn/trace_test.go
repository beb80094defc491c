package turn_test

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/trace"
	"github.com/wechatbot/wechatbot-operator/server/turn"
)

// tracer is one process' tracer, which keeps what it exports.
type tracer struct {
	*trace.Tracer

	mu    sync.Mutex
	spans []*trace.Finished
}

func newTracer() *tracer {
	t := new(tracer)
	t.Tracer = trace.New(100, func(s *trace.Finished) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.spans = append(t.spans, s)
	})
	return t
}

func (t *tracer) On() bool { return true }

func (t *tracer) Turn(k session.Key) *trace.Turn {
	return t.Tracer.Turn(sha256.Sum256([]byte(turn.Name(k))))
}

// said are the spans but deliveries by their names and outcomes, sorted.
func (t *tracer) said() (all []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.spans {
		said := s.Name
		for _, a := range s.Attributes {
			if a.Key == "wechatbot.outcome" {
				said = s.Name + " " + a.Text
			}
		}
		if s.Name != "delivery" {
			all = append(all, said)
		}
	}
	slices.Sort(all)
	return all
}

// wantOneTrace checks that all spans are of one trace, with one root that is the parent of all that has no other.
func wantOneTrace(t *testing.T, all ...*tracer) {
	t.Helper()
	var spans []*trace.Finished
	for _, tr := range all {
		spans = append(spans, tr.spans...)
	}
	var roots int
	ids := map[trace.SpanID]bool{}
	for _, s := range spans {
		ids[s.ID] = true
		if s.Parent == (trace.SpanID{}) {
			roots++
		}
	}
	for _, s := range spans {
		if s.Trace != spans[0].Trace || s.Parent != (trace.SpanID{}) && !ids[s.Parent] {
			t.Errorf("%s is of trace %s below %s", s.Name, s.Trace, s.Parent)
		}
	}
	if roots != 1 {
		t.Errorf("%d roots", roots)
	}
}

// A turn that its process gives back is ended by another one: its trace goes on there, and is ended once.
func TestTrace_TakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newStore()
		first, second := newTracer(), newTracer()
		leaving := start(t, setup{dify: &scripted{chat: hang("the first half")}, store: shared.of("pod-1"), tracer: first})
		f := leaving.follower("alice")
		asked := f.Begin(ask)
		time.Sleep(2 * time.Second)
		other := start(t, setup{dify: &scripted{}, store: shared.of("pod-2"), tracer: second})
		f.route = func(int) *bot { return other }
		leaving.end()
		<-asked
		synctest.Wait()
		if d := cmp.Diff([]string{"answer released", "dify chat", "queue"}, first.said()); d != "" {
			t.Errorf("the process that has left (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]string{"answer answered", "dify await", "dify chat", "turn answered"}, second.said()); d != "" {
			t.Errorf("the one that has gone on (-want +got):\n%s", d)
		}
		wantOneTrace(t, first, second)
	})
}

// A turn that nobody has begun before its time was up has a trace, too.
func TestTrace_TimedOutInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traced := newTracer()
		d := &scripted{chat: func(ctx context.Context, _ int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
			<-ctx.Done()
			return dify.Answer{}, canceled(ctx)
		}}
		b := start(t, setup{dify: d, tracer: traced, settings: func(s *turn.Settings) { s.Limits.Concurrency = 1 }})
		running, queued := b.follower("alice").Begin(ask), b.follower("bob").Begin(ask)
		<-running
		<-queued
		time.Sleep(timeout + time.Minute)
		if d := cmp.Diff([]string{"answer timedOut", "dify chat", "queue", "turn timedOut", "turn timedOut"}, traced.said()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}
