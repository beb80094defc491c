package difysim

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options fix what a Server is. The zero value: the newest recorded release, a chat app, any app key.
type Options struct {
	Key                string // the only valid key; empty = every key that begins with "app-"
	Release            Release
	Mode               Mode
	AppName            string   // empty = 测试应用
	OpeningStatement   string   // empty = null in a chat app's parameters
	SuggestedQuestions []string // beside the opening statement
	Inputs             []Input  // that the app wants to be given
	MaxActiveRequests  int      // runs at a time; more are refused; 0 = no limit
	Features           Features // what else than words it takes and gives
	Behaviour          Behaviour
}

// Server imitates one app of one Dify installation, under /v1. It is safe for concurrent use.
type Server struct {
	options       Options
	app, workflow string // their ids
	mux           *http.ServeMux
	standing      atomic.Pointer[standing]
	features      atomic.Pointer[Features]
	script        atomic.Pointer[func(Request) Behaviour]
	closing       chan struct{}
	closeOnce     sync.Once

	mu            sync.Mutex
	forms         formStore
	calls         callRing
	routes        map[string]int
	uploads       []Upload
	heard         []Upload
	spoken        []string
	slots         int // runs that count against MaxActiveRequests
	unfinished    int // calls begun and not ended
	ended         int
	running       map[string]*run // by task id
	conversations conversationStore
	waiters       []chan struct{}
}

// New makes a server. It panics if the behaviour is impossible (see Behaviour.Validate).
func New(o Options) *Server {
	if o.AppName == "" {
		o.AppName = "测试应用"
	}
	s := &Server{
		options:       o,
		app:           newID(),
		workflow:      newID(),
		mux:           http.NewServeMux(),
		closing:       make(chan struct{}),
		routes:        map[string]int{},
		running:       map[string]*run{},
		conversations: newConversationStore(),
	}
	s.SetBehaviour(o.Behaviour)
	s.SetFeatures(o.Features)
	s.register()
	return s
}

// SetBehaviour orders how later calls are answered. Calls under way keep theirs. It panics if the behaviour is
// impossible (see Behaviour.Validate).
func (s *Server) SetBehaviour(b Behaviour) {
	if err := b.Validate(); err != nil {
		panic("difysim: " + err.Error())
	}
	next := &standing{behaviour: b}
	next.left.Store(int64(b.Repeat))
	s.standing.Store(next)
}

// Behaviour gives what SetBehaviour ordered last.
func (s *Server) Behaviour() Behaviour { return s.standing.Load().behaviour }

// Script lets choose answer for SetBehaviour, call by call; nil ends that. It is called from many goroutines. A
// call whose behaviour is impossible is answered 500 with the reason.
func (s *Server) Script(choose func(Request) Behaviour) {
	if choose == nil {
		s.script.Store(nil)
		return
	}
	s.script.Store(&choose)
}

// Close ends all streams, which their clients see as an early end, and all runs that outlived their client. It
// does not wait for handlers: their http.Server does.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closing) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		if r.detached != nil && r.detached.Stop() {
			s.endLocked(r.call, result{status: http.StatusOK, outcome: Cut, deltas: r.sent, gone: true})
			delete(s.running, r.task)
		}
	}
}

