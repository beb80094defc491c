package page

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/server/media"
)

// writeTimeout bounds the writing of a page, fileTimeout that of a file.
const (
	writeTimeout = 15 * time.Second
	fileTimeout  = time.Minute
)

// Options are fixed for a handler's lifetime.
type Options struct {
	Answers Answers
	Fetcher *media.Fetcher
	Metrics *Metrics
	Log     *slog.Logger
	// Forward has another process answer a request, if that has the answers, and tells whether it has answered. Nil is never.
	Forward func(w http.ResponseWriter, r *http.Request) bool
}

// Settings can change while the handler runs. Addresses under another key, or another domain, are none any more.
type Settings struct {
	Enabled bool
	Domain  string // where the handler is reached by https
	Path    string // below which all pages are; it ends in a slash
	Key     Key
	TTL     time.Duration // from an answer's end
	English bool
	AILabel string // says that AI has made the answer
	Notice  string // the account's own
	// FilesOrigin is where relative addresses of files lead.
	FilesOrigin string
	// Fetchable says what pictures and files may be fetched.
	Fetchable media.Policy
}

// Metrics are a handler's.
type Metrics struct{ requests *prometheus.CounterVec }

// NewMetrics makes and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wechatbot_page_requests_total",
		Help: "Requests for pages of whole answers and their files, by result: shown, file, fileFailed, gone, limited, unavailable, " +
			"forwarded (to the process that has the answers).",
	}, []string{"result"})}
	for _, result := range []string{"shown", "file", "fileFailed", "gone", "limited", "unavailable", "forwarded"} {
		m.requests.WithLabelValues(result)
	}
	r.MustRegister(m.requests)
	return m
}

// Handler serves the pages.
type Handler struct {
	Options
	settings     atomic.Pointer[Settings]
	limits       limits
	pages, files chan struct{} // have one for each that is being made
	forwards     chan struct{} // has one for each that another process makes
	now          func() time.Time
}

// New makes a handler.
func New(o Options, s Settings) *Handler {
	h := &Handler{Options: o, pages: make(chan struct{}, pagesAtOnce), files: make(chan struct{}, filesAtOnce),
		forwards: make(chan struct{}, forwardsAtOnce), now: time.Now}
	h.Configure(s)
	return h
}

// Configure replaces the settings.
func (h *Handler) Configure(s Settings) { h.settings.Store(&s) }

// Has tells whether a path is that of a page.
func (h *Handler) Has(path string) bool {
	s := h.settings.Load()
	return s.Enabled && strings.HasPrefix(path, s.Path)
}

// Address is where a turn's whole answer can be read, which ended at a time; "" if nowhere.
func (h *Handler) Address(follower, turn string, ended time.Time) string {
	s := h.settings.Load()
	if !s.Enabled {
		return ""
	}
	token := s.Key.seal(Name{Follower: follower, Turn: turn, Until: ended.Add(s.TTL)})
	if token == "" {
		return ""
	}
	return "https://" + s.Domain + s.Path + token
}

// ServeHTTP serves pages and their files.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := h.settings.Load()
	defer h.recoverPanic(w, s)
	maps.Copy(w.Header(), everyHeader)
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(h.now().Add(writeTimeout)) // not supported: no socket, no slow client
	if r.ContentLength != 0 {                               // nobody reads it
		_ = control.SetReadDeadline(h.now().Add(time.Second))
		w.Header().Set("Connection", "close")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		h.refuse(w, s, http.StatusMethodNotAllowed, "gone")
		return
	}
	if !h.limits.address(addressOf(r), h.now()) {
		h.refuse(w, s, http.StatusTooManyRequests, "limited")
		return
	}
	token, file, isFile := strings.Cut(strings.TrimPrefix(r.URL.Path, s.Path), "/")
	name, ok := s.Key.open(token)
	if !s.Enabled || !ok || !h.now().Before(name.Until) || isFile && r.Method == http.MethodHead {
		h.refuse(w, s, http.StatusNotFound, "gone")
		return
	}
	if !h.limits.all(h.now()) {
		h.refuse(w, s, http.StatusTooManyRequests, "limited")
		return
	}
	if h.forward(w, r, isFile) {
		return
	}
	if isFile {
		h.file(w, r, s, name, token, file)
		return
	}
	h.page(w, r, s, name, token)
}

// everyHeader is what each response has. A page is for one reader, and tells nobody where the reader comes from.
var everyHeader = http.Header{
	"Content-Security-Policy":      {contentPolicy},
	"Referrer-Policy":              {"no-referrer"},
	"X-Robots-Tag":                 {"noindex, nofollow"},
	"Cache-Control":                {"no-store"},
	"X-Content-Type-Options":       {"nosniff"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
	"Cross-Origin-Opener-Policy":   {"same-origin"},
}

func (h *Handler) page(w http.ResponseWriter, r *http.Request, s *Settings, name Name, token string) {
	if !enter(r, h.pages) {
		return // nobody waits any more
	}
	defer func() { <-h.pages }()
	a, ok, err := h.Answers.Answer(r.Context(), name.Follower, name.Turn)
	switch {
	case err != nil:
		h.refuse(w, s, http.StatusServiceUnavailable, "unavailable")
	case !ok:
		h.refuse(w, s, http.StatusNotFound, "gone")
	default:
		h.write(w, http.StatusOK, "shown", shell(a, convert(a, s.Path+token, *s), *s))
	}
}

// forward has another process answer, for which the request is the client's as it is here: it has limits of its own.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, isFile bool) (answered bool) {
	if h.Forward == nil {
		return false
	}
	if !enter(r, h.forwards) {
		return true // nobody waits any more
	}
	defer func() { <-h.forwards }()
	timeout := writeTimeout
	if isFile {
		timeout = fileTimeout
		_ = http.NewResponseController(w).SetWriteDeadline(h.now().Add(timeout)) // as in send
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	to := r.WithContext(ctx)
	to.Header = http.Header{"X-Forwarded-For": {addressOf(r).Addr().String()}}
	if !h.Forward(w, to) {
		return false
	}
	h.Metrics.requests.WithLabelValues("forwarded").Inc()
	return true
}

// enter waits for a place; false if nobody waits any more.
func enter(r *http.Request, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-r.Context().Done():
		return false
	}
}

// refuse answers with a page that has no answer. Whatever is wrong with an address, the page is the same.
func (h *Handler) refuse(w http.ResponseWriter, s *Settings, status int, result string) {
	line := func(w *words) string { return w.gone }
	switch status {
	case http.StatusTooManyRequests:
		line = func(w *words) string { return w.tooMany }
		w.Header().Set("Retry-After", "30")
	case http.StatusServiceUnavailable:
		line = func(w *words) string { return w.unavailable }
		w.Header().Set("Retry-After", "10")
	}
	h.write(w, status, result, told(*s, line))
}

func (h *Handler) write(w http.ResponseWriter, status int, result string, body []byte) {
	h.Metrics.requests.WithLabelValues(result).Inc()
	w.Header()["Content-Type"] = []string{"text/html; charset=utf-8"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever has gone does not read it
}

// recoverPanic logs a bug. Nothing is logged that could quote an answer.
func (h *Handler) recoverPanic(w http.ResponseWriter, s *Settings) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == any(http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	what := fmt.Sprintf("%T", cause)
	if err, ok := cause.(runtime.Error); ok {
		what = err.Error()
	}
	h.Log.Error("A page panicked", "cause", what, "stack", string(debug.Stack()))
	h.refuse(w, s, http.StatusServiceUnavailable, "unavailable")
}
