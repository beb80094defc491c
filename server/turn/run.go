package turn

import (
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
	tidyTimeout   = 10 * time.Second // for a call whose result nobody waits for
	tidyFor       = time.Minute      // how long a deletion in Dify is tried
	persistFor    = 2 * time.Minute  // how long the end of a turn is tried to be stored
)

// start works on a claimed turn in the background, or gives it back if the engine has ended.
func (e *Engine) start(l *session.Lease) {
	if e.jobs.run(func() { e.work(l) }) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
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
	answer, err := r.ask(ctx)
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
		if err == nil || answer.Text != "" || ctx.Err() != nil {
			return answer, err
		}
		r.Metrics.difyError(err)
		if conversationGone(err) && r.conversation != "" {
			r.conversation = "" // the follower need not know: a new one starts
			continue
		}
		if !temporary(err) || r.tries >= maxTries || !pause(ctx, max(backoff(r.tries), retryAfter(err))) {
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
	return r.Store.Progress(ctx, r.lease, session.Progress{Partial: u.Text, ConversationID: u.ConversationID})
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
		r.stopDify()
		return "lost"
	}
	if r.life.Err() != nil {
		if err := r.Store.Release(context.WithoutCancel(ctx), r.lease); err != nil && !errors.Is(err, session.ErrLeaseLost) {
			r.storeFailed("giving a turn back", err)
		}
		return "released"
	}
	o := session.Outcome{State: session.Answered, ConversationID: r.conversation}
	switch {
	case err == nil:
		o.Answer = r.Renderer.Text(answer.Text)
	case answer.Text != "":
		o.Answer, o.Failure = r.Renderer.Text(answer.Text), string(CutShort)
	default:
		o.State, o.Failure = session.Failed, string(failureOf(err))
	}
	if err != nil {
		r.Metrics.difyError(err)
	}
	if timedOut := ctx.Err() != nil; timedOut {
		r.stopDify()
	}
	if err := r.persist(o); err != nil {
		if errors.Is(err, session.ErrLeaseLost) {
			return "lost"
		}
		r.storeFailed("storing the end of a turn", err)
		return "unsaved"
	}
	if o.Failure != "" {
		return o.Failure
	}
	return o.State.String()
}

// persist stores the outcome, for as long as it takes a store to come back.
func (r *run) persist(o session.Outcome) error {
	ctx, cancel := context.WithTimeout(r.life, persistFor)
	defer cancel()
	for try := 1; ; try++ {
		err := r.Store.Finish(ctx, r.lease, o)
		if err == nil || errors.Is(err, session.ErrLeaseLost) || !pause(ctx, min(backoff(try), 2*time.Second)) {
			return err
		}
	}
}

// stopDify ends the generation that nobody waits for any more: it costs money.
func (r *run) stopDify() {
	task := r.sofar().TaskID
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
