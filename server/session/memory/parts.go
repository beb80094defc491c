package memory

import (
	"container/list"
	"slices"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Parts divide the followers of a store whose sessions are kept somewhere else too: what is written there is a part.
type Parts struct {
	Count   int
	Of      func(follower string) int // 0 to Count-1, always the same for the same follower
	Changed func(part int)            // something of the part is not what Records gave before; must not call the store
}

// parts are the followers by part.
type parts struct {
	Parts
	members []map[*follower]struct{}
}

// NewParted makes an empty store as New does, of which a copy can be kept: Records gives its parts, Restore takes them.
//
// A turn that Begin has recorded is not handed out by Next until Settle says that the copy has it, so that Withdraw
// can undo what could not be copied. The lease that Begin itself gives is its caller's to wait with.
func NewParted(o session.Options, maxBytes int64, p Parts) *Store {
	s := New(o, maxBytes)
	s.parts = &parts{Parts: p, members: make([]map[*follower]struct{}, p.Count)}
	for i := range s.parts.members {
		s.parts.members[i] = make(map[*follower]struct{})
	}
	return s
}

// join puts a new follower into its part.
func (s *Store) join(f *follower) {
	if s.parts == nil {
		return
	}
	f.part = s.parts.Of(f.openid)
	s.parts.members[f.part][f] = struct{}{}
}

// part takes a deleted follower out of its part.
func (s *Store) part(f *follower) {
	if s.parts == nil {
		return
	}
	delete(s.parts.members[f.part], f)
	s.parts.Changed(f.part)
}

// changed says that the follower is not as it was.
func (s *Store) changed(f *follower) {
	if s.parts != nil {
		s.parts.Changed(f.part)
	}
}

// Settle says that the copy has the turn: from now on it may be claimed. Nothing happens if it is settled or gone.
func (s *Store) Settle(k session.Key) {
	now := s.enter()
	defer s.leave(now)
	if f, t := s.unsettled(k); t != nil {
		t.unsettled = false
		s.arrange(f)
	}
}

// Withdraw undoes the Begin of a turn that is not settled; what is left is that its message was delivered, so that the
// next delivery begins it anew. Whoever awaits it gets it cancelled. Nothing happens if it is settled, over or gone.
func (s *Store) Withdraw(k session.Key) {
	now := s.enter()
	defer s.leave(now)
	f, t := s.unsettled(k)
	if t == nil || t.State.Over() {
		return
	}
	s.lose(t)
	f.allowance.fullAt = f.allowance.fullAt.Add(-t.cost)
	t.wake(gone(k, f.untold(t)))
	s.removeOpen(f, t)
	if m := f.message(k.ID); m != nil {
		m.kind, m.turn = opening, nil
		f.turnless++
		s.trimMessages(f, now)
	}
	s.touch(f, now)
	s.arrange(f)
}

// removeOpen takes an open turn out as if it had never been there.
func (s *Store) removeOpen(f *follower, t *turn) {
	i := slices.Index(f.turns, t)
	f.turns = slices.Delete(f.turns, i, i+1)
	f.open--
	s.open--
	s.turns--
	s.account(f, -t.weight())
	if f.open == 0 {
		s.busy.Remove(f.place)
		f.place = s.idle.PushBack(f)
	}
}

func (s *Store) unsettled(k session.Key) (*follower, *turn) {
	f := s.followers[k.Follower]
	if f == nil {
		return nil, nil
	}
	if t := f.find(k.ID); t != nil && t.unsettled {
		return f, t
	}
	return nil, nil
}

// Revoke takes all turns from their owners: for a process that has learnt that it is not the bot's any more.
func (s *Store) Revoke() {
	now := s.enter()
	defer s.leave(now)
	for e := s.leases.Front(); e != nil; e = s.leases.Front() {
		l := leaseAt(e)
		s.lose(l.turn)
		s.arrange(l.follower)
	}
}

// Shrink forgets of the parts from first to before end until the share (0 to 1) of their weight is gone: sessions
// without open turns, the least lately active first, then what is over of the others, told turns first. It says how
// many sessions and turns it has forgotten.
func (s *Store) Shrink(first, end int, share float64) (sessions, turns int) {
	now := s.enter()
	defer s.leave(now)
	within := func(f *follower) bool { return first <= f.part && f.part < end }
	var weight int64
	for _, members := range s.parts.members[first:end] {
		for f := range members {
			weight += f.bytes
		}
	}
	target := s.bytes - int64(float64(weight)*share)
	var next *list.Element
	for e := s.idle.Front(); e != nil && s.bytes > target; e = next {
		next = e.Next()
		if f := followerAt(e); within(f) {
			s.drop(f, now)
			sessions++
		}
	}
	for _, told := range []bool{true, false} {
		for e := s.busy.Front(); e != nil; e = e.Next() {
			f := followerAt(e)
			for i := 0; within(f) && i < len(f.turns) && s.bytes > target; {
				if t := f.turns[i]; !t.State.Over() || t.Told != told {
					i++
					continue
				}
				s.dropTurn(f, i, now)
				turns++
			}
		}
	}
	return sessions, turns
}
