package wechatsim

import (
	"bytes"
	"crypto/subtle"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// Reply is a legal reply as the follower's client gets it.
type Reply struct {
	// Type is its MsgType; empty if there was no reply.
	Type string
	// Text is a text's content with its <a> elements; [Visible] gives it as the client shows it. Of other types it is the title.
	Text string
	// Links are those of a text, in order, and the article's of a news reply.
	Links []Link
	// MediaID is that of an image, voice or video, or of music's cover.
	MediaID string
	// Description is a video's, music's or article's.
	Description string
	// KfAccount is the agent that a transfer_customer_service names.
	KfAccount string
}

// refusal is the reason why a reply is illegal.
type refusal string

func (r refusal) verdict() Verdict { return Verdict(illegalPrefix + string(r)) }

// judge decides over the body of an answer with status 200.
func (p *Platform) judge(body []byte, openid string, repliable bool) (reply Reply, verdict Verdict, encrypted bool) {
	if len(body) == 0 || string(body) == wechat.Success {
		return Reply{}, Acknowledged, false
	}
	root, no := parseReply(body)
	if no != "" {
		return Reply{}, no.verdict(), false
	}
	encrypted = root.child("Encrypt") != nil
	if root, no = p.unwrap(root); no == "" {
		reply, no = p.read(root, openid)
	}
	if no == "" && !repliable {
		no = "a reply to an event that allows none"
	}
	if no != "" {
		return Reply{}, no.verdict(), encrypted
	}
	return reply, Answered, encrypted
}

// element is one XML element. Attributes mean nothing in this format.
type element struct {
	name     string
	text     string
	children []*element
}

// child gives the first child of that name, nil if there is none.
func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// value gives the text of a child, empty if there is none.
func (e *element) value(name string) string {
	if c := e.child(name); c != nil {
		return c.text
	}
	return ""
}

// parseReply reads a body that must be one <xml> element from its first byte on.
func parseReply(body []byte) (*element, refusal) {
	switch {
	case len(body) > maxReply:
		return nil, "more than 64 KiB"
	case !utf8.Valid(body):
		return nil, "not UTF-8"
	case !bytes.HasPrefix(body, []byte("<xml>")):
		if bytes.Contains(body, []byte("<xml>")) {
			return nil, "bytes before <xml>"
		}
		return nil, "neither XML nor success"
	case bytes.ContainsFunc(body, illegalInXML):
		return nil, "characters illegal in XML 1.0"
	}
	return parseElement(body)
}

// illegalInXML is the complement of XML 1.0's Char production, for runes that decode.
func illegalInXML(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}

func parseElement(body []byte) (*element, refusal) {
	decoder := xml.NewDecoder(bytes.NewReader(body))
	top := new(element) // stands above the root, so that a second root shows
	open := []*element{top}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return top.onlyRoot()
		}
		if err != nil {
			return nil, "not well-formed XML"
		}
		parent := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local}
			parent.children = append(parent.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			parent.text += string(t)
		case xml.Directive:
			return nil, "a DTD"
		}
	}
}

func (e *element) onlyRoot() (*element, refusal) {
	if len(e.children) != 1 || strings.TrimSpace(e.text) != "" {
		return nil, "more than one XML root"
	}
	root := e.children[0]
	seen := make(map[string]bool, len(root.children))
	for _, c := range root.children {
		if seen[c.name] {
			return nil, "an element twice"
		}
		seen[c.name] = true
	}
	return root, ""
}

