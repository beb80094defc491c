package demo

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// weChat is the stand-in for WeChat's server API, on a loopback port, where followers' pictures are too.
type weChat struct {
	listener net.Listener
	http     *http.Server
}

func newWeChat(ctx context.Context) (*weChat, error) {
	l, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the stand-in for WeChat: %w", err)
	}
	return &weChat{listener: l, http: &http.Server{ReadHeaderTimeout: 5 * time.Second}}, nil
}

func (w *weChat) url() string { return "http://" + w.listener.Addr().String() }

// serve is the account's platform's API until stop is called.
func (w *weChat) serve(p *wechatsim.Platform) error {
	mux := http.NewServeMux()
	mux.Handle("/", p.API())
	mux.Handle("/mmbiz_jpg/", p.Pictures())
	w.http.Handler = mux
	return w.http.Serve(w.listener) //nolint:wrapcheck // Run wraps it
}

// newPlatform is WeChat's side of the account. There is one, for what it knows of a follower's windows outlives a message.
func (d *Demo) newPlatform() (*wechatsim.Platform, error) {
	p, err := wechatsim.New(d.bot.account, wechatsim.Options{
		Timeout: d.options.Timeout, Transport: d.bot.line.transport, Observer: d.observe, PictureURL: d.weChat.url(),
	})
	if err != nil {
		return nil, fmt.Errorf("the stand-in for WeChat: %w", err)
	}
	p.SetConsoleMenu([]wechatsim.Button{
		{Name: "帮助", Type: "click", Key: "help"}, {Name: "清空", Type: "click", Key: "clear"}, {Name: "继续", Type: "click", Key: "1"},
	})
	p.SetAgents([]wechatsim.Agent{{Account: agent}})
	return p, nil
}

// agent is the one person in the account's customer service.
const agent = "xiaoyun@shop"

// What the page is told of what did not come as a reply. Times are in milliseconds.
type (
	// bubbleEvent is a message of the account's or its agent's. Its Message is what a tap names.
	bubbleEvent struct {
		Message int    `json:"m"`
		At      int64  `json:"at"`
		From    string `json:"from"`
		AI      string `json:"ai,omitempty"` // the client's line that it is an AI's
		shownAs
	}
	// shownAs is what a client shows of a message.
	shownAs struct {
		Type    string  `json:"type"`
		Parts   []part  `json:"parts"`
		Media   string  `json:"media,omitempty"`   // id of a picture or voice
		Seconds float64 `json:"seconds,omitempty"` // that a voice plays
	}
	callEvent struct {
		API  string  `json:"api"`
		Code int     `json:"code"`
		Lost bool    `json:"lost"` // there was no answer of WeChat's
		Took float64 `json:"took"`
		Kind string  `json:"kind"` // good, wait or bad
	}
	accountEvent struct {
		Kind     string             `json:"kind"`
		Verified bool               `json:"verified"`
		Online   bool               `json:"online"` // the agent
		Broken   int                `json:"broken"` // rules of WeChat's, how often
		Menu     []wechatsim.Button `json:"menu"`
	}
	sessionEvent struct {
		Agent string `json:"agent"`
		Open  bool   `json:"open"`
	}
)

// account is the state of the account for all pages.
func (d *Demo) account() accountEvent {
	e := accountEvent{Kind: d.platform.Kind().String(), Verified: d.platform.Kind() == wechatsim.VerifiedService}
	for _, a := range d.platform.State().Agents {
		e.Online = e.Online || a.Online
	}
	for _, n := range d.platform.Violations() {
		e.Broken += n
	}
	e.Menu, _ = d.platform.Menu()
	return e
}

// tellAccount tells all pages of the account.
func (d *Demo) tellAccount() {
	e := d.account()
	for _, s := range d.sessions.all() {
		s.tell("account", e)
	}
}

// observe tells the page concerned of what did not come of its own doing.
func (d *Demo) observe(e wechatsim.Event) {
	if e.Type == wechatsim.APICalled && strings.HasSuffix(e.Call.API, "/menu/create") {
		d.tellAccount()
	}
	s := d.sessions.byOpenID(e.OpenID)
	if s == nil {
		if e.Type == wechatsim.APICalled {
			for _, s := range d.sessions.all() { // it is the account's
				s.call(e.Call)
			}
		}
		return
	}
	switch e.Type {
	case wechatsim.BubbleShown:
		s.tell("bubble", d.bubble(s, e.Bubble))
	case wechatsim.TypingShown:
		s.tell("typing", e.Typing)
	case wechatsim.SessionChanged:
		s.tell("agent", sessionEvent{e.Agent, e.Open})
	case wechatsim.APICalled:
		s.call(e.Call)
		s.tell("account", d.account())
	case wechatsim.DeliveryStarted, wechatsim.DeliveryEnded, wechatsim.AccountBlocked, wechatsim.ExchangeEnded: // the exchange tells of it
	}
}

func (s *session) call(c wechatsim.Call) {
	kind := "bad"
	switch {
	case c.Lost:
	case c.Code == 0:
		kind = "good"
	case c.Code == 45080, c.Code == 45081: // typing that is of no use any more
		kind = "wait"
	}
	s.tell("call", callEvent{strings.TrimPrefix(c.API, "/cgi-bin/"), c.Code, c.Lost, ms(c.Took), kind})
}

func (d *Demo) bubble(s *session, b wechatsim.Bubble) bubbleEvent {
	e := bubbleEvent{Message: s.pushed(b.Links), At: b.At.UnixMilli(), From: string(b.From), shownAs: d.shown(b.Type, b.Text, b.Description, b.Links, b.MediaID)}
	if b.AI {
		e.AI = wechatsim.AILine
	}
	return e
}

