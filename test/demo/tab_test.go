//go:build chromium

package demo

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
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
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err) // it is a number
	}
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
		chromium.context, chromium.err = first, chromedp.Do(first) //nolint:fatcontext // once
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

// goesOn is the end of a page that is not the last.
var goesOn = regexp.MustCompile(`\n\n（内容由AI生成）\n继续( \d+/\d+)?（或回复 1）(　看全文)?$`)

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
		end := goesOn.FindStringIndex(last)
		if end == nil {
			answer.WriteString(withoutFoot(last))
			return answer.String()
		}
		answer.WriteString(last[:end[0]])
		b.click("#chat .row:last-child .tap")
		b.count(theirs, len(replies)+1)
	}
}

func (b *tab) screenshot(path string) {
	b.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		b.Fatal(err)
	}
}
