package dify

import (
	"context"
	"slices"
	"time"
)

// Run is a question whose stream was lost and whose run may continue in Dify.
type Run struct {
	User, ConversationID string
	// MessageID is that of Update or Answer. Without it, the message is found by Query and Since, a time before this
	// question and after the user's previous one.
	MessageID string
	// Except is a message that is not the run's, though it answers the same question: one that was stopped.
	Except string
	Query  string
	Since  time.Time
	// Resumed: a form that the run waited with was submitted, so that a paused message is one whose run goes on.
	Resumed bool
}

const (
	awaitEvery = 2 * time.Second
	awaitAmong = 5 // newest messages of the conversation that are searched
	awaitTries = 8 // failed requests in a row
)

// Await polls until Dify has stored the answer of a run, or ctx ends. The error is NotRunning if there is no such run and
// no answer. If ctx ends first, or Dify fails too often, the error has RunContinues set: the run may still continue, and
// should be stopped.
func (c *Client) Await(ctx context.Context, r Run) (Answer, error) {
	outlives := false
	for failed := 0; ; {
		m, err := c.find(ctx, r)
		running := m.running() || r.Resumed && m.Status == "paused"
		if err == nil && running && !outlives {
			var i Info
			i, err = c.Info(ctx)
			outlives = i.OutlivesClient()
			if err == nil && !outlives {
				return Answer{}, &Error{Op: "await", Kind: NotRunning}
			}
		}
		switch e, _ := err.(*Error); { //nolint:errorlint // every error of ours is one
		case err == nil && !running:
			a, err := m.stored()
			if a.Pause != nil {
				a.Pause = c.pauseOf(ctx, r.User, m.RunID)
			}
			return a, err
		case err == nil:
			failed = 0
		case e.Kind == NotRunning:
			return Answer{}, e
		case ctx.Err() == nil && (!e.MayRetry(failed) || failed >= awaitTries):
			e.RunContinues = true
			return Answer{ConversationID: r.ConversationID, MessageID: r.MessageID}, e
		default:
			failed++
		}
		if !sleep(ctx, awaitEvery) {
			e := transportError(ctx, "await", ctx.Err(), false)
			e.RunContinues = true
			return Answer{ConversationID: r.ConversationID, MessageID: r.MessageID}, e
		}
	}
}

// find returns the run's message of its conversation.
func (c *Client) find(ctx context.Context, r Run) (Message, error) {
	messages, err := c.Messages(ctx, r.ConversationID, r.User, awaitAmong)
	if err != nil {
		return Message{}, err
	}
	since := r.Since.Add(-time.Second) // Dify's times have whole seconds
	for _, m := range slices.Backward(messages) {
		if m.ID == r.MessageID || r.MessageID == "" && m.ID != r.Except && m.Query == r.Query && !m.CreatedAt.Before(since) {
			return m, nil
		}
	}
	return Message{}, &Error{Op: "await", Kind: NotRunning}
}

// running reports whether a message has no answer yet. One that will never have an answer looks the same.
func (m *Message) running() bool { return m.Answer == "" && len(m.Files) == 0 && m.Status == "normal" }

// stored returns the message's answer.
func (m *Message) stored() (Answer, error) {
	a := Answer{
		Text: m.Answer, Cut: m.Cut, Files: m.Files, ConversationID: m.ConversationID, MessageID: m.ID,
	}
	switch m.Status {
	case "paused":
		a.Pause = &Pause{}
	case "error":
		return a, &Error{Op: "await", Kind: WorkflowFailed, Effects: BegunEffects}
	}
	return a, nil
}

// sleep waits for d and returns true, or false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
