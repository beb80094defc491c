package wechatsim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
)

// InProcess is an http.RoundTripper that serves requests with a handler, without sockets.
type InProcess struct {
	handler  http.Handler
	handlers sync.WaitGroup
}

// HandlerTransport serves every request with h, each in a goroutine of its own, as a connection of its own: the request's context is
// cancelled when the client gives up, and writing then fails. An answer is handed over when h returns. A panic with http.ErrAbortHandler is a
// broken connection; any other panic of h is a panic of the client's goroutine, or of h's own if the client has gone.
func HandlerTransport(h http.Handler) *InProcess {
	return &InProcess{handler: h}
}

// Wait blocks until all handlers have returned, also those whose client has gone. No request may be made meanwhile.
func (t *InProcess) Wait() { t.handlers.Wait() }

// RoundTrip implements http.RoundTripper.
func (t *InProcess) RoundTrip(r *http.Request) (*http.Response, error) { //nolint:contextcheck // the server side has a context of its own
	if err := r.Context().Err(); err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	ctx, hangUp := context.WithCancel(context.Background()) // a server sees no values of its client
	defer hangUp()                                          // after an answer this is the closed connection
	c := &conversation{answer: &answer{ctx: ctx, header: make(http.Header)}, ended: make(chan struct{})}
	t.handlers.Go(func() { c.serve(t.handler, serverSide(ctx, r)) })
	select {
	case <-c.ended:
	case <-r.Context().Done():
		if c.leave() {
			return nil, fmt.Errorf("waiting for an answer: %w", r.Context().Err())
		}
	}
	return c.response(r)
}

// serverSide is the request as a server's handler gets it.
func serverSide(ctx context.Context, r *http.Request) *http.Request {
	s := r.Clone(ctx)
	s.RequestURI = r.URL.RequestURI()
	s.RemoteAddr = "192.0.2.1:1234" // of the block for documentation
	if s.Body == nil {
		s.Body = http.NoBody
	}
	return s
}

// conversation is one request under way.
type conversation struct {
	answer *answer
	ended  chan struct{} // closed when the handler has returned

	mu       sync.Mutex
	over     bool // the handler has returned
	left     bool // the client has gone
	panicked any
}

func (c *conversation) serve(h http.Handler, r *http.Request) {
	defer func() { _ = r.Body.Close() }()
	defer c.end()
	h.ServeHTTP(c.answer, r)
}

// end is deferred: it takes what the handler panicked with, if anything.
func (c *conversation) end() {
	what := recover()
	c.mu.Lock()
	defer c.mu.Unlock()
	if what != nil && what != any(http.ErrAbortHandler) {
		if c.left {
			panic(what)
		}
		what = fmt.Sprintf("%v\n\n%s", what, debug.Stack())
	}
	c.over, c.panicked = true, what
	close(c.ended)
}

// leave says whether the client has gone before the handler returned; if not, there is an answer after all.
func (c *conversation) leave() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = !c.over
	return c.left
}

func (c *conversation) response(r *http.Request) (*http.Response, error) {
	if c.panicked == any(http.ErrAbortHandler) {
		return nil, fmt.Errorf("reading the answer: %w", io.ErrUnexpectedEOF)
	}
	if c.panicked != nil {
		panic(c.panicked)
	}
	a := c.answer
	a.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Close: true, Request: r,
	}, nil
}

// answer is the http.ResponseWriter of a conversation.
type answer struct {
	ctx    context.Context //nolint:containedctx // the life of the connection that this writer stands for
	header http.Header
	sent   http.Header // the header as it was when the status was written
	status int
	body   []byte
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status != 0 || status < http.StatusOK { // informational answers are not passed on
		return
	}
	a.status, a.sent = status, a.header.Clone()
}

func (a *answer) Write(b []byte) (int, error) {
	if a.ctx.Err() != nil {
		return 0, fmt.Errorf("writing the answer: %w", net.ErrClosed)
	}
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, b...)
	return len(b), nil
}

// Flush does nothing: there is nobody between the two sides who could hold the answer back.
func (a *answer) Flush() {}
