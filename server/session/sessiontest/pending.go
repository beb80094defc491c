package sessiontest

import (
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func pendingCases() []Case {
	return []Case{
		{"what a stopping process leaves behind is counted", pendingCounts},
		{"a store that answers says so", pings},
	}
}

func pendingCounts(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	if a.store.Durable() {
		a.start("alice", "1")
		a.answer("bob", "1")
		if p := b.pending(); p != (session.Pending{}) {
			t.Errorf("pending %+v, want nothing: another process has the sessions when this one ends", p)
		}
		return
	}
	want := func(p session.Pending) {
		t.Helper()
		for _, by := range []*handle{a, b} {
			if got := by.pending(); got != p {
				t.Errorf("pending %+v, want %+v", got, p)
			}
		}
	}
	want(session.Pending{})
	l := a.start("alice", "1")
	a.enqueue("alice", "2")
	b.start("bob", "1")
	want(session.Pending{Open: 3})
	a.release(l)
	want(session.Pending{Open: 3})
	l = b.wantNext("alice", "1")
	b.finish(l, "answer", "")
	want(session.Pending{Open: 2, Undelivered: 1})
	b.deliver("alice", "1", "1")
	want(session.Pending{Open: 2})
	a.clear("alice", "clear")
	want(session.Pending{Open: 1})
	a.answer("carol", "1")
	want(session.Pending{Open: 1, Undelivered: 1})
	a.forget("carol")
	a.forget("bob")
	want(session.Pending{})
}

func undeliveredExpires(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	a.answer("bob", "1")
	a.start("bob", "2")
	b.eventually("the answers do not count any more", func() bool { return b.pending().Undelivered == 0 })
	if p := a.pending(); p.Open != 1 && !a.store.Durable() {
		t.Errorf("pending %+v, want the open turn", p)
	}
	if got := b.await(key("alice", "1")); got.Answer.Markdown != "answer 1" {
		t.Errorf("turn %+v, want it kept", got)
	}
}

func pings(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.check("Ping", a.store.Ping(t.Context()))
	b.check("Ping", b.store.Ping(t.Context()))
	if a.store.Durable() != b.store.Durable() {
		t.Error("the handles do not agree on whether the store is durable")
	}
}
