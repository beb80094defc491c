package turn

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	progressEvery = 500 * time.Millisecond // how often at most a growing answer is written to the store
	maxTries      = 8                      // Dify calls of one turn; with the pauses between them about 40 s
	firstPause    = 500 * time.Millisecond
	longestPause  = 10 * time.Second
	recordTimeout = 5 * time.Second  // for recording what a reply has shown
	tidyTimeout   = 10 * time.Second // for a call whose result nobody waits for
	tidyFor       = time.Minute      // how long a deletion in Dify is tried
	persistFor    = 2 * time.Minute  // how long the end of a turn is tried to be stored
)

// start works on a claimed turn in the background, or gives it back if the engine has ended.
func (e *Engine) start(l *session.Lease) {
	if e.jobs.run(func() { e.work(l) }) {
		return
	}
	e.release(l)
}

// release gives a turn back, also when the engine has ended.
func (e *Engine) release(l *session.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.life), tidyTimeout)
	defer cancel()
	if err := e.Store.Release(ctx, l); err != nil && !errors.Is(err, session.ErrLeaseLost) {
		e.storeFailed("giving a turn back", err)
	}
}

// run is one owner's work on one turn.
type run struct {
	*Engine
	settings     *Settings
	lease        *session.Lease
	conversation string // to continue; "" for a new one

	mu      sync.Mutex
	latest  dify.Update
	changed chan struct{} // holds a token when latest was not yet written

	began     time.Time
	firstText time.Time
	tries     int
}

func (e *Engine) work(l *session.Lease) {
	r := &run{
		Engine: e, settings: e.settings.Load(), lease: l, conversation: l.ConversationID,
		changed: make(chan struct{}, 1), began: time.Now(),
	}
	e.Metrics.inFlight.Inc()
	defer e.Metrics.inFlight.Dec()

	timed, cancel := context.WithTimeout(e.life, r.settings.Timeout)
	defer cancel()
	ctx, lost := context.WithCancelCause(timed)
	var keeper sync.WaitGroup
	keeping, stopKeeping := context.WithCancel(ctx)
	keeper.Go(func() { r.keep(keeping, lost) })
	answer, found, err := r.resume(ctx)
	if !found {
		answer, err = r.ask(ctx)
	}
	stopKeeping()
	keeper.Wait()

	outcome := r.end(ctx, answer, err)
	lost(nil)
	r.report(outcome, answer, err)
}

// ask calls Dify until there is an answer, a part of one, or no sense in another try.
func (r *run) ask(ctx context.Context) (dify.Answer, error) {
	for {
		r.tries++
		answer, err := r.Dify.Chat(ctx, dify.ChatRequest{
			Query:          r.lease.Turn.Question,
			User:           r.lease.Turn.Key.Follower,
			ConversationID: r.conversation,
			Inputs:         r.settings.Inputs,
		}, r.received)
		if answer.ConversationID != "" {
			r.conversation = answer.ConversationID
		}
		if err == nil {
			return answer, nil
		}
		if timedOut := errors.Is(context.Cause(ctx), context.DeadlineExceeded); timedOut || ctx.Err() == nil {
			r.Metrics.difyError(err) // else it was given up, and nothing is wrong with Dify
		}
		if dify.KindOf(err) == dify.Interrupted && ctx.Err() == nil {
			if whole, found, err := r.rest(ctx); found {
				return whole, err
			}
		}
		if answer.Text != "" || ctx.Err() != nil {
			return answer, err
		}
		if conversationGone(err) && r.conversation != "" {
			r.conversation = "" // the follower need not know: a new one starts
			continue
		}
		wait := max(backoff(r.tries), retryAfter(err))
		if end, _ := ctx.Deadline(); !temporary(err) || r.tries >= maxTries || time.Until(end) <= wait || !pause(ctx, wait) {
			return answer, err
		}
	}
}

// backoff is how long to wait after the nth failed try: doubling, and never the same for all who wait.
func backoff(n int) time.Duration {
	d := min(firstPause<<(n-1), longestPause)
	return d/2 + rand.N(d/2) //nolint:gosec // spreads load, guards no secret
}

// received takes what has streamed in; the keeper writes it.
func (r *run) received(u dify.Update) {
	r.mu.Lock()
	if r.firstText.IsZero() && u.Text != "" {
		r.firstText = time.Now()
	}
	r.latest = u
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// keep writes the progress of the turn and renews its lease until ctx ends, and ends the turn when the lease is lost.
func (r *run) keep(ctx context.Context, lost context.CancelCauseFunc) {
	renew := time.NewTicker(r.LeaseTTL / 3)
	defer renew.Stop()
	var written time.Time
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.lease.Lost:
			lost(session.ErrLeaseLost)
			return
		case <-r.changed:
			if due == nil {
				due = time.After(progressEvery - time.Since(written))
			}
			continue
		case <-due:
		case <-renew.C:
		}
		due, written = nil, time.Now()
		err := r.progress(ctx)
		switch {
		case errors.Is(err, session.ErrLeaseLost):
			lost(err)
			return
		case err != nil && ctx.Err() == nil:
			r.storeFailed("writing progress", err) // the lease may survive until the next try
		}
	}
}

