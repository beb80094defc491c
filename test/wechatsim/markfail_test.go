package wechatsim

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMarkFailBlocksTheAccountForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, holds, holds, holds, holds, answers("back"))
		p := simulate(t, testAccount(Plain), Options{MarkFailThreshold: 4}, a)
		f, other := p.Follower(""), p.Follower("")
		send := func(f *Follower) *Exchange {
			t.Helper()
			x, err := f.Send(t.Context(), "q")
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		if x := send(f); x.Outcome != Fault || len(x.Deliveries) != 3 {
			t.Fatalf("three failures: %s after %d deliveries, want a fault", x.Outcome, len(x.Deliveries))
		}
		// The fourth failure reaches the threshold: what this message has left is not pushed.
		if x := send(f); x.Outcome != Blocked || len(x.Deliveries) != 1 || !x.Toast {
			t.Fatalf("fourth failure: %s after %d deliveries, want blocked after one", x.Outcome, len(x.Deliveries))
		}
		if x := send(other); x.Outcome != Blocked || len(x.Deliveries) != 0 || x.Took != 0 || !x.Toast {
			t.Fatalf("during the block: %s after %d deliveries, want blocked at once", x.Outcome, len(x.Deliveries))
		}
		if got := other.Transcript(); len(got) != 2 || got[1].Text != FaultToast {
			t.Errorf("the other follower sees %v, want the toast", got)
		}
		<-time.After(time.Minute - time.Nanosecond)
		if x := send(f); x.Outcome != Blocked {
			t.Errorf("just before the minute is over: %s, want blocked", x.Outcome)
		}
		<-time.After(time.Nanosecond)
		if x := send(f); x.Outcome != Replied {
			t.Errorf("after the minute: %s, want the reply", x.Outcome)
		}
		s := p.Stats()
		if s.Blocks != 1 || s.Blocked != 3 || s.Faults != 1 || s.Toasts != 4 || s.Deliveries != 5 || s.Failures[Timeout] != 4 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestMarkFailForgetsAfterItsWindow(t *testing.T) {
	now := time.Unix(1767225600, 0)
	m := newMarkFail(Options{MarkFailThreshold: 3}.withDefaults())
	for i, step := range []struct {
		wait  time.Duration
		block bool
	}{
		{0, false}, {30 * time.Second, false}, {31 * time.Second, false}, // the first is 61 s old
		{20 * time.Second, true},
		{time.Second, false}, {time.Second, false}, {time.Second, false}, {time.Second, false}, // during the block nothing blocks again
		{time.Hour, false}, {0, false}, {time.Minute, true}, // exactly the window
	} {
		now = now.Add(step.wait)
		if got := m.failed(now); got != step.block {
			t.Errorf("failure %d blocks: %v, want %v", i+1, got, step.block)
		}
	}
}

func TestMarkFailIsOffByDefault(t *testing.T) {
	m := newMarkFail(Options{}.withDefaults())
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if m.failed(time.Unix(1, 0)) {
				t.Error("blocked without a threshold")
			}
		})
	}
	all.Wait()
	if m.blocked(time.Unix(1, 0)) {
		t.Error("blocked without a threshold")
	}
}
