package api

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// peer is a server on a socket that speaks HTTP by hand, but for tokens.
type peer struct {
	net.Listener

	connections atomic.Int32
	serving     sync.WaitGroup
}

// newPeer serves each connection: tokens properly, everything else by send, which closes the connection by returning.
func newPeer(t *testing.T, send func(c net.Conn, r *http.Request)) *peer {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{Listener: l}
	p.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.connections.Add(1)
			p.serving.Go(func() { serveConn(c, send) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.serving.Wait() })
	return p
}

func serveConn(c net.Conn, send func(c net.Conn, r *http.Request)) {
	defer func() { _ = c.Close() }()
	reader := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if r.URL.Path != tokenAPI {
			send(c, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		answer(c, `{"access_token":"token","expires_in":7200}`)
	}
}

func answer(c net.Conn, body string) {
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "+
		strconv.Itoa(len(body))+"\r\n\r\n"+body)
}

// reset closes a connection with a RST, as a process that is killed does.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func client(t *testing.T, base string, transport http.RoundTripper) *Client {
	t.Helper()
	c, err := New(Options{BaseURL: base, Credentials: func() (string, string) { return testAppID, testSecret }, Transport: transport, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// What sockets do to a send, and what is made of it.
func TestTransport_Send(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(c net.Conn, r *http.Request)
		want Kind
	}{
		{"taken", func(c net.Conn, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); answer(c, okAnswer) }, ""},
		{"closed behind the request", func(_ net.Conn, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, UnknownDelivery},
		{"reset behind the request", func(c net.Conn, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); reset(c) }, UnknownDelivery},
		{"reset before the body was read", func(c net.Conn, _ *http.Request) { reset(c) }, UnknownDelivery},
		{"half an answer", func(c net.Conn, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{\"errcode\":0}")
		}, UnknownDelivery},
		{"no HTTP", func(c net.Conn, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, "hello\r\n\r\n")
		}, UnknownDelivery},
		{"silence", func(c net.Conn, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); _, _ = c.Read(make([]byte, 1)) }, UnknownDelivery},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var sends atomic.Int32
			p := newPeer(t, func(c net.Conn, r *http.Request) { sends.Add(1); test.send(c, r) })
			err := client(t, "http://"+p.Addr().String(), nil).Send(t.Context(), Message{To: testOpenID, Content: Text{"x"}})
			if KindOf(err) != test.want || sends.Load() != 1 {
				t.Errorf("%v after %d sends, want %q after 1", err, sends.Load(), test.want)
			}
		})
	}
}

func TestTransport_NobodyThere(t *testing.T) {
	closed := newPeer(t, nil)
	_ = closed.Close()
	plain := newPeer(t, func(net.Conn, *http.Request) {})
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = nil
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	for name, test := range map[string]struct{ base, says string }{
		"a closed port":      {"http://" + closed.Addr().String(), "connection refused"},
		"no TLS":             {"https://" + plain.Addr().String(), ""},
		"an unknown issuer":  {untrusted.URL, "certificate"},
		"a name without one": {"https://nobody.invalid", ""},
	} {
		c := client(t, test.base, nil)
		c.tokens.current = token{value: "token", of: c.tokens.credentials(), expires: time.Now().Add(time.Hour), renew: time.Now().Add(time.Hour)}
		err := c.Send(t.Context(), Message{To: testOpenID, Content: Text{"x"}})
		if KindOf(err) != Unreachable || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want Unreachable: %s", name, err, test.says)
		}
	}
}

func TestTransport_Reused(t *testing.T) {
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("%s", r.Proto)
		}
		if r.URL.Path == tokenAPI {
			_, _ = io.WriteString(w, `{"access_token":"token","expires_in":7200}`)
			return
		}
		_, _ = io.WriteString(w, okAnswer)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	transport := newTransport(4)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	c := client(t, s.URL, transport)
	for range 20 {
		if err := c.Send(t.Context(), Message{To: testOpenID, Content: Text{"x"}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	var sending sync.WaitGroup
	for range 40 {
		sending.Go(func() {
			if err := c.Send(t.Context(), Message{To: testOpenID, Content: Text{"x"}}); err != nil {
				t.Error(err)
			}
		})
	}
	sending.Wait()
	if n := connections.Load(); n > 4 {
		t.Errorf("%d connections, want 4 at most", n)
	}
}

func TestTransport_Proxy(t *testing.T) {
	if got, want := reflect.ValueOf(newTransport(1).Proxy).Pointer(), reflect.ValueOf(http.ProxyFromEnvironment).Pointer(); got != want {
		t.Error("the proxy is not the environment's")
	}
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization"))
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	at.User = url.UserPassword("user", "verySecret")
	transport := newTransport(1)
	transport.Proxy = http.ProxyURL(at)
	err = client(t, "https://api.weixin.qq.com", transport).CheckToken(t.Context())
	if KindOf(err) != Unreachable || strings.Contains(err.Error(), "verySecret") {
		t.Errorf("%v, want Unreachable without the password", err)
	}
	if got, _ := asked.Load().(string); !strings.HasPrefix(got, "CONNECT api.weixin.qq.com:443 Basic ") {
		t.Errorf("the proxy was asked %q", got)
	}
	transport.Proxy = func(*http.Request) (*url.URL, error) {
		return nil, errors.New("invalid proxy http://user:verySecret@proxy")
	}
	if err = client(t, "https://api.weixin.qq.com", transport).CheckToken(t.Context()); KindOf(err) != Unreachable || strings.Contains(err.Error(), "verySecret") {
		t.Errorf("%v, want Unreachable without the password", err)
	}
}
