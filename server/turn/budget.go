package turn

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// overBudget refuses a question because a budget is used up until a time.
func (e *Engine) overBudget(s *Settings, budget string, until time.Time) Reply {
	e.Metrics.budgetRefusals.WithLabelValues(budget).Inc()
	if zone := s.Limits.Tokens.Zone; zone != nil {
		until = until.In(zone)
	}
	text := strings.ReplaceAll(s.Texts.get(TextBudgetSpent), "{{time}}", until.Format(s.Texts.moment))
	return Reply{Kind: Refused, Text: text}
}

// used is what the run has used, as far as Dify has told.
func (r *run) used() session.Use {
	budget := r.settings.Limits.Tokens
	return session.Use{Tokens: r.tokens, Zone: budget.Zone, Each: budget.Follower > 0}
}

// bytesPerToken is about how many bytes of text models make a token of: a Chinese character, a short English word.
const bytesPerToken = 3

// told is how many tokens an answer has used. Of one whose end Dify has not told, or to which it has ascribed none as it was
// stopped, the question and what has come count by their length: to stop each answer is no way to read for nothing.
func (r *run) told(a dify.Answer, guess bool) int64 {
	if a.Usage.TotalTokens > 0 || !guess || a.Text == "" {
		return int64(a.Usage.TotalTokens)
	}
	return int64(len(r.lease.Turn.Question)+len(a.Text)) / bytesPerToken
}

// countUse counts what the run has used although this process does not end its turn. It is tried once: counted twice, it would
// be somebody's loss.
func (r *run) countUse() {
	if r.tokens == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.life), callTimeout)
	defer cancel()
	if err := r.Store.Use(ctx, r.lease.Turn.Key.Follower, r.used()); err != nil {
		r.storeFailed("counting tokens", err)
	}
}

// reading is the context to read an answer in. It ends with ctx, but for a turn that was stopped, cleared or forgotten: then Dify
// is told to stop, and has a moment to say what the run has used. done ends it.
func (r *run) reading(ctx context.Context) (reading context.Context, done func()) {
	reading, end := context.WithCancelCause(r.timed)
	told := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(told)
		defer end(context.Cause(ctx))
		if !errors.Is(context.Cause(ctx), session.ErrLeaseLost) || !r.over() {
			return
		}
		last := time.AfterFunc(stopWait, func() { end(context.Cause(ctx)) })
		defer last.Stop()
		r.stopped = true
		if r.stopDify(r.sofar().TaskID) {
			<-reading.Done()
		}
	})
	return reading, func() {
		end(nil)
		if !unwatch() {
			<-told
		}
	}
}
