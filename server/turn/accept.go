package turn

import (
	"context"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// ask takes a delivery of a question: the first one starts its turn, all of them wait for it.
func (e *Engine) ask(ctx context.Context, s *Settings, m Message, question string) Reply {
	c := e.clock(s, m)
	return e.take(ctx, s, m, c, question, func() Reply { return e.take(ctx, s, m, c, question, nil) })
}

// take records a question, and waits for its turn. lost is what is done if the store loses the turn meanwhile; nil is nothing.
func (e *Engine) take(ctx context.Context, s *Settings, m Message, c clock, question string, lost func() Reply) Reply {
	begun, err := e.begin(ctx, s, m, c, question)
	if err == nil && begun.Verdict == session.Served {
		if r, handed := e.whileHanded(ctx, s, m, c); handed {
			return r
		}
		begun, err = e.begin(ctx, s, m, c, question)
	}
	if err != nil {
		return e.notBegun(ctx, s, m, c, err)
	}
	switch begun.Verdict {
	case session.Gone:
		return Reply{Kind: Silent}
	case session.Served: // once more, meanwhile
		return e.notice(e.linked(s, TextAwaitingHuman))
	case session.Busy:
		return e.refuse(s, TextBusy)
	case session.TooManyOpen:
		return e.refuse(s, TextTooManyOpen)
	case session.RateLimited:
		return e.refuse(s, TextRateLimited)
	case session.FollowerSpent:
		return e.overBudget(s, "follower", begun.Until)
	case session.BotSpent:
		return e.overBudget(s, "bot", begun.Until)
	default: // Started, Joined
		return e.deliverTraced(ctx, s, c, &delivery{message: m, number: max(m.Delivery, begun.Delivery), turn: begun.Turn, lost: lost})
	}
}

// begin records a question. A store that is away for a moment, while it restarts or fails over, is asked again for as
// long as this delivery may take: the question's key makes that the same question. What could start at once is started,
// also if this delivery has stopped waiting for the store by then.
func (e *Engine) begin(ctx context.Context, s *Settings, m Message, c clock, question string) (*session.Begun, error) {
	q := session.Question{Key: m.key(), Text: question, Media: m.Media, Window: e.window(s, m), Ref: m.ref, Again: m.again}
	return within(ctx, e, c.reply, func(ctx context.Context) (*session.Begun, error) {
		ctx, cancel := context.WithDeadline(ctx, c.deadline)
		defer cancel()
		for {
			begun, err := e.Store.Begin(ctx, q, e.mayClaim(), s.Limits)
			if err == nil && begun.Lease != nil {
				e.start(begun.Lease)
			}
			if err == nil || !pause(ctx, beginRetry) {
				return &begun, err
			}
			e.storeFailed("recording a question", err)
		}
	})
}

// notBegun is the reply to a question of which nobody knows whether it is recorded. If the follower is told that it was
// not taken, it is taken back.
func (e *Engine) notBegun(ctx context.Context, s *Settings, m Message, c clock, err error) Reply {
	r := e.refuse(s, TextBusy)
	if m.Delivery > 1 { // an earlier delivery may have recorded it
		r.Text = join(r.Text, s.more)
	}
	r = e.unavailable(ctx, s, m, c, "recording a question", err, r)
	if r.Kind == Refused {
		e.undo("taking a question back", func(ctx context.Context) error { return e.Store.Retract(ctx, m.key()) })
	}
	return r
}

func (e *Engine) refuse(s *Settings, key string) Reply {
	return Reply{Kind: Refused, Text: s.Texts.get(key)}
}
