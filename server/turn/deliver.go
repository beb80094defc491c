package turn

import (
	"context"
	"errors"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// ask takes a delivery of a question: the first one starts its turn, all of them wait for it.
func (e *Engine) ask(ctx context.Context, m Message, question string) Reply {
	s := e.settings.Load()
	begun, err := e.begin(ctx, s, m, question)
	switch {
	case e.movesOn(m, err):
		return e.leave(ctx, m)
	case err != nil && ctx.Err() != nil: // nobody is there to be told that it was refused
		return Reply{Kind: Held}
	case err != nil && m.Delivery > 1 && m.Delivery < e.Deliveries: // nobody knows: the next may meet a replica that does
		e.storeFailed("recording a question", err)
		return Reply{Kind: Held}
	case err != nil:
		e.retract(m.key())
		r := e.storeDown(ctx, s, m, "recording a question", err)
		if m.Delivery > 1 { // an earlier delivery may have recorded it
			r.Text = join(r.Text, s.more)
		}
		return r
	}
	if begun.Lease != nil {
		e.start(begun.Lease)
	}
	switch begun.Verdict {
	case session.Gone:
		return Reply{Kind: Silent}
	case session.Busy:
		return e.refuse(s, TextBusy)
	case session.Impatient:
		return e.refuse(s, TextTooManyOpen)
	case session.RateLimited:
		return e.refuse(s, TextRateLimited)
	default: // Started, Joined
		e.unsend(ctx, m.Follower, begun.Receipt)
		return e.deliver(ctx, s, delivery{
			message: m, number: max(m.Delivery, begun.Delivery), turn: begun.Turn,
		})
	}
}

// begin records a question. A store that is away for a moment, while it restarts or fails over, is asked again for as
// long as this delivery may take: the question's key makes that the same question. The second of three deliveries may
// take all of the channel's patience: it can be neither refused, as the first may have been recorded, nor accepted.
func (e *Engine) begin(ctx context.Context, s *Settings, m Message, question string) (session.Begun, error) {
	until := m.Received.Add(s.Deadline)
	if m.Delivery > 1 && m.Delivery < e.Deliveries {
		until = m.Received.Add(e.HoldFor)
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		begun, err := e.Store.Begin(ctx, session.Question{Key: m.key(), Text: question}, e.owner(), s.Limits)
		if err == nil || !pause(ctx, beginRetry) {
			return begun, err
		}
		e.storeFailed("recording a question", err)
	}
}

// retract sees that a question that was refused, as the store failed, is not answered all the same: the store may have
// recorded it. It tries as long as the store needs to come back.
func (e *Engine) retract(k session.Key) {
	e.jobs.run(func() {
		ctx, cancel := context.WithTimeout(e.life, tidyFor)
		defer cancel()
		for {
			err := e.Store.Retract(ctx, k)
			if err == nil || !pause(ctx, beginRetry) {
				return
			}
			e.storeFailed("taking a question back", err)
		}
	})
}

// unsend takes back what an earlier delivery of a message has shown: as it is delivered again, that reply was lost, and
// this delivery may be lost too, or show something else.
func (e *Engine) unsend(ctx context.Context, follower string, shown *session.Receipt) {
	if shown == nil {
		return
	}
	r := *shown
	r.To, r.Sum, r.Told = r.From, r.FromSum, false
	if err := e.Store.Delivered(ctx, follower, r); err != nil {
		e.storeFailed("taking back what a lost reply has shown", err)
	}
}

// delivery is one delivery of a message that wants a turn's text: of the turn's question, or of a fetch.
type delivery struct {
	message Message
	number  int
	turn    session.Turn
	fetch   bool
	from    mark // where in the text to go on
}

// mark is a place in a turn's text. The checksum of what is before it tells whether the text is still the same there.
type mark struct {
	at  int
	sum uint64
}

// deliver waits for the turn and replies with what there is when this delivery's time is up; or lets it time out, so
// that the channel delivers it again and the answer can be the reply to that.
func (e *Engine) deliver(ctx context.Context, s *Settings, d delivery) Reply {
	waited := !d.turn.State.Over()
	if waited {
		t, err := e.await(ctx, d.turn.Key, d.message.Received.Add(s.Deadline))
		if err != nil {
			return e.unknown(ctx, s, d.message, d.turn, "waiting for an answer", err)
		}
		d.turn = t
	}
	if !d.turn.State.Over() && d.number < e.Deliveries && e.hold(ctx, s) {
		t, err := e.await(ctx, d.turn.Key, d.message.Received.Add(e.HoldFor))
		if err != nil {
			return e.unknown(ctx, s, d.message, d.turn, "holding a delivery", err)
		}
		d.turn = t
		if !d.turn.State.Over() {
			return Reply{Kind: Held}
		}
	}
	if ctx.Err() != nil { // the channel has given this delivery up: what it would show is for the next
		return Reply{Kind: Held}
	}
	var r Reply
	if d.turn.State.Over() {
		r = e.whole(s, d)
	} else {
		r = e.interim(ctx, s, d)
	}
	if waited && d.turn.State.Over() && r.Kind != Silent {
		r.Ready = d.turn.FinishedAt
	}
	return r
}

func (e *Engine) await(ctx context.Context, k session.Key, until time.Time) (session.Turn, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return e.Store.Await(ctx, k)
}

// hold takes a hold out of the budget: a delivery that is left to time out counts as a failure for the channel.
func (e *Engine) hold(ctx context.Context, s *Settings) bool {
	if ctx.Err() != nil {
		return true // nobody is there to be replied to
	}
	ok, err := e.Store.TakeHold(ctx, s.HoldsPerMinute)
	if err != nil {
		e.storeFailed("taking a hold", err)
		return false
	}
	switch {
	case ok:
		e.Metrics.holds.Inc()
	case s.HoldsPerMinute > 0: // who has no budget misses none
		e.Metrics.noHolds.Inc()
	}
	return ok
}

// whole shows a turn that is over.
func (e *Engine) whole(s *Settings, d delivery) Reply {
	if e.empty(d.turn) {
		return Reply{Kind: Silent}
	}
	return e.compose(s, d, d.turn)
}

// interim shows what there is of a turn that is not over: its new text, else an answer to an earlier question that the
// follower has not seen, else a waiting line.
func (e *Engine) interim(ctx context.Context, s *Settings, d delivery) Reply {
	r := e.compose(s, d, d.turn)
	if r.Kind != Waiting || d.fetch || d.turn.Others == 0 {
		return r
	}
	have, err := e.Store.Look(ctx, d.message.Follower)
	if err != nil {
		e.storeFailed("looking for an unseen answer", err)
		return r
	}
	for _, t := range have.Turns {
		if t.Key == d.turn.Key || !t.State.Over() || t.Told || e.empty(t) {
			continue
		}
		d.from = mark{t.Seen, t.SeenSum}
		return e.compose(s, d, t)
	}
	return r
}

// storeDown is the reply when the store cannot be asked: what the follower wants was not done, and they are told so.
func (e *Engine) storeDown(ctx context.Context, s *Settings, m Message, doing string, err error) Reply {
	if e.movesOn(m, err) {
		return e.leave(ctx, m)
	}
	e.storeFailed(doing, err)
	return e.refuse(s, TextBusy)
}

// unknown is the reply when the store cannot say how far an accepted turn is: there is a link to ask again.
func (e *Engine) unknown(ctx context.Context, s *Settings, m Message, t session.Turn, doing string, err error) Reply {
	if e.movesOn(m, err) {
		return e.leave(ctx, m)
	}
	e.storeFailed(doing, err)
	return e.waiting(s, t, "")
}

// movesOn tells whether a message is left to its next delivery, as the sessions are on their way from one process to
// another.
func (e *Engine) movesOn(m Message, err error) bool {
	return errors.Is(err, session.ErrElsewhere) && m.Delivery < e.Deliveries
}

// leave lets a delivery time out.
func (e *Engine) leave(ctx context.Context, m Message) Reply {
	pause(ctx, time.Until(m.Received.Add(e.HoldFor)))
	return Reply{Kind: Held}
}

func (e *Engine) refuse(s *Settings, key string) Reply {
	return Reply{Kind: Refused, Text: s.Texts.get(key)}
}

func (m Message) key() session.Key { return session.Key{Follower: m.Follower, ID: m.ID} }
