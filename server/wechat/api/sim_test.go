package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const (
	appID  = "wx0123456789abcdef"
	secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	openID = "oTk5q6WcY7bZr-0PqX2mN8sLdE4A"
)

// sim is a client of WeChat's stand-in, and a follower who has just asked something.
type sim struct {
	*testing.T
	*wechatsim.Platform
	*api.Client

	follower  *wechatsim.Follower
	transport *wechatsim.InProcess
}

// newSim is for a bubble of synctest; close has to be called in it.
func newSim(t *testing.T, o wechatsim.Options) (s *sim, closeAll func()) {
	t.Helper()
	success := wechatsim.HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "success") }))
	o.Transport = success
	p, err := wechatsim.New(wechatsim.Account{
		URL: "http://bot.example/wechat", Token: "wxopTestToken2026", AppID: appID, AppSecret: secret, Mode: wechatsim.Plain,
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	s = &sim{T: t, Platform: p, follower: p.Follower(openID), transport: wechatsim.HandlerTransport(p.API())}
	if s.Client, err = api.New(api.Options{Credentials: func() (string, string) { return appID, secret }, Transport: s.transport}); err != nil {
		t.Fatal(err)
	}
	s.ask()
	return s, func() {
		s.Close()
		s.transport.Wait()
		p.Wait()
		success.Wait()
	}
}

func (s *sim) ask() {
	s.Helper()
	if _, err := s.follower.Send(s.Context(), "q"); err != nil {
		s.Fatal(err)
	}
}

func (s *sim) text(content string) error {
	return s.Send(s.Context(), api.Message{To: openID, Content: api.Text{Content: content}, AI: true})
}

// pushed gives the texts that were pushed.
func (s *sim) pushed() []string {
	var texts []string
	for _, b := range s.follower.Transcript() {
		if b.Pushed {
			texts = append(texts, b.Text)
		}
	}
	return texts
}

func (s *sim) noViolations() {
	s.Helper()
	if v := s.Violations(); len(v) != 0 {
		s.Errorf("rules of WeChat's broken: %v", v)
	}
}

func TestSim_EveryType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, done := newSim(t, wechatsim.Options{})
		defer done()
		upload := func(kind api.MediaType, contentType string, content []byte) string {
			m, err := s.UploadMedia(t.Context(), kind, contentType, content)
			if err != nil {
				t.Fatal(err)
			}
			if got := time.Until(m.Expires); got != 72*time.Hour {
				t.Errorf("%s expires in %v", kind, got)
			}
			return m.ID
		}
		jpeg := []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00")
		image, thumb := upload(api.ImageFile, "image/jpeg", jpeg), upload(api.ThumbFile, "image/jpeg", jpeg)
		voice := upload(api.VoiceFile, "audio/amr", wechatsim.SampleAMR(time.Second))
		video := upload(api.VideoFile, "video/mp4", []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp41isom"))
		var types []string
		for _, content := range []api.Content{
			api.Text{Content: "<a href=\"https://a.example/?a=1&b=2\">x</a>\u2028\x00y"},
			api.Image{MediaID: image}, api.Voice{MediaID: voice}, api.Video{MediaID: video, ThumbMediaID: thumb},
			api.Music{Title: "t", Description: "d", MusicURL: "u", ThumbMediaID: thumb},
			api.News{Title: "t", Description: "d", URL: "u", PicURL: "p"}, api.MPNewsArticle{ArticleID: "a"},
			api.Choices{Items: []api.Choice{{ID: "1", Content: "x"}}}, api.Card{CardID: "c"},
			api.MiniProgramPage{Title: "t", AppID: "a", PagePath: "p", ThumbMediaID: thumb},
		} {
			if s.follower.SendsLeft() == 0 {
				s.ask()
			}
			if err := s.Send(t.Context(), api.Message{To: openID, Content: content, AI: true}); err != nil {
				t.Errorf("%T: %v", content, err)
			}
		}
		for _, b := range s.follower.Transcript() {
			if b.Pushed {
				types = append(types, b.Type)
				if !b.AI {
					t.Errorf("a %s is not labelled", b.Type)
				}
			}
		}
		want := []string{"text", "image", "voice", "video", "music", "news", "mpnewsarticle", "msgmenu", "wxcard", "miniprogrampage"}
		if d := cmp.Diff(want, types); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if got := s.pushed()[0]; got != "<a href=\"https://a.example/?a=1&b=2\">x</a>\u2028y" {
			t.Errorf("the text is %q", got)
		}
		s.noViolations()
	})
}

