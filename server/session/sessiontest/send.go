package sessiontest

import (
	"errors"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func sendCases() []Case {
	return []Case{
		{"a turn that is pushed stays its holder's until all is sent", pushedTurn},
		{"a part is sent once, by whoever holds the turn", sentOnce},
		{"what a holder was sending when it died has an unknown outcome", sendCutOff},
		{"a reply that shows the end ends the push", pushShown},
		{"a reply that shows the end does not end a push of media", mediaPushed},
		{"that a turn was stopped is sent by whoever claims it", stopPushed},
		{"only what a contact allows is sent", windowsSpent},
		{"a closed window stays closed until the next contact", windowsClosed},
		{"nothing is sent while a person serves", servedByPerson},
		{"media wait for their question, once each", mediaKept},
		{"what was heard is the question", questionHeard},
		{"a turn whose question is asked again counts as delivered", askedAgain},
	}
}

// message is the window that a message opens.
var message = session.Window{Kind: "message", Lasts: time.Hour, Sends: 5}

// pushed answers a question of alice, who may be written to, and leaves the answer to be sent.
func (h *handle) pushed(w session.Window) *session.Lease {
	h.t.Helper()
	q := session.Question{Key: key("alice", "1"), Text: "question 1", Window: &w}
	b, err := h.store.Begin(h.t.Context(), q, true, h.limits)
	h.check("Begin", err)
	if b.Lease == nil {
		h.t.Fatal("the question is not started")
	}
	h.check("Finish", h.store.Finish(h.t.Context(), b.Lease, session.Outcome{
		State: session.Answered, Answer: session.Answer{Markdown: "answer"}, ConversationID: "c", Push: true,
	}))
	return b.Lease
}

func (h *handle) wantSend(l *session.Lease, from, to int, end bool, want session.SendVerdict) {
	h.t.Helper()
	p := page("", from, to)
	v, err := h.store.BeginSend(h.t.Context(), l, p.Before, session.Part{To: p.To, End: end})
	h.check("BeginSend", err)
	if v != want {
		h.t.Errorf("a send from %d is %d, want %d", from, v, want)
	}
}

func (h *handle) endSend(l *session.Lease, r session.SendResult) {
	h.t.Helper()
	h.check("EndSend", h.store.EndSend(h.t.Context(), l, r))
}

func pushedTurn(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.pushed(message)
	b.enqueue("alice", "2")
	for _, h := range []*handle{a, b} {
		if got := h.peek(key("alice", "1")); got.State != session.Answered || !got.Pushing || got.Answer.Markdown != "answer" {
			t.Errorf("%s has %+v, want it answered and being pushed", h, got)
		}
	}
	b.wantNone()
	a.wantSend(l, 0, 6, true, session.SendNow)
	a.endSend(l, session.Sent)
	a.check("EndPush", a.store.EndPush(t.Context(), l, true))
	if got := b.peek(key("alice", "1")); !got.Delivered || got.Pushing || got.Sends != 1 {
		t.Errorf("sent, it is %+v", got)
	}
	if next := b.next(); next.Turn.Key.ID != "2" {
		t.Errorf("next is %s, want 2", next.Turn.Key.ID)
	}
}

func sentOnce(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.pushed(message)
	a.wantSend(l, 0, 3, false, session.SendNow)
	a.wantSend(l, 0, 3, false, session.SendMoved)
	if err := b.store.Show(t.Context(), "alice", page("2", 0, 3)); !errors.Is(err, session.ErrMoved) {
		t.Errorf("what is being sent is shown by a reply: %v, want ErrMoved", err)
	}
	a.endSend(l, session.Sent)
	a.endSend(l, session.Sent) // its answer was lost
	b.wantCursor(key("alice", "1"), page("", 3, 3).To, false)
	if got := b.peek(key("alice", "1")); got.Sends != 1 {
		t.Errorf("recorded twice, %d messages were sent, want 1", got.Sends)
	}
	a.wantSend(l, 0, 3, false, session.SendMoved)
	a.wantSend(l, 3, 6, true, session.SendNow)
	a.endSend(l, session.Refused)
	b.wantCursor(key("alice", "1"), page("", 3, 3).To, false)
	a.wantSend(l, 3, 6, true, session.SendNow)
	a.endSend(l, session.Uncertain)
	if got := b.peek(key("alice", "1")); got.Sending.State != session.SendUnknown {
		t.Errorf("the part is %+v, want its outcome unknown", got.Sending)
	}
	a.wantSend(l, 3, 6, true, session.SendMoved)
	b.open("alice", "2")
	b.show("alice", page("2", 3, 6)) // and the reply is lost
	if err := b.store.Unshow(t.Context(), key("alice", "2")); err != nil {
		t.Fatal(err)
	}
	if got := b.peek(key("alice", "1")); got.Sending.State != session.SendUnknown {
		t.Errorf("behind a lost reply the part is %+v, want its outcome unknown", got.Sending)
	}
	a.wantSend(l, 3, 6, true, session.SendMoved)
}

func sendCutOff(t *testing.T, h Harness) {
	o := options()
	o.LeaseTTL = 200 * time.Millisecond
	a, b := open(t, h, o)
	l := a.pushed(message)
	a.wantSend(l, 0, 3, false, session.SendNow)
	_ = background(func() (session.Claimed, error) { return b.store.Next(b.t.Context(), b.limits) })
	b.eventually("the lease has run out and its part has an unknown outcome", func() bool {
		got := b.peek(key("alice", "1"))
		return got.Sending.State == session.SendUnknown && !got.Pushing
	})
	if err := a.store.EndSend(t.Context(), l, session.Sent); !errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("the late end of the send: %v, want ErrLeaseLost", err)
	}
	b.wantCursor(key("alice", "1"), session.Cursor{}, false)
	b.show("alice", page("2", 0, 3))
	b.wantCursor(key("alice", "1"), page("", 3, 3).To, false)
}

