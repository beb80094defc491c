package follower

import (
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Window is a time in which WeChat lets the account write to the follower, and how often it still may.
type Window struct {
	Kind   string `json:"kind"` // what has opened it; each kind is a window of its own
	Opened Time   `json:"opened"`
	Until  Time   `json:"until"`
	Left   int    `json:"left"`
}

// Contact notes that the follower has done what opens a window. It replaces an earlier one of its kind.
func (s *Step) Contact(w session.Window) {
	s.Windows = slices.DeleteFunc(s.Windows, func(old Window) bool { return old.Kind == w.Kind })
	s.Windows = append(s.Windows, Window{Kind: w.Kind, Opened: s.now, Until: s.now.add(w.Lasts), Left: w.Sends})
	s.touch()
}

// spend takes a send out of the window that closes first; false if none is open.
func (s *Step) spend() bool {
	first := -1
	for i := range s.Windows {
		if first < 0 || s.Windows[i].Until < s.Windows[first].Until {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	s.Windows[first].Left--
	if s.Windows[first].Left == 0 {
		s.Windows = slices.Delete(s.Windows, first, first+1)
	}
	s.Changed = true
	return true
}

// Sendable counts the sends that the open windows allow.
func (r *Record) Sendable(now time.Time) int {
	n := 0
	for i := range r.Windows {
		if r.Windows[i].Until > At(now) {
			n += r.Windows[i].Left
		}
	}
	return n
}

// BeginSend records that a part is about to be sent, from the cursor to its To; held is false if the turn is not the
// holder's any more.
func (s *Step) BeginSend(l Held, from session.Cursor, p session.Part) (v session.SendVerdict, held bool) {
	t := s.held(l)
	switch {
	case t == nil:
		return 0, false
	case t.Cursor != from || t.Sending.State != session.NotSending:
		return session.SendMoved, true
	case s.Human > s.now || !s.spend():
		return session.SendNot, true
	}
	p.State = session.Sending
	t.Sending, t.SendingSince = p, s.now
	return session.SendNow, true
}

// EndSend records what became of the part that was being sent; false if the turn is not the holder's any more. A part
// of uncertain fate is never sent again, and no later one: the follower can ask for all from there on. If no part is being
// sent, the end has been recorded by a call whose answer was lost, or the store has lost the beginning: the lease stays.
func (s *Step) EndSend(l Held, r session.SendResult) bool {
	t := s.held(l)
	if t == nil || t.Sending.State != session.Sending {
		return t != nil
	}
	p, since := t.Sending, t.SendingSince
	t.Sending, t.SendingSince = session.Part{}, 0
	switch r {
	case session.Sent:
		t.Cursor, t.Delivered = p.To, p.End && t.State.Over()
		t.Sends++
	case session.Uncertain:
		p.State = session.SendUnknown
		t.Sending = p
	case session.WindowClosed:
		s.Windows = slices.DeleteFunc(s.Windows, func(w Window) bool { return w.Opened <= since })
	case session.Refused:
	}
	s.Changed, s.Woken = true, true // who asked for the text meanwhile waits for this
	return true
}

// EndPush says that nothing more of a turn is to be sent, as the follower has got all of it or can ask for the rest, and
// gives its lease up; false if it is not held any more.
func (s *Step) EndPush(l Held, all bool) bool {
	t := s.held(l)
	if t == nil || !t.Pushing {
		return false
	}
	t.Delivered = t.Delivered || all
	s.stopPushing(t)
	return true
}

// stopPushing leaves the rest of a turn to be asked for.
func (s *Step) stopPushing(t *Turn) {
	if s.Lease != nil && s.Lease.Turn == t.ID {
		s.revoke()
	}
	t.Pushing = false
	s.Changed, s.Woken = true, true
	s.trim()
}

// Keep has media wait for the question that they belong to, at most so many, the youngest; it returns how many wait. A
// later delivery of their message adds nothing.
func (s *Step) Keep(id string, m session.Media, most int, again bool) (waiting int) {
	if _, known := s.deliver(id, opening, again); known {
		return len(s.Kept)
	}
	s.Kept = append(s.Kept, Kept{Media: m, At: s.now})
	if over := len(s.Kept) - most; over > 0 {
		s.Kept = slices.Delete(s.Kept, 0, over)
	}
	return len(s.Kept)
}

// Serve notes that a person serves the follower for so long at most; 0 ends it.
func (s *Step) Serve(atMost time.Duration) {
	s.touch()
	s.Human = 0
	if atMost > 0 {
		s.Human = s.now.add(atMost)
	}
}
