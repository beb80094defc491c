package turn

import (
	"context"
	"errors"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// Failure says why a turn has no answer, or not a whole one, in the words that a follower can use. The stores keep it.
type Failure string

// The failures. Each has a text of its own.
const (
	CutShort      Failure = "cutShort"      // the answer broke off
	Overloaded    Failure = "busy"          // Dify has no place, or is down
	QuotaExceeded Failure = "quotaExceeded" // the model provider's credit is used up
	Misconfigured Failure = "misconfigured" // key, app or inputs are wrong: the platform team has to act
	TimedOut      Failure = "timedOut"      // Dify did not answer in time
	Unanswered    Failure = "failed"        // anything else
)

// failureOf sorts an error of a Dify call that gave no text.
func failureOf(err error) Failure {
	if errors.Is(err, context.DeadlineExceeded) {
		return TimedOut
	}
	e, ok := errors.AsType[*dify.Error](err)
	if !ok {
		return Unanswered
	}
	if e.Temporary() {
		return Overloaded
	}
	switch e.Kind {
	case dify.QuotaExceeded:
		return QuotaExceeded
	case dify.Unauthorized, dify.Forbidden, dify.NotFound, dify.AppUnavailable, dify.WrongAppMode, dify.InvalidParam:
		return Misconfigured
	case dify.FirstEventTimeout, dify.IdleTimeout:
		return TimedOut
	default:
		return Unanswered
	}
}

// temporary tells whether another try may help.
func temporary(err error) bool {
	e, ok := errors.AsType[*dify.Error](err)
	return ok && e.Temporary()
}

// conversationGone tells whether the conversation to continue is the cause, as far as Dify lets one know.
func conversationGone(err error) bool {
	e, ok := errors.AsType[*dify.Error](err)
	return ok && e.DropConversation()
}

// retryAfter is how long Dify asks to wait.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*dify.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
