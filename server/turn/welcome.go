package turn

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	openingFresh = 10 * time.Minute // how long Dify's opening statement is taken as known
	openingRetry = 30 * time.Second // how long after a failure it is asked for again
	openingWait  = 10 * time.Second // how long Dify may take to tell it
)

// welcome is what Dify's app says first, and what it takes, asked for in the background and remembered.
type welcome struct {
	mu      sync.Mutex
	opening dify.Parameters
	known   bool          // Dify has said it
	stale   time.Time     // when to ask again
	asking  chan struct{} // closed when the answer is there; nil if nobody asks
}

// Welcome greets a new follower: the bot's own text, else Dify's opening statement with its suggested questions as
// tap-links, else the help. It waits for Dify as long as the delivery's deadline allows.
func (e *Engine) Welcome(ctx context.Context, received time.Time) Reply {
	s := e.settings.Load()
	if own := s.Texts.get(TextWelcome); own != "" {
		return e.notice(e.withMenu(s, own))
	}
	ctx, cancel := context.WithDeadline(ctx, received.Add(s.Deadline))
	defer cancel()
	p, _ := e.app(ctx)
	p = p.Filled(s.Inputs)
	text := e.Renderer.Text(session.Answer{Markdown: p.OpeningStatement})
	if text == "" {
		return e.Help()
	}
	between := betweenBlocks
	if !s.Suggestions {
		p.SuggestedQuestions = nil
	}
	for _, q := range p.SuggestedQuestions {
		if q = strings.TrimSpace(q); q == "" {
			continue
		}
		line := between + e.Link(q, q)
		if len(text)+len(line) > e.PageBytes {
			break
		}
		text += line
		between = "\n"
	}
	return e.notice(e.withMenu(s, text))
}

// app is what is known of Dify's app by the end of ctx: what it says first, and what it takes; known is false if Dify has not said.
// What is old serves while it is asked for anew.
func (e *Engine) app(ctx context.Context) (p dify.Parameters, known bool) {
	w := &e.welcome
	w.mu.Lock()
	if w.asking == nil && !time.Now().Before(w.stale) {
		asking := make(chan struct{})
		if e.jobs.run(func() { e.askOpening(asking) }) {
			w.asking = asking
		}
	}
	p, known, asking := w.opening, w.known, w.asking
	w.mu.Unlock()
	if known || asking == nil {
		return p, known
	}
	select {
	case <-asking:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opening, w.known
}

// appSoFar is app without waiting for Dify.
func (e *Engine) appSoFar() (p dify.Parameters, known bool) {
	ended, cancel := context.WithCancel(e.life)
	cancel()
	return e.app(ended)
}

// askAppAgain has Dify asked anew: a question has shown that the app's settings are others.
func (e *Engine) askAppAgain() {
	e.welcome.mu.Lock()
	defer e.welcome.mu.Unlock()
	e.welcome.stale, e.welcome.known = time.Time{}, false
}

func (e *Engine) askOpening(asked chan struct{}) {
	ctx, cancel := context.WithTimeout(e.life, openingWait)
	defer cancel()
	p, err := e.Dify.Parameters(ctx)
	w := &e.welcome
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking, w.stale = nil, time.Now().Add(openingFresh)
	if err != nil {
		e.Log.Warn("Could not ask Dify for the app's settings", "error", err)
		w.stale = time.Now().Add(openingRetry)
	} else {
		w.opening, w.known = p, true
	}
	close(asked)
}
