package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Language is the language of the bot's own texts.
//
// +kubebuilder:validation:Enum=zh-CN;en
type Language string

// The languages that the bot's own texts exist in.
const (
	LanguageChinese Language = "zh-CN"
	LanguageEnglish Language = "en"
)

// ReplyMode is the way of an answer that is not there in time.
//
// +kubebuilder:validation:Enum=Passive;CustomerService
type ReplyMode string

// The modes.
const (
	ReplyPassive         ReplyMode = "Passive"
	ReplyCustomerService ReplyMode = "CustomerService"
)

// ReplyVoice says when answers are spoken too.
//
// +kubebuilder:validation:Enum=Never;ForVoice
type ReplyVoice string

// The values of voice.
const (
	VoiceNever    ReplyVoice = "Never"
	VoiceForVoice ReplyVoice = "ForVoice"
)

// Push bounds what is sent outside of replies.
type Push struct {
	// maxSends is how many messages carry one answer, 1 to 5; the last ends in a
	// link to the rest. Default 4.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5
	MaxSends *int32 `json:"maxSends,omitempty"`
}

// Page shows whole answers at the bot's domain.
type Page struct {
	// enabled has answers that are longer than a reply end in a link 看全文 to a page
	// with the whole answer, below /a/ of the domain. Default false.
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// ttl is how long after its answer a page can be opened, 1m to 720h; /clear,
	// unfollowing and session.idleTimeout end it before. Default 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('720h')`,message="ttl must be a duration from 1m to 720h, like 24h"
	TTL metav1.Duration `json:"ttl,omitzero"`
}

