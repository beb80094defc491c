package sessiontest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func receiptCases() []Case {
	return []Case{
		{"a message delivered again sees what it was replied with", receiptOfMessage},
		{"what the follower has seen follows the last receipt", seenFollows},
		{"a receipt that leaves a hole does not move what the follower has seen", receiptWithHole},
		{"only what is over can be told", toldWhenOver},
		{"receipts for what is gone are dropped", receiptsDropped},
		{"every copy of a turn counts the follower's other turns", othersCounted},
	}
}

func receiptOfMessage(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	if o := a.open("alice", "2"); o.Receipt != nil {
		t.Errorf("a message not replied to has the receipt %+v", o.Receipt)
	}
	for _, want := range []session.Receipt{
		{Message: "2", Turn: "1", From: 0, To: 4, FromSum: 7, Sum: 1 << 63},
		{Message: "2", Turn: "1", From: 4, To: 8, FromSum: 1 << 63, Sum: 9, Told: true},
	} {
		a.delivered("alice", want)
		o := b.open("alice", "2")
		if o.Receipt == nil || *o.Receipt != want {
			t.Errorf("the message has the receipt %+v, want %+v", o.Receipt, want)
		}
	}
	if got := b.wantVerdict("alice", "1", session.Joined); got.Receipt != nil {
		t.Errorf("the question has the receipt %+v, want that of the other message left to that one", got.Receipt)
	}
	want := session.Receipt{Message: "1", Turn: "1", To: 4, Sum: 5}
	b.delivered("alice", want)
	if got := a.wantVerdict("alice", "1", session.Joined); got.Receipt == nil || *got.Receipt != want {
		t.Errorf("the question has the receipt %+v, want %+v", got.Receipt, want)
	}
	if o := a.open("alice", "3"); o.Receipt != nil {
		t.Errorf("another message has the receipt %+v", o.Receipt)
	}
}

func seenFollows(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.progress(l, "some text", "")
	type seen struct {
		To   int
		Sum  uint64
		Told bool
	}
	want := func(want seen) {
		t.Helper()
		got := b.peek(l.Turn.Key)
		if diff := cmp.Diff(want, seen{got.Seen, got.SeenSum, got.Told}); diff != "" {
			t.Errorf("seen (-want +got):\n%s", diff)
		}
	}
	want(seen{})
	a.delivered("alice", session.Receipt{Message: "1", Turn: "1", To: 4, Sum: 11})
	want(seen{4, 11, false})
	a.finish(l, "some text and more", "")
	want(seen{4, 11, false})
	b.delivered("alice", session.Receipt{Message: "2", Turn: "1", From: 4, To: 18, FromSum: 11, Sum: 12, Told: true})
	want(seen{18, 12, true})
	// Shown from the beginning once more: the next fetch goes on behind it.
	b.delivered("alice", session.Receipt{Message: "3", Turn: "1", To: 4, Sum: 11})
	want(seen{4, 11, false})
}

// The reply to message 2 was lost after the one to message 3 had been made of what follows it: a follower who then asks
// for more must get the lost page first.
func receiptWithHole(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	a.open("alice", "2")
	b.open("alice", "3")
	a.delivered("alice", session.Receipt{Message: "2", Turn: "1", To: 4, Sum: 11})
	a.delivered("alice", session.Receipt{Message: "2", Turn: "1"}) // taken back
	late := session.Receipt{Message: "3", Turn: "1", From: 4, To: 8, FromSum: 11, Sum: 12, Told: true}
	b.delivered("alice", late)
	if got := a.await(key("alice", "1")); got.Seen != 0 || got.SeenSum != 0 || got.Told {
		t.Errorf("seen up to %d, told %v: the first page would never be shown", got.Seen, got.Told)
	}
	if o := a.open("alice", "3"); o.Receipt == nil || *o.Receipt != late {
		t.Errorf("the message itself has the receipt %+v, want %+v", o.Receipt, late)
	}
	a.delivered("alice", session.Receipt{Message: "2", Turn: "1", To: 4, Sum: 11})
	b.delivered("alice", late)
	if got := a.await(key("alice", "1")); got.Seen != 8 || !got.Told {
		t.Errorf("seen up to %d, told %v, want all of it", got.Seen, got.Told)
	}
}

func toldWhenOver(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.tell("alice", "1", "1")
	if got := b.peek(l.Turn.Key); got.Told {
		t.Error("told the end of a turn that is not over")
	}
	a.finish(l, "x", "")
	if got := b.await(l.Turn.Key); got.Told {
		t.Error("told the end of a turn that was not over then")
	}
	a.tell("alice", "1", "1")
	if got := b.await(l.Turn.Key); !got.Told {
		t.Error("not told")
	}
}

func receiptsDropped(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.tell("bob", "1", "1")
	if o := b.open("bob", "1"); o.Receipt != nil || o.Delivery != 1 || len(o.Session.Turns) != 0 {
		t.Errorf("a stranger's receipt was kept: %+v", o)
	}
	a.answer("alice", "1")
	a.open("alice", "2")
	a.tell("alice", "2", "unknown")
	if o := b.open("alice", "2"); o.Receipt != nil {
		t.Errorf("the receipt for an unknown turn was kept: %+v", o.Receipt)
	}
	a.tell("alice", "2", "1")
	b.clear("alice", "3")
	if o := b.open("alice", "2"); o.Receipt != nil {
		t.Errorf("the receipt for a cleared turn was kept: %+v", o.Receipt)
	}
	a.tell("alice", "2", "1")
	if o := b.open("alice", "2"); o.Receipt != nil || len(o.Session.Turns) != 0 {
		t.Errorf("a late receipt for a cleared turn was kept: %+v", o)
	}
}

func othersCounted(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	want := func(id string, n int) {
		t.Helper()
		if got := b.peek(key("alice", id)); got.Others != n {
			t.Errorf("turn %s has %d others, want %d", id, got.Others, n)
		}
	}
	l := a.start("alice", "1")
	if l.Turn.Others != 0 {
		t.Errorf("the only turn has %d others", l.Turn.Others)
	}
	if got := b.enqueue("alice", "2"); got.Turn.Others != 1 {
		t.Errorf("begun behind one open turn with %d others", got.Turn.Others)
	}
	if got := b.enqueue("alice", "1"); got.Turn.Others != 1 {
		t.Errorf("joined with %d others, want 1", got.Turn.Others)
	}
	a.enqueue("bob", "1")
	a.finish(l, "", "")
	want("1", 1)
	want("2", 1)
	a.tell("alice", "1", "1")
	want("1", 1)
	want("2", 0)
	if turns := b.look("alice").Turns; turns[0].Others != 1 || turns[1].Others != 0 {
		t.Errorf("turns in the session: %+v", turns)
	}
	if l := b.wantNext("alice", "2"); l.Turn.Others != 0 {
		t.Errorf("leased with %d others, want 0", l.Turn.Others)
	}
	if got, ok := b.cancel("alice", "stop"); !ok || got.Others != 0 {
		t.Errorf("cancelled: %+v, want no others", got)
	}
}
