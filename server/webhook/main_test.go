package webhook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
	"github.com/wechatbot/wechatbot-operator/testdata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	path    = "/wechat"
	apiKey  = "app-keyOfThisTest"
	opening = "欢迎来到这里。"
)

// manifest is testdata/wechat/manifest.json.
type manifest struct {
	Token          string `json:"token"`
	EncodingAESKey string `json:"encoding_aes_key"`
	AppID          string `json:"appid"`
	OriginalID     string `json:"original_id"`
	OpenID         string `json:"openid"`
	Now            int64  `json:"now"`
	Files          []struct {
		File  string `json:"file"`
		Kind  string `json:"kind"`
		Query string `json:"query"`
	} `json:"files"`
}

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	content, err := testdata.WeChat.ReadFile("wechat/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// parseManifest parses the manifest once: with all its files it is long. Nobody changes it.
var parseManifest = sync.OnceValues(func() (*manifest, error) {
	content, err := testdata.WeChat.ReadFile("wechat/manifest.json")
	if err != nil {
		return nil, err
	}
	m := new(manifest)
	return m, json.Unmarshal(content, m)
})

func loadManifest(tb testing.TB) *manifest {
	tb.Helper()
	m, err := parseManifest()
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// options are the account's in a mode, as the server is told of it.
func (m *manifest) options(mode wechatsim.Mode) wechat.Options {
	o := wechat.Options{Tokens: []string{m.Token}, OriginalID: m.OriginalID}
	if mode != wechatsim.Plain {
		o.AppID, o.EncodingAESKeys = m.AppID, []string{m.EncodingAESKey}
	}
	return o
}

// world is one handler with all that is behind it.
type world struct {
	*manifest
	dify     *difysim.Server
	handler  *Handler
	registry *prometheus.Registry
	log      *lockedBuffer
	store    *flaky
}

// flaky is a store that can fail to forget.
type flaky struct {
	session.Store
	failure error
}

func (f *flaky) Forget(ctx context.Context, follower string) (string, error) {
	if f.failure != nil {
		return "", f.failure
	}
	return f.Store.Forget(ctx, follower)
}

// lockedBuffer takes a log from many goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newWorld makes a bot whose turns run until the test is over.
func newWorld(tb testing.TB, o wechat.Options, b difysim.Behaviour) *world {
	tb.Helper()
	w := &world{
		manifest: loadManifest(tb), registry: prometheus.NewRegistry(), log: new(lockedBuffer),
		dify: difysim.New(difysim.Options{Key: apiKey, Behaviour: b, OpeningStatement: opening}),
	}
	client, err := dify.New(dify.Target{BaseURL: "http://dify.invalid/v1", Key: apiKey}, dify.Options{
		Transport: w.dify.Transport(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	w.store = &flaky{Store: memory.NewStore(session.Options{
		Holder: "test", IdleTimeout: time.Hour, History: 20, LeaseTTL: 10 * time.Second,
	}, 64<<20)}
	logger := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	engine, err := turn.New(turn.Options{
		Store: w.store, Dify: client, Renderer: renderer{}, Metrics: turn.NewMetrics(w.registry), Log: logger,
		Link:      func(label, send string) string { return wechat.TapLink(label, send, "bot") },
		Alias:     func(string) string { return "somebody" },
		PageBytes: PageBytes, Deliveries: Deliveries, Patience: Patience, HoldFor: HoldFor,
	}, settings(30))
	if err != nil {
		tb.Fatal(err)
	}
	w.handler = New(path, Bot{Account: account(tb, o)}, engine, NewMetrics(w.registry), LimitsFor(128<<20), logger)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { engine.Run(ctx) })
	tb.Cleanup(func() {
		stop()
		w.dify.Close()
		running.Wait()
	})
	return w
}

// settings are a bot's that may hold so many deliveries a minute.
func settings(holds int) turn.Settings {
	return turn.Settings{
		Deadline: 4500 * time.Millisecond, HoldsPerMinute: holds,
		Limits: session.Limits{Timeout: time.Minute, Questions: 1000, Window: time.Minute, Concurrency: 50, Queue: 500, Open: 5},
		Texts:  turn.NewTexts(turn.English, nil),
	}
}

func account(tb testing.TB, o wechat.Options) *wechat.Account {
	tb.Helper()
	a, err := wechat.NewAccount(o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// bubble runs a test on a clock of its own that shows the fixtures' time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(loadManifest(t).Now, 0)))
		test(t)
	})
}

// platform is WeChat's side of the world's account, connected without sockets.
func (w *world) platform(t *testing.T, mode wechatsim.Mode) *wechatsim.Platform {
	t.Helper()
	transport := wechatsim.HandlerTransport(w.handler)
	t.Cleanup(transport.Wait)
	return w.platformOver(t, mode, transport)
}

func (w *world) platformOver(t *testing.T, mode wechatsim.Mode, transport http.RoundTripper) *wechatsim.Platform {
	t.Helper()
	p, err := wechatsim.New(wechatsim.Account{
		URL: "http://bot.invalid" + path, Token: w.Token, EncodingAESKey: w.EncodingAESKey, AppID: w.AppID,
		OriginalID: w.OriginalID, Mode: mode,
	}, wechatsim.Options{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serve serves the world's handler as the server does, over connections without sockets. It is for bubbles.
func (w *world) serve(t *testing.T) *pipes {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := w.handler.Server(log.New(w.log, "", 0))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(w.handler.Listener(l)) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
		time.Sleep(time.Second) // of the bubble's: net/http lingers over connections that it has closed
	})
	return l
}

// pipes is a listener whose connections are pipes, so that a whole HTTP server runs in a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	client, err := p.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// connect is a connection to the listener.
func (p *pipes) connect() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	}
}

// client makes an HTTP client of the listener, which keeps its connections unless it is told otherwise.
func (p *pipes) transport(t *testing.T) *http.Transport {
	t.Helper()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return p.connect() }}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// signed is the query of a plain push or a verification that is sent now.
func signed(token string, sent time.Time) string {
	timestamp, nonce := strconv.FormatInt(sent.Unix(), 10), "1372623149"
	return "signature=" + wechat.Sign(token, timestamp, nonce) + "&timestamp=" + timestamp + "&nonce=" + nonce
}

// textPush is a follower's text as WeChat pushes it in plain mode.
func textPush(content string, id int) string {
	return fmt.Sprintf("<xml><ToUserName><![CDATA[gh_3f1c9a7e52b0]]></ToUserName>\n"+
		"<FromUserName><![CDATA[oTk5q6WcY7bZr-0PqX2mN8sLdE4A]]></FromUserName>\n<CreateTime>%d</CreateTime>\n"+
		"<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[%s]]></Content>\n<MsgId>%d</MsgId>\n</xml>", time.Now().Unix(), content, id)
}

// answered is a response that was read.
type answered struct {
	status int
	header http.Header
	body   string
}

func do(ctx context.Context, t *testing.T, via http.RoundTripper, method, target, body string) (answered, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://bot.invalid"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := via.RoundTrip(r)
	if err != nil {
		return answered{}, err
	}
	read, err := io.ReadAll(response.Body)
	if closed := response.Body.Close(); err == nil {
		err = closed
	}
	return answered{response.StatusCode, response.Header, string(read)}, err
}

// must is do for a request that has to be answered.
func must(t *testing.T, via http.RoundTripper, method, target, body string) answered {
	t.Helper()
	a, err := do(t.Context(), t, via, method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// inProcess carries requests to the handler without sockets.
func (w *world) inProcess(t *testing.T) http.RoundTripper {
	t.Helper()
	transport := wechatsim.HandlerTransport(w.handler)
	t.Cleanup(transport.Wait)
	return transport
}

func lengthOf(s string) string { return strconv.Itoa(len(s)) }

func readResponse(t *testing.T, c net.Conn) string {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if closed := r.Body.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	return string(body)
}

type renderer struct{}

func (renderer) Text(a session.Answer) string    { return render.Text(a.Markdown, nil, render.Options{}) }
func (renderer) Partial(a session.Answer) string { return render.Partial(a.Markdown, render.Options{}) }
func (renderer) Page(text string, from, size int) (end, next int) {
	return render.Page(text, from, size)
}
