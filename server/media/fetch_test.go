package media

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fetch fetches a picture and releases it.
func (w *world) fetch(p Policy, address string) ([]byte, error) {
	file, err := w.Fetch(w.Context(), Request{URL: address, Policy: p, Types: []string{"image/"}})
	if err != nil {
		return nil, err
	}
	defer file.Release()
	return bytes.Clone(file.Data), nil
}

func TestFetch_Hosts(t *testing.T) {
	w := newWorld(t, Options{})
	w.on("mmbiz.qpic.cn", []string{"127.0.0.2"})
	got, err := w.fetch(mustHosts(t, "qpic.cn"), "http://mmbiz.qpic.cn/a/0?wx_fmt=jpeg")
	if err != nil || !bytes.Equal(got, jpeg) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if d := cmp.Diff([]string{"https://mmbiz.qpic.cn/a/0"}, w.seen()); d != "" {
		t.Errorf("https was not tried first, and alone (-want +got):\n%s", d)
	}
	w.secure.Close()
	if got, err = w.fetch(mustHosts(t, "qpic.cn"), "http://mmbiz.qpic.cn/b/0"); err != nil || !bytes.Equal(got, jpeg) {
		t.Fatalf("without https: %d bytes, %v", len(got), err)
	}
	if _, err = w.fetch(mustHosts(t, "qpic.cn"), "https://mmbiz.qpic.cn/b/0"); KindOf(err) != Unreachable {
		t.Errorf("https became http: %v", err)
	}
	if n := w.held(t); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// What a name resolves to is checked for every connection, in any answer, and nothing that is not public is ever connected to.
func TestFetch_PrivateAnswers(t *testing.T) {
	for name, answers := range map[string][][]string{
		"loopback":                     {{"127.0.0.1"}},
		"this network":                 {{"0.0.0.0"}},
		"private":                      {{"10.0.0.1"}},
		"a cloud's metadata":           {{"169.254.169.254"}},
		"another cloud's":              {{"100.100.100.200"}},
		"IPv6 loopback":                {{"::1"}},
		"mapped":                       {{"::ffff:127.0.0.1"}},
		"unique local":                 {{"fd00:ec2::254"}},
		"link-local":                   {{"fe80::1"}},
		"NAT64 of loopback":            {{"64:ff9b::7f00:1"}},
		"6to4":                         {{"2002:7f00:1::"}},
		"several":                      {{"10.0.0.1", "192.168.0.1", "fd00::1"}},
		"rebinding to loopback":        {{"127.0.0.2"}, {"127.0.0.1"}},
		"rebinding to metadata":        {{"127.0.0.2"}, {"169.254.169.254"}},
		"rebinding and back, for luck": {{"127.0.0.2"}, {"127.0.0.1"}, {"127.0.0.2"}, {"127.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Options{})
			w.on("mmbiz.qpic.cn", answers...)
			w.on("cdn.evil.com", answers...)
			w.serve(func(rw http.ResponseWriter, r *http.Request) {
				if local := r.Context().Value(http.LocalAddrContextKey).(net.Addr).(*net.TCPAddr); !local.IP.Equal(publicHere.AsSlice()) {
					t.Errorf("%s was connected to", local)
				}
				http.Redirect(rw, r, "https://"+r.Host+"/next", http.StatusFound) // to the next answer
			})
			want := PrivateAddress
			if len(answers) > 1 && answers[len(answers)-1][0] == "127.0.0.2" {
				want = TooManyRedirects
			}
			for _, p := range []Policy{mustHosts(t, "qpic.cn"), mustInternet(t)} {
				for _, address := range []string{"https://mmbiz.qpic.cn/x", "https://cdn.evil.com/x", "http://mmbiz.qpic.cn/x"} {
					w.on("mmbiz.qpic.cn", answers...)
					w.on("cdn.evil.com", answers...)
					if _, err := w.fetch(p, address); KindOf(err) != want && KindOf(err) != NotAllowed {
						t.Errorf("%s: %v, want %s", address, err, want)
					}
				}
			}
		})
	}
}

// A name that has a public address among others is fetched from there.
func TestFetch_MixedAnswers(t *testing.T) {
	w := newWorld(t, Options{})
	w.on("mixed.example.org", []string{"10.0.0.1", "127.0.0.2", "fd00::1"})
	w.public = func(a netip.Addr) bool { return a == publicHere }
	if got, err := w.fetch(mustInternet(t), "https://mixed.example.org/x"); err != nil && KindOf(err) != PrivateAddress || err == nil && !bytes.Equal(got, jpeg) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// Hosts in hostile forms reach nobody; the guard at dial alone keeps them off too.
func TestFetch_HostileHosts(t *testing.T) {
	for _, guard := range []string{"both", "dial"} {
		w := newWorld(t, Options{})
		w.serve(func(http.ResponseWriter, *http.Request) { t.Error("somebody was reached") })
		for _, host := range hostileHosts {
			for _, p := range []Policy{mustHosts(t, "qpic.cn"), mustInternet(t)} {
				for _, scheme := range []string{"http://", "https://"} {
					address := scheme + host + "/x"
					var err error
					if guard == "both" {
						_, err = w.fetch(p, address)
					} else {
						err = w.dialOnly(address)
					}
					if kind := KindOf(err); kind != NotAllowed && kind != PrivateAddress && (guard == "both" || kind != Unreachable && kind != TimedOut) {
						t.Errorf("%s: %v", address, err)
					}
				}
			}
		}
	}
}

// dialOnly asks an address by the guarded transport, whatever a policy says.
func (w *world) dialOnly(address string) error {
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return &Error{Kind: NotAllowed}
	}
	if r.URL.Port() != "" || strings.Contains(address, "qpic.cn") {
		return &Error{Kind: NotAllowed} // the resolver of this test knows no such name
	}
	response, err := w.direct.RoundTrip(r)
	if err == nil {
		_ = response.Body.Close()
		return nil
	}
	return failed(w.Context(), ctx, err)
}

func TestFetch_Redirects(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy []string // of Hosts; none: Internet
		from   string
		to     string
		want   Kind
	}{
		{"within a host", []string{"qpic.cn"}, "https://mmbiz.qpic.cn/a", "/b", ""},
		{"to a host beside it", []string{"qpic.cn"}, "https://mmbiz.qpic.cn/a", "http://wx.qpic.cn/b", ""},
		{"off the hosts", []string{"qpic.cn"}, "https://mmbiz.qpic.cn/a", "https://cdn.example.org/b", NotAllowed},
		{"to https", nil, "https://cdn.example.org/a", "https://s3.example.org/b?signed", ""},
		{"to http", nil, "https://cdn.example.org/a", "http://s3.example.org/b", NotAllowed},
		{"to a file", nil, "https://cdn.example.org/a", "file:///etc/passwd", NotAllowed},
		{"to metadata", nil, "https://cdn.example.org/a", "https://169.254.169.254/", PrivateAddress},
		{"to loopback by number", nil, "https://cdn.example.org/a", "https://2130706433/", PrivateAddress},
		{"to a name of loopback's", nil, "https://cdn.example.org/a", "https://inside.example.org/", PrivateAddress},
		{"to another port", nil, "https://cdn.example.org/a", "https://cdn.example.org:8443/", NotAllowed},
		{"with a user", nil, "https://cdn.example.org/a", "https://u:p@cdn.example.org/", NotAllowed},
		{"in a circle", nil, "https://cdn.example.org/a", "https://cdn.example.org/a", TooManyRedirects},
		{"nowhere", nil, "https://cdn.example.org/a", "", BadAnswer},
		{"to nonsense", nil, "https://cdn.example.org/a", "http://[::1", BadAnswer},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, Options{})
			for _, name := range []string{"mmbiz.qpic.cn", "wx.qpic.cn", "cdn.example.org", "s3.example.org"} {
				w.on(name, []string{"127.0.0.2"})
			}
			w.on("inside.example.org", []string{"127.0.0.1"})
			w.serve(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/a" {
					_, _ = rw.Write(jpeg)
					return
				}
				if test.to != "" {
					rw.Header().Set("Location", test.to)
				}
				rw.WriteHeader(http.StatusFound)
			})
			p := mustInternet(t)
			if test.policy != nil {
				p = mustHosts(t, test.policy...)
			}
			if _, err := w.fetch(p, test.from); KindOf(err) != test.want {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// An origin that a person has named is fetched wherever it is, and leads only where the policy allows.
func TestFetch_Origins(t *testing.T) {
	w := newWorld(t, Options{})
	w.on("cdn.example.org", []string{"127.0.0.2"})
	_, port, _ := net.SplitHostPort(w.plain.Listener.Addr().String())
	origin := "http://127.0.0.1:" + port
	p := mustInternet(t, origin+"/v1")
	if _, err := w.fetch(p, origin+"/files/x"); err != nil {
		t.Error(err)
	}
	if _, err := w.fetch(mustInternet(t), origin+"/files/x"); KindOf(err) != NotAllowed {
		t.Errorf("an origin that nobody named: %v", err)
	}
	for to, want := range map[string]Kind{"https://cdn.example.org/x": "", "http://127.0.0.1:1/x": NotAllowed, "https://127.0.0.1/x": PrivateAddress} {
		w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.TLS == nil {
				http.Redirect(rw, r, to, http.StatusTemporaryRedirect)
				return
			}
			_, _ = rw.Write(jpeg)
		})
		if _, err := w.fetch(p, origin+"/files/x"); KindOf(err) != want {
			t.Errorf("led to %s: %v, want %q", to, err, want)
		}
	}
}

