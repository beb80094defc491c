package turn

import (
	"context"
	"errors"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/trace"
)

// showTries is how often a reply is composed anew because somebody else has shown something of the turn meanwhile.
const showTries = 3

// delivery is one delivery of a message that wants a turn's text: of the turn's question, or of a fetch.
type delivery struct {
	message Message
	number  int
	turn    session.Turn
	resumes bool
	again   *session.Cursor // where in the text to begin, if it is not the turn's cursor
	lost    func() Reply    // records the question again, if it is one

	suggestions func(t *session.Turn) []string // after a turn's answer

	span *trace.Span // nil if it is not traced
}

// deliver waits for the turn and replies with what there is when this delivery's time is up; or lets it time out, so
// that the channel delivers it again and the answer can be the reply to that.
func (e *Engine) deliver(ctx context.Context, s *Settings, c clock, d *delivery) Reply {
	waited := !d.turn.State.Over()
	if waited {
		held, err := e.wait(ctx, s, c, d)
		if err != nil {
			return e.unavailable(ctx, s, d.message, c, "waiting for an answer", err, e.waiting(s, d.turn, ""))
		}
		if held {
			return Reply{Kind: Held}
		}
		// It was stopped, cleared or forgotten; or the store has lost it, as a Redis that crashes loses what it has not written.
		// Recorded again it is known to be gone, or it starts.
		if d.turn.State == session.Cancelled && d.lost != nil && ctx.Err() == nil {
			return d.lost()
		}
	}
	if ctx.Err() != nil { // the channel has given this delivery up: what it would show is for the next
		return Reply{Kind: Held}
	}
	if !d.resumes && withHuman(&d.turn) { // the follower can ask for it later
		return Reply{Kind: Silent}
	}
	if !d.resumes && e.pushes(s) && !d.turn.State.Over() {
		return Reply{Kind: Pushed}
	}
	if d.turn.Sending.State == session.Sending {
		if r, done := e.whileSending(ctx, s, c, d); done {
			return r
		}
	}
	if !d.resumes && d.turn.Sending.State == session.SendUnknown {
		return e.perhapsSent(s)
	}
	if ctx.Err() != nil {
		return Reply{Kind: Held}
	}
	d.suggestions = func(t *session.Turn) []string { return e.suggestionsFor(ctx, s, c, d, t) }
	r := e.show(ctx, s, c, d)
	if waited && d.turn.State.Over() && r.Kind != Silent {
		r.Ready = d.turn.FinishedAt
	}
	return r
}

// wait waits for the turn's end until the deadline, and then, if the channel delivers the message again and the bot has
// a hold, until the channel has given this delivery up. held tells that there is nothing to show to this delivery.
func (e *Engine) wait(ctx context.Context, s *Settings, c clock, d *delivery) (held bool, err error) {
	if err = e.await(ctx, d, c.deadline, c.reply); err != nil || d.turn.State.Over() {
		return false, err
	}
	if d.number >= e.Deliveries || e.pushes(s) || !e.hold(ctx, s, c) {
		return false, nil
	}
	d.span.Event(eventHold)
	err = e.await(ctx, d, c.holdUntil, c.holdUntil.Add(afterDeadline))
	switch {
	case err == nil:
		return !d.turn.State.Over(), nil
	case ctx.Err() != nil:
		return true, nil //nolint:nilerr // the channel has given this delivery up, as is wanted
	case time.Now().Before(c.reply): // there is time to say that the answer is waited for
		return false, err
	}
	e.storeFailed("waiting for an answer", err)
	return true, nil
}

// await waits for the turn's end until a time. The store has a little longer to say how it is then.
func (e *Engine) await(ctx context.Context, d *delivery, until, last time.Time) error {
	return session.Await(ctx, e.Store, d.turn.Key, until, &d.turn, func(ctx context.Context) error { return e.look(ctx, d, last) })
}

// look reads the turn as it is.
func (e *Engine) look(ctx context.Context, d *delivery, last time.Time) error {
	k := d.turn.Key
	t, err := within(ctx, e, last, func(ctx context.Context) (session.Turn, error) { return e.Store.Turn(ctx, k) })
	if err == nil {
		d.turn = t
	}
	return err
}

