//go:build chaos

package chaos

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy carries TCP connections, until it is told to break them.
type proxy struct {
	listener net.Listener
	upstream string
	workers  sync.WaitGroup

	mu     sync.Mutex
	refuse bool
	still  chan struct{} // closed when packets flow again; nil while they flow
	conns  map[net.Conn]struct{}
	closed bool
}

func startProxy(t *testing.T, upstream string) *proxy {
	t.Helper()
	l := listen(t)
	p := &proxy{listener: l, upstream: upstream, conns: map[net.Conn]struct{}{}}
	p.workers.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// cut resets all connections and every new one.
func (p *proxy) cut() {
	p.mu.Lock()
	p.refuse = true
	p.mu.Unlock()
	p.reset()
}

// stall lets nothing through, in either direction; connections stay.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.still == nil {
		p.still = make(chan struct{})
	}
}

// heal ends cut and stall. What was sent during a stall then arrives, late, as after a partition of a network.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = false
	if p.still != nil {
		close(p.still)
		p.still = nil
	}
}

// reset breaks the connections that there are.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		abort(c)
	}
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.heal()
	p.reset()
	p.workers.Wait()
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(c) {
			abort(c)
			continue
		}
		p.workers.Go(func() { p.carry(c) })
	}
}

// keep takes a connection among those that reset breaks; false if it may not be.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse || p.closed {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	_ = c.Close()
}

func (p *proxy) carry(c net.Conn) {
	defer p.drop(c)
	u, err := dial(p.upstream)
	if err != nil {
		abort(c)
		return
	}
	if !p.keep(u) {
		abort(u)
		return
	}
	defer p.drop(u)
	splice(c, u, p.pass)
}

// pass waits while nothing is let through.
func (p *proxy) pass() {
	p.mu.Lock()
	still := p.still
	p.mu.Unlock()
	if still != nil {
		<-still
	}
}

// splice copies in both directions until one of them ends, and calls before with each piece first.
func splice(a, b net.Conn, before func()) {
	var both sync.WaitGroup
	half := func(to, from net.Conn) {
		buf := make([]byte, 16<<10)
		for {
			n, err := from.Read(buf)
			before()
			if n > 0 {
				if _, werr := to.Write(buf[:n]); werr != nil {
					err = werr
				}
			}
			if err != nil {
				_ = a.Close()
				_ = b.Close()
				return
			}
		}
	}
	both.Go(func() { half(a, b) })
	both.Go(func() { half(b, a) })
	both.Wait()
}

// listen listens on a port of this machine's that is free.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// dial connects to an address of this machine's.
func dial(address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", address)
}

// abort closes a connection with a reset.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func TestProxy(t *testing.T) {
	echo := listen(t)
	defer func() { _ = echo.Close() }()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	p := startProxy(t, echo.Addr().String())
	connect := func() (net.Conn, *bufio.Reader) {
		c, err := dial(p.address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return c, bufio.NewReader(c)
	}
	says := func(c net.Conn, r *bufio.Reader, line string) error {
		if _, err := io.WriteString(c, line); err != nil {
			return err
		}
		got, err := r.ReadString('\n')
		if err == nil && got != line {
			err = errors.New("another line came back")
		}
		return err
	}

	c, r := connect()
	if err := says(c, r, "through\n"); err != nil {
		t.Fatalf("an open proxy: %v", err)
	}
	p.stall()
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if err := says(c, r, "late\n"); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("a stalled proxy: %v, want a timeout", err)
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	p.heal()
	if got, err := r.ReadString('\n'); got != "late\n" || err != nil {
		t.Fatalf("after a stall came %q, %v, want what was sent in it", got, err)
	}
	p.reset()
	if err := says(c, r, "broken\n"); err == nil {
		t.Fatal("a connection lives on after a reset")
	}
	c, r = connect()
	if err := says(c, r, "again\n"); err != nil {
		t.Fatalf("a new connection after a reset: %v", err)
	}
	p.cut()
	if err := says(c, r, "cut\n"); err == nil {
		t.Fatal("a connection lives on after a cut")
	}
	if c, err := dial(p.address()); err == nil { // else it was reset before it was there
		if err := says(c, bufio.NewReader(c), "refused\n"); err == nil {
			t.Fatal("a new connection lives in a cut")
		}
		_ = c.Close()
	}
	p.heal()
	c, r = connect()
	if err := says(c, r, "healed\n"); err != nil {
		t.Fatalf("a new connection after a cut: %v", err)
	}
}
