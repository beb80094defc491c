package webhook

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
	"github.com/wechatbot/wechatbot-operator/testdata"
)

// at asks the handler without a client that would make the path its own.
func (w *world) at(t *testing.T, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(body))
	target, r.URL.RawQuery, _ = strings.Cut(target, "?")
	r.URL.Path = target
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder
}

// A slash too many, in the console or in the configuration, changes nothing.
func TestSlashesOfAPathDoNotMatter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for configured, asked := range map[string][]string{
			"/wechat":      {"/wechat", "/wechat/", "//wechat", "//wechat//", "/./wechat"},
			"/wechat/":     {"/wechat", "/wechat/", "//wechat"},
			"/team/bot":    {"/team/bot", "/team//bot", "/team/bot/"},
			"/":            {"/", "//"},
			"/bots//first": {"/bots/first", "/bots//first/"},
		} {
			w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
			w.handler = New(configured, *w.handler.bot.Load(), w.handler.engine, w.handler.metrics, w.handler.limits, w.handler.log)
			for i, p := range asked {
				if got := w.at(t, http.MethodGet, p+"?echostr=12&"+signed(w.Token, time.Now()), ""); got.Code != http.StatusOK || got.Body.String() != "12" {
					t.Errorf("%s, asked for %s: %d %q, want the echo", configured, p, got.Code, got.Body)
				}
				if got := w.at(t, http.MethodPost, p+"?"+signed(w.Token, time.Now()), textPush("/help", i)); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), "AI assistant") {
					t.Errorf("%s, asked for %s: %d %q, want the help", configured, p, got.Code, got.Body)
				}
			}
			if log := w.log.String(); strings.Contains(log, "WARN") {
				t.Errorf("%s: the log says %s", configured, log)
			}
		}
	})
}

// WeChat's requests for another path are refused, and told of: nobody else knows the signature.
func TestWeChatsRequestsForAnotherPathAreTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		for range 2 {
			for _, p := range []string{"/", "/wechat2", "/WeChat", "/wechat/wechat"} {
				for _, c := range [][2]string{
					{http.MethodGet, "?echostr=1&" + signed(w.Token, time.Now())}, {http.MethodPost, "?" + signed(w.Token, time.Now())},
					{http.MethodGet, "?echostr=1&" + signed("another", time.Now())}, {http.MethodPost, "?" + signed("another", time.Now())},
					{http.MethodGet, "?" + signed(w.Token, time.Now().Add(-time.Hour))}, {http.MethodPost, ""}, {http.MethodPut, "?" + signed(w.Token, time.Now())},
					{http.MethodGet, "?echostr=1&echostr=2"},
				} {
					if got := w.at(t, c[0], p+c[1], "<xml>"); got.Code != http.StatusNotFound {
						t.Errorf("%s %s: %d, want 404", c[0], p+c[1], got.Code)
					}
				}
			}
		}
		if n := w.count("wechatbot_url_verifications_total", "outcome", "otherPath"); n != 8 {
			t.Errorf("%d verifications were counted, want 8", n)
		}
		if n := w.count("wechatbot_pushes_total", "type", "unread", "outcome", "otherPath"); n != 8 {
			t.Errorf("%d pushes were counted, want 8", n)
		}
		if log := w.log.String(); strings.Count(log, "another path") != 1 || strings.Count(log, "\n") != 1 {
			t.Errorf("the log says %s, want one hint", log)
		}
	})
}

// What users of other servers have met (reported/path-slashes.json): the configured path is /wechat.
func TestReportedPaths(t *testing.T) {
	content, err := testdata.WeChat.ReadFile("wechat/reported/path-slashes.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ ID, Request, Want string }
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
				method, target, _ := strings.Cut(c.Request, " ")
				target, query, _ := strings.Cut(target, "?")
				query = signed(w.Token, time.Now()) + "&" + query
				if got := w.at(t, method, target+"?"+query, textPush("/help", 1)); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), c.Want) {
					t.Errorf("%d %q, want %q", got.Code, got.Body, c.Want)
				}
			})
		})
	}
}

