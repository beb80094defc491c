package wechat

import (
	"slices"
	"strconv"
	"strings"
)

// maxFields is at least the number of elements that Push.field knows.
const maxFields = 32

// parsePush reads a push's XML. It must only see what authenticate has returned.
//
// Numbers stay text, so that a malformed one never loses the message. An element that means something here may occur once
// (readers disagree on which of two counts) and may not contain elements; all others are ignored.
func parsePush(body []byte, originalID string) (*Push, error) {
	body, ok := legalise(body)
	if !ok {
		return nil, unusableError("body is not UTF-8")
	}
	p := new(Push)
	var seen [maxFields]*string
	count := 0
	r := newReader(body)
	for r.next() {
		field := p.field(r.parent, r.name)
		if field == nil {
			continue
		}
		if r.nested || slices.Contains(seen[:count], field) {
			return nil, unusableError("an element is repeated or has elements inside")
		}
		seen[count] = field
		count++
		p.set(field, r.value, originalID)
	}
	if r.err != nil {
		return nil, r.err
	}
	return p.check(originalID)
}

// field is where an element's text belongs, nil for elements of no use. WeChat spells some names in two ways.
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

// set copies value into field, without allocating for what most pushes repeat.
func (p *Push) set(field *string, value []byte, originalID string) {
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
		MsgTypeText, MsgTypeImage, MsgTypeVoice, MsgTypeVideo, MsgTypeShortVideo, MsgTypeLocation, MsgTypeLink, MsgTypeEvent,
		EventSubscribe, EventUnsubscribe, EventScan, EventClick, EventView, EventLocation,
	} {
		kinds[kind] = kind
	}
	return kinds
}()

// check refuses a push that nobody can be answered on.
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
