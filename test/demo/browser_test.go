//go:build chromium

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long a condition of the page may take. Only a test that fails waits for it.
const patience = 45 * time.Second

var chromium struct {
	once    sync.Once
	context context.Context //nolint:containedctx // the browser of all tests
	close   func()
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.close != nil {
		chromium.close()
	}
	os.Exit(code)
}

// browser starts Chromium once. It can reach nothing but this machine.
func browser(t *testing.T) context.Context {
	t.Helper()
	chromium.once.Do(func() {
		path, err := exec.LookPath("chromium")
		if err != nil {
			path, err = exec.LookPath("chromium-browser")
		}
		if err != nil {
			chromium.err = err
			return
		}
		profile, err := os.MkdirTemp("", "chromium-") //nolint:usetesting // it outlives the test that makes it
		if err != nil {
			chromium.err = err
			return
		}
		allocator, release := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true),
			chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.Flag("lang", "zh-CN"),
		)...)
		first, leave := chromedp.NewContext(allocator)
		chromium.context, chromium.err = first, chromedp.Do(first)
		chromium.close = func() {
			_ = chromedp.Cancel(first)
			leave()
			release()
			_ = os.RemoveAll(profile)
		}
	})
	if chromium.err != nil {
		t.Fatalf("starting chromium: %v", chromium.err)
	}
	return chromium.context
}

// tab is a browser tab with the demo's page.
type tab struct {
	*testing.T
	ctx  context.Context //nolint:containedctx // of chromedp
	demo *Demo

	mu       sync.Mutex
	problems []string
}

// open opens the page in a tab of its own. When the test ends, the tab must not have shown an error nor asked anyone but the demo.
func open(t *testing.T, d *Demo, width, height int64) *tab {
	t.Helper()
	ctx, leave := chromedp.NewContext(browser(t))
	b := &tab{T: t, ctx: ctx, demo: d}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits, so that the page does not see the demo end
		leave()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, p := range b.problems {
			t.Error(p)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("listening to a tab: %v", err)
	}
	// Tabs are tested side by side, and only one of a browser's has the focus.
	command(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	command(b, network.Enable, network.EnableParams{})
	command(b, cdplog.Enable, cdp.Empty{})
	command(b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Shanghai"})
	b.do("opening the page", chromedp.EmulateViewport(width, height), chromedp.Navigate(d.URL()))
	b.until(`!document.querySelector("#profile").hidden || !document.querySelector("#chat").hidden`)
	return b
}

// listen notes what must not happen.
func (b *tab) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problem("exception: %s %s", e.ExceptionDetails.Text, e.ExceptionDetails.URL)
	case *runtime.EventConsoleAPICalled:
		b.problem("console.%s: %v", e.Type, e.Args)
	case *cdplog.EventEntryAdded:
		b.problem("log: %s %s", e.Entry.Text, e.Entry.URL)
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Host != b.demo.page.Addr().String() {
			b.problem("a request left the demo: %s", e.Request.URL)
		}
	}
}

func command[P, R any](b *tab, c cdp.Command[P, R], params P) {
	b.Helper()
	if _, err := chromedp.Call(b.ctx, c, params); err != nil {
		b.Fatalf("%s: %v", c.Method, err)
	}
}

func (b *tab) problem(format string, values ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, fmt.Sprintf(format, values...))
}

// expect takes a problem that the test has caused off the list, and waits for it.
func (b *tab) expect(part string) {
	b.Helper()
	b.until("true") // a round trip: earlier events have arrived
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, p := range b.problems {
		if strings.Contains(p, part) {
			b.problems = append(b.problems[:i], b.problems[i+1:]...)
			return
		}
	}
	b.Errorf("no problem with %q, have %q", part, b.problems)
}

func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

