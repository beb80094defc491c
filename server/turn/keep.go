package turn

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	progressEvery = 500 * time.Millisecond // how often a growing answer is written to the store
	renewEvery    = time.Second            // how often leases are renewed
	keepAtOnce    = 32                     // reports to the store that are under way at once
)

// runs are the turns that this process works on. While there are any, one keeper reports on all of them and renews their
// leases: none has a goroutine of its own for that.
type runs struct {
	mu     sync.Mutex
	all    map[*run]struct{}
	none   chan struct{} // closed when the last run is removed
	keeper sync.WaitGroup
}

// add adds a run; keep is what the keeper does until the given channel is closed.
func (r *runs) add(one *run, keep func(until <-chan struct{})) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[*run]struct{})
	}
	r.all[one] = struct{}{}
	if len(r.all) == 1 {
		none := make(chan struct{})
		r.none = none
		r.keeper.Go(func() { keep(none) })
	}
}

func (r *runs) remove(one *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, one)
	if len(r.all) == 0 {
		close(r.none)
	}
}

func (r *runs) list() []*run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.all))
}

// keep reports and renews until there are no runs.
func (e *Engine) keep(none <-chan struct{}) {
	ticks := time.NewTicker(progressEvery)
	defer ticks.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ticks.C:
		case <-none:
			return
		}
		if time.Since(renewed) >= renewEvery {
			renewed = time.Now()
			e.guarded(e.renew)
		}
		var reports errgroup.Group
		reports.SetLimit(keepAtOnce)
		for _, r := range e.runs.list() {
			if p, changed := r.progress(); changed {
				reports.Go(func() error { e.guarded(func() { r.report(p) }); return nil })
			}
		}
		_ = reports.Wait() // each handles its own error
	}
}

// renew renews the leases of all runs. If that fails they may survive until the next try.
func (e *Engine) renew() {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := e.Store.Renew(ctx); err != nil {
		e.storeFailed("renewing leases", err)
	}
}

// report writes what has come of a turn's answer so far.
func (r *run) report(p session.Progress) {
	r.writing.Lock()
	defer r.writing.Unlock()
	if r.ended {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	err := r.Store.Progress(ctx, r.lease, p)
	switch {
	case errors.Is(err, session.ErrLeaseLost):
		r.cancel(session.ErrLeaseLost)
	case err != nil:
		r.again()
		r.storeFailed("writing progress", err)
	}
}
