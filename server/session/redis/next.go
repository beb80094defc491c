package redis

import (
	"context"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// lookForWork is how often whoever waits for work looks for it at least, if nobody has said that there is some. A
// subscription that is there and yet silent is a fault of Redis.
const lookForWork = 5 * time.Second

// Next waits for a turn to work on. See session.Store.
//
// Of all who wait in one process only the first asks Redis: it has the limits that count. While turns are in work it
// asks a few times in each lease's time: so a dead owner's turn is taken over as soon as its lease has run out, and
// Redis can tell its own silences from the owners'.
func (s *Store) Next(ctx context.Context, owner string, l session.Limits) (*session.Lease, error) {
	select {
	case s.claiming <- struct{}{}:
		defer func() { <-s.claiming }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.life.Done():
		return nil, errClosed
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lease, in, err := s.claim(ctx, owner, l)
		if lease != nil {
			return lease, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if err := s.sleep(ctx, in); err != nil {
			return nil, err
		}
	}
}

// claim claims a turn, or says when to look again at the latest.
func (s *Store) claim(ctx context.Context, owner string, l session.Limits) (*session.Lease, time.Duration, error) {
	v, err := s.run(ctx, nextScript, "", l.Concurrency)
	if err != nil {
		return nil, 0, err
	}
	if us, ok := v.(int64); ok {
		return nil, s.patience(us), nil
	}
	r, err := asList(nextScript, v)
	if err != nil {
		return nil, 0, err
	}
	t := r.list(1).turn(r.text(0))
	lease := s.lease(t, r.text(2), owner, number(r.text(3)))
	lease.Note = r.text(4)
	return lease, 0, nil
}

// patience is how long to wait when the first of the leases ends in so many microseconds; there is none if negative.
func (s *Store) patience(us int64) time.Duration {
	most := lookForWork
	if !s.listening.Load() {
		most = lookUnsubscribed
	}
	if us < 0 {
		return most
	}
	// A little later than the lease ends: it must be over then.
	return min(most, s.leaseTTL/3, time.Duration(us)*time.Microsecond+time.Millisecond)
}

func (s *Store) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.work:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return errClosed
	}
	return nil
}
