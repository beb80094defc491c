package turn

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	typingLasts  = 15 * time.Second // how long WeChat shows that an answer is being written
	typings      = 3                // a later one is refused: the follower has said nothing for too long
	longTurn     = 15 * time.Second // of a turn that takes longer, a part is sent as soon as it has a paragraph
	partEvery    = 5 * time.Second  // how often it is looked whether it has
	sendTimeout  = 30 * time.Second // for one message
	whileSending = 200 * time.Millisecond
)

// Pusher writes to followers outside any push, by the account's own API. It is safe for concurrent use.
type Pusher interface {
	// Able tells whether the account may write to its followers, as far as is known.
	Able() bool
	// Send sends a text, and says what has become of it: session.Uncertain if nobody knows whether it has arrived.
	Send(ctx context.Context, follower, text string) session.SendResult
	// SendMedia sends a picture or a voice by its ID at WeChat's; kind is PictureMedia or VoiceMedia. The result is as Send's.
	SendMedia(ctx context.Context, follower, kind, mediaID string) session.SendResult
	// Suggest sends questions to tap below a head, with the channel's line that AI has made them. The result is as Send's.
	Suggest(ctx context.Context, follower, head string, questions []Choice) session.SendResult
	// Tell sends a line of the bot's own, which no AI has made. It is not tried again.
	Tell(ctx context.Context, follower, text string)
	// Typing shows the follower that an answer is being written, for 15 s. It does nothing where that is not possible.
	Typing(ctx context.Context, follower string)
}

// pushes tells whether answers that are not there in time are pushed.
func (e *Engine) pushes(s *Settings) bool { return s.Sends > 0 && e.Pusher != nil && e.Pusher.Able() }

// window is the window that a message opens, if any is of use.
func (e *Engine) window(s *Settings, m Message) *session.Window {
	if !e.pushes(s) {
		return nil
	}
	return m.Window
}

// Contact notes that a follower has done something which lets the account write to them.
func (e *Engine) Contact(m Message) {
	w := e.window(e.settings.Load(), m)
	if w == nil {
		return
	}
	e.jobs.run(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.life), callTimeout)
		defer cancel()
		if err := e.Store.Contact(ctx, m.Follower, *w); err != nil {
			e.storeFailed("recording a contact", err)
		}
	})
}

// sent waits until no part of the turn is on its way, as long as the delivery has time.
func (e *Engine) sent(ctx context.Context, c clock, d *delivery) error {
	for d.turn.Sending.State == session.Sending {
		if time.Until(c.deadline) <= 0 || !pause(ctx, min(whileSending, time.Until(c.deadline))) {
			return nil
		}
		if err := e.look(ctx, d, c.reply); err != nil {
			return err
		}
	}
	return nil
}

// accompany shows the follower that the answer is being written, and sends a part of one that takes long, until ctx ends.
func (r *run) accompany(ctx context.Context, k session.Key, accepted time.Time) {
	r.Pusher.Typing(ctx, k.Follower)
	typing, typed := time.NewTimer(typingLasts), 1
	defer typing.Stop()
	look := time.NewTimer(time.Until(accepted.Add(longTurn)))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-typing.C:
			if r.withHuman(ctx) {
				return
			}
			r.Pusher.Typing(ctx, k.Follower)
			typed++
			if typed < typings {
				typing.Reset(typingLasts)
			}
		case <-look.C:
			if !r.sendPart(ctx) {
				look.Reset(partEvery)
			}
		}
	}
}

// withHuman tells whether the follower was handed over since.
func (r *run) withHuman(ctx context.Context) bool {
	t, err := r.look(ctx)
	return err == nil && withHuman(&t)
}

// sendPart sends what there is of an answer that still grows, up to the end of a paragraph; false if it has none yet.
func (r *run) sendPart(ctx context.Context) bool {
	answer := session.Answer{Markdown: r.sofar().Text}
	text := r.Renderer.Partial(answer)
	end := strings.LastIndex(text, betweenBlocks)
	if end <= 0 {
		return false
	}
	t, err := r.look(ctx)
	if err != nil || t.State.Over() || r.forgotten(t) || t.Sends > 0 || t.Cursor.At > 0 { // the follower has something to read already
		return err == nil
	}
	if end > r.PageBytes {
		end, _ = r.Renderer.Page(text, 0, r.PageBytes)
	}
	page := text[:end]
	if head := r.heading(r.settings, &t, 0); len(head)+len(page) <= r.PageBytes {
		page = head + page
	}
	return r.send(ctx, t, outgoing{text: page, part: session.Part{To: cursor(text, end)}})
}

// push sends what the follower has not got of a turn that is over, and gives its lease up. The reply to the question may
// carry it as long as WeChat waits for that; then the lease is lost.
func (r *run) push(ctx context.Context) {
	if !r.awaitReply(ctx) {
		r.leavePush(ctx)
		return
	}
	for {
		t, err := r.look(ctx)
		if err != nil {
			r.storeFailed("looking at a turn to push", err)
			if !pause(ctx, storeRetry) {
				r.leavePush(ctx)
				return
			}
			continue
		}
		out, more := r.compose(t)
		if !more && r.sendExtra(ctx, t) {
			continue // a reply may have been lost meanwhile
		}
		if !more && ctx.Err() != nil {
			r.leavePush(ctx)
			return
		}
		if !more {
			r.endPush(true)
			return
		}
		if r.forgotten(t) || t.Sends >= r.settings.Sends || t.Sending.State != session.NotSending || !r.send(ctx, t, out) {
			r.endPush(false)
			return
		}
		if ctx.Err() != nil {
			r.leavePush(ctx)
			return
		}
	}
}

