package dify

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	maxHeader = 64 << 10 // bytes of a response's header
	streamBuf = 1 << 10  // bytes; enough for a usual event and its framing
)

// CertPool returns the system's certificate authorities and those of a PEM file.
func CertPool(pem []byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("there is no certificate in PEM form")
	}
	return pool, nil
}

// newTransports returns a transport for all requests, and for chats a direct one if the base URL is http and needs no proxy.
func newTransports(base *url.URL, ca *x509.CertPool, o Options) (http.RoundTripper, *direct) {
	connect := cmp.Or(o.ConnectTimeout, 10*time.Second)
	conns := cmp.Or(o.MaxConns, 64)
	dialer := &net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: ca, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: connect,
		MaxConnsPerHost:     conns,
		MaxIdleConns:        conns,
		MaxIdleConnsPerHost: min(conns, 8),
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
		// Pings detect connections that a NAT has dropped.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         2 * streamBuf,
		WriteBufferSize:        2 * streamBuf,
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: base})
	if base.Scheme != "http" || proxy != nil || err != nil {
		return t, nil
	}
	return t, &direct{
		dialer: dialer, slots: make(chan struct{}, conns),
		address: net.JoinHostPort(base.Hostname(), cmp.Or(base.Port(), "80")),
	}
}

// direct makes each request on its own connection, in the caller's goroutine. For a stream, http.Transport needs two more
// goroutines and 8 KiB of buffers. It could not reuse the connection either, because streams are not read to their end.
type direct struct {
	dialer  *net.Dialer
	address string
	slots   chan struct{} // limits the connections
}

// head returns the request line and header.
func (c *Client) head(r request, length int) []byte {
	b := make([]byte, 0, 1<<10)
	line := func(parts ...string) {
		for _, p := range parts {
			b = append(b, p...)
		}
		b = append(b, "\r\n"...)
	}
	line(r.method, " ", c.base.JoinPath(r.path...).RequestURI(), " HTTP/1.1")
	line("Host: ", c.base.Host)
	c.header(r, func(name, value string) { line(name, ": ", value) })
	line("Content-Length: ", strconv.Itoa(length))
	line()
	return b
}

// do sends a request and reads the response's header. sent is false if it is sure that Dify did not receive the request.
// The caller closes the response's body.
func (d *direct) do(ctx context.Context, head, content []byte) (resp *http.Response, sent bool, err error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, true, ctx.Err() // not an error of connecting
	}
	conn, err := d.dialer.DialContext(ctx, "tcp", d.address)
	if err != nil {
		<-d.slots
		return nil, false, err
	}
	s := &streamed{conn: conn, slots: d.slots}
	s.stopClosing = context.AfterFunc(ctx, func() { _ = conn.Close() })
	// Even if writing fails, the server may have sent a response: it may refuse a request before it has read it all.
	_, writeErr := conn.Write(append(head, content...))
	if resp, err = s.readHeader(&paced{Conn: conn, ctx: ctx}); err != nil {
		_ = s.Close()
		return nil, true, errors.Join(err, writeErr)
	}
	return resp, true, nil
}

// streamed is a response's body. Close closes the connection.
type streamed struct {
	io.Reader
	conn        net.Conn // nil once it is closed
	slots       chan struct{}
	stopClosing func() bool // stops the closing at the end of the request's context
}

func (s *streamed) readHeader(conn net.Conn) (*http.Response, error) {
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	buffered := bufio.NewReaderSize(limited, streamBuf)
	for range 5 { // 1xx responses
		resp, err := http.ReadResponse(buffered, nil)
		switch {
		case err != nil && limited.N <= 0:
			return nil, errors.New("the response's header is too long")
		case err != nil:
			return nil, err
		case resp.StatusCode/100 != 1:
			limited.N = math.MaxInt64
			s.Reader = resp.Body
			resp.Body = s
			return resp, nil
		}
	}
	return nil, errors.New("too many informational responses")
}

// Close implements io.Closer.
func (s *streamed) Close() error {
	if s.conn == nil {
		return nil
	}
	s.stopClosing()
	err := s.conn.Close()
	s.conn = nil
	<-s.slots
	return err
}
