package demo

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// client calls WeChat's stand-in as the demo's server may.
func client(t *testing.T, d *Demo) *api.Client {
	t.Helper()
	c, err := api.New(api.Options{
		BaseURL: d.weChat.url(), Credentials: func() (string, string) { return d.bot.account.AppID, d.bot.account.AppSecret },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// openID is the follower's of a page.
func openID(t *testing.T, d *Demo, session string) string {
	t.Helper()
	s, _, err := d.sessions.get(session)
	if err != nil {
		t.Fatal(err)
	}
	return s.openid
}

var gif = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

// text puts the parts of what is shown together.
func (v shownAs) text() string {
	var b strings.Builder
	for _, part := range v.Parts {
		b.WriteString(part.Text)
	}
	return b.String()
}

func TestPushesAreShown(t *testing.T) {
	d := start(t, Options{})
	p := newPage(t, d, pageID)
	p.order("follow", nil)
	p.ended(1)
	c, to := client(t, d), openID(t, d, pageID)
	if err := c.Typing(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	var typing bool
	p.event("typing", &typing)
	if !typing {
		t.Error("typing is not shown")
	}
	picture, err := c.UploadMedia(t.Context(), api.ImageFile, "image/gif", gif)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		content api.Content
		want    bubbleEvent
	}{
		{api.Text{Content: `看<a href="https://a.example/">这里</a>`}, bubbleEvent{AI: wechatsim.AILine,
			shownAs: shownAs{Type: "text", Parts: []part{{Text: "看"}, {Text: "这里", Link: "page", URL: "https://a.example/"}}}}},
		{api.Image{MediaID: picture.ID}, bubbleEvent{AI: wechatsim.AILine, shownAs: shownAs{Type: "image", Parts: []part{}, Media: picture.ID}}},
		{api.Choices{Head: "还想问：", Items: []api.Choice{{ID: "s1", Content: "几点开门？"}}}, bubbleEvent{AI: wechatsim.AILine,
			shownAs: shownAs{Type: "msgmenu", Parts: []part{{Text: "还想问："}, {Text: "\n"}, {Text: "几点开门？", Link: "tap"}}}}},
	} {
		if err := c.Send(t.Context(), api.Message{To: to, Content: test.content, AI: true}); err != nil {
			t.Fatal(err)
		}
		var got bubbleEvent
		p.event("bubble", &got)
		if got.Message == 0 || got.At == 0 || got.From != "account" {
			t.Errorf("%+v", got)
		}
		message := got.Message
		got.Message, got.At, got.From = 0, 0, ""
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(bubbleEvent{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if test.want.Type == "msgmenu" {
			p.order("tap", map[string]any{"m": message, "link": 0})
			var sent sentEvent
			p.event("sent", &sent)
			if sent.Text != "几点开门？" || !sent.Question {
				t.Errorf("tapped, it sends %+v", sent)
			}
		}
	}
	if status, body := p.status(p.request(http.MethodGet, "/api/media/"+picture.ID, "")); status != http.StatusOK || !bytes.Equal([]byte(body), bytes.TrimSpace(gif)) {
		t.Errorf("the picture: %d, %q", status, body)
	}
	if status, _ := p.status(p.request(http.MethodGet, "/api/media/never", "")); status != http.StatusNotFound {
		t.Errorf("a picture that is not there: %d", status)
	}
}

func TestFaultsOfWeChat(t *testing.T) {
	d := start(t, Options{})
	p, other := newPage(t, d, pageID), newPage(t, d, "another0123456789")
	p.order("follow", nil)
	other.order("follow", nil)
	p.ended(1)
	other.ended(1)
	c := client(t, d)
	send := func(session string) api.Kind {
		return api.KindOf(c.Send(t.Context(), api.Message{To: openID(t, d, session), Content: api.Text{Content: "a"}}))
	}
	p.order("fault", map[string]any{"fault": "count"})
	if a, b := send(pageID), send("another0123456789"); a != api.CountUsedUp || b != "" {
		t.Errorf("the sends end %q and %q, want only the first to fail", a, b)
	}
	p.order("fault", map[string]any{"fault": "lost"})
	if a := send(pageID); a != api.UnknownDelivery {
		t.Errorf("a lost answer is %q", a)
	}
	for {
		var call callEvent
		p.event("call", &call)
		if call.Lost {
			if call.API != "message/custom/send" || call.Kind != "bad" {
				t.Errorf("the page is told %+v", call)
			}
			break
		}
	}
	p.order("fault", map[string]any{"fault": "none"})
	if a := send(pageID); a != "" || len(d.platform.Orders()) != 0 {
		t.Errorf("without an order it is %q, orders %v", a, d.platform.Orders())
	}
	p.order("kind", map[string]any{"kind": "personal"})
	if a := send(pageID); a != api.NotEntitled {
		t.Errorf("of a personal account it is %q", a)
	}
	for {
		var account accountEvent
		p.event("account", &account)
		if account.Kind == "personal" && !account.Verified && len(account.Menu) == 0 {
			break
		}
	}
	for path, members := range map[string]map[string]any{
		"fault": {"fault": "weather"}, "kind": {"kind": "royal"}, "say": {"text": "x"}, "hangup": nil,
	} {
		if status, text := p.status(p.request(http.MethodPost, "/api/"+path, p.body(members))); status != http.StatusBadRequest && status != http.StatusConflict {
			t.Errorf("%s %v: %d %s", path, members, status, text)
		}
	}
}

func TestAgentServes(t *testing.T) {
	d := start(t, Options{})
	p := newPage(t, d, pageID)
	p.order("follow", nil)
	p.ended(1)
	p.order("agent", map[string]any{"online": true})
	if !d.platform.Accept(openID(t, d, pageID), agent) {
		t.Fatal("the agent is not online")
	}
	var session sessionEvent
	p.event("agent", &session)
	if session != (sessionEvent{agent, true}) {
		t.Errorf("the page is told %+v", session)
	}
	p.order("say", map[string]any{"text": " 您好 "})
	var b bubbleEvent
	p.event("bubble", &b)
	if b.From != "agent" || b.text() != "您好" || b.AI != "" {
		t.Errorf("the page is told %+v", b)
	}
	p.order("send", map[string]any{"text": "在吗"})
	var ended endedEvent
	p.event("ended", &ended)
	if ended.Outcome != string(wechatsim.Served) || ended.Asked {
		t.Errorf("a message to the agent: %+v", ended)
	}
	p.order("hangup", nil)
	p.event("agent", &session)
	if session.Open {
		t.Error("the session goes on")
	}
}

func TestPicturesAndVoicesAreSent(t *testing.T) {
	d := start(t, Options{})
	p := newPage(t, d, pageID)
	send := func(body string) (int, string) {
		r := p.request(http.MethodPost, "/api/picture?session="+pageID, body)
		r.Header.Set("Content-Type", "image/gif")
		return p.status(r)
	}
	if status, text := send(string(gif)); status != http.StatusConflict {
		t.Errorf("from who does not follow: %d %s", status, text)
	}
	p.order("follow", nil)
	p.ended(1)
	for body, want := range map[string]int{"<svg>": http.StatusUnsupportedMediaType, strings.Repeat("x", maxPicture+1): http.StatusRequestEntityTooLarge} {
		if status, text := send(body); status != want {
			t.Errorf("%.10q: %d %s, want %d", body, status, text, want)
		}
	}
	if status, text := send(string(gif)); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, text)
	}
	var sent sentEvent
	p.event("sent", &sent)
	if sent.Kind != "image" || sent.Media == "" || sent.Question {
		t.Errorf("the page is told %+v", sent)
	}
	if data, kind := d.platform.Media(sent.Media); !bytes.Equal(data, gif) || kind != "image/gif" {
		t.Errorf("WeChat has %q, %s", data, kind)
	}
	if e := p.ended(2); e.Outcome != string(wechatsim.Replied) || e.Reply != "notice" {
		t.Errorf("the picture: %+v", e)
	}
	p.order("voice", nil)
	p.event("sent", &sent)
	if sent.Kind != "voice" || sent.Seconds != 3 {
		t.Errorf("the page is told %+v", sent)
	}
	if e := p.ended(3); e.Outcome != string(wechatsim.Replied) {
		t.Errorf("the voice message: %+v", e)
	}
	var question string
	calls := d.dify.sim.Calls()
	if len(calls) == 1 {
		question = calls[0].Query
	}
	if uploads := d.dify.sim.Uploads(); question != heard || len(calls[0].Files) != 1 || len(uploads) != 1 || uploads[0].Type != "image/gif" {
		t.Errorf("the app was asked %+v with the pictures %+v", calls, uploads)
	}
}

func TestMenuIsTheAccounts(t *testing.T) {
	d := start(t, Options{})
	p := newPage(t, d, pageID)
	var h hello
	p.event("hello", &h)
	if len(h.WeChat.Menu) != 3 || h.WeChat.Menu[0].Key != "help" || h.WeChat.Kind != "verified-service" || h.Fault != "none" {
		t.Errorf("the stream begins with %+v", h)
	}
	p.order("follow", nil)
	p.ended(1)
	p.order("menu", map[string]any{"path": []string{"帮助"}})
	if e := p.ended(2); e.Reply != "notice" || e.Outcome != string(wechatsim.Replied) {
		t.Errorf("help: %+v", e)
	}
	p.order("menu", map[string]any{"path": []string{"没有"}})
	if e := p.ended(3); e.Outcome != string(wechatsim.Silent) {
		t.Errorf("a button that is not there: %+v", e)
	}
	err := client(t, d).PublishMenu(t.Context(), []api.Button{{Name: "更多", Items: []api.Button{{Name: "官网", Type: api.ViewButton, URL: "https://a.example/"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		var account accountEvent
		p.event("account", &account)
		if len(account.Menu) == 1 && account.Menu[0].Items[0].Name == "官网" {
			break
		}
	}
}
