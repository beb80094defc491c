package wechatsim

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWindows(t *testing.T) {
	type step struct {
		after time.Duration
		do    func(*Follower, context.Context) (*Exchange, error)
		sends []int // errcodes of sends that come then
	}
	say := func(f *Follower, ctx context.Context) (*Exchange, error) { return f.Send(ctx, "q") }
	tap := func(f *Follower, ctx context.Context) (*Exchange, error) {
		return f.Tap(ctx, Link{Send: "1", MenuID: "m"})
	}
	click := func(f *Follower, ctx context.Context) (*Exchange, error) { return f.Click(ctx, "k") }
	follow := func(f *Follower, ctx context.Context) (*Exchange, error) { return f.Follow(ctx) }
	scan := func(f *Follower, ctx context.Context) (*Exchange, error) { return f.Scan(ctx, "s") }
	view := func(f *Follower, ctx context.Context) (*Exchange, error) { return f.View(ctx, "u") }
	locate := func(f *Follower, ctx context.Context) (*Exchange, error) { return f.ReportLocation(ctx, "1", "2") }
	leave := func(f *Follower, ctx context.Context) (*Exchange, error) { return f.Unfollow(ctx) }
	for _, test := range []struct {
		name  string
		steps []step
		want  map[Violation]int
	}{
		{"a message opens five, for 48 hours", []step{{0, say, []int{0, 0, 0, 0}}, {48*time.Hour - time.Second, nil, []int{0, 45047}}, {time.Second, nil, []int{45015}}},
			map[Violation]int{SentTooMany: 1, SentOutside: 1}},
		{"a second message resets", []step{{0, say, []int{0, 0, 0}}, {time.Hour, say, []int{0, 0, 0, 0, 0, 45047}}}, map[Violation]int{SentTooMany: 1}},
		{"a click opens three, for a minute", []step{{0, click, []int{0, 0, 0, 45047}}, {time.Minute, nil, []int{45015}}},
			map[Violation]int{SentTooMany: 1, SentOutside: 1}},
		{"a tap on a menu message is a click", []step{{0, tap, []int{0, 0, 0, 45047}}}, map[Violation]int{SentTooMany: 1}},
		{"a follow opens three", []step{{0, follow, []int{0, 0, 0, 45047}}}, map[Violation]int{SentTooMany: 1}},
		{"a scan opens three", []step{{0, scan, []int{0, 0, 0, 45047}}}, map[Violation]int{SentTooMany: 1}},
		{"each kind is its own", []step{{0, say, nil}, {0, click, nil}, {0, follow, nil}, {0, scan, []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 45047}}},
			map[Violation]int{SentTooMany: 1}},
		{"the one that ends first is spent first", []step{{0, say, nil}, {0, click, []int{0, 0, 0}}, {time.Minute, nil, []int{0, 0, 0, 0, 0, 45047}}},
			map[Violation]int{SentTooMany: 1}},
		{"opening a page opens nothing", []step{{0, view, []int{45015}}}, map[Violation]int{SentOutside: 1}},
		{"reporting a location opens nothing", []step{{0, locate, []int{45015}}}, map[Violation]int{SentOutside: 1}},
		{"leaving closes all", []step{{0, say, []int{0}}, {0, leave, []int{45015}}, {0, follow, []int{0}}}, map[Violation]int{SentToNobody: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCaller(t, Options{})
				f := c.Follower(testOpenID)
				for _, s := range test.steps {
					time.Sleep(s.after)
					c.token = c.fetchToken()
					if s.do != nil {
						if _, err := s.do(f, t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					for i, want := range s.sends {
						if got := c.text(testOpenID, "answer"); got != want {
							t.Errorf("send %d: %d, want %d", i+1, got, want)
						}
					}
				}
				c.violations(test.want)
			})
		})
	}
}

func TestPushesAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []Event
		c := newCaller(t, Options{Observer: func(e Event) {
			if e.Type == BubbleShown || e.Type == TypingShown {
				seen = append(seen, e)
			}
		}})
		f := c.Follower(testOpenID)
		must(f.Send(t.Context(), "q"))
		if n := f.SendsLeft(); n != 5 {
			t.Errorf("%d sends left, want 5", n)
		}
		shown := f.Shown()
		id, _ := c.upload(UploadPath, "image", "a.gif", gif)["media_id"].(string)
		next := make(chan []Bubble, 1)
		go func() {
			b, err := f.Next(t.Context(), shown)
			if err != nil {
				t.Error(err)
			}
			next <- b
		}()
		synctest.Wait()
		if got := c.typing(testOpenID); got != 0 || !f.Typing() {
			t.Errorf("typing: %d, shown %v", got, f.Typing())
		}
		c.text(testOpenID, `a <a href="https://a.example/">page</a>`)
		if f.Typing() {
			t.Error("typing is shown behind the answer")
		}
		if b := <-next; len(b) != 1 || b[0].Text != `a <a href="https://a.example/">page</a>` {
			t.Errorf("Next = %+v", b)
		}
		for _, body := range []string{
			`"msgtype":"image","image":{"media_id":"` + id + `"},"customservice":{"kf_account":"anna@shop"}`,
			`"msgtype":"msgmenu","msgmenu":{"head_content":"还想问：","list":[{"id":"s1","content":"几点开门？"},{"id":"s2","content":"怎么退书？"}],"tail_content":"。"}`,
			`"msgtype":"news","news":{"articles":[{"title":"全文","description":"d","url":"https://a.example/a","picurl":"https://a.example/p"}]}`,
		} {
			if answer := c.post(SendPath, `{"touser":"`+testOpenID+`",`+body+`}`); code(answer) != 0 {
				t.Errorf("%s: %v", body, answer)
			}
		}
		now := time.Now()
		want := []Bubble{
			{At: now, From: FromFollower, Type: "text", Text: "q"},
			{At: now, From: FromAccount, Type: "text", Text: `a <a href="https://a.example/">page</a>`, Links: []Link{{Label: "page", URL: "https://a.example/"}}, Pushed: true, AI: true},
			{At: now, From: FromAccount, Type: "image", Text: "[image]", MediaID: id, Pushed: true, Agent: "anna@shop"},
			{At: now, From: FromAccount, Type: "msgmenu", Text: "还想问：\n几点开门？\n怎么退书？\n。", Pushed: true, Links: []Link{
				{Label: "几点开门？", Send: "几点开门？", MenuID: "s1"}, {Label: "怎么退书？", Send: "怎么退书？", MenuID: "s2"}}},
			{At: now, From: FromAccount, Type: "news", Text: "全文", Description: "d", Links: []Link{{Label: "全文", URL: "https://a.example/a"}}, Pushed: true},
		}
		if d := cmp.Diff(want, f.Transcript()); d != "" {
			t.Errorf("transcript (-want +got):\n%s", d)
		}
		if len(seen) != 5 || !seen[0].Typing || seen[0].OpenID != testOpenID || seen[1].Bubble.Text != want[1].Text {
			t.Errorf("the observer was told %+v", seen)
		}
		if data, contentType := c.Media(id); !bytes.Equal(data, gif) || contentType != "image/gif" {
			t.Errorf("the picture is %q, %s", data, contentType)
		}
		if x := must(f.Tap(t.Context(), f.Transcript()[3].Links[1])); x.Sent != "怎么退书？" {
			t.Errorf("tapped, it says %q", x.Sent)
		}
		c.violations(nil)
	})
}

func TestNext_ContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b, err := c.Follower("").Next(ctx, 0); !errors.Is(err, context.DeadlineExceeded) || b != nil {
			t.Errorf("Next = %v, %v", b, err)
		}
	})
}

func TestTypingRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		f := c.Follower(testOpenID)
		check := func(what string, want int) {
			t.Helper()
			if got := c.typing(testOpenID); got != want {
				t.Errorf("%s: %d, want %d", what, got, want)
			}
		}
		check("before any window", 45015)
		must(f.Send(t.Context(), "q"))
		check("at once", 0)
		check("again", 45081)
		time.Sleep(typingShown)
		if f.Typing() {
			t.Error("it is shown for too long")
		}
		check("after 15 s", 0)
		time.Sleep(typingShown)
		check("after 30 s", 0)
		time.Sleep(typingShown)
		check("after 45 s", 45080)
		c.text(testOpenID, "a part")
		check("after a part", 0)
		if got := code(c.post(TypingPath, `{"touser":"`+testOpenID+`","command":"CancelTyping"}`)); got != 0 || f.Typing() {
			t.Errorf("cancelling: %d, shown %v", got, f.Typing())
		}
		check("after cancelling", 0)
		if got := code(c.post(TypingPath, `{"touser":"`+testOpenID+`","command":"Stop"}`)); got != 45072 {
			t.Errorf("another command: %d", got)
		}
		if got := c.typing("oNobody"); got != 40003 {
			t.Errorf("to nobody: %d", got)
		}
		c.violations(map[Violation]int{TypedOutside: 1, BadBody: 1, SentToNobody: 1})
	})
}

func TestBadSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		f := c.Follower(testOpenID)
		must(f.Send(t.Context(), "q"))
		to := `{"touser":"` + testOpenID + `",`
		voice, _ := c.upload(UploadPath, "voice", "a.amr", SampleAMR(time.Second))["media_id"].(string)
		thumb, _ := c.upload(UploadPath, "thumb", "a.jpg", []byte("\xff\xd8\xff\xe0"))["thumb_media_id"].(string)
		for _, test := range []struct {
			body string
			want int
			rule Violation
		}{
			{to + `"msgtype":"text","text":{"content":" \n "}}`, 44004, BlankText},
			{to + `"msgtype":"text","text":{"content":"` + strings.Repeat("x", 2049) + `"}}`, 45002, LongText},
			{to + `"msgtype":"text","text":{"content":"\u003ca\u003e"}}`, 40033, Escaped},
			{to + `"msgtype":"text","text":`, 47001, BadBody},
			{`[]`, 47001, BadBody},
			{``, 44002, BadBody},
			{to + `"msgtype":"text","text":[]}`, 47001, BadBody},
			{to + `"msgtype":"link","link":{}}`, 40008, BadBody},
			{to + `"msgtype":"image","image":{"media_id":"never"}}`, 40007, BadMedia},
			{to + `"msgtype":"image","image":{"media_id":"` + voice + `"}}`, 40007, BadMedia},
			{to + `"msgtype":"voice","voice":{"media_id":"` + thumb + `"}}`, 40007, BadMedia},
			{to + `"msgtype":"video","video":{"media_id":"never","thumb_media_id":"` + thumb + `"}}`, 40007, BadMedia},
			{to + `"msgtype":"music","music":{"title":"t","thumb_media_id":"never"}}`, 40007, BadMedia},
			{to + `"msgtype":"mpnews","mpnews":{"media_id":"never"}}`, 40007, BadMedia},
			{to + `"msgtype":"mpnewsarticle","mpnewsarticle":{}}`, 47001, BadBody},
			{to + `"msgtype":"wxcard","wxcard":{}}`, 47001, BadBody},
			{to + `"msgtype":"miniprogrampage","miniprogrampage":{"title":"t"}}`, 47001, BadBody},
			{to + `"msgtype":"miniprogrampage","miniprogrampage":{"title":"t","appid":"a","pagepath":"p","thumb_media_id":"x"}}`, 40007, BadMedia},
			{to + `"msgtype":"news","news":{"articles":[{},{}]}}`, 45008, BadBody},
			{to + `"msgtype":"news","news":{"articles":[{"title":"t"}]}}`, 47001, BadBody},
			{to + `"msgtype":"msgmenu","msgmenu":{"head_content":"h"}}`, 47001, BadBody},
			{to + `"msgtype":"msgmenu","msgmenu":{"list":[{"id":"","content":"x"}]}}`, 47001, BadBody},
			{`{"touser":"oNobody","msgtype":"text","text":{"content":"x"}}`, 40003, SentToNobody},
		} {
			before := c.Violations()
			if got := code(c.post(SendPath, test.body)); got != test.want {
				t.Errorf("%.80s: %d, want %d", test.body, got, test.want)
			}
			after := c.Violations()
			before[test.rule]++
			if !cmp.Equal(before, after) {
				t.Errorf("%.80s: violations %v, want one more of %q", test.body, after, test.rule)
			}
		}
		fine := []string{
			`"msgtype":"voice","voice":{"media_id":"` + voice + `"}`,
			`"msgtype":"mpnewsarticle","mpnewsarticle":{"article_id":"a"}`,
			`"msgtype":"wxcard","wxcard":{"card_id":"c"}`,
			`"msgtype":"miniprogrampage","miniprogrampage":{"title":"t","appid":"a","pagepath":"p","thumb_media_id":"` + thumb + `"}`,
			`"msgtype":"music","music":{"title":"t","musicurl":"https://a.example/m","thumb_media_id":"` + thumb + `"}`,
		}
		for _, body := range fine {
			if got := c.post(SendPath, to+body+"}"); code(got) != 0 {
				t.Errorf("%s: %v", body, got)
			}
		}
		must(f.Send(t.Context(), `\u is no escape`))
		if got := c.text(testOpenID, `C:\users`); got != 0 {
			t.Errorf("an escaped backslash: %d", got)
		}
		f.Refuse(true)
		if got := c.text(testOpenID, "x"); got != 48002 {
			t.Errorf("to who refuses: %d", got)
		}
	})
}

