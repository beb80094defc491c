package wechatsim

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// listen makes a platform in front of a real server.
func listen(t *testing.T, o Options, server *httptest.Server) *Platform {
	t.Helper()
	t.Cleanup(server.Close)
	account := testAccount(Plain)
	account.URL = server.URL + "/wechat"
	p, err := New(account, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEachDeliveryHasItsOwnConnection(t *testing.T) {
	var connections atomic.Int32
	var closes sync.Map
	a := newAccount(t, says(500, ""), says(200, "nonsense"), answers("third"))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		closes.Store(r.RemoteAddr, r.Close)
		if r.ProtoMajor != 1 || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("%s, Accept-Encoding %q", r.Proto, r.Header.Get("Accept-Encoding"))
		}
		a.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	p := listen(t, Options{Timeout: time.Second}, server)
	x, err := p.Follower("").Send(t.Context(), "q")
	if err != nil || x.Outcome != Replied || len(x.Deliveries) != 3 {
		t.Fatalf("Send = %+v, %v, want a reply to the third delivery", x, err)
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections for 3 deliveries", n)
	}
	closes.Range(func(_, asked any) bool {
		if !asked.(bool) {
			t.Error("a request without Connection: close")
		}
		return true
	})
}

func TestFailuresOfTheNetwork(t *testing.T) {
	hijack := func(then func(net.Conn)) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Errorf("hijacking: %v", err)
				return
			}
			then(conn)
			_ = conn.Close()
		}
	}
	fine := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "success") })
	closed := func(*testing.T) *httptest.Server {
		s := httptest.NewServer(fine)
		s.Close()
		return s
	}
	tests := []struct {
		name   string
		server func(*testing.T) *httptest.Server
		url    func(string) string
		want   Verdict
	}{
		{"a closed port", closed, nil, Refused},
		{"closed without an answer", func(*testing.T) *httptest.Server { return httptest.NewServer(hijack(func(net.Conn) {})) }, nil, Broken},
		{"reset", func(*testing.T) *httptest.Server {
			return httptest.NewServer(hijack(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }))
		}, nil, Broken},
		{"cut within the body", func(*testing.T) *httptest.Server {
			return httptest.NewServer(hijack(func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsucc") }))
		}, nil, Broken},
		{"a body that never ends", func(*testing.T) *httptest.Server {
			return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // net/http notices a hang-up only then
				_, _ = io.WriteString(w, "succ")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}))
		}, nil, Timeout},
		{"an untrusted certificate", func(*testing.T) *httptest.Server { return quietTLS(fine) }, nil, TLSFailed},
		{"https to a plain server", func(*testing.T) *httptest.Server { return httptest.NewServer(fine) },
			func(u string) string { return strings.Replace(u, "http:", "https:", 1) }, TLSFailed},
		{"http to a TLS server", func(*testing.T) *httptest.Server { return quietTLS(fine) },
			func(u string) string { return strings.Replace(u, "https:", "http:", 1) }, "HTTP status 400"},
		{"no such host", func(*testing.T) *httptest.Server { return httptest.NewServer(fine) },
			func(string) string { return "http://bot.invalid/" }, Unresolved},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := test.server(t)
			t.Cleanup(server.Close)
			account := testAccount(Plain)
			account.URL = server.URL
			if test.url != nil {
				account.URL = test.url(server.URL)
			}
			o := Options{Deliveries: 1}
			switch test.want {
			case Timeout:
				o.Timeout = 300 * time.Millisecond
			case Unresolved:
				o.Transport = nameless()
			default:
			}
			p, err := New(account, o)
			if err != nil {
				t.Fatal(err)
			}
			x, err := p.Follower("").Send(t.Context(), "q")
			if err != nil {
				t.Fatal(err)
			}
			if d := x.Deliveries[0]; d.Verdict != test.want {
				t.Errorf("verdict %s (%v), want %s", d.Verdict, d.Err, test.want)
			}
			if x.Outcome != Fault {
				t.Errorf("outcome %s, want a fault", x.Outcome)
			}
		})
	}
}

// nameless is a transport without a name server, so that no test asks a real one.
func nameless() *http.Transport {
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
	return &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}
}

func quietTLS(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = discard
	s.StartTLS()
	return s
}

func TestTLSIsReported(t *testing.T) {
	server := httptest.NewTLSServer(newAccount(t, answers("safe")))
	p := listen(t, Options{Transport: server.Client().Transport}, server)
	x, err := p.Follower("").Send(t.Context(), "q")
	if err != nil || x.Text != "safe" || x.Deliveries[0].TLS != "TLS 1.3" || x.Deliveries[0].Status != 200 || x.Deliveries[0].Bytes == 0 {
		t.Errorf("Send = %+v, %v, want an answer over TLS 1.3", x, err)
	}
}

func TestEndlessAnswerIsNotRead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := []byte(strings.Repeat("<xml>", 1000))
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	p := listen(t, Options{Deliveries: 1}, server)
	x, err := p.Follower("").Send(t.Context(), "q")
	if err != nil || x.Deliveries[0].Verdict != "illegal reply: more than 64 KiB" || x.Deliveries[0].Bytes != maxReply+1 {
		t.Errorf("Send = %+v, %v, want a refusal after 64 KiB", x, err)
	}
}

// A domain without a DNS record is reached at another address under its own name, with its certificate checked.
func TestConnectElsewhere(t *testing.T) {
	var host, name string
	s := quietTLS(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, name = r.Host, r.TLS.ServerName
		_, _ = io.WriteString(w, "success")
	}))
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for url, want := range map[string]Verdict{"https://example.com/wechat": Acknowledged, "https://other.example.org/wechat": TLSFailed} {
		account := testAccount(Plain)
		account.URL = url
		p, err := New(account, Options{Deliveries: 1, Connect: s.Listener.Addr().String(), RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		x, err := p.Follower("").Send(t.Context(), "q")
		if err != nil {
			t.Fatal(err)
		}
		if d := x.Deliveries[0]; d.Verdict != want {
			t.Errorf("%s: verdict %s (%v), want %s", url, d.Verdict, d.Err, want)
		}
	}
	if host != "example.com" || name != "example.com" {
		t.Errorf("the server was asked for host %q, by TLS for %q", host, name)
	}
}
