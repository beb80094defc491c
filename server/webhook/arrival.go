package webhook

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
)

// WeChat counts its five seconds on its own side. So the deadline of a reply counts from the first byte of the request,
// not from when a busy process began to handle it.

type connKey struct{}

// Listener limits the connections that it accepts, and records when the first byte of each request came. It is for
// Handler.Server.
func (h *Handler) Listener(l net.Listener) net.Listener {
	return listener{netutil.LimitListener(l, h.limits.Connections), &h.unauthenticated}
}

type listener struct {
	net.Listener
	unauthenticated *unauthenticated
}

func (l listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, unauthenticated: l.unauthenticated}
	l.unauthenticated.add(c)
	return c, nil
}

// conn records the time of the first read since it was idle.
type conn struct {
	net.Conn
	first atomic.Int64 // Unix nanoseconds; 0 while idle

	unauthenticated *unauthenticated
	element         *list.Element // in unauthenticated; nil once it is authenticated
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.first.Load() == 0 {
		c.first.Store(time.Now().UnixNano())
	}
	return n, err
}

func (c *conn) Close() error {
	c.unauthenticated.remove(c)
	return c.Conn.Close()
}

// connContext is for http.Server.
func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connState is for http.Server.
func connState(c net.Conn, s http.ConnState) {
	if c, ok := c.(*conn); ok && s == http.StateIdle {
		c.first.Store(0)
	}
}

// authenticated marks the connection of a valid request.
func authenticated(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.unauthenticated.remove(c)
	}
}

// arrival returns when the first byte of the request came. Without a Listener that is now.
func arrival(ctx context.Context, now func() time.Time) time.Time {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		if first := c.first.Load(); first != 0 {
			return time.Unix(0, first)
		}
	}
	return now()
}
