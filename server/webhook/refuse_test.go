package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const otherKey = "anotherEncodingAESKey0123456789abcdefghijkl"

// sealed is a secure push of a text: its query and body.
func sealed(tb testing.TB, token, key, appID string, sent time.Time, content string) (query, body string) {
	tb.Helper()
	c, err := wechat.NewCipher(key, appID)
	if err != nil {
		tb.Fatal(err)
	}
	encrypt := c.Seal([16]byte([]byte("0123456789abcdef")), []byte(textPush(content, 1)))
	query = signed(token, sent)
	q, err := wechat.ParseQuery(query)
	if err != nil {
		tb.Fatal(err)
	}
	query += "&encrypt_type=aes&msg_signature=" + wechat.Sign(token, q.Timestamp, q.Nonce, encrypt)
	return query, "<xml><ToUserName>gh_3f1c9a7e52b0</ToUserName><Encrypt>" + encrypt + "</Encrypt></xml>"
}

// stranger is a push that must not be taken for WeChat's.
type stranger struct {
	mode        wechatsim.Mode // the account's
	query, body string
	reason      wechat.Reason
	hint        string // in the log; empty: nothing is logged
}

func refusedPushes(t *testing.T, m *manifest, now time.Time) map[string]stranger {
	t.Helper()
	push := textPush("let me in", 1)
	plain := signed(m.Token, now)
	sealedQuery, sealedBody := sealed(t, m.Token, m.EncodingAESKey, m.AppID, now, "let me in")
	oldQuery, oldBody := sealed(t, m.Token, m.EncodingAESKey, m.AppID, now.Add(-11*time.Minute), "let me in")
	keyQuery, keyBody := sealed(t, m.Token, otherKey, m.AppID, now, "let me in")
	appQuery, appBody := sealed(t, m.Token, m.EncodingAESKey, "wxAnother", now, "let me in")
	return map[string]stranger{
		"nothing signed":          {wechatsim.Plain, "", push, wechat.ReasonSignature, ""},
		"another token":           {wechatsim.Plain, signed("guessed", now), push, wechat.ReasonSignature, ""},
		"a repeated parameter":    {wechatsim.Plain, plain + "&" + plain, push, wechat.ReasonQuery, ""},
		"an unknown encryption":   {wechatsim.Plain, plain + "&encrypt_type=rot13", push, wechat.ReasonEncryptType, ""},
		"an old plain push":       {wechatsim.Plain, signed(m.Token, now.Add(-11*time.Minute)), push, wechat.ReasonWindow, "clock"},
		"a push of the future":    {wechatsim.Plain, signed(m.Token, now.Add(12*time.Minute)), push, wechat.ReasonWindow, "clock"},
		"sealed, without a key":   {wechatsim.Plain, sealedQuery, sealedBody, wechat.ReasonNoKey, "EncodingAESKey"},
		"plain, with a key":       {wechatsim.Secure, plain, push, wechat.ReasonPlainRefused, "allowPlain"},
		"no envelope":             {wechatsim.Secure, sealedQuery, push, wechat.ReasonEnvelope, ""},
		"a changed envelope":      {wechatsim.Secure, sealedQuery, strings.Replace(sealedBody, "<Encrypt>", "<Encrypt>AAAA", 1), wechat.ReasonSignature, ""},
		"an old sealed push":      {wechatsim.Secure, oldQuery, oldBody, wechat.ReasonWindow, "clock"},
		"sealed by another key":   {wechatsim.Secure, keyQuery, keyBody, wechat.ReasonCipher, "AppID"},
		"for another account":     {wechatsim.Secure, appQuery, appBody, wechat.ReasonCipher, "AppID"},
		"signed like a plain one": {wechatsim.Secure, plain + "&encrypt_type=aes&msg_signature=" + strings.TrimPrefix(strings.Split(plain, "&")[0], "signature="), push, wechat.ReasonEnvelope, ""},
	}
}

func TestStrangersLearnNothing(t *testing.T) {
	m := loadManifest(t)
	for name, c := range refusedPushes(t, m, time.Unix(m.Now, 0)) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { c.check(t) })
		})
	}
}

