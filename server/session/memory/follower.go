package memory

import (
	"container/list"
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Rough sizes of what is kept beside the texts, for the account of bytes: the structs, their share of slices, maps
// and lists, and what the allocator rounds up.
const (
	followerWeight = 384
	turnWeight     = 384
	messageWeight  = 160
	receiptWeight  = 112
)

// follower is everything that is kept of one follower.
type follower struct {
	openid       string
	conversation string
	active       time.Time // the last message, or the end of the last turn if that was later
	allowance    allowance // for questions

	turns    []*turn // oldest first
	open     int     // turns that are not over
	messages []message
	turnless int // messages without a turn
	bytes    int64

	place *list.Element // in Store.idle, or in Store.busy while turns are open
	ready int           // index in Store.ready, -1 when not in it
	order uint64        // while in Store.ready: of the turn that is to be worked on
	part  int           // in Store.parts, if there are any
}

func (t *turn) weight() int64 {
	return turnWeight + int64(len(t.Key.ID)+len(t.Question)+len(t.Partial)+len(t.Answer)+len(t.Failure)+len(t.note))
}

func (m *message) weight() int64 {
	w := messageWeight + int64(len(m.id)+len(m.stopped))
	if m.receipt != nil {
		w += receiptWeight + int64(len(m.receipt.Message)+len(m.receipt.Turn))
	}
	return w
}

// followerAt returns the follower at a place in Store.idle or Store.busy.
func followerAt(e *list.Element) *follower {
	f, _ := e.Value.(*follower) // nothing else is in there
	return f
}

// account books what the follower has grown or shrunk by.
func (s *Store) account(f *follower, grown int64) {
	f.bytes += grown
	s.bytes += grown
}

// admit returns the follower and notes that it is active; it is created if there is nothing of it.
func (s *Store) admit(openid string, now time.Time) *follower {
	f := s.followers[openid]
	if f == nil {
		f = &follower{openid: openid, ready: -1}
		s.followers[openid] = f
		s.join(f)
		f.place = s.idle.PushBack(f)
		s.account(f, followerWeight+int64(len(openid)))
	}
	s.touch(f, now)
	return f
}

// touch notes that the follower is active. Followers with open turns are in no order: they are not dropped.
func (s *Store) touch(f *follower, now time.Time) {
	f.active = now
	s.changed(f)
	if f.open == 0 {
		s.idle.MoveToBack(f.place)
	}
}

// setConversation records Dify's conversation; "" is none.
func (s *Store) setConversation(f *follower, id string) {
	if id == f.conversation {
		return
	}
	s.account(f, int64(len(id)-len(f.conversation)))
	f.conversation = id
	s.changed(f)
}

// setNote records what the turn's owner wants the next one to know.
func (s *Store) setNote(f *follower, t *turn, note string) {
	s.account(f, int64(len(note)-len(t.note)))
	t.note = note
}

// addTurn records an accepted turn.
func (s *Store) addTurn(f *follower, t *turn) {
	f.turns = append(f.turns, t)
	if f.open == 0 {
		s.idle.Remove(f.place)
		f.place = s.busy.PushBack(f)
	}
	f.open++
	s.open++
	s.turns++
	s.account(f, t.weight())
}

// end takes a turn that has become over out of work: nobody holds it, nobody waits for it any more. It is what the
// follower has last been active with, so that the answer is kept as long as one to a new message.
func (s *Store) end(f *follower, t *turn, now time.Time) {
	s.setNote(f, t, "")
	t.FinishedAt = now
	t.Told = t.State == session.Cancelled && t.Partial == "" // there is nothing to tell
	f.open--
	s.open--
	s.trimHistory(f, now)
	if t.waiters != nil {
		t.wake(f.copyOf(t))
	}
	if f.open == 0 {
		s.busy.Remove(f.place)
		f.place = s.idle.PushBack(f)
	}
	s.touch(f, now)
}

// trimHistory lets the turns go that are over and more than are to be kept: the oldest that the follower has seen to
// its end, else the oldest.
func (s *Store) trimHistory(f *follower, now time.Time) {
	for len(f.turns)-f.open > s.history {
		told := slices.IndexFunc(f.turns, func(t *turn) bool { return t.Told })
		if told < 0 {
			told = slices.IndexFunc(f.turns, func(t *turn) bool { return t.State.Over() })
		}
		s.dropTurn(f, told, now)
	}
}

// dropTurn forgets a turn that is over. Its message stays known for a while.
func (s *Store) dropTurn(f *follower, i int, now time.Time) {
	t := f.turns[i]
	f.turns = slices.Delete(f.turns, i, i+1)
	s.turns--
	s.changed(f)
	s.account(f, -t.weight())
	s.dropReceipts(f, t.Key.ID)
	if m := f.message(t.Key.ID); m != nil && m.turn == t {
		m.turn = nil
		f.turnless++
		s.trimMessages(f, now)
	}
}

// clear ends the follower's open turns and forgets all its turns and the conversation, which it returns.
func (s *Store) clear(f *follower, now time.Time) (conversation string) {
	for t := f.head(); t != nil; t = f.head() {
		s.lose(t)
		t.State = session.Cancelled
		t.wake(gone(t.Key, 0))
		s.end(f, t, now)
	}
	for len(f.turns) > 0 {
		s.dropTurn(f, len(f.turns)-1, now)
	}
	f.turns = nil // the array has room for what will not come back
	s.arrange(f)
	conversation = f.conversation
	s.setConversation(f, "")
	return conversation
}

// drop forgets the follower, but for hashes of the messages that may still be delivered again.
func (s *Store) drop(f *follower, now time.Time) (conversation string) {
	conversation = s.clear(f, now)
	for i := range f.messages {
		if m := &f.messages[i]; now.Sub(m.first) < session.Dedupe {
			s.grave.bury(now, session.Key{Follower: f.openid, ID: m.id}, m.deliveries)
		}
	}
	s.idle.Remove(f.place)
	delete(s.followers, f.openid)
	s.part(f)
	s.bytes -= f.bytes
	return conversation
}

// snapshot copies what is remembered of the follower.
func (f *follower) snapshot() session.Session {
	snap := session.Session{ConversationID: f.conversation, LastActive: f.active}
	if len(f.turns) > 0 {
		snap.Turns = make([]session.Turn, len(f.turns))
		for i, t := range f.turns {
			snap.Turns[i] = f.copyOf(t)
		}
	}
	return snap
}
