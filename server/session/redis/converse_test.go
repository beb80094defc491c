//go:build redis

package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// conversation has followers ask through two handles while something happens to Redis. Its workers do as the engine
// does: they renew what they hold, and try again what fails.
type conversation struct {
	t      *testing.T
	stores []*Store

	mu       sync.Mutex
	calls    map[session.Key]int // how often a worker has got the turn
	lost     int                 // turns taken from a worker that was alive
	answered int
	half     chan struct{} // closed when half the questions are answered
	total    int
}

const (
	conversing = 12 // followers
	questions  = 6  // of each
)

// converse returns when every question has its answer. happens is called in the middle.
func converse(t *testing.T, stores []*Store, happens func()) *conversation {
	t.Helper()
	c := &conversation{
		t: t, stores: stores, calls: map[session.Key]int{}, half: make(chan struct{}), total: conversing * questions,
	}
	ctx, stop := context.WithCancel(t.Context())
	var workers, followers sync.WaitGroup
	for _, s := range stores {
		workers.Go(func() { c.claim(ctx, s) })
		workers.Go(func() { renew(ctx, s) })
	}
	for f := range conversing {
		followers.Go(func() { c.ask("follower "+strconv.Itoa(f), stores[f%len(stores)]) })
	}
	select {
	case <-c.half:
		happens()
	case <-time.After(patience):
		t.Error("half the questions are not answered")
	}
	followers.Wait()
	stop()
	workers.Wait()
	if c.answered != c.total {
		t.Fatalf("%d of %d questions are answered", c.answered, c.total)
	}
	return c
}

// ask asks one question after another, each until it is answered: as WeChat delivers it again, and as the follower
// fetches it.
func (c *conversation) ask(follower string, s *Store) {
	for q := range questions {
		k := session.Key{Follower: follower, ID: strconv.Itoa(q)}
		if !c.askOne(k, s) {
			c.t.Errorf("no answer to %v", k)
			return
		}
	}
}

func (c *conversation) askOne(k session.Key, s *Store) bool {
	for until := time.Now().Add(patience); time.Now().Before(until); {
		b, err := s.Begin(c.t.Context(), session.Question{Key: k, Text: "question " + k.ID}, true, limits)
		if err == nil && b.Lease != nil {
			c.work(s, b.Lease)
		}
		if err == nil {
			t, err := sessiontest.Await(c.t.Context(), s, k, 2*time.Second)
			if err == nil && t.State == session.Answered {
				c.gotAnswer(k, t)
				return true
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-c.t.Context().Done():
			return false
		}
	}
	return false
}

func (c *conversation) gotAnswer(k session.Key, t session.Turn) {
	if t.Answer.Markdown != "answer "+k.ID || t.Question != "question "+k.ID {
		c.t.Errorf("turn %+v", t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered++
	if c.answered == c.total/2 {
		close(c.half)
	}
}

// claim works on what Begin has not started.
func (c *conversation) claim(ctx context.Context, s *Store) {
	var running sync.WaitGroup
	defer running.Wait()
	for ctx.Err() == nil {
		claimed, err := s.Next(ctx, limits)
		if err != nil {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if claimed.Lease == nil {
			continue
		}
		running.Go(func() { c.work(s, claimed.Lease) }) //nolint:contextcheck // what is claimed is finished
	}
}

// renew renews the leases, as the engine does.
func renew(ctx context.Context, s *Store) {
	ticks := time.NewTicker(200 * time.Millisecond)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			_ = s.Renew(ctx) // the next may succeed
		case <-ctx.Done():
			return
		}
	}
}

// work answers a turn in five steps.
func (c *conversation) work(s *Store, l *session.Lease) {
	c.mu.Lock()
	c.calls[l.Turn.Key]++
	c.mu.Unlock()
	for step := range 5 {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-l.Lost:
			c.noteLost()
			return
		}
		err := s.Progress(context.Background(), l, session.Progress{Markdown: "step " + strconv.Itoa(step), ConversationID: "c"})
		if errors.Is(err, session.ErrLeaseLost) {
			c.noteLost()
			return
		}
	}
	o := session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "answer " + l.Turn.Key.ID}, ConversationID: "c"}
	for until := time.Now().Add(patience); time.Now().Before(until); {
		err := s.Finish(context.Background(), l, o)
		if errors.Is(err, session.ErrLeaseLost) {
			c.noteLost() // or the reply to the try before was
		}
		if err == nil || errors.Is(err, session.ErrLeaseLost) {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-c.t.Context().Done():
			return
		}
	}
}

func (c *conversation) noteLost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost++
}

// wantOnce sees that no question was worked on twice.
func (c *conversation) wantOnce() {
	c.t.Helper()
	for k, n := range c.calls {
		if n != 1 {
			c.t.Errorf("%v was worked on %d times", k, n)
		}
	}
}
