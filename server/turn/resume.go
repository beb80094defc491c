package turn

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// reference is what a turn's Ref says of its run in Dify.
type reference struct {
	message, task string
	begun         bool // nodes or tools have been run: there may have been effects
	stopped       bool // it was stopped, or is about to be: what Dify keeps of its answer looks like a whole one

	form    *form       // that the run waits with
	submits *submission // what the turn does instead of asking
}

// Marks of a reference. Older releases pass over those that they do not know.
const (
	formMark    = "form?"
	submitsMark = "submits?"
)

// String is empty as long as Dify has named neither message nor task.
func (r reference) String() string {
	if r.message == "" && r.task == "" && r.submits == nil {
		return ""
	}
	ref := r.message + " " + r.task
	if r.begun {
		ref += " begun"
	}
	if r.stopped {
		ref += " stopped"
	}
	if r.form != nil {
		ref += " " + formMark + r.form.encode()
	}
	if r.submits != nil {
		ref += " " + submitsMark + r.submits.encode()
	}
	return ref
}

func parseReference(ref string) reference {
	var r reference
	r.message, ref, _ = strings.Cut(ref, " ")
	r.task, ref, _ = strings.Cut(ref, " ")
	marks := strings.Fields(ref)
	r.begun, r.stopped = slices.Contains(marks, "begun"), slices.Contains(marks, "stopped")
	for _, m := range marks {
		if encoded, ok := strings.CutPrefix(m, formMark); ok {
			r.form = parseForm(encoded)
		}
		if encoded, ok := strings.CutPrefix(m, submitsMark); ok {
			r.submits = parseSubmission(encoded)
		}
	}
	return r
}

// reference is what this run notes of itself.
func (r *run) reference(message, task string, begun bool) reference {
	return reference{message: message, task: task, begun: begun, submits: r.submits}
}

// takeOver continues from what the previous owner has reported.
func (r *run) takeOver() (dify.Update, reference) {
	ref := parseReference(r.lease.Turn.Ref)
	u := dify.Update{
		Text: r.lease.Turn.Answer.Markdown, ConversationID: r.lease.ConversationID,
		TaskID: ref.task, MessageID: ref.message, Begun: ref.begun,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = u
	return u, ref
}

// resume takes the answer of a turn whose previous owner has died or given it up, if Dify has it: a run that outlives its
// client goes on, and any other may have ended just before. A run that still goes on is awaited. If found is false,
// nobody works on an answer, and Dify has to be asked.
func (r *run) resume(ctx context.Context) (answer dify.Answer, found bool, err error) {
	if r.lease.Turn.Attempts < 2 {
		return dify.Answer{}, false, nil
	}
	before, ref := r.takeOver()
	if r.conversation != "" && (!ref.stopped || ref.message != "") {
		answer, err = r.await(ctx, ref, r.askedAfter(ctx))
		if !unknownRun(err) {
			return answer, true, err
		}
	}
	if ref.begun { // the run is gone, but may have sent a mail: the follower decides whether to ask again
		return dify.Answer{Text: before.Text, ConversationID: r.conversation, MessageID: before.MessageID}, true,
			&dify.Error{Op: "await", Kind: dify.NotRunning, Effects: dify.BegunEffects}
	}
	if r.markStopped(before) {
		r.jobs.run(func() { r.stopDify(before.TaskID) }) // nobody waits for what may still be generated
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = dify.Update{}
	return dify.Answer{}, false, nil
}

// markStopped records that a run is about to be stopped, so that no later owner of the turn takes what Dify keeps of its
// answer for the whole; false if that could not be recorded.
func (r *run) markStopped(u dify.Update) bool {
	if u.TaskID == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(r.life, callTimeout)
	defer cancel()
	ref := r.reference(u.MessageID, u.TaskID, u.Begun)
	ref.stopped = true
	err := r.Store.Progress(ctx, r.lease, session.Progress{Markdown: u.Text, ConversationID: u.ConversationID, Ref: ref.String()})
	if err != nil && !errors.Is(err, session.ErrLeaseLost) {
		r.storeFailed("recording that a run is stopped", err)
	}
	return err == nil
}

// await waits until Dify has the answer to the turn's question, which was asked for the first time after since, and not
// that of a run which was stopped.
func (r *run) await(ctx context.Context, ref reference, since time.Time) (dify.Answer, error) {
	t := r.lease.Turn
	lost := dify.Run{User: t.Key.Follower, ConversationID: r.conversation, MessageID: ref.message, Query: t.Question, Since: since}
	if ref.stopped {
		lost.MessageID, lost.Except = "", ref.message
	}
	ctx, span := r.calling(ctx, "dify await")
	answer, err := r.Dify.Await(ctx, lost)
	called(span, err)
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
