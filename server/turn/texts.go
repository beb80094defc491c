package turn

import "github.com/wechatbot/wechatbot-operator/server/session"

// Keys of the texts that the bot says itself. A failure's code is the key of its text.
const (
	TextWelcome       = "welcome" // empty: Dify's opening statement, else the help
	TextHelp          = "help"    // {{1}}, {{stop}} and {{clear}} become tap-links
	TextWaiting       = "waiting"
	TextQueued        = "queued"
	TextBusy          = "busy" // the bot has no place for the question, or Dify has none, or the store is down
	TextTooManyOpen   = "tooManyOpen"
	TextRateLimited   = "rateLimited"
	TextBudgetSpent   = "budgetSpent" // {{time}} is when the day ends
	TextCleared       = "cleared"
	TextStopped       = session.Stopped // also what a follower has stopped
	TextNothingToStop = "nothingToStop"
	TextNothingYet    = "nothingYet"
	TextUnsupported   = "unsupported"
	TextSent          = "sent"
	TextEmptyAnswer   = "emptyAnswer"
	TextFailed        = "failed"
	TextTimedOut      = "timedOut"
	TextQuotaExceeded = "quotaExceeded"
	TextMisconfigured = "misconfigured"
	TextFiltered      = "filtered"
	TextTooLong       = "tooLong" // {{clear}} becomes a tap-link
	TextPaused        = "paused"
	TextCutShort      = "cutShort"
	TextContinue      = "continue"   // a tap-link's label
	TextFullAnswer    = "fullAnswer" // a link's label
	TextThanks        = "thanks"     // for a rating
	TextSources       = "sources"    // stands before the names of an answer's documents
	TextSuggested     = "suggested"  // stands before suggested questions that are pushed
	TextChoose        = "choose"     // stands before the actions of a form
	TextRetry         = "retry"      // a tap-link's label
	TextOrReply       = "orReply"    // stands behind the tap-link to go on; {{1}} is the word for it

	TextPictureKept  = "pictureKept"  // {{count}} pictures wait for their question; {{ask}} becomes a tap-link that asks at once
	TextAskPicture   = "askPicture"   // that link's label, and the question that it asks
	TextVoice        = "voice"        // stands for a voice message whose words are not known
	TextVoiceUnclear = "voiceUnclear" // asks to type
	TextAboutLink    = "aboutLink"    // the question that a shared page is; {{title}}, {{description}}, {{url}}
	TextAboutPlace   = "aboutPlace"   // the question that a place is; {{label}}, {{latitude}}, {{longitude}}

	TextAwaitingHuman = "awaitingHuman" // the follower waits for a person; {{bot}} becomes a tap-link to go on with the bot
	TextBackToBot     = "backToBot"     // that link's label
	TextBotAgain      = "botAgain"      // after it was tapped
	TextToHuman       = "toHuman"       // after the menu was tapped for a person; {{human}} becomes a tap-link
	TextHumanOffline  = "humanOffline"  // nobody is there to be handed over to
)

// Texts are a bot's own words: a language's, with some replaced.
type Texts struct {
	words, own map[string]string
	moment     string // how a moment is written, as time.Format takes it
}

// Languages that have texts.
const (
	Chinese = "zh-CN"
	English = "en"
)

// NewTexts takes the words of a language (Chinese if it is not known) and replaces those that own has.
func NewTexts(language string, own map[string]string) Texts {
	t := Texts{words: chinese, own: own, moment: "1月2日 15:04"}
	if language == English {
		t.words, t.moment = english, "15:04 on 2 January"
	}
	return t
}

func (t Texts) get(key string) string {
	if own, ok := t.own[key]; ok && own != "" {
		return own
	}
	if word, ok := t.words[key]; ok {
		return word
	}
	return t.get(TextFailed) // of a failure without a text of its own, or one that an older or newer process has stored
}

