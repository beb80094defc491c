// Package server is one bot's webhook server: it puts the packages below it together from a configuration file, serves
// the webhook and the admin endpoints, takes changed files without a restart, and stops without losing a turn.
//
// It runs without Kubernetes and knows nothing of it.
package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/account"
	"github.com/wechatbot/wechatbot-operator/server/page"
	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/webhook"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

const (
	queuePerPlace = 10               // questions that may wait for each one that is answered at once
	openQuestions = 5                // of one follower, the running one included
	menuID        = "bot"            // of every tap-link: WeChat wants one, what is sent says enough
	closeTimeout  = 10 * time.Second // for the store to write what it has
	drainMargin   = 30 * time.Second // beyond the longest turn, for stopping
	unnoticed     = 3 * time.Second  // that a stopping process is still sent pushes, at least: proxies learn of it late
	handOver      = 8 * time.Second  // for the turns that run then, where the next process waits for this one's end
)

// Options of a server.
type Options struct {
	ConfigPath string
	// ConfigByOperator: an operator writes the file, which may be newer than this server. Fields that are not known are
	// logged and counted instead of ending it.
	ConfigByOperator bool

	Log         *slog.Logger
	HTTPLog     *log.Logger   // what net/http reports of broken connections
	ReloadEvery time.Duration // how often the files are looked at; 0 is every 5 s
	Host        string        // this process' host, or pod; unique among the bot's. Empty is the host's name
	IP          string        // where the bot's other processes reach this one; empty is nowhere
	Version     string        // of the server, for GET /status
	Local       string        // loopback address and port that package serverlocal is served at; empty is nowhere
}

// Server is one bot's webhook server.
type Server struct {
	options  Options
	config   serverconfig.Config // as applied
	files    files
	rotation rotation
	unknown  []string // fields of the configuration that were told to be unknown

	registry  *prometheus.Registry
	metrics   *metrics
	budget    *budget
	store     session.Store
	secrets   atomic.Pointer[serverconfig.Secrets] // for what asks for them at any time
	rendering atomic.Pointer[render.Options]       // likewise
	dify      *difySwitch
	wechat    wechatSwitch
	account   *account.Account
	media     *followersMedia
	tracing   *tracing
	engine    *turn.Engine
	page      *page.Handler
	handler   *webhook.Handler
	hash      atomic.Pointer[string] // of the configuration file that is in force

	webhook, admin net.Listener
	local          net.Listener // nil if there is none
	closeStore     func(context.Context) error
	draining       atomic.Bool
	reached        atomic.Bool // the store, since the start
	notes          storeNotes
}

// New reads the configuration and the secrets, puts the server together and starts to listen. An error names what is
// wrong in which field or file.
func New(o Options) (*Server, error) {
	if o.ReloadEvery == 0 {
		o.ReloadEvery = 5 * time.Second
	}
	if o.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("naming this process: %w", err)
		}
		o.Host = host
	}
	loaded, err := load(o.ConfigPath, "", o.ConfigByOperator)
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, config: loaded.config, files: loaded, registry: prometheus.NewRegistry()}
	s.secrets.Store(&loaded.secrets)
	s.rendering.Store(new(RenderOptions(loaded.config)))
	s.hash.Store(&loaded.hash)
	s.metrics = newMetrics(s.registry)
	s.budget = newBudget(s.registry)
	s.budget.configure(s.config.Limits.Tokens)
	s.tellUnknown(loaded.unknown)
	s.store, s.closeStore, err = stores{
		log: o.Log, registry: s.registry, secrets: func() serverconfig.Secrets { return *s.secrets.Load() },
		host: o.Host, ip: o.IP, holder: o.Host + "/" + rand.Text(),
	}.open(s.config)
	if err != nil {
		return nil, err
	}
	if err := s.assemble(loaded); err != nil {
		return nil, errors.Join(err, s.close(context.Background()))
	}
	return s, nil
}

// single is a store that one process has at a time.
type single interface {
	Identity() string
	Elsewhere() (identity, address string)
	StepDown()
	Superseded() <-chan struct{}
}

// errSuperseded ends a process that has lost the sessions to another one. When it is started anew it stands by, and has them
// again when the other one ends.
var errSuperseded = errors.New("another process has taken the sessions over, as this one did not answer: to be started anew")

