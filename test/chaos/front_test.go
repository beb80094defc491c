//go:build chaos

package chaos

import (
	"net"
	"sync"
	"testing"
	"time"
)

// front is what a Service is in a cluster: each new connection goes to the next replica that is ready.
type front struct {
	listener net.Listener
	replicas []*replica
	workers  sync.WaitGroup

	mu       sync.Mutex
	turn     int
	carried  []carried
	unserved []time.Time // connections for which there was no replica
}

// carried is one connection that has ended.
type carried struct {
	life         *life
	began, ended time.Time
}

func startFront(t *testing.T, replicas []*replica) *front {
	t.Helper()
	l := listen(t)
	f := &front{listener: l, replicas: replicas}
	f.workers.Go(f.accept)
	t.Cleanup(func() { _ = l.Close(); f.workers.Wait() })
	return f
}

func (f *front) url() string { return "http://" + f.listener.Addr().String() + "/wechat" }

func (f *front) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.workers.Go(func() { f.carry(c) })
	}
}

func (f *front) carry(c net.Conn) {
	began := time.Now()
	l, u := f.dial()
	if u == nil {
		f.mu.Lock()
		f.unserved = append(f.unserved, began)
		f.mu.Unlock()
		abort(c)
		return
	}
	splice(c, u, func() {})
	f.mu.Lock()
	f.carried = append(f.carried, carried{l, began, time.Now()})
	f.mu.Unlock()
}

// dial connects to the next replica that is ready; one that refuses has just died.
func (f *front) dial() (*life, net.Conn) {
	f.mu.Lock()
	first := f.turn
	f.turn++
	f.mu.Unlock()
	for i := range f.replicas {
		l := f.replicas[(first+i)%len(f.replicas)].serving()
		if l == nil {
			continue
		}
		if u, err := dial(l.address()); err == nil {
			return l, u
		}
	}
	return nil, nil
}

// waitReady waits until every replica gets pushes.
func (f *front) waitReady(t *testing.T) {
	t.Helper()
	for _, r := range f.replicas {
		if err := await(startTimeout, r.now().serves); err != nil {
			t.Fatalf("waiting for server %d to be ready: %v", r.number, err)
		}
	}
}

// unservedWithin tells whether there was no replica for a connection at some time between the two.
func (f *front) unservedWithin(from, to time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.unserved {
		if !at.Before(from) && !at.After(to) {
			return true
		}
	}
	return false
}

// brokenByKill tells whether the connection that lasted from … to went to a process that was killed meanwhile.
func (f *front) brokenByKill(from, to time.Time) bool {
	const same = 400 * time.Millisecond // the two ends of a connection agree to this
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.carried {
		killed := c.life.killedAt()
		if c.began.Sub(from).Abs() < same && c.ended.Sub(to).Abs() < same &&
			!killed.IsZero() && killed.After(c.began.Add(-same)) && killed.Before(c.ended.Add(same)) {
			return true
		}
	}
	return false
}
