package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// idempotentTries is how often a call is made that may be repeated, before its caller is told of the failure.
const idempotentTries = 3

// Pauses between tries: 200 ms, then 800 ms, half of it by chance.
const firstPause = 200 * time.Millisecond

// request is one call of the API, to be made once or more.
type request struct {
	api    string
	method string
	query  url.Values // besides the token
	body   *body      // nil for a GET
	// tries is how often it is made at most. A token that is refused does not count.
	tries int
	// once says that it must not be made again when WeChat may have taken it. Its failure is then UnknownDelivery.
	once bool
	// needCode says that an answer without an errcode says nothing.
	needCode bool
	timeout  time.Duration // of one attempt; 0 means the client's
}

// body is what a request carries: it can be read again for a next attempt.
type body struct {
	contentType string
	size        int64
	open        func() io.Reader
}

func jsonBody(b []byte) *body {
	return &body{"application/json; charset=utf-8", int64(len(b)), func() io.Reader { return bytes.NewReader(b) }}
}

// call makes a request and returns the JSON object that WeChat answered with, which says no error.
func (c *Client) call(ctx context.Context, r *request) ([]byte, error) {
	return withToken(ctx, c, r, func(token string) ([]byte, error) { return c.callWith(ctx, r, token) })
}

// withToken runs a call with a token, and once more with another one if WeChat refuses the first.
func withToken[T any](ctx context.Context, c *Client, r *request, do func(token string) (T, error)) (answer T, err error) {
	token, err := c.token(ctx)
	if err != nil {
		return answer, err
	}
	answer, err = do(token)
	if tokenRefusal(r, err) == nil {
		return answer, err
	}
	// Another call may have fetched a new one meanwhile: then that is used.
	c.dropToken(token)
	if token, err = c.token(ctx); err != nil {
		return answer, err
	}
	answer, err = do(token)
	if e := tokenRefusal(r, err); e != nil {
		c.holdToken(token, e)
	}
	return answer, err
}

// tokenRefusal gives the error of a call whose token was refused, else nil.
func tokenRefusal(r *request, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == TokenExpired && e.API == r.api {
		return e
	}
	return nil
}

// callWith is call with this token; without one for an empty token.
func (c *Client) callWith(ctx context.Context, r *request, token string) ([]byte, error) {
	return tried(ctx, c, r, func() ([]byte, error) { return c.exchange(ctx, r, token) })
}

// tried makes a request as often as it may be made.
func tried[T any](ctx context.Context, c *Client, r *request, do func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		start := time.Now()
		answer, err := do()
		c.observed(r.api, start, err)
		if err == nil || try >= r.tries || !again(err) || !pause(ctx, try) {
			return answer, err
		}
	}
}

// again says whether a call that failed so may succeed at once.
func again(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch e.Kind {
	case Busy, Unreachable:
		return true
	case BadAnswer:
		return e.Status >= 500
	default:
		return false
	}
}

// pause waits before the next try, and says whether there is to be one.
func pause(ctx context.Context, try int) bool {
	wait := firstPause << (2 * (try - 1))
	wait = wait/2 + rand.N(wait/2) //nolint:gosec // it only spreads callers
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Client) observed(api string, start time.Time, err error) {
	if c.observe == nil {
		return
	}
	a := Attempt{API: api, Took: time.Since(start)}
	if e, ok := errors.AsType[*Error](err); ok {
		a.Kind, a.Code, a.Err = e.Kind, e.Code, e
	}
	c.observe(a)
}

// exchange makes a request once, and reads the answer.
func (c *Client) exchange(ctx context.Context, r *request, token string) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeoutOf(r))
	defer cancel()
	sent := new(atomic.Bool)
	response, err := c.send(bounded, r, token, sent)
	if err != nil {
		return nil, broken(ctx, r, sent, err)
	}
	defer closeBody(response)
	answer, e := readAnswer(r.api, response, r.needCode)
	switch {
	case e == nil:
		return answer, nil
	case e.Kind == Unreachable:
		return nil, broken(ctx, r, sent, e.cause)
	case r.once && sent.Load() && (e.Kind == Busy || e.Kind == BadAnswer):
		e.Kind = UnknownDelivery
	}
	return nil, e
}

func (c *Client) timeoutOf(r *request) time.Duration {
	if r.timeout > 0 {
		return r.timeout
	}
	return c.timeout
}

// send sends a request and gives the answer's head. It notes whether all of the request went out: only then can WeChat have acted on it.
func (c *Client) send(ctx context.Context, r *request, token string, sent *atomic.Bool) (*http.Response, error) {
	q := url.Values{}
	maps.Copy(q, r.query)
	if token != "" {
		q.Set("access_token", token)
	}
	target := *c.base
	target.Path += r.api
	target.RawQuery = q.Encode()
	request := (&http.Request{
		Method: r.method, URL: &target, Host: target.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {c.userAgent}, "Accept": {"*/*"}},
	}).WithContext(ctx)
	if r.body != nil {
		request.Header.Set("Content-Type", r.body.contentType)
		request.ContentLength = r.body.size
		request.Body = r.body.track(sent)
		// The transport asks for it again only if nothing of the first was written.
		request.GetBody = func() (io.ReadCloser, error) {
			sent.Store(false)
			return r.body.track(sent), nil
		}
	}
	// Not an http.Client: it would follow redirects, to which the token would go, and its errors quote the URL.
	return c.transport.RoundTrip(request) //nolint:wrapcheck // broken does
}

// broken makes the error of a request that got no whole answer. ctx is the caller's.
func broken(ctx context.Context, r *request, sent *atomic.Bool, err error) *Error {
	e := &Error{API: r.api, Kind: Unreachable, cause: err}
	if ctx.Err() != nil {
		e.Kind, e.cause = Canceled, context.Cause(ctx)
	}
	if r.once && sent.Load() {
		e.Kind = UnknownDelivery
	}
	return e
}

// track gives the body and notes when all of it was read.
func (b *body) track(sent *atomic.Bool) io.ReadCloser {
	return &tracked{reader: b.open(), left: b.size, sent: sent}
}

type tracked struct {
	reader io.Reader
	left   int64
	sent   *atomic.Bool
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.reader.Read(p)
	t.left -= int64(n)
	if t.left <= 0 {
		t.sent.Store(true)
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

func (t *tracked) Close() error { return nil }

// closeBody lets go of a response. That this may fail changes nothing for the caller.
func closeBody(r *http.Response) { _ = r.Body.Close() }
