// Package turn is the engine of a bot: one question becomes one answer, however often the question is delivered,
// wherever its deliveries land, and whatever happens to them.
//
// A delivery goes through three stages: accept (accept.go) records what it asks for, wait and show (deliver.go) decide
// what it is replied with and when: the answer, the part that has come so far, a waiting line, or nothing yet. A turn
// goes through three of its own: claim (claim.go), ask (ask.go, resume.go) and end (work.go). Timing is decided in
// clock.go, what becomes of a store that fails in store.go.
//
// A front (a WeChat webhook; later another channel) hands it messages and writes the replies. The engine knows no
// HTTP, no XML and no Kubernetes; what it needs to know of a channel is in Options: the size of a page, how a tap-link
// looks, how often a message is delivered.
package turn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/dify/breaker"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Dify is what the engine needs of Dify's service API.
type Dify interface {
	Chat(ctx context.Context, r dify.ChatRequest, onUpdate func(dify.Update)) (dify.Answer, error)
	Await(ctx context.Context, r dify.Run) (dify.Answer, error)
	Stop(ctx context.Context, taskID, user string) error
	DeleteConversation(ctx context.Context, id, user string) error
	DeleteConversations(ctx context.Context, user string) (deleted int, err error)
	Parameters(ctx context.Context) (dify.Parameters, error)
}

// Renderer turns an answer into the channel's text and cuts it into pages.
type Renderer interface {
	// Text is a whole answer.
	Text(a session.Answer) string
	// Partial is what can be shown of an answer that still grows.
	Partial(a session.Answer) string
	// Page is the end of the page that starts at from and has at most size bytes, and where the next one starts.
	Page(text string, from, size int) (end, next int)
}

// Message is one delivery of something that a follower has sent.
type Message struct {
	Follower string
	ID       string          // the same for every delivery of the message, unique among the follower's messages
	Text     string          // what was typed, or what a tap-link or a menu sends
	Media    []session.Media // that it consists of, or that belong to the text
	Click    bool            // it is a tap on the account's menu, and nothing that was said
	Delivery int             // which delivery it is as far as the channel can tell; the engine counts for itself too
	Received time.Time       // when the first byte of this delivery came
	// Window is when and how often the account may write to the follower because of the message; nil if it may not.
	Window *session.Window
	ref    string // what the turn that it begins has as Ref
	again  string // the turn that it asks again
	Tap    string // what was given to LinkAs for the link that was tapped; empty if the message was typed
}

func (m Message) key() session.Key { return session.Key{Follower: m.Follower, ID: m.ID} }

// Options are fixed for the engine's lifetime.
type Options struct {
	Store    session.Store
	Dify     Dify
	Renderer Renderer
	Pusher   Pusher // nil if the bot has no access to the account's API
	Media    Media  // nil if the bot reads text only
	Agents   Agents // nil if nobody is there to be handed over to
	Metrics  *Metrics
	Log      *slog.Logger
	Tracer   Tracer // nil: no turn is traced

	Link func(label, send string) string // a link that sends a text when it is tapped
	// LinkAs is Link whose tap is known again by an ID, in Message.Tap. Without it, or Rater, answers cannot be rated.
	LinkAs func(label, send, id string) string
	Rater  Rater
	// Suggester gives the questions that Dify suggests; nil: none are shown under answers.
	Suggester Suggester
	// Forms submits what a workflow waits with; nil, or without LinkAs: followers cannot.
	Forms Forms
	// WholeLink is a link to where a whole answer can be read that ended at a time; "" is nowhere, nil never.
	WholeLink func(label string, k session.Key, ended time.Time) string
	Alias     func(of string) string // what a follower or a message is called in logs: nobody can tell what it is an alias of

	// MenuShown tells whether followers have the menu of Settings in the account; nil is never.
	MenuShown func() bool

	PageBytes  int           // the most that one reply shows
	Deliveries int           // how often the channel delivers a message that is not replied to
	Patience   time.Duration // how long the channel waits for a reply, from Received
	HoldFor    time.Duration // how long after Received a delivery that is left to time out is kept open at most
}

// Settings can change while the engine runs.
type Settings struct {
	Deadline       time.Duration // a delivery is replied to so long after Received, unless it is held
	HoldsPerMinute int           // how many deliveries a minute may be left to time out; 0 is none
	Inputs         map[string]string
	Limits         session.Limits // with the time of a whole turn, queue and retries included
	Texts          Texts
	// ContinueWords ask for what the follower has not yet got. The first is what tap-links send.
	ContinueWords []string
	// Sends is how many messages outside any push carry an answer that is not there in time, at most; 0 lets the follower
	// ask for it.
	Sends    int
	Sources  bool // answers name the documents that they rest on
	Feedback bool // answers can be rated
	// Suggestions has answers and the welcome end in what Dify's app suggests to ask.
	Suggestions bool
	// SpeakToVoices has answers to voice messages read out too, where answers are pushed.
	SpeakToVoices bool
	// HandoverWords ask for a person; none: nobody is handed over. The first is what tap-links send.
	HandoverWords []string
	// AILabel is a line on each page of an answer that is a reply; Notice stands in the help. Empty is none.
	AILabel, Notice string
	Keywords        []Keyword
	Menu            []MenuItem // the account's, from left to right

	help, more     string        // made of Texts once: the help, and the link to go on
	limitsReplaced chan struct{} // closed when other limits are in force
}

