//go:build redis

package redis

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// pair opens two handles on one bot's sessions, as two replicas would.
func pair(t *testing.T, at Server, o session.Options) []*Store {
	t.Helper()
	bot := newBot()
	return []*Store{openStore(t, bot, at, o), openStore(t, bot, at, another(o))}
}

// hasty is a pair whose calls may take only as long as they do in production.
func hasty(t *testing.T, at Server, o session.Options) []*Store {
	t.Helper()
	bot := Options{Bot: newBot(), Redis: at}
	return []*Store{openWith(t, bot, o), openWith(t, bot, another(o))}
}

// another are the options of another process.
func another(o session.Options) session.Options {
	o.Holder = "b"
	return o
}

// next claims a turn.
func next(t *testing.T, s *Store) (*session.Lease, error) {
	t.Helper()
	c, err := s.Next(t.Context(), limits)
	return c.Lease, err
}

func shortLeases() session.Options {
	o := options()
	o.LeaseTTL = 2 * time.Second
	return o
}

func TestRestartLosesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	c := converse(t, hasty(t, s.standalone(), shortLeases()), func() {
		s.kill()
		s.start()
	})
	c.wantOnce()
}

// Redis stands still for longer than a lease lasts. That is not the owners' fault: they go on.
func TestPauseLosesNothing(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	o := options()
	o.LeaseTTL = 4 * time.Second
	stores := hasty(t, s.standalone(), o)
	c := converse(t, stores, func() {
		s.signal(syscall.SIGSTOP)
		ended := time.Now().Add(o.LeaseTTL * 3 / 2)
		for time.Now().Before(ended) {
			for name, call := range map[string]func() error{
				"Begin": func() error {
					_, err := stores[0].Begin(t.Context(), session.Question{Key: session.Key{Follower: "paused", ID: "1"}}, false, limits)
					return err
				},
				"Look": func() error { _, err := stores[1].Get(t.Context(), "paused"); return err },
				"Ping": func() error { return stores[0].Ping(t.Context()) },
				"Turn": func() error {
					_, err := stores[1].Turn(t.Context(), session.Key{Follower: "paused", ID: "1"})
					return err
				},
			} {
				began := time.Now()
				if err := call(); err == nil {
					t.Errorf("%s succeeded while Redis stood still", name)
				}
				if took := time.Since(began); took > 3*callTimeout {
					t.Errorf("%s took %v while Redis stood still", name, took)
				}
			}
		}
		s.signal(syscall.SIGCONT)
	})
	c.wantOnce()
	if err := stores[0].Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFlushedScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := converse(t, pair(t, s.standalone(), shortLeases()), func() {
		if err := s.client().ScriptFlush(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	})
	c.wantOnce()
}

// waiting begins a turn through one handle and awaits it through the other.
func waiting(t *testing.T, stores []*Store) (*session.Lease, <-chan session.Turn) {
	t.Helper()
	k := session.Key{Follower: "alice", ID: "1"}
	b, err := stores[0].Begin(t.Context(), session.Question{Key: k}, true, limits)
	if err != nil || b.Lease == nil {
		t.Fatalf("Begin: %+v, %v", b, err)
	}
	got := make(chan session.Turn, 1)
	go func() {
		turn, err := sessiontest.Await(t.Context(), stores[1], k, patience)
		if err != nil {
			t.Error(err)
		}
		got <- turn
	}()
	eventually(t, "the turn is awaited", func() bool {
		_, awaited := stores[1].port.watched.openid(memberOf("alice"))
		return awaited
	})
	return b.Lease, got
}

// closed tells whether a lease is lost.
func closed(lost <-chan struct{}) bool {
	select {
	case <-lost:
		return true
	default:
		return false
	}
}

func finish(t *testing.T, s *Store, l *session.Lease) {
	t.Helper()
	if err := s.Finish(t.Context(), l, session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "answer"}}); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, got <-chan session.Turn) {
	t.Helper()
	select {
	case turn := <-got:
		if turn.Answer.Markdown != "answer" {
			t.Errorf("turn %+v", turn)
		}
	case <-time.After(patience):
		t.Fatalf("not woken after %v", patience)
	}
}