func (r *run) progress(ctx context.Context) error {
	u := r.sofar()
	return r.Store.Progress(ctx, r.lease, session.Progress{Partial: u.Text, ConversationID: u.ConversationID, Note: noteOf(u)})
}

// sofar is the latest update.
func (r *run) sofar() dify.Update {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}

// end stores how the turn ended and says it in a word.
func (r *run) end(ctx context.Context, answer dify.Answer, err error) string {
	if errors.Is(context.Cause(ctx), session.ErrLeaseLost) {
		if r.over() {
			r.stopDify(r.sofar().TaskID)
		}
		return "lost"
	}
	if err != nil && r.life.Err() != nil {
		r.release(r.lease)
		return "released"
	}
	o := r.outcome(answer, err)
	err = r.persist(o)
	if timedOut := ctx.Err() != nil; timedOut {
		r.stopDify(r.sofar().TaskID) // not before: nobody renews the lease any more
	}
	switch {
	case errors.Is(err, session.ErrLeaseLost):
		return "lost"
	case err != nil:
		return "unsaved"
	case o.Failure != "":
		return o.Failure
	}
	return o.State.String()
}

// over tells whether the turn is known to be over. A turn that was lost to another owner is not: that one may wait for
// the answer that Dify still makes.
func (r *run) over() bool {
	ended, cancel := context.WithCancel(r.life)
	cancel() // not to wait for it
	t, err := r.Store.Await(ended, r.lease.Turn.Key)
	if err != nil {
		r.storeFailed("looking at a lost turn", err)
	}
	return err == nil && t.State.Over()
}

// outcome says what becomes of the turn. A conversation is given up only for a new one: Dify may be wrong about it while
// it fails.
func (r *run) outcome(answer dify.Answer, err error) session.Outcome {
	o := session.Outcome{
		State: session.Answered, Answer: r.Renderer.Text(answer.Text),
		ConversationID: cmp.Or(r.conversation, r.lease.ConversationID),
	}
	switch {
	case err != nil && o.Answer == "": // reasoning may have come: nothing that can be shown
		o.State, o.Failure = session.Failed, string(failureOf(err))
	case err != nil, answer.Stopped, answer.Cut:
		o.Failure = string(CutShort)
	}
	return o
}

// persist stores the outcome, for as long as it takes a store to come back; once the engine has ended, in one try. It
// tries often, to come before those who would take the turn over when the store is back.
func (r *run) persist(o session.Outcome) error {
	again := time.NewTicker(storeRetry / 2)
	defer again.Stop()
	for until := time.Now().Add(persistFor); ; {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.life), tidyTimeout)
		err := r.Store.Finish(ctx, r.lease, o)
		cancel()
		if err == nil || errors.Is(err, session.ErrLeaseLost) {
			return err
		}
		r.storeFailed("storing the end of a turn", err)
		if time.Now().After(until) {
			return err
		}
		select {
		case <-again.C:
		case <-r.lease.Lost:
			return session.ErrLeaseLost
		case <-r.life.Done():
			return err
		}
	}
}

// stopDify ends a generation that nobody waits for any more: it costs money. Of one without a name nothing is known.
func (r *run) stopDify(task string) {
	if task == "" {
		return
	}
	ctx, cancel := context.WithTimeout(r.life, tidyTimeout)
	defer cancel()
	if err := r.Dify.Stop(ctx, task, r.lease.Turn.Key.Follower); err != nil {
		r.Log.Info("Could not stop a generation in Dify", "error", err)
	}
}

// report writes the turn's one line in the log, and its metrics.
func (r *run) report(outcome string, a dify.Answer, err error) {
	total := time.Since(r.began)
	r.Metrics.turns.WithLabelValues(outcome).Inc()
	r.Metrics.difyTotal.Observe(total.Seconds())
	log := []any{
		"follower", r.Alias(r.lease.Turn.Key.Follower), "outcome", outcome, "waited", r.began.Sub(r.lease.Turn.AcceptedAt),
		"took", total, "tries", r.tries, "attempt", r.lease.Turn.Attempts, "answerBytes", len(a.Text),
	}
	if !r.firstText.IsZero() {
		r.Metrics.firstText.Observe(r.firstText.Sub(r.began).Seconds())
		log = append(log, "firstText", r.firstText.Sub(r.began))
	}
	r.Metrics.usage(a.Usage)
	if err != nil {
		log = append(log, "error", err)
	}
	r.Log.Info("Turn finished", log...)
}
