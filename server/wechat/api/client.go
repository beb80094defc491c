package api

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// DefaultBaseURL is where WeChat's server API is.
const DefaultBaseURL = "https://api.weixin.qq.com"

// Options say how to reach WeChat, and as whom.
type Options struct {
	// BaseURL is the API's address: WeChat's own if empty, or a proxy's whose address is on the account's IP list.
	BaseURL string
	// Credentials gives the account's AppID and AppSecret. It is asked before each use of a token, so that a rotated secret and a
	// changed account work at once; it must be quick and safe for concurrent use. Required.
	Credentials func() (appID, secret string)
	// Transport carries the requests; nil means a transport of our own, which honours HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
	Transport http.RoundTripper
	// Timeout bounds one attempt of a call, answer included; 0 means 10 s. Media have MediaTimeout, 0 means 60 s.
	Timeout, MediaTimeout time.Duration
	// MaxConns bounds the connections of our own transport; 0 means 32.
	MaxConns int
	// Observe, if set, is told of each attempt of a call, tokens' included, for metrics. It must be quick and safe for concurrent use.
	Observe func(Attempt)
	// UserAgent is sent with every request; empty means "wechatbot".
	UserAgent string
}

// Attempt is one request to WeChat and how it ended.
type Attempt struct {
	// API is the call's path, such as /cgi-bin/message/custom/send: one of a few.
	API string
	// Kind is empty for a success.
	Kind Kind
	// Code is WeChat's errcode, 0 if none came.
	Code int
	// Err is the whole of it; nil for a success.
	Err  *Error
	Took time.Duration
}

// Client talks to WeChat for one Official Account. It is safe for concurrent use. It keeps no goroutine and no timer while no call is
// under way.
type Client struct {
	base         *url.URL
	transport    http.RoundTripper
	timeout      time.Duration
	mediaTimeout time.Duration
	observe      func(Attempt)
	userAgent    string
	tokens       tokens

	life     context.Context //nolint:containedctx // of fetching tokens, which serves many callers and outlives each
	end      context.CancelFunc
	fetching sync.WaitGroup
}

// New returns a client. An error says what is wrong with Options.BaseURL; the caller names the field it came from.
func New(o Options) (*Client, error) {
	base, err := parseBaseURL(cmp.Or(o.BaseURL, DefaultBaseURL))
	if err != nil {
		return nil, err
	}
	if o.Credentials == nil {
		return nil, errors.New("there are no credentials")
	}
	c := &Client{
		base:         base,
		transport:    o.Transport,
		timeout:      cmp.Or(o.Timeout, 10*time.Second),
		mediaTimeout: cmp.Or(o.MediaTimeout, time.Minute),
		observe:      o.Observe,
		userAgent:    cmp.Or(o.UserAgent, "wechatbot"),
	}
	if c.transport == nil {
		c.transport = newTransport(cmp.Or(o.MaxConns, 32))
	}
	c.tokens.credentials = func() credentials {
		appID, secret := o.Credentials()
		// A Secret's file often ends in a newline.
		return credentials{strings.TrimSpace(appID), strings.TrimSpace(secret)}
	}
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Close ends what fetches a token and closes idle connections; calls that begin later are Canceled. Those under way are not ended: their
// contexts do that.
func (c *Client) Close() {
	c.tokens.mu.Lock()
	c.tokens.closed = true
	c.tokens.mu.Unlock()
	c.end()
	c.fetching.Wait()
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// newTransport speaks HTTP/1.1 only: a send whose connection breaks is then known to have gone out, or not.
func newTransport(conns int) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxConnsPerHost:     conns,
		MaxIdleConns:        conns,
		MaxIdleConnsPerHost: min(conns, 8),
		// A connection that WeChat closes just as a send is written leaves that send's outcome unknown: idle ones go early.
		IdleConnTimeout:        30 * time.Second,
		Protocols:              protocols,
		DisableCompression:     true, // answers are small, and a medium's length is to be known
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// parseBaseURL accepts a URL with a path, as a proxy may have one. Its errors quote nothing of it.
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
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}, nil
}