// until waits for a JavaScript condition. It is looked at 50 times a second.
func (b *tab) until(condition string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience+5*time.Second)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+condition+")", chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	if err != nil {
		b.Fatalf("waiting for %s: %v\nthe page: %s", condition, err, b.text("body"))
	}
}

// value evaluates JavaScript.
func value[T any](b *tab, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatalf("evaluating %s: %v", expression, err)
	}
	return v
}

func (b *tab) text(selector string) string {
	b.Helper()
	return value[string](b, fmt.Sprintf(`document.querySelector(%s)?.innerText ?? ""`, quote(selector)))
}

func (b *tab) texts(selector string) []string {
	b.Helper()
	return value[[]string](b, fmt.Sprintf(`Array.from(document.querySelectorAll(%s), (e) => e.textContent)`, quote(selector)))
}

func (b *tab) click(selector string) {
	b.Helper()
	b.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// key presses keys, wherever the focus is.
func (b *tab) key(keys string) {
	b.Helper()
	b.do("pressing keys", chromedp.KeyEvent(keys))
}

// count waits until there are that many elements.
func (b *tab) count(selector string, n int) {
	b.Helper()
	b.until(fmt.Sprintf(`document.querySelectorAll(%s).length === %d`, quote(selector), n))
}

// follow follows the account and waits for its welcome.
func (b *tab) follow() {
	b.Helper()
	b.click("#follow")
	b.count(theirs, 1)
}

// ask types a question and sends it; it waits for the question's bubble.
func (b *tab) ask(question string) {
	b.Helper()
	before := len(b.texts(mine))
	b.do("typing a question", chromedp.SendKeys(chromedp.ID("text"), question), chromedp.Click(chromedp.ID("send")))
	b.count(mine, before+1)
}

// order moves the page's controls as a hand would, and waits until the stand-in for Dify goes by them.
func (b *tab) order(o difyBehaviour) {
	b.Helper()
	move := func(id string, value any) chromedp.Action[chromedp.Void] {
		return chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
			const input = document.getElementById(%q);
			input.value = %v;
			for (const type of ["input", "change"]) input.dispatchEvent(new Event(type, { bubbles: true }));
		})()`, id, value))
	}
	b.do("moving the controls", move("total", o.Total), move("first", o.FirstText), move("length", o.Length),
		move("fault", quote(string(o.Fault))))
	b.until(`!document.querySelector("#controls").hasAttribute("aria-busy")`)
	if got := b.session().dify(); got != o {
		b.Fatalf("the stand-in for Dify goes by %+v, want %+v", got, o)
	}
}

// session is the tab's, on the demo's side.
func (b *tab) session() *session {
	b.Helper()
	id := value[string](b, `sessionStorage.getItem("wechatbot-demo-session")`)
	s, _, err := b.demo.sessions.get(id)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// What the phone shows.
const (
	mine   = "#chat .mine .bubble"
	theirs = "#chat .theirs .bubble"
	toast  = "#chat .toast"
)

// goOn taps the 继续 of the last reply until there is none, and gives the answer without the words around its pages.
func (b *tab) goOn() string {
	b.Helper()
	var answer strings.Builder
	for {
		replies := b.texts(theirs)
		last := replies[len(replies)-1]
		if _, after, ok := strings.Cut(last, "\n------------\n"); ok {
			last = after
		}
		body, more := strings.CutSuffix(last, "\n\n继续（或回复 1）")
		answer.WriteString(body)
		if !more {
			return answer.String()
		}
		b.click("#chat .row:last-child .tap")
		b.count(theirs, len(replies)+1)
	}
}

func TestFollowerIsWelcomedAndAsksByTap(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 800)
	if got := b.text("#name"); got != accountName {
		t.Errorf("the profile names %q, want %q", got, accountName)
	}
	b.follow()
	if got := b.texts("#chat .tap"); len(got) != len(suggested) || got[1] != suggested[1] {
		t.Errorf("the welcome offers %q, want %q", got, suggested)
	}
	b.order(difyBehaviour{FirstText: 100, Total: 300, Length: 60, Fault: noFault})
	b.do("tapping a suggestion", chromedp.Click(chromedp.Search(`//button[text()="`+suggested[1]+`"]`)))
	b.count(theirs, 2)
	if got := b.texts(mine); len(got) != 1 || got[0] != suggested[1] {
		t.Errorf("the follower's bubbles are %q, want the suggestion", got)
	}
	if got, want := b.texts(theirs)[1], answer(suggested[1], 60); got != want {
		t.Errorf("the reply is %q, want %q", got, want)
	}
	b.until(`document.querySelector("#m2 .facts").textContent.includes("Dify 首字")`)
	if got := b.text("#m2 .facts"); !strings.Contains(got, "第 1 次推送得到回复") || !strings.Contains(got, "AES 加密") {
		t.Errorf("the wire says %q of an answer to the first delivery", got)
	}
	b.count("#m2 .stretch.answered", 1)
	b.count("#m2 .stretch.writing", 1)
}

