package demo

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// action is what a follower does. Its kind is text, tap, click, image, voice, follow or unfollow.
type action struct {
	kind string
	text string // what is sent, or the key of a menu item
	// media is the file that is sent, if one is.
	media string
	do    func(context.Context, *wechatsim.Follower) (*wechatsim.Exchange, error)
}

// What the page is told of a message. Times are in milliseconds, At since the Unix epoch, From since the message was sent.
type (
	sentEvent struct {
		Message  int    `json:"m"`
		At       int64  `json:"at"`
		Kind     string `json:"kind"`
		Text     string `json:"text"`
		Question bool   `json:"question"`
		shownAs
	}
	deliveryEvent struct {
		Message   int     `json:"m"`
		N         int     `json:"n"`
		From      float64 `json:"from"`
		Took      float64 `json:"took"`
		Verdict   string  `json:"verdict"` // empty while it is under way
		Status    int     `json:"status"`
		Bytes     int     `json:"bytes"`
		Encrypted bool    `json:"encrypted"`
	}
	endedEvent struct {
		Message int     `json:"m"`
		At      int64   `json:"at"`
		Took    float64 `json:"took"`
		Outcome string  `json:"outcome"`
		Reply   string  `json:"reply"` // its kind
		Asked   bool    `json:"asked"` // whether Dify is asked
		Toast   string  `json:"toast"` // what the client shows in place of a reply
		shownAs
	}
	turnEvent struct {
		Message   int     `json:"m"`
		Outcome   string  `json:"outcome"`
		From      float64 `json:"from"`
		FirstText float64 `json:"firstText"` // since From; 0 if no text came
		Took      float64 `json:"took"`
		Tries     int64   `json:"tries"`
	}
	// part is a piece of a reply: plain text, or a link. A link's Index is what a tap names.
	part struct {
		Text  string `json:"text"`
		Link  string `json:"link,omitempty"` // tap or page
		Index int    `json:"index,omitempty"`
		URL   string `json:"url,omitempty"` // of a page
	}
)

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// asks says whether the server asks Dify because of the action. What is tapped to rate an answer is no question.
func (a action) asks() bool {
	switch a.kind {
	case "text":
		return isQuestion(a.text)
	case "tap":
		return isQuestion(a.text) && a.text != "👍" && a.text != "👎"
	}
	return false
}

// act does what a follower does, in the background until the exchange is over.
func (d *Demo) act(s *session, a action) error {
	question := a.asks()
	m, err := s.begin(question)
	if err != nil {
		return err
	}
	s.tell("sent", sentEvent{m.id, m.start.UnixMilli(), a.kind, a.text, question, d.shown(a.kind, "", "", nil, a.media)})
	d.exchanges.Go(func() { d.exchange(s, m, a) })
	return nil
}

func (d *Demo) exchange(s *session, m *message, a action) {
	ctx := wechatsim.WithObserver(d.life, func(e wechatsim.Event) { s.observe(m, e) })
	x, err := a.do(ctx, d.platform.Follower(s.openid))
	if errors.Is(err, wechatsim.ErrNoButton) { // the menu has changed meanwhile
		x, err = &wechatsim.Exchange{Start: m.start, Outcome: wechatsim.Silent}, nil
	}
	if err != nil {
		s.end(m, nil, false)
		return // the demo ends
	}
	kind := kindOf(a, x)
	asked := m.question && kind != "refused" && arrived(x)
	s.end(m, x.Links, asked)
	ended := endedEvent{
		Message: m.id, At: x.Start.Add(x.Took).UnixMilli(), Took: ms(x.Took), Outcome: string(x.Outcome), Reply: kind, Asked: asked,
		shownAs: d.shown(x.Type, x.Text, x.Description, x.Links, x.MediaID),
	}
	if x.Toast {
		ended.Toast = wechatsim.FaultToast
	}
	s.tell("ended", ended)
}

// arrived says whether a delivery has reached the server.
func arrived(x *wechatsim.Exchange) bool {
	return slices.ContainsFunc(x.Deliveries, func(d wechatsim.Delivery) bool {
		return d.Verdict != wechatsim.Refused && d.Verdict != wechatsim.Unreachable
	})
}

func (s *session) observe(m *message, e wechatsim.Event) {
	if e.Type != wechatsim.DeliveryStarted && e.Type != wechatsim.DeliveryEnded {
		return
	}
	v := e.Delivery
	s.tell("delivery", deliveryEvent{
		m.id, v.N, ms(v.Start.Sub(m.start)), ms(v.Took), string(v.Verdict), v.Status, v.Bytes, v.Encrypted,
	})
}

func (s *session) turnFinished(t finishedTurn) {
	m := s.asked(t.accepted)
	if m == nil {
		return
	}
	s.tell("turn", turnEvent{
		m.id, t.outcome, ms(t.accepted.Add(t.waited).Sub(m.start)), ms(t.firstText), ms(t.took), t.tries,
	})
}

// isQuestion says whether the server asks Dify when a follower sends this.
func isQuestion(text string) bool {
	text = strings.TrimSpace(text)
	return text != "" && !isFetch(text) && (!strings.HasPrefix(text, "/") || strings.EqualFold(text, turn.Retry))
}

func isFetch(text string) bool {
	return slices.Contains(turn.DefaultContinueWords, text) || text == "１"
}

// kindOf tells what kind of reply a follower got: whole, part, waiting, failed, refused, notice, transfer, or none. It is made out from what is
// visible: the wire does not carry it.
func kindOf(a action, x *wechatsim.Exchange) string {
	switch {
	case x.Outcome != wechatsim.Replied:
		return "none"
	case x.Type == "transfer_customer_service":
		return "transfer"
	}
	if !isFetch(a.text) && !a.asks() {
		return "notice"
	}
	says := func(key string) bool { return strings.Contains(x.Text, words[key]) }
	switch {
	case says(serverconfig.TextBusy), says(serverconfig.TextTooManyOpen), says(serverconfig.TextRateLimited):
		return "refused"
	case says(serverconfig.TextWaiting), says(serverconfig.TextQueued):
		return "waiting"
	case says(serverconfig.TextNothingYet):
		return "notice"
	}
	for _, l := range x.Links {
		switch l.Send {
		case turn.Retry:
			return "failed"
		case turn.DefaultContinueWords[0]:
			return "part"
		}
	}
	return "whole"
}

// mark stands for a link in a text. No reply holds it: XML cannot.
const mark = "\x00"

// parts takes a reply's text apart as a client shows it. A link to the bot's domain leads to where the demo serves it.
func (d *Demo) parts(text string) []part {
	list := parts(text)
	for i := range list {
		if path, ok := strings.CutPrefix(list[i].URL, "https://"+domain); ok {
			list[i].URL = d.URL() + path
		}
	}
	return list
}

func parts(text string) []part {
	list := []part{}
	links := wechatsim.Links(text)
	for i, plain := range strings.Split(wechatsim.Visible(text, func(wechatsim.Link) string { return mark }), mark) {
		if plain != "" {
			list = append(list, part{Text: plain})
		}
		if i == len(links) {
			break
		}
		p := part{Text: links[i].Label, Link: "page", Index: i, URL: links[i].URL}
		if links[i].Send != "" {
			p.Link, p.URL = "tap", ""
		}
		list = append(list, p)
	}
	return list
}