func TestBadCalls(t *testing.T) {
	c := newCaller(t, Options{})
	if got := code(c.get("/cgi-bin/token")); got != 40066 {
		t.Errorf("a call that does not exist: %d", got)
	}
	if a, b := code(c.get(SendPath)), code(c.post(SelfMenuPath, "{}")); a != 43002 || b != 43001 {
		t.Errorf("the wrong methods: %d and %d", a, b)
	}
	if got := code(c.post(CheckPath, `{"action":"x","check_operator":"DEFAULT"}`)); got != 40202 {
		t.Errorf("a wrong action: %d", got)
	}
	if got := code(c.post(CheckPath, `{"action":"all","check_operator":"x"}`)); got != 40203 {
		t.Errorf("a wrong operator: %d", got)
	}
	if got := code(c.post(QuotaPath, `{"cgi_path":"https://api.weixin.qq.com/x"}`)); got != 76003 {
		t.Errorf("a quota of nothing: %d", got)
	}
	c.violations(map[Violation]int{NoSuchCall: 3, BadBody: 3})
	if calls, codes := c.Calls(SendPath); calls != 1 || codes[43002] != 1 {
		t.Errorf("counted %d %v", calls, codes)
	}
	if calls, codes := c.Calls(uncalled); calls != 0 || codes != nil {
		t.Errorf("of a call that was not made: %d %v", calls, codes)
	}
}

const uncalled = UploadPath

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		c.SetQuota(SendPath, 2)
		must(c.Follower(testOpenID).Send(t.Context(), "q"))
		for i, want := range []int{0, 0, 45009} {
			if got := c.text(testOpenID, "a"); got != want {
				t.Errorf("send %d: %d, want %d", i+1, got, want)
			}
		}
		quota, _ := c.post(QuotaPath, `{"cgi_path":"`+SendPath+`"}`)["quota"].(map[string]any)
		if d := cmp.Diff(map[string]any{"daily_limit": 2.0, "used": 2.0, "remain": 0.0}, quota); d != "" {
			t.Errorf("quota (-want +got):\n%s", d)
		}
		time.Sleep(time.Until(time.Date(2000, 1, 1, 16, 0, 0, 0, time.UTC))) // midnight in Beijing
		c.token = c.fetchToken()
		if got := c.text(testOpenID, "a"); got != 0 {
			t.Errorf("the next day: %d", got)
		}
		c.SetKind(TestAccount)
		quota, _ = c.post(QuotaPath, `{"cgi_path":"`+UploadPath+`"}`)["quota"].(map[string]any)
		if quota["daily_limit"] != 500.0 {
			t.Errorf("a test account's quota: %v", quota)
		}
		c.violations(nil)
	})
}

func TestParallelSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{Latency: time.Second})
		c.token = c.fetchToken()
		must(c.Follower(testOpenID).Send(t.Context(), "q"))
		must(c.Follower("oAnother").Send(t.Context(), "q"))
		var sending sync.WaitGroup
		for _, to := range []string{testOpenID, "oAnother"} {
			sending.Go(func() { c.text(to, "1"); c.text(to, "2") })
		}
		sending.Wait()
		c.violations(nil)
		for range 2 {
			sending.Go(func() { c.text(testOpenID, "3") })
		}
		sending.Wait()
		c.violations(map[Violation]int{SentParallel: 1})
	})
}