var chinese = map[string]string{
	TextWelcome:       "",
	TextHelp:          "您好，我是 AI 助手，直接输入问题就可以。\n\n{{1}} 查看还没看到的回答\n{{stop}} 停止当前回答\n{{clear}} 清空对话，重新开始\n/help 查看本帮助",
	TextWaiting:       "正在思考，请稍等……",
	TextQueued:        "问题已收到，前面还有问题在处理，马上就轮到您。",
	TextBusy:          "现在太忙了，没能回答这个问题，请过一会儿再问一次。",
	TextTooManyOpen:   "您前面的问题还没有答完，这个问题没有收下，请等答完再问。",
	TextRateLimited:   "您问得太快了，这个问题没有收下，请过几分钟再问。",
	TextBudgetSpent:   "抱歉，今天的使用额度已经用完，这个问题没有收下，{{time}} 以后可以继续提问。",
	TextCleared:       "对话已清空，我们重新开始吧。",
	TextStopped:       "（已停止回答）",
	TextNothingToStop: "现在没有正在进行的回答。",
	TextSent:          "回答刚刚已经发给您了，请看上一条消息。",
	TextNothingYet:    "还没有可以查看的回答，直接输入问题就可以。",
	TextUnsupported:   "抱歉，我目前只能看懂文字消息，请用文字告诉我。",
	TextEmptyAnswer:   "抱歉，这个问题我没有得到答案，请换个说法再问一次。",
	TextFailed:        "抱歉，这个问题没有回答成功。",
	TextTimedOut:      "抱歉，这个问题想得太久，没有等到答案。",
	TextQuotaExceeded: "抱歉，今天的使用额度已经用完，请稍后再来。",
	TextMisconfigured: "抱歉，机器人的设置有问题，暂时无法回答，请联系管理员。",
	TextFiltered:      "抱歉，这个问题或它的回答没有通过内容审核，请换个说法再问一次。",
	TextTooLong:       "抱歉，问题或我们的对话太长了，请把问题缩短，或用 {{clear}} 清空对话后再问。",
	TextPaused:        "（这件事还要由工作人员处理，处理之后才能继续）",
	TextCutShort:      "（回答中断了，后面的内容没有收到）",
	TextContinue:      "继续",
	TextFullAnswer:    "看全文",
	TextSources:       "参考：",
	TextThanks:        "谢谢您的评价。",
	TextSuggested:     "您可能还想问：",
	TextChoose:        "请选择：",
	TextRetry:         "再问一次",
	TextOrReply:       "（或回复 {{1}}）",

	TextPictureKept:           "收到 {{count}} 张图片。请接着输入您的问题，我会和图片一起看。\n\n{{ask}}",
	TextAskPicture:            "说说这张图片",
	TextVoice:                 "［语音］",
	TextVoiceUnclear:          "抱歉，这段语音我没有听懂，请打字告诉我。",
	TextAboutLink:             "请看这个链接：{{title}}\n{{description}}\n{{url}}",
	TextAboutPlace:            "我的位置：{{label}}（纬度 {{latitude}}，经度 {{longitude}}）",
	TextAwaitingHuman:         "正在为您转接人工客服，请稍等，客服会尽快回复您。\n\n不想等了？{{bot}}",
	TextBackToBot:             "继续问机器人",
	TextBotAgain:              "好的，请直接输入您的问题。",
	TextToHuman:               "请点这里转接人工客服：{{human}}",
	TextHumanOffline:          "现在没有人工客服在线，请过一会儿再试。您也可以继续问我。",
	string(PictureTooLarge):   "抱歉，图片太大了（最多 10 MB），请换一张小一点的，再问一次。",
	string(PictureUnreadable): "抱歉，这种格式的图片我看不了，请换成 JPG 或 PNG 图片，再问一次。",
	string(PictureLost):       "抱歉，没有取到您发的图片，请重新发一次图片，再问一次。",
	string(PictureRefused):    "抱歉，我现在看不了图片，请用文字告诉我。",
	string(FormInputs):        "（下一步要填写表单，在这里填不了，请联系工作人员）",
	string(FormAnswered):      "这一步已经处理过了，不用再选。",
	string(FormExpired):       "这一步已经过了有效期，请重新提问。",
}

