package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// Where one process has the sessions at a time, pushes come to others too: to one that stands by until its predecessor
// ends, or to one that proxies have not forgotten yet. They forward them as they came, so that followers are answered
// at once. What cannot be forwarded is answered here, as soon as the sessions have come.

const (
	// ownerHeader names, in a forwarded push, the process that it is for, and in the response the one that has answered:
	// the address may have become another pod's.
	ownerHeader = "Wechatbot-Owner"

	dialTimeout  = time.Second      // in a cluster it takes a millisecond, unless a network policy forbids it
	idleTimeout  = 10 * time.Second // of connections between the bot's processes; shorter than the server's
	usualBody    = 32 << 10         // bytes; more than this is no push of WeChat's, or a strange one
	maxForwarded = 64 << 10         // bytes of a response; a page is 2 KiB, and becomes twice that when it is encrypted
	atOnce       = 512              // pushes that are forwarded at a time: each is two connections, and its body
	// lastForward is how long after its first byte the last delivery is forwarded at most, so that it is replied to.
	lastForward = 4750 * time.Millisecond
)

// Peers are the bot's processes, where one of them has the sessions at a time.
type Peers struct {
	Self string // this process' identity
	// Elsewhere says who has the sessions, if another process has them. The address is empty if it is not known.
	Elsewhere func() (identity, address string)
	// Dial connects to an address. Nil is TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// peers forwards pushes to the others, and takes those that others forward.
type peers struct {
	Peers
	transport *http.Transport
	places    chan struct{}          // has one for every push that is being forwarded
	missed    atomic.Pointer[string] // the identity of who was last told to be out of reach

	leaving context.Context // ends when the sessions are given up
	leave   context.CancelFunc
}

// Join lets the handler forward pushes to the process that has the sessions, and answer what others forward to it. It is
// for before the handler serves; Leave ends it.
func (h *Handler) Join(p Peers) {
	if p.Dial == nil {
		tcp := &net.Dialer{Timeout: dialTimeout}
		p.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return tcp.DialContext(ctx, "tcp", address)
		}
	}
	h.peers = &peers{Peers: p, transport: &http.Transport{
		DialContext:     func(ctx context.Context, _, address string) (net.Conn, error) { return p.Dial(ctx, address) },
		IdleConnTimeout: idleTimeout, DisableCompression: true,
	}, places: make(chan struct{}, atOnce)}
	h.peers.leaving, h.peers.leave = context.WithCancel(context.Background())
}

// Leave gives forwarded pushes that still wait back to who forwarded them: the sessions are about to be theirs. The
// handler goes on with all others.
func (h *Handler) Leave() {
	if h.peers != nil {
		h.peers.leave()
		h.peers.transport.CloseIdleConnections()
	}
}

// owner is the process that has the sessions.
type owner struct{ identity, address string }

// elsewhere says where a push has to be forwarded to; ok is false if it is answered here. That is so for one that was
// forwarded already, or two processes that take each other for the owner would never end.
func (h *Handler) elsewhere(r *http.Request) (o owner, ok bool) {
	if h.peers == nil || isForwarded(r) {
		return owner{}, false
	}
	o.identity, o.address = h.peers.Elsewhere()
	return o, o.address != ""
}

func isForwarded(r *http.Request) bool { return r.Header[ownerHeader] != nil }

// admit is for a forwarded push: its context ends also when this process gives the sessions up. It is refused if it was
// meant for another process.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (*http.Request, context.CancelFunc, bool) {
	if h.peers == nil || r.Header.Get(ownerHeader) != h.peers.Self {
		return nil, nil, false
	}
	w.Header().Set(ownerHeader, h.peers.Self)
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(h.peers.leaving, cancel) //nolint:contextcheck // it is this process' own, beside the request's
	return r.WithContext(ctx), func() { stop(); cancel() }, true
}

// answerPeer tells another process of the bot that this one lives.
func (h *Handler) answerPeer(w http.ResponseWriter, r *http.Request) {
	if h.peers == nil || r.Header.Get(ownerHeader) != h.peers.Self {
		refuse(w, http.StatusForbidden)
		return
	}
	w.Header().Set(ownerHeader, h.peers.Self)
	w.WriteHeader(http.StatusNoContent)
}

// Alive reports whether the process with an identity, of whose handler Join was called, answers at its webhook's address
// before ctx ends.
func Alive(ctx context.Context, identity, address string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+address+"/", http.NoBody)
	if err != nil {
		return false
	}
	r.Header[ownerHeader] = []string{identity}
	one := &http.Transport{DisableKeepAlives: true} // without a proxy: a pod is reached directly or not at all
	response, err := one.RoundTrip(r)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusNoContent && response.Header.Get(ownerHeader) == identity
}

