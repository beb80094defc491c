// Package serverconfig is the contract between whoever configures a webhook server and the server itself: one YAML
// file and one folder of secret files. The operator writes them as a ConfigMap and a projected volume; a person who
// runs the server without Kubernetes writes them by hand.
//
// It decodes strictly, gives every optional field its default, and says in one sentence which field is wrong, how, and
// what to do about it. It must not know what the settings are used for: no HTTP, no Kubernetes, no WeChat, no Dify.
package serverconfig

import (
	"time"
)

// Config is the whole file. A Config that Parse returned is complete and in range; one that is built in Go starts
// from Default and is checked with Check.
type Config struct {
	// Bot is the bot's namespace/name. It is part of store keys, metrics and logs. Required.
	Bot string `json:"bot"`
	// Listen is the address of the webhook and the verification files, host:port; no host means all addresses.
	Listen string `json:"listen"`
	// AdminListen is the address of /healthz, /readyz and /metrics, host:port.
	AdminListen string `json:"adminListen"`
	// Domain is where followers reach the server by https, with a port if it is not 443. Pages need it.
	Domain string `json:"domain"`
	// Path is the URL path of the webhook. It starts with a slash and is clean: no "..", no doubled or trailing slash.
	Path string `json:"path"`
	// SecretsDir is the folder that LoadSecrets reads. Required. Load takes a relative one from the file's own folder.
	SecretsDir string `json:"secretsDir"`

	WeChat  WeChat  `json:"wechat"`
	Dify    Dify    `json:"dify"`
	Reply   Reply   `json:"reply"`
	Limits  Limits  `json:"limits"`
	Session Session `json:"session"`

	Tracing Tracing `json:"tracing"`

	// Handover lets followers ask for a person.
	Handover Handover `json:"handover"`

	// Keywords are looked for in what followers write, in this order, behind commands and before the menu's names: at most
	// MaxKeywords.
	Keywords []Keyword `json:"keywords,omitempty"`
	// Menu is the account's menu, from left to right: at most MaxMenuButtons. None leaves the account's as it is.
	Menu []MenuButton `json:"menu,omitempty"`
	// MenuPolicy says what becomes of a menu that was changed in WeChat's console since it was published.
	MenuPolicy MenuPolicy `json:"menuPolicy"`
}

// WeChat describes the Official Account.
type WeChat struct {
	// AppID is the account's AppID, as 公众平台 → 基本配置 shows it. Required with an EncodingAESKey, whose ciphertexts
	// end in it, with an AppSecret, and with a Menu.
	AppID string `json:"appID"`
	// OriginalID is the account's 原始ID (gh_…). When set, pushes for another account are refused.
	OriginalID string `json:"originalID"`
	// AllowPlain accepts unencrypted pushes although an EncodingAESKey is set (WeChat's compatible mode).
	AllowPlain bool `json:"allowPlain"`
	// APIBaseURL is where WeChat's server API is reached: WeChat itself, or a proxy with a whitelisted address.
	APIBaseURL string `json:"apiBaseURL"`
	// PictureHosts are where followers' pictures may be fetched from: hosts, with all below them, or origins of one's own such as
	// http://127.0.0.1:8080, of which no more is checked. 1 to MaxPictureHosts.
	PictureHosts []string `json:"pictureHosts"`
	// VerificationFiles maps MP_verify_….txt to its content; they are served at the domain's root, as WeChat asks
	// before it accepts a domain.
	VerificationFiles map[string]string `json:"verificationFiles,omitempty"`
}

// Dify describes the app that answers.
type Dify struct {
	// BaseURL is the service API, with or without /v1 and a trailing slash.
	BaseURL string `json:"baseURL"`
	// FilesURL is where Dify's files are (its FILES_URL), if that is neither BaseURL's host nor one of the Internet.
	FilesURL string `json:"filesURL"`
	// Inputs are the app's variables, sent with every question.
	Inputs map[string]string `json:"inputs,omitempty"`
	// Timeout bounds a whole turn, retries included: 1s to 1h.
	Timeout Duration `json:"timeout"`
	// IdleTimeout bounds the silence between two data events of a stream: 1s to 1h.
	IdleTimeout Duration `json:"idleTimeout"`
}

// The modes of replies.
const (
	// ReplyModePassive answers a push in its own HTTP response; every kind of account may do so.
	ReplyModePassive = "Passive"
	// ReplyModeCustomerService pushes an answer that is not there in time, by the account's API: verified accounts may.
	// Where the account may not, the bot behaves as with ReplyModePassive.
	ReplyModeCustomerService = "CustomerService"
)

// Languages of the built-in texts.
const (
	LanguageChinese = "zh-CN"
	LanguageEnglish = "en"
)

// The values of Reply.Voice.
const (
	VoiceNever    = "Never"
	VoiceForVoice = "ForVoice"
)

