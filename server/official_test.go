package server

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/media"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const appSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

// seed is the menu of docs/menu.md.
const seed = `wechat: {appID: ` + appID + `}
menu:
- {name: 官网, url: "https://example.com/"}
- {name: 帮助, command: /help}
- name: 咖啡
  items:
  - {name: 今天喝什么, question: 推荐一款咖啡}
  - {name: 营业时间, reply: "每天 8:00 到 22:00"}
  - {name: 点单, miniProgram: {appID: wxorder, path: pages/index, url: "https://example.com/order"}}
`

// official is a server whose calls of WeChat's API go to a stand-in.
type official struct {
	*running
	*wechatsim.Platform

	api, pictures *wechatsim.InProcess
}

func (p *place) runOfficial(t *testing.T, kind wechatsim.AccountKind, change ...func(*Server)) *official {
	t.Helper()
	p.write(t, "secrets/app-secret", appSecret+"\n")
	o := &official{}
	o.api = wechatsim.HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { o.API().ServeHTTP(w, r) }))
	o.pictures = wechatsim.HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { o.Pictures().ServeHTTP(w, r) }))
	front := newPipes()
	var err error
	o.Platform, err = wechatsim.New(wechatsim.Account{
		URL: "http://bot.invalid/wechat", Token: token, AppID: appID, AppSecret: appSecret, Kind: kind, Mode: wechatsim.Plain,
	}, wechatsim.Options{Transport: front.transport()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // behind the server's end: no request is made meanwhile
		o.api.Wait()
		o.pictures.Wait()
	})
	o.running = p.run(t, append(change, func(s *Server) {
		s.wechat.close()
		s.wechat.client, s.wechat.transport = nil, o.api
		s.media.fetcher = media.New(media.Options{Transport: o.pictures})
		if err := s.configureAccount(s.files); err != nil {
			t.Fatal(err)
		}
	})...)
	o.forward(t, front)
	t.Cleanup(o.Wait)
	return o
}

// forward leads the platform's connections to the server, which makes its own listener.
func (o *official) forward(t *testing.T, from *pipes) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := from.Accept()
			if err != nil {
				return
			}
			o.front.conns <- c
		}
	}()
	t.Cleanup(func() { _ = from.Close(); <-done })
}

func (o *official) status(t *testing.T) serverstatus.Status {
	t.Helper()
	code, body := o.get(t, "/status")
	var s serverstatus.Status
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); code != 200 || err != nil {
		t.Fatalf("/status: %d %v %s", code, err, body)
	}
	return s
}

func wantReply(t *testing.T, x *wechatsim.Exchange, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if x.Text != want {
		t.Errorf("got %q, want %q", x.Text, want)
	}
}

func TestMenuIsPublishedAndActs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+seed+"reply: {texts: {help: Help!}}\n")
		o := p.runOfficial(t, wechatsim.VerifiedService)
		time.Sleep(time.Second)
		f := o.Follower("")
		for _, c := range []struct {
			tap  []string
			want string
		}{
			{[]string{"官网"}, ""}, {[]string{"帮助"}, "Help!"}, {[]string{"咖啡", "营业时间"}, "每天 8:00 到 22:00"}, {[]string{"咖啡", "点单"}, ""},
		} {
			x, err := f.TapMenu(t.Context(), c.tap...)
			wantReply(t, x, err, c.want)
		}
		x, err := f.TapMenu(t.Context(), "咖啡", "今天喝什么")
		if err != nil || !strings.Contains(x.Text, "推荐一款咖啡") {
			t.Errorf("a question: %q, %v", x.Text, err)
		}
		if got := o.status(t).Account; got.Menu == nil || got.Menu.State != serverstatus.MenuPublished || got.Capabilities.Menu != serverstatus.Yes {
			t.Errorf("status %+v", got)
		}
		// Another menu is in force as soon as its file is. Clients show the old one for some minutes: what still is there acts.
		p.write(t, "bot.yaml", minimal+"wechat: {appID: "+appID+"}\nmenu: [{name: 几点开门, reply: \"每天 8:00 到 22:00\"}]\nreply: {texts: {help: Help!}}\n")
		time.Sleep(10 * time.Second)
		if menu, _ := o.Menu(); len(menu) != 1 || menu[0].Name != "几点开门" {
			t.Errorf("followers see %v", menu)
		}
		x, err = f.TapMenu(t.Context(), "咖啡", "营业时间")
		wantReply(t, x, err, "每天 8:00 到 22:00")
		x, err = f.TapMenu(t.Context(), "咖啡", "今天喝什么")
		wantReply(t, x, err, "Help!")
		if v := o.Violations(); len(v) != 0 {
			t.Errorf("rules of WeChat's broken: %v", v)
		}
	})
}