func TestSlowAnswerComesWithALaterDelivery(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{Timeout: 1500 * time.Millisecond, Deadline: time.Second}), 1200, 800)
	b.follow()
	b.order(difyBehaviour{FirstText: 500, Total: 2200, Length: 80, Fault: noFault})
	b.ask("会员有什么优惠？")
	b.count("#m2 .stretch.held", 1)
	b.count(theirs, 2)
	if got, want := b.texts(theirs)[1], answer("会员有什么优惠？", 80); got != want {
		t.Errorf("the reply is %q, want %q", got, want)
	}
	b.until(`document.querySelector("#m2 .pill").textContent.startsWith("完整回答")`)
	if got := b.text("#m2 .facts"); !strings.Contains(got, "第 2 次推送得到回复") {
		t.Errorf("the wire says %q, want an answer to the second delivery", got)
	}
}

func TestVerySlowAnswerIsFetchedByTap(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{Timeout: 1500 * time.Millisecond, Deadline: time.Second}), 1200, 800)
	b.follow()
	b.order(difyBehaviour{FirstText: 5000, Total: 6500, Length: 120, Fault: noFault})
	b.ask("怎么退书？")
	b.count(theirs, 2)
	if got := b.texts(theirs)[1]; !strings.HasPrefix(got, "正在思考") {
		t.Errorf("the reply is %q, want a waiting line", got)
	}
	b.until(`document.querySelector("#m2 .pill").textContent.startsWith("等待提示")`)
	b.click("#chat .row:last-child .tap")
	b.count(theirs, 3)
	if got, want := b.goOn(), answer("怎么退书？", 120); got != want {
		t.Errorf("the answer in all is %q, want %q", got, want)
	}
}

func TestLongAnswerComesInPages(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 800)
	b.follow()
	b.order(difyBehaviour{FirstText: 100, Total: 300, Length: 3000, Fault: noFault})
	b.ask("有什么活动？")
	b.count(theirs, 2)
	b.until(`document.querySelector("#m2 .pill").textContent.startsWith("先给一部分")`)
	// Line breaks at the edge of a page are not shown.
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	if got, want := squeeze(b.goOn()), squeeze(answer("有什么活动？", 3000)); got != want {
		t.Errorf("the pages have %d bytes, want %d:\n%s", len(got), len(want), got)
	}
	if n := len(b.texts(theirs)); n < 5 {
		t.Errorf("9,000 bytes came in %d replies: too few for 2,048 bytes each", n-1)
	}
}

func TestFaultToastWhileTheServerIsGone(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{Timeout: 1500 * time.Millisecond, Deadline: time.Second}), 1200, 800)
	b.follow()
	b.click("#power")
	b.until(`document.querySelector("#server").dataset.line === "cut"`)
	b.ask("有人吗？")
	b.count(toast, 1)
	b.count("#m2 .stretch.failed", 3)
	b.count("#m2 .stretch.thinking", 0)
	b.until(`document.querySelector("#m2 .pill").textContent.startsWith("故障提示")`)
	b.click("#power")
	b.until(`document.querySelector("#server").dataset.line === "whole"`)
	b.ask("现在呢？")
	b.count(theirs, 2)
	b.count(toast, 1)
}