// shown takes a message apart as a client shows it.
func (d *Demo) shown(kind, text, description string, links []wechatsim.Link, mediaID string) shownAs {
	v := shownAs{Type: kind, Parts: []part{}, Media: mediaID}
	switch kind {
	case "", "image", "transfer_customer_service":
	case "text":
		v.Parts = d.parts(text)
	case "msgmenu":
		v.Parts = menuParts(text, links)
	case "voice":
		data, _ := d.platform.Media(mediaID)
		v.Seconds = math.Ceil(wechatsim.Seconds(data))
	default:
		title := part{Text: text}
		if len(links) > 0 && links[0].URL != "" {
			title.Link, title.URL = "page", links[0].URL
		}
		v.Parts = []part{title}
		if description != "" {
			v.Parts = append(v.Parts, part{Text: "\n" + description})
		}
	}
	return v
}

// menuParts takes a msgmenu apart: each of its items is a line of its own.
func menuParts(text string, links []wechatsim.Link) []part {
	var list []part
	next := 0
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			list = append(list, part{Text: "\n"})
		}
		if next < len(links) && line == links[next].Label {
			list = append(list, part{Text: line, Link: "tap", Index: next})
			next++
			continue
		}
		list = append(list, part{Text: line})
	}
	return list
}

// weChatFault is what goes wrong with the server's calls about one follower, by order.
type weChatFault string

// weChatFaults are the orders, by the page's names.
var weChatFaults = map[weChatFault]wechatsim.Order{
	"none":   {},
	"window": {Code: 45015},
	"count":  {Code: 45047},
	"quota":  {Code: 45009},
	"busy":   {Code: -1},
	"error":  {Status: http.StatusInternalServerError, Body: "Internal Server Error"},
	"lost":   {Lose: true, Applied: true},
	"slow":   {Delay: 3 * time.Second},
}

// fault orders what goes wrong with calls about the session's follower.
func (d *Demo) fault(s *session, o order) error {
	f, ok := weChatFaults[o.Fault]
	if !ok {
		return bad(fmt.Sprintf("WeChat has no fault %q", o.Fault))
	}
	id := 0
	if o.Fault != "none" {
		f.OpenID = s.openid
		id = d.platform.Order(f)
	}
	if before := s.ordered(o.Fault, id); before != 0 {
		d.platform.CancelOrder(before)
	}
	return nil
}

// setKind makes the account one of a kind, for all pages.
func (d *Demo) setKind(_ *session, o order) error {
	var k wechatsim.AccountKind
	if err := k.UnmarshalText([]byte(o.Kind)); err != nil {
		return bad(err.Error())
	}
	d.platform.SetKind(k)
	d.tellAccount()
	return nil
}

// setAgent lets the agent come and go, for all pages.
func (d *Demo) setAgent(_ *session, o order) error {
	d.platform.SetAgents([]wechatsim.Agent{{Account: agent, Online: o.Online, AutoAccept: maxSessions}})
	d.tellAccount()
	return nil
}

var errNobodyServes = &problem{http.StatusConflict, "no agent serves this follower"}

// say is the agent's word to the follower.
func (d *Demo) say(s *session, o order) error {
	if text := strings.TrimSpace(o.Text); text == "" || !d.platform.AgentSays(s.openid, text) {
		return errNobodyServes
	}
	return nil
}

// hangUp ends the agent's session.
func (d *Demo) hangUp(s *session, _ order) error {
	if !d.platform.CloseSession(s.openid) {
		return errNobodyServes
	}
	return nil
}

// tapMenu taps a button of the menu, or an item of one.
func (d *Demo) tapMenu(s *session, o order) error {
	if !s.follows() {
		return errNotFollowing
	}
	return d.act(s, action{kind: "click", text: strings.Join(o.Path, " › "), do: func(ctx context.Context, f *wechatsim.Follower) (*wechatsim.Exchange, error) {
		return f.TapMenu(ctx, o.Path...)
	}})
}

// record sends a voice message.
func (d *Demo) record(s *session, _ order) error {
	if !s.follows() {
		return errNotFollowing
	}
	return d.sendMedia(s, "voice", wechatsim.SampleAMR(3*time.Second))
}

// sendMedia sends a file of the follower's.
func (d *Demo) sendMedia(s *session, kind string, data []byte) error {
	id := d.platform.AddMedia(data)
	return d.act(s, action{kind: kind, media: id, do: func(ctx context.Context, f *wechatsim.Follower) (*wechatsim.Exchange, error) {
		return f.SendMedia(ctx, id)
	}})
}

// maxPicture is what a client sends at most.
const maxPicture = 10 << 20

// picture takes a picture that the follower sends: the body is the file.
func (d *Demo) picture(w http.ResponseWriter, r *http.Request) {
	s, err := d.session(r.URL.Query().Get("session"))
	if err != nil {
		refuse(w, err)
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPicture))
	switch kind := http.DetectContentType(data); {
	case err != nil:
		err = &problem{http.StatusRequestEntityTooLarge, "the picture has more than 10 MB"}
	case kind != "image/jpeg" && kind != "image/png" && kind != "image/gif":
		err = &problem{http.StatusUnsupportedMediaType, "a picture must be JPEG, PNG or GIF"}
	case !s.follows():
		err = errNotFollowing
	default:
		err = d.sendMedia(s, "image", data) //nolint:contextcheck // it is the demo's, longer than the request
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// media shows a file that WeChat has.
func (d *Demo) media(w http.ResponseWriter, r *http.Request) {
	data, contentType := d.platform.Media(r.PathValue("id"))
	if data == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "private, max-age=3600")
	_, _ = w.Write(data) //nolint:gosec // a picture or a voice, and said to be one, which nosniff holds browsers to
}
