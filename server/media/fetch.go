package media

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

// Defaults of Options and Request.
const (
	DefaultTimeout  = 30 * time.Second
	DefaultBudget   = 24 << 20
	DefaultMaxBytes = 10 << 20
)

// maxRedirects is how often an address may lead on.
const maxRedirects = 3

// silence is how long a transfer may stand still.
const silence = 15 * time.Second

// Options say how files are fetched.
type Options struct {
	// Timeout bounds the fetching of a File, redirects included, waiting for Budget not; 0 means DefaultTimeout.
	Timeout time.Duration
	// Budget bounds the bytes of all Files that are held or fetched at a time; 0 means DefaultBudget. Whoever would exceed it waits.
	Budget int64
	// Proxy gives the proxy for a request; nil means that of HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Where there is one it resolves names,
	// and only the name can be checked.
	Proxy func(*http.Request) (*url.URL, error)
	// Transport makes the requests instead of connections of the Fetcher's own, for tests: the addresses that names resolve to are not
	// checked then.
	Transport http.RoundTripper
	// UserAgent is sent with every request; empty means "wechatbot".
	UserAgent string
}

// Fetcher fetches files. It is safe for concurrent use, and keeps nothing while it fetches none.
type Fetcher struct {
	timeout   time.Duration
	budget    *semaphore.Weighted
	size      int64
	proxy     func(*http.Request) (*url.URL, error)
	userAgent string
	public    func(netip.Addr) bool // public, but in tests
	direct    http.RoundTripper     // to public addresses only
	open      http.RoundTripper     // to origins that are trusted, and through proxies
}

// New makes a Fetcher.
func New(o Options) *Fetcher {
	f := &Fetcher{
		timeout:   cmp.Or(o.Timeout, DefaultTimeout),
		size:      cmp.Or(o.Budget, DefaultBudget),
		proxy:     o.Proxy,
		userAgent: cmp.Or(o.UserAgent, "wechatbot"),
		public:    public,
	}
	f.budget = semaphore.NewWeighted(f.size)
	if f.proxy == nil {
		f.proxy = http.ProxyFromEnvironment
	}
	if o.Transport != nil {
		f.direct, f.open = o.Transport, o.Transport
		return f
	}
	f.direct = newTransport(&net.Dialer{Timeout: 5 * time.Second, ControlContext: f.control})
	open := newTransport(&net.Dialer{Timeout: 5 * time.Second})
	open.Proxy = f.proxy
	f.open = open
	return f
}

// newTransport keeps no connection: files are seldom, and so each name is resolved, and the answer checked, every time.
func newTransport(d *net.Dialer) *http.Transport {
	return &http.Transport{
		DialContext:            d.DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  silence,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// control sees every address that is connected to, behind all resolving.
func (f *Fetcher) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !f.public(a.Addr()) {
		return &Error{Kind: PrivateAddress}
	}
	return nil
}

// Request is a file to be fetched.
type Request struct {
	URL    string
	Policy Policy
	// MaxBytes bounds the file; 0 means DefaultMaxBytes. A File is also bounded by Options.Budget.
	MaxBytes int64
	// Types are the types that are taken: "image/png", or "image/" for all of a kind. None means any.
	Types []string
}

// Stream is a file that is being fetched.
type Stream struct {
	// Body is the file; it must be closed. Reading more of it than was allowed is an error of kind TooLarge.
	Body io.ReadCloser
	// Size is the file's length in bytes, -1 if nobody said.
	Size int64
	// Type is the type that the content shows, without parameters; application/octet-stream if it shows none.
	Type string
	// Declared is the type that the server says, without parameters; empty if it said none. It may be anything.
	Declared string
}

// Open begins to fetch a file and gives its type. ctx has to live until the file was read: there is no other bound to the whole time, but
// a transfer that stands still for 15 s while it is read has TimedOut.
func (f *Fetcher) Open(ctx context.Context, r Request) (*Stream, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, &Error{Kind: NotAllowed}
	}
	if u.Scheme == "http" && r.Policy.judge(u) == guarded {
		secure := *u
		secure.Scheme = "https"
		secure.Host = u.Hostname()
		s, err := f.follow(ctx, r, &secure)
		if k := KindOf(err); k != Unreachable && k != TimedOut {
			return s, err
		}
	}
	return f.follow(ctx, r, u)
}

// follow gets an address, and the one that it leads to.
func (f *Fetcher) follow(ctx context.Context, r Request, u *url.URL) (*Stream, error) {
	for range maxRedirects + 1 {
		t, response, err := f.get(ctx, r, u)
		if err != nil {
			return nil, err
		}
		next, err := response.Location()
		if !isRedirect(response.StatusCode) || err != nil {
			return t.begin(r, response)
		}
		t.end(response)
		u = next
	}
	return nil, &Error{Kind: TooManyRedirects}
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	default:
		return false
	}
}

