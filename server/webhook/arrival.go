package webhook

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// WeChat's five seconds run from its side of the connection, so the deadline of a reply counts from the first byte of
// the request, not from when a busy process came to handle it.

type arrivalKey struct{}

// Listener makes its connections remember when the first byte of a request came; see Handler.Server.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// conn remembers the time of the first read since it was idle.
type conn struct {
	net.Conn
	first atomic.Int64 // Unix nanoseconds; 0 while idle
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.first.Load() == 0 {
		c.first.Store(time.Now().UnixNano())
	}
	return n, err
}

// connContext is for http.Server.
func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, arrivalKey{}, c)
}

// connState is for http.Server.
func connState(c net.Conn, s http.ConnState) {
	if ac, ok := c.(*conn); ok && s == http.StateIdle {
		ac.first.Store(0)
	}
}

// arrival is when the first byte of the request came, as far as it is known.
func arrival(ctx context.Context, now func() time.Time) time.Time {
	if c, ok := ctx.Value(arrivalKey{}).(*conn); ok {
		if first := c.first.Load(); first != 0 {
			return time.Unix(0, first)
		}
	}
	return now()
}
