//go:build chromium

package demo

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// drawing is a picture that can be looked at.
func drawing(t *testing.T) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 120, 90))
	for y := range 90 {
		for x := range 120 {
			img.Set(x, y, color.RGBA{uint8(2 * x), uint8(2 * y), 120, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// push sends a message to the tab's follower, as a server does, and waits for it.
func (b *tab) push(c *api.Client, content api.Content) {
	b.Helper()
	before := len(b.texts(theirs))
	if err := c.Send(b.Context(), api.Message{To: b.session().openid, Content: content, AI: true}); err != nil {
		b.Fatal(err)
	}
	b.count(theirs, before+1)
}

func TestPhoneShowsPushesTypingPicturesAndVoices(t *testing.T) {
	t.Parallel()
	d := start(t, Options{})
	b := open(t, d, 1200, 900)
	c := client(t, d)
	b.follow()
	b.ask("几点开门？")
	b.count(theirs, 2)
	if err := c.Typing(t.Context(), b.session().openid); err != nil {
		t.Fatal(err)
	}
	b.until(`document.querySelector("#title").textContent === "对方正在输入…"`)
	b.push(c, api.Text{Content: `看<a href="https://example.com/a">这里</a> <b onclick="alert(1)">x</b>`})
	b.until(`document.querySelector("#title").textContent === "` + accountName + `"`)
	b.count("#chat .ai", 1)
	b.count(`#chat .pushed a[href="https://example.com/a"]`, 1)
	b.count("#chat b", 0)
	picture, err := c.UploadMedia(t.Context(), api.ImageFile, "image/png", drawing(t))
	if err != nil {
		t.Fatal(err)
	}
	b.push(c, api.Image{MediaID: picture.ID})
	b.until(`document.querySelector("#chat .theirs img").naturalWidth === 120`)
	b.click("#speak")
	b.until(`document.querySelector("#chat .mine .play")?.innerText.trim() === "3″"`)
	b.count(theirs, 5) // the bot does not take voices
	b.push(c, api.Choices{Head: "还想问：", Items: []api.Choice{{ID: "s1", Content: "怎么退书？"}}})
	b.do("tapping a choice", chromedp.Click(chromedp.Search(`//div[contains(@class,"pushed")]//button[text()="怎么退书？"]`)))
	b.count(theirs, 7)
	if got := b.texts(mine); got[len(got)-1] != "怎么退书？" {
		t.Errorf("tapped, the follower says %q", got[len(got)-1])
	}
	before := b.texts("#chat .bubble")
	b.do("reloading", chromedp.Reload())
	b.count(theirs, 7)
	if got := b.texts("#chat .bubble"); strings.Join(got, "|") != strings.Join(before, "|") {
		t.Errorf("after a reload the bubbles are %q, want %q", got, before)
	}
}

func TestPictureIsSent(t *testing.T) {
	t.Parallel()
	b := open(t, start(t, Options{}), 1200, 900)
	b.follow()
	value[bool](b, fmt.Sprintf(`(() => {
		const bytes = Uint8Array.from(atob(%q), (c) => c.charCodeAt(0));
		const files = new DataTransfer();
		files.items.add(new File([bytes], "a.gif", { type: "image/gif" }));
		document.querySelector("#file").files = files.files;
		return document.querySelector("#file").dispatchEvent(new Event("change"));
	})()`, "R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw=="))
	b.until(`document.querySelector("#chat .mine img")?.naturalWidth === 1`)
	b.count(theirs, 2)
}

func TestAccountsKindAndFaultsAreOrdered(t *testing.T) {
	t.Parallel()
	d := start(t, Options{})
	b := open(t, d, 1200, 900)
	c := client(t, d)
	b.follow()
	choose := func(id, value string) {
		b.do("choosing "+value, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
			const select = document.getElementById(%q);
			select.value = %q;
			select.dispatchEvent(new Event("change", { bubbles: true }));
		})()`, id, value)))
	}
	send := func() error {
		return c.Send(t.Context(), api.Message{To: b.session().openid, Content: api.Text{Content: "a"}})
	}
	choose("apifault", "window")
	wait(b, func() bool { return b.session().weChatFault() == "window" })
	if err := send(); api.KindOf(err) != api.WindowClosed {
		t.Errorf("%v, want WindowClosed", err)
	}
	b.until(`document.querySelector("#calls .bad")?.textContent.startsWith("message/custom/send 45015")`)
	choose("apifault", "none")
	wait(b, func() bool { return b.session().weChatFault() == "none" })
	choose("kind", "personal")
	wait(b, func() bool { return d.account().Kind == "personal" })
	if err := send(); api.KindOf(err) != api.NotEntitled {
		t.Errorf("%v, want NotEntitled", err)
	}
	b.until(`document.querySelector("#calls .bad")?.textContent.startsWith("message/custom/send 48001")`)
	if got := b.text("#broken"); !strings.HasSuffix(got, ": 0") {
		t.Errorf("%q, want no rule broken", got)
	}
}

// wait waits for a condition on the demo's side, which the page's order has yet to reach.
func wait(b *tab, condition func() bool) {
	b.Helper()
	for !condition() {
		b.until("true") // a round trip to the browser
	}
}

func TestAgentTalksToTheFollower(t *testing.T) {
	t.Parallel()
	d := start(t, Options{})
	b := open(t, d, 1200, 900)
	b.follow()
	b.click("#online")
	wait(b, func() bool { return d.platform.Accept(b.session().openid, agent) })
	b.until(`!document.querySelector("#desk").hidden`)
	b.do("talking", chromedp.SendKeys(chromedp.ID("word"), "您好，我是客服"), chromedp.Click(chromedp.ID("say")))
	b.count("#chat .person .bubble", 1)
	b.ask("在吗")
	b.until(`document.querySelector("#m3 .pill, #m2 .pill").textContent.startsWith("客服接待")`)
	b.click("#hangup")
	b.until(`document.querySelector("#desk").hidden`)
	b.count(toast, 2)
}

func TestPublishedMenuIsTapped(t *testing.T) {
	t.Parallel()
	d := start(t, Options{})
	b := open(t, d, 1200, 900)
	b.follow()
	err := client(t, d).PublishMenu(t.Context(), []api.Button{
		{Name: "清空", Type: api.ClickButton, Key: "clear"}, {Name: "更多", Items: []api.Button{{Name: "帮助", Type: api.ClickButton, Key: "help"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.until(`document.querySelectorAll("#menu > *").length === 2`)
	b.click("#toggle")
	b.click("#menu .group > button")
	if err := client(t, d).Typing(t.Context(), b.session().openid); err != nil { // what else happens leaves it open
		t.Fatal(err)
	}
	b.until(`document.querySelector("#calls").textContent.includes("typing")`)
	b.click(`#menu [data-key="help"]`)
	b.count(theirs, 2)
	if got := b.texts(theirs)[1]; !strings.Contains(got, "AI 助手") {
		t.Errorf("the item says %q", got)
	}
}
