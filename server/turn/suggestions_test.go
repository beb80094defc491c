package turn_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

var next = []string{"运费谁出？", "多久到账？"}

const nextLinks = `<a href="tap:%E8%BF%90%E8%B4%B9%E8%B0%81%E5%87%BA%EF%BC%9F">运费谁出？</a>` + "\n" +
	`<a href="tap:%E5%A4%9A%E4%B9%85%E5%88%B0%E8%B4%A6%EF%BC%9F">多久到账？</a>`

// advised is a bot whose app suggests questions.
func advised(t *testing.T, b difysim.Behaviour, f difysim.Features, change func(*setup)) *bot {
	t.Helper()
	o := setup{simmed: difysim.Options{Behaviour: b, Features: f}, suggests: true}
	if change != nil {
		change(&o)
	}
	return start(t, o)
}

// advice is how often Dify was asked for suggestions.
func (b *bot) advice(t *testing.T, want int) {
	t.Helper()
	if n := b.sim.Requests("GET /messages/{id}/suggested"); n != want {
		t.Errorf("Dify was asked for suggestions %d times, want %d", n, want)
	}
}

func TestSuggestions(t *testing.T) {
	whole := echo(ask, 80)
	for name, c := range map[string]struct {
		features difysim.Features
		total    time.Duration // of the answer
		settings func(*turn.Settings)
		want     string
		after    time.Duration
		asked    int
	}{
		"at once":                 {difysim.Features{Suggested: next}, 0, nil, whole + "\n\n" + nextLinks, 0, 1},
		"within the delivery":     {difysim.Features{Suggested: next, SuggestTime: 2 * time.Second}, time.Second, nil, whole + "\n\n" + nextLinks, 3 * time.Second, 1},
		"too late":                {difysim.Features{Suggested: next, SuggestTime: 4 * time.Second}, time.Second, nil, whole, deadline, 1},
		"the app has them off":    {difysim.Features{}, time.Second, nil, whole, time.Second, 0},
		"the bot has them off":    {difysim.Features{Suggested: next}, 0, func(s *turn.Settings) { s.Suggestions = false }, whole, 0, 0},
		"Dify fails":              {difysim.Features{Suggested: next, SuggestFault: "internal_server_error.500.json"}, 0, nil, whole, 0, 1},
		"switched off since":      {difysim.Features{Suggested: next, SuggestFault: "bad_request-suggested-disabled.400.json"}, 0, nil, whole, 0, 1},
		"no questions":            {difysim.Features{Suggested: []string{" ", "/clear", "1", "继续", strings.Repeat("长", 51)}}, 0, nil, whole, 0, 1},
		"more than are shown":     {difysim.Features{Suggested: []string{"a?", " b \n c? ", "d?", "e?", "f?"}}, 0, nil, whole + "\n\n" + link("a?", "a?") + "\n" + link("b c?", "b c?") + "\n" + link("d?", "d?") + "\n" + link("e?", "e?"), 0, 1},
		"below the line of AI":    {difysim.Features{Suggested: next}, 0, func(s *turn.Settings) { s.AILabel = "（AI）" }, whole + "\n\n（AI）\n\n" + nextLinks, 0, 1},
		"the word of a hand-over": {difysim.Features{Suggested: []string{"人工", "运费谁出？"}}, 0, func(s *turn.Settings) { s.HandoverWords = []string{"人工"} }, whole + "\n\n" + link("运费谁出？", "运费谁出？"), 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := advised(t, difysim.Behaviour{Total: c.total, Length: 80}, c.features, func(o *setup) { o.settings = c.settings })
				x := b.follower("alice").Send(ask)
				x.want(t, turn.Answer, c.want)
				x.wantAt(t, 1, c.after)
				b.advice(t, c.asked)
			})
		})
	}
}

// The second delivery carries an answer that came in its time, and the suggestions too.
func TestSuggestions_OfASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := advised(t, difysim.Behaviour{FirstText: 7 * time.Second, Total: 7 * time.Second, Length: 80}, difysim.Features{Suggested: next, SuggestTime: time.Second}, nil)
		x := b.follower("alice").Send(ask)
		x.want(t, turn.Answer, echo(ask, 80)+"\n\n"+nextLinks)
		x.wantAt(t, 2, 8*time.Second)
		b.advice(t, 1)
	})
}