// whileSending replies to a delivery while a part of its turn is on its way to the follower: to the question with nothing,
// to the wish to read on with what comes behind the part; done is false if that is to be shown.
func (e *Engine) whileSending(ctx context.Context, s *Settings, c clock, d *delivery) (r Reply, done bool) {
	if !d.resumes {
		return Reply{Kind: Pushed}, true
	}
	if err := e.sent(ctx, c, d); err != nil {
		return e.unavailable(ctx, s, d.message, c, "waiting for a send", err, e.waiting(s, d.turn, "")), true
	}
	if d.turn.Delivered || d.turn.Sending.State == session.Sending {
		return e.notice(s.Texts.get(TextSent)), true
	}
	return Reply{}, false
}

// perhapsSent replies to a question whose answer may have been sent: shown again it might be there twice, and who has not got it can ask
// for it.
func (e *Engine) perhapsSent(s *Settings) Reply { return e.notice(join(s.Texts.get(TextSent), s.more)) }

// show replies with what there is of the turn, and records it before it is written: of two replies that would show the
// same, one does. If the record cannot be made, it is left to the next delivery if what it shows is pushed otherwise, or
// else shown: better twice than not at all.
func (e *Engine) show(ctx context.Context, s *Settings, c clock, d *delivery) Reply {
	last := c.reply
	if time.Now().After(last) { // it was held
		last = c.holdUntil
	}
	for try := 1; ; try++ {
		r := e.compose(ctx, s, last, d)
		if r.receipt == nil {
			return r
		}
		_, err := within(ctx, e, last, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, e.Store.Show(ctx, d.message.Follower, r.receipt.Receipt)
		})
		switch {
		case err == nil:
			return r
		case !errors.Is(err, session.ErrMoved) || try == showTries:
			e.storeFailed("recording a reply", err)
			if e.leaveUnrecorded(ctx, s, c, d) {
				return Reply{Kind: Held}
			}
			return r
		}
		if err := e.look(ctx, d, last); err != nil {
			e.storeFailed("looking at a turn", err)
			return r
		}
		d.again = nil // what it would have shown again somebody has just shown
		switch {
		case d.turn.Delivered:
			return Reply{Kind: Silent}
		case d.turn.Sending.State == session.Sending:
			return Reply{Kind: Pushed}
		case d.turn.Sending.State == session.SendUnknown && !d.resumes:
			return e.perhapsSent(s)
		}
	}
}

// leaveUnrecorded leaves a reply that could not be recorded to the next delivery, if there is one: in push mode the text
// would be sent once more, by this process or the one after it. Whether it was recorded nobody knows, so the reply is
// neither shown nor acknowledged: the next delivery takes back what was recorded.
func (e *Engine) leaveUnrecorded(ctx context.Context, s *Settings, c clock, d *delivery) bool {
	if !e.pushes(s) || d.number >= e.Deliveries || !e.hold(ctx, s, c) {
		return false
	}
	pause(ctx, time.Until(c.holdUntil))
	return true
}

// compose is the reply with what there is of the turn. Of one that is not over that is its new text, else an answer to
// an earlier question that the follower has not got, else a waiting line.
func (e *Engine) compose(ctx context.Context, s *Settings, last time.Time, d *delivery) Reply {
	if d.turn.Delivered && d.again == nil { // by the reply to another message; or there was nothing to show
		return Reply{Kind: Silent}
	}
	r := e.page(s, d, d.turn)
	if r.Kind != Waiting || d.resumes || d.turn.Others == 0 {
		return r
	}
	have, err := within(ctx, e, last, func(ctx context.Context) (session.Session, error) {
		return e.Store.Get(ctx, d.message.Follower)
	})
	if err != nil {
		e.storeFailed("looking for an undelivered answer", err)
		return r
	}
	for _, t := range have.Turns {
		if t.Key != d.turn.Key && t.State.Over() && !t.Delivered && t.Sending.State != session.SendUnknown {
			return e.page(s, d, t)
		}
	}
	return r
}

// Unsend takes back what a reply shows: it could not be written, so its text is still to be fetched.
func (e *Engine) Unsend(r Reply) {
	if r.receipt == nil {
		return
	}
	k := session.Key{Follower: r.receipt.follower, ID: r.receipt.Message}
	e.undo("taking a reply back", func(ctx context.Context) error { return e.Store.Unshow(ctx, k) })
}
