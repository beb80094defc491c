package demo

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

//go:embed web
var web embed.FS

const (
	maxBody      = 32 << 10
	maxText      = 2000             // characters of a message
	keepAlive    = 15 * time.Second // between the lines of a silent event stream
	writeTimeout = 10 * time.Second // of one event
)

// menu are the keys of the items that a follower can tap.
var menu = []string{"help", "clear", "1"}

// order is the body of every POST.
type order struct {
	Session   string         `json:"session"`
	Text      string         `json:"text"`      // send, say
	Message   int            `json:"m"`         // tap: of the reply to this message
	Link      int            `json:"link"`      // tap: its nth link, from 0
	Key       string         `json:"key"`       // click
	Behaviour *difyBehaviour `json:"behaviour"` // behaviour
	Cut       bool           `json:"cut"`       // line
	Kind      string         `json:"kind"`      // kind: of the account
	Fault     weChatFault    `json:"fault"`     // fault
	Online    bool           `json:"online"`    // agent
	Path      []string       `json:"path"`      // menu: names of a button, and of an item
}

// problem is an error that the page shows, with its HTTP status.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func bad(text string) error { return &problem{http.StatusBadRequest, text} }

// handler serves the page and its API to the page itself only: other sites that a visitor has open can reach a loopback address too.
func (d *Demo) handler() http.Handler {
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic("demo: " + err.Error()) // the folder is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	epoch := rand.Text()[:8]
	mux.HandleFunc("GET /api/events", func(w http.ResponseWriter, r *http.Request) { d.events(w, r, epoch) })
	for path, take := range map[string]func(*session, order) error{
		"send": d.send, "tap": d.tap, "click": d.click, "follow": d.follow, "unfollow": d.unfollow,
		"behaviour": d.order, "line": d.cut, "kind": d.setKind, "fault": d.fault, "agent": d.setAgent, "say": d.say, "hangup": d.hangUp,
		"menu": d.tapMenu, "voice": d.record,
	} {
		mux.HandleFunc("POST /api/"+path, d.post(take))
	}
	mux.HandleFunc("POST /api/picture", d.picture)
	mux.HandleFunc("GET /api/media/{id}", d.media)
	mux.Handle("GET /a/", d.pages())
	return fromHere(http.NewCrossOriginProtection().Handler(mux))
}

// pages serves the bot's pages, which an Ingress would lead to the server. Their headers are their own.
func (d *Demo) pages() http.Handler {
	server := &url.URL{Scheme: "http", Host: d.bot.server.Addr().String()}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(server) },
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Cross-Origin-Resource-Policy", "same-origin")
			return nil
		},
	}
}

// fromHere refuses requests whose Host is another name for this address (DNS rebinding), and forbids the page all but its own files.
func fromHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(strings.Trim(host, "[]")) {
			http.Error(w, "This page answers to its loopback address only.", http.StatusMisdirectedRequest)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/a/") {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// sessionID is what a page may call itself.
var sessionID = regexp.MustCompile(`^[A-Za-z0-9-]{16,64}$`)

func (d *Demo) post(take func(*session, order) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o, err := readOrder(w, r)
		var s *session
		if err == nil {
			s, err = d.session(o.Session)
		}
		if err == nil {
			err = take(s, o)
		}
		if err == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		refuse(w, err)
	}
}

// refuse says why something is not done.
func refuse(w http.ResponseWriter, err error) {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = &problem{http.StatusTooManyRequests, err.Error()}
	}
	http.Error(w, p.text, p.status)
}

func readOrder(w http.ResponseWriter, r *http.Request) (order, error) {
	var o order
	if r.Header.Get("Content-Type") != "application/json" {
		return o, &problem{http.StatusUnsupportedMediaType, "the body must be application/json"}
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return o, &problem{http.StatusRequestEntityTooLarge, "the body is too large"}
		}
		return o, bad("the body is not an order")
	}
	return o, nil
}

func (d *Demo) session(id string) (*session, error) {
	if !sessionID.MatchString(id) {
		return nil, bad("the session has no proper id")
	}
	s, evicted, err := d.sessions.get(id)
	if evicted != nil {
		if id := evicted.ordered("none", 0); id != 0 {
			d.platform.CancelOrder(id)
		}
		d.exchanges.Go(func() { d.leave(d.life, evicted) })
	}
	return s, err
}

// errNotFollowing is for what only a follower can do.
var errNotFollowing = &problem{http.StatusConflict, "the account is not followed"}

func (d *Demo) send(s *session, o order) error {
	switch {
	case strings.TrimSpace(o.Text) == "":
		return bad("the message is empty")
	case utf8.RuneCountInString(o.Text) > maxText:
		return &problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("the message has more than %d characters", maxText)}
	case !s.follows():
		return errNotFollowing
	}
	return d.act(s, action{kind: "text", text: o.Text, do: func(ctx context.Context, f *wechatsim.Follower) (*wechatsim.Exchange, error) {
		return f.Send(ctx, o.Text)
	}})
}

func (d *Demo) tap(s *session, o order) error {
	l, ok := s.link(o.Message, o.Link)
	switch {
	case !ok || l.Send == "":
		return &problem{http.StatusNotFound, "there is no such link to tap"}
	case !s.follows():
		return errNotFollowing
	}
	return d.act(s, action{kind: "tap", text: l.Send, do: func(ctx context.Context, f *wechatsim.Follower) (*wechatsim.Exchange, error) {
		return f.Tap(ctx, l)
	}})
}

