package media

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var jpeg = append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00"), bytes.Repeat([]byte{7}, 5000)...)

// world is an Internet on this machine: 127.0.0.2 is a public address of it, and a resolver of its own gives the addresses of names. A
// Fetcher of it dials for real, with the guard that production has.
type world struct {
	*testing.T
	*Fetcher

	plain, secure *httptest.Server

	mu      sync.Mutex
	answers map[string][][]string // of the resolver: for each name one answer after another; the last stays
	asked   []string              // hosts and paths that servers were asked for, and how
	handle  http.HandlerFunc
}

var publicHere = netip.MustParseAddr("127.0.0.2")

func newWorld(t *testing.T, o Options) *world {
	t.Helper()
	w := &world{T: t, answers: map[string][][]string{}}
	serve := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		w.mu.Lock()
		w.asked = append(w.asked, scheme+r.Host+r.URL.Path)
		handle := w.handle
		w.mu.Unlock()
		if r.Header.Get("Referer") != "" || r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
			t.Errorf("a request says too much: %v", r.Header)
		}
		if handle == nil {
			handle = func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(jpeg) }
		}
		handle(rw, r)
	})
	w.plain = listen(t, serve, false)
	w.secure = listen(t, serve, true)
	if o.Proxy == nil {
		o.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } //nolint:nilnil // no proxy, as http.ProxyFromEnvironment says it
	}
	w.Fetcher = New(o)
	w.public = func(a netip.Addr) bool { return a == publicHere || public(a) }
	resolver := w.resolver()
	roots := x509.NewCertPool()
	roots.AddCert(w.secure.Certificate())
	for _, transport := range []*http.Transport{w.direct.(*http.Transport), w.open.(*http.Transport)} {
		d := &net.Dialer{Timeout: 5 * time.Second, Resolver: resolver}
		if transport == w.direct {
			d.ControlContext = w.control
		}
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return d.DialContext(ctx, network, w.atDefaultPort(address))
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
	}
	return w
}

// listen serves on 127.0.0.2 and 127.0.0.1 alike.
func listen(t *testing.T, h http.Handler, secure bool) *httptest.Server {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = l
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// atDefaultPort sends what goes to a default port to the world's servers.
func (w *world) atDefaultPort(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		w.Fatal(err)
	}
	switch port {
	case "80":
		_, port, _ = net.SplitHostPort(w.plain.Listener.Addr().String())
	case "443":
		_, port, _ = net.SplitHostPort(w.secure.Listener.Addr().String())
	}
	return net.JoinHostPort(host, port)
}

// serve sets what the world's servers answer with; without it they serve a picture.
func (w *world) serve(h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handle = h
}

// on sets how a name resolves: one answer after another.
func (w *world) on(name string, answers ...[]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[name+"."] = answers
}

// resolver is a name server on a socket of its own.
func (w *world) resolver() *net.Resolver {
	conn, err := new(net.ListenConfig).ListenPacket(w.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer, err := w.resolve(buffer[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	})
	w.Cleanup(func() { _ = conn.Close(); serving.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}
}

func (w *world) resolve(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	w.mu.Lock()
	defer w.mu.Unlock()
	answers, ok := w.answers[q.Name.String()]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	for _, s := range answers[0] {
		a := netip.MustParseAddr(s)
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0}
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	if q.Type == dnsmessage.TypeA && len(answers) > 1 { // both types are asked for each time
		w.answers[q.Name.String()] = answers[1:]
	}
	return m.Pack()
}

func (w *world) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// held is how many bytes of the budget are taken.
func (f *Fetcher) held(t testing.TB) int64 {
	t.Helper()
	free := int64(0)
	for step := f.size; step > 0; step /= 2 {
		for f.budget.TryAcquire(step) {
			free += step
		}
	}
	f.budget.Release(free)
	return f.size - free
}
