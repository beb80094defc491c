package redis

import (
	"crypto/rand"
	"sync"
	"time"
)

// maxDoubts bounds the calls that are remembered; beyond, one that is made again counts as another delivery.
const maxDoubts = 10_000

// doubts are the calls of Begin that have failed, by turn: Redis may have done them, and their replies were lost. Each
// call has a name, which Redis keeps with the turn: so the same call, made again, finds what it has begun.
type doubts struct {
	mu     sync.Mutex
	byTurn map[turnID]doubt
}

type doubt struct {
	call  string
	since time.Time
}

// take gives the name under which a turn is to be begun: that of the call that has failed, which is the caller's now,
// or a new one.
func (d *doubts) take(id turnID) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.byTurn[id]; ok {
		delete(d.byTurn, id)
		return old.call
	}
	return rand.Text()
}

// keep notes that a call has failed. Of several that were under way at once, the first is kept.
func (d *doubts) keep(id turnID, call string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.byTurn[id]; ok || len(d.byTurn) >= maxDoubts {
		return
	}
	if d.byTurn == nil {
		d.byTurn = make(map[turnID]doubt)
	}
	d.byTurn[id] = doubt{call, time.Now()}
}

// known gives the name of the call that has failed, if one has.
func (d *doubts) known(id turnID) (call string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, ok := d.byTurn[id]
	return old.call, ok
}

// sweep forgets the calls that have failed before.
func (d *doubts) sweep(before time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, old := range d.byTurn {
		if old.since.Before(before) {
			delete(d.byTurn, id)
		}
	}
}