func (s *Server) register() {
	others := map[string]bool{}
	for pattern, handle := range map[string]http.HandlerFunc{
		"POST /v1/chat-messages":                s.chatMessages,
		"POST /v1/chat-messages/{task_id}/stop": s.stop,
		"POST /v1/completion-messages":          s.fixed("app_unavailable.400"),
		"POST /v1/workflows/run":                s.fixed("not_workflow_app.400"),
		"GET /v1/messages":                      s.listMessages,
		"GET /v1/messages/{id}/suggested":       s.suggested,
		"POST /v1/messages/{id}/feedbacks":      s.feedback,
		"GET /v1/conversations":                 s.listConversations,
		"DELETE /v1/conversations/{id}":         s.deleteConversation,
		"POST /v1/conversations/{id}/name":      s.renameConversation,
		"GET /v1/parameters":                    s.parameters,
		"GET /v1/info":                          s.info,
		"GET /v1/meta":                          s.meta,
		"GET /v1/site":                          s.site,
		"POST /v1/files/upload":                 s.upload,
		"POST /v1/audio-to-text":                s.audioToText,
		"POST /v1/text-to-audio":                s.textToAudio,
		"GET /v1/form/human_input/{token}":      s.sinceForms(s.showForm),
		"POST /v1/form/human_input/{token}":     s.sinceForms(s.submitForm),
		"GET /v1/workflow/{run}/events":         s.sinceForms(s.followEvents),
	} {
		method, path, _ := strings.Cut(pattern, " ")
		route := method + " " + strings.TrimPrefix(path, "/v1")
		s.mux.HandleFunc(pattern, s.authenticated(route, handle))
		if !others[path] {
			others[path] = true
			s.mux.HandleFunc(path, s.fixed("method_not_allowed.405")) // the other methods of a known path
		}
	}
	s.mux.HandleFunc("GET /v1/{$}", s.root)
	s.mux.HandleFunc("/", s.fixed("html-unknown-route.404"))
}

// ServeHTTP answers as Dify's API server does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["X-Version"] = []string{s.options.Release.String()}
	header["X-Env"] = []string{"PRODUCTION"}
	s.mux.ServeHTTP(w, r)
}

// authenticated checks the key before everything else, as Dify does, and counts the route's requests.
func (s *Server) authenticated(route string, handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.routes[route]++
		s.mu.Unlock()
		if no := s.authenticate(r.Header.Get("Authorization")); no != nil {
			if s.options.Release != V0_6_5 {
				w.Header()["Www-Authenticate"] = []string{`Bearer realm="api"`}
			}
			write(w, no)
			return
		}
		handle(w, r)
	}
}

func (s *Server) authenticate(header string) *response {
	scheme, key, found := strings.Cut(header, " ")
	switch {
	case !found:
		return mustErrorBody("unauthorized-missing-header.401")
	case !strings.EqualFold(scheme, "Bearer"):
		return mustErrorBody("unauthorized-bad-scheme.401")
	case s.options.Key == "" && strings.HasPrefix(key, "app-"), s.options.Key != "" && key == s.options.Key:
		return nil
	}
	return mustErrorBody("unauthorized-bad-key.401")
}

func (s *Server) fixed(name string) http.HandlerFunc {
	body := mustErrorBody(name)
	return func(w http.ResponseWriter, _ *http.Request) { write(w, body) }
}

// write writes a whole response. A client that does not read it is none of the server's business.
func write(w http.ResponseWriter, answer *response) {
	header := w.Header()
	if answer.proxy {
		delete(header, "X-Version")
		delete(header, "X-Env")
	}
	header["Content-Type"] = []string{answer.contentType}
	if answer.location != "" {
		header["Location"] = []string{answer.location}
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body)
}

func reply(w http.ResponseWriter, status int, body object) {
	write(w, jsonResponse(status, body))
}

// jsonResponse makes a JSON body that is not a stream: escaped and spaced in every release.
func jsonResponse(status int, body object) *response {
	return &response{status: status, contentType: "application/json", body: append(spaced.append(nil, body), '\n')}
}

// success is the body of what has nothing to say.
var success = object{{"result", "success"}}

// problem makes Dify's error envelope.
func problem(status int, code, message string) *response {
	return jsonResponse(status, object{{"code", code}, {"message", message}, {"status", status}})
}

// sleep waits for d (for ever if 0), and tells whether the client and the server are still there.
func (s *Server) sleep(ctx context.Context, d time.Duration) bool {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return true
	case <-ctx.Done():
	case <-s.closing:
	}
	return false
}

// resetConnection makes the client see "connection reset by peer", or at least a broken response where the
// connection cannot be had (HTTP/2, Transport). It may not return.
func resetConnection(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		return // already gone
	}
	if lingering, ok := connection.(interface{ SetLinger(seconds int) error }); ok {
		_ = lingering.SetLinger(0) // a close with unsent data discarded is a reset
	}
	_ = connection.Close()
}
