package turn

import (
	"context"
	"errors"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
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