// assemble makes what stands before the store, from the inside out.
func (s *Server) assemble(f files) (err error) {
	if s.dify, err = newDifySwitch(f); err != nil {
		return err
	}
	if err := s.newAccount(f); err != nil {
		return err
	}
	if err := s.newPage(f); err != nil {
		return err
	}
	if s.media, err = newFollowersMedia(s.account, s.dify, f); err != nil {
		return err
	}
	s.tracing = s.newTracing(f)
	if s.engine, err = s.newEngine(f); err != nil {
		return err
	}
	account, err := s.rotation.account(f)
	if err != nil {
		return err
	}
	s.handler = webhook.New(s.config.Path, webhook.Bot{Account: account, VerificationFiles: s.config.WeChat.VerificationFiles},
		s.engine, webhook.NewMetrics(s.registry), webhook.LimitsFor(debug.SetMemoryLimit(-1)), s.options.Log)
	s.join()
	if s.webhook, err = listen("listen", s.config.Listen); err != nil {
		return err
	}
	if s.admin, err = listen("adminListen", s.config.AdminListen); err != nil {
		return errors.Join(err, s.webhook.Close())
	}
	if err := s.listenLocal(s.options.Local); err != nil {
		return errors.Join(err, s.webhook.Close(), s.admin.Close())
	}
	return nil
}

// join lets pushes be forwarded to whoever has the sessions.
func (s *Server) join() {
	if one, ok := s.store.(single); ok {
		s.handler.Join(webhook.Peers{Self: one.Identity(), Elsewhere: one.Elsewhere})
	}
}

// close ends the store and the traces: what they have not written yet is written.
func (s *Server) close(ctx context.Context) error {
	if s.tracing != nil {
		s.tracing.close()
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if err := s.closeStore(ctx); err != nil {
		return fmt.Errorf("closing the session store: %w", err)
	}
	return nil
}

func listen(field, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return l, nil
}

func (s *Server) newEngine(f files) (*turn.Engine, error) {
	return turn.New(turn.Options{
		Store: s.store, Dify: s.dify, Metrics: turn.NewMetrics(s.registry), Log: s.options.Log,
		Renderer:  Renderer{func() render.Options { return *s.rendering.Load() }},
		Link:      func(label, send string) string { return wechat.TapLink(label, send, menuID) },
		Alias:     s.alias,
		LinkAs:    wechat.TapLink,
		Rater:     s.dify,
		Suggester: s.dify,
		Forms:     s.dify,
		WholeLink: s.wholeLink,
		MenuShown: s.account.MenuPublished,
		Pusher:    &Pusher{Account: s.account},
		Media:     s.media,
		Agents:    agents{s.account},
		Tracer:    s.tracing,

		PageBytes: webhook.PageBytes, Deliveries: webhook.Deliveries, Patience: webhook.Patience, HoldFor: webhook.HoldFor,
	}, Settings(f.config))
}

// Settings are what the engine takes of a configuration.
func Settings(c serverconfig.Config) turn.Settings {
	sends := 0
	if c.Reply.Mode == serverconfig.ReplyModeCustomerService {
		sends = c.Reply.Push.MaxSends
	}
	return turn.Settings{
		Sends:          sends,
		Deadline:       time.Duration(c.Reply.Deadline),
		HoldsPerMinute: c.Reply.HoldsPerMinute,
		Inputs:         c.Dify.Inputs,
		Texts:          turn.NewTexts(c.Reply.Language, texts(c)),
		HandoverWords:  c.Handover.Words,
		SpeakToVoices:  c.Reply.Voice == serverconfig.VoiceForVoice,
		ContinueWords:  c.Reply.ContinueWords,
		AILabel:        c.Reply.AILabelText(),
		Notice:         c.Reply.Notice,
		Sources:        c.Reply.Sources,
		Feedback:       c.Reply.Feedback,
		Suggestions:    c.Reply.Suggestions,
		Keywords:       keywords(c.Keywords),
		Menu:           menuItems(c.Menu),
		Limits: session.Limits{
			Timeout:   time.Duration(c.Dify.Timeout),
			Questions: c.Limits.Questions, Window: time.Duration(c.Limits.Window), Concurrency: c.Limits.Concurrency,
			Queue: queuePerPlace * c.Limits.Concurrency, Open: openQuestions,
			Tokens: session.Budget{Follower: c.Limits.Tokens.Follower, Bot: c.Limits.Tokens.Bot, Zone: c.Reply.Zone()},
		},
	}
}

// texts are the bot's own words.
func texts(c serverconfig.Config) map[string]string {
	if c.Handover.Offline == "" {
		return c.Reply.Texts
	}
	own := map[string]string{turn.TextHumanOffline: c.Handover.Offline}
	maps.Copy(own, c.Reply.Texts)
	return own
}

// alias gives followers and messages names for logs: short, the same on all replicas, of no use without the token, and
// others once that is rotated.
func (s *Server) alias(of string) string {
	name := s.sealed(of)
	return hex.EncodeToString(name[:5])
}

// sealed is a name of which nobody without the token can tell what it is of.
func (s *Server) sealed(of string) (name [32]byte) {
	mac := hmac.New(sha256.New, []byte(s.secrets.Load().Token.Reveal()))
	mac.Write([]byte(of))
	mac.Sum(name[:0])
	return name
}

// Addr is where the webhook listens.
func (s *Server) Addr() net.Addr { return s.webhook.Addr() }

// AdminAddr is where health, readiness and metrics are.
func (s *Server) AdminAddr() net.Addr { return s.admin.Addr() }

// LocalAddr is where package serverlocal is served; nil if it is nowhere.
func (s *Server) LocalAddr() net.Addr {
	if s.local == nil {
		return nil
	}
	return s.local.Addr()
}

// Run serves until ctx ends and then stops: pushes are still taken while the turns are finished or left to others. The
// error says what was lost, or why it could not serve.
func (s *Server) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var background sync.WaitGroup
	background.Go(func() { s.engine.Run(life) })
	background.Go(func() { s.reload(life) })
	background.Go(func() { s.watchStore(life) })
	background.Go(func() { s.account.Run(life) })

	hook := s.handler.Server(s.options.HTTPLog)
	hook.Handler = s.front(hook.Handler)
	admin, local := s.adminServer(s.adminHandler()), s.adminServer(s.localHandler())
	failed := make(chan error, 2)
	serve := func(h *http.Server, l net.Listener) {
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving %s: %w", l.Addr(), err)
		}
	}
	background.Go(func() { serve(hook, s.handler.Listener(s.webhook)) })
	background.Go(func() { serve(admin, s.admin) })
	if s.local != nil {
		background.Go(func() { serve(local, s.local) })
	}
	s.options.Log.Info("Serving", "webhook", s.Addr().String(), "path", s.config.Path, "admin", s.AdminAddr().String())

	var superseded <-chan struct{} // never, where several processes have the sessions
	if one, ok := s.store.(single); ok {
		superseded = one.Superseded()
	}
	var err error
	select {
	case err = <-failed:
	case <-superseded:
		err = errSuperseded
	case <-ctx.Done():
		err = s.drain(context.WithoutCancel(ctx), hook)
	}
	end()
	s.handler.Leave()
	err = errors.Join(err, hook.Close(), admin.Close(), local.Close())
	background.Wait()
	s.wechat.close()
	return errors.Join(err, s.close(context.WithoutCancel(ctx)))
}

