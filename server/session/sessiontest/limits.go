package sessiontest

import (
	"strconv"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func limitCases() []Case {
	return []Case{
		{"a full queue refuses, and leaves no trace", fullQueue},
		{"a follower with too many open questions is refused, and that leaves no trace", tooManyOpen},
		{"the allowance of questions is kept, and what is refused uses none of it", rateLimited},
		{"the allowance refills evenly", refillsEvenly},
		{"a shorter window counts at once", shorterWindow},
		{"the allowance is each follower's own", allowanceOfEach},
		{"what is known is not limited", knownIsNotLimited},
		{"holds have a budget that refills evenly", holdBudget},
		{"a budget of no holds gives none", noHolds},
	}
}

// wantNoTrace sees that a refused question was not recorded: it is begun as new as soon as it may be.
func (h *handle) wantNoTrace(follower, id string, free func()) {
	h.t.Helper()
	if got := h.peek(key(follower, id)); got.State != session.Cancelled {
		h.t.Errorf("a refused question has a turn: %+v", got)
	}
	for _, turn := range h.look(follower).Turns {
		if turn.Key.ID == id {
			h.t.Errorf("a refused question is in the session: %+v", turn)
		}
	}
	free()
	if got := h.wantVerdict(follower, id, session.Started); got.Delivery != 1 {
		h.t.Errorf("begun after it was refused, it counts as delivery %d", got.Delivery)
	}
}

func fullQueue(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Concurrency, a.limits.Queue = 1, 2
	b.limits = a.limits
	running := a.start("alice", "1")
	a.wantVerdict("bob", "1", session.Started)
	b.wantVerdict("carol", "1", session.Started)
	for range 2 {
		if got := b.wantVerdict("dave", "1", session.Busy); got.Lease != nil {
			t.Error("refused with a lease")
		}
	}
	if s := a.look("dave"); len(s.Turns) != 0 || !s.LastActive.IsZero() {
		t.Errorf("a refused stranger has a session: %+v", s)
	}
	b.wantNoTrace("dave", "1", func() {
		a.finish(running, "", "")
		a.wantNext("bob", "1")
	})
}

func tooManyOpen(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Open, b.limits.Open = 2, 2
	running := a.start("alice", "1")
	b.wantVerdict("alice", "2", session.Started)
	b.wantVerdict("alice", "3", session.TooManyOpen)
	a.wantVerdict("bob", "1", session.Started)
	b.wantNoTrace("alice", "3", func() { a.finish(running, "", "") })
	b.wantVerdict("alice", "4", session.TooManyOpen)
}

func rateLimited(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Questions, a.limits.Window, a.limits.Open = 3, time.Hour, 2
	b.limits = a.limits
	first := a.start("alice", "1")
	b.wantVerdict("alice", "2", session.Started)
	for range 10 {
		a.wantVerdict("alice", "3", session.TooManyOpen)
	}
	a.finish(first, "", "")
	b.wantVerdict("alice", "3", session.Started)
	a.finish(a.wantNext("alice", "2"), "", "")
	for range 3 {
		if got := a.wantVerdict("alice", "4", session.RateLimited); got.Lease != nil {
			t.Error("refused with a lease")
		}
	}
	a.limits.Questions, b.limits.Questions = 0, 0
	b.wantNoTrace("alice", "4", func() {})
}

func refillsEvenly(t *testing.T, h Harness) {
	a, _ := open(t, h, options())
	// A place comes back every 600 ms. A window that is counted as a whole would give none before a minute is over.
	const questions, window = 100, time.Minute
	a.limits.Questions, a.limits.Window = questions, window
	begun, id := 0, 0
	since := time.Now()
	ask := func() bool {
		id++
		switch v := a.enqueue("alice", strconv.Itoa(id)).Verdict; v {
		case session.Started:
			begun++
			// Never more than what was there and what has come back since before the first was taken.
			if most := questions + int(time.Since(since)*questions/window); begun > most {
				t.Fatalf("%d questions after %v, want at most %d", begun, time.Since(since), most)
			}
			return true
		case session.RateLimited:
			return false
		default:
			t.Fatalf("verdict %d", v)
			return false
		}
	}
	for ask() {
	}
	if begun < questions {
		t.Fatalf("%d questions allowed at first, want %d", begun, questions)
	}
	for range 3 {
		a.eventually("one more question is allowed", ask)
	}
	if took := time.Since(since); took >= window {
		t.Fatalf("three questions more took %v, a whole window", took)
	}
}

func shorterWindow(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Questions, a.limits.Window = 1, 10*time.Hour
	a.wantVerdict("alice", "1", session.Started)
	a.wantVerdict("alice", "2", session.RateLimited)
	b.limits.Questions, b.limits.Window = 1, time.Second
	b.eventually("the allowance refills in the shorter window", func() bool {
		return b.begin("alice", "2").Verdict == session.Started
	})
}

func allowanceOfEach(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Questions, a.limits.Window = 1, time.Hour
	b.limits = a.limits
	a.wantVerdict("alice", "1", session.Started)
	a.wantVerdict("alice", "2", session.RateLimited)
	b.wantVerdict("alice", "2", session.RateLimited)
	b.wantVerdict("bob", "2", session.Started)
}

func knownIsNotLimited(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.wantVerdict("alice", "1", session.Started)
	b.limits = session.Limits{Questions: 1, Window: time.Hour}
	if got := b.wantVerdict("alice", "1", session.Joined); got.Delivery != 2 {
		t.Errorf("delivery %d, want 2", got.Delivery)
	}
}

func holdBudget(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	const perMinute = 300 // one every 200 ms
	taken, since := 0, time.Now()
	take := func() bool {
		if !([]*handle{a, b}[taken%2]).takeHold(perMinute) {
			return false
		}
		taken++
		if most := perMinute + int(time.Since(since)*perMinute/time.Minute); taken > most {
			t.Fatalf("%d holds after %v, want at most %d", taken, time.Since(since), most)
		}
		return true
	}
	for take() {
	}
	if taken < perMinute {
		t.Fatalf("%d holds given at first, want %d", taken, perMinute)
	}
	for range 3 {
		a.eventually("one more hold is given", take)
	}
	if took := time.Since(since); took >= time.Minute {
		t.Fatalf("three holds more took %v, a whole minute", took)
	}
}

func noHolds(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	if a.takeHold(0) || b.takeHold(0) {
		t.Error("a hold was given out of a budget of none")
	}
	if !a.takeHold(1) {
		t.Error("no hold was given out of a budget of one")
	}
	if b.takeHold(1) {
		t.Error("two holds were given out of a budget of one")
	}
}
