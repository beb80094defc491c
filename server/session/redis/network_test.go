//go:build redis

package redis

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// network is between one replica and Redis. It can be cut, and it can swallow what is sent without saying so.
type network struct {
	to       string
	listener net.Listener
	tasks    sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	cut    bool
	frozen chan struct{} // closed when it goes on; nil while it goes
}

func newNetwork(t *testing.T, to string) *network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	n := &network{to: to, listener: l, conns: map[net.Conn]bool{}}
	n.tasks.Go(n.accept)
	t.Cleanup(func() {
		_ = l.Close()
		n.freeze(false)
		n.sever(true)
		n.tasks.Wait()
	})
	return n
}

func (n *network) server() Server {
	return Server{Mode: Standalone, Addresses: []string{n.listener.Addr().String()}}
}

func (n *network) accept() {
	for {
		near, err := n.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", n.to) //nolint:noctx // at once
		if err != nil {
			_ = near.Close()
			continue
		}
		if !n.add(near, far) {
			continue
		}
		n.tasks.Go(func() { n.carry(near, far) })
		n.tasks.Go(func() { n.carry(far, near) })
	}
}

// add closes the connections at once while the network is cut.
func (n *network) add(conns ...net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range conns {
		if n.cut {
			_ = c.Close()
			continue
		}
		n.conns[c] = true
	}
	return !n.cut
}

func (n *network) carry(to, from net.Conn) {
	defer func() {
		_, _ = to.Close(), from.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns, from)
	}()
	buffer := make([]byte, 32<<10)
	for {
		count, err := from.Read(buffer)
		n.mu.Lock()
		frozen := n.frozen
		n.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func (n *network) sever(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
	for c := range n.conns {
		if cut {
			_ = c.Close()
		}
	}
}

func (n *network) freeze(frozen bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case frozen && n.frozen == nil:
		n.frozen = make(chan struct{})
	case !frozen && n.frozen != nil:
		close(n.frozen)
		n.frozen = nil
	}
}

// apart opens two replicas, the first of which has a network of its own.
func apart(t *testing.T, o session.Options) (*network, []*Store) {
	t.Helper()
	s := startServer(t)
	n := newNetwork(t, s.addr())
	bot := newBot()
	stores := []*Store{
		openWith(t, Options{Bot: bot, Redis: n.server()}, o),
		openStore(t, bot, s.standalone(), another(o)),
	}
	for _, st := range stores {
		eventually(t, "subscribed", st.port.listening.Load)
	}
	return n, stores
}

// A replica that does not reach Redis loses its turn to another, as others do reach it.
func TestCutReplicaLosesItsTurn(t *testing.T) {
	t.Parallel()
	n, stores := apart(t, shortLeases())
	k := session.Key{Follower: "alice", ID: "1"}
	b, err := stores[0].Begin(t.Context(), session.Question{Key: k}, true, limits)
	if err != nil || b.Lease == nil {
		t.Fatalf("Begin: %+v, %v", b, err)
	}
	n.sever(true)
	began := time.Now()
	l, err := next(t, stores[1])
	if err != nil || l.Turn.Key != k || l.Turn.Attempts != 2 {
		t.Fatalf("Next: %+v, %v", l, err)
	}
	t.Logf("taken over after %v, with a lease of %v", time.Since(began), shortLeases().LeaseTTL)
	if err := stores[0].Progress(t.Context(), b.Lease, session.Progress{}); err == nil || errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("Progress without a network: %v", err)
	}
	finish(t, stores[1], l)
	n.sever(false)
	eventually(t, "the first one learns it", func() bool {
		return errors.Is(stores[0].Progress(t.Context(), b.Lease, session.Progress{}), session.ErrLeaseLost)
	})
	if !closed(b.Lease.Lost) {
		t.Error("Lost is not closed")
	}
	eventually(t, "subscribed again", stores[0].port.listening.Load)
}

// A network that swallows everything without closing a connection is noticed, and a turn that ends meanwhile is heard of.
func TestSilentNetworkIsNoticed(t *testing.T) {
	t.Parallel()
	n, stores := apart(t, options())
	lease, got := waiting(t, []*Store{stores[1], stores[0]})
	n.freeze(true)
	eventually(t, "the silence is noticed", func() bool { return !stores[0].port.listening.Load() })
	began := time.Now()
	if err := stores[0].Ping(t.Context()); err == nil {
		t.Error("Ping succeeds over a network that is silent")
	}
	if took := time.Since(began); took > 5*callTimeout {
		t.Errorf("Ping took %v", took)
	}
	finish(t, stores[1], lease)
	n.freeze(false)
	receive(t, got)
	eventually(t, "subscribed again", stores[0].port.listening.Load)
}