// adminServer serves people and their tools.
func (s *Server) adminServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: s.options.HTTPLog,
		ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
}

// drain finishes what was promised. The webhook is closed only when nothing is left, and what came in between is
// finished too. What it cannot finish in time it hands over, if there is a store to do it by.
func (s *Server) drain(ctx context.Context, hook *http.Server) error {
	s.draining.Store(true)
	s.options.Log.Info("Stopping: finishing the turns")
	if one, ok := s.store.(single); ok { // its turn to have the sessions has perhaps not come yet
		one.StepDown()
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	err := s.finish(ctx, hook, time.Now().Add(unnoticed))
	if err != nil && s.store.Durable() {
		s.options.Log.Info("Stopping: handing over what is left", "left", err)
		return nil
	}
	return err
}

// finish goes on until proxies have noticed at the given time, unless nobody takes their pushes afterwards. A replica
// begins no turns meanwhile: others do. Where one process has the sessions at a time, only this one can.
func (s *Server) finish(ctx context.Context, hook *http.Server, noticed time.Time) error {
	_, alone := s.store.(single)
	if alone {
		wait(ctx, noticed)
	}
	if err := s.engine.Drain(ctx); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	if !alone && s.store.Durable() {
		wait(ctx, noticed)
	}
	s.handler.Leave()
	if err := hook.Shutdown(ctx); err != nil {
		return fmt.Errorf("closing the webhook: %w", err)
	}
	if err := s.engine.Drain(ctx); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}

func wait(ctx context.Context, until time.Time) {
	select {
	case <-time.After(time.Until(until)):
	case <-ctx.Done():
	}
}

// patience is how long stopping may take. Where one process has the sessions at a time, the questions that this one has
// not begun wait for its end, and WeChat's last delivery begins after ten seconds. So long turns are better handed over
// than finished.
func (s *Server) patience() time.Duration {
	if _, alone := s.store.(single); alone {
		return unnoticed + handOver
	}
	return time.Duration(s.config.Dify.Timeout) + drainMargin
}