// Reply describes how and with which words pushes are answered.
type Reply struct {
	// Mode is Passive or CustomerService.
	Mode string `json:"mode"`
	// Push is for the mode CustomerService.
	Push Push `json:"push"`
	// Voice is Never, or ForVoice: a question that was spoken is answered by text and by a voice message, where answers are
	// pushed, the app has text-to-speech as MP3, and the account may.
	Voice string `json:"voice"`
	// Deadline is how long after a request's first byte it is answered at the latest: 1s to 4800ms. WeChat itself
	// gives up after 5 s.
	Deadline Duration `json:"deadline"`
	// HoldsPerMinute is how many deliveries a minute may be left to time out while the answer is still being written;
	// the bot's replicas share it. 0 never holds.
	HoldsPerMinute int `json:"holdsPerMinute"`
	// Language of the built-in texts: zh-CN or en.
	Language string `json:"language"`
	// TimeZone is whose days and times the bot goes by, by its IANA name.
	TimeZone string `json:"timeZone"`
	// ContinueWords are what a follower types, 1 to 8 of them, to get what is undelivered: the next page, a finished
	// answer. The first is what tap-links send. One that is 1 is a question instead when everything is delivered and
	// the last answer asks for a number.
	ContinueWords []string `json:"continueWords"`
	// AILabel is a line on every reply that shows an answer of the app's, at most MaxNoteBytes; empty is none. See
	// AILabelText. China asks for it since September 2025.
	AILabel string `json:"aiLabel"`
	// Notice is shown by the help and on pages: a filing number, the model's name. At most MaxNoticeBytes.
	Notice string `json:"notice"`
	// Sources has answers name the documents that they rest on, three at most, if the app tells them.
	Sources bool `json:"sources"`
	// Feedback has answers end in links by which a follower rates them: Dify keeps the ratings.
	Feedback bool `json:"feedback"`
	// Suggestions has answers and the welcome end in tap-links that ask what the app suggests, if it does.
	Suggestions bool `json:"suggestions"`
	// Page is for answers that are longer than a reply.
	Page Page `json:"page"`
	// Texts replaces single built-in texts, by the keys of TextKeys.
	Texts map[string]string `json:"texts,omitempty"`
}

// Bounds of lines that stand beside others, in bytes of UTF-8.
const (
	MaxNoteBytes   = 120
	MaxNoticeBytes = 300
)

// The line that says that AI has made an answer, in both languages.
const (
	labelChinese = "（内容由AI生成）"
	labelEnglish = "(AI-generated)"
)

// AILabelText is AILabel, of which the default is the language's own; empty is none.
func (r *Reply) AILabelText() string {
	if r.AILabel == labelChinese && r.Language == LanguageEnglish {
		return labelEnglish
	}
	return r.AILabel
}

// Zone is the time zone of TimeZone; UTC if there is no such zone, which Check refuses.
func (r *Reply) Zone() *time.Location {
	if zone, ok := zoneOf(r.TimeZone); ok {
		return zone
	}
	return time.UTC
}

// Push bounds what is sent outside of replies.
type Push struct {
	// MaxSends is how many messages carry one answer at most: 1 to 5, as WeChat allows five after a follower's message.
	// The last one ends in a tap-link to the rest.
	MaxSends int `json:"maxSends"`
}

// Page shows a whole answer at an address below PagePath that only the bot can make.
type Page struct {
	// Enabled has answers of more than one reply end in a link to their page.
	Enabled bool `json:"enabled"`
	// TTL is how long after its answer's end a page can be opened: 1m to 720h. With the session it is gone before.
	TTL Duration `json:"ttl"`
}

// PagePath is below which the pages are. Bots that share a domain have different paths, and so different ones of these.
func PagePath(webhook string) string {
	switch webhook {
	case Default().Path:
		return "/a/"
	case "/":
		return "/a/~/"
	default:
		return "/a" + webhook + "/"
	}
}

// Handover lets followers ask for a person (客服).
type Handover struct {
	// Words ask for a person, as the follower types them: at most MaxHandoverWords. None: nobody is handed over.
	Words []string `json:"words,omitempty"`
	// Offline is said when nobody is online, in place of the built-in text: at most MaxReplyBytes bytes.
	Offline string `json:"offline,omitempty"`
}

// Limits protects the Dify budget.
type Limits struct {
	// Questions is how many questions one follower may ask in Window: 1 to 10000.
	Questions int `json:"questions"`
	// Window is the time Questions counts in: 1s to 24h.
	Window Duration `json:"window"`
	// Concurrency is how many turns of the bot run at once: 1 to 10000.
	Concurrency int `json:"concurrency"`
	// Tokens are budgets for a day in Reply.TimeZone.
	Tokens Tokens `json:"tokens"`
}

// MaxTokens bounds budgets.
const MaxTokens = 1_000_000_000_000

// Tokens are how many tokens the app may use on a day, as Dify counts them: 0 is no limit, else 1 to MaxTokens.
type Tokens struct {
	Follower int64 `json:"follower"` // for each follower
	Bot      int64 `json:"bot"`      // for all together
}

// Default is what a file gets that says nothing. Bot and SecretsDir have no default and are empty in it.
func Default() Config {
	return Config{
		Listen:      "127.0.0.1:8080",
		AdminListen: "127.0.0.1:9090",
		Path:        "/wechat",
		WeChat:      WeChat{APIBaseURL: "https://api.weixin.qq.com", PictureHosts: []string{"qpic.cn", "qlogo.cn"}},
		Dify: Dify{
			BaseURL:     "https://api.dify.ai/v1",
			Timeout:     Duration(5 * time.Minute),
			IdleTimeout: Duration(time.Minute),
		},
		Reply: Reply{
			Mode:           ReplyModePassive,
			Suggestions:    true,
			Push:           Push{MaxSends: 4},
			Voice:          VoiceNever,
			Deadline:       Duration(4500 * time.Millisecond),
			HoldsPerMinute: 30,
			ContinueWords:  []string{"1", "继续"},
			Language:       LanguageChinese,
			TimeZone:       "Asia/Shanghai",
			AILabel:        labelChinese,
			Page:           Page{TTL: Duration(24 * time.Hour)},
		},
		Limits: Limits{Questions: 20, Window: Duration(10 * time.Minute), Concurrency: 50},
		Session: Session{
			Type:        SessionMemory,
			IdleTimeout: Duration(24 * time.Hour),
			History:     20,
		},
		Tracing:    Tracing{SamplingPercent: 100},
		MenuPolicy: MenuReport,
	}
}
