package breaker_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/dify/breaker"
)

const (
	failures = 5
	pause    = 5 * time.Second
)

var (
	down     = &dify.Error{Op: "chat", Kind: dify.Server}
	refused  = &dify.Error{Op: "chat", Kind: dify.ConnectionRefused}
	question = &dify.Error{Op: "chat", Kind: dify.ContentFiltered}
	unsure   = &dify.Error{Op: "chat", Kind: dify.Canceled}
)

// ask has a question asked that ends at once, and tells whether Dify was called.
func ask(t *testing.T, b *breaker.Breaker, how error) bool {
	t.Helper()
	done, err := b.Allow()
	if err != nil {
		if dify.KindOf(err) != dify.Suspended {
			t.Fatalf("refused by %v", err)
		}
		return false
	}
	done(how)
	return true
}

func trip(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	for range failures {
		if !ask(t, b, down) {
			t.Fatal("refused before it has failed often")
		}
	}
}

func TestWhileDifyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []breaker.State
		b := breaker.New(breaker.Options{OnChange: func(s breaker.State) { states = append(states, s) }})
		for range failures - 1 {
			ask(t, b, down)
		}
		if b.State() != breaker.Closed {
			t.Fatal("open too early")
		}
		ask(t, b, refused)
		calls := 0
		for range 50 {
			if ask(t, b, down) {
				calls++
			}
		}
		if b.State() != breaker.Open || calls != 0 {
			t.Errorf("%s, %d questions went to a Dify that fails", b.State(), calls)
		}
		time.Sleep(pause + time.Millisecond)
		probe, err := b.Allow()
		if err != nil {
			t.Fatalf("no question looks whether Dify works again: %v", err)
		}
		if ask(t, b, nil) || b.State() != breaker.HalfOpen {
			t.Errorf("%s, two questions probe at a time", b.State())
		}
		probe(down)
		if ask(t, b, nil) || b.State() != breaker.Open {
			t.Errorf("%s after a probe that failed", b.State())
		}
		time.Sleep(pause + time.Millisecond)
		if !ask(t, b, nil) || b.State() != breaker.Closed || !ask(t, b, nil) {
			t.Errorf("%s after a probe that was answered", b.State())
		}
		want := []breaker.State{breaker.Open, breaker.HalfOpen, breaker.Open, breaker.HalfOpen, breaker.Closed}
		if !slices.Equal(states, want) {
			t.Errorf("told %v, want %v", states, want)
		}
	})
}

func TestOnlyDifysFailuresCount(t *testing.T) {
	for _, kind := range dify.Kinds() {
		e := &dify.Error{Op: "chat", Kind: kind}
		b := breaker.New(breaker.Options{})
		for range 3 * failures {
			ask(t, b, e)
		}
		want := breaker.Closed
		switch kind {
		case dify.Server, dify.Interrupted, dify.FirstEventTimeout, dify.Unreachable, dify.ConnectionRefused, dify.ConnectTimeout:
			want = breaker.Open
		default:
		}
		if b.State() != want {
			t.Errorf("%s: %s, want %s", kind, b.State(), want)
		}
	}
	b := breaker.New(breaker.Options{})
	for i := range 4 * failures { // in a row, or not at all
		ask(t, b, []error{down, down, down, nil}[i%4])
	}
	for i := range 4 * failures {
		ask(t, b, []error{down, down, down, question}[i%4])
	}
	if b.State() != breaker.Closed {
		t.Error("open though Dify has answered between the failures")
	}
	for range failures { // what says nothing is neither
		ask(t, b, unsure)
		ask(t, b, errors.New("of another package"))
		ask(t, b, fmt.Errorf("wrapped: %w", down))
	}
	if b.State() != breaker.Open {
		t.Error("closed though nothing said that Dify works")
	}
}

func TestAProbeThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{})
		trip(t, b)
		time.Sleep(pause + time.Millisecond)
		if !ask(t, b, unsure) {
			t.Fatal("no probe")
		}
		if b.State() != breaker.HalfOpen || !ask(t, b, nil) || b.State() != breaker.Closed {
			t.Errorf("%s: the next question must probe in its place", b.State())
		}
	})
}

func TestDoneCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{})
		trip(t, b)
		time.Sleep(pause + time.Millisecond)
		done, err := b.Allow()
		if err != nil {
			t.Fatal(err)
		}
		done(nil) // Dify has begun to answer: the others need not wait for the end
		for range 2 * failures {
			done(down)
		}
		if b.State() != breaker.Closed || !ask(t, b, nil) {
			t.Errorf("%s: one question counted more than once", b.State())
		}
	})
}

// However questions come and go, at most one at a time probes, and a Dify that works again is used again.
func TestOneProbeAtATime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		works := rapid.SliceOfN(rapid.Bool(), 5, 60).Draw(rt, "works")
		synctest.Test(t, func(t *testing.T) {
			b := breaker.New(breaker.Options{Failures: 3, Pause: time.Second})
			var mu sync.Mutex
			probing, most := 0, 0
			var all sync.WaitGroup
			for _, ok := range works {
				for range 3 {
					all.Go(func() {
						done, err := b.Allow()
						if err != nil {
							return
						}
						half := b.State() == breaker.HalfOpen
						mu.Lock()
						if half {
							probing++
							most = max(most, probing)
						}
						mu.Unlock()
						time.Sleep(300 * time.Millisecond)
						mu.Lock()
						if half {
							probing--
						}
						mu.Unlock()
						if ok {
							done(nil)
						} else {
							done(down)
						}
					})
				}
				time.Sleep(400 * time.Millisecond)
			}
			all.Wait()
			if most > 1 {
				t.Errorf("%d questions probed at a time", most)
			}
			for range 4 { // Dify works from now on
				time.Sleep(1100 * time.Millisecond)
				if done, err := b.Allow(); err == nil {
					done(nil)
				}
			}
			if b.State() != breaker.Closed {
				t.Errorf("%s though Dify works", b.State())
			}
		})
	})
}
