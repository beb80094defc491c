package turn_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func menu() []turn.MenuItem {
	return []turn.MenuItem{
		{Name: "官网", Link: "<官网>"},
		{Key: "/help", Name: "帮助", Link: "<帮助>", Command: "/help"},
		{Key: "question:1", Name: "今天喝什么", Link: "<今天喝什么>", Question: "推荐一款咖啡？"},
		{Key: "reply:1", Name: "Opening Hours", Link: "<Opening Hours>", Reply: "8:00–22:00"},
	}
}

// withMenu is a bot with a menu that followers have in the account, or not.
func withMenu(t *testing.T, shown bool) *bot {
	t.Helper()
	return start(t, setup{
		simmed: difysim.Options{Behaviour: difysim.Behaviour{Length: 80}, OpeningStatement: "您好！"},
		settings: func(s *turn.Settings) {
			s.Menu = menu()
			s.Texts = turn.NewTexts(turn.Chinese, map[string]string{turn.TextHelp: "帮助"})
		},
		menuShown: func() bool { return shown },
	})
}

const menuLines = "\n\n<官网>\n<帮助>\n<今天喝什么>\n<Opening Hours>"

func TestMenuItemsAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := withMenu(t, true)
		click := func(key string) turn.Reply {
			return b.engine.Menu(t.Context(), turn.Message{Follower: "alice", ID: "click-" + key, Text: key, Delivery: 1, Received: time.Now()})
		}
		for key, want := range map[string]string{"/help": "帮助", "reply:1": "8:00–22:00", "reply:2": "帮助", "clear": clearedLine, "": "帮助"} {
			if r := click(key); r.Kind != turn.Notice || r.Text != want {
				t.Errorf("%q: got %s %q, want %q", key, r.Kind, r.Text, want)
			}
		}
		for name, want := range map[string]string{"帮助": "帮助", "opening hours": "8:00–22:00", " Opening Hours\n": "8:00–22:00"} {
			b.follower("bob").Send(name).want(t, turn.Notice, want)
		}
		b.calls(0)
		if r := click("question:1"); r.Kind != turn.Answer || !strings.Contains(r.Text, "推荐一款咖啡？") {
			t.Errorf("a question: got %s %q", r.Kind, r.Text)
		}
		carol := b.follower("carol")
		carol.Send("今天喝什么").want(t, turn.Answer, echo("推荐一款咖啡？", 80))
		b.calls(2)
		carol.Send("官网").want(t, turn.Answer, echo("官网", 80)) // the client opens it, nobody else can
	})
}

// Three deliveries of a click are one question.
func TestMenuQuestionIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{
			simmed:   difysim.Options{Behaviour: difysim.Behaviour{Length: 80, Total: 7 * time.Second}},
			settings: func(s *turn.Settings) { s.Menu = menu() },
		})
		var last turn.Reply
		for n := 1; n <= 3 && (n == 1 || last.Kind == turn.Held); n++ {
			last = b.engine.Menu(t.Context(), turn.Message{Follower: "alice", ID: "click", Text: "question:1", Delivery: n, Received: time.Now()})
		}
		if last.Kind != turn.Answer {
			t.Errorf("got %s %q", last.Kind, last.Text)
		}
		b.calls(1)
	})
}

func TestMenuStandsInTheHelpUntilItIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := withMenu(t, false)
		b.follower("alice").Send("/help").want(t, turn.Notice, "帮助"+menuLines)
		b.wantWelcome(t, "您好！"+menuLines)
		b.settings.Texts = turn.NewTexts(turn.Chinese, map[string]string{turn.TextWelcome: "欢迎"})
		b.engine.Configure(b.settings)
		b.wantWelcome(t, "欢迎"+menuLines)
		published := withMenu(t, true)
		published.follower("alice").Send("/help").want(t, turn.Notice, "帮助")
		published.wantWelcome(t, "您好！")
	})
}

// Of a menu as many items stand in the text as fit, whole.
func TestMenuThatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("长", 300)
		b := start(t, setup{settings: func(s *turn.Settings) {
			s.Texts = turn.NewTexts(turn.Chinese, map[string]string{turn.TextHelp: "帮助"})
			for range 15 {
				s.Menu = append(s.Menu, turn.MenuItem{Key: "reply:1", Name: "a", Link: long, Reply: "x"})
			}
		}})
		b.follower("alice").Send("/help").want(t, turn.Notice, "帮助\n\n"+long+"\n"+long)
	})
}
