package turn

import (
	"context"
	"errors"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Failure says why a turn has no answer, or not a whole one, in the words that a follower can use. The stores keep it.
type Failure string

// The failures. Each is the key of its text.
const (
	CutShort      Failure = "cutShort"      // the answer broke off
	Overloaded    Failure = "busy"          // Dify has no place, or is down
	QuotaExceeded Failure = "quotaExceeded" // the model provider's credit is used up
	Misconfigured Failure = "misconfigured" // key, app or inputs are wrong: the platform team has to act
	TimedOut      Failure = "timedOut"      // Dify did not answer in time
	Filtered      Failure = "filtered"      // the model's content filter refuses the question or the answer
	TooLong       Failure = "tooLong"       // question and conversation are too long for the model
	Paused        Failure = "paused"        // the workflow waits for a person
	NoAnswer      Failure = "emptyAnswer"   // Dify has answered nothing
	Unanswered    Failure = "failed"        // anything else

	PictureTooLarge   Failure = "pictureTooLarge"
	PictureUnreadable Failure = "pictureUnreadable" // no picture of a kind that the app takes
	PictureLost       Failure = "pictureLost"       // WeChat does not give it
	PictureRefused    Failure = "pictureRefused"    // the app does not take it
	VoiceUnclear      Failure = "voiceUnclear"      // its words are not to be had

	FormOpen     Failure = TextChoose     // the workflow waits for one of a form's actions
	FormInputs   Failure = "formInputs"   // it waits for a form with more to fill in than actions
	FormAnswered Failure = "formAnswered" // the form was answered before
	FormExpired  Failure = "formExpired"  // its time is over
)

// failures are those of Dify's errors.
var failures = map[dify.Class]Failure{
	dify.Busy:          Overloaded,
	dify.OutOfQuota:    QuotaExceeded,
	dify.Misconfigured: Misconfigured,
	dify.TimedOut:      TimedOut,
	dify.Filtered:      Filtered,
	dify.TooLong:       TooLong,
	dify.Failed:        Unanswered,
}

var formFailures = map[dify.Kind]Failure{dify.FormAnswered: FormAnswered, dify.FormExpired: FormExpired}

// final are the failures after which the same question has no better chance: nothing invites to ask it again.
var final = map[Failure]bool{
	QuotaExceeded: true, Misconfigured: true, Filtered: true, TooLong: true, Paused: true, NoAnswer: true,
	PictureTooLarge: true, PictureUnreadable: true, PictureRefused: true, VoiceUnclear: true,
	FormOpen: true, FormInputs: true, FormAnswered: true, FormExpired: true,
	session.Stopped: true,
}

// failureOf sorts an error of a Dify call that gave no text.
func failureOf(err error) Failure {
	if e, ok := errors.AsType[*MediaError](err); ok {
		return e.Failure
	}
	if f, ok := formFailures[dify.KindOf(err)]; ok {
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return TimedOut
	}
	if e, ok := errors.AsType[*dify.Error](err); ok {
		return failures[e.Class()]
	}
	return Unanswered
}

// difyError is an error of Dify's client; its zero value, which nothing can be done about, for any other.
func difyError(err error) *dify.Error {
	if e, ok := errors.AsType[*dify.Error](err); ok {
		return e
	}
	return new(dify.Error)
}

// unknownRun tells whether Dify neither works on the answer that was awaited nor has it.
func unknownRun(err error) bool {
	switch dify.KindOf(err) {
	case dify.NotRunning, dify.NotFound, dify.ConversationGone:
		return true
	default:
		return false
	}
}

// lostStream tells whether Dify may still work on the answer of a call, or have completed it, though its stream is over.
func lostStream(e *dify.Error) bool {
	switch e.Kind {
	case dify.Interrupted, dify.IdleTimeout, dify.FirstEventTimeout:
		return true
	default:
		return e.RunContinues
	}
}
