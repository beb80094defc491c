package wechat

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// The values of [Push.MsgType] of ordinary messages and of events.
const (
	MsgTypeText       = "text"
	MsgTypeImage      = "image"
	MsgTypeVoice      = "voice"
	MsgTypeVideo      = "video"
	MsgTypeShortVideo = "shortvideo"
	MsgTypeLocation   = "location"
	MsgTypeLink       = "link"
	MsgTypeFile       = "file" // of old; see Push.IsMessage
	MsgTypeEvent      = "event"
)

// Values of [Push.Event], in the spelling of Tencent's pages. WeChat is not consistent in their case: use [Push.IsEvent].
const (
	EventSubscribe                     = "subscribe"
	EventUnsubscribe                   = "unsubscribe"
	EventScan                          = "SCAN"
	EventClick                         = "CLICK"
	EventView                          = "VIEW"
	EventLocation                      = "LOCATION"
	EventScanCodeWaitMsg               = "scancode_waitmsg"
	EventUserAuthorizationRevoke       = "user_authorization_revoke"
	EventUserAuthorizationCancellation = "user_authorization_cancellation"
	EventKfCreateSession               = "kf_create_session"
	EventKfCloseSession                = "kf_close_session"
	EventTemplateSendJobFinish         = "TEMPLATESENDJOBFINISH"
	EventMassSendJobFinish             = "MASSSENDJOBFINISH"
)

const (
	eventKeyScenePrefix = "qrscene_"
	longestDelivery     = time.Minute // a larger distance is not the age of one of three deliveries
	maxMsgIDLen         = 20          // digits of the largest 64-bit number
	longestPlaceholder  = 128
)

// Push is one authenticated push: a follower's message, or an event. Which fields are set depends on MsgType and
// Event; elements that the product has no use for are not kept. All texts are UTF-8, without the characters
// that XML 1.0 forbids, and none of them can be trusted to mean anything: they are a follower's words.
type Push struct {
	ToUserName   string // the account's original id (gh_…), ^[A-Za-z0-9_-]{1,64}$
	FromUserName string // the follower's openid, the same form
	CreateTime   int64  // as WeChat wrote it: Unix seconds; 0 if absent, negative or not a number
	MsgType      string
	MsgID        string // 64-bit decimal in practice, and unique only per follower; empty for most events

	Content string // text
	MenuID  string // bizmsgmenuid: the text was sent by a tap on a menu message or a TapLink with this id

	MediaID      string // image, voice, video, shortvideo: valid for 3 days
	MediaID16K   string // voice at 16 kHz
	ThumbMediaID string // video, shortvideo
	PicURL       string // image: public, plain http
	Format       string // voice: amr or speex
	Recognition  string // voice: empty nowadays even where recognition is switched on

	LocationX, LocationY string // location: latitude, longitude in degrees
	Scale, Label         string // location: zoom, address

	Title, Description, URL string // link

	Event, EventKey, Ticket string // event; Ticket is the scanned QR code's
	OpenID                  string // user_authorization_…, user_info_modified: whom the event is about
	KfAccount               string // kf_create_session, kf_close_session
	ScanType, ScanResult    string // scancode_push, scancode_waitmsg

	createTime string
	sentAt     int64   // the authenticated URL's timestamp
	token      string  // what authenticated the push, and so signs its reply
	cipher     *Cipher // what opened the push, and so seals its reply; nil for a plain push
}

// String names the kind of push and nothing of the follower, so that a logged push gives nothing away.
func (p *Push) String() string {
	if p.MsgType == MsgTypeEvent {
		return "wechat.Push(event)"
	}
	return "wechat.Push(message)"
}

// GoString does the same for %#v.
func (p *Push) GoString() string { return p.String() }

// LogValue does the same for slog.
func (p *Push) LogValue() slog.Value { return slog.StringValue(p.String()) }

// IsEvent tells whether the push is this event. WeChat's spelling varies in case.
func (p *Push) IsEvent(event string) bool {
	return p.MsgType == MsgTypeEvent && strings.EqualFold(p.Event, event)
}

// IsMessage tells whether the push is something that a follower has sent, of whatever type: only such pushes have a MsgId
// that is theirs. WeChat has types that its pages do not name.
func (p *Push) IsMessage() bool { return p.MsgType != MsgTypeEvent && p.MsgID != "" }

// Encrypted tells whether the push came encrypted; its reply then is encrypted too.
func (p *Push) Encrypted() bool { return p.cipher != nil }

// Scene is the scene of the QR code by which the follower came: the EventKey of SCAN, and that of subscribe
// without its prefix. It is empty for everything else.
func (p *Push) Scene() string {
	switch {
	case p.IsEvent(EventScan):
		return p.EventKey
	case p.IsEvent(EventSubscribe):
		scene, found := strings.CutPrefix(p.EventKey, eventKeyScenePrefix)
		if found {
			return scene
		}
	}
	return ""
}

// DedupeKey is the same for all deliveries of one push and differs between the pushes of one follower. It does not contain the
// follower's openid: use it under a per-follower name, since MsgIDs are not unique across followers.
// Messages are known by MsgID, events by CreateTime, Event and EventKey.
// It is short ASCII out of [A-Za-z0-9-], whatever the push contained.
func (p *Push) DedupeKey() string {
	if p.MsgType != MsgTypeEvent && isMsgID(p.MsgID) {
		return "m" + p.MsgID
	}
	created := strconv.FormatInt(p.CreateTime, 10)
	if p.MsgType == MsgTypeEvent {
		return "e" + created + "-" + shortHash(p.Event, p.EventKey)
	}
	// No usable MsgID has been seen in a message. Should one come, its words must not get lost as a repetition.
	return "t" + created + "-" + shortHash(p.MsgType, p.MsgID, p.Content, p.MediaID)
}

func isMsgID(s string) bool {
	if s == "" || len(s) > maxMsgIDLen {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

func shortHash(parts ...string) string {
	var joined []byte
	for _, part := range parts {
		joined = strconv.AppendInt(joined, int64(len(part)), 10)
		joined = append(joined, ':')
		joined = append(joined, part...)
	}
	sum := sha256.Sum256(joined)
	return hex.EncodeToString(sum[:12])
}

// SentAfter is how long after the message was created WeChat sent this push, both on WeChat's clock and in whole seconds: about
// 0 for the first delivery, 5 s for the second, 10 s for the third. It is 0 if unknown.
func (p *Push) SentAfter() time.Duration {
	if p.CreateTime == 0 || p.sentAt < p.CreateTime || p.sentAt-p.CreateTime > int64(longestDelivery/time.Second) {
		return 0
	}
	return time.Duration(p.sentAt-p.CreateTime) * time.Second
}

// Placeholder tells whether the text is what WeChat pushes for content that it cannot push (stickers and the like):
// 【收到不支持的消息类型，暂无法显示】 in the language of the follower's client. Such a text is not the follower's.
func (p *Push) Placeholder() bool {
	if p.MsgType != MsgTypeText || len(p.Content) > longestPlaceholder {
		return false
	}
	text := strings.TrimSpace(p.Content)
	bare := strings.Trim(text, "[]【】")
	if bare == text {
		return false // without brackets somebody has typed it
	}
	return strings.HasPrefix(bare, "收到不支持的消息类型") || strings.HasPrefix(bare, "收到不支援的訊息類型") ||
		strings.EqualFold(bare, "Unsupported message")
}
