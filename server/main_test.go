package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token    = "tokenOfThisTest"
	newToken = "tokenOfTomorrow"
	aesKey   = "firstEncodingAESKey0123456789abcdefghijklmn"
	newKey   = "secondEncodingAESKey123456789abcdefghijklmn"
	appID    = "wx00000000000test"
	difyKey  = "app-keyOfThisTest"
)

// bubble runs a test on a clock of its own.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
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

// place is where a server's files are.
type place struct {
	dir  string
	log  *lockedBuffer
	dify *difysim.Server
}

const minimal = "bot: test/winter\nlisten: 127.0.0.1:0\nadminListen: 127.0.0.1:0\nsecretsDir: secrets\n"

func newPlace(t *testing.T, config string) *place {
	t.Helper()
	p := &place{dir: t.TempDir(), log: new(lockedBuffer), dify: difysim.New(difysim.Options{})}
	if err := os.Mkdir(filepath.Join(p.dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.write(t, "bot.yaml", config)
	p.write(t, "secrets/token", token+"\n")
	p.write(t, "secrets/dify-api-key", difyKey+"\n")
	return p
}

func (p *place) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *place) remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(p.dir, name)); err != nil {
		t.Fatal(err)
	}
}

func (p *place) options() Options {
	return Options{
		ConfigPath: filepath.Join(p.dir, "bot.yaml"), HTTPLog: log.New(io.Discard, "", 0),
		Log: slog.New(slog.NewJSONHandler(p.log, nil)),
	}
}

// server makes a server that does not run.
func (p *place) server(t *testing.T) *Server {
	t.Helper()
	s, err := New(p.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.webhook.Close() // closed already if the server has run
		_ = s.admin.Close()
	})
	return s
}

// asks makes the server ask the stand-in for Dify without sockets, whatever address it is configured with.
func (p *place) asks(t *testing.T, s *Server) {
	t.Helper()
	s.dify.askBy(t, p.dify.Transport(), s.files)
}

// askBy has all calls made by a transport.
func (d *difySwitch) askBy(t *testing.T, transport http.RoundTripper, f files) {
	t.Helper()
	d.transport, d.target = transport, dify.Target{}
	if err := d.configure(f); err != nil {
		t.Fatal(err)
	}
}

// pipes is a listener whose connections are pipes, so that a whole server runs in a bubble of testing/synctest.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

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

// transport connects to the listener, once for each request.
func (p *pipes) transport() http.RoundTripper {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		select {
		case p.conns <- server:
			return client, nil
		case <-p.closed:
			return nil, errors.New("connection refused")
		}
	}}
}

// running is a server that runs in a bubble.
type running struct {
	*Server
	*place
	front, back *pipes
	stop        context.CancelFunc
	ended       chan error
}

// run runs a server until the bubble's test is over, changed as the test likes.
func (p *place) run(t *testing.T, change ...func(*Server)) *running {
	t.Helper()
	s := p.server(t)
	p.asks(t, s)
	for _, c := range change {
		c(s)
	}
	r := &running{Server: s, place: p, front: newPipes(), back: newPipes(), ended: make(chan error, 1)}
	if err := errors.Join(s.webhook.Close(), s.admin.Close()); err != nil {
		t.Fatal(err)
	}
	s.webhook, s.admin = r.front, r.back
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- s.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
		p.dify.Close()
		time.Sleep(time.Second) // of the bubble's: net/http lingers over connections that it has closed
	})
	return r
}

func (r *running) platform(t *testing.T) *wechatsim.Platform {
	t.Helper()
	p, err := wechatsim.New(wechatsim.Account{URL: "http://bot.invalid/wechat", Token: token}, wechatsim.Options{Transport: r.front.transport()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// get asks an admin endpoint.
func (r *running) get(t *testing.T, path string) (int, string) {
	t.Helper()
	return read(t, r.back.transport(), path)
}

// read gets what a path has, as a browser would.
func read(t *testing.T, from http.RoundTripper, path string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://bot.invalid"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := from.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if closed := response.Body.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	return response.StatusCode, string(body)
}

// askHelp gives the handler a push that was signed with a token now, and returns what it answers.
func askHelp(t *testing.T, s *Server, token string) (status int, body string) {
	t.Helper()
	return send(t, s, signed(token), plainPush("/help"))
}

func send(t *testing.T, s *Server, query, body string) (status int, response string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/wechat", strings.NewReader(body))
	r.URL.RawQuery = query
	s.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func signed(token string) string {
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), "1372623149"
	return "signature=" + wechat.Sign(token, timestamp, nonce) + "&timestamp=" + timestamp + "&nonce=" + nonce
}

func plainPush(text string) string {
	return "<xml><ToUserName>gh_1</ToUserName><FromUserName>oFollower</FromUserName><CreateTime>1</CreateTime>" +
		"<MsgType>text</MsgType><Content><![CDATA[" + text + "]]></Content><MsgId>" + strconv.FormatInt(time.Now().UnixNano(), 10) + "</MsgId></xml>"
}

// sealedPush gives the handler an encrypted push, and tells whether its reply opens with the same key.
func sealedPush(t *testing.T, s *Server, token, key, text string) (status int, opens bool) {
	t.Helper()
	c, err := wechat.NewCipher(key, appID)
	if err != nil {
		t.Fatal(err)
	}
	query := signed(token)
	q, err := wechat.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	encrypt := c.Seal([16]byte{1}, []byte(plainPush(text)))
	status, body := send(t, s, query+"&encrypt_type=aes&msg_signature="+wechat.Sign(token, q.Timestamp, q.Nonce, encrypt),
		"<xml><Encrypt>"+encrypt+"</Encrypt></xml>")
	_, reply, _ := strings.Cut(body, "<Encrypt><![CDATA[")
	reply, _, _ = strings.Cut(reply, "]]>")
	_, err = c.Open(reply)
	return status, err == nil
}
