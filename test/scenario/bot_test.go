package scenario

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server"
	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/webhook"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// play plays a scenario: on a fake clock, so that a busy machine changes nothing; or, to measure, on the real one.
func play(t *testing.T, scene func(t *testing.T)) {
	t.Helper()
	if *update {
		scene(t)
		return
	}
	synctest.Test(t, scene)
}

// limits are what a scenario changes of the defaults; 0 changes nothing.
type limits struct{ concurrency, holds int }

func (l limits) config() serverconfig.Config {
	c := serverconfig.Default()
	c.Reply.AILabel = "" // replies are compared with answers
	if l.concurrency > 0 {
		c.Limits.Concurrency = l.concurrency
	}
	if l.holds > 0 {
		c.Reply.HoldsPerMinute = l.holds
	}
	c.WeChat.AppID = appID
	return c
}

// start starts a bot in secure mode, as a careful platform team would: the whole server on sockets, or on a fake clock
// all of it that has no sockets.
func start(t *testing.T, l limits, b difysim.Behaviour, o wechatsim.Options) *world {
	t.Helper()
	w := &world{dify: difysim.New(difysim.Options{Behaviour: b})}
	if *update {
		w.serve(t, l.config(), o)
	} else {
		w.assemble(t, l.config(), o)
	}
	return w
}

// serve starts the server on loopback.
func (w *world) serve(t *testing.T, c serverconfig.Config, o wechatsim.Options) {
	t.Helper()
	api := httptest.NewServer(w.dify)
	s, err := server.New(server.Options{
		ConfigPath: configure(t, api.URL, c),
		Log:        slog.New(slog.DiscardHandler), HTTPLog: log.New(io.Discard, "", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("the server stopped with: %v", err)
		}
		w.dify.Close()
		api.Close()
	})
	w.connect(t, "http://"+s.Addr().String()+"/wechat", o)
}

// assemble puts together what the server does, without sockets.
func (w *world) assemble(t *testing.T, c serverconfig.Config, o wechatsim.Options) {
	t.Helper()
	client, err := dify.New(dify.Target{BaseURL: "http://dify.test", Key: "app-scenario"}, dify.Options{
		Transport: w.dify.Transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	registry, quiet := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	const leaseTTL = 10 * time.Second
	engine, err := turn.New(turn.Options{
		Store: memory.NewStore(session.Options{
			Holder: "scenario", IdleTimeout: time.Duration(c.Session.IdleTimeout), History: c.Session.History, LeaseTTL: leaseTTL,
		}, 1<<28),
		Dify: client, Renderer: server.Renderer{Options: func() render.Options { return render.Options{} }}, Metrics: turn.NewMetrics(registry), Log: quiet,
		Link:      func(label, send string) string { return wechat.TapLink(label, send, "bot") },
		Alias:     func(string) string { return "somebody" },
		PageBytes: webhook.PageBytes, Deliveries: webhook.Deliveries, Patience: webhook.Patience, HoldFor: webhook.HoldFor,
	}, server.Settings(c))
	if err != nil {
		t.Fatal(err)
	}
	account, err := wechat.NewAccount(wechat.Options{Tokens: []string{token}, AppID: appID, EncodingAESKeys: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	transport := wechatsim.HandlerTransport(webhook.New(c.Path, webhook.Bot{Account: account}, engine, webhook.NewMetrics(registry), webhook.LimitsFor(1<<30), quiet))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		engine.Run(ctx)
	}()
	t.Cleanup(func() {
		transport.Wait()
		cancel()
		<-ended
		w.dify.Close()
	})
	o.Transport = transport
	w.connect(t, "http://bot.test"+c.Path, o)
}
