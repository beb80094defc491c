package redis

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	// lookAgain is how often all turns that are awaited are looked at, in one trip: a missed message costs no more.
	lookAgain = 2 * time.Second
	// lookUnsubscribed is how often while there is no subscription.
	lookUnsubscribed = 200 * time.Millisecond
	// lookAtOnce bounds the turns that are looked at in one trip.
	lookAtOnce = 500
	// abandoned is after how many lease times without a sign of its owner a lease is not minded any more.
	abandoned = 3
)

// waiters is where those meet who await the same turn in this process.
type waiters struct {
	mu sync.Mutex
	on map[turnID]*meeting
}

// meeting of those who await one turn. It is over when woken is closed; then last says how the turn is.
type meeting struct {
	key   session.Key
	n     int // how many wait
	woken chan struct{}
	last  func() (session.Turn, error)
}

func (w *waiters) join(id turnID, k session.Key) *meeting {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.on[id]
	if m == nil {
		if w.on == nil {
			w.on = make(map[turnID]*meeting)
		}
		m = &meeting{key: k, woken: make(chan struct{})}
		w.on[id] = m
	}
	m.n++
	return m
}

func (w *waiters) leave(id turnID, m *meeting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.n--
	if m.n == 0 && w.on[id] == m {
		delete(w.on, id)
	}
}

// wake ends the waiting for a turn. last is called at most once, by the first who wakes, and gives all of them the turn.
func (w *waiters) wake(id turnID, last func() (session.Turn, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.on[id]; m != nil {
		m.last = sync.OnceValues(last)
		delete(w.on, id)
		close(m.woken)
	}
}

// key returns the key of a turn if it is awaited.
func (w *waiters) key(id turnID) (session.Key, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.on[id]; m != nil {
		return m.key, true
	}
	return session.Key{}, false
}

// all returns the turns that are awaited.
func (w *waiters) all() map[turnID]session.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := make(map[turnID]session.Key, len(w.on))
	for id, m := range w.on {
		keys[id] = m.key
	}
	return keys
}

// Await waits for the end of a turn, also while Redis does not answer. It looks once more when ctx ends, which takes
// lookTimeout at most. See session.Store.
func (s *Store) Await(ctx context.Context, k session.Key) (session.Turn, error) {
	id := idOf(k)
	for ctx.Err() == nil {
		t, err := s.await(ctx, id, k)
		if err == nil && t.State.Over() || s.life.Err() != nil {
			return t, err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.look)
	defer cancel()
	return s.turn(ctx, k)
}

// await waits until something has become of the turn or ctx ends. The first look is for what has happened before; it is
// not needed while this process works on the turn: then it hears of the end.
func (s *Store) await(ctx context.Context, id turnID, k session.Key) (session.Turn, error) {
	m := s.waiters.join(id, k)
	defer s.waiters.leave(id, m)
	if !s.leases.holds(id) {
		look, cancel := s.timed(ctx)
		t, err := s.turn(look, k)
		cancel()
		if err == nil && t.State.Over() {
			return t, nil
		}
	}
	select {
	case <-m.woken:
		return m.last()
	case <-ctx.Done():
		return session.Turn{}, nil
	case <-s.life.Done():
		return session.Turn{}, errClosed
	}
}

// fetch returns a function that reads a turn, also when ctx has ended.
func (s *Store) fetch(ctx context.Context, k session.Key) func() (session.Turn, error) {
	return func() (session.Turn, error) {
		ctx, cancel := s.timed(ctx)
		defer cancel()
		return s.turn(ctx, k)
	}
}

// turn reads a turn as it is.
func (s *Store) turn(ctx context.Context, k session.Key) (session.Turn, error) {
	v, err := s.client.HMGet(ctx, s.followerKey(follower(k.Follower)), "U", "t"+k.ID, "q"+k.ID, "p"+k.ID, "a"+k.ID).Result()
	if err != nil {
		return session.Turn{}, explain("reading a turn", err)
	}
	r := list(v)
	code, others := row(r.text(0)).find(k.ID)
	if code == 0 {
		return gone(k, others), nil
	}
	t := session.Turn{
		Key: k, Question: r.text(2), Partial: r.text(3), Answer: r.text(4), Told: code == told, Others: others,
	}
	setNumbers(&t, r.text(1))
	return t, nil
}

// watch looks at what is awaited every now and then, until the store is closed.
func (s *Store) watch() {
	for {
		every := lookAgain
		if !s.listening.Load() {
			every = lookUnsubscribed
		}
		t := time.NewTimer(every)
		select {
		case <-t.C:
		case <-s.subscribed:
			t.Stop()
		case <-s.life.Done():
			t.Stop()
			return
		}
		s.lookAtAwaited()
		since := time.Now().Add(-abandoned * s.leaseTTL)
		s.leases.sweep(since)
		s.doubts.sweep(since)
	}
}

// lookAtAwaited wakes those whose turns are over. An error is met by them as well, when their time is up.
func (s *Store) lookAtAwaited() {
	awaited := s.waiters.all()
	for ids := range slices.Chunk(slices.Collect(maps.Keys(awaited)), lookAtOnce) {
		ctx, cancel := s.timed(s.life)
		states := make([]*redis.StringCmd, len(ids))
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, id := range ids {
				k := awaited[id]
				states[i] = p.HGet(ctx, s.followerKey(follower(k.Follower)), "t"+k.ID)
			}
			return nil
		})
		cancel()
		if err != nil && !isMissing(err) {
			return
		}
		for i, id := range ids {
			var t session.Turn
			written, err := states[i].Result()
			if err == nil {
				setNumbers(&t, written)
			}
			if isMissing(err) || err == nil && t.State.Over() {
				s.waiters.wake(id, s.fetch(s.life, awaited[id]))
			}
		}
	}
}

// isMissing tells whether Redis said that something is not there.
func isMissing(err error) bool { return errors.Is(err, redis.Nil) }
