// Package webhook is the HTTP side of a bot: it answers WeChat's verification of the URL, takes the pushes, hands what
// a follower has sent to the turn engine, and writes the engine's reply as WeChat wants it, in time.
//
// It knows HTTP and WeChat's pushes and replies. When and what to reply is the engine's decision; what is remembered,
// and Dify, it does not know at all.
package webhook

import (
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	urlpath "path"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

const (
	bodyTimeout   = 4 * time.Second // for a body to arrive: WeChat gives up after 5
	recordTimeout = 5 * time.Second // for what follows a reply
	deliveryGap   = 5 * time.Second // between the starts of two deliveries of one push
	mayBeLate     = 1 * time.Second // by how much WeChat's two clocks may differ when a delivery is told by its age
)

// What the turn engine has to know of WeChat's deliveries and replies.
const (
	Deliveries = 3               // how often WeChat delivers a push that is not answered (protocol §4.1)
	Patience   = 5 * time.Second // how long WeChat waits for the reply to a delivery (protocol §4.1)
	HoldFor    = 6 * time.Second // WeChat closes a delivery after 5 s; a proxy between may take a little longer
	PageBytes  = 2040            // of a text reply: WeChat shows 2,047 to 2,048 (protocol §4.2)
)

// Bot is what the handler needs to know of the account. It can change while the handler runs.
type Bot struct {
	Account           *wechat.Account
	VerificationFiles map[string]string // name at the domain's root -> content
}

// Handler serves one bot's webhook.
type Handler struct {
	path            string
	engine          *turn.Engine
	metrics         *Metrics
	log             *slog.Logger
	hints           hints
	limits          Limits
	bodies          bodyBudget
	unauthenticated unauthenticated
	received        received
	bot             atomic.Pointer[Bot]
	peers           *peers // nil if all processes have the sessions, or there is but one
	now             func() time.Time
}

// New makes the handler of the webhook at a path.
func New(at string, b Bot, e *turn.Engine, m *Metrics, l Limits, log *slog.Logger) *Handler {
	h := &Handler{path: urlpath.Clean(at), engine: e, metrics: m, limits: l, bodies: newBodyBudget(l.Bodies), log: log, now: time.Now}
	h.unauthenticated.limit, h.unauthenticated.closed = l.Unauthenticated, m.connectionsClosed
	h.Configure(b)
	return h
}

// Server makes an HTTP server of the handler, to be served on its Listener. It is as patient as WeChat's deliveries need.
func (h *Handler) Server(errors *log.Logger) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: errors, ConnContext: connContext, ConnState: connState,
		ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 8 << 10,
	}
}

// Configure replaces the account. Pushes under way are answered as they were opened.
func (h *Handler) Configure(b Bot) { h.bot.Store(&b) }

// ServeHTTP answers the webhook's path and the verification files at the root, nothing else.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.recoverPanic(w)
	if r.ContentLength != 0 {
		// Only the body has a deadline: one on the whole request would end the wait for the answer too. net/http takes it
		// away at the body's end. It holds also for a body that nobody here reads: net/http does, to use the connection again.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not supported: no socket, no slow client
	}
	if r.Method == http.MethodHead && isForwarded(r) {
		h.answerPeer(w, r)
		return
	}
	// The URL in WeChat's console may have a slash too many.
	switch at := urlpath.Clean(r.URL.Path); {
	case at != h.path:
		h.file(w, r, at)
	case r.Method == http.MethodGet:
		h.verify(w, r)
	case r.Method == http.MethodPost:
		h.push(w, r)
	default:
		w.Header().Set("Allow", "GET, POST")
		refuse(w, http.StatusMethodNotAllowed)
	}
}

// recoverPanic logs and counts a bug, and acknowledges the push: to followers, WeChat would show a broken connection as a
// fault of the account. Nothing is logged that could quote a message.
func (h *Handler) recoverPanic(w http.ResponseWriter) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause != any(http.ErrAbortHandler) {
		what := fmt.Sprintf("%T", cause)
		if err, ok := cause.(runtime.Error); ok {
			what = err.Error()
		}
		h.metrics.panics.Inc()
		h.log.Error("A handler panicked", "cause", what, "stack", string(debug.Stack()))
		write(w, plainText, ack) // of no effect if there is a reply already
		return
	}
	panic(http.ErrAbortHandler)
}

// file serves MP_verify_….txt, with which WeChat's console checks who owns the domain.
func (h *Handler) file(w http.ResponseWriter, r *http.Request, at string) {
	content, ok := h.bot.Load().VerificationFiles[strings.TrimPrefix(at, "/")]
	if !ok || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		h.reportOtherPath(r)
		refuse(w, http.StatusNotFound)
		return
	}
	write(w, plainText, []byte(content))
}

// reportOtherPath logs and counts requests of WeChat's for another path than the webhook's.
func (h *Handler) reportOtherPath(r *http.Request) {
	q, err := wechat.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return
	}
	account := h.bot.Load().Account
	switch r.Method {
	case http.MethodGet:
		if _, err := account.VerifyURL(q, h.now()); err != nil {
			return
		}
		h.metrics.verifications.WithLabelValues("otherPath").Inc()
	case http.MethodPost:
		if signed, err := account.Precheck(q, h.now()); err != nil || !signed {
			return
		}
		h.metrics.push("unread", "otherPath")
	default:
		return
	}
	h.hint(reasonPath)
}

