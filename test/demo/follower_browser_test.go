//go:build chromium

package demo

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// What a follower sees besides answers: who has written it, links to rate it and to ask on, a menu, and the whole answer on a page.
// The pictures in the documentation are made of it with UPDATE_SCREENSHOT=1.
func TestWhatAFollowerSees(t *testing.T) {
	t.Parallel()
	for _, colours := range []string{"light", "dark"} {
		t.Run(colours, func(t *testing.T) {
			t.Parallel()
			b := open(t, start(t, Options{}), 390, 844)
			command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}},
			})
			b.follow()
			b.order(difyBehaviour{FirstText: 100, Total: 300, Length: 100, Fault: noFault})
			b.ask("能退书吗？")
			b.count(theirs, 2)
			if got := b.texts(theirs)[1]; !strings.HasSuffix(got, label+"\n👍　👎\n\n会员怎么办？\n能寄到外地吗？") {
				t.Fatalf("the answer is %q", got)
			}
			b.tapLast("👍")
			b.count(theirs, 3)
			if got := b.texts(theirs)[2]; got != "谢谢您的评价。" {
				t.Errorf("the rating got %q", got)
			}
			wait(b, func() bool { return b.demo.dify.sim.Requests("POST /messages/{id}/feedbacks") == 1 })
			b.pictured("follower-answer-" + colours)

			b.do("tapping a suggestion", chromedp.Click(chromedp.Search(`(//button[text()="会员怎么办？"])[last()]`)))
			b.count(theirs, 4)
			if got := b.texts(theirs)[3]; withoutFoot(got) != answer("会员怎么办？", 100) {
				t.Errorf("the suggestion got %q", got)
			}
			b.click("#toggle")
			b.click(`#menu [data-key="help"]`)
			b.count(theirs, 5)
			if got := b.texts(theirs)[4]; !strings.Contains(got, notice) {
				t.Errorf("the help is %q", got)
			}
			b.click("#toggle")
			b.readPage(colours)
		})
	}
}

// tapLast taps the link of that label in the last reply.
func (b *tab) tapLast(label string) {
	b.Helper()
	b.do("tapping "+label, chromedp.Click(chromedp.Search(`(//*[contains(@class,"theirs")])[last()]//button[text()="`+label+`"]`)))
}

// readPage asks for a long answer, opens the link to its page, and reads it there.
func (b *tab) readPage(colours string) {
	b.Helper()
	b.order(difyBehaviour{FirstText: 100, Total: 300, Length: 1500, Fault: noFault})
	b.ask("有什么活动？")
	b.count(theirs, 6)
	if got := b.texts(theirs)[5]; !strings.HasSuffix(got, "（或回复 1）　看全文") || !strings.Contains(got, "继续 1/3") {
		b.Errorf("the first page ends with %q", got[max(0, len(got)-60):])
	}
	b.pictured("follower-pages-" + colours)
	link := value[string](b, `[...document.querySelectorAll("#chat .theirs a")].at(-1).href`)
	if !strings.HasPrefix(link, b.demo.URL()+"/a/") {
		b.Fatalf("the page is at %s", link)
	}
	b.do("opening the page", chromedp.Navigate(link))
	b.until(`document.querySelector("main, article, body").innerText.includes("夜航西飞")`)
	shown := strings.Join(strings.Fields(b.text("body")), "")
	for part := range strings.SplitSeq(answer("有什么活动？", 1500), "\n\n") {
		if !strings.Contains(shown, strings.Join(strings.Fields(part), "")) {
			b.Errorf("the page lacks %q", part)
		}
	}
	if !strings.Contains(shown, notice) {
		b.Error("the page lacks the notice")
	}
	b.count("script", 0)
	b.expect("favicon.ico") // a browser asks for one, and the page has none
	b.do("going back", chromedp.Navigate(b.demo.URL()))
	b.count(theirs, 6)
}

// pictured makes a picture for the documentation of what the phone shows.
func (b *tab) pictured(name string) {
	b.Helper()
	if os.Getenv("UPDATE_SCREENSHOT") != "1" {
		return
	}
	b.do("hiding the way of a message", chromedp.Evaluate[chromedp.Void](`document.querySelector(".desk").hidden = true; document.querySelector(".desk").style.display = "none"`))
	png, err := chromedp.Run(b.ctx, chromedp.Screenshot(chromedp.CSS(".phone")))
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile("../../docs/images/"+name+".png", png, 0o644); err != nil {
		b.Fatal(err)
	}
	b.do("showing it again", chromedp.Evaluate[chromedp.Void](`document.querySelector(".desk").style.display = ""; document.querySelector(".desk").hidden = false`))
}
