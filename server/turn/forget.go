package turn

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// forgetFor is how long a deletion in Dify is tried.
const forgetFor = time.Minute

// deleteConversations deletes conversations in Dify. No reply waits for it.
func (e *Engine) deleteConversations(follower string, ids ...string) {
	ctx, cancel := context.WithTimeout(e.life, forgetFor)
	defer cancel()
	for _, id := range ids {
		err := e.patiently(ctx, func() error { return e.Dify.DeleteConversation(ctx, id, follower) })
		if err != nil {
			e.Log.Warn("Could not delete a conversation in Dify", "follower", e.Alias(follower), "error", err)
			return
		}
	}
}

// forgetInDify deletes all conversations that Dify has of a follower.
func (e *Engine) forgetInDify(follower string) {
	ctx, cancel := context.WithTimeout(e.life, forgetFor)
	defer cancel()
	err := e.patiently(ctx, func() error {
		_, err := e.Dify.DeleteConversations(ctx, follower)
		return err
	})
	if err != nil {
		e.Log.Warn("Could not delete a follower's conversations in Dify", "follower", e.Alias(follower), "error", err)
	}
}

// patiently makes a call until it succeeds, or another try cannot help.
func (e *Engine) patiently(ctx context.Context, call func() error) error {
	for try := 1; ; try++ {
		err := call()
		e, ours := errors.AsType[*dify.Error](err)
		if err == nil || ours && !e.MayRetry(try-1) || !pause(ctx, backoff(try)) {
			return err
		}
	}
}

// ownKey names what is done to a follower without a message of theirs.
func ownKey(follower string) session.Key {
	return session.Key{Follower: follower, ID: "operator-" + rand.Text()}
}

// ClearSession does what the follower's /clear does, on the word of whoever runs the bot. The follower is told nothing.
func (e *Engine) ClearSession(ctx context.Context, follower string) error {
	conversation, err := e.endingAll(ctx, follower, func() (string, error) { return e.Store.Clear(ctx, ownKey(follower)) })
	if err == nil && conversation != "" {
		e.jobs.run(func() { e.deleteConversations(follower, conversation) })
	}
	return err
}

// StopTurn ends the follower's running turn, or else the next waiting one, on the word of whoever runs the bot. ok is false
// if none was open. The follower is told by the reply that waits for it, by a message where answers are pushed, or when they
// ask for the answer.
func (e *Engine) StopTurn(ctx context.Context, follower string) (ok bool, err error) {
	t, ok, err := e.Store.Stop(ctx, ownKey(follower), e.pushes(e.settings.Load()))
	if ok && !t.Pushing { // else whoever sends it ends the trace
		e.endTrace(&t, session.Stopped)
	}
	return ok, err
}
