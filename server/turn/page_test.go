package turn_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// read reads an answer to its end, page by page, and gives the pages.
func (f *follower) read(question string) (pages []string) {
	f.t.Helper()
	x := f.Send(question)
	for range 50 {
		pages = append(pages, body(x.text))
		if x.kind != turn.Page && x.kind != turn.Partial {
			return pages
		}
		x = f.Send("1")
	}
	f.t.Errorf("no end after %d pages", len(pages))
	return pages
}

func TestALongAnswerIsReadPageByPage(t *testing.T) {
	for name, total := range map[string]time.Duration{"ready at once": 0, "growing meanwhile": 40 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const length = 3000
				b := start(t, setup{simmed: simmed(difysim.Behaviour{FirstText: total / 20, Total: total, Length: length}), settings: holds(0)})
				pages := b.follower("alice").read(ask)
				if got := strings.Join(pages, ""); got != echo(ask, length) {
					t.Errorf("%d pages hold %d characters, want %d", len(pages), utf8.RuneCountInString(got), length)
				}
				if len(pages) < 5 || total == 0 && len(pages) > 6 {
					t.Errorf("%d pages", len(pages))
				}
				for i, p := range pages {
					if !strings.HasSuffix(p, "。") {
						t.Errorf("page %d does not end with a sentence: …%s", i+1, p[max(0, len(p)-30):])
					}
				}
				b.calls(1)
			})
		})
	}
}

func TestAPageThatWasLostIsGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const length = 3000
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: length})})
		f := b.follower("alice")
		f.late = func(n int) bool { return n < 3 } // every message has to be delivered three times
		if got := strings.Join(f.read(ask), ""); got != echo(ask, length) {
			t.Errorf("the pages hold %d bytes, want %d", len(got), len(echo(ask, length)))
		}
		first := f.push("again", "1")
		for range 3 {
			f.late = nil
			f.push("again", "1").want(t, first.kind, first.text)
		}
	})
}

func TestFollowersPagesDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const length = 2000
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: length})})
		alice, bob := b.follower("alice"), b.follower("bob")
		texts := map[*follower]string{}
		questions := map[*follower]string{alice: "甲的问题？", bob: "乙的问题？"}
		replies := map[*follower]exchange{}
		for f, q := range questions {
			replies[f] = f.Send(q)
		}
		for range 6 {
			for _, f := range []*follower{alice, bob} {
				if x := replies[f]; x.kind != "" {
					texts[f] += body(x.text)
					replies[f] = exchange{}
					if x.kind == turn.Page {
						replies[f] = f.Send("1")
					}
				}
			}
		}
		for f, q := range questions {
			if texts[f] != echo(q, length) {
				t.Errorf("%s read %d bytes, want %d", f.name, len(texts[f]), len(echo(q, length)))
			}
		}
	})
}

func TestALongAnswerReadAgainStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const length = 1200
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: length})})
		f := b.follower("alice")
		f.read(ask)
		if got := strings.Join(f.read("1"), ""); got != echo(ask, length) {
			t.Errorf("got %d bytes, want %d", len(got), len(echo(ask, length)))
		}
	})
}

// A moderation replaces what was shown already: the new text is shown from its start.
func TestReplacedText_IsShownWhole(t *testing.T) {
	for name, after := range map[string]string{
		"shorter":      "换了。",
		"longer":       "换了一段更长的话，比前面的长得多。后面还有。",
		"to nothing":   "",
		"at its end":   "第一句。第二句换了。",
		"grown as was": "第一句。第二句。第三句。",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &scripted{chat: func(_ context.Context, _ int, _ dify.ChatRequest, say func(string)) (dify.Answer, error) {
					say("第一句。第二句。")
					<-time.After(6 * time.Second)
					say(after)
					<-time.After(10 * time.Second)
					return dify.Answer{Text: after}, nil
				}}
				b := start(t, setup{dify: d, settings: holds(0)})
				f := b.follower("alice")
				f.Send(ask).want(t, turn.Partial, "第一句。第二句。\n\n"+more)
				x := f.Send("1")
				switch name {
				case "to nothing":
					x.want(t, turn.Waiting, quoted(ask, waitingLine)+"\n\n"+more)
				case "grown as was":
					x.want(t, turn.Partial, "第三句。\n\n"+more)
				default:
					x.want(t, turn.Partial, quoted(ask, after)+"\n\n"+more)
				}
				<-time.After(10 * time.Second)
				x = f.Send("1")
				if after == "" {
					x.want(t, turn.Answer, quoted(ask, emptyLine))
				} else {
					x.want(t, turn.Answer, quoted(ask, after))
				}
			})
		})
	}
}

