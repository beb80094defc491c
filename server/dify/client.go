// Package dify is a client of Dify's service API: it asks an app questions, streams the answers, and reads the app's
// settings. It supports every release from 0.6 on, self-hosted or cloud.
//
// It knows nothing of WeChat, followers or turns, and does not retry: its errors say whether a retry makes sense. It does
// not log, and no error's text contains the API key, a user or a message.
package dify

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Target is one app of one Dify. A request uses all parts of one Target.
type Target struct {
	// BaseURL is the API's address, with or without /v1 and a trailing slash: https://api.dify.ai/v1.
	BaseURL string
	// Key is the app's API key. White space around it is ignored. Without a key every call is Unauthorized.
	Key string
	// CA are the certificate authorities for Dify's certificate; nil means the system's.
	CA *x509.CertPool
}

// String returns the base URL only.
func (t Target) String() string { return t.BaseURL }

// GoString does the same for %#v.
func (t Target) GoString() string { return t.String() }

// LogValue does the same for slog.
func (t Target) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Options of a Client.
type Options struct {
	// Transport makes the requests; nil means the Client's own. Target.CA is only used by that.
	Transport http.RoundTripper
	// MaxConns limits the connections of the Client's own transport; 0 means 64. It must exceed the number of concurrent
	// chats, so that Stop finds a connection.
	MaxConns int
	// ConnectTimeout limits connecting, including TLS, with the Client's own transport. 0 means 10 s.
	ConnectTimeout time.Duration
	// FirstEventTimeout limits the time to the first event of an answer, and the time of every other call. A ping does not
	// count: with its worker down, Dify pings and then hangs for 300 s (1.13.0 to 1.14.2). 0 means 60 s.
	FirstEventTimeout time.Duration
	// IdleTimeout limits the time between two events of an answer. A ping does not count. 0 means 60 s.
	IdleTimeout time.Duration
	// UserAgent is sent with every request; empty means "wechatbot".
	UserAgent string
}

// Client talks to one Target. It is immutable and safe for concurrent use.
type Client struct {
	base              *url.URL // ends in /v1
	key               string
	transport         http.RoundTripper // does not follow redirects: a POST would lose its body or its key
	direct            *direct           // for chats; nil if they need transport too
	firstEventTimeout time.Duration
	idleTimeout       time.Duration
	userAgent         string
}

// New returns a client. An error says what is wrong with the target, and does not contain the key.
func New(t Target, o Options) (*Client, error) {
	base, err := parseBaseURL(t.BaseURL)
	if err != nil {
		return nil, err
	}
	c := &Client{
		base:              base,
		transport:         o.Transport,
		firstEventTimeout: cmp.Or(o.FirstEventTimeout, time.Minute),
		idleTimeout:       cmp.Or(o.IdleTimeout, time.Minute),
		userAgent:         cmp.Or(o.UserAgent, "wechatbot"),
	}
	if c.transport == nil {
		c.transport, c.direct = newTransports(base, t.CA, o)
	}
	return c.WithKey(t.Key)
}

// WithKey returns a client of the same Dify with another key. It shares the connections.
func (c *Client) WithKey(key string) (*Client, error) {
	other := *c
	other.key = strings.TrimSpace(key)
	if strings.ContainsFunc(other.key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the API key has white space or another character that no key has")
	}
	return &other, nil
}

// CloseIdleConnections closes idle connections.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// parseBaseURL accepts the usual spellings. Its errors do not quote a password.
func parseBaseURL(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case err != nil:
		return nil, errors.New("the base URL is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("the base URL must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("the base URL has no host")
	case u.User != nil:
		return nil, errors.New("the base URL must not contain a user or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("the base URL must not have a query or fragment")
	}
	path := strings.TrimRight(u.Path, "/")
	for _, endpoint := range []string{"/chat-messages", "/completion-messages", "/workflows/run", "/parameters", "/info"} {
		if strings.HasSuffix(path, "/v1"+endpoint) {
			return nil, errors.New("the base URL must end at /v1, without " + endpoint)
		}
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(path, "/v1") + "/v1"}, nil
}

// root is the base of Dify's relative URLs.
func (c *Client) root() *url.URL {
	return &url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: strings.TrimSuffix(c.base.Path, "/v1")}
}

// errTooSlow is the cancellation cause when a watchdog has expired.
var errTooSlow = errors.New("no event in time")

// maxErrorBody and maxBody limit an error's body and any other body that is not a stream.
const (
	maxErrorBody = 64 << 10
	maxBody      = 8 << 20
)

// request is one call of the API.
type request struct {
	op     string // the call's name in errors
	method string
	path   []string // segments below /v1
	query  url.Values
	body   any   // sent as JSON unless nil
	form   *form // sent instead of body unless nil
	accept string
	shared bool // it is sent by the transport of all requests, though it is a stream

	traceparent string // of the span that it is sent in; empty is none
}

