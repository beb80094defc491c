package sessiontest

import (
	"context"
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func awaitCases() []Case {
	return []Case{
		{"the end of a turn wakes everybody who awaits it", wakesAll},
		{"awaiting ends with the context and gives what there is", awaitEnds},
		{"a turn that is over is given at once", awaitOver},
		{"what is not there is cancelled", awaitUnknown},
		{"cancelling, clearing and forgetting wake who awaits", wakesCancelled},
		{"a taken-over turn is awaited to its end", awaitTakeover},
	}
}

// awaitAll has many waiters await a turn, half of them through each handle.
func awaitAll(ctx context.Context, a, b *handle, k session.Key) []<-chan result[session.Turn] {
	var waiting []<-chan result[session.Turn]
	for i := range 50 {
		by := []*handle{a, b}[i%2]
		waiting = append(waiting, background(func() (session.Turn, error) { return by.store.Await(ctx, k) }))
	}
	return waiting
}

func wakesAll(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.progress(l, "half", "")
	waiting := awaitAll(t.Context(), a, b, l.Turn.Key)
	b.linger(l.Turn.Key)
	a.finish(l, "whole", "")
	for _, w := range waiting {
		if got := collect(t, "Await", w); got.State != session.Answered || got.Answer.Markdown != "whole" {
			t.Fatalf("turn %+v", got)
		}
	}
}

func awaitEnds(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.progress(l, "half", "")
	for _, by := range []*handle{a, b} {
		ctx, cancel := context.WithTimeout(t.Context(), moment)
		waiting := awaitAll(ctx, by, by, l.Turn.Key)
		for _, w := range waiting {
			got := collect(t, "Await", w)
			if got.State != session.Answering || got.Answer.Markdown != "half" || got.Key != l.Turn.Key {
				t.Fatalf("turn %+v", got)
			}
		}
		cancel()
		if got := by.peek(l.Turn.Key); got.State != session.Answering || got.Answer.Markdown != "half" {
			t.Errorf("turn %+v", got)
		}
	}
	b.enqueue("alice", "2")
	if got := a.peek(key("alice", "2")); got.State != session.Accepted {
		t.Errorf("turn %+v", got)
	}
}

func awaitOver(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	for _, by := range []*handle{a, b} {
		if got := by.await(key("alice", "1")); got.Answer.Markdown != "answer 1" {
			t.Errorf("awaited: %+v", got)
		}
		if got := by.peek(key("alice", "1")); got.Answer.Markdown != "answer 1" {
			t.Errorf("with an ended context: %+v", got)
		}
	}
}

func awaitUnknown(t *testing.T, h Harness) {
	a, _ := open(t, h, options())
	a.answer("alice", "1")
	for _, k := range []session.Key{key("alice", "2"), key("bob", "1")} {
		if got := a.await(k); got.State != session.Cancelled || got.Key != k {
			t.Errorf("turn %+v", got)
		}
	}
}

func wakesCancelled(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	for name, end := range map[string]func(){
		"Cancel": func() { b.cancel("alice", "stop") },
		"Clear":  func() { b.clear("alice", "clear") },
		"Forget": func() { b.forget("alice") },
	} {
		running := a.start("alice", "running at "+name)
		a.progress(running, "half", "")
		waiting := awaitAll(t.Context(), a, b, running.Turn.Key)
		b.linger(running.Turn.Key)
		end()
		for _, w := range waiting {
			if got := collect(t, "Await", w); got.State != session.Cancelled || got.Key != running.Turn.Key {
				t.Fatalf("after %s: turn %+v", name, got)
			}
		}
		a.wantLost(running)
	}
}

func awaitTakeover(t *testing.T, h Harness) {
	a, b := open(t, h, brief())
	dead := a.start("alice", "1")
	waiting := awaitAll(t.Context(), a, b, dead.Turn.Key)
	l := b.wantTakeover(dead)
	for b.store.Finish(t.Context(), l, session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "at last"}}) != nil {
		l = b.wantTakeover(l) // the machine has stalled for a lease's time
	}
	for _, w := range waiting {
		if got := collect(t, "Await", w); got.Answer.Markdown != "at last" {
			t.Fatalf("turn %+v", got)
		}
	}
}
