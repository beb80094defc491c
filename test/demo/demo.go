// Package demo is the whole way of a message on one machine, with a page to watch it: a phone-like page is the follower, wechatsim
// is WeChat, the real webhook server answers, and difysim, or a Dify of the visitor's own, is asked.
//
// Nothing between them is shortened: pushes are signed, encrypted and sent over sockets. The package knows the protocols only
// through the stand-ins, and the server only through its configuration, its replies and its log.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// DefaultListen is where the page is unless Options say otherwise.
const DefaultListen = "127.0.0.1:8088"

// Options of a demo. The zero value is WeChat's own timing and a stand-in for Dify.
type Options struct {
	// Listen is the page's address; its host must be a loopback address, for whoever reaches the page may use it.
	// Port 0 takes a free one.
	Listen string
	// DifyAPIKey is the key of a Dify app that is asked in place of the stand-in; DifyBaseURL is where it is
	// (default https://api.dify.ai/v1).
	DifyAPIKey, DifyBaseURL string
	// Timeout is what one delivery may take, 5 s at WeChat's; Deadline is when the server replies at the latest, 4.5 s.
	// Tests shorten both.
	Timeout, Deadline time.Duration
	// Log takes the server's log; nil drops it.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if o.DifyBaseURL == "" {
		o.DifyBaseURL = "https://api.dify.ai/v1"
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Deadline == 0 {
		o.Deadline = 4500 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Demo is one running demonstration.
type Demo struct {
	options  Options
	dir      string // configuration and secrets of the server
	page     net.Listener
	bot      *bot
	weChat   *weChat
	platform *wechatsim.Platform
	dify     *standIn // nil with a Dify of the visitor's own
	sessions *sessions

	life      context.Context //nolint:containedctx // Run's, for the exchanges that outlive the request that began them
	exchanges sync.WaitGroup
}

// New starts to listen and puts everything together. Close must be called in the end.
func New(ctx context.Context, o Options) (_ *Demo, err error) {
	d := &Demo{options: o.withDefaults()}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	d.sessions = newSessions()
	if d.page, err = listen(ctx, d.options.Listen); err != nil {
		return nil, err
	}
	if d.dir, err = os.MkdirTemp("", "wechatbot-demo-"); err != nil {
		return nil, fmt.Errorf("making a folder for the server's configuration: %w", err)
	}
	baseURL, key := d.options.DifyBaseURL, d.options.DifyAPIKey
	if key == "" {
		if d.dify, err = newStandIn(ctx, d.behaviour); err != nil {
			return nil, err
		}
		baseURL, key = d.dify.baseURL(), standInKey
	}
	if d.weChat, err = newWeChat(ctx); err != nil {
		return nil, err
	}
	if d.bot, err = newBot(ctx, d.dir, d.options, surroundings{baseURL, key, d.weChat.url()}, d.turnFinished); err != nil {
		return nil, err
	}
	if d.platform, err = d.newPlatform(); err != nil { //nolint:contextcheck // an agent's session is longer than what began it
		return nil, err
	}
	return d, nil
}

// listen takes a loopback address only.
func listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the page's address: %w", err)
	}
	if !loopback(host) {
		return nil, fmt.Errorf("the page's address: %s is not this machine's own; use 127.0.0.1", host)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the page's address: %w", err)
	}
	return l, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// URL is the page's address.
func (d *Demo) URL() string { return "http://" + d.page.Addr().String() }

// Run serves the page until ctx ends. The error says what stopped it before, or what went wrong then.
func (d *Demo) Run(ctx context.Context) error {
	life, end := context.WithCancel(ctx)
	defer end()
	d.life = life
	page := &http.Server{
		Handler:           d.handler(),
		BaseContext:       func(net.Listener) context.Context { return life }, // ends the event streams
		ErrorLog:          slog.NewLogLogger(d.options.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	failed := make(chan error, 4)
	part := func(name string, run func() error) func() {
		var running sync.WaitGroup
		running.Go(func() {
			if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", name, err)
				end()
			}
		})
		return running.Wait
	}
	serving, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServer()
	waitDify := func() {}
	if d.dify != nil {
		waitDify = part("the stand-in for Dify", d.dify.serve)
	}
	waitWeChat := part("the stand-in for WeChat", func() error { return d.weChat.serve(d.platform) })
	waitServer := part("the webhook server", func() error { return d.bot.server.Run(serving) })
	waitPage := part("the page", func() error { return page.Serve(d.page) })
	<-life.Done()
	err := shutdown(context.WithoutCancel(ctx), page)
	waitPage()
	d.exchanges.Wait()
	d.everyoneLeaves(context.WithoutCancel(ctx))
	stopServer()
	waitServer()
	d.platform.Wait()
	err = errors.Join(err, shutdown(context.WithoutCancel(ctx), d.weChat.http))
	waitWeChat()
	if d.dify != nil {
		d.dify.stop(context.WithoutCancel(ctx))
	}
	waitDify()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return err
}

// shutdown ends a server whose streams end by themselves.
func shutdown(ctx context.Context, s *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if s.Shutdown(ctx) == nil {
		return nil
	}
	return s.Close() //nolint:wrapcheck // Run says it
}

// goodbye is how long the followers may take to leave at the end.
const goodbye = 3 * time.Second

// everyoneLeaves makes all followers leave the account, so that the server has nobody's answer to keep and can stop at once.
func (d *Demo) everyoneLeaves(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	d.bot.line.set(false)
	var leaving sync.WaitGroup
	for _, s := range d.sessions.all() {
		leaving.Go(func() { d.leave(ctx, s) })
	}
	leaving.Wait()
}

// leave makes the follower of a session leave, unseen by the page.
func (d *Demo) leave(ctx context.Context, s *session) {
	_, _ = d.platform.Follower(s.openid).Unfollow(ctx) // an error only says that there was no time
}

// Close removes what New has made. It is called when Run has returned, or in place of Run.
func (d *Demo) Close() error {
	var errs []error
	if d.page != nil {
		if err := d.page.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.weChat != nil {
		_ = d.weChat.listener.Close() // it is, if Run has
	}
	if d.dify != nil {
		d.dify.abandon()
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// behaviour is how the stand-in for Dify is to answer a follower.
func (d *Demo) behaviour(q difysim.Request) difysim.Behaviour {
	s := d.sessions.byOpenID(q.User)
	if s == nil {
		return defaultBehaviour.of(q)
	}
	return s.dify().of(q)
}

// turnFinished tells the page of the follower concerned what Dify took for a turn.
func (d *Demo) turnFinished(t finishedTurn) {
	for _, s := range d.sessions.all() {
		if d.bot.alias(s.openid) == t.follower {
			s.turnFinished(t)
			return
		}
	}
}

// cutLine cuts WeChat's way to the server, or mends it, and tells all pages.
func (d *Demo) cutLine(cut bool) {
	d.bot.line.set(cut)
	for _, s := range d.sessions.all() {
		s.tell("line", !cut)
	}
}

// difyHost is the host that a Dify of the visitor's own is at; empty with the stand-in.
func (d *Demo) difyHost() string {
	if d.dify != nil {
		return ""
	}
	u, err := url.Parse(d.options.DifyBaseURL)
	if err != nil {
		return "Dify"
	}
	return u.Host
}
