package turn_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func (b *bot) wantWelcome(t *testing.T, text string) {
	t.Helper()
	r := b.engine.Welcome(t.Context(), time.Now())
	if r.Kind != turn.Notice || r.Text != text {
		t.Errorf("got %s\n%s\nwant\n%s", r.Kind, r.Text, text)
	}
}

func TestWelcome_OwnThenDifysThenHelp(t *testing.T) {
	opening := difysim.Options{OpeningStatement: "**您好！**\n\n- 问我吧", SuggestedQuestions: []string{"怎么退货？", "营业时间？"}}
	for name, c := range map[string]struct {
		own  string
		dify difysim.Options
		want string
		asks int
	}{
		"own":                          {"欢迎！", opening, "欢迎！", 0},
		"Dify's, with its suggestions": {"", opening, "您好！\n\n• 问我吧\n\n" + link("怎么退货？", "怎么退货？") + "\n" + link("营业时间？", "营业时间？"), 1},
		"Dify's, with a variable":      {"", difysim.Options{OpeningStatement: "{{ city }}您好！", SuggestedQuestions: []string{"{{city}}的天气？"}}, "深圳您好！\n\n" + link("深圳的天气？", "深圳的天气？"), 1},
		"Dify's, without":              {"", difysim.Options{OpeningStatement: "您好！"}, "您好！", 1},
		"help":                         {"", difysim.Options{SuggestedQuestions: []string{"怎么退货？"}}, helpText, 1},
		"Dify's key is wrong":          {"", difysim.Options{Key: "app-other", OpeningStatement: "您好！"}, helpText, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, setup{simmed: c.dify, settings: func(s *turn.Settings) {
					s.Texts = turn.NewTexts(turn.Chinese, map[string]string{turn.TextWelcome: c.own})
					s.Inputs = map[string]string{"city": "深圳"}
				}})
				b.wantWelcome(t, c.want)
				b.wantWelcome(t, c.want)
				if n := b.sim.Requests("GET /parameters"); n != c.asks {
					t.Errorf("Dify was asked %d times, want %d", n, c.asks)
				}
			})
		})
	}
}

func TestASuggestionsOrderAndSpaceAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("长", 300)
		d := &scripted{parameters: func(context.Context) (dify.Parameters, error) {
			return dify.Parameters{OpeningStatement: long, SuggestedQuestions: []string{" ", "甲？", long, "乙？"}}, nil
		}}
		start(t, setup{dify: d}).wantWelcome(t, long+"\n\n"+link("甲？", "甲？"))
		d = &scripted{parameters: func(context.Context) (dify.Parameters, error) {
			return dify.Parameters{OpeningStatement: strings.Repeat("长", 1000)}, nil
		}}
		if r := start(t, setup{dify: d}).engine.Welcome(t.Context(), time.Now()); len(r.Text) > pageBytes || len(r.Text) < pageBytes-3 {
			t.Errorf("a welcome of %d bytes", len(r.Text))
		}
	})
}

func TestOpening_AskedOnceForAHundred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := "您好！"
		d := &scripted{parameters: func(context.Context) (dify.Parameters, error) {
			<-time.After(2 * time.Second)
			return dify.Parameters{OpeningStatement: text}, nil
		}}
		b := start(t, setup{dify: d})
		crowd := func(want string) {
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() { b.wantWelcome(t, want) })
			}
			all.Wait()
		}
		crowd("您好！")
		synctest.Wait()
		text = "欢迎回来！"
		<-time.After(9 * time.Minute)
		crowd("您好！") // still fresh
		if d.welcome != 1 {
			t.Errorf("Dify was asked %d times, want once", d.welcome)
		}
		<-time.After(2 * time.Minute)
		crowd("您好！") // the old one serves while a new one is asked for
		<-time.After(3 * time.Second)
		crowd("欢迎回来！")
		if d.welcome != 2 {
			t.Errorf("Dify was asked %d times, want twice", d.welcome)
		}
	})
}

func TestASlowOrFailingDifyDelaysNoWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{parameters: func(ctx context.Context) (dify.Parameters, error) {
			<-ctx.Done()
			return dify.Parameters{}, ctx.Err()
		}}
		b := start(t, setup{dify: d})
		began := time.Now()
		b.wantWelcome(t, helpText)
		if took := time.Since(began); took != deadline {
			t.Errorf("it took %v, want the deadline", took)
		}
		<-time.After(10 * time.Second) // given up
		synctest.Wait()
		d.parameters = func(context.Context) (dify.Parameters, error) {
			return dify.Parameters{OpeningStatement: "您好！"}, nil
		}
		began = time.Now()
		b.wantWelcome(t, helpText)
		if took := time.Since(began); took != 0 {
			t.Errorf("a failure just now is asked about again only later: took %v", took)
		}
		<-time.After(30 * time.Second)
		b.wantWelcome(t, "您好！")
		synctest.Wait()
		d.parameters = func(context.Context) (dify.Parameters, error) { return dify.Parameters{}, errors.New("down") }
		<-time.After(11 * time.Minute)
		b.wantWelcome(t, "您好！")
		synctest.Wait()
		b.wantWelcome(t, "您好！") // what is known is kept
	})
}

func TestAnEndedEngineStillGreets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: difysim.Options{OpeningStatement: "您好！"}})
		b.end()
		b.wantWelcome(t, helpText)
	})
}