// Whatever WeChat answers to a send, the follower gets the message once at most, and an error that is not UnknownDelivery means never.
func TestSim_EveryFaultOfASend(t *testing.T) {
	codes := []int{-1, 40001, 40014, 42001, 40003, 40164, 40200, 43004, 43019, 45002, 45009, 45011, 44991, 45015, 45047, 48001, 48002, 48004, 50002, 70000, 87014, 99999}
	var orders []wechatsim.Order
	for _, code := range codes {
		for _, times := range []int{1, 0} {
			orders = append(orders, wechatsim.Order{Code: code, Times: times})
		}
	}
	for _, applied := range []bool{true, false} {
		for _, times := range []int{1, 2, 0} {
			orders = append(orders,
				wechatsim.Order{Status: 500, Times: times, Applied: applied}, wechatsim.Order{Status: 302, Times: times, Applied: applied},
				wechatsim.Order{Body: "<html>", Times: times, Applied: applied}, wechatsim.Order{Empty: true, Times: times, Applied: applied},
				wechatsim.Order{Body: `{"errmsg":"ok"}`, Times: times, Applied: applied}, wechatsim.Order{Lose: true, Times: times, Applied: applied},
				wechatsim.Order{Code: -1, Times: times, Applied: applied}, wechatsim.Order{Delay: time.Minute, Times: times, Applied: applied})
		}
	}
	for _, times := range []int{1, 2, 0} {
		orders = append(orders, wechatsim.Order{Refuse: true, Times: times})
	}
	for _, o := range orders {
		synctest.Test(t, func(t *testing.T) {
			s, done := newSim(t, wechatsim.Options{})
			defer done()
			o.API = wechatsim.SendPath
			s.Order(o)
			err := s.text("a")
			switch n := len(s.pushed()); {
			case n > 1:
				t.Errorf("%+v: the follower got it %d times", o, n)
			case err == nil && n != 1, err != nil && api.KindOf(err) != api.UnknownDelivery && n != 0:
				t.Errorf("%+v: %v, but the follower got it %d times", o, err, n)
			}
			s.noViolations()
			s.CancelOrder(0)
			s.ask()
			time.Sleep(time.Minute)
			if err := s.text("b"); err != nil {
				t.Errorf("%+v: afterwards %v", o, err)
			}
		})
	}
}

func TestSim_Windows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, done := newSim(t, wechatsim.Options{})
		defer done()
		for i := range 6 {
			if err := s.text("a"); (i == 5) != (api.KindOf(err) == api.CountUsedUp) || i < 5 && err != nil {
				t.Errorf("send %d: %v", i+1, err)
			}
		}
		time.Sleep(48 * time.Hour)
		if err := s.text("a"); api.KindOf(err) != api.WindowClosed {
			t.Errorf("after 48 hours: %v", err)
		}
		if _, err := s.follower.Unfollow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.text("a"); api.KindOf(err) != api.WindowClosed {
			t.Errorf("to who has left: %v", err)
		}
		if err := s.Send(t.Context(), api.Message{To: "oNobody", Content: api.Text{Content: "a"}}); api.KindOf(err) != api.NotReceiving {
			t.Errorf("to nobody: %v", err)
		}
		s.follower.Refuse(true)
		if _, err := s.follower.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.text("a"); api.KindOf(err) != api.NotReceiving {
			t.Errorf("to who refuses: %v", err)
		}
	})
}

func TestSim_Typing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, done := newSim(t, wechatsim.Options{})
		defer done()
		for _, step := range []struct {
			after time.Duration
			want  api.Kind
		}{{0, ""}, {time.Second, api.AlreadyTyping}, {14 * time.Second, ""}, {15 * time.Second, ""}, {15 * time.Second, api.NoRecentExchange}} {
			time.Sleep(step.after)
			if err := s.Typing(t.Context(), openID); api.KindOf(err) != step.want {
				t.Errorf("%v, want %q", err, step.want)
			}
		}
		if s.follower.Typing() {
			t.Error("it is still shown")
		}
		s.noViolations()
	})
}

