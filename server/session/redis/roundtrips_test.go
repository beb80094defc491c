//go:build redis

package redis

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// trips counts how often is waited for Redis, and the calls that are made in them.
type trips struct{ n, calls atomic.Int64 }

func (c *trips) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *trips) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		c.n.Add(1)
		c.calls.Add(1)
		return next(ctx, cmd)
	}
}

func (c *trips) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		c.n.Add(1)
		c.calls.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// A turn whose answer comes at once takes three round trips, each progress one more; to wait for it on another replica
// takes two: one to look, one when it is over.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	stores := pair(t, s.standalone(), options())
	counts := make([]*trips, len(stores))
	for i, st := range stores {
		eventually(t, "subscribed", st.port.listening.Load)
		lifeOf(t, st, newBot()) // the scripts are there, and the first connections
		counts[i] = &trips{}
		st.port.client.AddHook(counts[i])
	}
	want := func(doing string, store int, n int64) {
		t.Helper()
		if got := counts[store].n.Swap(0); got > n {
			t.Errorf("%s took %d round trips, want %d", doing, got, n)
		}
	}
	k := session.Key{Follower: "alice", ID: "1"}
	b, err := stores[0].Begin(t.Context(), session.Question{Key: k}, true, limits)
	if err != nil || b.Lease == nil {
		t.Fatalf("Begin: %+v, %v", b, err)
	}
	want("beginning and claiming", 0, 1)

	got := make(chan session.Turn, 2)
	for _, st := range stores {
		go func() {
			turn, err := sessiontest.Await(t.Context(), st, k, patience)
			if err != nil {
				t.Error(err)
			}
			got <- turn
		}()
		eventually(t, "the turn is awaited", func() bool {
			_, awaited := st.port.watched.openid(memberOf("alice"))
			return awaited
		})
	}
	eventually(t, "the other replica has looked", func() bool { return counts[1].n.Load() > 0 })
	// From here on each waits without asking; but for the look that is taken every now and then.
	const now = 1
	if err := stores[0].Progress(t.Context(), b.Lease, session.Progress{Markdown: "partial"}); err != nil {
		t.Fatal(err)
	}
	want("progress", 0, 1+now)
	finish(t, stores[0], b.Lease)
	for range stores {
		receive(t, got)
	}
	want("finishing, and hearing of it", 0, 1+now)
	want("awaiting elsewhere", 1, 2+now)
	if err := stores[0].Show(t.Context(), k.Follower, session.Receipt{Message: "1", Turn: "1", To: session.Cursor{At: 6}, End: true}); err != nil {
		t.Fatal(err)
	}
	want("the receipt", 0, 1+now)
}

// Whoever waits on another replica is woken in the time of two round trips.
func BenchmarkWakeElsewhere(b *testing.B) {
	s := startServer(b)
	bot := newBot()
	owner, waiter := openStore(b, bot, s.standalone(), options()), openStore(b, bot, s.standalone(), another(options()))
	eventually(b, "subscribed", waiter.port.listening.Load)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		k := session.Key{Follower: "alice", ID: time.Duration(i).String()}
		begun, err := owner.Begin(b.Context(), session.Question{Key: k}, true, limits)
		if err != nil || begun.Lease == nil {
			b.Fatal(begun, err)
		}
		woken := make(chan time.Time, 1)
		go func() {
			if _, err := sessiontest.Await(b.Context(), waiter, k, patience); err != nil {
				b.Error(err)
			}
			woken <- time.Now()
		}()
		eventually(b, "awaited", func() bool { _, awaited := waiter.port.watched.openid(memberOf("alice")); return awaited })
		b.StartTimer()
		began := time.Now()
		if err := owner.Finish(b.Context(), begun.Lease, session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "answer"}}); err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-woken).Sub(began))
	}
	report(b, took)
}
