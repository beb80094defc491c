// Package turn is the engine of a bot: one question becomes one answer, however often the question is delivered,
// wherever its deliveries land, and whatever happens to them. It decides what each delivery is replied with and when:
// the answer, the part that has come so far, a waiting line, or nothing yet.
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
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Dify is what the engine needs of Dify's service API.
type Dify interface {
	Chat(ctx context.Context, r dify.ChatRequest, onUpdate func(dify.Update)) (dify.Answer, error)
	Stop(ctx context.Context, taskID, user string) error
	Messages(ctx context.Context, conversationID, user string, limit int) ([]dify.Message, error)
	Info(ctx context.Context) (dify.Info, error)
	DeleteConversation(ctx context.Context, id, user string) error
	Parameters(ctx context.Context) (dify.Parameters, error)
}

// Renderer turns Dify's Markdown into the channel's text and cuts it into pages.
type Renderer interface {
	// Text is a whole answer.
	Text(markdown string) string
	// Partial is what can be shown of an answer that still grows.
	Partial(markdown string) string
	// Page is the end of the page that starts at from and has at most size bytes, and where the next one starts.
	Page(text string, from, size int) (end, next int)
}

// Message is one delivery of something that a follower has sent.
type Message struct {
	Follower string
	ID       string    // the same for every delivery of the message, unique among the follower's messages
	Text     string    // what was typed, or what a tap-link or a menu sends
	Delivery int       // which delivery it is as far as the channel can tell; the engine counts for itself too
	Received time.Time // when the first byte of this delivery came
}

// Options are fixed for the engine's lifetime.
type Options struct {
	Store    session.Store
	Dify     Dify
	Renderer Renderer
	Metrics  *Metrics
	Log      *slog.Logger

	Owner string                          // this process's name in leases; unique among replicas
	Link  func(label, send string) string // a link that sends a text when it is tapped
	Alias func(follower string) string    // what a follower is called in logs

	PageBytes  int           // the most that one reply shows
	Deliveries int           // how often the channel delivers a message that is not replied to
	HoldFor    time.Duration // how long after Received a delivery that is left to time out is kept open at most
	LeaseTTL   time.Duration // as the store's
}

// Settings can change while the engine runs.
type Settings struct {
	Deadline       time.Duration // a delivery is replied to so long after Received, unless it is held
	HoldsPerMinute int           // how many deliveries a minute may be left to time out; 0 is none
	Timeout        time.Duration // the whole turn, retries included
	Inputs         map[string]string
	Limits         session.Limits
	Texts          Texts

	help, more     string        // made of Texts once: the help, and the link to go on
	limitsReplaced chan struct{} // closed when other limits are in force
}

// Engine runs the turns of one bot.
type Engine struct {
	Options
	settings    atomic.Pointer[Settings]
	configuring sync.Mutex
	welcome     welcome
	storeLog    seldom

	jobs     jobs            // running turns and the small work behind a command
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
	case o.Owner == "" || o.Link == nil || o.Alias == nil:
		return nil, errors.New("turn engine: owner, link and alias are required")
	case o.PageBytes < minPageBytes:
		return nil, fmt.Errorf("turn engine: a page of %d bytes is too small, it takes %d", o.PageBytes, minPageBytes)
	case o.Deliveries < 1 || o.LeaseTTL <= 0:
		return nil, errors.New("turn engine: deliveries and lease TTL must be positive")
	}
	e := &Engine{Options: o, leaving: make(chan struct{})}
	e.life, e.end = context.WithCancel(context.Background())
	e.Configure(s)
	return e, nil
}

// Configure replaces the settings. Turns that run go on with the timeout they have.
func (e *Engine) Configure(s Settings) {
	e.configuring.Lock()
	defer e.configuring.Unlock()
	s.help, s.more = e.helpText(s.Texts), e.moreLink(s.Texts)
	old := e.settings.Load()
	if old != nil && old.Limits == s.Limits {
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

// Run works on turns until ctx ends: those that Begin could not start at once, those whose owner has died, and those
// that deliveries start. What still runs when ctx ends is given back to the store; Drain first to let it finish.
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
}

// claimUnder claims turns until other limits are in force: who waits in the store waits under those it was asked with.
func (e *Engine) claimUnder(ctx context.Context, s *Settings) {
	ctx, cancel := context.WithCancel(ctx)
	var claims sync.WaitGroup
	claims.Go(func() { e.claim(ctx, s.Limits) })
	select {
	case <-s.limitsReplaced:
	case <-ctx.Done():
	}
	cancel()
	claims.Wait()
}

// claim works on turns that Begin could not start at once, and on those of dead owners.
func (e *Engine) claim(ctx context.Context, limits session.Limits) {
	for ctx.Err() == nil {
		lease, err := e.Store.Next(ctx, e.Owner, limits)
		switch {
		case err == nil:
			e.start(lease)
		case ctx.Err() == nil:
			e.storeFailed("claiming a turn", err)
			pause(ctx, storeRetry)
		}
	}
}

// Drain waits until nothing is lost when this process ends. A durable store's waiting turns are left to the next or the
// other processes and the running ones are finished. If nobody else will have the answers, all turns are finished, and
// each answer has been fetched or all deliveries of its question are over. The engine goes on answering meanwhile; if ctx
// ends first, the error says what is left.
func (e *Engine) Drain(ctx context.Context) error {
	e.leavOnce.Do(func() { close(e.leaving) })
	for {
		left, err := e.left(ctx)
		if err == nil && left == (session.Pending{}) {
			return nil
		}
		if !pause(ctx, drainInterval) {
			return errors.Join(fmt.Errorf("%d turns still run or wait, %d answers were not fetched", left.Open, left.Untold), err, ctx.Err())
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

const (
	drainInterval = 100 * time.Millisecond // how often a leaving process looks whether it may go
	beginRetry    = 250 * time.Millisecond // how long after the store has failed it is asked to record a question again
	storeRetry    = time.Second            // how long after the store has failed it is asked for work again
)

// owner is the name to claim under: none once this process must not start turns that others can take.
func (e *Engine) owner() string {
	select {
	case <-e.leaving:
		if e.Store.Durable() {
			return ""
		}
	default:
	}
	return e.Owner
}

func (e *Engine) storeFailed(doing string, err error) {
	if errors.Is(err, session.ErrElsewhere) {
		return // the store has said it, and nothing is wrong
	}
	e.Metrics.storeErrors.Inc()
	if e.storeLog.due(time.Now()) {
		e.Log.Error("The session store failed", "doing", doing, "error", err)
	}
}

// seldom lets something happen once a second: while a store is down every follower would write a line in the log.
type seldom struct{ last atomic.Int64 }

func (s *seldom) due(now time.Time) bool {
	last := s.last.Load()
	return now.UnixNano()-last >= int64(time.Second) && s.last.CompareAndSwap(last, now.UnixNano())
}

// jobs counts the engine's goroutines and refuses new ones once it is closed.
type jobs struct {
	mu     sync.Mutex
	n      int
	closed bool
	group  sync.WaitGroup
}

// run runs f in the background; false if that is not possible any more.
func (j *jobs) run(f func()) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	j.n++
	j.group.Go(func() {
		defer j.done()
		f()
	})
	return true
}

func (j *jobs) done() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.n--
}

func (j *jobs) running() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.n
}

func (j *jobs) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}

func (j *jobs) wait() { j.group.Wait() }

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