// send makes the request and returns a 2xx response with a decoded body. If Dify takes too long, the caller cancels ctx
// with the cause errTooSlow.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	encoded, err := c.prepare(r)
	if err != nil {
		return nil, err
	}
	r.traceparent = traceparent(ctx)
	var resp *http.Response
	var sent bool
	if c.direct != nil && r.accept != "" && !r.shared {
		resp, sent, err = c.direct.do(ctx, c.head(r, len(encoded)), encoded)
	} else {
		resp, sent, err = c.do(ctx, r, encoded)
	}
	if err != nil {
		return nil, transportError(ctx, r.op, err, sent)
	}
	if err := decodeContent(resp); err != nil {
		closeBody(resp)
		e := transportError(ctx, r.op, err, true)
		if e.Kind == Interrupted {
			e.Kind, e.Status = BadResponse, resp.StatusCode
		}
		return nil, e
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer closeBody(resp)
		return nil, c.responseError(r.op, resp)
	}
	return resp, nil
}

// prepare encodes the request's body.
func (c *Client) prepare(r request) ([]byte, error) {
	if c.key == "" {
		return nil, &Error{Op: r.op, Kind: Unauthorized, cause: errors.New("there is no API key")}
	}
	if r.body == nil {
		return nil, nil
	}
	encoded, err := json.Marshal(r.body)
	if err != nil {
		return nil, invalid(r.op, "the request cannot be encoded")
	}
	return encoded, nil
}

// header calls set with each header of the request.
func (c *Client) header(r request, set func(name, value string)) {
	switch {
	case r.form != nil:
		set("Content-Type", r.form.contentType)
	case r.body != nil:
		set("Content-Type", "application/json")
	}
	set("Authorization", "Bearer "+c.key)
	set("Accept", cmp.Or(r.accept, "application/json"))
	// To compress, a proxy would buffer events.
	set("Accept-Encoding", "identity")
	set("User-Agent", c.userAgent)
	if r.traceparent != "" {
		set("Traceparent", r.traceparent)
	}
}

// do makes the request with the transport. sent is false if it is sure that Dify did not receive it.
func (c *Client) do(ctx context.Context, r request, encoded []byte) (resp *http.Response, sent bool, err error) {
	u := c.base.JoinPath(r.path...)
	u.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(encoded)
	}
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), r.method, u.String(), body)
	if err != nil {
		return nil, false, err
	}
	if r.form != nil {
		r.form.sendBy(req)
	}
	c.header(r, req.Header.Set)
	resp, err = c.transport.RoundTrip(req)
	return resp, connected.Load(), err
}

// decodeContent decodes a body that was compressed against the request's Accept-Encoding.
func decodeContent(resp *http.Response) error {
	switch strings.ToLower(resp.Header.Get("Content-Encoding")) {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
		plain, err := gzip.NewReader(resp.Body)
		if err != nil {
			return err
		}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{plain, resp.Body}
		return nil
	}
	return errors.New("unknown Content-Encoding")
}

// call makes a request other than a chat and returns the response's header. Unless on is nil, it is called for each member
// of the JSON object in the body.
func (c *Client) call(ctx context.Context, r request, on func(l *lexer, name []byte)) (http.Header, error) {
	header, err := c.exchange(ctx, r, on)
	if e, ok := errors.AsType[*Error](err); ok {
		e.Effects = NoEffects
	}
	return header, err
}

func (c *Client) exchange(ctx context.Context, r request, on func(l *lexer, name []byte)) (http.Header, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.firstEventTimeout, errTooSlow)
	defer cancel()
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer closeBody(resp)
	if on == nil {
		return resp.Header, nil
	}
	if mediaType(resp) != "application/json" {
		return nil, foreignResponse(r.op, resp)
	}
	l := &lexer{src: &body{src: resp.Body, limit: maxBody}}
	if l.members(func(name []byte) { on(l, name) }) && l.atEnd() {
		return resp.Header, nil
	}
	return nil, unreadable(ctx, r.op, resp, l.err)
}

// unreadable returns the error of a response whose JSON could not be read.
func unreadable(ctx context.Context, op string, resp *http.Response, err error) *Error {
	if err == nil || errors.Is(err, errSyntax) || errors.Is(err, io.EOF) || errors.Is(err, errTooLong) {
		return &Error{Op: op, Kind: BadResponse, Status: resp.StatusCode}
	}
	return transportError(ctx, op, err, true)
}

func mediaType(resp *http.Response) string {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// closeBody closes a response. An error changes nothing for the caller.
func closeBody(resp *http.Response) { _ = resp.Body.Close() }