func stopPushed(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	q := session.Question{Key: key("alice", "1"), Text: "question 1", Window: &message}
	begun, err := a.store.Begin(t.Context(), q, true, a.limits)
	a.check("Begin", err)
	a.enqueue("alice", "2")
	if got, ok := b.stop("stop", true); !ok || got.Failure != session.Stopped || !got.Pushing {
		t.Fatalf("stopped %+v, %v, want it pushing", got, ok)
	}
	a.wantLost(begun.Lease)
	l := b.next()
	if l.Turn.Key != q.Key || l.Turn.Failure != session.Stopped {
		t.Fatalf("claimed %+v, want turn 1 as it was stopped", l.Turn)
	}
	b.wantSend(l, 0, 0, true, session.SendNow)
	if got, ok := a.stop("stop 2", false); !ok || got.Key.ID != "2" {
		t.Errorf("stopped %+v, %v, want turn 2: the one before is over", got, ok)
	}
	b.endSend(l, session.Sent)
	b.check("EndPush", b.store.EndPush(t.Context(), l, true))
	if got := a.peek(q.Key); !got.Delivered || got.Pushing || got.Sends != 1 {
		t.Errorf("sent, it is %+v", got)
	}
	b.wantNone()
}

func pushShown(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.pushed(message)
	whole := page("1", 0, 6)
	whole.End = true
	b.show("alice", whole)
	if _, err := a.store.BeginSend(t.Context(), l, whole.To, session.Part{To: whole.To}); !errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("a send after the end was shown: %v, want ErrLeaseLost", err)
	}
	a.wantClosed(l.Lost)
	b.start("alice", "2")
}

func mediaPushed(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	b.check("Contact", b.store.Contact(t.Context(), "alice", message))
	a.check("Finish", a.store.Finish(t.Context(), l, session.Outcome{
		State: session.Answered, Answer: session.Answer{Markdown: "answer"}, Push: true, Media: true,
	}))
	whole := page("1", 0, 6)
	whole.End = true
	b.show("alice", whole)
	a.wantSend(l, 6, 6, true, session.SendNow)
	a.endSend(l, session.Sent)
	if got := b.peek(key("alice", "1")); !got.Delivered || !got.Pushing || got.Sends != 1 {
		t.Errorf("it is %+v, want it delivered and still pushed", got)
	}
	a.check("EndPush", a.store.EndPush(t.Context(), l, true))
	b.start("alice", "2")
}

func questionHeard(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	voice := []session.Media{{Kind: "voice", ID: "media-1", Format: "amr"}}
	begun, err := a.store.Begin(t.Context(), session.Question{Key: key("alice", "1"), Media: voice}, true, a.limits)
	a.check("Begin", err)
	a.check("Progress", a.store.Progress(t.Context(), begun.Lease, session.Progress{Question: "what was said"}))
	a.progress(begun.Lease, "some", "c")
	if got := b.peek(key("alice", "1")); got.Question != "what was said" || len(got.Media) != 1 || got.Media[0] != voice[0] || got.Answer.Markdown != "some" {
		t.Errorf("the turn is %+v", got)
	}
	a.release(begun.Lease)
	if l := b.next(); l.Turn.Question != "what was said" {
		t.Errorf("the next owner is to ask %q", l.Turn.Question)
	}
}

