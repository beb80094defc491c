package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestSend_EveryType(t *testing.T) {
	for _, test := range []struct {
		name    string
		message Message
		body    string
	}{
		{"text", Message{Content: Text{`<a href="https://a.example/?a=1&b=2">链接</a>` + "\n第二行 😀"}},
			`"msgtype":"text","text":{"content":"<a href=\"https://a.example/?a=1&b=2\">链接</a>\n第二行 😀"}`},
		{"image", Message{Content: Image{"m1"}}, `"msgtype":"image","image":{"media_id":"m1"}`},
		{"voice", Message{Content: Voice{"m1"}}, `"msgtype":"voice","voice":{"media_id":"m1"}`},
		{"video", Message{Content: Video{MediaID: "m1", ThumbMediaID: "m2"}}, `"msgtype":"video","video":{"media_id":"m1","thumb_media_id":"m2"}`},
		{"video with words", Message{Content: Video{"m1", "m2", "t", "d"}},
			`"msgtype":"video","video":{"media_id":"m1","thumb_media_id":"m2","title":"t","description":"d"}`},
		{"music", Message{Content: Music{"t", "d", "https://a.example/m", "", "m2"}},
			`"msgtype":"music","music":{"title":"t","description":"d","musicurl":"https://a.example/m","thumb_media_id":"m2"}`},
		{"music in high quality", Message{Content: Music{"t", "d", "u", "hq", "m2"}},
			`"msgtype":"music","music":{"title":"t","description":"d","musicurl":"u","hqmusicurl":"hq","thumb_media_id":"m2"}`},
		{"news", Message{Content: News{"t", "d", "https://a.example/", "https://a.example/p.png"}},
			`"msgtype":"news","news":{"articles":[{"title":"t","description":"d","url":"https://a.example/","picurl":"https://a.example/p.png"}]}`},
		{"mpnews", Message{Content: MPNews{"m1"}}, `"msgtype":"mpnews","mpnews":{"media_id":"m1"}`},
		{"mpnewsarticle", Message{Content: MPNewsArticle{"a1"}}, `"msgtype":"mpnewsarticle","mpnewsarticle":{"article_id":"a1"}`},
		{"msgmenu", Message{Content: Choices{"您想问：", []Choice{{"s1", "几点开门？"}, {"s2", "怎么退书？"}}, ""}},
			`"msgtype":"msgmenu","msgmenu":{"head_content":"您想问：","list":[{"id":"s1","content":"几点开门？"},{"id":"s2","content":"怎么退书？"}]}`},
		{"wxcard", Message{Content: Card{"c1"}}, `"msgtype":"wxcard","wxcard":{"card_id":"c1"}`},
		{"miniprogrampage", Message{Content: MiniProgramPage{"t", "wx1", "pages/i", "m2"}},
			`"msgtype":"miniprogrampage","miniprogrampage":{"title":"t","appid":"wx1","pagepath":"pages/i","thumb_media_id":"m2"}`},
		{"by AI", Message{Content: Image{"m1"}, AI: true}, `"msgtype":"image","image":{"media_id":"m1"},"aimsgcontext":{"is_ai_msg":1}`},
		{"by an agent", Message{Content: Image{"m1"}, Agent: "anna@shop"},
			`"msgtype":"image","image":{"media_id":"m1"},"customservice":{"kf_account":"anna@shop"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, f := newFake(t, Options{})
			test.message.To = testOpenID
			if err := c.Send(t.Context(), test.message); err != nil {
				t.Fatal(err)
			}
			got := f.last(sendAPI)
			if d := cmp.Diff(`{"touser":"`+testOpenID+`",`+test.body+`}`, got.body); d != "" {
				t.Errorf("body (-want +got):\n%s", d)
			}
			if got.method != http.MethodPost || got.query.Get("access_token") != "token-1" || len(got.query) != 1 ||
				got.header.Get("Content-Type") != "application/json; charset=utf-8" || got.header.Get("User-Agent") != "wechatbot" {
				t.Errorf("%s ?%v %v", got.method, got.query, got.header)
			}
		})
	}
}

func TestSend_NeverAsksWhatIsWrong(t *testing.T) {
	full := strings.Repeat("字", MaxTextBytes/3)
	for name, test := range map[string]struct {
		message Message
		want    Kind
	}{
		"no addressee":             {Message{Content: Text{"x"}}, Invalid},
		"no content":               {Message{To: testOpenID}, Invalid},
		"an empty text":            {Message{To: testOpenID, Content: Text{}}, Invalid},
		"a blank text":             {Message{To: testOpenID, Content: Text{" \n\t　\u00a0"}}, Invalid},
		"control characters":       {Message{To: testOpenID, Content: Text{"\x00\x07\x1b\x7f"}}, Invalid},
		"a text that is too long":  {Message{To: testOpenID, Content: Text{full + "xyz"}}, TooLarge},
		"an image without id":      {Message{To: testOpenID, Content: Image{}}, Invalid},
		"a voice without id":       {Message{To: testOpenID, Content: Voice{}}, Invalid},
		"a video without cover":    {Message{To: testOpenID, Content: Video{MediaID: "m1"}}, Invalid},
		"music without cover":      {Message{To: testOpenID, Content: Music{"t", "d", "u", "", ""}}, Invalid},
		"news without picture":     {Message{To: testOpenID, Content: News{"t", "d", "u", ""}}, Invalid},
		"mpnews without id":        {Message{To: testOpenID, Content: MPNews{}}, Invalid},
		"an article without id":    {Message{To: testOpenID, Content: MPNewsArticle{}}, Invalid},
		"a card without id":        {Message{To: testOpenID, Content: Card{}}, Invalid},
		"a page without cover":     {Message{To: testOpenID, Content: MiniProgramPage{"t", "a", "p", ""}}, Invalid},
		"a menu without items":     {Message{To: testOpenID, Content: Choices{Head: "h"}}, Invalid},
		"an item without id":       {Message{To: testOpenID, Content: Choices{Items: []Choice{{"", "x"}}}}, Invalid},
		"an item without content":  {Message{To: testOpenID, Content: Choices{Items: []Choice{{"1", " "}}}}, Invalid},
		"a menu that is too large": {Message{To: testOpenID, Content: Choices{Head: full, Items: []Choice{{"1", "xyz"}}}}, TooLarge},
	} {
		c, f := newFake(t, Options{})
		if err := c.Send(t.Context(), test.message); KindOf(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if len(f.calls) != 0 {
			t.Errorf("%s: WeChat was asked", name)
		}
	}
	c, _ := newFake(t, Options{})
	if err := c.Send(t.Context(), Message{To: testOpenID, Content: Text{full + "xy"}}); err != nil {
		t.Errorf("a text of %d bytes: %v", MaxTextBytes, err)
	}
}

// Every way in which a send can end, and whether it may be sent again: by the kind, and by how often it went out.
func TestSend_Outcome(t *testing.T) {
	type answer = func(*fakeWeChat) script
	says := func(body string) answer {
		return func(f *fakeWeChat) script { return f.says(body) }
	}
	status := func(code int, body string) answer {
		return func(f *fakeWeChat) script { return f.answers(code, "text/html", body) }
	}
	breaks := func(err error) answer {
		return func(f *fakeWeChat) script { return f.breaks(err) }
	}
	refuses := func(err error) answer {
		return func(f *fakeWeChat) script { return f.refuses(err) }
	}
	cuts := func(start string) answer {
		return func(f *fakeWeChat) script { return f.cuts(start) }
	}
	hangs := func(f *fakeWeChat) script { return f.hangs() }
	code := func(t *testing.T, n string) answer { return says(fixture(t, "errors/"+n+".json")) }
	for _, test := range []struct {
		name  string
		first answer
		then  answer // to the second attempt; nil: as the first
		want  Kind
		sends int
	}{
		{"taken", says(okAnswer), nil, "", 1},
		{"500", status(500, "Internal Server Error"), nil, UnknownDelivery, 1},
		{"500 with an errcode", status(500, `{"errcode":45015}`), nil, UnknownDelivery, 1},
		{"502", status(502, "<html>"), nil, UnknownDelivery, 1},
		{"404", status(404, "<html>"), nil, UnknownDelivery, 1},
		{"a redirect", status(302, ""), nil, UnknownDelivery, 1},
		{"204", status(204, ""), nil, UnknownDelivery, 1},
		{"HTML", status(200, "<html>"), nil, UnknownDelivery, 1},
		{"nothing", says(""), nil, UnknownDelivery, 1},
		{"busy", code(t, "-1"), nil, UnknownDelivery, 1},
		{"no errcode", says(`{"errmsg":"ok"}`), nil, UnknownDelivery, 1},
		{"a connection that breaks", breaks(io.EOF), nil, UnknownDelivery, 1},
		{"a connection that is reset", breaks(syscall.ECONNRESET), nil, UnknownDelivery, 1},
		{"half an answer", cuts(`{"errcode":0,"err`), nil, UnknownDelivery, 1},
		{"half an answer that would do", cuts(`{"errcode":0}`), nil, UnknownDelivery, 1},
		{"silence", hangs, nil, UnknownDelivery, 1},
		{"a closed port", refuses(syscall.ECONNREFUSED), nil, Unreachable, 2},
		{"a closed port, then open", refuses(syscall.ECONNREFUSED), says(okAnswer), "", 2},
		{"a closed port, then it breaks", refuses(syscall.ECONNREFUSED), breaks(io.EOF), UnknownDelivery, 2},
		{"the window is closed", code(t, "45015"), nil, WindowClosed, 1},
		{"the count is used up", code(t, "45047"), nil, CountUsedUp, 1},
		{"not entitled", code(t, "48001"), nil, NotEntitled, 1},
		{"the day's quota", code(t, "45009"), nil, QuotaExhausted, 1},
		{"too often", says(`{"errcode":45011}`), nil, TooOften, 1},
		{"an expired token, then fine", code(t, "42001"), says(okAnswer), "", 2},
		{"an unknown token, twice", code(t, "40001"), nil, TokenExpired, 2},
		{"an expired token, then the window is closed", code(t, "40014"), code(t, "45015"), WindowClosed, 2},
		{"an expired token, then it breaks", code(t, "42001"), breaks(io.EOF), UnknownDelivery, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, f := newFake(t, Options{})
				defer c.Close()
				answers := []script{test.first(f)}
				if test.then != nil {
					answers = append(answers, test.then(f))
				}
				f.on(sendAPI, answers...)
				err := c.Send(t.Context(), Message{To: testOpenID, Content: Text{"x"}})
				if KindOf(err) != test.want || (err == nil) != (test.want == "") {
					t.Errorf("%v, want %q", err, test.want)
				}
				if n := f.count(sendAPI); n != test.sends {
					t.Errorf("it went out %d times, want %d", n, test.sends)
				}
			})
		})
	}
}

