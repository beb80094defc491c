package configmap

import (
	"context"
	"errors"
	"fmt"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func (s *Store) shardOf(follower string) *shard { return s.shards[partOf(follower)/blockCount] }

// Begin records a question and returns once the API server has it. See session.Store.
func (s *Store) Begin(ctx context.Context, q session.Question, owner string, l session.Limits) (session.Begun, error) {
	ctx, cancel := context.WithTimeout(ctx, patience) // for loading and writing together: the reply has a deadline
	defer cancel()
	if err := s.enter(ctx, false); err != nil {
		return session.Begun{}, fmt.Errorf("recording a question: %w", err)
	}
	sh := s.shardOf(q.Key.Follower)
	begun, u, err := sh.begin(ctx, q, owner, l)
	if u == nil {
		return begun, err
	}
	err = sh.await(ctx, u.write)
	sh.settle(q.Key, u, err == nil)
	if err != nil {
		if begun.Lease != nil {
			// Another delivery may still see the turn durable: it is then for whoever asks for work.
			_ = s.memory.Release(ctx, begun.Lease) // it may be lost already
		}
		return session.Begun{}, fmt.Errorf("recording a question: %w", err)
	}
	return begun, nil
}

// begin records a question in memory. It returns what has to be waited for, or nil if nothing has.
func (sh *shard) begin(ctx context.Context, q session.Question, owner string, l session.Limits) (session.Begun, *unsettled, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	begun, err := sh.store.memory.Begin(ctx, q, owner, l)
	if err != nil {
		return begun, nil, err
	}
	u := sh.unsettled[q.Key]
	switch {
	case begun.Verdict == session.Started:
		u = &unsettled{write: sh.ask()}
		sh.unsettled[q.Key] = u
	case begun.Verdict != session.Joined || u == nil:
		return begun, nil, nil
	}
	u.waiting++
	return begun, u, nil
}

// settle ends one call's waiting for a turn. One that is durable can be worked on; one that was not in time, and that
// nobody waits for any more, has never been accepted.
func (sh *shard) settle(k session.Key, u *unsettled, durable bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	u.waiting--
	if !durable && u.waiting > 0 {
		return
	}
	if sh.unsettled[k] == u {
		delete(sh.unsettled, k)
	}
	if durable {
		sh.store.memory.Settle(k)
	} else {
		sh.store.memory.Withdraw(k)
	}
}

// Retract has nothing to do: a Begin that fails takes back what it has done. See session.Store.
func (s *Store) Retract(context.Context, session.Key) error { return nil }

// Next waits for a turn to work on. See session.Store.
func (s *Store) Next(ctx context.Context, owner string, l session.Limits) (*session.Lease, error) {
	if err := s.enter(ctx, true); err != nil {
		return nil, err
	}
	ctx, stop := s.while(ctx)
	defer stop()
	lease, err := s.memory.Next(ctx, owner, l)
	if over := s.over(); over != nil {
		return nil, over
	}
	return lease, err
}

// while returns a context that ends with the store's life too.
func (s *Store) while(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// Progress reports on a turn. What has streamed in is written when something else is. See session.Store.
func (s *Store) Progress(ctx context.Context, l *session.Lease, p session.Progress) error {
	if err := s.enter(ctx, false); err != nil {
		return lost(err)
	}
	return s.memory.Progress(ctx, l, p)
}

// Finish ends a turn; it is written behind. See session.Store.
func (s *Store) Finish(ctx context.Context, l *session.Lease, o session.Outcome) error {
	if err := s.enter(ctx, false); err != nil {
		return lost(err)
	}
	return s.memory.Finish(ctx, l, o)
}

// Release gives a turn back. See session.Store.
func (s *Store) Release(ctx context.Context, l *session.Lease) error {
	if err := s.enter(ctx, false); err != nil {
		return lost(err)
	}
	return s.memory.Release(ctx, l)
}

// lost tells an owner too that a superseded process holds no lease any more.
func lost(err error) error {
	if errors.Is(err, ErrSuperseded) {
		return fmt.Errorf("%w: %w", session.ErrLeaseLost, err)
	}
	return err
}

// Await waits for the end of a turn. See session.Store.
func (s *Store) Await(ctx context.Context, k session.Key) (session.Turn, error) {
	if err := s.enter(ctx, false); err != nil {
		return session.Turn{}, err
	}
	ctx, stop := s.while(ctx)
	defer stop()
	t, err := s.memory.Await(ctx, k)
	if over := s.over(); over != nil {
		return session.Turn{}, over
	}
	return t, err
}

// Open records a delivery; it is written behind. See session.Store.
func (s *Store) Open(ctx context.Context, k session.Key) (session.Opened, error) {
	if err := s.enter(ctx, false); err != nil {
		return session.Opened{}, err
	}
	return s.memory.Open(ctx, k)
}

// Look returns what is remembered of the follower. See session.Store.
func (s *Store) Look(ctx context.Context, follower string) (session.Session, error) {
	if err := s.enter(ctx, false); err != nil {
		return session.Session{}, err
	}
	return s.memory.Look(ctx, follower)
}

// Delivered records what a reply has shown; it is written behind. See session.Store.
func (s *Store) Delivered(ctx context.Context, follower string, r session.Receipt) error {
	if err := s.enter(ctx, false); err != nil {
		return err
	}
	return s.memory.Delivered(ctx, follower, r)
}

// Cancel cancels the turn that is next to end. See session.Store.
func (s *Store) Cancel(ctx context.Context, k session.Key) (cancelled session.Turn, ok bool, err error) {
	if err := s.enter(ctx, false); err != nil {
		return session.Turn{}, false, err
	}
	if cancelled, ok, err = s.memory.Cancel(ctx, k); err != nil {
		return session.Turn{}, false, err
	}
	return cancelled, ok, s.persist(ctx, k.Follower)
}

// Clear forgets turns and conversation. See session.Store.
func (s *Store) Clear(ctx context.Context, k session.Key) (conversationID string, err error) {
	if err := s.enter(ctx, false); err != nil {
		return "", err
	}
	if conversationID, err = s.memory.Clear(ctx, k); err != nil {
		return "", err
	}
	return conversationID, s.persist(ctx, k.Follower)
}

// Forget deletes everything of a follower. See session.Store.
func (s *Store) Forget(ctx context.Context, follower string) (conversationID string, err error) {
	if err := s.enter(ctx, false); err != nil {
		return "", err
	}
	if conversationID, err = s.memory.Forget(ctx, follower); err != nil {
		return "", err
	}
	return conversationID, s.persist(ctx, follower)
}

// persist waits until what was done to a follower is durable. That it cannot be now is no error: it is done, and will
// be written.
func (s *Store) persist(ctx context.Context, follower string) error {
	sh := s.shardOf(follower)
	sh.mu.Lock()
	write := sh.ask()
	sh.mu.Unlock()
	_ = sh.await(ctx, write) // the writer logs it and goes on trying
	return s.over()
}

// TakeHold takes a hold out of the budget, which is this process' own. See session.Store.
func (s *Store) TakeHold(ctx context.Context, perMinute int) (bool, error) {
	if err := s.enter(ctx, false); err != nil {
		return false, err
	}
	return s.memory.TakeHold(ctx, perMinute)
}

// Pending counts what is left behind. See session.Store.
func (s *Store) Pending(ctx context.Context) (session.Pending, error) {
	if err := s.enter(ctx, false); err != nil {
		return session.Pending{}, err
	}
	return s.memory.Pending(ctx)
}