// Reply says how followers are answered.
//
// +kubebuilder:validation:XValidation:rule=`!has(self.voice) || self.voice == 'Never' || has(self.mode) && self.mode == 'CustomerService'`,message="a reply has room for the text only: set mode to CustomerService",fieldPath=`.voice`
type Reply struct {
	// mode is Passive (answers are replies, which every account may give) or
	// CustomerService (an answer that is not there by the deadline is pushed through
	// WeChat's API: verified accounts may; takes wechat.appSecretRef). Default
	// Passive.
	// +optional
	// +kubebuilder:default="Passive"
	Mode ReplyMode `json:"mode,omitempty"`

	// push is for the mode CustomerService.
	// +optional
	Push *Push `json:"push,omitempty"`

	// voice is Never or ForVoice: a question that was spoken is answered by text and
	// by a voice message of at most 60 s, where the Dify app has text-to-speech as
	// MP3. Takes mode CustomerService. Default Never.
	// +optional
	// +kubebuilder:default="Never"
	Voice ReplyVoice `json:"voice,omitempty"`

	// deadline is how long one push may wait for an answer before it is replied
	// to, counted from its first byte, 1s to 4800ms: WeChat hangs up after 5 s.
	// Lower it if the way from WeChat to the pod is slow. Default 4500ms.
	// +optional
	// +kubebuilder:default="4500ms"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('4800ms')`,message="deadline must be a duration from 1s to 4800ms, like 4500ms: WeChat hangs up after 5s"
	Deadline metav1.Duration `json:"deadline,omitzero"`

	// holdsPerMinute is how many pushes a minute, over all replicas, may be left
	// unanswered so that WeChat delivers them again and a slow answer still
	// arrives as a reply, 0 to 600. WeChat counts each as a failure and pauses an
	// account with too many. 0 never holds: what has streamed in by the deadline
	// is sent. Default 30.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	HoldsPerMinute *int32 `json:"holdsPerMinute,omitempty"`

	// language is the language of the bot's own texts: zh-CN or en. Default zh-CN.
	// +optional
	// +kubebuilder:default="zh-CN"
	Language Language `json:"language,omitempty"`

	// timeZone is whose days limits.tokens are for, and whose times followers are told,
	// by its IANA name, for example Asia/Shanghai or UTC. Default Asia/Shanghai.
	// +optional
	// +kubebuilder:default="Asia/Shanghai"
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$') && self != 'Local' && timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0`,message="timeZone must be the IANA name of a time zone, like Asia/Shanghai or UTC"
	TimeZone string `json:"timeZone,omitempty"`

	// continueWords are what a follower types to get what is not delivered yet, the
	// next page or a finished answer; 1 to 8 words of at most 30 bytes. The first is
	// what links in answers send. Default ["1", "继续"].
	// +optional
	// +listType=atomic
	// +kubebuilder:default={"1","继续"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	ContinueWords []ContinueWord `json:"continueWords,omitempty"`

	// aiLabel is a line on every reply that shows an answer of the app's; at most
	// 120 bytes, "" is none. What is pushed has WeChat's own line. Default
	// （内容由AI生成）, or (AI-generated) in English.
	// +optional
	// +kubebuilder:validation:MaxLength=120
	// +kubebuilder:validation:XValidation:rule=`self == '' || bytes(self).size() <= 120 && self.matches('^[^\\s\\v\\p{Z}\\x{85}]([^\\r\\n]*[^\\s\\v\\p{Z}\\x{85}])?$')`,message="aiLabel has at most 120 bytes (a Chinese character has 3) in one line and no blanks around it"
	AILabel *string `json:"aiLabel,omitempty"`

	// notice is shown by /help and on pages, for example the filing number of the
	// service and the model's name; at most 300 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	// +kubebuilder:validation:XValidation:rule=`self == '' || bytes(self).size() <= 300 && self.matches('^[^\\s\\v\\p{Z}\\x{85}]') && self.matches('[^\\s\\v\\p{Z}\\x{85}]$')`,message="notice has at most 300 bytes (a Chinese character has 3) and no blanks around it"
	Notice string `json:"notice,omitempty"`

	// sources has answers name the documents of the app's knowledge that they rest
	// on, three at most. Default false.
	// +optional
	Sources bool `json:"sources,omitempty"`

	// feedback has answers end in links 👍 and 👎; Dify keeps what was tapped with the
	// message. Default false.
	// +optional
	Feedback bool `json:"feedback,omitempty"`

	// suggestions has answers and the welcome end in the questions that the Dify app
	// suggests, as links that ask them, where the app has them on. Default true.
	// +optional
	// +kubebuilder:default=true
	Suggestions *bool `json:"suggestions,omitempty"`

	// page shows whole answers at the bot's domain, for what is longer than a reply.
	// +optional
	Page *Page `json:"page,omitempty"`

	// texts replace single texts of the bot's own, for example {welcome:
	// "你好！直接提问即可。"}; each at most 600 bytes (200 Chinese characters). What is not
	// set is the language's default. There are:
	// - welcome (greets a new follower, in place of the Dify app's opening
	//   statement)
	// - help (answers /help and unknown commands)
	// - waiting (nothing of the answer is there yet)
	// - queued (the question waits behind an earlier one of the same follower)
	// - busy (the bot answers as many questions as limits allow already)
	// - tooManyOpen (too many questions of the same follower wait already)
	// - cleared (after /clear)
	// - stopped (after /stop, or when whoever runs the bot has stopped the question)
	// - nothingToStop (after /stop while nothing runs)
	// - unsupported (a kind of message that the bot cannot read)
	// - failed (no answer, for a reason without words of its own)
	// - quotaExceeded (the app's model quota is used up)
	// - rateLimited (the follower asked more than limits allow)
	// - budgetSpent (limits.tokens are used up until {{time}})
	// - timedOut (the answer took longer than dify.timeout)
	// - misconfigured (Dify refuses the key, the app's mode or its variables)
	// - filtered (a content filter refuses the question or the answer)
	// - tooLong (question and conversation are too long for the model)
	// - paused (the app's workflow waits for a person)
	// - nothingYet (a continue word before any question)
	// - sent (a continue word while the answer was being pushed, which has arrived since)
	// - emptyAnswer (the app answered with nothing to show)
	// - continue (label of the link to what follows)
	// - fullAnswer (label of the link to the page with the whole answer)
	// - orReply (follows that label, for clients without such links)
	// - retry (label of the link that asks again)
	// - cutShort (follows an answer that broke off)
	// - sources (stands before the names of documents)
	// - suggested (stands before suggested questions that are pushed)
	// - choose (stands before the actions of a form that the app's workflow waits with)
	// - formInputs (of a form that has more to fill in than actions)
	// - formAnswered (of one that was answered before)
	// - formExpired (of one whose time is over)
	// - thanks (after a tap that rates an answer)
	// - pictureKept (a picture waits for its question; {{ask}} is the link askPicture, {{count}}
	//   how many wait)
	// - askPicture (label of the link that asks about a picture at once, and its question)
	// - pictureTooLarge (of a picture of more than 10 MB)
	// - pictureUnreadable (of one that is no JPG, PNG, GIF or WebP)
	// - pictureLost (of one that WeChat does not give)
	// - pictureRefused (of one that the app takes no longer)
	// - voice (stands for a voice message whose words are not known)
	// - voiceUnclear (asks to type what was said)
	// - aboutLink (the question that a shared page is: {{title}}, {{description}},
	//   {{url}})
	// - aboutPlace (the question that a place is: {{label}}, {{latitude}},
	//   {{longitude}})
	// - awaitingHuman (the follower waits for a person; {{bot}} is the link backToBot)
	// - backToBot (label of the link to go on with the bot)
	// - botAgain (after that link)
	// - toHuman (after the menu was tapped for a person; {{human}} is a link)
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule=`self.all(key, key in ['welcome', 'help', 'waiting', 'queued', 'busy', 'tooManyOpen', 'cleared', 'stopped', 'nothingToStop', 'unsupported', 'failed', 'quotaExceeded', 'rateLimited', 'budgetSpent', 'timedOut', 'misconfigured', 'filtered', 'tooLong', 'paused', 'nothingYet', 'sent', 'emptyAnswer', 'continue', 'orReply', 'fullAnswer', 'retry', 'cutShort', 'thanks', 'sources', 'suggested', 'choose', 'formInputs', 'formAnswered', 'formExpired', 'pictureKept', 'askPicture', 'pictureTooLarge', 'pictureUnreadable', 'pictureLost', 'pictureRefused', 'voice', 'voiceUnclear', 'aboutLink', 'aboutPlace', 'awaitingHuman', 'backToBot', 'botAgain', 'toHuman'])`,message="unknown text: `kubectl explain wechatbot.spec.reply.texts` lists the texts there are"
	Texts map[string]ReplyText `json:"texts,omitempty"`
}

// ContinueWord is what a follower types to get more.
//
// +kubebuilder:validation:MaxLength=30
// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 30 && self.matches('^[^/\\s\\v\\p{Z}\\x{85}]([^\\r\\n]*[^\\s\\v\\p{Z}\\x{85}])?$')`,message="a word has 1 to 30 bytes, no slash in front and no blanks around it"
type ContinueWord string

// ReplyText is one of the bot's own texts.
//
// +kubebuilder:validation:MaxLength=600
// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 600 && self.matches('[^\\s\\v\\p{Z}\\x{85}]')`,message="a text must not be blank and have at most 600 bytes (a Chinese character has 3): shorten it, or leave it out to get the built-in text"
type ReplyText string