// Authorities of one's own count for one's own origins, and for nobody else.
func TestFetch_OwnAuthorities(t *testing.T) {
	w := newWorld(t, Options{})
	w.on("cdn.example.org", []string{"127.0.0.2"})
	roots := x509.NewCertPool()
	roots.AddCert(w.secure.Certificate())
	for _, transport := range []*http.Transport{w.direct.(*http.Transport), w.open.(*http.Transport)} {
		transport.TLSClientConfig.RootCAs = x509.NewCertPool() // the system knows nobody here
	}
	_, port, _ := net.SplitHostPort(w.secure.Listener.Addr().String())
	origin := "https://127.0.0.1:" + port
	known, others := mustInternet(t, origin), mustInternet(t)
	known, others = known.WithRoots(roots), others.WithRoots(roots)
	fetch := func(p Policy, address string, want Kind) {
		t.Helper()
		got, err := w.fetch(p, address)
		if KindOf(err) != want || want == "" && !bytes.Equal(got, jpeg) {
			t.Errorf("%s: %d bytes, %v; want %q", address, len(got), err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "the certificate is not trusted") {
			t.Errorf("%s: it says %q", address, err)
		}
	}
	fetch(known, origin+"/x", "")
	fetch(known, "https://cdn.example.org/x", Unreachable)
	fetch(mustInternet(t, origin), origin+"/x", Unreachable)
	fetch(others, "https://cdn.example.org/x", Unreachable)
	w.serve(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "https://cdn.example.org/x", http.StatusFound)
	})
	fetch(known, origin+"/x", Unreachable)
}

