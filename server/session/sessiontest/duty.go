package sessiontest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// dutyCases hold whoever has the store.
func dutyCases() []Case {
	return []Case{
		{"the account's duty is taken, renewed and given up", dutyOfOne},
		{"the note stays when the duty is given up", noteStays},
		{"only who has the duty may note", noteNeedsDuty},
		{"a note has a bound", noteBound},
	}
}

// RunDuty runs the cases about processes that want the account's duty at the same time, for a store that several
// processes can use at once.
func RunDuty(t *testing.T, h Harness) { run(t, h, DutyCases()) }

// DutyCases are those of RunDuty.
func DutyCases() []Case {
	return []Case{
		{"one process has the duty at a time", dutyOfOneAtATime},
		{"a released duty is taken at once", dutyReleased},
		{"a dead holder's duty is taken when it ends, and not before", dutyOfTheDead},
		{"of several who want a duty that has ended one gets it", dutyOfMany},
		{"who has lost the duty can neither note nor take it from its holder", dutyLost},
		{"the note is seen by all", noteSeen},
	}
}

func (h *handle) holdDuty(lasts time.Duration) session.Duty {
	h.t.Helper()
	began := time.Now()
	d, err := h.store.HoldDuty(h.t.Context(), lasts)
	h.check("HoldDuty", err)
	if most := time.Now().Add(lasts); d.Until.After(most) || !d.Until.IsZero() && d.Until.Before(began.Add(lasts)) {
		h.t.Errorf("HoldDuty for %v gave it until %v: want %v to %v", lasts, d.Until, began.Add(lasts), most)
	}
	return d
}

// wantDuty sees that the duty is given or refused.
func (h *handle) wantDuty(lasts time.Duration, want bool) session.Duty {
	h.t.Helper()
	d := h.holdDuty(lasts)
	if got := !d.Until.IsZero(); got != want {
		h.t.Fatalf("HoldDuty of %s: given %t, want %t", h.name, got, want)
	}
	return d
}

func (h *handle) releaseDuty() {
	h.t.Helper()
	h.check("ReleaseDuty", h.store.ReleaseDuty(h.t.Context()))
}

func (h *handle) noteDuty(note string) {
	h.t.Helper()
	h.check("NoteDuty", h.store.NoteDuty(h.t.Context(), note))
}

func (h *handle) wantNoDutyToNote() {
	h.t.Helper()
	if err := h.store.NoteDuty(h.t.Context(), "not mine"); !errors.Is(err, session.ErrLeaseLost) {
		h.t.Fatalf("NoteDuty of %s: %v, want ErrLeaseLost", h.name, err)
	}
}

const (
	long = time.Hour       // lasts longer than any case
	soon = 2 * time.Second // ends while a case waits for it, but not between two of its steps
)

func dutyOfOne(t *testing.T, h Harness) {
	a, _ := open(t, h, options())
	first := a.wantDuty(long, true)
	if second := a.wantDuty(2*long, true); !second.Until.After(first.Until) {
		t.Errorf("renewed until %v, before until %v", second.Until, first.Until)
	}
	a.releaseDuty()
	a.releaseDuty()
	a.wantDuty(long, true)
}

func noteStays(t *testing.T, h Harness) {
	a, _ := open(t, h, options())
	if got := a.wantDuty(long, true).Note; got != "" {
		t.Errorf("a new store has the note %q", got)
	}
	for _, note := range []string{"first", "", strings.Repeat("x", session.MaxNote)} {
		a.noteDuty(note)
		if got := a.wantDuty(long, true).Note; got != note {
			t.Errorf("noted %q, got %q", note, got)
		}
		a.releaseDuty()
		if got := a.wantDuty(long, true).Note; got != note {
			t.Errorf("noted %q and released, got %q", note, got)
		}
	}
}

func noteNeedsDuty(t *testing.T, h Harness) {
	a, _ := open(t, h, options())
	a.wantNoDutyToNote()
	a.wantDuty(long, true)
	a.noteDuty("mine")
	a.releaseDuty()
	a.wantNoDutyToNote()
	if got := a.wantDuty(long, true).Note; got != "mine" {
		t.Errorf("the note is %q", got)
	}
}

func noteBound(t *testing.T, h Harness) {
	a, _ := open(t, h, options())
	a.wantDuty(long, true)
	err := a.store.NoteDuty(t.Context(), strings.Repeat("x", session.MaxNote+1))
	if err == nil || errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("a note that is too long: %v, want an error of its own", err)
	}
}

func dutyOfOneAtATime(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.wantDuty(long, true)
	for range 3 {
		b.wantDuty(long, false)
		a.wantDuty(long, true)
	}
	b.releaseDuty() // it has none
	b.wantDuty(long, false)
}

func dutyReleased(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	for range 3 {
		a.wantDuty(long, true)
		a.noteDuty("of " + a.name)
		a.releaseDuty()
		if got := b.wantDuty(long, true).Note; got != "of "+a.name {
			t.Errorf("the next holder has the note %q", got)
		}
		a.wantDuty(long, false)
		a, b = b, a
	}
}

func dutyOfTheDead(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	var dead session.Duty
	for range 3 { // while it lives it keeps the duty
		dead = a.wantDuty(soon, true)
		b.wantDuty(time.Millisecond, false)
	}
	b.eventually("the duty of a dead holder is taken", func() bool { return !b.holdDuty(long).Until.IsZero() })
	if dead.Held(time.Now()) {
		t.Errorf("b has the duty %v before a's time is over", time.Until(dead.Until))
	}
}

func dutyOfMany(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	for range 10 {
		a.holdDuty(time.Millisecond)
		b.holdDuty(time.Millisecond)
		var all sync.WaitGroup
		time.Sleep(5 * time.Millisecond) // the time of both is over
		given := make(chan string, 8)
		for i := range 8 {
			one := []*handle{a, b}[i%2]
			all.Go(func() {
				if !one.holdDuty(long).Until.IsZero() {
					given <- one.name
				}
			})
		}
		all.Wait()
		close(given)
		first, ok := <-given
		if !ok {
			t.Fatal("nobody got the duty")
		}
		for other := range given {
			if other != first {
				t.Fatal("two have the duty")
			}
		}
		a.releaseDuty()
		b.releaseDuty()
	}
}

func dutyLost(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.wantDuty(soon, true)
	a.noteDuty("of a")
	b.eventually("the duty has ended", func() bool { return !b.holdDuty(long).Until.IsZero() })
	a.wantNoDutyToNote()
	a.releaseDuty()
	a.wantDuty(long, false)
	if got := b.wantDuty(long, true).Note; got != "of a" {
		t.Errorf("the note is %q", got)
	}
}

func noteSeen(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.wantDuty(long, true)
	a.noteDuty("published")
	if got := b.wantDuty(long, false).Note; got != "published" {
		t.Errorf("another process has the note %q", got)
	}
	b.wantNoDutyToNote()
	if got := a.wantDuty(long, true).Note; got != "published" {
		t.Errorf("the note is %q", got)
	}
}