// A caller that gives up does not know more of its message than one that waits.
func TestSend_CallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(t, Options{})
		defer c.Close()
		f.on(sendAPI, f.hangs())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Send(ctx, Message{To: testOpenID, Content: Text{"x"}})
		if KindOf(err) != UnknownDelivery || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want UnknownDelivery by the deadline", err)
		}
		f.on(sendAPI, f.refuses(context.DeadlineExceeded))
		if err := c.Send(ctx, Message{To: testOpenID, Content: Text{"x"}}); KindOf(err) != Canceled || f.count(sendAPI) != 2 {
			t.Errorf("with a context that has ended: %v after %d sends, want Canceled", err, f.count(sendAPI))
		}
	})
}

func TestTyping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(t, Options{})
		defer c.Close()
		for command, do := range map[string]func(context.Context, string) error{"Typing": c.Typing, "CancelTyping": c.CancelTyping} {
			if err := do(t.Context(), testOpenID); err != nil {
				t.Fatal(err)
			}
			if got, want := f.last(typingAPI).body, `{"touser":"`+testOpenID+`","command":"`+command+`"}`; got != want {
				t.Errorf("body %s, want %s", got, want)
			}
		}
		f.on(typingAPI, f.says(fixture(t, "errors/45081.json")), f.says(fixture(t, "errors/45080.json")), f.says(fixture(t, "errors/-1.json")))
		for _, want := range []Kind{AlreadyTyping, NoRecentExchange, Busy} {
			before := f.count(typingAPI)
			if err := c.Typing(t.Context(), testOpenID); KindOf(err) != want || f.count(typingAPI) != before+1 {
				t.Errorf("%v after %d calls, want %s after one", err, f.count(typingAPI)-before, want)
			}
		}
	})
}

