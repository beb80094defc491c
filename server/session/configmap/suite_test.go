package configmap

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

func sessionOptions() session.Options {
	return session.Options{IdleTimeout: time.Hour, History: 5, LeaseTTL: time.Minute}
}

// open opens a store that is closed with the test.
func open(t testing.TB, o Options, s session.Options) *Store {
	t.Helper()
	if o.Log == nil {
		o.Log = discard()
	}
	if o.Identity == "" {
		o.Identity = "pod"
	}
	store, err := New(o, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(store) })
	return store
}

// drop lets a store go as a process does that is killed: nothing more is written.
func drop(s *Store) {
	s.port.end(session.ErrClosed)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Close(ctx) // what could not be written is lost, as it should be
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// closeStore closes a store that has to be able to write everything.
func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// The cases are many and each shard may be written twice a second only: here, at once.
const hurried = time.Nanosecond

// In a bubble, against this package's own API server. What is waited for happens at its very instant, and whatever is
// not stopped is found.
func TestSuiteInBubble(t *testing.T) {
	for _, c := range sessiontest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c.Run(t, sessiontest.Harness{
					Open: func(t testing.TB, o session.Options) session.Store {
						return open(t, Options{API: newAPI().client(), Namespace: namespace, Name: "s", Interval: hurried}, o)
					},
					Reopen: func(_ testing.TB, s session.Store, _ session.Options) session.Store { return s },
				})
			})
		})
	}
}