// What came too late is there when the answer is shown again, and Dify is not asked twice. A tap asks the question.
func TestSuggestions_ShownAgainAndAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := advised(t, difysim.Behaviour{Length: 80}, difysim.Features{Suggested: next, SuggestTime: 5 * time.Second}, nil)
		f := b.follower("alice")
		f.Send(ask).want(t, turn.Answer, echo(ask, 80))
		time.Sleep(time.Second)
		f.Send("1").want(t, turn.Answer, quoted(ask, echo(ask, 80)+"\n\n"+nextLinks))
		b.advice(t, 1)
		b.sim.SetFeatures(difysim.Features{Suggested: next})
		f.Send(next[0]).want(t, turn.Answer, echo(next[0], 80)+"\n\n"+nextLinks)
		b.advice(t, 2)
	})
}

// A delivery whose reply is lost and the next one show the same, and Dify is asked once.
func TestSuggestions_OfALostReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := advised(t, difysim.Behaviour{Length: 80}, difysim.Features{Suggested: next}, nil)
		f := b.follower("alice")
		f.late = func(n int) bool { return n == 1 }
		x := f.Send(ask)
		x.want(t, turn.Answer, echo(ask, 80)+"\n\n"+nextLinks)
		if x.delivery != 2 {
			t.Errorf("delivery %d was replied to", x.delivery)
		}
		b.advice(t, 1)
	})
}

// Only the last page has them, as many as fit, and no page waits for them but that one.
func TestSuggestions_OfPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := advised(t, difysim.Behaviour{Length: 1500}, difysim.Features{Suggested: next, SuggestTime: time.Second}, nil)
		f := b.follower("alice")
		x := f.Send(ask)
		for n := 0; x.kind == turn.Page && n < 10; n++ {
			if strings.Contains(x.text, next[0]) || x.after != 0 {
				t.Errorf("page %d, after %v: %s", n+1, x.after, x.text)
			}
			b.advice(t, 0)
			x = f.Send("1")
		}
		if x.kind != turn.Answer || !strings.HasSuffix(x.text, "\n\n"+nextLinks) || x.after != time.Second {
			t.Errorf("the last page, after %v, is %s %s", x.after, x.kind, x.text)
		}
		b.advice(t, 1)
	})
}

func TestSuggestions_WithinAPage(t *testing.T) {
	whole := (pageBytes - len(nextLinks)) / 3
	for _, length := range []int{whole - 40, whole - 3, whole - 1, whole + 10, whole + 35, pageBytes / 3} {
		synctest.Test(t, func(t *testing.T) {
			b := advised(t, difysim.Behaviour{Length: length}, difysim.Features{Suggested: next}, nil)
			x := b.follower("alice").Send(ask)
			fits := 0
			for _, q := range next {
				if strings.Contains(x.text, link(q, q)) {
					fits++
				}
			}
			room := pageBytes - len(echo(ask, length)) - len("\n\n")
			want := 0
			for used, i := 0, 0; i < len(next); i++ {
				if used += len(link(next[i], next[i])) + min(i, 1); used <= room {
					want++
				}
			}
			if x.kind != turn.Answer || fits != want {
				t.Errorf("%d characters: %s with %d suggestions, %d fit", length, x.kind, fits, want)
			}
		})
	}
}

// Whoever has asked something else already needs no suggestion, and it costs nothing.
func TestSuggestions_NotWhileAnotherQuestionWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := advised(t, difysim.Behaviour{Total: 2 * time.Second, Length: 60}, difysim.Features{Suggested: next}, nil)
		f := b.follower("alice")
		first := f.Begin(ask)
		time.Sleep(time.Second)
		second := f.Begin("第二个问题？")
		if x := <-first; strings.Contains(x.text, next[0]) || !strings.Contains(x.text, echo(ask, 60)) {
			t.Errorf("the first answer is %s", x.text)
		}
		if x := <-second; !strings.HasSuffix(x.text, nextLinks) {
			t.Errorf("the last answer is %s", x.text)
		}
		b.advice(t, 1)
	})
}

// A Dify that hangs when asked what the app can delays an answer by a second, once.
func TestSuggestions_SettingsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{parameters: func(ctx context.Context) (dify.Parameters, error) {
			<-ctx.Done()
			return dify.Parameters{}, ctx.Err()
		}, chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
			return dify.Answer{Text: "好。", MessageID: "m"}, nil
		}}
		b := start(t, setup{dify: d, suggests: true})
		f := b.follower("alice")
		f.Send(ask).wantAt(t, 1, time.Second)
		time.Sleep(10 * time.Second)
		f.Send(ask).wantAt(t, 1, 0)
		b.advice(t, 0)
	})
}

