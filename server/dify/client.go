// Package dify is a client of Dify's service API: it asks one app questions, streams the answers, and reads what the
// app says of itself. It is made to work with every release from 0.6 on, self-hosted or cloud.
//
// It must not know WeChat, followers, turns or retries: it makes one request for one call, and says by its errors
// whether another is worth it. It logs nothing, and no error's text carries the API key, a user or a message.
package dify

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Options say how to reach Dify.
type Options struct {
	// BaseURL is the API's address, with or without /v1 and a trailing slash: https://api.dify.ai/v1.
	BaseURL string
	// HTTPClient makes the requests; nil means a client of our own. Its Timeout must be 0, as an answer may take
	// minutes. Redirects are never followed: a redirected POST would lose its body or its key.
	HTTPClient *http.Client
	// MaxConns bounds the connections of our own client, 0 means 64. It must exceed the chats that run at one time,
	// so that Stop finds a connection.
	MaxConns int
	// ConnectTimeout bounds making a connection, TLS included, of our own client. 0 means 10 s.
	ConnectTimeout time.Duration
	// FirstEventTimeout bounds the time from the request to the first event of an answer, and that of every other
	// call. A ping is no event: Dify pings, then hangs for 300 s, where a worker is down (1.13.0 to 1.14.2).
	// 0 means 60 s.
	FirstEventTimeout time.Duration
	// IdleTimeout bounds the time between two events of an answer. A ping is no event. 0 means 60 s.
	IdleTimeout time.Duration
	// UserAgent is sent with every request; empty means "wechatbot".
	UserAgent string
}

// Client talks to one Dify app. It is safe for concurrent use.
type Client struct {
	key               func() string
	base              *url.URL // ends in /v1
	http              *http.Client
	firstEventTimeout time.Duration
	idleTimeout       time.Duration
	userAgent         string
}

// New returns a client of the app that key belongs to. key is called for each request, so that a rotated key works at
// once. An error says what is wrong with Options.BaseURL: the caller names the field it came from.
func New(key func() string, o Options) (*Client, error) {
	base, err := parseBaseURL(o.BaseURL)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: newTransport(o)}
	if o.HTTPClient != nil {
		client = *o.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		key:               key,
		base:              base,
		http:              &client,
		firstEventTimeout: cmp.Or(o.FirstEventTimeout, time.Minute),
		idleTimeout:       cmp.Or(o.IdleTimeout, time.Minute),
		userAgent:         cmp.Or(o.UserAgent, "wechatbot"),
	}, nil
}

// CloseIdleConnections closes connections that wait for a next request.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

func newTransport(o Options) *http.Transport {
	connect := cmp.Or(o.ConnectTimeout, 10*time.Second)
	conns := cmp.Or(o.MaxConns, 64)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: connect,
		MaxConnsPerHost:     conns,
		MaxIdleConns:        conns,
		MaxIdleConnsPerHost: min(conns, 8),
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
		// Without pings a connection that a NAT forgot would swallow every question until its timeout.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		// Header, not body: the body of an answer is bounded by events.
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// parseBaseURL accepts what people paste. Its errors do not quote a password.
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

// errQuiet is the cause of a request's end when Dify was silent for too long.
var errQuiet = errors.New("no event in time")

// maxErrorBody and maxBody bound what is read of an error's body, and of any other body that is not a stream.
const (
	maxErrorBody = 64 << 10
	maxBody      = 8 << 20
)

// request is one call of the API.
type request struct {
	op     string // names the call in errors
	method string
	path   []string // segments below /v1
	query  url.Values
	body   any // sent as JSON unless nil
	accept string
}

// send makes the request and returns a response with a 2xx status, its body decoded. ctx ends with the cause errQuiet
// when Dify took too long.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	resp, err := c.http.Do(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		e := broken(ctx, r.op, err)
		if e.Kind == Interrupted && !connected.Load() {
			e.Kind = Unreachable
		}
		return nil, e
	}
	if err := decodeContent(resp); err != nil {
		closeBody(resp)
		e := broken(ctx, r.op, err)
		if e.Kind == Interrupted {
			e.Kind, e.Status = BadResponse, resp.StatusCode
		}
		return nil, e
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer closeBody(resp)
		return nil, responseError(r.op, resp)
	}
	return resp, nil
}

func (c *Client) newRequest(ctx context.Context, r request) (*http.Request, error) {
	// A Secret's file often ends in a newline, which a header may not contain.
	key := strings.TrimSpace(c.key())
	if key == "" {
		return nil, &Error{Op: r.op, Kind: Unauthorized, cause: errors.New("there is no API key")}
	}
	u := c.base.JoinPath(r.path...)
	u.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		encoded, err := json.Marshal(r.body)
		if err != nil {
			return nil, invalid(r.op, "the request cannot be encoded")
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, invalid(r.op, "the request cannot be made")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Accept", cmp.Or(r.accept, "application/json"))
	// Compression would make a proxy gather events before it passes them on.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", c.userAgent)
	return req, nil
}

// decodeContent undoes a compression that was applied although none was asked for.
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

// call makes a request and decodes its JSON answer into out, unless that is nil. It returns the response's header.
func (c *Client) call(ctx context.Context, r request, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.firstEventTimeout, errQuiet)
	defer cancel()
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer closeBody(resp)
	if out == nil {
		return resp.Header, nil
	}
	if mediaType(resp) != "application/json" {
		return nil, &Error{Op: r.op, Kind: BadResponse, Status: resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, broken(ctx, r.op, err)
	}
	if len(body) > maxBody || decode(body, out) != nil {
		return nil, &Error{Op: r.op, Kind: BadResponse, Status: resp.StatusCode}
	}
	return resp.Header, nil
}

// decode reads JSON leniently: a member of an unexpected type is left out, as Dify's releases differ in types.
func decode(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field != "" {
		return nil
	}
	return err
}

func mediaType(resp *http.Response) string {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// closeBody lets go of a response. That this may fail changes nothing for the caller.
func closeBody(resp *http.Response) { _ = resp.Body.Close() }
