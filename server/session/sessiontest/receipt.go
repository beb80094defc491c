package sessiontest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func receiptCases() []Case {
	return []Case{
		{"a message delivered again takes back what it was replied with", redelivered},
		{"a reply that could not be written is taken back", unshown},
		{"the cursor follows what is shown", cursorFollows},
		{"of two replies with the same text one is shown", shownOnce},
		{"only what is over can be delivered", deliveredWhenOver},
		{"receipts for what is gone are dropped", receiptsDropped},
		{"every copy of a turn counts the follower's other turns", othersCounted},
	}
}

// page is a receipt for the text between two places.
func page(message string, from, to int) session.Receipt {
	at := func(i int) session.Cursor {
		if i == 0 {
			return session.Cursor{}
		}
		return session.Cursor{At: i, Sum: 1<<63 + uint64(i)} //nolint:gosec // small
	}
	return session.Receipt{Message: message, Turn: "1", Before: at(from), From: at(from), To: at(to)}
}

// wantCursor says how far a turn must have been shown.
func (h *handle) wantCursor(k session.Key, want session.Cursor, delivered bool) {
	h.t.Helper()
	if got := h.peek(k); got.Cursor != want || got.Delivered != delivered {
		h.t.Errorf("shown up to %+v, delivered %v; want %+v, %v", got.Cursor, got.Delivered, want, delivered)
	}
}

func redelivered(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	if o := a.open("alice", "2"); o.Receipt != nil {
		t.Errorf("a message not replied to has the receipt %+v", o.Receipt)
	}
	first := page("2", 0, 4)
	a.show("alice", first)
	a.wantCursor(key("alice", "1"), first.To, false)
	o := b.open("alice", "2")
	if diff := cmp.Diff(&first, o.Receipt); diff != "" {
		t.Errorf("the message has the receipt (-want +got):\n%s", diff)
	}
	a.wantCursor(key("alice", "1"), session.Cursor{}, false)
	if o.Session.Turns[0].Cursor != (session.Cursor{}) {
		t.Errorf("the session has the cursor at %+v", o.Session.Turns[0].Cursor)
	}
	if got := b.wantVerdict("alice", "1", session.Joined); got.Receipt != nil {
		t.Errorf("the question has the receipt %+v, want that of the other message left to that one", got.Receipt)
	}
	whole := page("1", 0, 9)
	whole.End = true
	b.show("alice", whole)
	a.wantCursor(key("alice", "1"), whole.To, true)
	if got := a.wantVerdict("alice", "1", session.Joined); got.Receipt == nil || *got.Receipt != whole || got.Turn.Delivered {
		t.Errorf("begun %+v with the receipt %+v, want %+v", got, got.Receipt, whole)
	}
	if o := a.open("alice", "3"); o.Receipt != nil {
		t.Errorf("another message has the receipt %+v", o.Receipt)
	}
}

func unshown(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	a.open("alice", "2")
	first, second := page("1", 0, 4), page("2", 4, 9)
	second.End = true
	a.show("alice", first)
	b.show("alice", second)
	a.check("Unshow", a.store.Unshow(t.Context(), key("alice", "2")))
	b.wantCursor(key("alice", "1"), first.To, false)
	b.check("Unshow", b.store.Unshow(t.Context(), key("alice", "2"))) // nothing more
	a.wantCursor(key("alice", "1"), first.To, false)
	b.show("alice", second)
	a.check("Unshow", a.store.Unshow(t.Context(), key("alice", "1"))) // somebody has gone on behind it
	a.wantCursor(key("alice", "1"), second.To, true)
	for _, k := range []session.Key{key("alice", "unknown"), key("bob", "1")} {
		a.check("Unshow", a.store.Unshow(t.Context(), k))
	}
}

func cursorFollows(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.progress(l, "some text", "")
	b.wantCursor(l.Turn.Key, session.Cursor{}, false)
	first := page("1", 0, 4)
	a.show("alice", first)
	b.wantCursor(l.Turn.Key, first.To, false)
	a.finish(l, "some text and more", "")
	b.wantCursor(l.Turn.Key, first.To, false)
	rest := page("2", 4, 18)
	rest.End = true
	b.show("alice", rest)
	a.wantCursor(l.Turn.Key, rest.To, true)
	// Shown from the beginning once more: the next reply goes on behind it.
	again := page("3", 0, 4)
	again.Before = rest.To
	b.show("alice", again)
	a.wantCursor(l.Turn.Key, again.To, false)
}

// The follower has typed 1 while the answer's own delivery was held: both would show the same.
func shownOnce(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	a.open("alice", "2")
	b.show("alice", page("2", 0, 4))
	for _, by := range []*handle{a, b} {
		if err := by.store.Show(t.Context(), "alice", page("1", 0, 9)); !errors.Is(err, session.ErrMoved) {
			t.Errorf("shown once more: %v, want ErrMoved", err)
		}
	}
	a.show("alice", page("2", 0, 5)) // by another delivery of the same message, which the follower may get instead
	b.wantCursor(key("alice", "1"), page("2", 0, 5).To, false)
	if got := a.wantVerdict("alice", "1", session.Joined); got.Receipt != nil || got.Turn.Cursor.At != 5 {
		t.Errorf("the refused receipt was kept: %+v", got)
	}
	a.open("alice", "2")
	b.wantCursor(key("alice", "1"), session.Cursor{}, false)
}

func deliveredWhenOver(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.deliver("alice", "1", "1")
	if got := b.peek(l.Turn.Key); got.Delivered {
		t.Error("delivered the end of a turn that is not over")
	}
	a.finish(l, "x", "")
	if got := b.await(l.Turn.Key); got.Delivered {
		t.Error("delivered the end of a turn that was not over then")
	}
	a.deliver("alice", "1", "1")
	if got := b.await(l.Turn.Key); !got.Delivered {
		t.Error("not delivered")
	}
}

func receiptsDropped(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.deliver("bob", "1", "1")
	if o := b.open("bob", "1"); o.Receipt != nil || o.Delivery != 1 || len(o.Session.Turns) != 0 {
		t.Errorf("a stranger's receipt was kept: %+v", o)
	}
	a.answer("alice", "1")
	a.open("alice", "2")
	a.deliver("alice", "2", "unknown")
	if o := b.open("alice", "2"); o.Receipt != nil {
		t.Errorf("the receipt for an unknown turn was kept: %+v", o.Receipt)
	}
	a.deliver("alice", "2", "1")
	b.clear("alice", "3")
	if o := b.open("alice", "2"); o.Receipt != nil {
		t.Errorf("the receipt for a cleared turn was kept: %+v", o.Receipt)
	}
	a.deliver("alice", "2", "1")
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
	b.enqueue("bob", "1")
	a.finish(l, "", "")
	want("1", 1)
	want("2", 1)
	a.deliver("alice", "1", "1")
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
