package turn_test

import (
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func TestKeyword(t *testing.T) {
	for i, test := range []struct {
		text, want string // the reply; empty: it goes to Dify as it is
	}{
		{"营业时间", "8 点"}, {" 营业时间 ", "8 点"}, {"请问营业时间是？", "8 点"}, {"营业 时间", ""},
		{"Price", "20 元"}, {"PRICE list", "20 元"}, {"the price", ""},
		{"重来", "对话已清空，我们重新开始吧。"}, {"重来吧", ""},
		{"价格和营业时间", "8 点"}, // the first that fits
		{"菜单", "来自关键词"},    // before the menu
		{"/help 营业时间", "8 点"},
	} {
		t.Run(test.text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, setup{simmed: difysim.Options{}, settings: func(s *turn.Settings) {
					s.Keywords = []turn.Keyword{
						{Words: []string{"营业时间"}, Match: turn.Contains, Reply: "8 点"},
						{Words: []string{"price"}, Match: turn.Prefix, Reply: "20 元"},
						{Words: []string{"价格"}, Match: turn.Contains, Reply: "20 元"},
						{Words: []string{"重来"}, Command: turn.Clear},
						{Words: []string{"菜单"}, Reply: "来自关键词"},
					}
					s.Menu = []turn.MenuItem{{Key: "k", Name: "菜单", Reply: "来自菜单"}}
				}})
				got := b.follower("alice" + strconv.Itoa(i)).Send(test.text)
				if test.want == "" {
					b.calls(1)
					return
				}
				got.want(t, turn.Notice, test.want)
				b.calls(0)
			})
		})
	}
}

// A keyword's question is asked as it is configured.
func TestKeyword_AsksAnotherQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{settings: func(s *turn.Settings) {
			s.Keywords = []turn.Keyword{{Words: []string{"咖啡"}, Question: "推荐一款咖啡"}}
		}})
		b.follower("alice").Send("咖啡")
		if calls := b.sim.Calls(); len(calls) != 1 || calls[0].Query != "推荐一款咖啡" {
			t.Errorf("Dify was asked %+v", calls)
		}
	})
}
