package turn

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/dify/breaker"
)

const (
	maxTries     = 8 // Dify calls of one turn; with the pauses between them about 40 s
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
)

// ask calls Dify until there is an answer, a part of one, or no sense in another try.
func (r *run) ask(ctx context.Context) (dify.Answer, error) {
	var err error
	if r.files, err = r.attach(ctx); err != nil {
		return dify.Answer{}, err
	}
	for retried, dropped := 0, false; ; {
		r.tries++
		answer, err := r.chat(ctx)
		if err == nil {
			return answer, nil
		}
		if timedOut := errors.Is(context.Cause(ctx), context.DeadlineExceeded); timedOut || ctx.Err() == nil {
			r.Metrics.difyError(err) // otherwise the turn was given up: nothing is wrong with Dify
		}
		e := difyError(err)
		if len(r.files) > 0 && e.Kind == dify.InvalidParam { // the app has stopped to take them
			r.askAppAgain()
			return answer, &MediaError{PictureRefused, err}
		}
		if e.RunContinues || lostStream(e) && answer.MessageID != "" {
			if whole, err := r.await(ctx, reference{message: answer.MessageID}, r.began); !unknownRun(err) {
				return whole, err
			}
		}
		if !answer.Empty() || ctx.Err() != nil || r.tries >= maxTries {
			return answer, err
		}
		if e.DropConversation() && r.conversation != "" && !dropped {
			dropped, r.conversation = true, "" // a new conversation starts; the follower is not told
			continue
		}
		wait := max(backoff(r.tries), e.RetryAfter)
		if end, timed := ctx.Deadline(); !e.MayRetry(retried) || timed && time.Until(end) <= wait || !pause(ctx, wait) {
			return answer, err
		}
		retried++
	}
}

// chat asks once, unless the circuit breaker is open.
func (r *run) chat(ctx context.Context) (dify.Answer, error) {
	report, err := r.breaker.Allow()
	if err != nil {
		return dify.Answer{}, err
	}
	t := r.lease.Turn
	reading, done := r.reading(ctx)
	reading, span := r.calling(reading, "dify chat")
	answer, err := r.Dify.Chat(reading, dify.ChatRequest{
		Query:          t.Question,
		User:           t.Key.Follower,
		ConversationID: r.conversation,
		Inputs:         r.settings.Inputs,
		Files:          r.files,
	}, func(u dify.Update) {
		report(nil) // Dify answers
		r.received(u)
	})
	called(span, err)
	done()
	r.tokens += r.told(answer, err != nil || r.stopped || answer.Stopped)
	report(err)
	r.conversation = cmp.Or(answer.ConversationID, r.conversation)
	return answer, err
}

// backoff returns the pause after the nth failed try: it doubles, and differs between turns that failed together.
func backoff(n int) time.Duration {
	d := min(firstPause<<(n-1), longestPause)
	return d/2 + rand.N(d/2) //nolint:gosec // spreads load, guards no secret
}

// breakerChanged tells the platform team that questions fail without being asked, or are asked again.
func (e *Engine) breakerChanged(now breaker.State) {
	e.Metrics.breakerState(now)
	switch now {
	case breaker.Open:
		e.Log.Warn("Dify fails for every question: telling followers at once until a probing question succeeds")
	case breaker.Closed:
		e.Log.Info("Dify answers again")
	case breaker.HalfOpen:
	}
}
