package sessiontest

import (
	"context"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func awaitCases() []Case {
	return []Case{
		{"the end of a turn wakes everybody who awaits it", wakesAll},
		{"awaiting ends when its time is up and gives what there is", awaitEnds},
		{"a turn that is over is given at once", awaitOver},
		{"what is not there is cancelled", awaitUnknown},
		{"cancelling, clearing and forgetting wake who awaits", wakesCancelled},
		{"a taken-over turn is awaited to its end", awaitTakeover},
	}
}

// awaitAll has many waiters await a turn, half of them through each handle.
func awaitAll(t *testing.T, a, b *handle, k session.Key, atMost time.Duration) []<-chan result[session.Turn] {
	var waiting []<-chan result[session.Turn]
	for i := range 50 {
		by := []*handle{a, b}[i%2]
		waiting = append(waiting, background(func() (session.Turn, error) { return Await(t.Context(), by.store, k, atMost) }))
	}
	return waiting
}

// Await waits for the end of a turn, or as long as it may.
func Await(ctx context.Context, s session.Store, k session.Key, atMost time.Duration) (session.Turn, error) {
	var t session.Turn
	err := session.Await(ctx, s, k, time.Now().Add(atMost), &t, func(ctx context.Context) (err error) {
		t, err = s.Turn(ctx, k)
		return err
	})
	return t, err
}

func wakesAll(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.progress(l, "half", "")
	waiting := awaitAll(t, a, b, l.Turn.Key, patience)
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
		waiting := awaitAll(t, by, by, l.Turn.Key, moment)
		for _, w := range waiting {
			got := collect(t, "Await", w)
			if got.State != session.Answering || got.Answer.Markdown != "half" || got.Key != l.Turn.Key {
				t.Fatalf("turn %+v", got)
			}
		}
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
			t.Errorf("looked at: %+v", got)
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
		waiting := awaitAll(t, a, b, running.Turn.Key, patience)
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
	waiting := awaitAll(t, a, b, dead.Turn.Key, patience)
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
