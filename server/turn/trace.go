package turn

import (
	"context"
	"errors"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/trace"
)

// Tracer gives turns their traces. A turn has the same trace in all processes. It is safe for concurrent use.
type Tracer interface {
	// On tells whether any turn is traced.
	On() bool
	// Turn is the trace of a turn; nil if it is not traced.
	Turn(k session.Key) *trace.Turn
}

// The names of a turn's spans. The root covers all of them that its process has begun before its end.
const (
	spanTurn     = "turn"     // from its acceptance until it is over, with all that is sent of it
	spanDelivery = "delivery" // of the question, from its first byte to its reply, or until it is left to time out
	spanReading  = "reading"  // the same of a wish to read on, which may come when the turn is long over
	spanQueue    = "queue"    // from the acceptance until a process works on the turn
	spanAnswer   = "answer"   // one process' work until the store has the answer
	spanSend     = "send"     // a message outside any push

	eventHold      = "hold"       // the delivery is left to time out, unless the answer comes before
	eventFirstText = "first text" // of the answer
)

func (e *Engine) trace(k session.Key) *trace.Turn {
	if e.Tracer == nil {
		return nil
	}
	return e.Tracer.Turn(k)
}

// endTrace ends the trace of a turn that is over: it is for the process that has ended it.
func (e *Engine) endTrace(t *session.Turn, outcome string) {
	traced := e.trace(t.Key)
	if traced == nil {
		return
	}
	start, end := t.AcceptedAt, time.Now()
	if end.Before(start) { // the store's clock is ahead
		start = end
	}
	traced.End(spanTurn, start, end, failed(outcome),
		trace.Text("wechatbot.message", e.messageAlias(t.Key)), trace.Text("wechatbot.outcome", outcome),
		trace.Number("wechatbot.attempts", t.Attempts))
}

// failed is an outcome that is a failure; empty if it is none.
func failed(outcome string) string {
	switch outcome {
	case session.Answered.String(), session.Cancelled.String(), session.Stopped:
		return ""
	}
	return outcome
}

// outcomeOf is how a turn has ended, in the words of the log.
func outcomeOf(t *session.Turn) string {
	if t.Failure != "" {
		return t.Failure
	}
	return t.State.String()
}

// endingAll makes a call that cancels what is open of a follower, and ends the traces of those turns.
func (e *Engine) endingAll(ctx context.Context, follower string, call func() (conversation string, err error)) (string, error) {
	if e.Tracer == nil || !e.Tracer.On() {
		return call()
	}
	have, _ := e.Store.Get(ctx, follower) // traces without a root are better than a session that is not cleared
	conversation, err := call()
	for i := range have.Turns {
		if t := &have.Turns[i]; err == nil && !t.State.Over() {
			e.endTrace(t, session.Cancelled.String())
		}
	}
	return conversation, err
}

// deliverTraced is deliver as part of the trace of the turn whose text is wanted: a delivery of its question, or of the wish to
// read on in it.
func (e *Engine) deliverTraced(ctx context.Context, s *Settings, c clock, d *delivery) (r Reply) {
	name := spanDelivery
	if d.resumes {
		name = spanReading
	}
	d.span = e.trace(d.turn.Key).Start(name, trace.Server, d.message.Received)
	if d.span != nil {
		defer func() {
			d.span.Finish("", trace.Number("wechatbot.delivery", d.number), trace.Text("wechatbot.reply", string(r.Kind)))
		}()
	}
	return e.deliver(ctx, s, c, d)
}

// beginTrace begins what is traced of this process' work on the turn.
func (r *run) beginTrace() {
	t := &r.lease.Turn
	r.traced = r.trace(t.Key)
	if r.traced == nil {
		return
	}
	if r.result = outcomeOf(t); t.State.Over() {
		return
	}
	if t.Attempts == 1 {
		from := t.AcceptedAt
		if r.began.Before(from) { // the store's clock is ahead
			from = r.began
		}
		r.traced.Start(spanQueue, trace.Internal, from).FinishAt(r.began, "")
	}
	r.span = r.traced.Start(spanAnswer, trace.Internal, r.began)
}

// answered ends the span of this process' work, and the turn's if nothing is to be sent.
func (r *run) answered(outcome string, pushing bool) {
	if r.traced == nil {
		return
	}
	r.result = outcome
	r.span.Finish(failed(outcome), trace.Text("wechatbot.outcome", outcome), trace.Number("wechatbot.attempt", r.lease.Turn.Attempts),
		trace.Number("wechatbot.tries", r.tries))
	switch {
	case pushing:
	case outcome == outcomeLost, outcome == outcomeReleased, outcome == outcomeUnsaved:
		// Whoever has ended it, or will, ends the trace.
	default:
		r.endTrace(&r.lease.Turn, outcome)
	}
}

// pushed ends the turn's trace when no more is sent. A lease that is lost meanwhile is lost to the reply that has shown the
// rest, or to another process that goes on.
func (r *run) pushed(lost bool) {
	if r.traced == nil {
		return
	}
	if lost {
		if t, err := r.look(r.life); err == nil && t.Pushing {
			return
		}
	}
	r.endTrace(&r.lease.Turn, r.result)
}

// calling begins the span of a call of Dify, within which the context's requests are made.
func (r *run) calling(ctx context.Context, name string) (context.Context, *trace.Span) {
	span := r.span.Start(name, trace.Client, time.Now())
	if span == nil {
		return ctx, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.call = span
	return dify.Traced(ctx, span.Traceparent()), span
}

// called ends the span of a call of Dify.
func called(span *trace.Span, err error) {
	if span == nil {
		return
	}
	e, known := errors.AsType[*dify.Error](err)
	switch {
	case err == nil, known && e.Kind == dify.NotRunning: // that there is no answer yet is one
		span.Finish("")
	case known:
		span.Finish(string(e.Kind))
	default:
		span.Finish("other")
	}
}

// sending begins the span of a message outside any push; its end is endSend's.
func (r *run) sending() *trace.Span { return r.traced.Start(spanSend, trace.Client, time.Now()) }

func endSend(span *trace.Span, result session.SendResult) {
	if span == nil {
		return
	}
	failure := ""
	if result != session.Sent {
		failure = resultLabels[result]
	}
	span.Finish(failure, trace.Text("wechatbot.send", resultLabels[result]))
}