// verify answers the console's check of the URL.
func (h *Handler) verify(w http.ResponseWriter, r *http.Request) {
	q, err := wechat.ParseQuery(r.URL.RawQuery)
	var echo string
	if err == nil {
		echo, err = h.bot.Load().Account.VerifyURL(q, h.now())
	}
	if err != nil {
		h.metrics.verifications.WithLabelValues("refused").Inc()
		h.received.refused(r, err)
		h.hint(wechat.ReasonOf(err))
		refuse(w, http.StatusForbidden)
		return
	}
	authenticated(r.Context())
	h.metrics.verifications.WithLabelValues("ok").Inc()
	w.Header().Set("X-Content-Type-Options", "nosniff") // an echo must not become a page
	write(w, plainText, []byte(echo))
}

// push takes one delivery of a push.
func (h *Handler) push(w http.ResponseWriter, r *http.Request) {
	received := arrival(r.Context(), h.now)
	h.metrics.waiting.Inc()
	defer h.metrics.waiting.Dec()

	account := h.bot.Load().Account
	owner, elsewhere := h.elsewhere(r)
	p, body, err := h.open(account, r, elsewhere)
	if err != nil {
		h.received.refused(r, err)
		h.unread(w, err)
		return
	}
	h.received.authentic.Add(1)
	if isForwarded(r) {
		admitted, end, ok := h.admit(w, r)
		if !ok {
			h.metrics.push(typeLabel(p), "misdirected")
			refuse(w, http.StatusMisdirectedRequest)
			return
		}
		defer end()
		r = admitted
	}
	if elsewhere && h.forward(w, r, owner, p, body, received) {
		return
	}
	h.answer(w, r, account, p, received)
}

// unread answers a push that could not be opened.
func (h *Handler) unread(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errTooLarge):
		h.metrics.push("unread", "tooLarge")
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusRequestEntityTooLarge)
	case errors.Is(err, errNoBudget):
		h.metrics.push("unread", "overloaded")
		panic(http.ErrAbortHandler) // WeChat delivers it again
	case errors.Is(err, wechat.ErrJSON):
		h.metrics.push("unread", "json")
		h.hint(wechat.ReasonJSON)
		write(w, plainText, ack)
	case errors.Is(err, wechat.ErrUnusable):
		h.metrics.push("unread", "unusable")
		h.log.Warn("Acknowledged a push that cannot be used", "error", err)
		write(w, plainText, ack)
	case errors.Is(err, wechat.ErrUnauthenticated):
		h.metrics.push("unread", "unauthenticated")
		reason := wechat.ReasonOf(err)
		h.metrics.refused.WithLabelValues(string(reason)).Inc()
		h.hint(reason)
		refuse(w, http.StatusForbidden)
	default: // the body did not come
		h.metrics.push("unread", "broken")
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusBadRequest)
	}
}

// open reads, authenticates and parses a push. The body is not read if the query alone shows that the push is not
// WeChat's. It is returned only if it is to be forwarded.
func (h *Handler) open(a *wechat.Account, r *http.Request, forward bool) (p *wechat.Push, body []byte, err error) {
	q, err := wechat.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, nil, err
	}
	signed, err := a.Precheck(q, h.now())
	if err != nil {
		return nil, nil, err
	}
	if signed {
		authenticated(r.Context())
	}
	err = h.bodies.read(r, signed, func(read []byte) (err error) {
		if p, err = a.Open(q, read, h.now()); err == nil && forward {
			body = slices.Clone(read)
		}
		return err
	})
	if err == nil {
		authenticated(r.Context())
	}
	return p, body, err
}

// answer writes what the engine says to a push, unless it says to let this delivery time out.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, a *wechat.Account, p *wechat.Push, received time.Time) {
	reply := h.route(r.Context(), p, received)
	if reply.Kind == turn.Held {
		h.metrics.replied(p, reply.Kind, received, time.Time{})
		panic(http.ErrAbortHandler) // ends the connection without a response, so that WeChat delivers the push again
	}
	body, contentType := ack, plainText
	if reply.Text != "" || reply.Kind == turn.HandedOver {
		xml, err := a.Reply(p, contentOf(reply), h.now())
		if err != nil { // nothing was shown: the text stays to be fetched
			h.log.Error("Could not write a reply", "error", err)
			h.engine.Unsend(reply) //nolint:contextcheck // the engine's own, behind the delivery
			reply = turn.Reply{Kind: turn.Silent}
		} else {
			body, contentType = xml, textXML
		}
	}
	if r.Context().Err() != nil {
		h.engine.Unsend(reply)      //nolint:contextcheck // as above
		panic(http.ErrAbortHandler) // nobody is there to be replied to
	}
	write(w, contentType, body)
	if err := http.NewResponseController(w).Flush(); err != nil {
		h.engine.Unsend(reply) //nolint:contextcheck // as above
		return
	}
	h.metrics.replied(p, reply.Kind, received, reply.Ready)
}

// contentOf is what a reply consists of.
func contentOf(r turn.Reply) wechat.Reply {
	if r.Kind == turn.HandedOver {
		return wechat.TransferCustomerService{}
	}
	return wechat.Text{Content: r.Text}
}

// What most responses have in common, made once.
var (
	plainText = []string{"text/plain; charset=utf-8"}
	textXML   = []string{"text/xml; charset=utf-8"}
	ack       = []byte(wechat.Success)
)

// write sends a whole response. An error shows when it is flushed.
func write(w http.ResponseWriter, contentType []string, body []byte) {
	h := w.Header() // its keys in the form that Set would give them
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = w.Write(body) //nolint:gosec // as plain text or XML, the echo not to be sniffed
}

// refuse sends a status with its own name as the body: WeChat's console shows it to the account's owner.
func refuse(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }
