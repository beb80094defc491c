package server

import (
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

var suggested = difysim.Features{Suggested: []string{"运费谁出？", "多久到账？"}}

// tapsOf are the labels of what a follower can tap.
func tapsOf(links []wechatsim.Link) string {
	var labels []string
	for _, l := range links {
		labels = append(labels, l.Label)
	}
	return strings.Join(labels, " ")
}

// A tap asks what the app has suggested, in the order label, rating, suggestions.
func TestSuggestions_ATapAsks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+"reply: {feedback: true}\n")
		p.dify.SetBehaviour(difysim.Behaviour{Answer: "可以退。"})
		p.dify.SetFeatures(suggested)
		f := p.run(t).platform(t).Follower("")
		x, err := f.Send(t.Context(), "能退吗？")
		if err != nil || tapsOf(x.Links) != "👍 👎 运费谁出？ 多久到账？" || !strings.HasPrefix(x.Text, "可以退。\n\n（内容由AI生成）\n") {
			t.Fatalf("got %q with %s, %v", x.Text, tapsOf(x.Links), err)
		}
		if x, err = f.Tap(t.Context(), x.Links[3]); err != nil || !strings.HasPrefix(x.Text, "可以退。") {
			t.Errorf("the tap got %q, %v", x.Text, err)
		}
		calls := p.dify.Calls()
		if len(calls) != 2 || calls[1].Query != "多久到账？" {
			t.Errorf("Dify was asked %+v", calls)
		}
		if n := p.dify.Requests("GET /messages/{id}/suggested"); n != 2 {
			t.Errorf("asked for suggestions %d times", n)
		}
		if n := p.dify.Requests("GET /parameters"); n != 1 {
			t.Errorf("asked for the app's settings %d times", n)
		}
	})
}

func TestSuggestions_Off(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+"reply: {suggestions: false}\n")
		p.dify.SetFeatures(suggested)
		x, err := p.run(t).platform(t).Follower("").Send(t.Context(), "能退吗？")
		if err != nil || len(x.Links) != 0 || p.dify.Requests("GET /messages/{id}/suggested") != 0 {
			t.Errorf("got %q, %v", x.Text, err)
		}
	})
}

// One msgmenu follows a pushed answer; a test account, which may have none, gets a text with tap-links. A tap on either asks.
func TestSuggestions_Pushed(t *testing.T) {
	for kind, shown := range map[wechatsim.AccountKind]string{wechatsim.VerifiedService: "msgmenu", wechatsim.TestAccount: "text"} {
		t.Run(kind.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, pushes)
				p.dify.SetBehaviour(difysim.Behaviour{FirstText: 8 * time.Second, Total: 8 * time.Second, Answer: "可以退。"})
				p.dify.SetFeatures(suggested)
				o := p.runOfficial(t, kind)
				f := o.Follower("")
				for _, ask := range []string{"能退吗？", "再问一次"} { // the second time the account is known
					before := f.Shown()
					if _, err := f.Send(t.Context(), ask); err != nil {
						t.Fatal(err)
					}
					time.Sleep(30 * time.Second)
					got := f.Transcript()[before:]
					last := got[len(got)-1]
					if len(got) != 3 || got[1].Text != "可以退。" || last.Type != shown || !last.AI || tapsOf(last.Links) != "运费谁出？ 多久到账？" ||
						!strings.HasPrefix(last.Text, "您可能还想问：") {
						t.Fatalf("the follower sees %+v", got)
					}
				}
				got := f.Transcript()
				if _, err := f.Tap(t.Context(), got[len(got)-1].Links[0]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(30 * time.Second)
				if calls := p.dify.Calls(); len(calls) != 3 || calls[2].Query != "运费谁出？" {
					t.Errorf("Dify was asked %+v", calls)
				}
				o.noViolations(t)
			})
		})
	}
}

// The welcome has the app's own suggestions, unless they are off.
func TestSuggestions_InTheWelcome(t *testing.T) {
	for config, want := range map[string]string{"": "怎么退货？", "reply: {suggestions: false}\n": ""} {
		bubble(t, func(t *testing.T) {
			p := newPlace(t, minimal+config)
			p.dify = difysim.New(difysim.Options{OpeningStatement: "您好！", SuggestedQuestions: []string{"怎么退货？"}})
			x, err := p.run(t).platform(t).Follower("").Follow(t.Context())
			if err != nil || tapsOf(x.Links) != want || !strings.HasPrefix(x.Text, "您好！") {
				t.Errorf("%q: got %q, %v", config, x.Text, err)
			}
		})
	}
}
