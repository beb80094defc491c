package memory

import (
	"container/heap"
	"context"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// ready are the followers whose next turn is open and held by nobody, as a heap: the turn accepted first on top.
// Followers, not turns: whoever has a turn in work is not in it, so it needs no searching.
type ready []*follower

func (r *ready) Len() int           { return len(*r) }
func (r *ready) Less(i, j int) bool { return (*r)[i].order < (*r)[j].order }
func (r *ready) Swap(i, j int) {
	a := *r
	a[i], a[j] = a[j], a[i]
	a[i].ready, a[j].ready = i, j
}

func (r *ready) Push(x any) {
	f, _ := x.(*follower) // nothing else is pushed
	f.ready = len(*r)
	*r = append(*r, f)
}

func (r *ready) Pop() any {
	last := len(*r) - 1
	f := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	f.ready = -1
	return f
}

// arrange puts the follower into Store.ready or out of it, after its turns or their leases have changed.
func (s *Store) arrange(f *follower) {
	t := f.head()
	if t == nil || t.lease != nil || t.unsettled {
		if f.ready >= 0 {
			heap.Remove(&s.ready, f.ready)
		}
		return
	}
	f.order = t.order
	if f.ready >= 0 {
		heap.Fix(&s.ready, f.ready)
		return
	}
	s.freed = s.freed || len(s.ready) == 0
	heap.Push(&s.ready, f)
}

// claim gives the follower's next turn to the owner.
func (s *Store) claim(f *follower, owner string, now time.Time) *session.Lease {
	t := f.head()
	t.State = session.Answering
	t.Attempts++
	s.changed(f)
	s.fence++
	t.lease = &lease{turn: t, follower: f, fence: s.fence, expires: now.Add(s.leaseTTL), lost: make(chan struct{})}
	t.lease.at = s.leases.PushBack(t.lease)
	s.arrange(f)
	return &session.Lease{
		Turn:           f.copyOf(t),
		ConversationID: f.conversation,
		Note:           t.note,
		Owner:          owner,
		Fence:          t.lease.fence,
		Lost:           t.lease.lost,
	}
}

// held returns the turn that the lease is for and its follower; nil if it is no longer this lease's.
func (s *Store) held(l *session.Lease) (*follower, *turn) {
	f := s.followers[l.Turn.Key.Follower]
	if f == nil {
		return nil, nil
	}
	t := f.find(l.Turn.Key.ID)
	if t == nil || t.lease == nil || t.lease.fence != l.Fence {
		return nil, nil
	}
	return f, t
}

// unhand takes the turn out of its owner's hands, by the owner's own will.
func (s *Store) unhand(t *turn) {
	s.leases.Remove(t.lease.at)
	t.lease = nil
	s.freed = true
}

// lose takes the turn from its owner, if it has one.
func (s *Store) lose(t *turn) {
	if t.lease == nil {
		return
	}
	close(t.lease.lost)
	s.unhand(t)
}

// Next waits for a turn to work on. See session.Store.
func (s *Store) Next(ctx context.Context, owner string, l session.Limits) (*session.Lease, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lease, woken, in := s.tryNext(owner, l)
		if lease != nil {
			return lease, nil
		}
		if err := s.sleep(ctx, woken, in); err != nil {
			return nil, err
		}
	}
}

// tryNext claims a turn, or says what to wait for: woken is closed when there may be one; after in (if positive) time
// itself has something to do.
func (s *Store) tryNext(owner string, l session.Limits) (claimed *session.Lease, woken <-chan struct{}, in time.Duration) {
	now := s.enter()
	defer s.leave(now)
	if len(s.ready) > 0 && s.leases.Len() < l.Concurrency {
		return s.claim(s.ready[0], owner, now), nil, 0
	}
	until := s.nextExpiry()
	switch {
	case s.woken == nil:
		s.woken, s.sleepUntil = make(chan struct{}), until
	case !before(until, s.sleepUntil):
		s.sleepUntil = until
	}
	if !until.IsZero() {
		in = until.Sub(now)
	}
	return nil, s.woken, in
}

func (s *Store) sleep(ctx context.Context, woken <-chan struct{}, in time.Duration) error {
	var expiry <-chan time.Time
	if in > 0 {
		timer := time.NewTimer(in)
		defer timer.Stop()
		expiry = timer.C
	}
	select {
	case <-woken:
	case <-expiry:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// wake wakes those who wait in Next if there may be something for them: a turn has become claimable, a place has
// become free, or something will expire before they would look again.
func (s *Store) wake() {
	claimable := s.freed && len(s.ready) > 0
	s.freed = false
	if s.woken != nil && (claimable || before(s.nextExpiry(), s.sleepUntil)) {
		close(s.woken)
		s.woken = nil
	}
}

// expire takes turns from owners whose leases have run out, and forgets followers that have been silent for too long.
func (s *Store) expire(now time.Time) {
	for e := s.leases.Front(); e != nil; e = s.leases.Front() {
		l := leaseAt(e)
		if l.expires.After(now) {
			break
		}
		s.lose(l.turn)
		s.arrange(l.follower)
	}
	for e := s.idle.Front(); e != nil; e = s.idle.Front() {
		f := followerAt(e)
		if f.active.Add(s.idleTimeout).After(now) {
			break
		}
		s.drop(f, now)
	}
}

// nextExpiry is when expire will have something to do; zero is never.
func (s *Store) nextExpiry() time.Time {
	var next time.Time
	if e := s.leases.Front(); e != nil {
		next = leaseAt(e).expires
	}
	if e := s.idle.Front(); e != nil {
		if idle := followerAt(e).active.Add(s.idleTimeout); before(idle, next) {
			next = idle
		}
	}
	return next
}

// before tells whether a is earlier than b, where zero is never.
func before(a, b time.Time) bool {
	return !a.IsZero() && (b.IsZero() || a.Before(b))
}
