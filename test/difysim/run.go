package difysim

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// pingEvery is the time of a run between pings.
	pingEvery = 10 * time.Second
	// maxRun is APP_MAX_EXECUTION_TIME: a run is ended then like one that was stopped.
	maxRun = 1200 * time.Second
	// relaySilence is how long a relay waits for its worker before it closes the stream without a word.
	relaySilence = 300 * time.Second
)

// run is one answer on its way. Its handler owns it; what Server.mu guards is said.
type run struct {
	server     *Server
	w          http.ResponseWriter
	controller *http.ResponseController
	ctx        context.Context //nolint:containedctx // a run lives as long as its request
	question   *Request
	behaviour  Behaviour
	call       *record
	relayed    bool
	mute       bool // relayed, and could not start: only a ping comes
	style      *jsonStyle
	plan       *plan

	conversation, message, task string
	workflowRun, thought, form  string
	nodes                       [3]string // ids of the start, llm and answer nodes' executions
	turn                        int       // of the conversation, from 1

	started  time.Time
	timer    *time.Timer
	nextPing time.Duration
	pings    bool
	sent     int // deltas with text
	files    []madeFile
	buffer   []byte
	head     []byte // of a delta event, up to its text
	tail     string

	stopped  chan struct{}
	stopping bool        // guarded by Server.mu
	abort    atomic.Bool // somebody else's stop
	detached *time.Timer // guarded by Server.mu: ends the call of a worker whose client left
}

func newRun(s *Server, w http.ResponseWriter, req *http.Request, q *Request, b Behaviour, call *record) *run {
	r := &run{
		server:     s,
		w:          w,
		controller: http.NewResponseController(w),
		ctx:        req.Context(),
		question:   q,
		behaviour:  b,
		call:       call,
		relayed:    relayed(s.options.Release, s.options.Mode),
		style:      compact,

		conversation: newID(),
		message:      newID(),
		task:         newID(),

		started:  time.Now(),
		nextPing: pingEvery,
		buffer:   make([]byte, 0, 1<<10), // most events fit
		stopped:  make(chan struct{}),
		files:    newFiles(b.Files),
	}
	r.pings = b.Fault.Kind != Gap
	if s.options.Release == V0_6_5 {
		r.style = spaced
	}
	if s.options.Mode == Chatflow {
		r.workflowRun = newID()
		r.nodes = [3]string{newID(), newID(), newID()}
	}
	if b.Fixture != "" {
		r.adopt()
	}
	return r
}

// interruption is why a run does not go its planned way.
type interruption int

const (
	none    interruption = iota
	left                 // the client closed the connection
	stopped              // the run's user called the stop endpoint
	closing              // Server.Close
)

func (r *run) elapsed() time.Duration { return time.Since(r.started) }

func (r *run) interrupted() interruption {
	select {
	case <-r.ctx.Done():
		return left
	case <-r.stopped:
		return stopped
	case <-r.server.closing:
		return closing
	default:
		return none
	}
}

// pause waits until the run is that old, and writes the pings that fall due meanwhile.
func (r *run) pause(until time.Duration) interruption {
	for {
		if why := r.interrupted(); why != none {
			return why
		}
		elapsed := r.elapsed()
		if elapsed >= until {
			return none
		}
		next := until
		if r.pings {
			next = min(until, r.nextPing)
		}
		if elapsed < next {
			r.doze(next - elapsed)
			continue
		}
		r.nextPing += pingEvery
		if !r.write([]byte("event: ping\n\n")) {
			return left
		}
	}
}

// doze returns after d or at an interruption.
func (r *run) doze(d time.Duration) {
	if r.timer == nil {
		r.timer = time.NewTimer(d)
	} else {
		r.timer.Reset(d)
	}
	select {
	case <-r.timer.C:
	case <-r.ctx.Done():
	case <-r.stopped:
	case <-r.server.closing:
	}
}

// write sends bytes at once; false: nobody is there.
func (r *run) write(b []byte) bool {
	if _, err := r.w.Write(b); err != nil {
		return false
	}
	return r.controller.Flush() == nil
}

