// Package memory keeps the sessions of one bot in this process: the store of a bot with one replica. Nothing of it
// outlives the process.
//
// It is one mutex around plain structures, each of which gives in constant or logarithmic time what is asked of it
// most: who is ready, whose lease ends first, who was active least lately. It has no goroutine of its own: what time
// does is done by the next call, and by the timer of whoever waits in Next, which a bot always does. It knows nothing
// of what the texts mean.
package memory

import (
	"container/list"
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Store implements session.Store.
type Store struct {
	idleTimeout time.Duration
	history     int
	leaseTTL    time.Duration
	maxBytes    int64

	mu        sync.Mutex
	followers map[string]*follower
	idle      list.List // of *follower without open turns, the least lately active in front
	busy      list.List // of *follower with open turns
	ready     ready
	leases    list.List // of *lease, the one that ends first in front
	holds     allowance
	grave     grave
	parts     *parts // nil unless the sessions are kept somewhere else too

	bytes  int64  // what the followers weigh together
	turns  int    // all turns
	open   int    // turns that are not over
	orders uint64 // of turns, given out so far
	// fence is the last one given out. It counts over all turns, so that a lease of a forgotten message never fits
	// the turn of the same message begun anew.
	fence int64

	woken      chan struct{} // closed to wake those who wait in Next; nil while none does
	sleepUntil time.Time     // none of them sleeps longer; zero is for ever
	freed      bool          // since the last wake: a place has become free, or the first follower ready
}

// New makes an empty store. It keeps to about maxBytes: beyond, it forgets the followers that were active least lately
// and have no open turn, then what is over of the others; what then remains are open turns, and Begin answers Busy.
// Hashes of deleted messages come on top, at most 3 MiB. All options and maxBytes must be positive.
//
// Texts are kept as they are handed in, not copied: they must not be parts of much larger strings.
func New(o session.Options, maxBytes int64) *Store {
	return &Store{
		idleTimeout: o.IdleTimeout,
		history:     o.History,
		leaseTTL:    o.LeaseTTL,
		maxBytes:    maxBytes,
		followers:   make(map[string]*follower),
		grave:       grave{seed: maphash.MakeSeed()},
	}
}

// enter begins a call: the store is the caller's, and as it should be at the returned time.
func (s *Store) enter() time.Time {
	s.mu.Lock()
	now := time.Now() // behind the lock, so that it never runs backwards from call to call
	s.expire(now)
	return now
}

// leave ends a call.
func (s *Store) leave(now time.Time) {
	s.fit(now)
	s.wake()
	s.mu.Unlock()
}

// fit forgets until the store keeps to its bytes.
func (s *Store) fit(now time.Time) {
	for s.bytes > s.maxBytes && s.idle.Len() > 0 {
		s.drop(followerAt(s.idle.Front()), now)
	}
	s.fitTurns(now, func(t *turn) bool { return t.State.Over() && t.Told })
	s.fitTurns(now, func(t *turn) bool { return t.State.Over() })
}

func (s *Store) fitTurns(now time.Time, dispensable func(*turn) bool) {
	if s.bytes <= s.maxBytes || s.turns == s.open {
		return
	}
	for e := s.busy.Front(); e != nil; e = e.Next() {
		f := followerAt(e)
		for i := 0; i < len(f.turns); {
			if s.bytes <= s.maxBytes {
				return
			}
			if dispensable(f.turns[i]) {
				s.dropTurn(f, i, now)
			} else {
				i++
			}
		}
	}
}

// Begin records a question. See session.Store.
func (s *Store) Begin(_ context.Context, q session.Question, owner string, l session.Limits) (session.Begun, error) {
	now := s.enter()
	defer s.leave(now)
	if n := s.grave.visit(now, q.Key); n > 0 {
		return session.Begun{Verdict: session.Gone, Delivery: n}, nil
	}
	f := s.followers[q.Key.Follower]
	if f != nil {
		if m := f.message(q.Key.ID); m != nil && (m.turn != nil || m.kind != opening) {
			return s.again(f, m, now), nil
		}
	}
	if f != nil && l.Questions > 0 {
		f.allowance = f.allowance.within(now, l.Window)
	}
	verdict, allowed, claims := s.judge(f, now, owner, l)
	if verdict != session.Started {
		return session.Begun{Verdict: verdict, Delivery: 1}, nil
	}

	f = s.admit(q.Key.Follower, now)
	f.allowance = allowed
	begun := session.Begun{Verdict: session.Started}
	t := s.accept(f, q, now)
	if t.unsettled && l.Questions > 0 {
		t.cost = l.Window / time.Duration(l.Questions)
	}
	if claims {
		begun.Lease = s.claim(f, owner, now)
	} else {
		s.arrange(f)
	}
	begun.Turn, begun.Delivery = f.copyOf(t), f.message(q.Key.ID).deliveries
	return begun, nil
}

// Retract has nothing to do: Begin does not fail. See session.Store.
func (s *Store) Retract(context.Context, session.Key) error { return nil }

// again counts another delivery of a question.
func (s *Store) again(f *follower, m *message, now time.Time) session.Begun {
	s.touch(f, now)
	m.deliveries++
	if m.turn == nil {
		return session.Begun{Verdict: session.Gone, Delivery: m.deliveries}
	}
	return session.Begun{
		Verdict:  session.Joined,
		Turn:     f.copyOf(m.turn),
		Delivery: m.deliveries,
		Receipt:  m.shown(),
	}
}

// judge says what would become of a new question of the follower, who may be nil, and changes nothing: Started, with
// the allowance that is left then and whether it can be worked on at once, or why it is refused.
func (s *Store) judge(f *follower, now time.Time, owner string, l session.Limits) (v session.Verdict, left allowance, claims bool) {
	open := 0
	if f != nil {
		left, open = f.allowance, f.open
	}
	if l.Questions > 0 {
		taken, ok := left.after(now, l.Questions, l.Window)
		if !ok {
			return session.RateLimited, left, false
		}
		left = taken
	}
	if open >= l.Open {
		return session.Impatient, left, false
	}
	claims = owner != "" && open == 0 && len(s.ready) == 0 && s.leases.Len() < l.Concurrency
	if s.bytes > s.maxBytes || !claims && s.open-s.leases.Len() >= l.Queue {
		return session.Busy, left, false
	}
	return session.Started, left, claims
}

// accept records the question as the follower's last turn.
func (s *Store) accept(f *follower, q session.Question, now time.Time) *turn {
	s.orders++
	t := &turn{
		Turn:      session.Turn{Key: q.Key, Question: q.Text, State: session.Accepted, AcceptedAt: now},
		order:     s.orders,
		unsettled: s.parts != nil,
	}
	s.addTurn(f, t)
	if m := f.message(q.Key.ID); m != nil { // a delivery before took it for something else
		m.kind, m.turn = question, t
		m.deliveries++
		f.turnless--
	} else {
		s.addMessage(f, now, message{id: q.Key.ID, kind: question, turn: t})
	}
	return t
}

// Progress reports on a turn. See session.Store.
func (s *Store) Progress(_ context.Context, l *session.Lease, p session.Progress) error {
	now := s.enter()
	defer s.leave(now)
	f, t := s.held(l)
	if t == nil {
		return session.ErrLeaseLost
	}
	s.account(f, int64(len(p.Partial)-len(t.Partial)))
	t.Partial = p.Partial
	if p.Note != "" {
		s.setNote(f, t, p.Note)
	}
	if p.ConversationID != "" {
		s.setConversation(f, p.ConversationID)
	}
	t.lease.expires = now.Add(s.leaseTTL)
	s.leases.MoveToBack(t.lease.at)
	return nil
}

// Finish ends a turn. Unless it is cancelled its Partial goes: Answer takes its place. See session.Store.
func (s *Store) Finish(_ context.Context, l *session.Lease, o session.Outcome) error {
	if !o.State.Over() {
		return errors.New("finishing a turn: its outcome is not an end")
	}
	now := s.enter()
	defer s.leave(now)
	f, t := s.held(l)
	if t == nil {
		return session.ErrLeaseLost
	}
	s.unhand(t)
	before := t.weight()
	t.State, t.Answer, t.Failure = o.State, o.Answer, o.Failure
	if t.State != session.Cancelled {
		t.Partial = ""
	}
	s.account(f, t.weight()-before)
	s.setConversation(f, o.ConversationID)
	s.end(f, t, now)
	s.arrange(f)
	return nil
}

// Release gives a turn back. See session.Store.
func (s *Store) Release(_ context.Context, l *session.Lease) error {
	now := s.enter()
	defer s.leave(now)
	f, t := s.held(l)
	if t == nil {
		return session.ErrLeaseLost
	}
	s.unhand(t)
	s.arrange(f)
	return nil
}

// Await waits for the end of a turn. See session.Store.
func (s *Store) Await(ctx context.Context, k session.Key) (session.Turn, error) {
	t, w := s.look(k, ctx.Err() == nil)
	if w == nil {
		return t, nil
	}
	select {
	case <-w.done:
		return w.last, nil
	case <-ctx.Done():
	}
	t, _ = s.look(k, false)
	select {
	case <-w.done: // ended just now, and may be forgotten already
		return w.last, nil
	default:
		return t, nil
	}
}

// look returns the turn as it is and, if it is open and to be waited for, where its end will be told.
func (s *Store) look(k session.Key, wait bool) (session.Turn, *waiters) {
	now := s.enter()
	defer s.leave(now)
	f := s.followers[k.Follower]
	if f == nil {
		return gone(k, 0), nil
	}
	t := f.find(k.ID)
	switch {
	case t == nil:
		return gone(k, f.untold(nil)), nil
	case !wait || t.State.Over():
		return f.copyOf(t), nil
	case t.waiters == nil:
		t.waiters = &waiters{done: make(chan struct{})}
	}
	return session.Turn{}, t.waiters
}

// Open records a delivery. See session.Store.
func (s *Store) Open(_ context.Context, k session.Key) (session.Opened, error) {
	now := s.enter()
	defer s.leave(now)
	if n := s.grave.visit(now, k); n > 0 {
		o := session.Opened{Delivery: n}
		if f := s.followers[k.Follower]; f != nil {
			o.Session = f.snapshot()
		}
		return o, nil
	}
	f := s.admit(k.Follower, now)
	m, known := s.deliver(f, now, message{id: k.ID})
	o := session.Opened{Session: f.snapshot(), Delivery: m.deliveries}
	if known {
		o.Receipt = m.shown()
	}
	return o, nil
}

// Look returns what is remembered of the follower. See session.Store.
func (s *Store) Look(_ context.Context, openid string) (session.Session, error) {
	now := s.enter()
	defer s.leave(now)
	if f := s.followers[openid]; f != nil {
		return f.snapshot(), nil
	}
	return session.Session{}, nil
}

// deliver counts a delivery of a message that is recorded as given if it is new.
func (s *Store) deliver(f *follower, now time.Time, first message) (m *message, known bool) {
	if m := f.message(first.id); m != nil {
		m.deliveries++
		return m, true
	}
	s.addMessage(f, now, first)
	return f.message(first.id), false
}

// Delivered records what a reply has shown. See session.Store.
func (s *Store) Delivered(_ context.Context, openid string, r session.Receipt) error {
	now := s.enter()
	defer s.leave(now)
	f := s.followers[openid]
	if f == nil {
		return nil
	}
	t := f.find(r.Turn)
	if t == nil {
		return nil
	}
	if r.From <= t.Seen {
		t.Seen, t.SeenSum, t.Told = r.To, r.Sum, r.Told && t.State.Over()
	}
	s.changed(f)
	if m := f.message(r.Message); m != nil {
		s.setReceipt(f, m, r)
	}
	return nil
}

// Cancel cancels the turn that is next to end. Its Partial stays: it is what came before. See session.Store.
func (s *Store) Cancel(_ context.Context, k session.Key) (cancelled session.Turn, ok bool, err error) {
	now := s.enter()
	defer s.leave(now)
	if s.grave.visit(now, k) > 0 {
		return session.Turn{}, false, nil
	}
	f := s.admit(k.Follower, now)
	first := message{id: k.ID, kind: stop}
	t := f.head()
	if t != nil {
		first.stopped = t.Key.ID
	}
	if m, known := s.deliver(f, now, first); known {
		cancelled, ok = f.stoppedBy(m)
		return cancelled, ok, nil
	}
	if t == nil {
		return session.Turn{}, false, nil
	}
	s.lose(t)
	t.State = session.Cancelled
	s.end(f, t, now)
	s.arrange(f)
	return f.copyOf(t), true, nil
}

// Clear forgets turns and conversation. A second delivery returns no conversation. See session.Store.
func (s *Store) Clear(_ context.Context, k session.Key) (conversationID string, err error) {
	now := s.enter()
	defer s.leave(now)
	if s.grave.visit(now, k) > 0 {
		return "", nil
	}
	f := s.admit(k.Follower, now)
	if _, known := s.deliver(f, now, message{id: k.ID, kind: clearing}); known {
		return "", nil
	}
	return s.clear(f, now), nil
}

// Forget deletes everything of a follower. See session.Store.
func (s *Store) Forget(_ context.Context, openid string) (conversationID string, err error) {
	now := s.enter()
	defer s.leave(now)
	f := s.followers[openid]
	if f == nil {
		return "", nil
	}
	return s.drop(f, now), nil
}

// TakeHold takes a hold out of the budget. See session.Store.
func (s *Store) TakeHold(_ context.Context, perMinute int) (bool, error) {
	if perMinute <= 0 {
		return false, nil
	}
	now := s.enter()
	defer s.leave(now)
	left, ok := s.holds.after(now, perMinute, time.Minute)
	if ok {
		s.holds = left
	}
	return ok, nil
}

// Pending counts what is left behind. See session.Store.
func (s *Store) Pending(_ context.Context) (session.Pending, error) {
	now := s.enter()
	defer s.leave(now)
	p := session.Pending{Open: s.open}
	for e := s.busy.Front(); e != nil; e = e.Next() {
		p.Untold += followerAt(e).lateUntold(now)
	}
	// The end of a turn is activity: who was not active lately has none that ended lately.
	for e := s.idle.Back(); e != nil; e = e.Prev() {
		f := followerAt(e)
		if now.Sub(f.active) > session.UntoldFor {
			break
		}
		p.Untold += f.lateUntold(now)
	}
	return p, nil
}

// Durable is false: the sessions are gone with the process.
func (s *Store) Durable() bool { return false }

// Ping always finds the store.
func (s *Store) Ping(context.Context) error { return nil }

var _ session.Store = (*Store)(nil)