// A token's whole life, its sudden end, and its secret's: many callers go on beside each other, and each fault costs one fetch.
func TestSim_Tokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, done := newSim(t, wechatsim.Options{Latency: 50 * time.Millisecond})
		defer done()
		var calling sync.WaitGroup
		for range 10 {
			calling.Go(func() {
				for range 300 {
					if _, _, err := s.CurrentMenu(t.Context()); err != nil {
						t.Error(err)
					}
					time.Sleep(3 * time.Minute)
				}
			})
		}
		calling.Wait()
		// 15 hours are eight tokens of two hours, less the minutes before each end.
		if calls, codes := s.Calls(wechatsim.TokenPath); codes[0] != calls || calls < 8 || calls > 9 {
			t.Errorf("%d tokens were fetched, want 8 or 9", calls)
		}
		s.noViolations()
		before, _ := s.Calls(wechatsim.TokenPath)
		s.KillToken()
		for range 10 {
			calling.Go(func() {
				if _, _, err := s.CurrentMenu(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		calling.Wait()
		if after, _ := s.Calls(wechatsim.TokenPath); after != before+1 {
			t.Errorf("a killed token cost %d fetches", after-before)
		}
	})
}

func TestSim_Account(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, done := newSim(t, wechatsim.Options{})
		defer done()
		kind := func(want api.Kind) {
			t.Helper()
			time.Sleep(time.Minute) // what a person has to mend is looked at once a minute
			s.KillToken()
			if _, _, err := s.CurrentMenu(t.Context()); api.KindOf(err) != want {
				t.Errorf("%v, want %q", err, want)
			}
		}
		kind("")
		s.SetSecret("another")
		kind(api.SecretRejected)
		s.SetSecret(secret)
		s.FreezeSecret(true)
		kind(api.SecretFrozen)
		s.FreezeSecret(false)
		s.SetIPList([]netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")})
		for _, from := range []string{"203.0.113.9", "2001:db8::1"} { // a pool of addresses
			s.SeeFrom(netip.MustParseAddr(from))
			kind(api.IPNotListed)
			var e *api.Error
			if err := s.CheckToken(t.Context()); !errors.As(err, &e) || e.Address != netip.MustParseAddr(from) {
				t.Errorf("%v, want the address %s", err, from)
			}
		}
		s.SeeFrom(netip.MustParseAddr("198.51.100.3"))
		kind("")
		s.SetQuota(wechatsim.SelfMenuPath, 0)
		kind(api.QuotaExhausted)
		quota, err := s.Quota(t.Context(), api.SendPath)
		if d := cmp.Diff(api.Quota{Daily: 500_000, Used: 0, Left: 500_000}, quota); err != nil || d != "" {
			t.Errorf("quota (%v, -want +got):\n%s", err, d)
		}
		addresses, err := s.CallbackAddresses(t.Context())
		if err != nil || len(addresses) != 2 {
			t.Errorf("%v, %v", addresses, err)
		}
		check, err := s.CheckCallback(t.Context())
		if err != nil || len(check.Resolved) != 1 || len(check.Pings) != 1 || check.Pings[0].Loss != 0 {
			t.Errorf("%+v, %v", check, err)
		}
		s.noViolations()
	})
}

func TestSim_Kinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, done := newSim(t, wechatsim.Options{})
		defer done()
		s.SetKind(wechatsim.PersonalSubscription)
		jpeg := []byte("\xff\xd8\xff\xe0")
		for name, do := range map[string]func(context.Context) error{
			"send": func(ctx context.Context) error {
				return s.Send(ctx, api.Message{To: openID, Content: api.Text{Content: "a"}})
			},
			"typing": func(ctx context.Context) error { return s.Typing(ctx, openID) },
			"upload": func(ctx context.Context) error {
				_, err := s.UploadMedia(ctx, api.ImageFile, "image/jpeg", jpeg)
				return err
			},
			"download": func(ctx context.Context) error { _, err := s.DownloadMedia(ctx, "x", 1); return err },
			"menu": func(ctx context.Context) error {
				return s.PublishMenu(ctx, []api.Button{{Name: "a", Type: api.ClickButton, Key: "k"}})
			},
			"agents": func(ctx context.Context) error { _, err := s.OnlineAgents(ctx); return err },
		} {
			if err := do(t.Context()); api.KindOf(err) != api.NotEntitled {
				t.Errorf("%s of a personal account: %v", name, err)
			}
		}
		id, err := s.AddMaterial(t.Context(), api.ImageFile, "image/jpeg", jpeg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteMaterial(t.Context(), id); err != nil {
			t.Error(err)
		}
		s.SetKind(wechatsim.TestAccount)
		err = s.Send(t.Context(), api.Message{To: openID, Content: api.Choices{Items: []api.Choice{{ID: "1", Content: "x"}}}})
		if api.KindOf(err) != api.NotEntitled {
			t.Errorf("a msgmenu of a test account: %v", err)
		}
		s.noViolations()
	})
}

