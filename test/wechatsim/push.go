package wechatsim

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// push is one message or event of a follower, the same for all its deliveries.
type push struct {
	doc       []byte // the plain XML
	shown     string // the follower's own bubble; empty for what leaves none
	kind      string // its MsgType
	media     string // the file that it is of; empty for most
	event     string // its Event, in lower case
	id        int64  // its MsgId; 0 for an event
	repliable bool   // whether the account may answer at all
	opens     trigger
}

// document writes a push as the captures show it: one element a line, strings in CDATA, numbers bare.
type document struct {
	bytes.Buffer
}

func newDocument(to, from string, created time.Time, msgType string) *document {
	d := new(document)
	d.Grow(512)
	d.WriteString("<xml>")
	d.text("ToUserName", to)
	d.text("FromUserName", from)
	d.number("CreateTime", strconv.FormatInt(created.Unix(), 10))
	d.text("MsgType", msgType)
	return d
}

func (d *document) text(name, value string) {
	d.number(name, cdata(value))
}

func (d *document) number(name, value string) {
	d.WriteString("<" + name + ">" + value + "</" + name + ">\n")
}

func (d *document) end() []byte {
	d.WriteString("</xml>")
	return d.Bytes()
}

// cdata is what WeChat makes of a text: "]]>" and control characters stay in it as the follower's client sent them.
func cdata(s string) string { return "<![CDATA[" + s + "]]>" }

// field is one element of a push that only some types have.
type field struct {
	name, value string
	number      bool
}

// message makes an ordinary message; the account may always answer it.
func (f *Follower) message(msgType, shown string, fields ...field) push {
	now := time.Now()
	id := f.platform.nextMsgID(now)
	d := f.document(now, msgType, fields)
	d.number("MsgId", strconv.FormatInt(id, 10))
	return push{doc: d.end(), shown: shown, kind: msgType, id: id, repliable: true, opens: opensByMessage}
}

// event makes an event; events have no MsgId.
func (f *Follower) event(name string, fields ...field) push {
	d := f.document(time.Now(), "event", append([]field{{name: "Event", value: name}}, fields...))
	return push{doc: d.end(), kind: "event", event: strings.ToLower(name), repliable: allowsReply(name), opens: opensBy(name)}
}

func (f *Follower) document(now time.Time, msgType string, fields []field) *document {
	d := newDocument(f.platform.account.OriginalID, f.openid, now, msgType)
	for _, e := range fields {
		if e.number {
			d.number(e.name, e.value)
		} else {
			d.text(e.name, e.value)
		}
	}
	return d
}

// rawPush takes a whole document as it is. What cannot be read is taken for a message: hostile bodies are welcome.
func rawPush(doc []byte) push {
	var head struct {
		MsgType, Event string
		MenuID         *string `xml:"bizmsgmenuid"`
	}
	err := xml.Unmarshal(doc, &head)
	switch {
	case err != nil:
		return push{doc: doc, kind: head.MsgType, repliable: true}
	case head.MsgType == "event":
		return push{doc: doc, kind: head.MsgType, event: strings.ToLower(head.Event), repliable: allowsReply(head.Event), opens: opensBy(head.Event)}
	case head.MenuID != nil:
		return push{doc: doc, kind: head.MsgType, repliable: true, opens: opensByClick}
	default:
		return push{doc: doc, kind: head.MsgType, repliable: true, opens: opensByMessage}
	}
}

// opensBy says what an event opens for sends. Of menu items only those that push their key, or what was scanned, open something.
func opensBy(event string) trigger {
	switch strings.ToLower(event) {
	case "click", "scancode_push", "scancode_waitmsg":
		return opensByClick
	case "subscribe":
		return opensByFollow
	case "scan":
		return opensByScan
	default:
		return opensNothing
	}
}

// allowsReply says which events WeChat takes a reply to. The alarm sample judges a reply to LOCATION illegal; the others
// follow from what the follower's client shows.
func allowsReply(event string) bool {
	switch strings.ToLower(event) {
	case "subscribe", "scan", "click", "scancode_waitmsg":
		return true
	default:
		return false
	}
}

var errNoEnd = errors.New(`compatible mode adds an element before "</xml>", which the document does not have`)

// request makes one delivery of doc: signed now, with a nonce of its own.
func (p *Platform) request(ctx context.Context, openid string, doc []byte, now time.Time) (*http.Request, error) {
	timestamp, nonce := strconv.FormatInt(now.Unix(), 10), newNonce()
	query := p.query(timestamp, nonce)
	query += "&openid=" + url.QueryEscape(openid)
	body := doc
	if p.cipher != nil {
		encrypted := p.cipher.Seal(random16(), doc)
		query += "&encrypt_type=aes&msg_signature=" + wechat.Sign(p.account.Token, timestamp, nonce, encrypted)
		var err error
		if body, err = p.envelope(doc, encrypted); err != nil {
			return nil, err
		}
	}
	r := p.newRequest(ctx, http.MethodPost, query)
	r.Header.Set("Content-Type", "text/xml")
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return r, nil
}

// envelope is the body that carries an encrypted message.
func (p *Platform) envelope(doc []byte, encrypted string) ([]byte, error) {
	element := "<Encrypt>" + cdata(encrypted) + "</Encrypt>\n</xml>"
	if p.account.Mode == Secure {
		return []byte("<xml><ToUserName>" + cdata(p.account.OriginalID) + "</ToUserName>\n" + element), nil
	}
	end := bytes.LastIndex(doc, []byte("</xml>"))
	if end < 0 {
		return nil, errNoEnd
	}
	return append(append(make([]byte, 0, end+len(element)), doc[:end]...), element...), nil
}

// query is what every request of WeChat's carries. Its signature covers no body, in any mode.
func (p *Platform) query(timestamp, nonce string) string {
	q := "signature=" + wechat.Sign(p.account.Token, timestamp, nonce) + "&timestamp=" + timestamp + "&nonce=" + nonce
	if p.url.RawQuery != "" {
		q = p.url.RawQuery + "&" + q
	}
	return q
}

// newRequest has the headers of public captures.
func (p *Platform) newRequest(ctx context.Context, method, query string) *http.Request {
	target := *p.url
	target.RawQuery = query
	r := &http.Request{
		Method: method, URL: &target, Host: target.Host, Close: true,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {"Mozilla/4.0"}, "Accept": {"*/*"}, "Pragma": {"no-cache"}},
	}
	return r.WithContext(ctx)
}

// newNonce is a decimal string of at most 10 digits, as WeChat's are.
func newNonce() string {
	b := random16()
	n := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	return strconv.FormatUint(n, 10)
}

func random16() (b [16]byte) {
	_, _ = rand.Read(b[:]) // documented never to fail
	return b
}

// newMediaID is 52 characters of the kind that media ids and tickets are made of; nothing can be fetched with it.
func newMediaID() string { return rand.Text() + rand.Text() }

// escape makes a value fit for an element without CDATA.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
