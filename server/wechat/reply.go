package wechat

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Success is the body that acknowledges a push without a reply. It is never encrypted.
const Success = "success"

// MaxTextBytes is the longest text, in bytes of UTF-8, that clients are known to show whole. Tencent's pages give no
// limit; beyond it the text is cut, or nothing is shown.
const MaxTextBytes = 2048

// Reply is what a push is answered with: a Text or a TransferCustomerService.
type Reply interface {
	// appendTo adds MsgType and the elements that follow it.
	appendTo(dst []byte) ([]byte, error)
}

// Text shows line breaks and <a> links; all other markup is shown as it is. It must not be blank, nor longer than MaxTextBytes.
type Text struct{ Content string }

// TransferCustomerService hands the follower to human agents: to KfAccount, or to any if that is empty.
type TransferCustomerService struct{ KfAccount string }

// Reply writes the answer to a push, with sender and receiver swapped. The answer to an encrypted push is encrypted, with the key and
// token that the push came with, so that a rotation under way breaks no reply. Characters that XML forbids are dropped.
// An error means that WeChat would show the follower a fault instead of this reply; answer with something else, or with Success.
func (a *Account) Reply(p *Push, r Reply, now time.Time) ([]byte, error) {
	if p.cipher == nil {
		return appendReply(nil, p, r, now)
	}
	plain, err := appendReply(make([]byte, headLen, 1024), p, r, now)
	if err != nil {
		return nil, err
	}
	var fresh [randomLen + 8]byte
	rand.Read(fresh[:])
	random, nonce := [randomLen]byte(fresh[:]), hex.EncodeToString(fresh[randomLen:])
	return envelope(p.token, p.cipher.seal(random, plain), strconv.FormatInt(now.Unix(), 10), nonce), nil
}

func appendReply(dst []byte, p *Push, r Reply, now time.Time) ([]byte, error) {
	dst = slices.Grow(dst, 512)
	dst = append(dst, "<xml>"...)
	dst = appendElement(dst, "ToUserName", p.FromUserName)
	dst = appendElement(dst, "FromUserName", p.ToUserName)
	dst = append(dst, "<CreateTime>"...)
	dst = strconv.AppendInt(dst, now.Unix(), 10)
	dst = append(dst, "</CreateTime>"...)
	dst, err := r.appendTo(dst)
	if err != nil {
		return nil, err
	}
	return append(dst, "</xml>"...), nil
}

// envelope wraps ciphertext, and signs it over the envelope's own timestamp and nonce.
func envelope(token string, sealed []byte, timestamp, nonce string) []byte {
	const around = 256 // the markup, signature, timestamp and nonce
	dst := make([]byte, 0, base64.StdEncoding.EncodedLen(len(sealed))+around)
	dst = append(dst, "<xml><Encrypt><![CDATA["...)
	start := len(dst)
	dst = base64.StdEncoding.AppendEncode(dst, sealed)
	sum := signature([]byte(token), []byte(timestamp), []byte(nonce), dst[start:])
	dst = append(dst, "]]></Encrypt><MsgSignature><![CDATA["...)
	dst = append(dst, sum[:]...)
	dst = append(dst, "]]></MsgSignature><TimeStamp>"...)
	dst = append(dst, timestamp...)
	dst = append(dst, "</TimeStamp><Nonce><![CDATA["...)
	dst = append(dst, nonce...)
	return append(dst, "]]></Nonce></xml>"...)
}

func (t Text) appendTo(dst []byte) ([]byte, error) {
	content := clean(t.Content)
	if strings.TrimSpace(content) == "" {
		return nil, errors.New("text reply is blank")
	}
	if len(content) > MaxTextBytes {
		return nil, errors.New("text reply is longer than " + strconv.Itoa(MaxTextBytes) + " bytes")
	}
	dst = slices.Grow(dst, len(content)+128)
	dst = append(dst, "<MsgType><![CDATA[text]]></MsgType>"...)
	return appendElement(dst, "Content", content), nil
}

func (t TransferCustomerService) appendTo(dst []byte) ([]byte, error) {
	dst = append(dst, "<MsgType><![CDATA[transfer_customer_service]]></MsgType>"...)
	if t.KfAccount == "" {
		return dst, nil
	}
	dst = append(dst, "<TransInfo>"...)
	dst = appendElement(dst, "KfAccount", clean(t.KfAccount))
	return append(dst, "</TransInfo>"...), nil
}

// appendElement writes a clean text as CDATA, which it splits where the text has the mark of CDATA's end.
func appendElement(dst []byte, name, text string) []byte {
	dst = append(append(append(dst, '<'), name...), "><![CDATA["...)
	for {
		before, after, found := strings.Cut(text, "]]>")
		dst = append(dst, before...)
		if !found {
			break
		}
		dst = append(dst, "]]]]><![CDATA["...)
		text = ">" + after
	}
	return append(append(append(dst, "]]></"...), name...), '>')
}
