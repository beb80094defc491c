//go:build chromium

package page

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/server/media"
)

var screenshots = flag.String("screenshots", "", "a folder for pictures of pages")

// library has answers by turn.
type library []Answer

func (l library) Answer(_ context.Context, _, turn string) (Answer, bool, error) {
	n, err := strconv.Atoi(turn)
	if err != nil {
		return Answer{}, false, fmt.Errorf("the turn %q: %w", turn, err)
	}
	if n >= len(l) {
		return Answer{}, false, nil
	}
	return l[n], true, nil
}

func (l library) Renewable(ctx context.Context, follower, turn string) (Answer, func(context.Context) (Answer, error), bool, error) {
	a, ok, err := l.Answer(ctx, follower, turn)
	return a, func(context.Context) (Answer, error) { return Answer{}, errors.New("no app") }, ok, err
}

// site serves pages, and counts what a page must not do.
type site struct {
	*httptest.Server
	handler *Handler
	reports atomic.Int32 // of the content policy
	asked   atomic.Int32 // for what no page has
	extra   string       // put into each page's body by the tests of the tests
}

func newSite(t *testing.T, answers library, change ...func(*Settings)) *site {
	t.Helper()
	s := Settings{Enabled: true, Domain: "bot.example.com", Path: prefix, Key: NewKey("token", "app-key"), TTL: 1000 * time.Hour, AILabel: "（内容由AI生成）", Notice: "京ICP备00000000号", FilesOrigin: "https://dify.example.com"}
	site := new(site)
	var pictures string
	host := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	t.Cleanup(host.Close)
	pictures = host.URL
	var err error
	if s.Fetchable, err = media.Internet(pictures); err != nil {
		t.Fatal(err)
	}
	for i := range answers {
		answers[i].Markdown = strings.ReplaceAll(answers[i].Markdown, "PICTURES", pictures)
	}
	for _, c := range change {
		c(&s)
	}
	site.handler = New(Options{Answers: answers, Fetcher: media.New(media.Options{}), Metrics: NewMetrics(prometheus.NewRegistry())}, s)
	var ticks atomic.Int64
	start := time.Now()
	site.handler.now = func() time.Time { return start.Add(time.Duration(ticks.Add(1)) * time.Second) } // nobody is limited
	site.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/reports":
			site.reports.Add(1)
		case strings.HasPrefix(r.URL.Path, prefix):
			site.handler.ServeHTTP(&reporting{w, site.extra}, r)
		case r.URL.Path != "/favicon.ico":
			site.asked.Add(1)
		}
	}))
	t.Cleanup(site.Close)
	return site
}

// reporting has the content policy report, and puts something into a page.
type reporting struct {
	http.ResponseWriter

	extra string
}

func (r *reporting) WriteHeader(status int) {
	h := r.Header()
	h.Set("Content-Security-Policy", h.Get("Content-Security-Policy")+"; report-uri /reports")
	h.Del("Content-Length")
	r.ResponseWriter.WriteHeader(status)
}

func (r *reporting) Write(b []byte) (int, error) {
	if _, err := r.ResponseWriter.Write([]byte(strings.Replace(string(b), "</article>", r.extra+"</article>", 1))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// at is the address of the nth answer's page.
func (s *site) at(n int) string {
	address := s.handler.Address("oFollowerWhoReads", strconv.Itoa(n), time.Now())
	return s.URL + strings.TrimPrefix(address, "https://bot.example.com")
}

// reader is a browser's tab.
type reader struct {
	*testing.T
	ctx  context.Context //nolint:containedctx // of chromedp
	host string

	mu   sync.Mutex
	left []string // requests that left the site, dialogs
}

func newReader(t *testing.T, s *site) *reader {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		path, err = exec.LookPath("chromium-browser")
	}
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "chromium-") //nolint:usetesting // the browser may still write to it
	if err != nil {
		t.Fatal(err)
	}
	allocator, release := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.Flag("lang", "zh-CN"),
	)...)
	ctx, leave := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		leave()
		release()
		_ = os.RemoveAll(profile)
	})
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{T: t, ctx: ctx, host: u.Host}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting chromium: %v", err)
	}
	if err := chromedp.Listen(ctx, r.listen); err != nil {
		t.Fatal(err)
	}
	call(r, network.Enable, network.EnableParams{})
	call(r, cdppage.Enable, cdppage.EnableParams{})
	return r
}

func (r *reader) listen(event any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := event.(type) {
	case *cdppage.EventJavascriptDialogOpening:
		r.left = append(r.left, "dialog "+e.Message)
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Host != r.host {
			r.left = append(r.left, e.Request.URL)
		}
	}
}

func (r *reader) strayed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.left
	r.left = nil
	return left
}