var english = map[string]string{
	TextWelcome:       "",
	TextHelp:          "Hello, I am an AI assistant. Just type your question.\n\n{{1}} shows what you have not seen yet\n{{stop}} stops the answer\n{{clear}} forgets our conversation\n/help shows this help",
	TextWaiting:       "Thinking, one moment please…",
	TextQueued:        "Your question has arrived. It waits for a few others and is next soon.",
	TextBusy:          "Too busy right now to answer this. Please ask again in a while.",
	TextTooManyOpen:   "Your earlier questions are still being answered, so this one was not taken. Please wait for them.",
	TextRateLimited:   "You are asking too fast, so this question was not taken. Please try again in a few minutes.",
	TextBudgetSpent:   "Sorry, today's quota is used up, so this question was not taken. It goes on at {{time}}.",
	TextCleared:       "Our conversation is forgotten. Let us start afresh.",
	TextStopped:       "(stopped)",
	TextNothingToStop: "There is no answer to stop.",
	TextSent:          "The answer has just been sent to you: see the message above.",
	TextNothingYet:    "There is no answer to show yet. Just type your question.",
	TextUnsupported:   "Sorry, I can only read text messages. Please tell me in words.",
	TextEmptyAnswer:   "Sorry, I found no answer to this. Please put it in other words.",
	TextFailed:        "Sorry, this question could not be answered.",
	TextTimedOut:      "Sorry, this question took too long and there is no answer.",
	TextQuotaExceeded: "Sorry, today's quota is used up. Please come back later.",
	TextMisconfigured: "Sorry, the bot is not set up correctly and cannot answer. Please tell its administrator.",
	TextFiltered:      "Sorry, the question or its answer was refused by a content filter. Please put it in other words.",
	TextTooLong:       "Sorry, the question or our conversation is too long. Please shorten it, or {{clear}} the conversation and ask again.",
	TextPaused:        "(a person has to look at this before it can go on)",
	TextCutShort:      "(the answer broke off here)",
	TextContinue:      "Continue",
	TextFullAnswer:    "Read it all",
	TextSources:       "Sources: ",
	TextThanks:        "Thank you for your rating.",
	TextSuggested:     "You may also want to ask:",
	TextChoose:        "Please choose:",
	TextRetry:         "Ask again",
	TextOrReply:       " (or reply {{1}})",

	TextPictureKept:           "Pictures received: {{count}}. Now type your question, and I will look at them with it.\n\n{{ask}}",
	TextAskPicture:            "Tell me about this picture",
	TextVoice:                 "[voice]",
	TextVoiceUnclear:          "Sorry, I could not understand this voice message. Please type it.",
	TextAboutLink:             "Please look at this link: {{title}}\n{{description}}\n{{url}}",
	TextAboutPlace:            "My place: {{label}} (latitude {{latitude}}, longitude {{longitude}})",
	TextAwaitingHuman:         "You are in the queue for a person, who will answer you soon.\n\nRather not wait? {{bot}}",
	TextBackToBot:             "Go on with the bot",
	TextBotAgain:              "All right, just type your question.",
	TextToHuman:               "Tap here to talk to a person: {{human}}",
	TextHumanOffline:          "Nobody is here to take over right now. Please try again later, or go on asking me.",
	string(PictureTooLarge):   "Sorry, the picture is too large (at most 10 MB). Please send a smaller one and ask again.",
	string(PictureUnreadable): "Sorry, I cannot read this kind of picture. Please send it as JPG or PNG and ask again.",
	string(PictureLost):       "Sorry, your picture could not be fetched. Please send it once more and ask again.",
	string(PictureRefused):    "Sorry, I cannot look at pictures now. Please tell me in words.",
	string(FormInputs):        "(the next step needs a form to be filled in, which cannot be done here: please ask the staff)",
	string(FormAnswered):      "This step has been dealt with already. There is nothing to choose any more.",
	string(FormExpired):       "The time for this step is over. Please ask your question again.",
}
