package scenario

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server"
	"github.com/wechatbot/wechatbot-operator/server/account"
	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/webhook"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
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
type limits struct {
	concurrency, holds int
	pushes             bool // late answers are messages of their own
}

func (l limits) config() serverconfig.Config {
	c := serverconfig.Default()
	c.Reply.AILabel = "" // replies are compared with answers
	if l.concurrency > 0 {
		c.Limits.Concurrency = l.concurrency
	}
	if l.holds > 0 {
		c.Reply.HoldsPerMinute = l.holds
	}
	if l.pushes {
		c.Reply.Mode = serverconfig.ReplyModeCustomerService
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
	app := httptest.NewServer(w.dify)
	official := httptest.NewUnstartedServer(w.officialAPI())
	c.WeChat.APIBaseURL = "http://" + official.Listener.Addr().String()
	s, err := server.New(server.Options{
		ConfigPath: configure(t, app.URL, c),
		Log:        slog.New(slog.DiscardHandler), HTTPLog: log.New(io.Discard, "", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.join(t, "http://"+s.Addr().String()+"/wechat", o)
	official.Start()
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("the server stopped with: %v", err)
		}
		w.dify.Close()
		app.Close()
		official.Close()
	})
	w.verify(t)
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
	store := memory.NewStore(session.Options{
		Holder: "scenario", IdleTimeout: time.Duration(c.Session.IdleTimeout), History: c.Session.History, LeaseTTL: leaseTTL,
	}, 1<<28)
	engine, err := turn.New(turn.Options{
		Store: store, Pusher: w.pusher(t, store, registry, quiet),
		Dify: client, Renderer: server.Renderer{Options: func() render.Options { return render.Options{} }}, Metrics: turn.NewMetrics(registry), Log: quiet,
		Link:      func(label, send string) string { return wechat.TapLink(label, send, "bot") },
		Alias:     func(string) string { return "somebody" },
		PageBytes: webhook.PageBytes, Deliveries: webhook.Deliveries, Patience: webhook.Patience, HoldFor: webhook.HoldFor,
	}, server.Settings(c))
	if err != nil {
		t.Fatal(err)
	}
	identity, err := wechat.NewAccount(wechat.Options{Tokens: []string{token}, AppID: appID, EncodingAESKeys: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	transport := wechatsim.HandlerTransport(webhook.New(c.Path, webhook.Bot{Account: identity}, engine, webhook.NewMetrics(registry), webhook.LimitsFor(1<<30), quiet))
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
	w.join(t, "http://bot.test"+c.Path, o)
	w.verify(t)
}

// officialAPI is WeChat's server API of the world's account, which is there when the first call comes.
func (w *world) officialAPI() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.platform.API().ServeHTTP(rw, r) })
}

// pusher calls WeChat's API without sockets.
func (w *world) pusher(t *testing.T, duty account.Duty, registry prometheus.Registerer, quiet *slog.Logger) *server.Pusher {
	t.Helper()
	transport := wechatsim.HandlerTransport(w.officialAPI())
	t.Cleanup(transport.Wait)
	official := account.New(account.Options{Duty: duty, Metrics: account.NewMetrics(registry), Log: quiet}, account.Settings{})
	client, err := api.New(api.Options{
		Transport: transport, Observe: official.Observe, Credentials: func() (string, string) { return appID, appSecret },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	official.Configure(account.Settings{Client: client, AppID: appID})
	return &server.Pusher{Account: official}
}
