package wechat

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// maxFields is at least the number of fields that Push.field returns.
const maxFields = 32

// parsePush parses an authenticated push.
//
// Numbers stay text, so that a malformed one never loses the message. A known element may occur only once (parsers differ
// in which one counts) and must not contain elements. Unknown elements are ignored. Nothing in a follower's text is an
// element.
func parsePush(body []byte, originalID string) (*Push, error) {
	body, ok := legalise(body)
	if !ok {
		return nil, unusableError("body is not UTF-8")
	}
	if isJSON(body) {
		return nil, ErrJSON
	}
	p := newParser(body)
	push, err := p.parse(originalID)
	if err == nil {
		return push, nil
	}
	if push := parseToLastEnd(body, p.reader.texts, originalID); push != nil {
		return push, nil
	}
	return nil, err
}

// parseToLastEnd parses a push whose texts may contain what looks like their end: WeChat does not escape "]]>". Read up to
// there, such a push is malformed, as the text's real end has no start. So one of its texts after another is read up to its
// last end, then all.
func parseToLastEnd(body []byte, texts int, originalID string) *Push {
	for n := texts; n >= 0; n-- {
		again := newParser(body)
		again.reader.toLastEnd = n
		if n == 0 {
			again.reader.toLastEnd = everyText
		}
		if push, err := again.parse(originalID); err == nil {
			return push
		}
	}
	return nil
}

// parser reads one push.
type parser struct {
	reader reader
	push   *Push
	seen   [maxFields]*string
	count  int
}

func newParser(body []byte) *parser {
	p := &parser{reader: newReader(body), push: new(Push)}
	p.reader.verbatim = true
	return p
}

func (p *parser) parse(originalID string) (*Push, error) {
	early := false // a text with "]]>" precedes the sender
	for p.reader.next() {
		r := &p.reader
		field := p.push.field(r.parent, r.name)
		early = early || p.push.FromUserName == "" && isWritten(r.parent, r.name) && bytes.Contains(r.value, cdataEnd)
		if field == nil {
			continue
		}
		if r.nested || slices.Contains(p.seen[:p.count], field) {
			return nil, unusableError("an element is repeated or has elements inside")
		}
		p.seen[p.count] = field
		p.count++
		p.push.set(field, r.value, originalID)
	}
	if p.reader.err != nil {
		return nil, p.reader.err
	}
	if early && p.reader.texts > 1 { // the text may end in another one, which then may forge the sender
		return nil, unusableError("the sender is ambiguous")
	}
	return p.push.check(originalID)
}

// isWritten reports whether an element has text that a follower has written or chosen, such as the title of a shared
// article, a place, or the content of a QR code.
func isWritten(parent, name []byte) bool {
	switch string(name) {
	case "Content", "EventKey", "Title", "Description", "Url", "Recognition":
		return parent == nil
	case "Label":
		return parent == nil || string(parent) == "SendLocationInfo"
	case "Poiname":
		return string(parent) == "SendLocationInfo"
	case "ScanResult":
		return string(parent) == "ScanCodeInfo"
	}
	return false
}

// isJSON reports whether the body is JSON, which WeChat's console offers as data format beside XML.
func isJSON(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(body, byteOrderMark), " \n\t\r"), []byte{'{'})
}

// field returns the field for an element's text, nil for unknown elements. WeChat has two spellings of some names.
func (p *Push) field(parent, name []byte) *string {
	switch string(parent) {
	case "":
		return p.topField(name)
	case "ScanCodeInfo":
		switch string(name) {
		case "ScanType":
			return &p.ScanType
		case "ScanResult":
			return &p.ScanResult
		}
	}
	return nil
}

func (p *Push) topField(name []byte) *string {
	switch string(name) {
	case "ToUserName":
		return &p.ToUserName
	case "FromUserName":
		return &p.FromUserName
	case "CreateTime":
		return &p.createTime
	case "MsgType":
		return &p.MsgType
	case "MsgId", "MsgID":
		return &p.MsgID
	case "Content":
		return &p.Content
	case "bizmsgmenuid":
		return &p.MenuID
	case "Event":
		return &p.Event
	case "EventKey":
		return &p.EventKey
	case "Ticket":
		return &p.Ticket
	case "OpenID", "openid":
		return &p.OpenID
	case "KfAccount":
		return &p.KfAccount
	}
	return p.mediaField(name)
}

func (p *Push) mediaField(name []byte) *string {
	switch string(name) {
	case "MediaId":
		return &p.MediaID
	case "MediaId16K":
		return &p.MediaID16K
	case "ThumbMediaId":
		return &p.ThumbMediaID
	case "PicUrl":
		return &p.PicURL
	case "Format":
		return &p.Format
	case "Recognition":
		return &p.Recognition
	case "Location_X":
		return &p.LocationX
	case "Location_Y":
		return &p.LocationY
	case "Scale":
		return &p.Scale
	case "Label":
		return &p.Label
	case "Title":
		return &p.Title
	case "Description":
		return &p.Description
	case "Url": // not URL: that one is the official debug page's
		return &p.URL
	}
	return nil
}

// set copies value into field. It does not allocate for the usual values.
func (p *Push) set(field *string, value []byte, originalID string) {
	switch field {
	case &p.Content, &p.EventKey, &p.Title, &p.Description, &p.URL, &p.Label, &p.Recognition, &p.ScanResult:
	default:
		value = bytes.TrimSpace(value) // indented documents
	}
	switch field {
	case &p.ToUserName:
		if string(value) == originalID {
			*field = originalID
			return
		}
	case &p.MsgType, &p.Event:
		if known, ok := knownKinds[string(value)]; ok {
			*field = known
			return
		}
	}
	*field = string(value)
}

var knownKinds = func() map[string]string {
	kinds := make(map[string]string)
	for _, kind := range []string{
		MsgTypeText, MsgTypeImage, MsgTypeVoice, MsgTypeVideo, MsgTypeShortVideo, MsgTypeLocation, MsgTypeLink, MsgTypeFile, MsgTypeEvent,
		EventSubscribe, EventUnsubscribe, EventScan, EventClick, EventView, EventLocation,
	} {
		kinds[kind] = kind
	}
	return kinds
}()

// check refuses a push that cannot be replied to.
func (p *Push) check(originalID string) (*Push, error) {
	switch {
	case !isID(p.FromUserName):
		return nil, unusableError("FromUserName is missing or not an openid")
	case !isID(p.ToUserName):
		return nil, unusableError("ToUserName is missing or not an original id")
	case originalID != "" && p.ToUserName != originalID:
		return nil, unusableError("ToUserName is another account's")
	case p.MsgType == "":
		return nil, unusableError("MsgType is missing")
	}
	created, err := strconv.ParseInt(strings.TrimSpace(p.createTime), 10, 64)
	if err == nil && created > 0 {
		p.CreateTime = created
	}
	return p, nil
}