// A console whose data format is JSON is told in the log, whichever of the two forms is JSON.
func TestJSONIsTold(t *testing.T) {
	const inner = `{"ToUserName":"gh_3f1c9a7e52b0","FromUserName":"oTk5q6WcY7bZr-0PqX2mN8sLdE4A","CreateTime":1767225600,"MsgType":"text","Content":"你好","MsgId":1}`
	m := loadManifest(t)
	c, err := wechat.NewCipher(m.EncodingAESKey, m.AppID)
	if err != nil {
		t.Fatal(err)
	}
	encrypt := c.Seal([16]byte{}, []byte(inner))
	for name, tt := range map[string]struct {
		mode    wechatsim.Mode
		body    string
		status  int
		outcome string
	}{
		"plain":               {wechatsim.Plain, inner, http.StatusOK, "json"},
		"plain, with a BOM":   {wechatsim.Plain, "\ufeff \n" + inner, http.StatusOK, "json"},
		"secure, inner":       {wechatsim.Secure, "<xml><Encrypt>" + encrypt + "</Encrypt></xml>", http.StatusOK, "json"},
		"secure, outer":       {wechatsim.Secure, `{"ToUserName":"gh_3f1c9a7e52b0","Encrypt":"` + encrypt + `"}`, http.StatusForbidden, "unauthenticated"},
		"secure, outer, wide": {wechatsim.Secure, "\n{ \"Encrypt\" : \"" + encrypt + "\" }", http.StatusForbidden, "unauthenticated"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, m.options(tt.mode), difysim.Behaviour{})
				query := signed(w.Token, time.Now())
				if tt.mode == wechatsim.Secure {
					q, err := wechat.ParseQuery(query)
					if err != nil {
						t.Fatal(err)
					}
					query += "&encrypt_type=aes&msg_signature=" + wechat.Sign(w.Token, q.Timestamp, q.Nonce, encrypt)
				}
				for range 3 {
					if got := w.at(t, http.MethodPost, path+"?"+query, tt.body); got.Code != tt.status {
						t.Errorf("%d %q, want %d", got.Code, got.Body, tt.status)
					}
				}
				if log := w.log.String(); strings.Count(log, "choose XML") != 1 || strings.Count(log, "\n") != 1 || strings.Contains(log, "你好") {
					t.Errorf("the log says %s, want one hint", log)
				}
				if n := w.count("wechatbot_pushes_total", "type", "unread", "outcome", tt.outcome); n != 3 {
					t.Errorf("%d were counted as %s, want 3", n, tt.outcome)
				}
				if n := w.count("wechatbot_refused_pushes_total", "reason", "json"); (n == 3) != (tt.status == http.StatusForbidden) {
					t.Errorf("%d were counted as refused", n)
				}
			})
		})
	}
}

// Whatever type a message has, its sender is told what the bot can read; what is no message is only acknowledged.
func TestOnlyMessagesOfUnknownTypesAreReplied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		const head = "<xml><ToUserName>gh_3f1c9a7e52b0</ToUserName><FromUserName>oTk5q6WcY7bZr-0PqX2mN8sLdE4A</FromUserName><CreateTime>1767225600</CreateTime>"
		for name, c := range map[string]struct {
			rest string
			told bool
		}{
			"a file":                {"<MsgType>file</MsgType><Title>年度报告.pdf</Title><FileKey>k</FileKey><MsgId>1</MsgId>", true},
			"a sticker":             {"<MsgType>emoticon</MsgType><MsgId>2</MsgId>", true},
			"a card":                {"<MsgType>miniprogrampage</MsgType><Title>t</Title><MsgId>3</MsgId>", true},
			"of a later year":       {"<MsgType>hologram</MsgType><MsgId>4</MsgId>", true},
			"a long name":           {"<MsgType>" + strings.Repeat("x", 1000) + "</MsgType><MsgId>5</MsgId>", true},
			"an id alone":           {"<MsgId>6</MsgId>", false},
			"no message":            {"<MsgType>hologram</MsgType>", false},
			"an event with an id":   {"<MsgType>event</MsgType><Event>hologram</Event><MsgId>7</MsgId>", false},
			"an event's own MsgID":  {"<MsgType>event</MsgType><Event>MASSSENDJOBFINISH</Event><MsgID>8</MsgID>", false},
			"a template's delivery": {"<MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event><MsgID>9</MsgID><Status>success</Status>", false},
		} {
			got := w.at(t, http.MethodPost, path+"?"+signed(w.Token, time.Now()), head+c.rest+"</xml>")
			if got.Code != http.StatusOK || strings.Contains(got.Body.String(), "only read text") != c.told || c.told == (got.Body.String() == wechat.Success) {
				t.Errorf("%s: %d %q, want told %t", name, got.Code, got.Body, c.told)
			}
		}
	})
}
