package memory

import (
	"context"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session/records"
)

// Candidate waits for a follower whose next turn may be claimed. See records.Port.
func (p *Port) Candidate(ctx context.Context, concurrency int) (records.Candidate, error) {
	for {
		if err := ctx.Err(); err != nil {
			return records.Candidate{}, err
		}
		c, woken, until := p.candidate(concurrency)
		if c.Follower != "" {
			return c, nil
		}
		if err := sleep(ctx, woken, until); err != nil {
			return records.Candidate{}, err
		}
	}
}

// candidate returns a candidate, or what to wait for: woken is closed when there may be one; at until (unless zero) time
// itself has something to do.
func (r *Records) candidate(concurrency int) (c records.Candidate, woken <-chan struct{}, until time.Time) {
	now := r.enter()
	defer r.mu.Unlock()
	first := front(&r.leases)
	if first != nil {
		if until = first.expires; !until.After(now) {
			return records.Candidate{Follower: first.openid, Orphan: first.fence}, nil, until
		}
	}
	if len(r.ready) > 0 && r.leases.Len() < concurrency {
		return records.Candidate{Follower: r.ready[0].openid}, nil, until
	}
	if e := front(&r.idle); e != nil {
		if idle := e.Active.Time().Add(r.rules.IdleTimeout); until.IsZero() || idle.Before(until) {
			until = idle
		}
	}
	if r.waiting == nil {
		r.waiting = make(chan struct{})
	}
	return records.Candidate{}, r.waiting, until
}

func sleep(ctx context.Context, woken <-chan struct{}, until time.Time) error {
	var due <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(max(time.Until(until), 0) + time.Millisecond)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-woken:
	case <-due:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// wake has whoever waits for a candidate look.
func (r *Records) wake() {
	if r.waiting != nil {
		close(r.waiting)
		r.waiting = nil
	}
}

// Renew renews leases. See records.Port.
func (p *Port) Renew(_ context.Context, leases []records.Held) (lost []records.Held, err error) {
	now := p.enter()
	defer p.mu.Unlock()
	for _, h := range leases {
		e := p.entries[h.Key.Follower]
		if e == nil || e.lease == nil || e.fence != h.Fence {
			lost = append(lost, h)
			continue
		}
		e.expires = now.Add(p.rules.LeaseTTL)
		p.leases.MoveToBack(e.lease)
	}
	return lost, nil
}
