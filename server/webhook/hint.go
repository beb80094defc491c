package webhook

import (
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// hintEvery is how often a hint is repeated: strangers can cause some of them.
const hintEvery = time.Minute

// hints are logged for the platform team where the reason of a refusal shows what to change. They quote nothing of a push.
type hints struct {
	mu   sync.Mutex
	last map[wechat.Reason]time.Time
}

const reasonPath wechat.Reason = "path" // a request of WeChat's for another path

var hintFor = map[wechat.Reason]string{
	wechat.ReasonNoKey: "Refused an encrypted push because no EncodingAESKey is configured: " +
		"add it and the AppID as WeChat's console shows them, or choose plain mode (明文模式) there",
	wechat.ReasonPlainRefused: "Refused a plain push because an EncodingAESKey is configured: " +
		"choose secure mode (安全模式) in WeChat's console, or set wechat.allowPlain while the mode is being changed",
	wechat.ReasonCipher: "Refused a push whose signature is right but whose text does not open: " +
		"the EncodingAESKey or the AppID differs from WeChat's console",
	wechat.ReasonWindow: "Refused a push whose signature is right but whose time is too far from this machine's: " +
		"set its clock, or somebody repeats an old push",
	wechat.ReasonJSON: "A push is JSON: choose XML as the data format (数据格式) in WeChat's console",
	reasonPath: "WeChat's request came for another path than the webhook's: " +
		"correct the path of the URL in WeChat's console, or what rewrites it on the way",
}

// hint logs what to do about a refusal, at most once in hintEvery for each reason.
func (h *Handler) hint(r wechat.Reason) {
	text, ok := hintFor[r]
	if ok && h.hints.due(r, h.now()) {
		h.log.Warn(text, "reason", string(r))
	}
}

func (h *hints) due(r wechat.Reason, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, said := h.last[r]; said && now.Sub(last) < hintEvery {
		return false
	}
	if h.last == nil {
		h.last = make(map[wechat.Reason]time.Time, len(hintFor))
	}
	h.last[r] = now
	return true
}
