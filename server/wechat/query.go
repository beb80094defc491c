package wechat

import (
	"net/url"
	"strings"
)

// maxQueryBytes is several times what WeChat's parameters and a URL's own ones need.
const maxQueryBytes = 4096

// Query holds the parameters that WeChat appends to the configured URL. None of them is trusted before
// [Account.Open] or [Account.VerifyURL] has checked the signature, and OpenID not even then: no signature covers it.
type Query struct {
	Signature, MsgSignature string
	Timestamp, Nonce        string
	EncryptType             string // "aes", or empty or "raw" for a plain push
	EchoStr                 string // only in URL verification
	OpenID                  string // the sender once more; the push's FromUserName counts
}

// ParseQuery reads a request's RawQuery. Parameters that are not WeChat's are ignored (a configured URL may carry
// its own); a repeated one of WeChat's is refused, because what stands in front of the server might read the other.
// Every error is ErrUnauthenticated.
func ParseQuery(raw string) (Query, error) {
	var q Query
	if len(raw) > maxQueryBytes {
		return Query{}, refuse(ReasonQuery)
	}
	var seen uint
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		dst, bit := q.parameter(name)
		if dst == nil {
			continue
		}
		if seen&bit != 0 {
			return Query{}, refuse(ReasonQuery)
		}
		seen |= bit
		decoded, err := url.QueryUnescape(value) // returns value itself when there is nothing to decode
		if err != nil {
			return Query{}, refuse(ReasonQuery)
		}
		*dst = decoded
	}
	return q, nil
}

func (q *Query) parameter(name string) (dst *string, bit uint) {
	switch name {
	case "signature":
		return &q.Signature, 1 << 0
	case "msg_signature":
		return &q.MsgSignature, 1 << 1
	case "timestamp":
		return &q.Timestamp, 1 << 2
	case "nonce":
		return &q.Nonce, 1 << 3
	case "encrypt_type":
		return &q.EncryptType, 1 << 4
	case "echostr":
		return &q.EchoStr, 1 << 5
	case "openid":
		return &q.OpenID, 1 << 6
	}
	return nil, 0
}
