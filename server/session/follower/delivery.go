package follower

import "github.com/wechatbot/wechatbot-operator/server/session"

// Open counts a delivery of a message that asks no question, and takes back what a reply to it was to show. One that a
// delivery before took for a question is left to Begin.
func (s *Step) Open(id string, again bool) (delivery int, shown *session.Receipt) {
	if t := s.Find(id); t != nil {
		return t.Deliveries, nil
	}
	m, _ := s.deliver(id, opening, again)
	return m.Deliveries, s.takeBack(id, &m.Seen)
}

// Show moves a turn's cursor to the end of what a reply is about to show; false if it is not where the reply was
// composed: the reply to another message, or a send, shows what this one would. Two deliveries of one message may show the same, as
// the follower gets one of them at most. A receipt for a turn that is gone is dropped.
func (s *Step) Show(r session.Receipt) bool {
	t := s.Find(r.Turn)
	switch {
	case t == nil:
		return true
	case t.Sending.State == session.Sending: // the follower is about to get what it would show
		return false
	}
	seen, delivered, doubt := s.seen(r.Message), t.Delivered, t.Sending
	if t.Cursor != r.Before {
		if seen == nil || seen.Shown == nil || seen.Shown.Turn != r.Turn || seen.Shown.Before != r.Before || seen.Shown.To != t.Cursor {
			return false
		}
		delivered, doubt = seen.Shown.Delivered, seen.Shown.Doubt
	}
	if seen != nil {
		seen.Shown = &Shown{Turn: r.Turn, Before: r.Before, From: r.From, To: r.To, End: r.End, Delivered: delivered, Doubt: doubt}
	}
	t.Cursor, t.Delivered = r.To, r.End && t.State.Over()
	if t.Sending.State == session.SendUnknown {
		t.Sending = session.Part{}
	}
	s.Changed = true
	if t.Delivered && t.Pushing && !t.Media {
		s.stopPushing(t)
	}
	return true
}

// Unshow takes back what the reply to a message was to show: nobody has got it.
func (s *Step) Unshow(id string) {
	if seen := s.seen(id); seen != nil {
		s.takeBack(id, seen)
	}
}

// takeBack moves the cursor back to before what the reply to a message was to show, unless somebody has gone on behind
// it: what comes between would be shown twice. As the message is delivered again, that reply was lost.
func (s *Step) takeBack(id string, seen *Seen) *session.Receipt {
	shown := seen.Shown
	if shown == nil {
		return nil
	}
	if t := s.Find(shown.Turn); t != nil && t.Cursor == shown.To {
		t.Cursor, t.Delivered = shown.Before, shown.Delivered
		if t.Sending.State == session.NotSending {
			t.Sending = shown.Doubt // it is not sent again
		}
		s.Changed = true
	}
	return &session.Receipt{
		Message: id, Turn: shown.Turn, Before: shown.Before, From: shown.From, To: shown.To, End: shown.End,
	}
}