func TestFetch_Answers(t *testing.T) {
	send := func(status int, header, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			if name, value, ok := strings.Cut(header, ": "); ok {
				rw.Header().Set(name, value)
			}
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, body)
		}
	}
	chunks := func(body string, n int) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			for range n {
				if _, err := io.WriteString(rw, body); err != nil {
					return
				}
				_ = http.NewResponseController(rw).Flush()
			}
		}
	}
	for _, test := range []struct {
		name   string
		handle http.HandlerFunc
		want   Kind
		size   int
	}{
		{"a picture", send(200, "Content-Type: text/html", string(jpeg)), "", len(jpeg)},
		{"a picture in pieces", chunks(string(jpeg), 20), "", 20 * len(jpeg)},
		{"a small picture", send(200, "", "GIF89a"), "", 6},
		{"the largest", send(200, "", string(jpeg)+strings.Repeat("x", 200_000-len(jpeg))), "", 200_000},
		{"one byte more", send(200, "", string(jpeg)+strings.Repeat("x", 200_001-len(jpeg))), TooLarge, 0},
		{"one byte more in pieces", chunks(string(jpeg), 200_000/len(jpeg)+1), TooLarge, 0},
		{"without end", chunks(strings.Repeat(string(jpeg), 20), 1<<30), TooLarge, 0},
		{"HTML called a picture", send(200, "Content-Type: image/jpeg", "<html>"), WrongType, 0},
		{"a PDF", send(200, "Content-Type: image/jpeg", "%PDF-1.7"), WrongType, 0},
		{"nothing", send(200, "", ""), BadAnswer, 0},
		{"gzip that nobody asked for", send(200, "Content-Encoding: gzip", string(jpeg)), BadAnswer, 0},
		{"206", send(206, "", string(jpeg)), BadAnswer, 0},
		{"404", send(404, "", string(jpeg)), BadAnswer, 0},
		{"500", send(500, "", string(jpeg)), BadAnswer, 0},
		{"it breaks off", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "6000")
			_, _ = rw.Write(jpeg)
			panic(http.ErrAbortHandler)
		}, Unreachable, 0},
		{"it breaks off in pieces", func(rw http.ResponseWriter, r *http.Request) {
			chunks(string(jpeg), 3)(rw, r)
			panic(http.ErrAbortHandler)
		}, Unreachable, 0},
		{"no answer at all", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Unreachable, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, Options{})
			w.on("cdn.example.org", []string{"127.0.0.2"})
			w.serve(test.handle)
			file, err := w.Fetch(t.Context(), Request{
				URL: "https://cdn.example.org/secret?signature=x", Policy: mustInternet(t), MaxBytes: 200_000, Types: []string{"image/jpeg", "image/gif"},
			})
			if KindOf(err) != test.want {
				t.Fatalf("%v, want %q", err, test.want)
			}
			if err != nil {
				if strings.Contains(err.Error(), "example") || strings.Contains(err.Error(), "signature") {
					t.Errorf("it says %q", err)
				}
				if n := w.held(t); n != 0 {
					t.Errorf("%d bytes are held", n)
				}
				return
			}
			if len(file.Data) != test.size || w.held(t) != int64(test.size) {
				t.Errorf("%d bytes, %d held, want %d", len(file.Data), w.held(t), test.size)
			}
			file.Release()
			file.Release()
			if n := w.held(t); n != 0 {
				t.Errorf("%d bytes are held after the release", n)
			}
		})
	}
}

