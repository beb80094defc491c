package redis

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// What of this package needs no Redis. All else needs the build tag redis, and a redis-server.

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests mostly wait: for leases to run out, for sentinels to notice. They do so side by side.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	// go-redis looks for a Redis that is away once a second, and notices its own end only then.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// nobody is where no Redis listens.
var nobody = Server{Mode: Standalone, Addresses: []string{"127.0.0.1:1"}}

func plain() session.Options {
	return session.Options{IdleTimeout: time.Hour, History: 5, LeaseTTL: 10 * time.Second}
}

func TestNewRefusesWrongOptions(t *testing.T) {
	noLease, noHistory, noIdle := plain(), plain(), plain()
	noLease.LeaseTTL, noHistory.History, noIdle.IdleTimeout = 0, 0, 0
	for name, tt := range map[string]struct {
		o    Options
		so   session.Options
		want string
	}{
		"no bot":            {Options{Bot: "", Redis: nobody}, plain(), "cannot name a bot"},
		"a bot with braces": {Options{Bot: "a}b", Redis: nobody}, plain(), "cannot name a bot"},
		"no lease":          {Options{Bot: "a/b", Redis: nobody}, noLease, "must be positive"},
		"no history":        {Options{Bot: "a/b", Redis: nobody}, noHistory, "must be positive"},
		"no idle timeout":   {Options{Bot: "a/b", Redis: nobody}, noIdle, "must be positive"},
		"no mode":           {Options{Bot: "a/b", Redis: Server{Addresses: nobody.Addresses}}, plain(), "no mode"},
		"no address":        {Options{Bot: "a/b", Redis: Server{Mode: Cluster}}, plain(), "no address"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(t.Context(), tt.o, tt.so, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want %q", err, tt.want)
			}
			if s != nil {
				t.Error("a store and an error")
			}
		})
	}
}

// withoutRedis opens a store that finds no Redis in any of its layouts.
func withoutRedis(t *testing.T, mode Mode, log *slog.Logger) *Store {
	t.Helper()
	at := nobody
	at.Mode, at.MasterName = mode, "bots"
	s, err := New(t.Context(), Options{Bot: "a/b", Redis: at}, plain(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 { // the second does nothing
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

func TestEveryCallFailsWithoutRedis(t *testing.T) {
	for _, mode := range []Mode{Standalone, Sentinel, Cluster} {
		var log bytes.Buffer
		s := withoutRedis(t, mode, slog.New(slog.NewTextHandler(&log, nil)))
		if !s.Durable() {
			t.Error("not durable")
		}
		k := session.Key{Follower: "an-openid", ID: "1"}
		l := &session.Lease{Turn: session.Turn{Key: k}, Fence: 1}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range map[string]func(context.Context) error{
			"Begin": func(ctx context.Context) error {
				_, err := s.Begin(ctx, session.Question{Key: k, Text: "a secret"}, "a", session.Limits{})
				return err
			},
			"Next":     func(ctx context.Context) error { _, err := s.Next(ctx, "a", session.Limits{}); return err },
			"Progress": func(ctx context.Context) error { return s.Progress(ctx, l, session.Progress{Partial: "a secret"}) },
			"Finish":   func(ctx context.Context) error { return s.Finish(ctx, l, session.Outcome{State: session.Answered}) },
			"Release":  func(ctx context.Context) error { return s.Release(ctx, l) },
			"Await":    func(context.Context) error { _, err := s.Await(ended, k); return err },
			"Open":     func(ctx context.Context) error { _, err := s.Open(ctx, k); return err },
			"Look":     func(ctx context.Context) error { _, err := s.Look(ctx, k.Follower); return err },
			"Delivered": func(ctx context.Context) error {
				return s.Delivered(ctx, k.Follower, session.Receipt{Message: "1", Turn: "1"})
			},
			"Cancel":   func(ctx context.Context) error { _, _, err := s.Cancel(ctx, k); return err },
			"Clear":    func(ctx context.Context) error { _, err := s.Clear(ctx, k); return err },
			"Forget":   func(ctx context.Context) error { _, err := s.Forget(ctx, k.Follower); return err },
			"TakeHold": func(ctx context.Context) error { _, err := s.TakeHold(ctx, 1); return err },
			"Pending":  func(ctx context.Context) error { _, err := s.Pending(ctx); return err },
			"Ping":     s.Ping,
		} {
			err := call(t.Context())
			switch {
			case err == nil:
				t.Errorf("%s in mode %s succeeds", name, mode)
			case errors.Is(err, session.ErrLeaseLost):
				t.Errorf("%s in mode %s: %v, though nobody knows", name, mode, err)
			case strings.Contains(err.Error(), k.Follower) || strings.Contains(err.Error(), "secret"):
				t.Errorf("%s in mode %s tells private things: %v", name, mode, err)
			}
			if name == "Ping" || name == "Await" {
				continue // one does not look at ctx, the other looks once more when it has ended
			}
			if err := call(ended); !errors.Is(err, context.Canceled) {
				t.Errorf("%s in mode %s with an ended context: %v", name, mode, err)
			}
		}
		if ok, err := s.TakeHold(t.Context(), 0); ok || err != nil {
			t.Errorf("a hold out of no budget: %v, %v", ok, err)
		}
	}
}

func TestAnEndThatIsNoneIsRefused(t *testing.T) {
	s := withoutRedis(t, Standalone, slog.New(slog.DiscardHandler))
	err := s.Finish(t.Context(), &session.Lease{}, session.Outcome{State: session.Answering})
	if err == nil || !strings.Contains(err.Error(), "not an end") {
		t.Errorf("Finish: %v", err)
	}
}

func TestAnIDThatIsTooLongIsRefused(t *testing.T) {
	s := withoutRedis(t, Standalone, slog.New(slog.DiscardHandler))
	_, err := s.Open(t.Context(), session.Key{Follower: "alice", ID: strings.Repeat("1", maxID+1)})
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("Open: %v", err)
	}
}

func TestLibraryLogsForWhoLooksCloser(t *testing.T) {
	for level, want := range map[slog.Level]string{slog.LevelDebug: "pool of 3", slog.LevelInfo: ""} {
		var log bytes.Buffer
		h := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})
		libraryLog{slog.New(h)}.Printf(t.Context(), "pool of %d", 3)
		if got := log.String(); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("at level %v: %q", level, got)
		}
	}
}