// A personal account, and every other that is not verified, has the menu under the welcome and the help.
func TestMenuAsTapLinks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newPlace(t, minimal+seed+"reply: {texts: {help: Help!, welcome: Welcome!}}\n").runOfficial(t, wechatsim.UnverifiedSubscription)
		time.Sleep(time.Second)
		f := o.Follower("")
		x, err := f.Follow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if help, err := f.Send(t.Context(), "/help"); err != nil || strings.TrimPrefix(help.Text, "Help!") != strings.TrimPrefix(x.Text, "Welcome!") {
			t.Errorf("the help has another menu than the welcome: %q, %q, %v", help.Text, x.Text, err)
		}
		links := wechatsim.Links(x.Text)
		want := []wechatsim.Link{
			{Label: "官网", URL: "https://example.com/"},
			{Label: "帮助", Send: "帮助", MenuID: "bot"}, {Label: "今天喝什么", Send: "今天喝什么", MenuID: "bot"}, {Label: "营业时间", Send: "营业时间", MenuID: "bot"},
			{Label: "点单", URL: "https://example.com/order", AppID: "wxorder", Path: "pages/index"},
		}
		for i := range links {
			if links[i].Send != "" {
				links[i].URL = ""
			}
		}
		if d := cmp.Diff(want, links); d != "" {
			t.Fatalf("the menu's links (-want +got):\n%s\n%s", d, x.Text)
		}
		for _, l := range links {
			if l.Send == "" {
				continue
			}
			x, err := f.Tap(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			if says := map[string]string{"帮助": "Help!", "今天喝什么": "推荐一款咖啡", "营业时间": "每天 8:00 到 22:00"}[l.Label]; !strings.Contains(x.Text, says) {
				t.Errorf("%s: got %q, want %q in it", l.Label, x.Text, says)
			}
		}
		if got := o.status(t).Account.Menu; got == nil || *got != (serverstatus.Menu{State: serverstatus.MenuNotEntitled, Errcode: 48001}) {
			t.Errorf("status %+v", got)
		}
	})
}

// What /status says is exactly this, and of followers nothing.
func TestStatus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+seed)
		change, breakIt := breakableBy()
		o := p.runOfficial(t, wechatsim.VerifiedService, change)
		o.Server.options.Version = "v1.2.3"
		time.Sleep(time.Second)
		o.SetIPList([]netip.Prefix{})
		o.SeeFrom(netip.MustParseAddr("120.208.99.249"))
		const openid, words = "oPrivateFollower000000000000", "a very private question"
		p.dify.SetBehaviour(difysim.Behaviour{Fault: difysim.Fault{Kind: difysim.HTMLPage}})
		if _, err := o.Follower(openid).Send(t.Context(), words); err != nil {
			t.Fatal(err)
		}
		status, _ := send(t, o.Server, signed("tokenOfSomebodyElse"), plainPush("x"))
		if status != http.StatusForbidden {
			t.Fatalf("a wrong signature: %d", status)
		}
		if status, _ := send(t, o.Server, "", "a scanner's"); status != http.StatusForbidden { // it says nothing of the Token
			t.Fatalf("no signature: %d", status)
		}
		time.Sleep(storeEvery + time.Second)
		synctest.Wait()
		_, body := o.get(t, "/status")
		want := `{"apiVersion":"v1","version":"v1.2.3","config":{"hash":"` + serverconfig.Hash([]byte(minimal+seed)) + `"},"store":{"ok":true,"error":""},` +
			`"dify":{"lastError":"` + o.Server.dify.last.kind() + `"},"account":{"capabilities":{"customerService":"unknown","media":"unknown","menu":"yes","handover":"unknown"},` +
			`"lastErrors":[],"addresses":[],"menu":{"state":"Published","errcode":0}},` +
			`"pushes":{"authentic":1,"wrongSignature":1,"undecryptable":0},"voice":{"lastError":""}}` + "\n"
		if d := cmp.Diff(want, body); d != "" {
			t.Errorf("/status (-want +got):\n%s", d)
		}
		if o.Server.dify.last.kind() == "" {
			t.Error("Dify's error is not known")
		}
		time.Sleep(3 * time.Hour) // the token has ended by then
		synctest.Wait()
		_, body = o.get(t, "/status")
		for _, part := range []string{`{"api":"/cgi-bin/stable_token","errcode":40164}`, `"addresses":["120.208.99.249"]`} {
			if !strings.Contains(body, part) {
				t.Errorf("/status lacks %s: %s", part, body)
			}
		}
		_, metrics := o.get(t, "/metrics")
		for name, private := range map[string]string{
			"the token": token, "the AppSecret": appSecret, "Dify's key": difyKey, "the openid": openid, "the question": words, "the AppID": appID,
		} {
			if strings.Contains(body, private) || strings.Contains(metrics, private) {
				t.Errorf("%s is in /status or /metrics", name)
			}
		}
		breakIt()
		time.Sleep(2 * storeEvery)
		p.dify.SetBehaviour(difysim.Behaviour{})
		if _, err := o.Follower(openid).Send(t.Context(), words); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := o.status(t); s.Store != (serverstatus.Store{Error: "no answer"}) || s.Dify.LastError != "" {
			t.Errorf("status %+v", s)
		}
	})
}

