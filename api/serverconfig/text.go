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
	TextStopped       = "stopped"       // after /stop, or when whoever runs the bot has stopped the question
	TextNothingToStop = "nothingToStop" // /stop while nothing runs
	TextUnsupported   = "unsupported"   // a kind of message the bot cannot read
	TextFailed        = "failed"        // the turn failed, for a reason without words of its own
	TextQuotaExceeded = "quotaExceeded" // the app's model quota is used up
	TextRateLimited   = "rateLimited"   // the follower asked too many questions
	TextBudgetSpent   = "budgetSpent"   // limits.tokens are used up; may hold {{time}}, when it goes on
	TextTimedOut      = "timedOut"      // the turn took longer than dify.timeout
	TextMisconfigured = "misconfigured" // the app's key, mode or variables are wrong
	TextFiltered      = "filtered"      // a content filter refuses the question or the answer
	TextTooLong       = "tooLong"       // question and conversation are too long; may hold {{clear}}
	TextPaused        = "paused"        // the app's workflow waits for a person
	TextNothingYet    = "nothingYet"    // `1` before any question
	TextSent          = "sent"          // `1` while the answer was on its way, which has arrived since; a question again whose answer may have been sent
	TextEmptyAnswer   = "emptyAnswer"   // the app answered with nothing to show
	TextContinue      = "continue"      // label of the tap-link to what follows
	TextFullAnswer    = "fullAnswer"    // label of the link to the whole answer's page
	TextThanks        = "thanks"        // after a tap that rates an answer
	TextSources       = "sources"       // stands before the names of documents
	TextSuggested     = "suggested"     // stands before suggested questions that are pushed
	TextChoose        = "choose"        // stands before the actions of a form
	TextFormInputs    = "formInputs"    // of a form that has more to fill in than actions
	TextFormAnswered  = "formAnswered"  // of one that was answered before
	TextFormExpired   = "formExpired"   // of one whose time is over
	TextOrReply       = "orReply"       // stands behind that label, for clients without tap-links
	TextRetry         = "retry"         // label of the tap-link that asks again
	TextCutShort      = "cutShort"      // the answer broke off; what came is shown

	TextPictureKept       = "pictureKept"       // a picture waits for its question; may hold {{count}} and {{ask}}, the link askPicture
	TextAskPicture        = "askPicture"        // label of the tap-link that asks about a picture at once, and what it asks
	TextPictureTooLarge   = "pictureTooLarge"   // a picture is larger than 10 MB, or than the app takes
	TextPictureUnreadable = "pictureUnreadable" // it is of a kind that the app does not read
	TextPictureLost       = "pictureLost"       // WeChat does not give it
	TextPictureRefused    = "pictureRefused"    // the app takes no pictures any more
	TextVoice             = "voice"             // stands for a voice message whose words are not known
	TextVoiceUnclear      = "voiceUnclear"      // a voice message could not be understood: asks to type
	TextAboutLink         = "aboutLink"         // the question that a shared page is; may hold {{title}}, {{description}}, {{url}}
	TextAboutPlace        = "aboutPlace"        // the question that a place is; may hold {{label}}, {{latitude}}, {{longitude}}
	TextAwaitingHuman     = "awaitingHuman"     // the follower waits for a person; may hold {{bot}}, the link backToBot
	TextBackToBot         = "backToBot"         // label of the tap-link to go on with the bot
	TextBotAgain          = "botAgain"          // after that link was tapped
	TextToHuman           = "toHuman"           // after the menu was tapped for a person; may hold {{human}}, a link that asks for one
)

// TextKeys are the keys that reply.texts may have, in the order of their documentation.
var TextKeys = []string{
	TextWelcome, TextHelp, TextWaiting, TextQueued, TextBusy, TextTooManyOpen, TextCleared, TextStopped,
	TextNothingToStop, TextUnsupported, TextFailed, TextQuotaExceeded, TextRateLimited, TextBudgetSpent, TextTimedOut, TextMisconfigured,
	TextFiltered, TextTooLong, TextPaused,
	TextNothingYet, TextSent, TextEmptyAnswer, TextContinue, TextOrReply, TextFullAnswer, TextRetry, TextCutShort,
	TextThanks, TextSources, TextSuggested, TextChoose, TextFormInputs, TextFormAnswered, TextFormExpired,
	TextPictureKept, TextAskPicture, TextPictureTooLarge, TextPictureUnreadable, TextPictureLost, TextPictureRefused,
	TextVoice, TextVoiceUnclear, TextAboutLink, TextAboutPlace,
	TextAwaitingHuman, TextBackToBot, TextBotAgain, TextToHuman,
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
	case TextContinue, TextOrReply, TextFullAnswer, TextRetry, TextSources, TextSuggested, TextChoose, TextAskPicture, TextVoice, TextBackToBot:
		return MaxLabelBytes
	}
	return MaxTextBytes
}
