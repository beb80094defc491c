package turn_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const label = "（内容由AI生成）"

func labelled(s *turn.Settings) { s.AILabel, s.Notice = label, "备案号" }

// Every page of an answer has the line, within its bytes, above the links; what the bot says itself has none.
func TestAILabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 3000}), settings: labelled})
		f := b.follower("alice")
		x := f.Send(ask)
		var all strings.Builder
		pages := 1
		for ; x.kind == turn.Page && pages < 20; pages++ {
			body, ok := strings.CutSuffix(x.text, "\n\n"+label+"\n"+more)
			if !ok || len(x.whole) > pageBytes {
				t.Errorf("page %d (%d bytes) ends in …%q", pages, len(x.whole), x.text[max(0, len(x.text)-120):])
			}
			all.WriteString(strings.TrimSpace(body))
			x = f.Send("1")
		}
		body, ok := strings.CutSuffix(x.text, "\n\n"+label)
		if !ok || x.kind != turn.Answer {
			t.Errorf("the last page is %s …%q", x.kind, x.text[max(0, len(x.text)-120):])
		}
		all.WriteString(body)
		if all.String() != echo(ask, 3000) || pages < 5 {
			t.Errorf("%d pages hold %d bytes, want %d", pages, all.Len(), len(echo(ask, 3000)))
		}
		for _, says := range []string{"/help", "/clear", "/stop", "1"} {
			if x := f.Send(says); strings.Contains(x.text, label) {
				t.Errorf("%s is answered with the label: %q", says, x.text)
			}
		}
		if x := f.Send("/help"); !strings.HasSuffix(x.text, "\n\n备案号") {
			t.Errorf("the help has not the notice: %q", x.text)
		}
	})
}

func TestAILabel_OfAnAnswerThatGrowsOrFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{
			simmed:   simmed(difysim.Behaviour{Length: 300, FirstText: 6 * time.Second, Total: 20 * time.Second}),
			settings: func(s *turn.Settings) { labelled(s); holds(0)(s) },
		})
		f := b.follower("alice")
		if x := f.Send(ask); x.kind != turn.Waiting || strings.Contains(x.text, label) {
			t.Errorf("got %s %q, want a waiting line without a label", x.kind, x.text)
		}
		time.Sleep(4 * time.Second)
		if x := f.Send("1"); x.kind != turn.Partial || !strings.HasSuffix(x.text, "\n\n"+label+"\n"+more) {
			t.Errorf("got %s %q, want a part with the label", x.kind, x.text)
		}
		time.Sleep(time.Minute)
		if x := f.Send("1"); x.kind != turn.Answer || !strings.HasSuffix(x.text, "\n\n"+label) {
			t.Errorf("got %s %q, want the end with the label", x.kind, x.text)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Fault: difysim.Fault{Kind: difysim.HTTPError, Name: "invalid_param-run-failed.400"}}), settings: labelled})
		if x := b.follower("alice").Send(ask); x.kind != turn.Failed || strings.Contains(x.text, label) {
			t.Errorf("got %s %q, want a failure without a label", x.kind, x.text)
		}
	})
}
