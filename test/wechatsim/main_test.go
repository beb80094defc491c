package wechatsim

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testToken    = "wxopTestToken2026"
	testKey      = "wxOperatorFixtureEncodingAESKey0123456789aB"
	testAppID    = "wx0123456789abcdef"
	testOriginal = "gh_3f1c9a7e52b0"
	testOpenID   = "oTk5q6WcY7bZr-0PqX2mN8sLdE4A"
)

func testAccount(mode Mode) Account {
	return Account{
		URL: "http://bot.example/wechat", Token: testToken, EncodingAESKey: testKey, AppID: testAppID,
		OriginalID: testOriginal, Mode: mode,
	}
}

// inbound is one delivery as a server reads it.
type inbound struct {
	ToUserName   string
	FromUserName string
	CreateTime   int64
	MsgType      string
	Content      string
	Event        string
	EventKey     string
	MsgID        int64  `xml:"MsgId"`
	MenuID       string `xml:"bizmsgmenuid"`
	Label        string
	KfAccount    string
	Encrypt      string
	query        map[string]string
	header       http.Header
	at           time.Time
}

// account is a small server: it remembers what it was sent, and answers by a script of one function a delivery.
type account struct {
	t      *testing.T
	cipher *wechat.Cipher
	script []func(w http.ResponseWriter, r *http.Request, in inbound)

	mu  sync.Mutex
	got []inbound
}

func newAccount(t *testing.T, script ...func(http.ResponseWriter, *http.Request, inbound)) *account {
	t.Helper()
	c, err := wechat.NewCipher(testKey, testAppID)
	if err != nil {
		t.Fatal(err)
	}
	return &account{t: t, cipher: c, script: script}
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Errorf("reading a push: %v", err)
	}
	in := inbound{header: r.Header, at: time.Now(), query: map[string]string{}}
	for name, values := range r.URL.Query() {
		in.query[name] = values[0]
	}
	if err := xml.Unmarshal(body, &in); err != nil {
		a.t.Errorf("parsing a push: %v", err)
	}
	if in.Encrypt != "" {
		plain, err := a.cipher.Open(in.Encrypt)
		if err != nil {
			a.t.Errorf("decrypting a push: %v", err)
		}
		if err := xml.Unmarshal(plain, &in); err != nil {
			a.t.Errorf("parsing a decrypted push: %v", err)
		}
	}
	a.mu.Lock()
	n := min(len(a.got), len(a.script)-1)
	a.got = append(a.got, in)
	a.mu.Unlock()
	a.script[n](w, r, in)
}

func (a *account) received() []inbound {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.got
}

func textReply(to, from, content string) string {
	return fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName>"+
		"<CreateTime>1767225601</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[%s]]></Content></xml>", to, from, content)
}

func answers(content string) func(http.ResponseWriter, *http.Request, inbound) {
	return func(w http.ResponseWriter, _ *http.Request, in inbound) {
		_, _ = io.WriteString(w, textReply(in.FromUserName, in.ToUserName, content))
	}
}

func says(status int, body string) func(http.ResponseWriter, *http.Request, inbound) {
	return func(w http.ResponseWriter, _ *http.Request, _ inbound) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// holds never answers: it waits until the platform hangs up.
func holds(_ http.ResponseWriter, r *http.Request, _ inbound) { <-r.Context().Done() }

func after(d time.Duration, then func(http.ResponseWriter, *http.Request, inbound)) func(http.ResponseWriter, *http.Request, inbound) {
	return func(w http.ResponseWriter, r *http.Request, in inbound) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			then(w, r, in)
		case <-r.Context().Done():
		}
	}
}

// simulate makes a platform in front of h. Its handlers are waited for when the test ends.
func simulate(t *testing.T, a Account, o Options, h http.Handler) *Platform {
	t.Helper()
	transport := HandlerTransport(h)
	t.Cleanup(transport.Wait)
	o.Transport = transport
	p, err := New(a, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func verdicts(x *Exchange) []Verdict {
	var v []Verdict
	for _, d := range x.Deliveries {
		v = append(v, d.Verdict)
	}
	return v
}