func windowsSpent(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	w := message
	w.Sends = 1
	l := a.pushed(w)
	a.wantSend(l, 0, 1, false, session.SendNow)
	a.endSend(l, session.Sent)
	a.wantSend(l, 1, 2, false, session.SendNot)
	b.check("Contact", b.store.Contact(t.Context(), "alice", session.Window{Kind: "click", Lasts: time.Hour, Sends: 1}))
	a.wantSend(l, 1, 2, false, session.SendNow)
	a.endSend(l, session.Sent)
	a.wantSend(l, 2, 3, false, session.SendNot)
	b.check("Contact", b.store.Contact(t.Context(), "alice", session.Window{Kind: "click", Lasts: 100 * time.Millisecond, Sends: 9}))
	<-time.After(150 * time.Millisecond) // by the clock of a store that is elsewhere, too
	a.wantSend(l, 2, 3, false, session.SendNot)
}

func windowsClosed(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.pushed(message)
	a.wantSend(l, 0, 1, false, session.SendNow)
	a.endSend(l, session.WindowClosed)
	a.wantSend(l, 0, 1, false, session.SendNot)
	b.check("Contact", b.store.Contact(t.Context(), "alice", message))
	a.wantSend(l, 0, 1, false, session.SendNow)
}

func servedByPerson(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.pushed(message)
	b.check("Serve", b.store.Serve(t.Context(), "alice", time.Hour))
	a.wantSend(l, 0, 1, false, session.SendNot)
	s, err := a.store.Get(t.Context(), "alice")
	a.check("Get", err)
	for _, until := range []time.Time{s.HumanUntil, a.peek(key("alice", "1")).HumanUntil} {
		if left := time.Until(until); left < 50*time.Minute || left > 70*time.Minute {
			t.Errorf("a person serves for %v, want about an hour", left)
		}
	}
	b.wantVerdict("alice", "2", session.Served)
	b.check("Serve", b.store.Serve(t.Context(), "alice", 0))
	a.wantSend(l, 0, 1, false, session.SendNow)
	b.wantVerdict("alice", "2", session.Started)
}

func mediaKept(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	keep := func(h *handle, id string, want int) {
		t.Helper()
		n, err := h.store.Keep(t.Context(), key("alice", id), session.Media{Kind: "image", ID: "media-" + id}, 2)
		h.check("Keep", err)
		if n != want {
			t.Errorf("%d media wait, want %d", n, want)
		}
	}
	keep(a, "1", 1)
	keep(b, "1", 1)
	keep(b, "2", 2)
	keep(a, "3", 2)
	l := b.start("alice", "4")
	if m := l.Turn.Media; len(m) != 2 || m[0].ID != "media-2" || m[1].ID != "media-3" {
		t.Errorf("the question has the media %+v, want those of 2 and 3", m)
	}
	b.finish(l, "answer", "c")
	if l := a.start("alice", "5"); len(l.Turn.Media) != 0 {
		t.Errorf("the next question has the media %+v", l.Turn.Media)
	}
}

func askedAgain(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	failed := a.pushed(message)
	a.wantSend(failed, 0, 5, false, session.SendNow)
	again := func(id string) session.Begun {
		q := session.Question{Key: key("alice", id), Text: "question 1", Again: "1"}
		begun, err := b.store.Begin(t.Context(), q, true, b.limits)
		b.check("Begin", err)
		return begun
	}
	if begun := again("2"); begun.Verdict != session.Started || begun.Lease != nil || a.peek(key("alice", "1")).Delivered {
		t.Errorf("begun %+v while a part is being sent, want it queued, and the part's end left to its sender", begun)
	}
	a.endSend(failed, session.Uncertain)
	if begun := again("3"); begun.Verdict != session.Started || begun.Lease != nil || !a.peek(key("alice", "1")).Delivered {
		t.Errorf("begun %+v, want it queued, and what it asks again delivered", begun)
	}
	a.wantNext("alice", "2") // nothing more is sent of the one before
	if b.peek(key("alice", "2")).Delivered {
		t.Error("another turn is delivered")
	}
}
