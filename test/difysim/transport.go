package difysim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"syscall"
)

// Transport serves requests in process, without sockets, so that a whole client runs inside a testing/synctest
// bubble. It streams; nothing is buffered, so a slow reader slows the server's writes. The server sees the client
// leave when the request's context ends or the response's body is closed, and the goroutine of a request ends
// with its handler.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

// RoundTrip returns when the handler has written the header.
func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(request.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{}) // a request in process is never one that did not get through
	}
	ctx, leave := context.WithCancel(request.Context())
	body, pipe := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: pipe, written: make(chan struct{})}
	served := request.Clone(ctx)
	served.RequestURI = request.URL.RequestURI()
	served.RemoteAddr = "127.0.0.1:1"
	if served.Body == nil {
		served.Body = http.NoBody
	}
	// A reader or writer must not stay in the pipe when the request is over.
	unhook := context.AfterFunc(ctx, func() { _ = pipe.CloseWithError(ctx.Err()) })
	go func() {
		defer func() {
			broken := recover()
			if served.Body != nil {
				_ = served.Body.Close()
			}
			w.finish(ctx, broken)
			unhook()
			leave()
			if err, ok := broken.(error); broken != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
				panic(broken)
			}
		}()
		t.server.ServeHTTP(w, served)
	}()
	select {
	case <-w.written:
	case <-request.Context().Done():
		return nil, fmt.Errorf("round trip: %w", request.Context().Err())
	}
	if w.status == 0 { // the handler gave up before
		return nil, fmt.Errorf("round trip: %w", cmp.Or(request.Context().Err(), errReset))
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.sent,
		Body:          &pipeBody{body, leave},
		ContentLength: -1,
		Request:       request,
	}, nil
}

// errReset is what a client of a reset connection sees.
var errReset error = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// pipeWriter is the server's side of a response.
type pipeWriter struct {
	header  http.Header
	pipe    *io.PipeWriter
	once    sync.Once
	written chan struct{} // closed when status and sent are set
	status  int
	sent    http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.written)
	})
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b) //nolint:wrapcheck // the handler looks only whether there is an error
}

// Flush has nothing to do: a pipe buffers nothing.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }

// finish ends the body: as cancelled if the client had left, as a reset if the handler panicked.
func (w *pipeWriter) finish(ctx context.Context, broken any) {
	if broken == nil && ctx.Err() == nil {
		w.WriteHeader(http.StatusOK)
		_ = w.pipe.Close()
		return
	}
	w.once.Do(func() { close(w.written) })
	_ = w.pipe.CloseWithError(cmp.Or(ctx.Err(), errReset))
}

// pipeBody tells the server when the client closes the body.
type pipeBody struct {
	*io.PipeReader
	leave context.CancelFunc
}

func (b *pipeBody) Close() error {
	b.leave()
	return b.PipeReader.Close() //nolint:wrapcheck // never an error
}