func TestStatusWithoutAnAppSecret(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newPlace(t, minimal).run(t)
		_, body := r.get(t, "/status")
		want := `{"apiVersion":"v1","version":"","config":{"hash":"` + serverconfig.Hash([]byte(minimal)) + `"},"store":{"ok":true,"error":""},` +
			`"dify":{"lastError":""},"pushes":{"authentic":0,"wrongSignature":0,"undecryptable":0},"voice":{"lastError":""}}` + "\n"
		if d := cmp.Diff(want, body); d != "" {
			t.Errorf("/status (-want +got):\n%s", d)
		}
	})
}

// The AppSecret and the API's address are taken from changed files; a refused file changes neither.
func TestAppSecretIsRotated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+seed)
		p.write(t, "secrets/app-secret", "wrong\n")
		o := p.runOfficial(t, wechatsim.VerifiedService) // which writes the right one
		p.write(t, "secrets/app-secret", "wrong\n")
		time.Sleep(10 * time.Second)
		if n := o.wechat.credentials.Load().secret; n != "wrong" {
			t.Fatal("the changed secret is not in force")
		}
		time.Sleep(5 * time.Minute)
		errors := o.status(t).Account.LastErrors
		if len(errors) == 0 || errors[0] != (serverstatus.CallError{API: wechatsim.TokenPath, Errcode: 40125}) {
			t.Errorf("last errors %v", errors)
		}
		p.write(t, "secrets/app-secret", appSecret+"\n")
		time.Sleep(2 * time.Minute)
		if s := o.status(t).Account; len(s.LastErrors) != 0 || s.Menu.State != serverstatus.MenuPublished {
			t.Errorf("status %+v", s)
		}
		p.remove(t, "secrets/app-secret") // the menu needs it
		time.Sleep(10 * time.Second)
		if o.status(t).Account == nil || p.lines("app-secret: is missing: menu is published") != 1 {
			t.Errorf("a menu without AppSecret was not refused: %s", p.log)
		}
		before := o.account.Client()
		p.write(t, "secrets/app-secret", appSecret+"\n")
		p.write(t, "bot.yaml", minimal+strings.Replace(seed, "appID: "+appID, "apiBaseURL: https://proxy.example/wx, appID: "+appID, 1))
		time.Sleep(10 * time.Second)
		if o.account.Client() == before {
			t.Error("another address has no client of its own")
		}
		p.write(t, "bot.yaml", minimal)
		p.remove(t, "secrets/app-secret")
		time.Sleep(10 * time.Second)
		if o.status(t).Account != nil {
			t.Error("without an AppSecret there is an account")
		}
	})
}
