package webhook

import (
	"net/http"
	"sync/atomic"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// Received counts what came, since the start.
type Received struct {
	Authentic      int64 // pushes that are WeChat's
	WrongSignature int64 // pushes and checks of the URL that are not signed with the Token
	Undecryptable  int64 // encrypted pushes that are, and do not open
}

type received struct{ authentic, wrongSignature, undecryptable atomic.Int64 }

// Received tells what came.
func (h *Handler) Received() Received {
	r := &h.received
	return Received{r.authentic.Load(), r.wrongSignature.Load(), r.undecryptable.Load()}
}

// refused counts a request that is not provably WeChat's. One without any signature, a browser's or a monitor's, says nothing of
// the account's settings.
func (r *received) refused(request *http.Request, err error) {
	if q := request.URL.Query(); q.Get("signature") == "" && q.Get("msg_signature") == "" {
		return
	}
	switch wechat.ReasonOf(err) {
	case wechat.ReasonSignature:
		r.wrongSignature.Add(1)
	case wechat.ReasonCipher, wechat.ReasonNoKey:
		r.undecryptable.Add(1)
	default: // says nothing of the account's settings
	}
}