func TestSim_Downloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, done := newSim(t, wechatsim.Options{PictureURL: "http://pictures.example"})
		defer done()
		content := wechatsim.SampleAMR(30 * time.Second)
		m, err := s.UploadMedia(t.Context(), api.VoiceFile, "audio/amr", content)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.DownloadMedia(t.Context(), m.ID, int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(d.Body)
		if err != nil || !bytes.Equal(got, content) || d.ContentType != "audio/amr" || d.Size != int64(len(content)) {
			t.Errorf("%d bytes (%v) of %d, %s", len(got), err, d.Size, d.ContentType)
		}
		_ = d.Body.Close()
		if _, err := s.DownloadMedia(t.Context(), m.ID, int64(len(content))-1); api.KindOf(err) != api.TooLarge {
			t.Errorf("more than is wanted: %v", err)
		}
		video, err := s.UploadMedia(t.Context(), api.VideoFile, "video/mp4", []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp41isom"))
		if err != nil {
			t.Fatal(err)
		}
		if d, err := s.DownloadMedia(t.Context(), video.ID, 1); err != nil || !strings.HasPrefix(d.VideoURL, "http://pictures.example/") {
			t.Errorf("a video: %+v, %v", d, err)
		}
		time.Sleep(72 * time.Hour)
		if _, err := s.DownloadMedia(t.Context(), m.ID, 1<<20); api.KindOf(err) != api.MediaGone {
			t.Errorf("after three days: %v", err)
		}
		s.noViolations()
	})
}

func TestSim_Menu(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, done := newSim(t, wechatsim.Options{})
		defer done()
		wanted := []api.Button{
			{Name: "官网", Type: api.ViewButton, URL: "https://a.example/?a=1&b=2"},
			{Name: "更多", Items: []api.Button{
				{Name: "帮助", Type: api.ClickButton, Key: "help"},
				{Name: "咖啡", Type: api.MiniProgramButton, URL: "https://a.example/", AppID: "wx1", PagePath: "p"},
			}},
		}
		if _, _, err := s.Menu2(); api.KindOf(err) != api.NoMenu {
			t.Errorf("no menu: %v", err)
		}
		if buttons, open, err := s.CurrentMenu(t.Context()); err != nil || open || len(buttons) > 0 {
			t.Errorf("no menu is %v, %v, %v", buttons, open, err)
		}
		if err := s.PublishMenu(t.Context(), wanted); err != nil {
			t.Fatal(err)
		}
		current, open, err := s.CurrentMenu(t.Context())
		if err != nil || !open || !api.SameMenu(wanted, current) {
			t.Errorf("published, it is %+v, %v, %v", current, open, err)
		}
		if own, conditional, err := s.Menu2(); err != nil || conditional != 0 || !api.SameMenu(wanted, own) {
			t.Errorf("published, menu/get is %+v, %d, %v", own, conditional, err)
		}
		s.SetConsoleMenu([]wechatsim.Button{{Name: "手工", Type: "text", Value: "v"}})
		if current, _, err = s.CurrentMenu(t.Context()); err != nil || api.SameMenu(wanted, current) {
			t.Errorf("changed by hand, it is %+v, %v", current, err)
		}
		s.noViolations()
		if err := s.PublishMenu(t.Context(), []api.Button{{Name: strings.Repeat("x", api.MaxButtonBytes+1), Type: api.ClickButton, Key: "k"}}); api.KindOf(err) != api.MenuRefused {
			t.Errorf("a name that is too long: %v", err)
		}
		if err := s.DeleteMenu(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Menu2 is the client's: the platform has one of its own.
func (s *sim) Menu2() ([]api.Button, int, error) { return s.Client.Menu(s.Context()) }

func TestSim_Agents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, done := newSim(t, wechatsim.Options{})
		defer done()
		if _, err := s.OnlineAgents(t.Context()); api.KindOf(err) != api.AgentsUnavailable {
			t.Errorf("no customer service: %v", err)
		}
		s.SetAgents([]wechatsim.Agent{{Account: "bo@shop"}})
		if agents, err := s.OnlineAgents(t.Context()); err != nil || len(agents) != 0 {
			t.Errorf("nobody online: %v, %v", agents, err)
		}
		s.SetAgents([]wechatsim.Agent{{Account: "anna@shop", Online: true, AutoAccept: 1}})
		if agent, _, err := s.AgentSession(t.Context(), openID); err != nil || agent != "" {
			t.Errorf("nobody serves: %q, %v", agent, err)
		}
		s.Accept(openID, "anna@shop")
		if agent, since, err := s.AgentSession(t.Context(), openID); err != nil || agent != "anna@shop" || time.Since(since) > time.Second {
			t.Errorf("served by %q since %v, %v", agent, since, err)
		}
		if agents, err := s.OnlineAgents(t.Context()); err != nil || len(agents) != 1 || agents[0] != (api.Agent{Account: "anna@shop", Serving: 1}) {
			t.Errorf("%v, %v", agents, err)
		}
		if first, count, err := s.WaitingFollowers(t.Context()); err != nil || count != 0 || len(first) != 0 {
			t.Errorf("waiting: %v, %d, %v", first, count, err)
		}
		s.CloseSession(openID)
		s.noViolations()
	})
}
