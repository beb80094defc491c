package turn

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	beginRetry = 250 * time.Millisecond // how long after the store has failed it is asked to record a question again
	storeRetry = time.Second            // how long after the store has failed it is asked for work again
	// undoFor is how long it is tried to undo in the store what a follower was told has not happened.
	undoFor = time.Minute
)

// within makes a call of the store that a delivery has time for until then. A store that does not keep to the call's
// context goes on by itself; what it comes back with then is lost, so f does what must not be lost.
func within[T any](ctx context.Context, e *Engine, until time.Time, f func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	call := func() {
		defer cancel()
		v, err := f(ctx)
		done <- result{v, err}
	}
	if !e.calls.run(call) {
		call() // the engine has ended, and would not wait for it
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done: // both: what it has come back with counts
		return r.value, r.err
	default:
		var none T
		return none, context.Cause(ctx)
	}
}

// storeFailed counts and logs a call of the store that has failed.
func (e *Engine) storeFailed(doing string, err error) {
	if errors.Is(err, session.ErrElsewhere) {
		return // the store has said it, and nothing is wrong
	}
	e.Metrics.storeErrors.Inc()
	if e.storeLog.due(time.Now()) {
		e.Log.Error("The session store failed", "doing", doing, "error", err)
	}
}

// rateLimited lets something happen once a second: while a store is down every follower would write a line in the log.
type rateLimited struct{ last atomic.Int64 }

func (r *rateLimited) due(now time.Time) bool {
	last := r.last.Load()
	return now.UnixNano()-last >= int64(time.Second) && r.last.CompareAndSwap(last, now.UnixNano())
}

// unavailable is the reply when the store cannot be asked. What it says if this delivery is not left to the next is
// the fallback.
func (e *Engine) unavailable(ctx context.Context, s *Settings, m Message, c clock, doing string, err error, fallback Reply) Reply {
	if ctx.Err() != nil { // nobody is there to be told, and it may be for that alone that the call has ended
		return Reply{Kind: Held}
	}
	e.storeFailed(doing, err)
	// The sessions come to this process, or the next delivery meets one that has them; and a second delivery can be
	// neither refused, as the first may have been recorded, nor promised anything.
	leave := m.Delivery < e.Deliveries && (m.Delivery > 1 || errors.Is(err, session.ErrElsewhere))
	if leave && e.hold(ctx, s, c) {
		pause(ctx, time.Until(c.holdUntil))
		return Reply{Kind: Held}
	}
	return fallback
}

// hold takes a hold out of the bot's budget: a delivery that is left to time out counts as a failure for the channel.
// While the store cannot be asked, this process has a budget of its own.
func (e *Engine) hold(ctx context.Context, s *Settings, c clock) bool {
	if s.HoldsPerMinute <= 0 || ctx.Err() != nil { // with a budget of 0 nothing was refused, nor where nobody waits
		return false
	}
	ok, err := within(ctx, e, c.reply, func(ctx context.Context) (bool, error) { return e.Store.TakeHold(ctx, s.HoldsPerMinute) })
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		e.storeFailed("taking a hold", err)
		ok = e.localHolds.take(time.Now(), s.HoldsPerMinute)
	}
	if ok {
		e.Metrics.holds.Inc()
	} else {
		e.Metrics.noHolds.Inc()
	}
	return ok
}

// holds is a budget of holds that refills evenly, kept as the time at which it is full again.
type holds struct {
	mu   sync.Mutex
	full time.Time
}

func (h *holds) take(now time.Time, perMinute int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	full := h.full
	if full.Before(now) {
		full = now
	}
	full = full.Add(time.Minute / time.Duration(perMinute))
	if full.Sub(now) > time.Minute {
		return false
	}
	h.full = full
	return true
}

// undo does in the background what has to be undone, for as long as the store needs to come back.
func (e *Engine) undo(doing string, f func(ctx context.Context) error) {
	e.jobs.run(func() {
		ctx, cancel := context.WithTimeout(e.life, undoFor)
		defer cancel()
		for {
			err := f(ctx)
			if err == nil || !pause(ctx, beginRetry) {
				return
			}
			e.storeFailed(doing, err)
		}
	})
}
