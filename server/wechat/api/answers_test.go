package api

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// picture begins as a JPEG does.
var picture = []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00")

// reading makes one call and gives what the caller gets of it.
type reading struct {
	api  string
	call func(context.Context, *Client) (any, error)
	want any
}

func apiMenu(items ...Button) []Button {
	return []Button{{Name: "今日歌曲", Type: ClickButton, Key: "V1001_TODAY_MUSIC"}, {Name: "菜单", Items: items}}
}

type menuAnswer struct {
	Buttons     []Button
	Conditional int
	Open        bool
}

type sessionAnswer struct {
	Agent string
	Since int64
}

type waitingAnswer struct {
	First []Waiting
	Count int
}

func publish(ctx context.Context, c *Client) (any, error) {
	return nil, c.PublishMenu(ctx, []Button{{Name: "帮助", Type: ClickButton, Key: "help"}})
}

func readMenu(ctx context.Context, c *Client) (any, error) {
	buttons, conditional, err := c.Menu(ctx)
	return menuAnswer{Buttons: buttons, Conditional: conditional}, err
}

func readCurrentMenu(ctx context.Context, c *Client) (any, error) {
	buttons, open, err := c.CurrentMenu(ctx)
	return menuAnswer{Buttons: buttons, Open: open}, err
}

func upload(t MediaType, contentType string) func(context.Context, *Client) (any, error) {
	return func(ctx context.Context, c *Client) (any, error) { return c.UploadMedia(ctx, t, contentType, picture) }
}

func readSession(ctx context.Context, c *Client) (any, error) {
	agent, since, err := c.AgentSession(ctx, testOpenID)
	if since.IsZero() {
		return sessionAnswer{agent, 0}, err
	}
	return sessionAnswer{agent, since.Unix()}, err
}

func readAgents(ctx context.Context, c *Client) (any, error)    { return c.OnlineAgents(ctx) }
func readAddresses(ctx context.Context, c *Client) (any, error) { return c.CallbackAddresses(ctx) }
func readCheck(ctx context.Context, c *Client) (any, error)     { return c.CheckCallback(ctx) }

