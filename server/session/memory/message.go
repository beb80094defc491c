package memory

import (
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	// keptMessages of a follower are remembered however old they are, beside the messages whose turns are kept.
	keptMessages = 32
	// maxMessages of a follower are remembered however young they are, beside the messages whose turns are kept.
	maxMessages = 256
)

// kind is what a message asked for when it was first delivered.
type kind uint8

const (
	opening  kind = iota // nothing but the session
	question             // a turn
	stop                 // Cancel
	clearing             // Clear
)

// message is the record of one message of a follower.
type message struct {
	id         string
	kind       kind
	first      time.Time // when it was first delivered
	deliveries int
	turn       *turn            // of a question: its turn; nil when that is gone
	stopped    string           // of a stop: the ID of the turn that it cancelled, "" if there was none
	receipt    *session.Receipt // what it was last replied with; nil if nothing
}

// message finds the record of a message, the youngest first, as those are asked for most; nil if there is none.
// The pointer is good until the next record is added or removed.
func (f *follower) message(id string) *message {
	for i := len(f.messages) - 1; i >= 0; i-- {
		if f.messages[i].id == id {
			return &f.messages[i]
		}
	}
	return nil
}

// addMessage records a message at its first delivery.
func (s *Store) addMessage(f *follower, now time.Time, m message) {
	m.first, m.deliveries = now, 1
	f.messages = append(f.messages, m)
	if m.turn == nil {
		f.turnless++
	}
	s.account(f, m.weight())
	s.trimMessages(f, now)
}

// trimMessages lets records go: the oldest first, never one whose turn is kept.
func (s *Store) trimMessages(f *follower, now time.Time) {
	for f.turnless > keptMessages {
		oldest := slices.IndexFunc(f.messages, func(m message) bool { return m.turn == nil })
		m := f.messages[oldest]
		if f.turnless <= maxMessages && now.Sub(m.first) < session.Dedupe {
			return
		}
		f.messages = slices.Delete(f.messages, oldest, oldest+1)
		f.turnless--
		s.account(f, -m.weight())
	}
}

// setReceipt records what the message was replied with.
func (s *Store) setReceipt(f *follower, m *message, r session.Receipt) {
	before := m.weight()
	m.receipt = &r
	s.account(f, m.weight()-before)
}

// dropReceipts forgets what has been shown of a turn that is gone.
func (s *Store) dropReceipts(f *follower, turnID string) {
	for i := range f.messages {
		m := &f.messages[i]
		if m.receipt != nil && m.receipt.Turn == turnID {
			before := m.weight()
			m.receipt = nil
			s.account(f, m.weight()-before)
		}
	}
}

// shown returns a copy of what the message was last replied with, nil if nothing.
func (m *message) shown() *session.Receipt {
	if m.receipt == nil {
		return nil
	}
	return new(*m.receipt)
}

// stoppedBy returns the turn that the message has cancelled.
func (f *follower) stoppedBy(m *message) (session.Turn, bool) {
	if m.stopped == "" {
		return session.Turn{}, false
	}
	if t := f.find(m.stopped); t != nil {
		return f.copyOf(t), true
	}
	return gone(session.Key{Follower: f.openid, ID: m.stopped}, f.untold(nil)), true
}