// Where answers are pushed, a message of its own follows the answer, whichever way that came, if a send is left for it.
func TestSuggestions_Pushed(t *testing.T) {
	message := "您可能还想问：\ns1 运费谁出？\ns2 多久到账？"
	whole := echo(ask, 80)
	for name, c := range map[string]struct {
		total, takes time.Duration
		sends        int // that the window has
		features     difysim.Features
		reply        string
		want         []string
		asked        int
	}{
		"behind a pushed answer":  {10 * time.Second, time.Second, 5, difysim.Features{Suggested: next}, "", []string{whole, message}, 1},
		"behind a reply":          {time.Second, 2 * time.Second, 5, difysim.Features{Suggested: next}, whole, []string{message}, 1},
		"too slow":                {10 * time.Second, 7 * time.Second, 5, difysim.Features{Suggested: next}, "", []string{whole}, 1},
		"no send is left":         {10 * time.Second, 0, 1, difysim.Features{Suggested: next}, "", []string{whole}, 1},
		"Dify fails":              {10 * time.Second, 0, 5, difysim.Features{Suggested: next, SuggestFault: "internal_server_error.500.json"}, "", []string{whole}, 1},
		"the app has them off":    {10 * time.Second, 0, 5, difysim.Features{}, "", []string{whole}, 0},
		"none can be in a button": {10 * time.Second, 0, 5, difysim.Features{Suggested: []string{""}}, "", []string{whole}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.features.SuggestTime = c.takes
				p := newPhone()
				b := advised(t, difysim.Behaviour{Total: c.total, FirstText: c.total, Length: 80}, c.features, func(o *setup) {
					o.pusher, o.settings = p, pushing(4)
				})
				f := caller(b)
				f.window = &session.Window{Kind: "message", Lasts: time.Hour, Sends: c.sends}
				kind := turn.Pushed
				if c.reply != "" {
					kind = turn.Answer
				}
				f.Send(ask).want(t, kind, c.reply)
				time.Sleep(time.Minute)
				p.wantMessages(t, c.want...)
				b.advice(t, c.asked)
				if turns := f.turns(); turns[0].Pushing || !turns[0].Delivered {
					t.Errorf("the turn is left as %+v", turns[0])
				}
			})
		})
	}
}

// The text's pages come first; what they leave of the five sends is for suggestions.
func TestSuggestions_PushedBehindPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		b := advised(t, difysim.Behaviour{Total: 10 * time.Second, FirstText: 10 * time.Second, Length: 2000}, difysim.Features{Suggested: next}, func(o *setup) {
			o.pusher, o.settings = p, pushing(4)
		})
		caller(b).Send(ask).want(t, turn.Pushed, "")
		time.Sleep(time.Minute)
		got := p.messages()
		if len(got) < 4 || len(got) > 5 || !strings.HasPrefix(got[len(got)-1], "您可能还想问：") {
			t.Errorf("%d messages, the last is %q", len(got), got[len(got)-1])
		}
	})
}

func TestSuggestions_NotPushedToWhoHasAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		b := advised(t, difysim.Behaviour{Total: 10 * time.Second, FirstText: 10 * time.Second, Length: 80}, difysim.Features{Suggested: next, SuggestTime: 3 * time.Second}, func(o *setup) {
			o.pusher, o.settings = p, pushing(4)
		})
		f := caller(b)
		f.Send(ask).want(t, turn.Pushed, "")
		time.Sleep(3 * time.Second)
		second := f.Begin("第二个问题？") // while the first is being answered
		time.Sleep(time.Minute)
		<-second
		got := p.messages()
		if len(got) != 3 || !strings.Contains(got[0], echo(ask, 80)) || !strings.HasPrefix(got[2], "您可能还想问：") {
			t.Errorf("got %q", got)
		}
	})
}

// However many answers there are, few are remembered and few asked about at a time.
func TestSuggestions_ManyFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := advised(t, difysim.Behaviour{Length: 60}, difysim.Features{Suggested: next, SuggestTime: time.Second}, nil)
		b.follower("first").Send(ask) // what the app can is known from then on
		var all []<-chan exchange
		for n := range 40 {
			all = append(all, b.follower("f"+string(rune('A'+n))).Begin(ask))
		}
		with := 0
		for _, one := range all {
			x := <-one
			if x.kind != turn.Answer {
				t.Errorf("got %s", x.kind)
			}
			if strings.HasSuffix(x.text, nextLinks) {
				with++
			}
		}
		if with != 16 {
			t.Errorf("%d of 40 have suggestions", with)
		}
	})
}