func TestLostSubscriptionWakes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	stores := pair(t, s.standalone(), options())
	for _, st := range stores {
		eventually(t, "subscribed", st.port.listening.Load)
	}
	lease, got := waiting(t, stores)
	// From here on nobody may subscribe, so that only looking helps.
	c := s.client()
	if err := c.Do(t.Context(), "ACL", "SETUSER", "default", "resetchannels").Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is noticed", func() bool { return !stores[1].port.listening.Load() })
	// The script's own PUBLISH is refused, too, so the end is written as a script without it would have.
	if err := c.Do(t.Context(), "ACL", "SETUSER", "default", "allchannels").Err(); err != nil {
		t.Fatal(err)
	}
	finish(t, stores[0], lease)
	receive(t, got)
	eventually(t, "subscribed again", stores[1].port.listening.Load)
}

// A message that gets lost although the subscription is there delays the waking, and nothing else.
func TestLostMessageWakes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	stores := pair(t, s.standalone(), options())
	eventually(t, "subscribed", func() bool { return stores[0].port.listening.Load() && stores[1].port.listening.Load() })
	lease, got := waiting(t, stores)
	quiet := stores[0]
	quiet.port.keys.events = "nobody listens here"
	began := time.Now()
	finish(t, quiet, lease)
	receive(t, got)
	if took := time.Since(began); took > 10*lookAgain {
		t.Errorf("woken after %v", took)
	}
}

func TestNextFindsWorkNobodyToldOf(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	stores := pair(t, s.standalone(), options())
	eventually(t, "subscribed", func() bool { return stores[0].port.listening.Load() && stores[1].port.listening.Load() })
	count := &trips{}
	stores[1].port.client.AddHook(count)
	claimed := make(chan *session.Lease, 1)
	go func() {
		l, err := next(t, stores[1])
		if err != nil {
			t.Error(err)
		}
		claimed <- l
	}()
	quiet := stores[0]
	quiet.port.keys.events = "nobody listens here"
	eventually(t, "Next has looked and waits", func() bool { return count.calls.Load() > 0 })
	if _, err := quiet.Begin(t.Context(), session.Question{Key: session.Key{Follower: "alice", ID: "1"}}, false, limits); err != nil {
		t.Fatal(err)
	}
	select {
	case l := <-claimed:
		if l == nil || l.Turn.Key.ID != "1" {
			t.Errorf("lease %+v", l)
		}
	case <-time.After(patience):
		t.Fatal("the turn is not found")
	}
}

func TestComesUpBeforeRedis(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.kill()
	store := openStore(t, newBot(), s.standalone(), options())
	if err := store.Ping(t.Context()); err == nil {
		t.Error("nobody is there, and yet answers")
	}
	if l, err := next(t, store); err == nil {
		t.Errorf("Next gave %+v", l)
	}
	s.start()
	eventually(t, "it answers", func() bool { return store.Ping(t.Context()) == nil })
	eventually(t, "it is subscribed", store.port.listening.Load)
}

func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	store := openStore(t, newBot(), s.standalone(), options())
	k := session.Key{Follower: "alice", ID: "1"}
	if _, err := store.Begin(t.Context(), session.Question{Key: k}, true, limits); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 3)
	go func() { _, err := sessiontest.Await(t.Context(), store, k, patience); errs <- err }()
	for range 2 {
		go func() { _, err := next(t, store); errs <- err }()
	}
	eventually(t, "somebody waits", func() bool {
		_, awaited := store.port.watched.openid(memberOf("alice"))
		return awaited
	})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		select {
		case err := <-errs:
			if err == nil {
				t.Error("no error after Close")
			}
		case <-time.After(patience):
			t.Fatal("a call is left waiting")
		}
	}
	if err := store.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Ping after Close: %v", err)
	}
}

// A holder that is silent although it could be heard loses its turn, and learns it when it renews its leases.
func TestLostIsTold(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	o := options()
	o.LeaseTTL = 300 * time.Millisecond
	stores := pair(t, s.standalone(), o)
	eventually(t, "subscribed", stores[0].port.listening.Load)
	k := session.Key{Follower: "alice", ID: "1"}
	b, err := stores[0].Begin(t.Context(), session.Question{Key: k}, true, limits)
	if err != nil || b.Lease == nil {
		t.Fatalf("Begin: %+v, %v", b, err)
	}
	l, err := next(t, stores[1])
	if err != nil || l.Turn.Key != k {
		t.Fatalf("Next: %+v, %v", l, err)
	}
	eventually(t, "the first holder is told", func() bool {
		if err := stores[0].Renew(t.Context()); err != nil {
			t.Error(err)
		}
		return closed(b.Lease.Lost)
	})
	if err := stores[0].Progress(t.Context(), b.Lease, session.Progress{}); !errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("Progress: %v", err)
	}
}