// fixtureAnswers is how the fixtures of answers are read. The fake clock starts at 2000-01-01: media expire three days later at the
// latest, whatever created_at says.
var fixtureAnswers = map[string]reading{
	"stable_token.json": {tokenAPI, func(ctx context.Context, c *Client) (any, error) { return nil, c.CheckToken(ctx) }, nil},
	"custom_send.json": {sendAPI, func(ctx context.Context, c *Client) (any, error) {
		return nil, c.Send(ctx, Message{To: testOpenID, Content: Text{"x"}})
	}, nil},
	"custom_typing.json": {typingAPI, func(ctx context.Context, c *Client) (any, error) { return nil, c.Typing(ctx, testOpenID) }, nil},
	"media_upload.image.json": {uploadAPI, upload(ImageFile, "image/jpeg"),
		Media{"wxOpFixtureMedia_3Kx7-QpLm2ZtVbNc8RfYh5JdWsGk0AeUi", time.Date(2000, 1, 4, 0, 0, 0, 0, time.UTC)}},
	"media_upload.newer.json": {uploadAPI, upload(VoiceFile, "audio/amr"),
		Media{"wxOpFixtureMedia_9Tb1-RsNk4XuYcPe6QgZi7LfVrHm2BdOa", time.Date(2000, 1, 4, 0, 0, 0, 0, time.UTC)}},
	"media_upload.thumb.json": {uploadAPI, upload(ThumbFile, "image/jpeg"),
		Media{"wxOpFixtureMedia_5Ha4-UwBj8CyDnEr1SkTl3MgXpQv6FoIz", time.Date(2000, 1, 4, 0, 0, 0, 0, time.UTC)}},
	"media_get.video.json": {downloadAPI, func(ctx context.Context, c *Client) (any, error) {
		d, err := c.DownloadMedia(ctx, "id", 1)
		if err != nil {
			return nil, err
		}
		return d.VideoURL, d.Body.Close()
	}, "http://vweixinp.tc.qq.com/1007_wxopfixture.f10.mp4?vkey=0123456789ABCDEF&sha=0&save=1"},
	"add_material.json": {addMaterialAPI, func(ctx context.Context, c *Client) (any, error) {
		return c.AddMaterial(ctx, ImageFile, "image/jpeg", picture)
	}, "wxOpFixtureMaterial_Zt5Qk1Vb8Lx3Rm7Nc2Yf"},
	"del_material.json": {deleteMaterialAPI, func(ctx context.Context, c *Client) (any, error) { return nil, c.DeleteMaterial(ctx, "id") }, nil},
	"menu_create.json":  {createMenuAPI, publish, nil},
	"menu_delete.json":  {deleteMenuAPI, func(ctx context.Context, c *Client) (any, error) { return nil, c.DeleteMenu(ctx) }, nil},
	"menu_get.json": {menuAPI, readMenu, menuAnswer{Buttons: apiMenu(
		Button{Name: "搜索", Type: ViewButton, URL: "http://www.soso.com/"},
		Button{Name: "wxa", Type: MiniProgramButton, URL: "http://mp.weixin.qq.com", AppID: testAppID, PagePath: "pages/lunar/index"},
		Button{Name: "赞一下我们", Type: ClickButton, Key: "V1001_GOOD"})}},
	"menu_get.conditional.json": {menuAPI, readMenu, menuAnswer{Buttons: apiMenu()[:1], Conditional: 1}},
	"selfmenu.api.json": {currentMenuAPI, readCurrentMenu, menuAnswer{Open: true, Buttons: apiMenu(
		Button{Name: "搜索", Type: ViewButton, URL: "http://www.soso.com/"},
		Button{Name: "视频", Type: ViewButton, URL: "http://v.qq.com/"},
		Button{Name: "赞一下我们", Type: ClickButton, Key: "V1001_GOOD"})}},
	"selfmenu.console.json": {currentMenuAPI, readCurrentMenu, menuAnswer{Open: true, Buttons: []Button{
		{Name: "button", Items: []Button{
			{Name: "view_url", Type: ViewButton, URL: "http://www.qq.com"},
			{Name: "news", Type: "news", Value: "wxOpFixtureMaterial_KQb0Tiz1nSdVLoTV35Psmty8"},
			{Name: "video", Type: "video", Value: "http://61.182.130.30/vweixinp.tc.qq.com/1007_wxop.f10.mp4"},
			{Name: "voice", Type: "voice", Value: "wxOpFixtureMedia_nTXe3aghlQ4XYHa0AQPWiQQbFW9RVtaY"},
		}},
		{Name: "text", Type: "text", Value: "This is text!"},
		{Name: "photo", Type: "img", Value: "wxOpFixtureMedia_ax5Whs5dsoomJLEppAvftBUuH7CgXCZG"},
	}}},
	"selfmenu.closed.json":    {currentMenuAPI, readCurrentMenu, menuAnswer{}},
	"onlinekflist.json":       {onlineAgentsAPI, readAgents, []Agent{{"anna@bookshop", 1}, {"cai@bookshop", 0}}},
	"onlinekflist.empty.json": {onlineAgentsAPI, readAgents, []Agent{}},
	"kfsession.json":          {sessionAPI, readSession, sessionAnswer{"anna@bookshop", 1767225600}},
	"kfsession.none.json":     {sessionAPI, readSession, sessionAnswer{}},
	"waitcase.json": {waitingAPI, func(ctx context.Context, c *Client) (any, error) {
		first, count, err := c.WaitingFollowers(ctx)
		return waitingAnswer{first, count}, err
	}, waitingAnswer{[]Waiting{
		{testOpenID, time.Unix(1767225600, 0)}, {"oTk5q6WcY7bZr-0PqX2mN8sLdE4B", time.Unix(1767225601, 0)},
	}, 150}},
	"callbackip.json": {callbackAddressesAPI, readAddresses, []netip.Prefix{
		netip.MustParsePrefix("101.226.103.0/25"), netip.MustParsePrefix("121.51.162.4/32"), netip.MustParsePrefix("2402:4e00:1900::/48"),
	}},
	"callbackip.older.json": {callbackAddressesAPI, readAddresses, []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/24"), netip.MustParsePrefix("183.60.2.0/24"),
	}},
	"callback_check.json": {callbackCheckAPI, readCheck, CallbackCheck{
		Resolved: []netip.Addr{netip.MustParseAddr("111.161.64.40"), netip.MustParseAddr("111.161.64.48")},
		Pings: []Ping{
			{netip.MustParseAddr("111.161.64.40"), "UNICOM", 0, 23079 * time.Microsecond},
			{netip.MustParseAddr("111.161.64.48"), "UNICOM", 0, 21434 * time.Microsecond},
		},
	}},
	"callback_check.unreachable.json": {callbackCheckAPI, readCheck, CallbackCheck{
		Resolved: []netip.Addr{netip.MustParseAddr("3.13.191.225")},
		Pings:    []Ping{{netip.MustParseAddr("3.13.191.225"), "DEFAULT", 1, 0}},
	}},
	"quota.json": {quotaAPI, func(ctx context.Context, c *Client) (any, error) { return c.Quota(ctx, SendPath) }, Quota{500000, 1234, 498766}},
}