func call[P, R any](r *reader, c cdp.Command[P, R], params P) {
	r.Helper()
	if _, err := chromedp.Call(r.ctx, c, params); err != nil {
		r.Fatalf("%s: %v", c.Method, err)
	}
}

func (r *reader) do(actions ...chromedp.Action[chromedp.Void]) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 45*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		r.Fatal(err)
	}
}

func eval[T any](r *reader, expression string) T {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 45*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		r.Fatalf("evaluating %s: %v", expression, err)
	}
	return v
}

// found lists what a page must not have. Focus and clicks come to all that can take them before.
const found = `(() => {
	const bad = [];
	for (const e of document.querySelectorAll("article, article *")) {
		e.focus?.({preventScroll: true});
		if (e.localName !== "a") e.click?.();
		for (const type of ["mouseover", "toggle", "load", "error", "animationstart"]) e.dispatchEvent(new Event(type));
		if (e.namespaceURI !== "http://www.w3.org/1999/xhtml") bad.push("namespace " + e.namespaceURI);
		for (const a of e.attributes) {
			const ok = {a: ["href", "rel"], img: ["src", "alt", "loading"], td: ["align", "colspan", "rowspan"], th: ["align", "colspan", "rowspan"], ol: ["start"], details: ["open"]}[e.localName] ?? [];
			if (!ok.includes(a.name)) bad.push(e.localName + " " + a.name);
		}
		if (e.localName === "a" && e.hasAttribute("href") && !/^(https?:|mailto:|tel:|\/a\/)/.test(e.getAttribute("href"))) bad.push("href " + e.href);
		if (e.localName === "img" && !/^\/a\/[\w-]+\/\d+$/.test(e.getAttribute("src"))) bad.push("src " + e.src);
	}
	const elements = "script, style:not(head > style), link, meta:not(head > meta), base, iframe, frame, object, embed, form, input, button, select, textarea, svg, math, video, audio, source, template, noscript, dialog, slot, font, marquee, xmp, plaintext";
	for (const e of document.querySelectorAll(elements)) bad.push(e.localName);
	if (document.querySelectorAll("head > style").length !== 1) bad.push("styles");
	if (window.pwned) bad.push("pwned");
	if ([...document.body.children].map((e) => e.localName).join() !== "main,footer") bad.push("body " + [...document.body.children].map((e) => e.localName));
	if ([...document.querySelector("main").children].map((e) => e.localName).join() !== "p,article") bad.push("main " + document.querySelector("main").innerHTML);
	if (document.querySelector("footer").innerText.replace(/\s+/g, " ").trim() !== "（内容由AI生成） 京ICP备00000000号") bad.push("footer " + document.querySelector("footer").innerText);
	return [...new Set(bad)];
})()`

func TestHostileAnswersDoNothing(t *testing.T) {
	cases := hostile()
	if len(cases) < 100 {
		t.Fatalf("%d cases", len(cases))
	}
	var answers library
	for _, c := range cases {
		answers = append(answers, Answer{Question: c, Markdown: "前\n\n" + c})
	}
	s := newSite(t, answers)
	r := newReader(t, s)
	for n, c := range cases {
		address := s.at(n)
		r.do(chromedp.Navigate(address))
		if bad := eval[[]string](r, found); len(bad) > 0 {
			t.Errorf("%.200q: the page has %q: %.300s", c, bad, eval[string](r, `document.querySelector("article").outerHTML`))
		}
		if at := eval[string](r, "location.href"); at != address {
			t.Errorf("%.200q: led to %s", c, at)
		}
		if left := r.strayed(); len(left) > 0 {
			t.Errorf("%.200q: asked for %q", c, left)
		}
		if n := s.reports.Load(); n > 0 {
			t.Fatalf("%.200q: the content policy was needed %d times", c, n)
		}
		if n := s.asked.Load(); n > 0 {
			t.Fatalf("%.200q: %d requests for what no page has", c, n)
		}
	}
	t.Logf("%d cases, %d reports of the content policy", len(cases), s.reports.Load())
}

// The test above sees what it looks for: with the policy of HTML left out, the content policy has to step in, and reports it.
func TestHostileAnswersAreSeen(t *testing.T) {
	s := newSite(t, library{{Markdown: "x"}})
	s.extra = `<script>window.pwned=1</script><p style="color:red" onclick="x">y</p><img src="/pwned">`
	r := newReader(t, s)
	r.do(chromedp.Navigate(s.at(0)))
	all := eval[[]string](r, found)
	bad := strings.Join(all, "|")
	for _, want := range []string{"script", "p style", "p onclick", "src "} {
		if !strings.Contains(bad, want) {
			t.Errorf("%s is not seen: %s", want, bad)
		}
	}
	if slices.Contains(all, "pwned") {
		t.Error("a script has run in spite of the content policy")
	}
	deadline := time.Now().Add(20 * time.Second)
	for s.reports.Load() < 2 && time.Now().Before(deadline) {
		eval[bool](r, "true") // a round trip
	}
	if got := s.reports.Load(); got < 2 {
		t.Errorf("the content policy reported %d times, want the script and the style", got)
	}
}

