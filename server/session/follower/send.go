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

// OpenWindow notes that the follower has done what opens a window. It replaces an earlier one of its kind.
func (s *Step) OpenWindow(kind string, lasts time.Duration, sends int) {
	s.Windows = slices.DeleteFunc(s.Windows, func(w Window) bool { return w.Kind == kind })
	s.Windows = append(s.Windows, Window{Kind: kind, Opened: s.now, Until: s.now.add(lasts), Left: sends})
	s.touch()
}

// CloseWindows forgets the windows that were open at a time: WeChat has refused a send then.
func (s *Step) CloseWindows(at time.Time) {
	n := len(s.Windows)
	s.Windows = slices.DeleteFunc(s.Windows, func(w Window) bool { return w.Opened <= At(at) })
	s.Changed = s.Changed || len(s.Windows) < n
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

// StartSend is what became of the wish to send a part.
type StartSend uint8

// What BeginSend can say.
const (
	SendNow   StartSend = iota + 1 // recorded: send it
	SendLost                       // the turn is not the holder's any more
	SendMoved                      // the cursor is not where the part begins, or another part has an unknown outcome
	SendNot                        // no window is open, or a person serves the follower
)

// BeginSend records that a part is about to be sent, from the cursor to its To.
func (s *Step) BeginSend(l Held, from session.Cursor, p session.Part) StartSend {
	t := s.held(l)
	switch {
	case t == nil:
		return SendLost
	case t.Cursor != from || t.Sending.State != session.NotSending:
		return SendMoved
	case s.Human > s.now || !s.spend():
		return SendNot
	}
	p.State = session.Sending
	t.Sending = p
	return SendNow
}

// SendResult is what became of a send.
type SendResult uint8

// The results. After Refused the follower has not got the part; after Uncertain nobody knows.
const (
	Sent SendResult = iota + 1
	Refused
	Uncertain
)

// EndSend records what became of the part that was being sent; false if the turn is not the holder's any more. A part
// of uncertain fate is never sent again, and no later one: the follower can ask for all from there on.
func (s *Step) EndSend(l Held, r SendResult) bool {
	t := s.held(l)
	if t == nil || t.Sending.State != session.Sending {
		return false
	}
	p := t.Sending
	t.Sending = session.Part{}
	switch r {
	case Sent:
		t.Cursor, t.Delivered = p.To, p.End && t.State.Over()
		t.Sends++
	case Uncertain:
		p.State = session.SendUnknown
		t.Sending = p
	case Refused:
	}
	s.Changed, s.Woken = true, true // who asked for the text meanwhile waits for this
	return true
}

// EndPush says that nothing more of a turn is to be sent, and gives its lease up; false if it is not held any more.
func (s *Step) EndPush(l Held) bool {
	t := s.held(l)
	if t == nil {
		return false
	}
	t.Pushing, s.Lease = false, nil
	s.Changed, s.Woken = true, true
	s.trim()
	return true
}

// Keep has media wait for the question that they belong to, at most so many, the youngest; it returns how many wait.
func (s *Step) Keep(m session.Media, most int) int {
	s.touch()
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
