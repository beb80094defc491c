package serverconfig

// Keys of the texts a follower may read that are not the app's answer. What each is for, and which {{names}} it may
// hold, is told where it is written: in the turn engine.
const (
	TextWelcome       = "welcome"       // after following, instead of the app's opening statement
	TextHelp          = "help"          // /help and every unknown command
	TextWaiting       = "waiting"       // nothing of the answer is there yet
	TextQueued        = "queued"        // the question waits behind an earlier one of the same follower
	TextBusy          = "busy"          // the bot runs as many turns as it may
	TextTooManyOpen   = "tooManyOpen"   // too many questions of the same follower wait already
	TextCleared       = "cleared"       // after /clear
	TextStopped       = "stopped"       // after /stop
	TextNothingToStop = "nothingToStop" // /stop while nothing runs
	TextUnsupported   = "unsupported"   // a kind of message the bot cannot read
	TextFailed        = "failed"        // the turn failed, for a reason without words of its own
	TextQuotaExceeded = "quotaExceeded" // the app's model quota is used up
	TextRateLimited   = "rateLimited"   // the follower asked too many questions
	TextTimedOut      = "timedOut"      // the turn took longer than dify.timeout
	TextMisconfigured = "misconfigured" // the app's key, mode or variables are wrong
	TextFiltered      = "filtered"      // a content filter refuses the question or the answer
	TextTooLong       = "tooLong"       // question and conversation are too long; may hold {{clear}}
	TextPaused        = "paused"        // the app's workflow waits for a person
	TextNothingYet    = "nothingYet"    // `1` before any question
	TextSent          = "sent"          // `1` while the answer was on its way, which has arrived since
	TextEmptyAnswer   = "emptyAnswer"   // the app answered with nothing to show
	TextContinue      = "continue"      // label of the tap-link to what follows
	TextFullAnswer    = "fullAnswer"    // label of the link to the whole answer's page
	TextThanks        = "thanks"        // after a tap that rates an answer
	TextSources       = "sources"       // stands before the names of documents
	TextOrReply       = "orReply"       // stands behind that label, for clients without tap-links
	TextRetry         = "retry"         // label of the tap-link that asks again
	TextCutShort      = "cutShort"      // the answer broke off; what came is shown
)

// TextKeys are the keys that reply.texts may have, in the order of their documentation.
var TextKeys = []string{
	TextWelcome, TextHelp, TextWaiting, TextQueued, TextBusy, TextTooManyOpen, TextCleared, TextStopped,
	TextNothingToStop, TextUnsupported, TextFailed, TextQuotaExceeded, TextRateLimited, TextTimedOut, TextMisconfigured,
	TextFiltered, TextTooLong, TextPaused,
	TextNothingYet, TextSent, TextEmptyAnswer, TextContinue, TextOrReply, TextFullAnswer, TextRetry, TextCutShort, TextThanks, TextSources,
}

// Bounds of a text of reply.texts, in bytes of UTF-8: it must leave room in a reply of 2,048 for an answer, and labels of
// tap-links stand beside another text.
const (
	MaxTextBytes  = 600
	MaxLabelBytes = 60
)

// maxBytes is the bound of one text.
func maxBytes(key string) int {
	switch key {
	case TextContinue, TextOrReply, TextFullAnswer, TextRetry, TextSources:
		return MaxLabelBytes
	}
	return MaxTextBytes
}
