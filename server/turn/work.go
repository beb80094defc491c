package turn

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/trace"
)

const (
	callTimeout = 10 * time.Second       // for a call whose result nobody waits for
	lookTimeout = 300 * time.Millisecond // for a look at a run's own turn
	stopWait    = time.Second            // for Dify to stop a generation before its turn ends
	persistFor  = 2 * time.Minute        // how long it is tried to store the end of a turn
)

// How this process' work on a turn ends that is not over by it.
const (
	outcomeLost     = "lost"     // another process has it, or it was cancelled
	outcomeReleased = "released" // for another process
	outcomeUnsaved  = "unsaved"  // the store was down
)

// run is one process' work on one turn.
type run struct {
	*Engine
	settings     *Settings
	lease        *session.Lease
	conversation string         // to continue; "" for a new one
	submits      *submission    // in place of a question
	files        []dify.File    // of the question
	extras       []extra        // of the answer, to be sent behind its text
	extrasUntil  time.Time      // when no more of them is made
	sentTo       session.Cursor // the end of the last part that was sent, or perhaps was
	cancel       context.CancelCauseFunc
	timed        context.Context // ends with the turn's time, or the engine
	tokens       int64           // that all tries have used, as far as Dify has told
	stopped      bool            // Dify was told to stop, as the follower has ended the turn

	mu       sync.Mutex
	latest   dify.Update
	reported bool // the store has latest
	writing  sync.Mutex
	ended    bool // the store has, or is about to have, the whole answer; under writing

	began     time.Time
	firstText time.Time
	tries     int

	traced *trace.Turn
	span   *trace.Span // all of this process' work until the answer is there
	call   *trace.Span // the latest of Dify; under mu
	result string      // how the answer has ended, in the words of the log
}

// work asks Dify a turn's question and ends the turn.
func (e *Engine) work(l *session.Lease) {
	r := &run{Engine: e, settings: e.settings.Load(), lease: l, conversation: l.ConversationID, reported: true, began: time.Now()}
	if r.Forms != nil {
		r.submits = parseReference(l.Turn.Ref).submits
	}
	e.Metrics.inFlight.Inc()
	defer e.Metrics.inFlight.Dec()

	timed := e.life
	if l.Left > 0 {
		var cancel context.CancelFunc
		timed, cancel = context.WithTimeout(e.life, l.Left)
		defer cancel()
	}
	r.timed = timed
	ctx, cancel := context.WithCancelCause(timed)
	held, lose := context.WithCancelCause(e.life)
	defer lose(nil)
	r.cancel = func(cause error) { cancel(cause); lose(cause) }
	defer cancel(nil)
	defer l.OnLost(func() { r.cancel(session.ErrLeaseLost) })()
	e.runs.add(r, e.keep)
	defer e.runs.remove(r)
	r.beginTrace()
	if l.Turn.State.Over() { // its owner has died before all was sent
		r.push(held)
		return
	}
	if r.settings.Suggestions && r.Suggester != nil {
		r.appSoFar() // to know when the answer is there whether the app suggests questions
	}
	alone := r.accompanied(ctx)
	answer, err := r.answer(ctx)
	alone()
	outcome, pushing := r.finish(ctx, answer, err)
	r.log(outcome, answer, err)
	r.answered(outcome, pushing)
	if pushing {
		r.push(held)
	}
}

// accompanied has the follower see that the answer is being made, where that is possible; alone ends it.
func (r *run) accompanied(ctx context.Context) (alone func()) {
	if !r.pushes(r.settings) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	k, accepted := r.lease.Turn.Key, r.lease.Turn.AcceptedAt
	beside.Go(func() { r.guarded(func() { r.accompany(ctx, k, accepted) }) })
	return func() {
		cancel()
		beside.Wait()
	}
}

var errPanicked = errors.New("recovered from a panic")

// answer gets the answer: the one that Dify has already, or else a new one. What goes wrong in here ends the turn, never
// the process.
func (r *run) answer(ctx context.Context) (answer dify.Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.panicked("a turn", p)
			answer, err = dify.Answer{Text: r.sofar().Text}, errPanicked
		}
	}()
	ctx = dify.Traced(ctx, r.span.Traceparent())
	if err := r.hear(ctx); err != nil {
		return dify.Answer{}, err
	}
	if r.submits != nil {
		return r.submit(ctx)
	}
	answer, found, err := r.resume(ctx)
	if found {
		r.tokens = r.told(answer, true)
		return answer, err
	}
	return r.ask(ctx)
}

// received takes what has streamed in; the keeper reports it.
func (r *run) received(u dify.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.firstText.IsZero() && u.Text != "" {
		r.firstText = time.Now()
		r.call.Event(eventFirstText)
	}
	r.latest, r.reported = u, false
}

// sofar is the latest update.
func (r *run) sofar() dify.Update {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}

// progress is what is to be reported of the turn, if anything is new.
func (r *run) progress() (p session.Progress, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reported {
		return session.Progress{}, false
	}
	r.reported = true
	u := r.latest
	return session.Progress{Markdown: u.Text, ConversationID: u.ConversationID, Ref: r.reference(u.MessageID, u.TaskID, u.Begun).String()}, true
}

// again has the latest update reported once more.
func (r *run) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reported = false
}