// Engine runs the turns of one bot.
type Engine struct {
	Options
	settings    atomic.Pointer[Settings]
	configuring sync.Mutex
	welcome     welcome
	voice       voice
	suggestions suggestions
	breaker     *breaker.Breaker // of calls that ask Dify
	storeLog    rateLimited
	localHolds  holds

	jobs     jobs            // running turns and the small work behind a command
	calls    jobs            // of the store, for deliveries
	runs     runs            // the running turns, as the keeper sees them
	life     context.Context // theirs: ends only when they must be given up
	end      context.CancelFunc
	leaving  chan struct{} // closed by Drain
	leavOnce sync.Once
}

// New makes an engine. Run has to be called for queued and orphaned turns to be worked on.
func New(o Options, s Settings) (*Engine, error) {
	switch {
	case o.Store == nil || o.Dify == nil || o.Renderer == nil || o.Metrics == nil || o.Log == nil:
		return nil, errors.New("turn engine: store, Dify, renderer, metrics and log are required")
	case o.Link == nil || o.Alias == nil:
		return nil, errors.New("turn engine: link and alias are required")
	case o.PageBytes < minPageBytes:
		return nil, fmt.Errorf("turn engine: a page of %d bytes is too small, it takes %d", o.PageBytes, minPageBytes)
	case o.Deliveries < 1 || o.Patience <= 0:
		return nil, errors.New("turn engine: deliveries and patience must be positive")
	}
	e := &Engine{Options: o, leaving: make(chan struct{})}
	e.jobs.guard, e.calls.guard = e.guarded, e.guarded
	e.breaker = breaker.New(breaker.Options{OnChange: e.breakerChanged})
	e.life, e.end = context.WithCancel(context.Background())
	e.Configure(s)
	return e, nil
}

// Configure replaces the settings. Turns that run go on with the time they have.
func (e *Engine) Configure(s Settings) {
	e.configuring.Lock()
	defer e.configuring.Unlock()
	if len(s.ContinueWords) == 0 {
		s.ContinueWords = DefaultContinueWords
	}
	s.help, s.more = e.linked(&s, TextHelp), e.moreLink(&s, "")
	old := e.settings.Load()
	if old != nil && sameLimits(old.Limits, s.Limits) {
		s.limitsReplaced = old.limitsReplaced
		e.settings.Store(&s)
		return
	}
	s.limitsReplaced = make(chan struct{})
	e.settings.Store(&s)
	if old != nil {
		close(old.limitsReplaced)
	}
}

// sameLimits tells whether the limits are the same. Of a time zone that was loaded twice there are two.
func sameLimits(a, b session.Limits) bool {
	zones := a.Tokens.Zone.String() == b.Tokens.Zone.String()
	a.Tokens.Zone, b.Tokens.Zone = nil, nil
	return zones && a == b
}

// Run works on turns until ctx ends: those that could not start at once, those whose process has died, and those
// that deliveries start. What still runs when ctx ends is released; Drain first to let it finish.
func (e *Engine) Run(ctx context.Context) {
	claims, cancel := context.WithCancel(ctx)
	defer cancel()
	var own sync.WaitGroup
	own.Go(func() {
		for claims.Err() == nil {
			e.claimUnder(claims, e.settings.Load())
		}
	})
	own.Go(func() {
		select {
		case <-e.leaving:
			if e.Store.Durable() {
				cancel() // what waits is for the other processes
			}
		case <-claims.Done():
		}
	})
	<-ctx.Done()
	e.end()
	e.jobs.close()
	own.Wait()
	e.jobs.wait()
	e.runs.keeper.Wait()
	e.calls.close()
	e.calls.wait()
}

// Drain waits until nothing is lost when this process ends. A durable store's waiting turns are left to the next or the
// other processes and the running ones are finished. If nobody else will have the answers, all turns are finished, and
// each answer has been delivered or all deliveries of its question are over. The engine goes on answering meanwhile; if
// ctx ends first, the error says what is left.
func (e *Engine) Drain(ctx context.Context) error {
	e.leavOnce.Do(func() { close(e.leaving) })
	for {
		left, err := e.left(ctx)
		if err == nil && left == (session.Pending{}) {
			return nil
		}
		if !pause(ctx, drainInterval) {
			return errors.Join(fmt.Errorf("%d turns still run or wait, %d answers were not delivered", left.Open, left.Undelivered), err, ctx.Err())
		}
	}
}

func (e *Engine) left(ctx context.Context) (session.Pending, error) {
	if n := e.jobs.running(); n > 0 || e.Store.Durable() {
		return session.Pending{Open: n}, nil
	}
	p, err := e.Store.Pending(ctx)
	if err != nil {
		return p, fmt.Errorf("counting what is pending: %w", err)
	}
	return p, nil
}

// drainInterval is how often a leaving process looks whether it may go.
const drainInterval = 100 * time.Millisecond

// mayClaim tells whether this process may start turns: not once it is leaving and others can take them.
func (e *Engine) mayClaim() bool {
	select {
	case <-e.leaving:
		return !e.Store.Durable()
	default:
		return true
	}
}

// pause waits, and tells whether it could wait for the whole time.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