func TestAnswers_Fixtures(t *testing.T) {
	compared := []cmp.Option{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	for _, name := range fixtures(t, "answers") {
		read, ok := fixtureAnswers[name]
		if !ok {
			t.Errorf("answers/%s is in no table", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, f := newFake(t, Options{})
				defer c.Close()
				f.on(read.api, f.says(fixture(t, "answers/"+name)))
				got, err := read.call(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(read.want, got, compared...); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		})
	}
}

// hostile answers that say something after all; all others say nothing.
var notHostile = map[string]Kind{"message_object.json": WindowClosed}

// withoutCode have no errcode: to any call but a send they are answers, though without what they should hold.
var withoutCode = map[string]bool{"no_code.json": true, "code_null.json": true}

func TestAnswers_Hostile(t *testing.T) {
	for _, name := range fixtures(t, "hostile") {
		body := fixture(t, "hostile/"+name)
		for read, answer := range fixtureAnswers {
			if answer.api == downloadAPI {
				continue // what is no JSON is a file: TestDownload
			}
			synctest.Test(t, func(t *testing.T) {
				c, f := newFake(t, Options{})
				defer c.Close()
				f.on(answer.api, f.says(body))
				_, err := answer.call(t.Context(), c)
				want := BadAnswer
				switch {
				case notHostile[name] != "":
					want = notHostile[name]
				case answer.api == sendAPI, answer.api == addMaterialAPI:
					want = UnknownDelivery
				case withoutCode[name] && answer.want == nil && answer.api != tokenAPI,
					withoutCode[name] && (answer.api == onlineAgentsAPI || answer.api == sessionAPI || answer.api == waitingAPI || answer.api == callbackCheckAPI):
					want = ""
				}
				if got := KindOf(err); got != want {
					t.Errorf("%s answered with %s: %v, want %q", read, name, err, want)
				}
				if n := f.count(answer.api); n != 1 {
					t.Errorf("%s answered with %s: %d calls, want 1", read, name, n)
				}
			})
		}
	}
}

func TestAnswers_TooLong(t *testing.T) {
	c, f := newFake(t, Options{})
	f.on(currentMenuAPI, f.says(`{"is_menu_open":0,"x":"`+strings.Repeat("x", maxAnswer)+`"}`))
	if _, _, err := c.CurrentMenu(t.Context()); KindOf(err) != BadAnswer {
		t.Errorf("an endless answer: %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, folder := range []string{"answers", "errors", "hostile"} {
		for _, name := range fixtures(f, folder) {
			f.Add([]byte(fixture(f, folder+"/"+name)))
		}
	}
	f.Add([]byte(`{"errcode":0,"is_menu_open":1,"selfmenu_info":{"button":[{"sub_button":{"list":[{"sub_button":[{}]}]}}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		synctest.Test(t, func(t *testing.T) { // a busy WeChat is asked again, after a pause
			for _, read := range fixtureAnswers {
				checkReading(t, read, body)
			}
		})
	})
}

// checkReading takes no answer for a success but one that says so, and makes of every other an error that can be logged.
func checkReading(t *testing.T, read reading, body []byte) {
	t.Helper()
	c, fake := newFake(t, Options{})
	defer c.Close()
	fake.on(read.api, fake.says(string(body)))
	if _, err := read.call(t.Context(), c); err != nil {
		if text := asError(t, err).Error(); len(text) > 400 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%s: %q says %q", read.api, body, text)
		}
		return
	}
	if read.api == downloadAPI && !startsObject(body) {
		return
	}
	code, _, ok := errcode(body)
	if !ok || code != nil && *code != 0 || code == nil && read.api == sendAPI {
		t.Fatalf("%s: %q is taken for a success", read.api, body)
	}
}