// forgotten tells whether the store has lost what this process has sent, as a Redis that was restarted may have lost what
// it had not written: the follower can ask for it, and it is not sent again.
func (r *run) forgotten(t session.Turn) bool { return t.Cursor.At < r.sentTo.At }

// outgoing is a message to send.
type outgoing struct {
	text string
	part session.Part
	send func(ctx context.Context) session.SendResult // in place of the text
}

// compose is the next message with what the follower has not got of a turn that is over; false if there is no more.
func (r *run) compose(t session.Turn) (outgoing, bool) {
	text := r.text(t)
	from := t.Cursor
	if !fits(from, text) {
		from = session.Cursor{} // the text has changed: better twice than not at all
	}
	head, tail := r.heading(r.settings, &t, from.At), r.ending(r.settings, t, text)
	start := unblanked(text, from.At)
	rest := text[start:]
	if t.Delivered || rest == "" && tail == "" {
		return outgoing{}, false
	}
	if whole := head + join(rest, tail); len(whole) <= r.PageBytes {
		return outgoing{text: whole, part: session.Part{To: cursor(text, len(text)), End: true}}, true
	}
	link := ""
	if t.Sends+1 >= r.settings.Sends { // the last one that may be sent
		link = r.onward(r.settings, t, "")
	}
	end, to := r.Renderer.Page(text, start, r.PageBytes-len(head)-len(link)-len(betweenBlocks))
	return outgoing{text: head + join(text[start:end], link), part: session.Part{To: cursor(text, to)}}, true
}

// look reads the turn as it is, also once ctx has ended.
func (r *run) look(ctx context.Context) (session.Turn, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	return r.Store.Turn(ctx, r.lease.Turn.Key)
}

// send sends a message, recorded before and after, so that no other process sends it too; false if no more is to be sent.
// Once it is recorded it is sent, whatever ends meanwhile.
func (r *run) send(ctx context.Context, t session.Turn, out outgoing) (goOn bool) {
	verdict, err := r.beginSend(ctx, t, out.part)
	switch {
	case errors.Is(err, session.ErrLeaseLost) || err == nil && verdict == session.SendMoved && ctx.Err() == nil:
		// A reply shows it: what comes next is looked at anew.
		return err == nil
	case err != nil:
		return false
	case verdict == session.SendNot:
		r.Metrics.sends.WithLabelValues("notOpen").Inc()
		return false
	}
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	span := r.sending()
	result := r.sendNow(sending, t.Key.Follower, out)
	endSend(span, result)
	r.Metrics.sends.WithLabelValues(resultLabels[result]).Inc()
	if result == session.Sent || result == session.Uncertain {
		r.sentTo = out.part.To
	}
	err = r.persistently("recording the end of a send", func(ctx context.Context) error {
		return r.Store.EndSend(ctx, r.lease, result)
	})
	return err == nil && result == session.Sent
}

// sendNow sends. Whether a message has arrived whose send has met a bug, nobody knows.
func (r *run) sendNow(ctx context.Context, follower string, out outgoing) (result session.SendResult) {
	defer func() {
		if p := recover(); p != nil {
			r.panicked("a send", p)
			result = session.Uncertain
		}
	}()
	if out.send != nil {
		return out.send(ctx)
	}
	return r.Pusher.Send(ctx, follower, out.text)
}

// resultLabels are the results of sends in metrics.
var resultLabels = map[session.SendResult]string{
	session.Sent: "sent", session.Refused: "refused", session.WindowClosed: "windowClosed", session.Uncertain: "uncertain",
}

// beginSend records that a part is about to be sent. After a call with an unknown outcome the record tells.
func (r *run) beginSend(ctx context.Context, t session.Turn, p session.Part) (v session.SendVerdict, err error) {
	for tried := false; ; tried = true {
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		v, err = r.Store.BeginSend(call, r.lease, t.Cursor, p)
		cancel()
		if err == nil && v == session.SendMoved && tried {
			now, err := r.look(ctx)
			if err == nil && now.Sending.State == session.Sending && now.Sending.To == p.To {
				return session.SendNow, nil // by the call before
			}
		}
		if err == nil || errors.Is(err, session.ErrLeaseLost) {
			return v, err
		}
		r.storeFailed("recording a send", err)
		if !pause(ctx, storeRetry) {
			return v, err
		}
	}
}

// endPush gives up the lease of a turn that is over. all tells that the follower has got all of it.
func (r *run) endPush(all bool) {
	err := r.persistently("ending a push", func(ctx context.Context) error { return r.Store.EndPush(ctx, r.lease, all) })
	r.pushed(errors.Is(err, session.ErrLeaseLost))
}

// leavePush leaves a turn that is over to the next process, if this one ends before all is sent.
func (r *run) leavePush(ctx context.Context) {
	if errors.Is(context.Cause(ctx), session.ErrLeaseLost) {
		r.pushed(true)
		return
	}
	r.release(r.lease)
}