// transfer is one request under way.
type transfer struct {
	caller  context.Context //nolint:containedctx // to tell whose end it was
	bounded context.Context //nolint:containedctx // ends when it stands still
	cancel  context.CancelCauseFunc
	idle    *time.Timer
}

// get sends one request, if the policy allows the address.
func (f *Fetcher) get(ctx context.Context, r Request, u *url.URL) (*transfer, *http.Response, error) {
	t := &transfer{caller: ctx}
	t.bounded, t.cancel = context.WithCancelCause(ctx)
	t.idle = time.AfterFunc(silence, func() { t.cancel(errTimeout) })
	// A referrer would tell a stranger of another one, and WeChat's picture hosts refuse some.
	request := (&http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {f.userAgent}, "Accept": {"*/*"}, "Accept-Encoding": {"identity"}},
	}).WithContext(t.bounded) //nolint:contextcheck // it is ctx's
	transport, err := f.choose(r, request)
	if err == nil {
		var response *http.Response
		if response, err = transport.RoundTrip(request); err == nil {
			t.idle.Stop()
			return t, response, nil
		}
	}
	t.idle.Stop()
	e := failed(ctx, t.bounded, err)
	t.cancel(nil)
	return nil, nil, e
}

// choose gives the transport that an address may be asked by.
func (f *Fetcher) choose(r Request, request *http.Request) (http.RoundTripper, error) {
	v := r.Policy.judge(request.URL)
	switch {
	case v == refused:
		return nil, &Error{Kind: NotAllowed}
	case v == trusted:
		return f.openTo(r.Policy.roots), nil
	case !publicHost(hostOf(request.URL), f.public):
		return nil, &Error{Kind: PrivateAddress}
	}
	proxy, err := f.proxy(request)
	switch {
	case err != nil:
		return nil, &Error{Kind: Unreachable, cause: err}
	case proxy != nil:
		return f.open, nil
	default:
		return f.direct, nil
	}
}

// openTo gives the transport to origins whose certificates these authorities have signed. As no connection is kept, it may be one that is
// made for a single request.
func (f *Fetcher) openTo(roots *x509.CertPool) http.RoundTripper {
	own, ok := f.open.(*http.Transport)
	if roots == nil || !ok {
		return f.open
	}
	t := own.Clone()
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.RootCAs = roots
	return t
}

// sniffed is how much of a file is looked at for its type.
const sniffed = 512

// begin looks at an answer's head and first bytes.
func (t *transfer) begin(r Request, response *http.Response) (*Stream, error) {
	limit := cmp.Or(r.MaxBytes, DefaultMaxBytes)
	s := &Stream{Size: response.ContentLength}
	s.Declared, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type"))
	b := &body{transfer: t, response: response, reader: bufio.NewReaderSize(response.Body, 4096), left: limit}
	s.Body = b
	err := func() error {
		switch encoding := response.Header.Get("Content-Encoding"); {
		case response.StatusCode != http.StatusOK:
			return &Error{Kind: BadAnswer, Status: response.StatusCode}
		case encoding != "" && !strings.EqualFold(encoding, "identity"):
			return &Error{Kind: BadAnswer}
		case s.Size > limit:
			return &Error{Kind: TooLarge}
		}
		t.idle.Reset(silence)
		start, err := b.reader.Peek(sniffed)
		t.idle.Stop()
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return failed(t.caller, t.bounded, err)
		case len(start) == 0:
			return &Error{Kind: BadAnswer}
		}
		s.Type = TypeOf(start)
		if !taken(r.Types, s.Type) {
			return &Error{Kind: WrongType}
		}
		return nil
	}()
	if err != nil {
		_ = b.Close()
		return nil, err
	}
	return s, nil
}

// end lets go of an answer.
func (t *transfer) end(response *http.Response) {
	t.idle.Stop()
	_ = response.Body.Close() // it only fails if the connection has
	t.cancel(nil)
}

// body is a Stream's.
type body struct {
	*transfer

	response *http.Response
	reader   *bufio.Reader
	left     int64
	closing  sync.Once
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, &Error{Kind: TooLarge}
	}
	b.idle.Reset(silence)
	// One byte more than may come shows that there is more.
	n, err := b.reader.Read(p[:min(int64(len(p)), b.left+1)])
	b.idle.Stop()
	b.left -= int64(n)
	switch {
	case b.left < 0:
		return n - 1, &Error{Kind: TooLarge}
	case err != nil && !errors.Is(err, io.EOF):
		return n, failed(b.caller, b.bounded, err)
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.closing.Do(func() { b.end(b.response) })
	return nil
}