// forward has the owner of the sessions answer a push whose body is given. It tells whether that has answered. Of too
// many at once, and of one that is larger than WeChat's, it does not try it.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, to owner, p *wechat.Push, body []byte, received time.Time) bool {
	if len(body) > usualBody {
		return false
	}
	select {
	case h.peers.places <- struct{}{}:
		defer func() { <-h.peers.places }()
	default:
		return false
	}
	until := received.Add(HoldFor)
	if delivery(p.SentAfter()) == Deliveries {
		until = received.Add(lastForward)
	}
	ctx, cancel := context.WithDeadline(r.Context(), until)
	defer cancel()
	contentType, reply, err := h.peers.ask(ctx, to, r.URL.RequestURI(), body)
	if err != nil && r.Context().Err() == nil {
		h.miss(to, "A push", err)
		return false
	}
	h.metrics.push(typeLabel(p), "forwarded")
	if err != nil {
		panic(http.ErrAbortHandler) // nobody is there to be replied to
	}
	write(w, []string{contentType}, reply)
	return true
}

// maxRelayed bounds what is passed on of another process' response, in bytes: it may be a file.
const maxRelayed = 32 << 20

// Relay has the process that has the sessions answer a request without a body that is not a push, and tells whether it has. Its
// response is passed on as it comes.
func (h *Handler) Relay(w http.ResponseWriter, r *http.Request) (answered bool) {
	to, ok := h.elsewhere(r)
	if !ok {
		return false
	}
	response, err := h.peers.relay(r, to)
	if err != nil {
		if r.Context().Err() == nil {
			h.miss(to, "A page", err)
		}
		return false
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end, or is of no use
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Date", ownerHeader} {
		response.Header.Del(name)
	}
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	if n, err := io.Copy(w, io.LimitReader(response.Body, maxRelayed)); err != nil || n == maxRelayed {
		panic(http.ErrAbortHandler) // what has been written must not be taken for the whole
	}
	return true
}

// relay makes a request of another process, and returns its response if it is that process'.
func (p *peers) relay(from *http.Request, to owner) (*http.Response, error) {
	r, err := http.NewRequestWithContext(from.Context(), from.Method, "http://"+to.address+from.URL.RequestURI(), http.NoBody) //nolint:gosec // as in ask
	if err != nil {
		return nil, errors.New("its address is none")
	}
	maps.Copy(r.Header, from.Header)
	r.Header[ownerHeader] = []string{to.identity}
	response, err := p.transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("asking it: %w", err)
	}
	if response.Header.Get(ownerHeader) != to.identity {
		_ = response.Body.Close() // of no use
		return nil, fmt.Errorf("it answers %d", response.StatusCode)
	}
	return response, nil
}

// Admit tells whether a request is for this process, and refuses it if it was forwarded to another one.
func (h *Handler) Admit(w http.ResponseWriter, r *http.Request) bool {
	if !isForwarded(r) {
		return true
	}
	if h.peers == nil || r.Header.Get(ownerHeader) != h.peers.Self {
		refuse(w, http.StatusMisdirectedRequest)
		return false
	}
	w.Header().Set(ownerHeader, h.peers.Self)
	return true
}

// ask has another process answer a push. Its errors name no query and no body.
func (p *peers) ask(ctx context.Context, to owner, uri string, body []byte) (contentType string, reply []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+to.address+uri, bytes.NewReader(body)) //nolint:gosec // who writes the sessions' ConfigMaps names the address
	if err != nil {
		return "", nil, errors.New("its address is none")
	}
	r.Header[ownerHeader] = []string{to.identity}
	response, err := p.transport.RoundTrip(r)
	if err != nil {
		return "", nil, fmt.Errorf("asking it: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end, or is of no use
	if response.StatusCode != http.StatusOK || response.Header.Get(ownerHeader) != to.identity {
		return "", nil, fmt.Errorf("it answers %d", response.StatusCode)
	}
	reply, err = io.ReadAll(io.LimitReader(response.Body, maxForwarded+1))
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("reading its answer: %w", err)
	case len(reply) > maxForwarded:
		return "", nil, errors.New("its answer is too long")
	}
	return response.Header.Get("Content-Type"), reply, nil
}

// miss says once of each process that it could not be asked: where pods must not reach each other, it is good to know.
// That it breaks the connection off is the usual way to give a push back.
func (h *Handler) miss(o owner, what string, err error) {
	if before := h.peers.missed.Load(); errors.Is(err, io.EOF) || (before != nil && *before == o.identity) {
		return
	}
	h.peers.missed.Store(&o.identity)
	h.log.Info(what+" waits for the sessions, as the process that has them could not be asked", "owner", o.identity, "address", o.address, "error", err)
}
