package sessiontest

import (
	"slices"
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func deliveryCases() []Case {
	return []Case{
		{"a question delivered a hundred times at once starts one turn", oneOfHundred},
		{"the same message ID of two followers is two turns", twoFollowersOneID},
		{"a later delivery sees the turn as it is", laterDelivery},
		{"a message that asks nothing is counted", openCounts},
		{"looking records nothing", lookRecordsNothing},
		{"a question whose beginning has not failed is not retracted", notRetracted},
		{"a message that was only opened can still become a question", openedThenBegun},
	}
}

func oneOfHundred(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	const times = 100
	var calls []<-chan result[session.Begun]
	for i := range times {
		by := []*handle{a, b}[i%2]
		calls = append(calls, background(func() (session.Begun, error) {
			q := session.Question{Key: key("alice", "1"), Text: "question 1"}
			return by.store.Begin(t.Context(), q, true, roomy)
		}))
	}
	started, deliveries := 0, make([]int, 0, times)
	for _, c := range calls {
		got := collect(t, "Begin", c)
		deliveries = append(deliveries, got.Delivery)
		switch got.Verdict {
		case session.Started:
			started++
			if got.Lease == nil || got.Delivery != 1 {
				t.Errorf("Started with delivery %d and lease %v, want 1 and a lease", got.Delivery, got.Lease)
			}
		case session.Joined:
			if got.Lease != nil {
				t.Error("Joined with a lease")
			}
		default:
			t.Errorf("verdict %d", got.Verdict)
		}
		if got.Turn.Key != key("alice", "1") || got.Turn.Question != "question 1" {
			t.Errorf("turn %+v", got.Turn)
		}
	}
	if started != 1 {
		t.Errorf("started %d times", started)
	}
	slices.Sort(deliveries)
	for i, n := range deliveries {
		if n != i+1 {
			t.Fatalf("deliveries counted %v, want 1 to %d once each", deliveries, times)
		}
	}
	if turns := b.look("alice").Turns; len(turns) != 1 || turns[0].Attempts != 1 {
		t.Errorf("turns %+v, want one, claimed once", turns)
	}
}

func twoFollowersOneID(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	alice, bob := a.start("alice", "1"), b.start("bob", "1")
	a.finish(alice, "for alice", "")
	b.finish(bob, "for bob", "")
	if got := b.await(key("alice", "1")).Answer.Markdown; got != "for alice" {
		t.Errorf("alice's answer is %q", got)
	}
	if got := a.await(key("bob", "1")).Answer.Markdown; got != "for bob" {
		t.Errorf("bob's answer is %q", got)
	}
}

func laterDelivery(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.progress(l, "so far", "")
	got := b.wantVerdict("alice", "1", session.Joined)
	if got.Turn.Answer.Markdown != "so far" || got.Turn.State != session.Answering || got.Delivery != 2 {
		t.Errorf("while it runs: %+v", got)
	}
	a.finish(l, "all", "")
	got = b.wantVerdict("alice", "1", session.Joined)
	if got.Turn.Answer.Markdown != "all" || got.Turn.State != session.Answered || got.Delivery != 3 {
		t.Errorf("when it is over: %+v", got)
	}
	if got.Turn.AcceptedAt.IsZero() || got.Turn.FinishedAt.Before(got.Turn.AcceptedAt) {
		t.Errorf("accepted at %v, finished at %v", got.Turn.AcceptedAt, got.Turn.FinishedAt)
	}
}

func openCounts(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	for i, by := range []*handle{a, b, a} {
		o := by.open("alice", "2")
		if o.Delivery != i+1 {
			t.Errorf("delivery %d is counted as %d", i+1, o.Delivery)
		}
		if len(o.Session.Turns) != 1 || o.Session.ConversationID != "conversation of alice" || o.Session.LastActive.IsZero() {
			t.Errorf("session %+v", o.Session)
		}
	}
	if o := b.open("bob", "2"); o.Delivery != 1 || len(o.Session.Turns) != 0 || o.Session.ConversationID != "" || o.Receipt != nil {
		t.Errorf("a stranger's session: %+v", o)
	}
}

func lookRecordsNothing(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	if s := a.look("alice"); s.ConversationID != "" || len(s.Turns) != 0 || !s.LastActive.IsZero() {
		t.Errorf("a stranger's session: %+v", s)
	}
	a.answer("alice", "1")
	active := b.look("alice").LastActive
	if active.IsZero() {
		t.Error("not active yet, after a question")
	}
	if again := b.look("alice").LastActive; !again.Equal(active) {
		t.Errorf("active at %v, then at %v, with nothing but a look between", active, again)
	}
	if o := a.open("alice", "2"); o.Delivery != 1 {
		t.Errorf("first delivery counted as %d", o.Delivery)
	}
}

func notRetracted(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	for _, by := range []*handle{a, b} {
		by.check("Retract", by.store.Retract(t.Context(), l.Turn.Key))
		by.check("Retract", by.store.Retract(t.Context(), key("bob", "unknown")))
	}
	a.finish(l, "answer", "")
	if got := b.await(l.Turn.Key); got.State != session.Answered {
		t.Errorf("turn %+v", got)
	}
}

func openedThenBegun(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.open("alice", "1")
	b.answer("alice", "1")
	if got := a.wantVerdict("alice", "1", session.Joined); got.Turn.Answer.Markdown != "answer 1" {
		t.Errorf("turn %+v", got.Turn)
	}
}
