package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// standInKey is the stand-in's app key. It guards nothing.
const standInKey = "app-demo"

// heard is what the stand-in hears in every voice message.
const heard = "我的订单什么时候到？"

// pictures stand before the answer to a question that has some: the stand-in has no eyes.
const pictures = "（收到了 %d 张图片。这里是演示，替身看不到里面是什么。）\n\n"

// standIn is the Dify of a demo without one, on a loopback port.
type standIn struct {
	sim      *difysim.Server
	listener net.Listener
	http     *http.Server
}

func newStandIn(ctx context.Context, choose func(difysim.Request) difysim.Behaviour) (*standIn, error) {
	l, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the stand-in for Dify: %w", err)
	}
	sim := difysim.New(difysim.Options{
		Key: standInKey, AppName: accountName, OpeningStatement: opening, SuggestedQuestions: suggested,
		Features: difysim.Features{Pictures: 3, Heard: heard, Suggested: suggestedNext},
	})
	sim.Script(choose)
	return &standIn{sim: sim, listener: l, http: &http.Server{Handler: sim, ReadHeaderTimeout: 5 * time.Second}}, nil
}

func (s *standIn) baseURL() string { return "http://" + s.listener.Addr().String() + "/v1" }

func (s *standIn) serve() error {
	return s.http.Serve(s.listener) //nolint:wrapcheck // Run wraps it
}

// stop ends all answers, and serve.
func (s *standIn) stop(ctx context.Context) {
	s.sim.Close()
	_ = shutdown(ctx, s.http) // then it is closed
}

// abandon is for a stand-in that has never served, and nothing to one that was stopped.
func (s *standIn) abandon() {
	s.sim.Close()
	_ = s.listener.Close()
}

// difyBehaviour is what a visitor has ordered of the stand-in for Dify, as the page sends it.
type difyBehaviour struct {
	FirstText int       `json:"firstText"` // milliseconds to the first text
	Total     int       `json:"total"`     // milliseconds to the end
	Length    int       `json:"length"`    // characters of an answer
	Fault     difyFault `json:"fault"`
}

// difyFault is something that goes wrong, or out of the ordinary, in Dify.
type difyFault string

const (
	noFault          difyFault = "none"
	tooMany          difyFault = "busy"      // too many requests
	serverError      difyFault = "error"     // status 500
	cutShort         difyFault = "cut"       // the connection breaks in the middle of the answer
	hanging          difyFault = "hang"      // nothing ever comes
	conversationGone difyFault = "gone"      // the conversation is no longer known
	reasoning        difyFault = "reasoning" // the model thinks aloud first
	markdown         difyFault = "markdown"  // an answer full of Markdown
)

var defaultBehaviour = difyBehaviour{FirstText: 600, Total: 2400, Length: 120, Fault: noFault}

// Bounds of what can be ordered; the page's sliders have the same.
const (
	maxFirstText = 30_000
	maxTotal     = 40_000
	minLength    = 20
	maxLength    = 6000
)

// check says what is wrong with an order.
func (b difyBehaviour) check() error {
	switch {
	case b.FirstText < 0 || b.FirstText > maxFirstText:
		return fmt.Errorf("firstText must be 0 to %d ms", maxFirstText)
	case b.Total < b.FirstText || b.Total > maxTotal:
		return fmt.Errorf("total must be firstText to %d ms", maxTotal)
	case b.Length < minLength || b.Length > maxLength:
		return fmt.Errorf("length must be %d to %d characters", minLength, maxLength)
	}
	switch b.Fault {
	case noFault, tooMany, serverError, cutShort, hanging, conversationGone, reasoning, markdown:
		return nil
	}
	return fmt.Errorf("there is no fault %q", b.Fault)
}

// cutAfter is the number of deltas that come before cutShort cuts.
const cutAfter = 20

// of is the stand-in's behaviour for one question.
func (b difyBehaviour) of(q difysim.Request) difysim.Behaviour {
	d := difysim.Behaviour{
		FirstText: time.Duration(b.FirstText) * time.Millisecond,
		Total:     time.Duration(b.Total) * time.Millisecond,
		Answer:    answer(q.Query, b.Length),
	}
	if n := len(q.Files); n > 0 {
		d.Answer = fmt.Sprintf(pictures, n) + d.Answer
	}
	switch b.Fault {
	case tooMany:
		d.Fault.Kind = difysim.TooManyRequests
	case serverError:
		d.Fault = difysim.Fault{Kind: difysim.HTTPError, Name: "unknown.500"}
	case cutShort:
		d.Fault = difysim.Fault{Kind: difysim.CutAfter, Deltas: cutAfter}
	case hanging:
		d.Fault.Kind = difysim.Hang
	case conversationGone:
		d.Fault.Kind = difysim.ConversationGone
	case reasoning:
		d.Think = thoughts
	case markdown:
		d.Answer = markdownAnswer
	case noFault:
	}
	return d
}
