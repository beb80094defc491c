package memory

import (
	"container/list"
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// turn is one question and its answer.
type turn struct {
	session.Turn

	note    string   // its owners' to each other, until it is over
	order   uint64   // place in the order in which the bot's questions were accepted
	lease   *lease   // nil while nobody works on it
	waiters *waiters // nil while nobody awaits it

	unsettled bool          // nobody may claim it by Next yet: see Store.Settle
	cost      time.Duration // while unsettled: what it has taken out of the allowance
}

// lease is an owner's right to work on a turn.
type lease struct {
	turn     *turn
	follower *follower
	fence    int64
	expires  time.Time
	lost     chan struct{}
	at       *list.Element // in Store.leases
}

// leaseAt returns the lease at a place in Store.leases.
func leaseAt(e *list.Element) *lease {
	l, _ := e.Value.(*lease) // nothing else is in there
	return l
}

// waiters is where those who await a turn meet. The turn as it was when it ended is left here before done is closed,
// so that ten thousand of them wake up without queueing for the store.
type waiters struct {
	done chan struct{}
	last session.Turn
}

// wake ends the waiting for the turn: last is what the waiters get.
func (t *turn) wake(last session.Turn) {
	if t.waiters == nil {
		return
	}
	t.waiters.last = last
	close(t.waiters.done)
	t.waiters = nil
}

// find returns the follower's turn, nil if there is none (any more).
func (f *follower) find(id string) *turn {
	for _, t := range slices.Backward(f.turns) {
		if t.Key.ID == id {
			return t
		}
	}
	return nil
}

// head returns the follower's open turn that is to be answered first, nil if none is open.
func (f *follower) head() *turn {
	if f.open == 0 {
		return nil
	}
	for _, t := range f.turns {
		if !t.State.Over() {
			return t
		}
	}
	return nil
}

// copyOf returns the turn as it is now.
func (f *follower) copyOf(t *turn) session.Turn {
	c := t.Turn
	c.Others = f.untold(t)
	return c
}

// untold counts the turns but one that are open, or over and not told. What is told is over.
func (f *follower) untold(but *turn) int {
	n := 0
	for _, t := range f.turns {
		if t != but && !t.Told {
			n++
		}
	}
	return n
}

// lateUntold counts the turns that ended lately and are not told.
func (f *follower) lateUntold(now time.Time) int {
	n := 0
	for _, t := range f.turns {
		if t.State.Over() && !t.Told && now.Sub(t.FinishedAt) <= session.UntoldFor {
			n++
		}
	}
	return n
}

// gone is what the store has to say about a turn that is not there.
func gone(k session.Key, others int) session.Turn {
	return session.Turn{Key: k, State: session.Cancelled, Others: others}
}
