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

// Reply is what a push is answered with: exactly one of Text, Image, Voice, Video, Music, News and TransferCustomerService.
type Reply interface {
	// appendTo adds MsgType and the elements that follow it.
	appendTo(dst []byte) ([]byte, error)
}

// Text shows line breaks and <a> links; all other markup is shown as it is. It must not be blank, nor longer than MaxTextBytes.
type Text struct{ Content string }

// Image shows an uploaded image.
type Image struct{ MediaID string }

// Voice plays an uploaded recording.
type Voice struct{ MediaID string }

// Video plays an uploaded video; Title and Description may be empty.
type Video struct{ MediaID, Title, Description string }

// Music plays a song from its URL; everything but ThumbMediaID may be empty.
type Music struct{ Title, Description, MusicURL, HQMusicURL, ThumbMediaID string }

// News shows one article; WeChat shows nothing at all if there are more.
type News struct{ Title, Description, PicURL, URL string }

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

func (i Image) appendTo(dst []byte) ([]byte, error) {
	return appendMedia(dst, "image", "Image", i.MediaID)
}

func (v Voice) appendTo(dst []byte) ([]byte, error) {
	return appendMedia(dst, "voice", "Voice", v.MediaID)
}

func (v Video) appendTo(dst []byte) ([]byte, error) {
	return appendMedia(dst, "video", "Video", v.MediaID, "Title", v.Title, "Description", v.Description)
}

func (m Music) appendTo(dst []byte) ([]byte, error) {
	if m.ThumbMediaID == "" {
		return nil, errNoMedia
	}
	dst = append(dst, "<MsgType><![CDATA[music]]></MsgType><Music>"...)
	dst = appendOptional(dst, "Title", m.Title, "Description", m.Description, "MusicUrl", m.MusicURL, "HQMusicUrl", m.HQMusicURL)
	dst = appendElement(dst, "ThumbMediaId", clean(m.ThumbMediaID))
	return append(dst, "</Music>"...), nil
}

func (n News) appendTo(dst []byte) ([]byte, error) {
	if strings.TrimSpace(clean(n.Title)) == "" || n.URL == "" {
		return nil, errors.New("news reply needs a title and a URL")
	}
	dst = append(dst, "<MsgType><![CDATA[news]]></MsgType><ArticleCount>1</ArticleCount><Articles><item>"...)
	dst = appendElement(dst, "Title", clean(n.Title))
	dst = appendElement(dst, "Description", clean(n.Description))
	dst = appendElement(dst, "PicUrl", clean(n.PicURL))
	dst = appendElement(dst, "Url", clean(n.URL))
	return append(dst, "</item></Articles>"...), nil
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

var errNoMedia = errors.New("reply has no media id")

func appendMedia(dst []byte, msgType, element, mediaID string, optional ...string) ([]byte, error) {
	if mediaID == "" {
		return nil, errNoMedia
	}
	dst = appendElement(dst, "MsgType", msgType)
	dst = append(append(append(dst, '<'), element...), '>')
	dst = appendElement(dst, "MediaId", clean(mediaID))
	dst = appendOptional(dst, optional...)
	return append(append(append(dst, "</"...), element...), '>'), nil
}

// appendOptional writes those elements, given as name, value, name, value …, that have a value.
func appendOptional(dst []byte, pairs ...string) []byte {
	for pair := range slices.Chunk(pairs, 2) {
		if value := clean(pair[1]); value != "" {
			dst = appendElement(dst, pair[0], value)
		}
	}
	return dst
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