// written is a row as the scripts write it.
func written(codes []byte, ids []string) row {
	var b strings.Builder
	for i, id := range ids {
		b.Write([]byte{codes[i], byte(len(id) >> 8), byte(len(id))})
		b.WriteString(id)
	}
	return row(b.String())
}

func TestRowIsReadAsWritten(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ids := rapid.SliceOfDistinct(rapid.StringN(0, -1, 400), rapid.ID[string]).Draw(r, "ids")
		codes := rapid.SliceOfN(rapid.SampledFrom([]byte("arot")), len(ids), len(ids)).Draw(r, "codes")
		all := written(codes, ids)
		var got []string
		for rest := all; rest.valid(); {
			var id string
			_, id, rest = rest.next()
			got = append(got, id)
		}
		if !slices.Equal(got, ids) {
			r.Fatalf("read %q, want %q", got, ids)
		}
		untold := len(ids) - strings.Count(string(codes), string(told))
		for i, id := range ids {
			want := untold
			if codes[i] != told {
				want--
			}
			if code, others := all.find(id); code != codes[i] || others != want {
				r.Fatalf("%q: code %c and %d others, want %c and %d", id, code, others, codes[i], want)
			}
		}
	})
}

// Whatever is in Redis, nothing panics and nothing goes on for ever.
func FuzzForeignReplies(f *testing.F) {
	f.Add(string(written([]byte("at"), []string{"1", "2"})), "2 1700000000000000 1700000000000000 1 0 0 0 reason", "0 4 7 zz 1 m1")
	f.Add("a\xff\xff", "2 1", "x")
	f.Fuzz(func(t *testing.T, u, numbers, receipt string) {
		s := snapshot("alice", map[string]string{"U": u, "t": numbers, "S": numbers})
		if len(s.Turns) > len(u)/3 {
			t.Errorf("%d turns out of %d bytes", len(s.Turns), len(u))
		}
		row(u).find("x")
		readReceipt("1", receipt)
		list{u, int64(1), nil, numbers}.turn("alice")
	})
}

func TestReceiptIsReadAsWritten(t *testing.T) {
	for _, want := range []session.Receipt{
		{Message: "m1", Turn: "m1"},
		{Message: "m1", Turn: "a turn", From: 3, To: 2040, FromSum: 1, Sum: math.MaxUint64, Told: true},
	} {
		if diff := cmp.Diff(&want, readReceipt("m1", writeReceipt(&want))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if got := readReceipt("m1", ""); got != nil {
		t.Errorf("made up %+v", got)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestLeasesAreLostOnceAndByTheirOwn(t *testing.T) {
	var l leases
	first, second := l.add(1, "a"), l.add(2, "a")
	l.lose(1, make(chan struct{}))
	l.drop(2, make(chan struct{}))
	if closed(first) || closed(second) || !l.holds("a") {
		t.Error("a lease was lost to one that was made up")
	}
	l.lose(1, first)
	l.lose(1, first)
	if !closed(first) || closed(second) || !l.holds("a") {
		t.Error("the old lease is lost, and nothing else")
	}
	l.drop(2, second)
	if closed(second) || l.holds("a") {
		t.Error("a lease that its owner has ended is not lost, and not held")
	}
	l.lose(2, nil)
}

func TestAbandonedLeasesAreSwept(t *testing.T) {
	var l leases
	silent, alive := l.add(1, "a"), l.add(2, "b")
	since := time.Now()
	l.byFence[1].touched = since.Add(-time.Second)
	l.touch(2)
	l.touch(3)
	l.sweep(since)
	if !closed(silent) || closed(alive) || l.holds("a") || !l.holds("b") {
		t.Error("not the silent one alone is swept")
	}
}

func TestPatience(t *testing.T) {
	s := &Store{leaseTTL: 9 * time.Second}
	for _, tt := range []struct {
		listening bool
		us        int64
		want      time.Duration
	}{
		{false, -1, lookUnsubscribed},
		{true, -1, lookForWork},
		{true, 0, time.Millisecond},
		{true, 1000, 2 * time.Millisecond},
		{true, 8_000_000, 3 * time.Second},
		{false, 8_000_000, lookUnsubscribed},
	} {
		s.listening.Store(tt.listening)
		if got := s.patience(tt.us); got != tt.want {
			t.Errorf("listening %v, %d µs left: %v, want %v", tt.listening, tt.us, got, tt.want)
		}
	}
}