func TestBrokenAnswerIsToldAndAskedAgain(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 800)
	b.follow()
	b.order(difyBehaviour{FirstText: 100, Total: 300, Length: 120, Fault: cutShort})
	b.ask("怎么退书？")
	b.count(theirs, 2)
	if got := b.texts(theirs)[1]; !strings.Contains(got, "中断") || !strings.HasSuffix(got, "再问一次") {
		t.Errorf("the reply to a broken answer is %q", got)
	}
	b.until(`document.querySelector("#m2 .pill").textContent.startsWith("说明失败")`)
	b.order(difyBehaviour{FirstText: 100, Total: 300, Length: 120, Fault: noFault})
	b.click("#chat .row:last-child .tap")
	b.count(theirs, 3)
	if got, want := b.texts(theirs)[2], answer("怎么退书？", 120); !strings.HasSuffix(got, want) {
		t.Errorf("asked again the answer is %q, want %q", got, want)
	}
}

func TestMenuAndUnfollow(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 800)
	b.follow()
	b.click("#toggle")
	for i, item := range []struct{ key, says string }{
		{"help", "AI 助手"}, {"clear", "对话已清空"}, {"1", "还没有可以查看的回答"},
	} {
		b.click(`#menu [data-key="` + item.key + `"]`)
		b.count(theirs, i+2)
		if got := b.texts(theirs)[i+1]; !strings.Contains(got, item.says) {
			t.Errorf("menu item %s says %q, want %q", item.key, got, item.says)
		}
	}
	b.count(mine, 0)
	b.click("#about")
	b.click("#unfollow")
	b.until(`document.querySelector("#chat").hidden && !document.querySelector("#follow").hidden`)
	b.until(`document.querySelector("#m5 .pill").textContent.startsWith("无回复")`)
	b.click("#follow")
	b.count(theirs, 5)
}

func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 800)
	focused := func(id string) { b.until(`document.activeElement?.id === "` + id + `"`) }
	b.key(kb.Tab)
	focused("follow")
	b.key(kb.Enter)
	b.count(theirs, 1)
	focused("text")
	b.key("几点开门？")
	b.key(kb.Enter)
	b.count(theirs, 2)
	back := func() { b.do("going back", chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(kb.ModifierShift))) } // shift
	back()
	focused("toggle")
	back()
	b.until(`document.activeElement?.className === "tap"`)
	b.key(kb.Enter)
	b.count(mine, 2)
	b.count(theirs, 3)
}

func TestTextIsNeverMarkup(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 800)
	b.follow()
	text := `<img src=x onerror="document.title='bad'"> <a href="javascript:alert(1)">链接</a>`
	b.ask(text)
	b.count(theirs, 2)
	if got := b.texts(mine)[0]; got != text {
		t.Errorf("the bubble is %q, want what was typed", got)
	}
	b.count("#chat img, #wire img, #chat a", 0)
}

func TestMarkdownAnswerLinksToWebPagesOnly(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 800)
	b.follow()
	b.order(difyBehaviour{FirstText: 100, Total: 300, Length: 120, Fault: markdown})
	b.ask("书单")
	b.count(theirs, 2)
	got := b.texts(theirs)[1]
	if !strings.Contains(got, "【冬日书单】") || strings.Contains(got, "**") {
		t.Errorf("the reply shows Markdown: %q", got)
	}
	b.count(`#chat a[href="https://example.com/shelf"][rel="noopener noreferrer"]`, 1)
}

