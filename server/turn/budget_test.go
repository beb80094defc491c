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

// budgeted are the settings of a bot with a budget, in a zone whose day ends in an hour.
func budgeted(follower, bot int64, language string) func(*turn.Settings) {
	return func(s *turn.Settings) {
		end := time.Now().Add(time.Hour).UTC()
		zone := time.FixedZone("", 24*60*60-end.Hour()*60*60-end.Minute()*60-end.Second())
		s.Limits.Tokens = session.Budget{Follower: follower, Bot: bot, Zone: zone}
		s.Texts = turn.NewTexts(language, nil)
	}
}

// costing is a Dify each of whose answers uses so many tokens.
func costing(tokens int) *scripted {
	return &scripted{chat: func(_ context.Context, _ int, r dify.ChatRequest, _ func(string)) (dify.Answer, error) {
		return dify.Answer{Text: "回答：" + r.Query, ConversationID: "c1", Usage: dify.Usage{TotalTokens: tokens}}, nil
	}}
}

func TestBudget_UsedUp(t *testing.T) {
	for _, c := range []struct {
		name          string
		follower, bot int64
		language      string
		refused       []string // followers, after alice has asked twice
		label, want   string
	}{
		{"a follower's", 20, 0, turn.Chinese, []string{"alice"}, "budget=follower", "抱歉，今天的使用额度已经用完，这个问题没有收下，1月1日 00:00 以后可以继续提问。"},
		{"the bot's", 0, 20, turn.English, []string{"alice", "bob"}, "budget=bot", "Sorry, today's quota is used up, so this question was not taken. It goes on at 00:00 on 1 January."},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := costing(10)
				b := start(t, setup{dify: d, settings: budgeted(c.follower, c.bot, c.language)})
				alice := b.follower("alice")
				alice.Send("一").want(t, turn.Answer, "回答：一")
				alice.Send("二").want(t, turn.Answer, "回答：二")
				midnight := time.Now().Add(time.Hour)
				for _, name := range c.refused {
					x := b.follower(name).push(name+"-over", "三")
					want := strings.Replace(c.want, "1月1日", midnight.In(b.settings.Limits.Tokens.Zone).Format("1月2日"), 1)
					want = strings.Replace(want, "1 January", midnight.In(b.settings.Limits.Tokens.Zone).Format("2 January"), 1)
					x.want(t, turn.Refused, want)
				}
				d.wantCalls(t, 2)
				if got := b.count("budget_refusals_total", c.label); got != float64(len(c.refused)) {
					t.Errorf("%v refusals are counted, want %d", got, len(c.refused))
				}
				if len(c.refused) == 1 {
					b.follower("bob").Send("四").want(t, turn.Answer, "回答：四")
				}
				time.Sleep(time.Until(midnight))
				alice.Send("五").want(t, turn.Answer, "回答：五")
			})
		})
	}
}

// What a follower stops has been paid for: where Dify ascribes nothing to it, as releases of today do, by its length.
func TestBudget_OfStoppedTurns(t *testing.T) {
	for name, mode := range map[string]difysim.Mode{"chat": difysim.Chat, "chatflow": difysim.Chatflow} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, setup{
					simmed:   difysim.Options{Mode: mode, Behaviour: steady(time.Minute, 600)},
					settings: budgeted(20, 0, turn.Chinese),
				})
				f := b.follower("alice")
				asked := f.Begin("慢慢说")
				time.Sleep(30 * time.Second)
				<-asked
				f.Send("/stop")
				synctest.Wait()
				time.Sleep(2 * time.Second)
				used, err := b.store.Used(t.Context())
				if err != nil || used.Tokens < 50 || used.Tokens > 400 {
					t.Errorf("used %+v, %v; want what half of the answer has cost", used, err)
				}
				if x := f.Send("再问"); x.kind != turn.Refused || !strings.Contains(x.text, "额度") {
					t.Errorf("after it: %s %q", x.kind, x.text)
				}
			})
		})
	}
}

// The stream of a turn that its follower ends is read to its end, as that tells what was used: for a moment, no longer.
func TestBudget_ReadsTheEndOfWhatIsStopped(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, f *follower){
		"stop":   func(_ *testing.T, f *follower) { f.Send("/stop") },
		"clear":  func(_ *testing.T, f *follower) { f.Send("/clear") },
		"forget": func(t *testing.T, f *follower) { t.Helper(); _ = f.engine.Forget(t.Context(), f.name) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := make(chan struct{})
				d := &scripted{
					chat: func(ctx context.Context, _ int, _ dify.ChatRequest, say func(string)) (dify.Answer, error) {
						say("一半")
						select {
						case <-told:
							return dify.Answer{Text: "一半", ConversationID: "c1", Usage: dify.Usage{TotalTokens: 31}}, nil
						case <-ctx.Done():
							return dify.Answer{Text: "一半"}, canceled(ctx)
						}
					},
					stop: func(context.Context, string) error { close(told); return nil },
				}
				b := start(t, setup{dify: d, settings: budgeted(20, 0, turn.Chinese)})
				f := b.follower("alice")
				asked := f.Begin("问")
				time.Sleep(time.Second)
				end(t, f)
				<-asked
				synctest.Wait()
				if used, err := b.store.Used(t.Context()); err != nil || used.Tokens != 31 {
					t.Errorf("used %+v, %v; want what the end has told", used, err)
				}
				if got := len(d.stopped); got != 1 {
					t.Errorf("Dify was told to stop %d times", got)
				}
				if x := f.Send("再问"); x.kind != turn.Refused {
					t.Errorf("after it: %s %q", x.kind, x.text)
				}
			})
		})
	}
}

// Tries that have failed cost as much as Dify says, and an answer whose Dify hangs is left after a moment.
func TestBudget_OfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(_ context.Context, n int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
			if n == 1 {
				return dify.Answer{Usage: dify.Usage{TotalTokens: 7}}, &dify.Error{Op: "chat", Kind: dify.ModelBusy}
			}
			return dify.Answer{Text: "好。", Usage: dify.Usage{TotalTokens: 5}}, nil
		}}
		b := start(t, setup{dify: d, settings: budgeted(0, 1000, turn.Chinese)})
		b.follower("alice").Send("问").want(t, turn.Answer, "好。")
		if used, err := b.store.Used(t.Context()); err != nil || used.Tokens != 12 {
			t.Errorf("used %+v, %v; want what both tries have cost", used, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: hang("一半")}
		b := start(t, setup{dify: d, settings: budgeted(0, 1000, turn.Chinese)})
		f := b.follower("alice")
		asked := f.Begin("问")
		time.Sleep(time.Second)
		f.Send("/stop")
		<-asked
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := b.count("turns_in_flight"); n != 0 {
			t.Errorf("%v turns run on", n)
		}
		if used, err := b.store.Used(t.Context()); err != nil || used.Tokens != 3 {
			t.Errorf("used %+v, %v; want three characters' worth", used, err)
		}
	})
}
