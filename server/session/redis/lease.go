package redis

import (
	"sync"
	"time"
)

// turnID names a turn among the bot's: the follower's hash and the message.
type turnID string

// leases are those that this process holds, so that their owners can be told when they are lost.
type leases struct {
	mu      sync.Mutex
	byFence map[int64]*held
	byTurn  map[turnID]int64 // the youngest
}

type held struct {
	turn    turnID
	lost    chan struct{}
	touched time.Time // when the owner has last done anything about it
}

// add notes a lease and returns what is closed when it is lost.
func (l *leases) add(fence int64, id turnID) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byFence == nil {
		l.byFence, l.byTurn = make(map[int64]*held), make(map[turnID]int64)
	}
	h := &held{turn: id, lost: make(chan struct{}), touched: time.Now()}
	l.byFence[fence], l.byTurn[id] = h, fence
	return h.lost
}

// holds tells whether this process works on the turn, as far as it knows.
func (l *leases) holds(id turnID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byTurn[id] != 0
}

// touch notes that the owner of a lease is alive.
func (l *leases) touch(fence int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.byFence[fence]; h != nil {
		h.touched = time.Now()
	}
}

// drop forgets a lease that its owner has ended. lost has to be the lease's own: one can be made up.
func (l *leases) drop(fence int64, lost <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.byFence[fence]; h != nil && h.lost == lost {
		l.remove(fence, h)
	}
}

// lose forgets a lease and tells its owner. lost is as in drop; nil is any.
func (l *leases) lose(fence int64, lost <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.byFence[fence]; h != nil && (lost == nil || h.lost == lost) {
		l.remove(fence, h)
		close(h.lost)
	}
}

// sweep loses the leases whose owners have not even tried to renew them since.
func (l *leases) sweep(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for fence, h := range l.byFence {
		if h.touched.Before(since) {
			l.remove(fence, h)
			close(h.lost)
		}
	}
}

func (l *leases) remove(fence int64, h *held) {
	delete(l.byFence, fence)
	if l.byTurn[h.turn] == fence {
		delete(l.byTurn, h.turn)
	}
}
