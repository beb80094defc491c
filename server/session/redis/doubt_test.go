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
)

// lostReplies has Redis do what it is told and loses what it replies, while it is on.
type lostReplies struct{ on atomic.Bool }

func (h *lostReplies) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h *lostReplies) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (h *lostReplies) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if h.on.Load() && strings.HasPrefix(cmd.Name(), "eval") && (err == nil || isMissing(err)) {
			err = io.ErrUnexpectedEOF
			cmd.SetErr(err)
		}
		return err
	}
}

// withLostReplies opens two handles, of which the first can lose replies.
func withLostReplies(t *testing.T) (*lostReplies, []*Store) {
	t.Helper()
	stores := pair(t, startServer(t).standalone(), options())
	h := &lostReplies{}
	stores[0].client.AddHook(h)
	return h, stores
}

// loseBegin begins a question whose reply is lost, as often.
func loseBegin(t *testing.T, h *lostReplies, s *Store, q session.Question, times int) {
	t.Helper()
	h.on.Store(true)
	defer h.on.Store(false)
	for range times {
		if b, err := s.Begin(t.Context(), q, "a", limits); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("Begin: %+v, %v; want its reply lost", b, err)
		}
	}
}

// A Begin that is made again as its reply was lost gives the lease that the lost reply had.
func TestBegunAgainAfterALostReply(t *testing.T) {
	t.Parallel()
	h, stores := withLostReplies(t)
	q := session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "question"}
	loseBegin(t, h, stores[0], q, 3)
	b, err := stores[0].Begin(t.Context(), q, "a", limits)
	if err != nil || b.Verdict != session.Started || b.Delivery != 1 || b.Lease == nil || b.Turn.Question != "question" {
		t.Fatalf("Begin: %+v, %v; want it started, in its first delivery, with its lease", b, err)
	}
	for i, s := range stores {
		again, err := s.Begin(t.Context(), q, "a", limits)
		if err != nil || again.Verdict != session.Joined || again.Delivery != i+2 || again.Lease != nil {
			t.Errorf("another delivery: %+v, %v", again, err)
		}
	}
	finish(t, stores[0], b.Lease)
	if turn, err := stores[1].Await(t.Context(), q.Key); err != nil || turn.State != session.Answered || turn.Attempts != 1 {
		t.Errorf("turn %+v, %v; want it answered by its first owner", turn, err)
	}
}

// The lease may be lost before the call is made again: then it is another's.
func TestBegunAgainTooLate(t *testing.T) {
	t.Parallel()
	stores := pair(t, startServer(t).standalone(), shortLeases())
	h := &lostReplies{}
	stores[0].client.AddHook(h)
	q := session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "question"}
	loseBegin(t, h, stores[0], q, 1)
	l, err := stores[1].Next(t.Context(), "b", limits)
	if err != nil || l.Turn.Key != q.Key {
		t.Fatalf("Next: %+v, %v", l, err)
	}
	b, err := stores[0].Begin(t.Context(), q, "a", limits)
	if err != nil || b.Verdict != session.Started || b.Lease != nil {
		t.Errorf("Begin: %+v, %v; want no lease", b, err)
	}
}

// A question that was refused because Begin failed is not answered all the same.
func TestRetract(t *testing.T) {
	t.Parallel()
	h, stores := withLostReplies(t)
	for i, taken := range []bool{false, true} {
		q := session.Question{Key: session.Key{Follower: "alice", ID: strconv.Itoa(i)}, Text: "question"}
		loseBegin(t, h, stores[0], q, 1)
		if taken {
			first, err := stores[0].Begin(t.Context(), q, "a", limits)
			if err != nil || first.Lease == nil {
				t.Fatal(first, err)
			}
		}
		h.on.Store(true)
		if look := stores[1].client.HLen(t.Context(), stores[1].followerKey(follower("alice"))); look.Val() == 0 {
			t.Fatalf("Redis has not done what it was told: %v", look.Err())
		}
		if err := stores[0].Retract(t.Context(), q.Key); (err == nil) != taken {
			t.Errorf("Retract without a reply: %v", err)
		}
		h.on.Store(false)
		for range 2 { // the second has nothing to do
			if err := stores[0].Retract(t.Context(), q.Key); err != nil {
				t.Error(err)
			}
		}
		turn, err := stores[1].turn(t.Context(), q.Key)
		if want := map[bool]session.State{true: session.Answering, false: session.Cancelled}[taken]; err != nil || turn.State != want {
			t.Errorf("begun again %v: turn %+v, %v; want it %v", taken, turn, err, want)
		}
	}
	if p, err := stores[1].Pending(t.Context()); err != nil || p.Open != 1 || p.Untold != 0 {
		t.Errorf("pending %+v, %v; want only what was begun again", p, err)
	}
}

func TestDoubtsAreBounded(t *testing.T) {
	var d doubts
	for i := range 2 * maxDoubts {
		d.keep(turnID(strconv.Itoa(i)), "call")
	}
	if len(d.byTurn) != maxDoubts {
		t.Errorf("%d calls are remembered", len(d.byTurn))
	}
	d.keep("0", "other")
	if call, ok := d.known("0"); !ok || call != "call" {
		t.Errorf("the first failed call is %q", call)
	}
	d.sweep(time.Now().Add(-time.Minute))
	if len(d.byTurn) != maxDoubts {
		t.Error("young ones are forgotten")
	}
	d.sweep(time.Now().Add(time.Second))
	if len(d.byTurn) != 0 {
		t.Errorf("%d old ones are remembered", len(d.byTurn))
	}
}