func TestOpen_Streams(t *testing.T) {
	w := newWorld(t, Options{})
	w.on("cdn.example.org", []string{"127.0.0.2"})
	w.serve(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/vnd.ms-excel; charset=x")
		_, _ = io.WriteString(rw, "PK\x03\x04"+strings.Repeat("x", 99_996))
	})
	s, err := w.Open(t.Context(), Request{URL: "https://cdn.example.org/x", Policy: mustInternet(t), MaxBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(s.Body)
	if err != nil || len(got) != 100_000 || s.Type != "application/zip" || s.Declared != "application/vnd.ms-excel" || s.Size != -1 && s.Size != 100_000 {
		t.Errorf("%d bytes (%v) of %+v", len(got), err, s)
	}
	if w.held(t) != 0 {
		t.Error("a stream takes of the budget")
	}
	_ = s.Body.Close()
	_ = s.Body.Close()
}

// lines speaks HTTP by hand, in a bubble of synctest, over a pipe.
func lines(f *Fetcher, serve func(net.Conn, *bufio.Reader)) (wait func()) {
	var serving sync.WaitGroup
	f.public = func(netip.Addr) bool { return true }
	f.direct.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		serving.Go(func() {
			defer func() { _ = server.Close() }()
			r := bufio.NewReader(server)
			if _, err := http.ReadRequest(r); err == nil {
				serve(server, r)
			}
		})
		return client, nil
	}
	f.direct.(*http.Transport).DialTLSContext = f.direct.(*http.Transport).DialContext
	return serving.Wait
}

func noProxy(*http.Request) (*url.URL, error) { return nil, nil } //nolint:nilnil // as http.ProxyFromEnvironment says it

func TestFetch_Time(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n"
	for _, test := range []struct {
		name  string
		serve func(net.Conn, *bufio.Reader)
		want  Kind
		after time.Duration
	}{
		{"no answer", func(_ net.Conn, r *bufio.Reader) { _, _ = r.ReadByte() }, TimedOut, silence},
		{"no content", func(c net.Conn, r *bufio.Reader) { _, _ = io.WriteString(c, head); _, _ = r.ReadByte() }, TimedOut, silence},
		{"it stands still", func(c net.Conn, r *bufio.Reader) {
			_, _ = io.WriteString(c, head+string(jpeg[:1000]))
			_, _ = r.ReadByte()
		}, TimedOut, silence},
		{"it comes by drops", func(c net.Conn, _ *bufio.Reader) {
			_, _ = io.WriteString(c, head+string(jpeg[:1000]))
			for range 1000 {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte{1}); err != nil {
					return
				}
			}
		}, TimedOut, DefaultTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := New(Options{Proxy: noProxy})
				defer lines(f, test.serve)()
				start := time.Now()
				_, err := f.Fetch(t.Context(), Request{URL: "https://a.example.org/x", Policy: mustInternet(t)})
				if took := time.Since(start); KindOf(err) != test.want || took != test.after {
					t.Errorf("%v after %v, want %s after %v", err, took, test.want, test.after)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if _, err := f.Fetch(ctx, Request{URL: "https://a.example.org/x", Policy: mustInternet(t)}); KindOf(err) != Canceled ||
					!errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the caller gave up: %v, want Canceled", err)
				}
				if f.held(t) != 0 {
					t.Error("bytes are held")
				}
			})
		})
	}
}

// A reader that takes its time is no transfer that stands still.
func TestOpen_SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{Proxy: noProxy})
		defer lines(f, func(c net.Conn, _ *bufio.Reader) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"+string(jpeg)+strings.Repeat("x", 20000-len(jpeg)))
		})()
		s, err := f.Open(t.Context(), Request{URL: "https://a.example.org/x", Policy: mustInternet(t)})
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			time.Sleep(time.Minute)
			if _, err := io.ReadFull(s.Body, make([]byte, 5000)); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.Body.Close()
	})
}