func TestReloadShowsTheSameConversation(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 800)
	b.follow()
	b.ask("怎么退书？")
	b.count(theirs, 2)
	before := b.texts("#chat .bubble")
	b.do("reloading", chromedp.Reload())
	b.count(theirs, 2)
	if got := b.texts("#chat .bubble"); strings.Join(got, "|") != strings.Join(before, "|") {
		t.Errorf("after a reload the bubbles are %q, want %q", got, before)
	}
	b.count("#wire .card", 2)
}

func TestRealDifyTakesNoOrders(t *testing.T) {
	t.Parallel()
	standIn, err := newStandIn(defaultBehaviour.of)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = standIn.serve() })
	t.Cleanup(func() { standIn.close(); serving.Wait() })
	b := open(t, start(t, Options{DifyAPIKey: standInKey, DifyBaseURL: standIn.baseURL()}), 1200, 800)
	if got, host := b.text("#real"), standIn.listener.Addr().String(); !strings.Contains(got, host) {
		t.Errorf("the note says %q, want it to name %s", got, host)
	}
	b.count("#controls :enabled", 0)
	b.follow()
	b.ask("几点开门？")
	b.count(theirs, 2)
	b.until(`document.querySelector("#m2 .facts").textContent.includes("Dify 首字")`)
}

func TestNarrowScreenNeedsNoSidewaysScrolling(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 390, 844)
	b.follow()
	b.ask("几点开门？")
	b.count(theirs, 2)
	b.until(`document.documentElement.scrollWidth <= innerWidth`)
}

func TestTooMuchAtOnceIsToldAndLosesNoText(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 800)
	b.follow()
	b.order(difyBehaviour{FirstText: 30_000, Total: 30_000, Length: 120, Fault: noFault})
	for i := range maxUnderWay {
		b.ask(fmt.Sprintf("问题 %d", i+1))
	}
	b.do("typing one more", chromedp.SendKeys(chromedp.ID("text"), "再来一个"), chromedp.Click(chromedp.ID("send")))
	b.until(`!document.querySelector("#notice").hidden`)
	if got := b.text("#notice"); got != errTooManyUnderWay.Error() {
		t.Errorf("the notice says %q", got)
	}
	b.until(`document.querySelector("#text").value === "再来一个"`)
	b.expect("429")
}

// The picture in the documentation is made from a real conversation with UPDATE_SCREENSHOT=1, at WeChat's own pace.
func TestLivelyConversation(t *testing.T) {
	t.Parallel()
	picture := os.Getenv("UPDATE_SCREENSHOT") == "1"
	o, percent := Options{Timeout: 1500 * time.Millisecond, Deadline: time.Second}, 28
	if picture {
		o, percent = Options{}, 100
	}
	slow := func(first, total, length int) difyBehaviour {
		return difyBehaviour{FirstText: first * percent / 10_000 * 100, Total: total * percent / 10_000 * 100, Length: length, Fault: noFault}
	}
	b := open(t, start(t, o), 1200, 800)
	b.follow()
	b.order(slow(300, 1000, 60))
	b.click("#chat .tap")
	b.count(theirs, 2)
	b.order(slow(2500, 8000, 80))
	b.ask("推荐一本适合冬天读的书")
	b.count(theirs, 3)
	b.order(slow(3000, 20000, 240))
	b.ask("会员怎么办？能寄到外地吗？")
	b.count(theirs, 4)
	b.click("#chat .row:last-child .tap")
	b.count(theirs, 5)
	b.until(`[...document.querySelectorAll("#wire .card")].every((card) => !card.querySelector(".open"))`)
	if got, want := len(b.texts("#wire .card")), 5; got != want {
		t.Errorf("the wire shows %d messages, want %d", got, want)
	}
	if picture {
		b.screenshot("../../docs/images/demo.png")
	}
}

func (b *tab) screenshot(path string) {
	b.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil { //nolint:gosec // documentation
		b.Fatal(err)
	}
}