func (c stranger) check(t *testing.T) {
	t.Helper()
	w := newWorld(t, loadManifest(t).options(c.mode), difysim.Behaviour{})
	via := w.inProcess(t)
	for range 3 {
		got := must(t, via, http.MethodPost, path+"?"+c.query, c.body)
		if got.status != http.StatusForbidden || got.body != "Forbidden\n" {
			t.Errorf("%d %q, want 403 and nothing else", got.status, got.body)
		}
	}
	if n := w.count("wechatbot_refused_pushes_total", "reason", string(c.reason)); n != 3 {
		t.Errorf("counted %d times as %s, want 3", n, c.reason)
	}
	log := w.log.String()
	switch {
	case c.hint == "" && log != "":
		t.Errorf("logged %s", log)
	case c.hint != "" && (strings.Count(log, "\n") != 1 || !strings.Contains(log, c.hint)):
		t.Errorf("logged %q, want one line about %s", log, c.hint)
	}
	w.handler.now = func() time.Time { return time.Now().Add(hintEvery) }
	must(t, via, http.MethodPost, path+"?"+c.query, c.body)
	if c.hint != "" && strings.Count(w.log.String(), c.hint) != 2 {
		t.Errorf("after a minute the log is %q, want the hint once more", w.log)
	}
	if w.dify.CallCount() != 0 {
		t.Error("Dify was asked")
	}
}

// The console's check of the URL says no more than 403, so a clock that is off is told of in the log.
func TestVerificationHintsAtTheClock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		got := must(t, w.inProcess(t), http.MethodGet, path+"?echostr=1&"+signed(w.Token, time.Now().Add(time.Hour)), "")
		if got.status != http.StatusForbidden || !strings.Contains(w.log.String(), "clock") {
			t.Errorf("%d, and the log says %q", got.status, w.log)
		}
	})
}

func TestPlainPushesWhileTheModeIsChanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := loadManifest(t).options(wechatsim.Secure)
		o.AllowPlain = true
		w := newWorld(t, o, difysim.Behaviour{})
		for _, mode := range []wechatsim.Mode{wechatsim.Plain, wechatsim.Compatible, wechatsim.Secure} {
			x, err := w.platform(t, mode).Follower(w.OpenID).Send(t.Context(), "/help")
			if err != nil {
				t.Fatal(err)
			}
			if x.Outcome != wechatsim.Replied || x.Deliveries[0].Encrypted != (mode != wechatsim.Plain) {
				t.Errorf("%s: %s, encrypted %v", mode, x.Outcome, x.Deliveries[0].Encrypted)
			}
		}
	})
}

// A push is answered with the token and key that it came with, also when these are replaced while it waits.
func TestKeysAreRotatedUnderAWaitingPush(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old := loadManifest(t).options(wechatsim.Secure)
		w := newWorld(t, old, difysim.Behaviour{Total: 3 * time.Second})
		p := w.platform(t, wechatsim.Secure)
		done := make(chan *wechatsim.Exchange, 1)
		go func() {
			x, err := p.Follower("").Send(t.Context(), "a question")
			if err != nil {
				t.Error(err)
			}
			done <- x
		}()
		if err := w.dify.WaitRunning(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		w.handler.Configure(Bot{Account: account(t, wechat.Options{
			Tokens: []string{"another"}, EncodingAESKeys: []string{otherKey}, AppID: w.AppID, OriginalID: w.OriginalID,
		})})
		if x := <-done; x.Outcome != wechatsim.Replied || len(x.Deliveries) != 1 {
			t.Errorf("%s after %d deliveries (%v), want a reply that the platform can open", x.Outcome, len(x.Deliveries), x.Deliveries)
		}
		x, err := p.Follower("").Send(t.Context(), "/help")
		if err != nil || x.Deliveries[0].Status != http.StatusForbidden {
			t.Errorf("a push with the old token got %v, %v, want 403", x.Deliveries, err)
		}
	})
}