// What is shown while it grows ends before a paragraph's empty line; the next reply does not begin with it.
func TestAPageDoesNotBeginWithEmptyLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(_ context.Context, _ int, _ dify.ChatRequest, say func(string)) (dify.Answer, error) {
			say("第一段。\n")
			<-time.After(6 * time.Second)
			return dify.Answer{Text: "第一段。\n\n第二段。"}, nil
		}}
		b := start(t, setup{dify: d, settings: holds(0)})
		f := b.follower("alice")
		f.Send(ask).want(t, turn.Partial, "第一段。\n\n"+more)
		f.Send("1").want(t, turn.Answer, "第二段。")
	})
}

// With all of the bot's own texts as long as they may be, an answer of any length still comes to its end.
func TestTheLongestOwnTextsLeaveRoom(t *testing.T) {
	long, label := strings.Repeat("字", 200), strings.Repeat("签", 20)
	texts := turn.NewTexts(turn.Chinese, map[string]string{
		turn.TextContinue: label, turn.TextOrReply: label, turn.TextRetry: label, turn.TextCutShort: long,
		turn.TextWaiting: long, turn.TextQueued: long, turn.TextFailed: long, turn.TextStopped: long,
	})
	for _, size := range []int{1200, 1300, pageBytes} {
		for length := 100; length < 800; length += 50 {
			synctest.Test(t, func(t *testing.T) {
				answer := strings.Repeat("长", length)
				d := &scripted{chat: func(_ context.Context, n int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
					if n == 1 {
						return dify.Answer{Text: "甲。"}, nil
					}
					return dify.Answer{Text: answer}, &dify.Error{Op: "chat", Kind: dify.Interrupted}
				}}
				o := options(d, newStore())
				o.PageBytes = size
				o.Link = func(label, send string) string {
					return link(label, "weixin://bizmsgmenu?msgmenuid=bot&msgmenucontent="+send)
				}
				s := usual()
				s.Texts = texts
				e, err := turn.New(o, s)
				if err != nil {
					t.Fatal(err)
				}
				seen := 0
				send := func(id, text string, answered bool) turn.Reply {
					r := e.Text(t.Context(), turn.Message{Follower: "alice", ID: id, Text: text, Delivery: 1, Received: time.Now()})
					if len(r.Text) > size {
						t.Fatalf("a reply of %d bytes on a page of %d", len(r.Text), size)
					}
					if !answered {
						e.Unsend(r)
						synctest.Wait()
					}
					return r
				}
				send("1", "甲？", false) // stays unseen: all replies need a quotation and a link
				r := send("2", strings.Repeat("问", 100), true)
				told := func() bool {
					have, err := o.Store.Get(t.Context(), "alice")
					return err == nil && have.Turns[0].Delivered && have.Turns[1].Delivered
				}
				for i := range 30 {
					seen += strings.Count(r.Text, "长")
					if told() {
						break
					}
					r = send("f"+strconv.Itoa(i), "1", true)
				}
				if seen != length || !told() {
					t.Errorf("page of %d, answer of %d characters: saw %d, last %s", size, length, seen, r.Kind)
				}
				synctest.Wait()
			})
		}
	}
}