// Calls that may be repeated are, with pauses, as long as repeating may help.
func TestCall_Repeated(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(*fakeWeChat) script
		want   Kind
		calls  int
		least  time.Duration
		most   time.Duration
	}{
		{"busy", func(f *fakeWeChat) script { return f.says(`{"errcode":-1}`) },
			Busy, 3, 500 * time.Millisecond, time.Second},
		{"500", func(f *fakeWeChat) script { return f.answers(500, "", "") },
			BadAnswer, 3, 500 * time.Millisecond, time.Second},
		{"broken", func(f *fakeWeChat) script { return f.breaks(io.EOF) },
			Unreachable, 3, 500 * time.Millisecond, time.Second},
		{"silent", func(f *fakeWeChat) script { return f.hangs() },
			Unreachable, 3, 30500 * time.Millisecond, 31 * time.Second},
		{"404", func(f *fakeWeChat) script { return f.answers(404, "", "") }, BadAnswer, 1, 0, 0},
		{"refused", func(f *fakeWeChat) script { return f.says(`{"errcode":48001}`) },
			NotEntitled, 1, 0, 0},
		{"too often", func(f *fakeWeChat) script { return f.says(`{"errcode":45011}`) },
			TooOften, 1, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, f := newFake(t, Options{})
				defer c.Close()
				f.on(currentMenuAPI, test.answer(f))
				start := time.Now()
				_, _, err := c.CurrentMenu(t.Context())
				if took := time.Since(start); KindOf(err) != test.want || f.count(currentMenuAPI) != test.calls || !within(took, test.least, test.most) {
					t.Errorf("%v after %d calls in %v, want %s after %d in %v to %v",
						err, f.count(currentMenuAPI), took, test.want, test.calls, test.least, test.most)
				}
			})
		})
	}
}