func (d *Demo) click(s *session, o order) error {
	switch {
	case !slices.Contains(menu, o.Key):
		return bad("the menu has no such item")
	case !s.follows():
		return errNotFollowing
	}
	return d.act(s, action{kind: "click", text: o.Key, do: func(ctx context.Context, f *wechatsim.Follower) (*wechatsim.Exchange, error) {
		return f.Click(ctx, o.Key)
	}})
}

func (d *Demo) follow(s *session, _ order) error {
	s.follow(true)
	return d.act(s, action{kind: "follow", do: func(ctx context.Context, f *wechatsim.Follower) (*wechatsim.Exchange, error) {
		return f.Follow(ctx)
	}})
}

func (d *Demo) unfollow(s *session, _ order) error {
	if !s.follows() {
		return errNotFollowing
	}
	s.follow(false)
	return d.act(s, action{kind: "unfollow", do: func(ctx context.Context, f *wechatsim.Follower) (*wechatsim.Exchange, error) {
		return f.Unfollow(ctx)
	}})
}

func (d *Demo) order(s *session, o order) error {
	switch {
	case d.dify == nil:
		return &problem{http.StatusConflict, "a real Dify takes no orders"}
	case o.Behaviour == nil:
		return bad("there is no behaviour")
	}
	if err := o.Behaviour.check(); err != nil {
		return bad(err.Error())
	}
	s.order(*o.Behaviour)
	return nil
}

func (d *Demo) cut(_ *session, o order) error {
	d.cutLine(o.Cut)
	return nil
}

// hello is the first event of a stream: the state of the moment. A page that knew another epoch starts afresh.
type hello struct {
	Epoch      string        `json:"epoch"`
	Account    string        `json:"account"`
	Intro      string        `json:"intro"`
	Timeout    float64       `json:"timeout"`  // ms of one delivery
	Deadline   float64       `json:"deadline"` // ms to a reply of the server's
	Deliveries int           `json:"deliveries"`
	Dify       string        `json:"dify"` // host of a real one
	Line       bool          `json:"line"` // whether WeChat can reach the server
	Following  bool          `json:"following"`
	Behaviour  difyBehaviour `json:"behaviour"`
	WeChat     accountEvent  `json:"wechat"`
	Fault      weChatFault   `json:"fault"` // of calls about this follower
	Agent      string        `json:"agent"` // who serves the follower
}

// events streams what a page is to show: all of it, or what came after the event that the page saw last.
func (d *Demo) events(w http.ResponseWriter, r *http.Request, epoch string) {
	s, err := d.session(r.URL.Query().Get("session"))
	if err != nil {
		status := http.StatusServiceUnavailable
		if p, ok := errors.AsType[*problem](err); ok {
			status = p.status
		}
		http.Error(w, err.Error(), status)
		return
	}
	if !s.open() {
		http.Error(w, "too many streams of one page", http.StatusTooManyRequests)
		return
	}
	defer s.close()
	w.Header().Set("Content-Type", "text/event-stream")
	stream := stream{w: w, control: http.NewResponseController(w), epoch: epoch}
	serving, _ := d.platform.Serving(s.openid)
	body, err := json.Marshal(hello{
		Epoch: epoch, Account: accountName, Intro: opening, Timeout: ms(d.options.Timeout), Deadline: ms(d.options.Deadline),
		Deliveries: 3, Dify: d.difyHost(), Line: !d.bot.line.isCut(), Following: s.follows(), Behaviour: s.dify(),
		WeChat: d.account(), Fault: s.weChatFault(), Agent: serving,
	})
	if err != nil || stream.write("event: hello\ndata: "+string(body)+"\n\n") != nil {
		return
	}
	stream.follow(r.Context(), s, seen(r.Header.Get("Last-Event-ID"), epoch))
}

// seen is how many events a page has seen of this epoch.
func seen(lastEventID, epoch string) int {
	of, number, _ := strings.Cut(lastEventID, ".")
	n, err := strconv.Atoi(number)
	if err != nil || of != epoch {
		return 0
	}
	return max(n, 0)
}

// stream writes events to one page.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	epoch   string
}

func (t stream) follow(ctx context.Context, s *session, seen int) {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		events, total, more := s.after(seen)
		for i, e := range events {
			id := total - len(events) + i + 1
			if t.write(fmt.Sprintf("id: %s.%d\nevent: %s\ndata: %s\n\n", t.epoch, id, e.name, e.data)) != nil {
				return
			}
		}
		seen = total
		select {
		case <-ctx.Done():
			return
		case <-more:
		case <-alive.C:
			if t.write(": \n\n") != nil {
				return
			}
		}
	}
}

func (t stream) write(text string) error {
	if err := t.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err //nolint:wrapcheck // it only ends the stream
	}
	if _, err := t.w.Write([]byte(text)); err != nil { //nolint:gosec // no page: an event stream of JSON, which its reader sets as text
		return err //nolint:wrapcheck // as above
	}
	return t.control.Flush() //nolint:wrapcheck // as above
}
