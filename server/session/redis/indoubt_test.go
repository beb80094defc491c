//go:build redis

package redis

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// lostReplies has Redis do what it is told and loses what it replies, while it is on.
type lostReplies struct{ on atomic.Bool }

func (h *lostReplies) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h *lostReplies) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			h.lose(cmd)
		}
		return err
	}
}

func (h *lostReplies) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if h.lose(cmd) {
			return cmd.Err()
		}
		return err
	}
}

func (h *lostReplies) lose(cmd goredis.Cmder) bool {
	lost := h.on.Load() && strings.HasPrefix(cmd.Name(), "eval") && (cmd.Err() == nil || isMissing(cmd.Err()))
	if lost {
		cmd.SetErr(io.ErrUnexpectedEOF)
	}
	return lost
}

// withLostReplies opens two stores, of which the first can lose replies.
func withLostReplies(t *testing.T, o session.Options) (*lostReplies, []*Store) {
	t.Helper()
	stores := pair(t, startServer(t).standalone(), o)
	h := &lostReplies{}
	stores[0].port.client.AddHook(h)
	for _, s := range stores { // the scripts are there
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return h, stores
}

// loseBegin begins a question whose reply is lost, as often.
func loseBegin(t *testing.T, h *lostReplies, s *Store, q session.Question, times int) {
	t.Helper()
	h.on.Store(true)
	defer h.on.Store(false)
	for range times {
		if b, err := s.Begin(t.Context(), q, true, limits); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("Begin: %+v, %v; want its reply lost", b, err)
		}
	}
}

// A Begin that is made again as its reply was lost gives the lease that the lost reply had.
func TestBegunAgainAfterALostReply(t *testing.T) {
	t.Parallel()
	h, stores := withLostReplies(t, options())
	q := session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "question"}
	loseBegin(t, h, stores[0], q, 3)
	b, err := stores[0].Begin(t.Context(), q, true, limits)
	if err != nil || b.Delivery != 1 || b.Lease == nil || b.Turn.Question != "question" {
		t.Fatalf("Begin: %+v, %v; want its first delivery, with its lease", b, err)
	}
	for i, s := range stores {
		again, err := s.Begin(t.Context(), q, true, limits)
		if err != nil || again.Verdict != session.Joined || again.Delivery != i+2 || again.Lease != nil {
			t.Errorf("another delivery: %+v, %v", again, err)
		}
	}
	finish(t, stores[0], b.Lease)
	if turn, err := sessiontest.Await(t.Context(), stores[1], q.Key, patience); err != nil || turn.State != session.Answered || turn.Attempts != 1 {
		t.Errorf("turn %+v, %v; want it answered by its first holder", turn, err)
	}
}

// The lease may be lost before the call is made again: then it is another's.
func TestBegunAgainTooLate(t *testing.T) {
	t.Parallel()
	h, stores := withLostReplies(t, shortLeases())
	q := session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "question"}
	loseBegin(t, h, stores[0], q, 1)
	l, err := next(t, stores[1])
	if err != nil || l.Turn.Key != q.Key {
		t.Fatalf("Next: %+v, %v", l, err)
	}
	b, err := stores[0].Begin(t.Context(), q, true, limits)
	if err != nil || b.Verdict != session.Joined || b.Lease != nil {
		t.Errorf("Begin: %+v, %v; want no lease", b, err)
	}
}

// A question that was refused because Begin failed is not answered all the same.
func TestRetract(t *testing.T) {
	t.Parallel()
	h, stores := withLostReplies(t, options())
	for i, taken := range []bool{false, true} {
		q := session.Question{Key: session.Key{Follower: "alice", ID: strconv.Itoa(i)}, Text: "question"}
		loseBegin(t, h, stores[0], q, 1)
		if taken {
			first, err := stores[0].Begin(t.Context(), q, true, limits)
			if err != nil || first.Lease == nil {
				t.Fatal(first, err)
			}
		}
		if have, err := stores[1].Get(t.Context(), "alice"); err != nil || len(have.Turns) != i+1 {
			t.Fatalf("Redis has not done what it was told: %+v, %v", have, err)
		}
		h.on.Store(true)
		if err := stores[0].Retract(t.Context(), q.Key); (err == nil) != taken {
			t.Errorf("Retract without a reply: %v", err)
		}
		h.on.Store(false)
		for range 2 { // the second has nothing to do
			if err := stores[0].Retract(t.Context(), q.Key); err != nil {
				t.Error(err)
			}
		}
		have, err := stores[1].Get(t.Context(), "alice")
		want := map[bool]session.State{true: session.Answering, false: session.Cancelled}[taken]
		if err != nil || have.Turns[i].State != want {
			t.Errorf("begun again %v: %+v, %v; want it %v", taken, have.Turns, err, want)
		}
	}
}

// What the follower was told may have come too late: then the message is delivered again, perhaps to another process, and is
// answered there. The question is not taken away from that delivery.
func TestRetract_DeliveredAgain(t *testing.T) {
	t.Parallel()
	for name, recorded := range map[string]bool{"recorded by both": true, "recorded by the later one": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			n := newNetwork(t, s.addr())
			bot := newBot()
			first := openWith(t, Options{Bot: bot, Redis: n.server(), slow: patience}, options())
			second := openStore(t, bot, s.standalone(), another(options()))
			h := &lostReplies{}
			first.port.client.AddHook(h)
			if err := first.Ping(t.Context()); err != nil { // the scripts are there
				t.Fatal(err)
			}
			q := session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "question"}
			if recorded {
				loseBegin(t, h, first, q, 1)
			} else {
				n.sever(true)
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				_, err := first.Begin(ctx, q, true, limits)
				cancel()
				n.sever(false)
				if err == nil {
					t.Fatal("Begin has reached Redis")
				}
			}
			again, err := second.Begin(t.Context(), q, true, limits)
			if err != nil || (again.Verdict == session.Joined) != recorded {
				t.Fatalf("the later delivery: %+v, %v", again, err)
			}
			if err := first.Retract(t.Context(), q.Key); err != nil {
				t.Fatal(err)
			}
			if have, err := second.Get(t.Context(), "alice"); err != nil || len(have.Turns) != 1 || have.Turns[0].State.Over() {
				t.Errorf("the question has become %+v, %v", have.Turns, err)
			}
		})
	}
}

// Every other step whose reply is lost is found when it is made again by the client itself: the connection broke, and
// nobody knows how far the call had come.
func TestSteps_OnceOverBrokenConnections(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	n := newNetwork(t, s.addr())
	bot := newBot()
	cut := openWith(t, Options{Bot: bot, Redis: n.server(), slow: patience}, options())
	sure := openStore(t, bot, s.standalone(), another(options()))
	for i := range 20 {
		k := session.Key{Follower: "alice", ID: strconv.Itoa(i)}
		done := make(chan error, 1)
		go func() {
			_, err := cut.Open(t.Context(), k)
			done <- err
		}()
		n.sever(true)
		n.sever(false)
		if err := <-done; err != nil { // nobody knows
			continue
		}
		o, err := sure.Open(t.Context(), k)
		if err != nil || o.Delivery != 2 {
			t.Errorf("opened %+v, %v; want the second delivery", o, err)
		}
	}
}

// A process that is gone is dead, and its turn is taken over long before its lease has run out.
func TestADeadProcessIsNoticed(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	stores := pair(t, s.standalone(), options())
	for _, st := range stores {
		eventually(t, "subscribed", st.port.listening.Load)
	}
	eventually(t, "for long enough to tell", func() bool {
		return time.Since(time.UnixMilli(stores[1].port.since.Load())) > options().LeaseTTL/2
	})
	k := session.Key{Follower: "alice", ID: "1"}
	b, err := stores[0].Begin(t.Context(), session.Question{Key: k}, true, limits)
	if err != nil || b.Lease == nil {
		t.Fatal(b, err)
	}
	if err := stores[0].Close(); err != nil { // all its connections end, as those of a process that is killed
		t.Fatal(err)
	}
	died := time.Now()
	l, err := next(t, stores[1])
	if err != nil || l.Turn.Key != k {
		t.Fatalf("Next: %+v, %v", l, err)
	}
	t.Logf("taken over %v after its process' end, with a lease of %v", time.Since(died), options().LeaseTTL)
	if took := time.Since(died); took > options().LeaseTTL*9/10 {
		t.Errorf("taken over after %v: its end was not noticed", took)
	}
}

// One that has only lost its connections for a moment, and renews its leases again, is not.
func TestAProcessThatComesBackKeepsItsTurn(t *testing.T) {
	t.Parallel()
	n, stores := apart(t, options())
	k := session.Key{Follower: "alice", ID: "1"}
	b, err := stores[0].Begin(t.Context(), session.Question{Key: k}, true, limits)
	if err != nil || b.Lease == nil {
		t.Fatal(b, err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 6*time.Second)
	defer stop()
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		renew(ctx, stores[0])
	}()
	n.sever(true)
	time.AfterFunc(time.Second, func() { n.sever(false) })
	c, err := stores[1].Next(ctx, limits)
	if c.Lease != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Next: %+v, %v; the turn was taken from a process that is alive", c, err)
	}
	<-renewed
}