// stream answers in streaming mode. It leaves in res what happened, also if a fault makes it panic.
func (r *run) stream(res *result) {
	r.w.Header()["Content-Type"] = []string{"text/event-stream; charset=utf-8"}
	defer func() {
		if r.timer != nil {
			r.timer.Stop()
		}
	}()
	r.plan = r.makePlan()
	res.status = http.StatusOK
	why := r.play()
	res.deltas = r.sent
	switch why {
	case left:
		r.abandon(res)
		return
	case closing:
		res.outcome, res.gone = Cut, false
		return
	case stopped:
		why = r.sendStopped()
	case none:
		r.store(r.plan.stored)
		why = r.finish()
		if why == stopped && r.plan.outcome == Running {
			why = r.sendStopped()
		}
	}
	res.outcome, res.gone = r.plan.outcome, why == left
	if why == left && res.outcome == Running {
		res.outcome = Lost // nothing more would have come
	}
	if res.outcome == Running {
		res.outcome = Cut
	}
	if why == none && r.plan.reset {
		resetConnection(r.w)
	}
}

// sendStopped ends the stream as a stop of the run's own user ends it, in place of its plan.
func (r *run) sendStopped() interruption {
	r.plan.stopped(r)
	r.store(stored{answer: r.plan.firstDeltas(r.sent), status: "normal"})
	for i := range r.plan.end {
		if !r.write(r.frame(&r.plan.end[i])) {
			return left
		}
	}
	return none
}

// play writes the plan, up to what follows its end.
func (r *run) play() interruption {
	if r.plan.headersFirst {
		r.w.WriteHeader(http.StatusOK)
		if r.controller.Flush() != nil {
			return left
		}
	}
	if why := r.send(r.plan.open); why != none {
		return why
	}
	if why := r.send(r.plan.deltas); why != none {
		return why
	}
	if r.abort.Load() {
		r.plan.aborted(r)
	}
	return r.send(r.plan.end)
}

// finish keeps the connection open as long as the plan says.
func (r *run) finish() interruption {
	if r.plan.hold == 0 {
		return none
	}
	r.pings = r.plan.holdPings
	return r.pause(r.elapsed() + r.plan.hold)
}

func (r *run) send(steps []step) interruption {
	for i := range steps {
		step := &steps[i]
		if why := r.pause(step.at); why != none {
			return why
		}
		if !r.write(r.frame(step)) {
			return left
		}
		if step.text != "" && !step.half {
			r.sent++
		}
	}
	return none
}

// frame renders a step. The result is valid until the next call.
func (r *run) frame(s *step) []byte {
	switch {
	case s.raw != nil && s.half:
		return s.raw[:len(s.raw)/2]
	case s.raw != nil:
		return s.raw
	case s.event != nil:
		r.buffer = append(r.buffer[:0], "data: "...)
		r.buffer = r.style.append(r.buffer, s.event())
	default:
		if r.head == nil {
			r.prepareDelta()
		}
		r.buffer = append(r.buffer[:0], r.head...)
		r.buffer = s.appendText(r.buffer, r.style)
		r.buffer = append(r.buffer, r.tail...)
	}
	r.buffer = append(r.buffer, "\n\n"...)
	if s.half {
		return r.buffer[:len(r.buffer)/2]
	}
	return r.buffer
}

// abandon settles the call of a client that left. A worker goes on without it; every other app loses the answer:
// the stored message stays empty, and normal.
func (r *run) abandon(res *result) {
	res.outcome, res.gone = Lost, true
	if !r.relayed || r.mute || r.plan.outcome == Running {
		return
	}
	rest := max(r.plan.total-r.elapsed(), 0)
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing: // Close has seen to its detached runs and would not see this one
		return
	default:
	}
	res.detached = true
	last := *res
	last.outcome, last.detached = r.plan.outcome, false
	r.detached = time.AfterFunc(rest, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conversations.answer(r.message, r.plan.stored)
		if last.outcome == Paused {
			s.askForLocked(r)
		}
		delete(s.running, r.task)
		s.endLocked(r.call, last)
	})
}

func (r *run) store(what stored) {
	if r.mute {
		return
	}
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	r.server.conversations.answer(r.message, what)
}