// A caller's end ends the pauses too.
func TestCall_CallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(t, Options{})
		defer c.Close()
		f.on(currentMenuAPI, f.says(`{"errcode":-1}`))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, _, err := c.CurrentMenu(ctx); KindOf(err) != Busy || time.Since(start) != 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		f.on(currentMenuAPI, f.hangs())
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, _, err := c.CurrentMenu(ctx); KindOf(err) != Canceled || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want Canceled", err)
		}
	})
}

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"<a href=\"x\">&</a>", "\u2028\u2029", "\x00\x1f\x7f", `\u2028 \\u0041 \"`, "\xff\xc0", "😀", `\`, `\\`, "\\\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := encode(Text{s})
		var read Text
		if err := json.Unmarshal(b, &read); err != nil {
			t.Fatalf("%q became %s: %v", s, b, err)
		}
		if want := strings.ToValidUTF8(strings.Map(printable, s), ""); strings.ReplaceAll(read.Content, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Fatalf("%q became %q", s, read.Content)
		}
		for i := 0; i < len(b); i++ {
			if b[i] == '\\' {
				if b[i+1] == 'u' {
					t.Fatalf("%q became %s, with an escape", s, b)
				}
				i++
			}
		}
		if !utf8.Valid(b) {
			t.Fatalf("%q became %q, which is not UTF-8", s, b)
		}
	})
}

// printable drops what JSON can only hold as a \u escape.
func printable(r rune) rune {
	if r < ' ' && !strings.ContainsRune("\b\f\n\r\t", r) {
		return -1
	}
	return r
}