// finish stores how the turn ended and says it in a word. pushing tells that what the follower has not got is to be sent.
func (r *run) finish(ctx context.Context, answer dify.Answer, err error) (outcome string, pushing bool) {
	if errors.Is(context.Cause(ctx), session.ErrLeaseLost) {
		if !r.stopped && r.over() {
			r.stopDify(r.sofar().TaskID)
		}
		r.countUse()
		return outcomeLost, false
	}
	if err != nil && r.life.Err() != nil {
		r.countUse()
		r.release(r.lease)
		return outcomeReleased, false
	}
	if ctx.Err() != nil || err != nil && lostStream(difyError(err)) {
		r.stopFirst(r.sofar())
	}
	o := r.outcome(answer, err)
	if o.Push = r.pushes(r.settings); o.Push {
		r.plan(ctx, &o)
		r.writing.Lock() // nothing older is written over it
		r.ended = true
		r.writing.Unlock()
	}
	err = r.persistently("storing the end of a turn", func(ctx context.Context) error { return r.Store.Finish(ctx, r.lease, o) })
	switch {
	case errors.Is(err, session.ErrLeaseLost):
		r.countUse()
		return outcomeLost, false
	case err != nil:
		return outcomeUnsaved, false
	case o.Failure != "":
		return o.Failure, o.Push
	}
	return o.State.String(), o.Push
}

// over tells whether the turn is known to be over. A turn that was lost to another process is not: that one may wait for
// the answer that Dify still makes.
func (r *run) over() bool {
	t, err := r.look(r.life)
	if err != nil {
		r.storeFailed("looking at a lost turn", err)
	}
	return err == nil && t.State.Over()
}

// outcome says what becomes of the turn. A conversation is given up only for a new one: Dify may be wrong about it while
// it fails.
func (r *run) outcome(answer dify.Answer, err error) session.Outcome {
	o := session.Outcome{
		State: session.Answered, Answer: session.Answer{Markdown: answer.Text, Files: filesOf(answer.Files)},
		ConversationID: cmp.Or(r.conversation, r.lease.ConversationID),
		Ref:            r.reference(answer.MessageID, answer.TaskID, answer.Begun).String(),
		Use:            r.used(),
	}
	visible := r.Renderer.Text(o.Answer) != "" // reasoning is not shown
	if visible && err == nil {
		o.Answer.Markdown = r.settings.withSources(o.Answer.Markdown, answer.Sources)
	}
	switch {
	case answer.Moderated && visible: // the text is whole, however the run has ended
	case err != nil && !visible:
		o.State, o.Failure = session.Failed, string(failureOf(err))
	case err != nil, answer.Stopped, answer.Cut:
		o.Failure = string(CutShort)
	case answer.Pause != nil:
		r.pause(&o, answer.Pause)
	case !visible:
		o.Failure = string(NoAnswer)
	}
	return o
}

// filesOf are the files that an answer has, as sessions keep them.
func filesOf(made []dify.AnswerFile) []session.File {
	var files []session.File
	for _, f := range made {
		files = append(files, session.File{Name: f.Name, Type: f.Type, MIME: f.MIMEType, URL: f.URL, Size: f.Size})
	}
	return files
}

// persistently makes a call for the held turn, for as long as it takes a store to come back; once the engine has ended,
// in one try. It tries often, to come before those who would take the turn over when the store is back.
func (r *run) persistently(doing string, call func(ctx context.Context) error) error {
	again := time.NewTicker(storeRetry / 2)
	defer again.Stop()
	for until := time.Now().Add(persistFor); ; {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.life), callTimeout)
		err := call(ctx)
		cancel()
		if err == nil || errors.Is(err, session.ErrLeaseLost) {
			return err
		}
		r.storeFailed(doing, err)
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

// stopFirst stops a generation before the follower's next turn can begin, as that is in the same conversation. A Dify that
// does not respond delays the end of the turn by no more than stopWait.
func (r *run) stopFirst(u dify.Update) {
	stopped := make(chan struct{})
	if !r.jobs.run(func() { defer close(stopped); r.markStopped(u); r.stopDify(u.TaskID) }) {
		return
	}
	t := time.NewTimer(stopWait)
	defer t.Stop()
	select {
	case <-stopped:
	case <-t.C:
	}
}

// stopDify ends a generation that nobody waits for any more: it costs money. One without a task cannot be stopped.
func (r *run) stopDify(task string) (stopped bool) {
	if task == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(r.life, callTimeout)
	defer cancel()
	if err := r.Dify.Stop(ctx, task, r.lease.Turn.Key.Follower); err != nil {
		r.Log.Info("Could not stop a generation in Dify", r.inLog(r.lease.Turn.Key, "error", err)...)
		return false
	}
	return true
}

// log writes the turn's one line in the log, and its metrics.
func (r *run) log(outcome string, a dify.Answer, err error) {
	total := time.Since(r.began)
	r.Metrics.turns.WithLabelValues(outcome).Inc()
	r.Metrics.difyTotal.Observe(total.Seconds())
	k := r.lease.Turn.Key
	fields := r.inLog(k, "follower", r.Alias(k.Follower), "outcome", outcome,
		"waited", r.began.Sub(r.lease.Turn.AcceptedAt), "took", total, "tries", r.tries,
		"attempt", r.lease.Turn.Attempts, "answerBytes", len(a.Text))
	if !r.firstText.IsZero() {
		r.Metrics.firstText.Observe(r.firstText.Sub(r.began).Seconds())
		fields = append(fields, "firstText", r.firstText.Sub(r.began))
	}
	r.Metrics.usage(a.Usage)
	if err != nil {
		fields = append(fields, "error", err)
	}
	r.Log.Info("Turn finished", fields...)
}
