package turn

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// releaseTimeout bounds the release of a turn that this process does not end.
const releaseTimeout = 10 * time.Second

// claimUnder claims turns until other limits are in force: who waits in the store waits under those it was asked with.
func (e *Engine) claimUnder(ctx context.Context, s *Settings) {
	ctx, cancel := context.WithCancel(ctx)
	var claims sync.WaitGroup
	claims.Go(func() { e.claim(ctx, s.Limits) })
	select {
	case <-s.limitsReplaced:
	case <-ctx.Done():
	}
	cancel()
	claims.Wait()
}

// claim works on turns that could not start at once, and on those whose process has died.
func (e *Engine) claim(ctx context.Context, limits session.Limits) {
	for ctx.Err() == nil {
		claimed := false
		e.guarded(func() { claimed = e.claimNext(ctx, limits) })
		if !claimed {
			pause(ctx, storeRetry)
		}
	}
}

// claimNext waits for a turn and starts to work on it; false if the store has failed.
func (e *Engine) claimNext(ctx context.Context, limits session.Limits) bool {
	c, err := e.Store.Next(ctx, limits)
	for _, t := range c.Ended {
		e.givenUp(t)
	}
	if c.Lease != nil {
		e.start(c.Lease)
	}
	if err != nil && ctx.Err() == nil {
		e.storeFailed("claiming a turn", err)
	}
	return err == nil
}

// givenUp counts and logs a turn that nobody works on any more.
func (e *Engine) givenUp(t session.Turn) {
	e.Metrics.turns.WithLabelValues(t.Failure).Inc()
	e.Log.Warn("Turn given up", e.inLog(t.Key, "follower", e.Alias(t.Key.Follower), "outcome", t.Failure,
		"attempts", t.Attempts, "waited", t.FinishedAt.Sub(t.AcceptedAt))...)
	e.endTrace(&t, t.Failure)
}

// start works on a claimed turn in the background, or releases it if the engine has ended.
func (e *Engine) start(l *session.Lease) {
	if !e.jobs.run(func() { e.work(l) }) {
		e.release(l)
	}
}

// release returns a turn to the queue, also when the engine has ended.
func (e *Engine) release(l *session.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.life), releaseTimeout)
	defer cancel()
	if err := e.Store.Release(ctx, l); err != nil && !errors.Is(err, session.ErrLeaseLost) {
		e.storeFailed("releasing a turn", err)
	}
}
