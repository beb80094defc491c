package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// line is WeChat's way to the server. A visitor can cut it, to see what a follower sees of a server that is gone: what is on it breaks,
// and what comes is refused.
type line struct {
	transport *http.Transport
	nowhere   string // an address where nobody listens

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

func newLine(ctx context.Context) (*line, error) {
	closed, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &line{nowhere: closed.Addr().String(), conns: make(map[net.Conn]struct{})}
	if err := closed.Close(); err != nil {
		return nil, fmt.Errorf("closing a port: %w", err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	l.transport = &http.Transport{ // one connection for each delivery, as WeChat does it
		DialContext: l.dial, DisableKeepAlives: true, DisableCompression: true, Protocols: protocols,
	}
	return l, nil
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if l.isCut() {
		address = l.nowhere
	}
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err //nolint:wrapcheck // the platform judges it
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return &lineConn{c, l}, nil
}

// set cuts the line or mends it.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if !cut {
		return
	}
	for c := range l.conns {
		_ = c.Close() // who uses it is told
	}
}

func (l *line) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// lineConn is forgotten when it is closed.
type lineConn struct {
	net.Conn
	line *line
}

// Read gives what a reader sees whose line breaks: the connection is closed on this side, which is no error of WeChat's.
func (c *lineConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, net.ErrClosed) && c.line.isCut() {
		err = syscall.ECONNRESET
	}
	return n, err //nolint:wrapcheck // it is the connection's
}

// Close closes the connection.
func (c *lineConn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c.Conn)
	c.line.mu.Unlock()
	return c.Conn.Close() //nolint:wrapcheck // it is the connection's
}
