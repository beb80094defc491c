package session

import (
	"context"
	"errors"
	"time"
)

// lookAgain is how long after a look that failed whoever awaits a turn looks again.
const lookAgain = 200 * time.Millisecond

// Watch is one wait for the end of a turn. It is good for being woken once.
type Watch struct {
	Woken <-chan struct{} // closed when the turn may have ended
	Look  bool            // it may have ended before the watch began
	Ended func() *Turn    // once woken: how it has ended, nil if a look has to tell
	Stop  func()
}

// Watcher is what Await needs of a Store.
type Watcher interface {
	Watch(k Key) Watch
}

// Await waits in this goroutine until the turn is over or its time is up, also while looks fail; t is the turn as it is
// then. look reads the turn into t, in the time that its context gives. There is an error if ctx ends, if the look at the
// end fails, and at once if one says ErrClosed or ErrElsewhere.
func Await(ctx context.Context, w Watcher, k Key, until time.Time, t *Turn, look func(ctx context.Context) error) error {
	timeUp := time.NewTimer(time.Until(until))
	defer timeUp.Stop()
	for woken := false; ; woken = true {
		watch := w.Watch(k)
		done, err := watch.wait(ctx, woken, until, timeUp.C, t, look)
		watch.Stop()
		if done || err != nil {
			return err
		}
	}
}

// wait looks first if it has to, and waits then. It is done if there is nothing more to wait for.
func (w Watch) wait(ctx context.Context, woken bool, until time.Time, timeUp <-chan time.Time, t *Turn, look func(ctx context.Context) error) (
	done bool, err error,
) {
	var again <-chan time.Time
	if (woken || w.Look) && time.Now().Before(until) {
		err = lookUntil(ctx, until, look)
		switch {
		case errors.Is(err, ErrClosed) || errors.Is(err, ErrElsewhere):
			return true, err
		case err != nil:
			again = time.After(lookAgain)
		case t.State.Over():
			return true, nil
		}
	}
	select {
	case <-w.Woken:
		if ended := w.Ended(); ended != nil {
			*t = *ended
			return true, nil
		}
		return false, nil
	case <-again:
		return false, nil
	case <-timeUp:
		return true, look(ctx)
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
}

func lookUntil(ctx context.Context, until time.Time, look func(ctx context.Context) error) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return look(ctx)
}
