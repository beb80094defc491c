package turn

import (
	"context"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// begunMark is the third word of a turn's reference once Dify has begun to run nodes or tools.
const begunMark = "begun"

// refOf returns a turn's reference: the IDs of Dify's message and task, and whether the run may have had effects. It is
// empty as long as Dify has named neither.
func refOf(message, task string, begun bool) string {
	if message == "" && task == "" {
		return ""
	}
	ref := message + " " + task
	if begun {
		ref += " " + begunMark
	}
	return ref
}

// takeOver continues from what the previous owner has reported.
func (r *run) takeOver() dify.Update {
	message, rest, _ := strings.Cut(r.lease.Turn.Ref, " ")
	task, mark, _ := strings.Cut(rest, " ")
	u := dify.Update{
		Text: r.lease.Turn.Answer.Markdown, ConversationID: r.lease.ConversationID,
		TaskID: task, MessageID: message, Begun: mark == begunMark,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = u
	return u
}

// resume takes the answer of a turn whose previous owner has died or given it up, if Dify has it: a run that outlives its
// client goes on, and any other may have ended just before. A run that still goes on is awaited. If found is false,
// nobody works on an answer, and Dify has to be asked.
func (r *run) resume(ctx context.Context) (answer dify.Answer, found bool, err error) {
	if r.lease.Turn.Attempts < 2 {
		return dify.Answer{}, false, nil
	}
	before := r.takeOver()
	if r.conversation != "" {
		answer, err = r.await(ctx, before.MessageID, r.askedAfter(ctx))
		if !unknownRun(err) {
			return answer, true, err
		}
	}
	if before.Begun { // the run is gone, but may have sent a mail: the follower decides whether to ask again
		return dify.Answer{Text: before.Text, ConversationID: r.conversation, MessageID: before.MessageID}, true,
			&dify.Error{Op: "await", Kind: dify.NotRunning, Effects: dify.BegunEffects}
	}
	r.jobs.run(func() { r.stopDify(before.TaskID) }) // nobody waits for what may still be generated
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = dify.Update{}
	return dify.Answer{}, false, nil
}

// await waits until Dify has the answer to the turn's question, which was asked for the first time after since.
func (r *run) await(ctx context.Context, message string, since time.Time) (dify.Answer, error) {
	t := r.lease.Turn
	answer, err := r.Dify.Await(ctx, dify.Run{
		User: t.Key.Follower, ConversationID: r.conversation, MessageID: message, Query: t.Question, Since: since,
	})
	if answer.Text == "" && err != nil {
		answer.Text = r.sofar().Text
	}
	return answer, err
}

// askedAfter returns a time before this turn's first call to Dify and after every other call for this follower.
func (r *run) askedAfter(ctx context.Context) time.Time {
	t := r.lease.Turn
	have, err := r.Store.Get(ctx, t.Key.Follower)
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
