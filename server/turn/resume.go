package turn

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

const (
	resumeEvery = 2 * time.Second // how often Dify is asked whether a run that outlives its client is over
	resumeAmong = 5               // of a conversation's newest messages; a follower's turns run one after another
)

// noteOf is what the next owner of a turn has to know of its call to Dify; "" while there is nothing to know.
func noteOf(u dify.Update) string {
	if u.MessageID == "" && u.TaskID == "" {
		return ""
	}
	return u.MessageID + " " + u.TaskID
}

// inherit takes over how far the owner before has come.
func (r *run) inherit() {
	message, task, _ := strings.Cut(r.lease.Note, " ")
	r.latest = dify.Update{
		Text: r.lease.Turn.Partial, ConversationID: r.lease.ConversationID, TaskID: task, MessageID: message,
	}
}

// disinherit gives up what the owner before has begun. Nobody waits for it any more: it is stopped, as it costs money.
func (r *run) disinherit() {
	task := r.sofar().TaskID
	r.jobs.run(func() { r.stopDify(task) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = dify.Update{}
}

// resume looks whether Dify has the answer of a turn whose owner before has died or given it up: a run that outlives
// its client has gone on, and any other may have ended just before. A run that still goes on is waited for, until ctx
// ends. If found is false nobody works on an answer, and Dify has to be asked.
func (r *run) resume(ctx context.Context) (answer dify.Answer, found bool, err error) {
	if r.lease.Turn.Attempts < 2 {
		return dify.Answer{}, false, nil
	}
	r.inherit()
	if answer, found, err = r.fetch(ctx, r.askedAfter(ctx)); !found {
		r.disinherit()
	}
	return answer, found, err
}

// rest looks whether Dify goes on with an answer whose stream broke: a proxy before it may have lost patience. It is
// waited for as in resume.
func (r *run) rest(ctx context.Context) (answer dify.Answer, found bool, err error) {
	if r.sofar().MessageID == "" {
		return dify.Answer{}, false, nil
	}
	return r.fetch(ctx, r.began)
}

// fetch takes the answer to the turn's question from Dify, which was first asked it after since.
func (r *run) fetch(ctx context.Context, since time.Time) (answer dify.Answer, found bool, err error) {
	for failed := 0; r.conversation != "" && failed < maxTries; {
		m, goesOn, err := r.lookUp(ctx, since)
		wait := resumeEvery
		switch {
		case temporary(err):
			failed++
			wait = max(backoff(failed), retryAfter(err))
		case err == nil && (m.Answer != "" || m.Status == "paused"):
			return stored(m)
		case !goesOn && ctx.Err() == nil:
			return dify.Answer{}, false, nil
		}
		if !pause(ctx, wait) {
			return dify.Answer{Text: r.sofar().Text, ConversationID: r.conversation}, true, ctx.Err()
		}
	}
	return dify.Answer{}, false, nil
}

// askedAfter is a time before this turn's first call to Dify and after every other call for this follower.
func (r *run) askedAfter(ctx context.Context) time.Time {
	t := r.lease.Turn
	have, err := r.Store.Look(ctx, t.Key.Follower)
	if err != nil {
		r.storeFailed("looking for what was asked before", err)
	}
	after := t.AcceptedAt
	for _, other := range have.Turns {
		if other.FinishedAt.After(after) {
			after = other.FinishedAt
		}
	}
	return after
}

// lookUp finds the turn's question in Dify: by its id, or, as its owner may have died before that was noted, by its
// words. goesOn tells that there is no answer yet but somebody works on it.
func (r *run) lookUp(ctx context.Context, since time.Time) (m dify.Message, goesOn bool, err error) {
	messages, err := r.Dify.Messages(ctx, r.conversation, r.lease.Turn.Key.Follower, resumeAmong)
	if err != nil {
		return dify.Message{}, false, err
	}
	noted := r.sofar().MessageID
	since = since.Add(-time.Second) // Dify tells the second only
	for _, m := range slices.Backward(messages) {
		if m.ID != noted && (m.Query != r.lease.Turn.Question || m.CreatedAt.Before(since)) {
			continue
		}
		if m.Answer != "" || m.Status != "normal" {
			return m, false, nil
		}
		info, err := r.Dify.Info(ctx)
		return m, err == nil && info.OutlivesClient(), err
	}
	return dify.Message{}, false, nil
}

// stored is what Dify has kept of an answer.
func stored(m dify.Message) (answer dify.Answer, found bool, err error) {
	if m.Status == "error" {
		err = &dify.Error{Op: "messages", Kind: dify.Interrupted}
	}
	return dify.Answer{
		Text: m.Answer, ConversationID: m.ConversationID, MessageID: m.ID, Cut: m.Cut, Paused: m.Status == "paused",
	}, true, err
}
