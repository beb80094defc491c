//go:build chromium

package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

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
	if got, want := withoutFoot(b.texts(theirs)[1]), answer(suggested[1], 60); got != want {
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
	if got, want := withoutFoot(b.texts(theirs)[1]), answer("会员有什么优惠？", 80); got != want {
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
	if got, want := withoutFoot(b.texts(theirs)[2]), answer("怎么退书？", 120); !strings.HasSuffix(got, want) {
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
	standIn, err := newStandIn(t.Context(), defaultBehaviour.of)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = standIn.serve() })
	t.Cleanup(func() { standIn.stop(context.WithoutCancel(t.Context())); serving.Wait() })
	b := open(t, start(t, Options{DifyAPIKey: standInKey, DifyBaseURL: standIn.baseURL()}), 1200, 800)
	if got, host := b.text("#real"), standIn.listener.Addr().String(); !strings.Contains(got, host) {
		t.Errorf("the note says %q, want it to name %s", got, host)
	}
	b.count("#controls :is(button, input, select):enabled", 0)
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
	// No question ends while the others are typed, however long a busy machine takes over it.
	b := open(t, start(t, Options{Timeout: time.Minute}), 1200, 800)
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