// showcase has what answers have.
const showcase = `# 冬日读书会报名须知

**重要：**请在活动开始前 *三天* 报名，~~周五~~ 周四截止，详见 [活动页](https://example.com/events?id=3)。

1. 打开公众号，点「活动」
2. 填写姓名和电话
   - 会员免费
   - 非会员 ` + "`20`" + ` 元
3. 收到 **确认** 短信

| 日期 | 时间 | 地点 | 主题 | 主讲人 | 名额 | 费用 | 备注 |
|---|---|---|---|---|--:|--:|---|
| 3 月 1 日 | 14:00 | 总馆二层报告厅 | 冬天里的俄罗斯文学 | 王老师 | 30 | 20 | 需提前领票 |
| 3 月 8 日 | 10:00 | 分馆 | 给孩子的科学绘本 | 李老师 | 20 | 0 | 亲子 |

> 如需取消，请提前一天告诉我们。

命中率为 \(p = \frac{a_1 + a_2}{n}\)，总和是：

$$
\sum_{i=1}^{n} x_i^2 = \frac{n(n+1)(2n+1)}{6}
$$

` + "```go\nfunc main() {\n\tfmt.Println(\"很长的一行代码，用来看看它是不是在自己的框里横向滚动，而不是把整页撑宽\")\n}\n```" + `

- [x] 已报名
- [ ] 已付款

![海报](PICTURES/poster.png)

---

更多见 https://example.com/very/long/address/that/has/no/blank/in/it/at/all/and/goes/on/and/on/and/on 。
`

// The pages are readable on a phone, whatever the follower has set: nothing is wider than the screen but what scrolls by itself.
// With -screenshots=DIR pictures are kept.
func TestPageOnAPhone(t *testing.T) {
	s := newSite(t, library{{Question: "冬日读书会怎么报名？", Markdown: showcase, Ending: "（回答中断了，后面的内容没有收到）"}})
	r := newReader(t, s)
	for _, scheme := range []string{"light", "dark"} {
		for size, percent := range map[string]int{"small": 80, "usual": 100, "large": 180} {
			call(r, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			r.do(chromedp.EmulateViewport(390, 844), chromedp.Navigate(s.at(0)))
			// As a follower's setting does, from outside the page.
			eval[bool](r, fmt.Sprintf(`(() => { document.documentElement.style.fontSize = "%d%%"; return true })()`, percent))
			if width := eval[int](r, "document.documentElement.scrollWidth"); width > 390 {
				t.Errorf("%s, %s: the page is %d wide", scheme, size, width)
			}
			if got := eval[float64](r, `parseFloat(getComputedStyle(document.querySelector("article p")).fontSize)`); got != 16*float64(percent)/100 {
				t.Errorf("%s: letters have %v pixels", size, got)
			}
			dark := eval[string](r, "getComputedStyle(document.body).backgroundColor") == "rgb(25, 25, 25)"
			if dark != (scheme == "dark") {
				t.Errorf("in %s mode the page is dark: %v", scheme, dark)
			}
			if contrast := eval[float64](r, contrast); contrast < 4.5 {
				t.Errorf("%s: the contrast is %v", scheme, contrast)
			}
			if !eval[bool](r, `document.querySelector("table").scrollWidth > document.querySelector("table").clientWidth`) {
				t.Errorf("%s: the wide table does not scroll by itself", size)
			}
			eval[bool](r, `document.querySelector("img").loading = "eager"`+" && true")
			r.awaits(`document.querySelector("img").naturalWidth > 0`)
			r.screenshot(scheme + "-" + size)
		}
	}
	if n := s.reports.Load(); n > 0 {
		t.Errorf("the content policy reported %d times", n)
	}
}

// contrast is the least contrast of letters on what is behind them, as WCAG counts it.
const contrast = `(() => {
	const light = (c) => { const [r, g, b] = c.match(/\d+/g).map((x) => { x /= 255; return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4 }); return .2126 * r + .7152 * g + .0722 * b };
	const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (c !== "rgba(0, 0, 0, 0)") return c } return "rgb(255, 255, 255)" };
	return Math.min(...[...document.querySelectorAll("p, a, td, th, code, li, h1, blockquote")].map((e) => {
		const a = light(getComputedStyle(e).color), b = light(behind(e));
		return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
	}));
})()`

func (r *reader) awaits(condition string) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 30*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+condition+")", chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		r.Fatalf("waiting for %s: %v", condition, err)
	}
}

func (r *reader) screenshot(name string) {
	r.Helper()
	if *screenshots == "" {
		return
	}
	png, err := chromedp.Run(r.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o600); err != nil {
		r.Fatal(err)
	}
}