// unwrap gives the reply proper: the root itself, or what its envelope holds.
func (p *Platform) unwrap(root *element) (*element, refusal) {
	if root.child("Encrypt") == nil {
		if p.account.Mode == Secure {
			return nil, "not encrypted in secure mode"
		}
		return root, ""
	}
	if p.cipher == nil {
		return nil, "encrypted in plain mode"
	}
	encrypted, timestamp, nonce := root.value("Encrypt"), root.value("TimeStamp"), root.value("Nonce")
	if encrypted == "" || nonce == "" || !positive(timestamp) {
		return nil, "an incomplete envelope"
	}
	signature := wechat.Sign(p.account.Token, timestamp, nonce, encrypted)
	if subtle.ConstantTimeCompare([]byte(signature), []byte(root.value("MsgSignature"))) != 1 {
		return nil, "a wrong MsgSignature"
	}
	plain, err := p.cipher.Open(encrypted)
	if err != nil {
		return nil, "undecryptable"
	}
	inner, no := parseReply(plain)
	if no != "" {
		return nil, "in the envelope " + no
	}
	return inner, ""
}

// positive says whether s is a positive integer. Its size is not checked: replies dated in milliseconds are shown.
func positive(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n > 0
}

// read checks what all replies have, then what their type needs.
func (p *Platform) read(root *element, openid string) (Reply, refusal) {
	to, from := root.value("ToUserName"), root.value("FromUserName")
	switch {
	case to == p.account.OriginalID && from == openid:
		return Reply{}, "ToUserName and FromUserName not swapped"
	case to != openid:
		return Reply{}, "ToUserName is not the follower"
	case p.account.AppID != "" && from == p.account.AppID:
		return Reply{}, "FromUserName is the AppID, not the original id"
	case from != p.account.OriginalID:
		return Reply{}, "FromUserName is not the account"
	case !positive(root.value("CreateTime")):
		return Reply{}, "CreateTime is not an integer"
	}
	r := Reply{Type: root.value("MsgType")}
	no := r.fill(root)
	return r, no
}

// fill reads the members of the reply's type.
func (r *Reply) fill(root *element) refusal {
	switch r.Type {
	case "text":
		return r.fillText(root.value("Content"))
	case "image":
		return r.fillMedia(root.child("Image"), "MediaId")
	case "voice":
		return r.fillMedia(root.child("Voice"), "MediaId")
	case "video":
		return r.fillMedia(root.child("Video"), "MediaId")
	case "music":
		return r.fillMedia(root.child("Music"), "ThumbMediaId")
	case "news":
		return r.fillNews(root)
	case "transfer_customer_service":
		return r.fillTransfer(root.child("TransInfo"))
	case "":
		return "no MsgType"
	default:
		return "an unknown MsgType"
	}
}

func (r *Reply) fillText(content string) refusal {
	switch {
	case strings.TrimSpace(content) == "":
		return "an empty Content"
	case len(content) > wechat.MaxTextBytes:
		return "a Content of more than 2,048 bytes"
	}
	r.Text, r.Links = content, Links(content)
	return ""
}

func (r *Reply) fillMedia(media *element, id string) refusal {
	if media == nil || media.value(id) == "" {
		return refusal("a " + r.Type + " without " + id)
	}
	r.MediaID, r.Text, r.Description = media.value(id), media.value("Title"), media.value("Description")
	return ""
}

// fillNews takes one article only: more are not shown in answer to a follower's message, and since 2018-10-12 in no reply.
func (r *Reply) fillNews(root *element) refusal {
	articles := root.child("Articles")
	if articles == nil || len(articles.children) != 1 || root.value("ArticleCount") != "1" || articles.child("item") == nil {
		return "not exactly one article"
	}
	item := articles.child("item")
	if item.value("Title") == "" || item.value("Url") == "" || item.child("Description") == nil || item.child("PicUrl") == nil {
		return "an incomplete article"
	}
	r.Text, r.Description = item.value("Title"), item.value("Description")
	r.Links = []Link{{Label: r.Text, URL: item.value("Url")}}
	return ""
}

func (r *Reply) fillTransfer(info *element) refusal {
	if info == nil {
		return ""
	}
	if r.KfAccount = info.value("KfAccount"); r.KfAccount == "" {
		return "a TransInfo without KfAccount"
	}
	return ""
}
