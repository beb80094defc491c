package server

import (
	"strings"
	"testing"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

func TestKeywords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+`keywords:
- {words: [营业时间], match: Contains, reply: 每天 8:00 到 22:00}
- {words: [咖啡], question: 推荐一款咖啡}
- {words: [帮帮], match: Prefix, command: /help}
`)
		p.dify.SetBehaviour(difysim.Behaviour{Answer: "拿铁。"})
		r := p.run(t)
		f := r.platform(t).Follower("")
		for _, step := range []struct{ says, want string }{
			{"你们的营业时间？", "每天 8:00 到 22:00"}, {"咖啡", "拿铁。\n\n（内容由AI生成）"}, {"帮帮我", ""}, {"咖啡豆", "拿铁。\n\n（内容由AI生成）"},
		} {
			x, err := f.Send(t.Context(), step.says)
			if err != nil || step.want != "" && x.Text != step.want {
				t.Errorf("%s: %q, %v, want %q", step.says, x.Text, err, step.want)
			}
		}
		calls := p.dify.Calls()
		if len(calls) != 2 || calls[0].Query != "推荐一款咖啡" || calls[1].Query != "咖啡豆" {
			t.Errorf("Dify was asked %+v", calls)
		}
	})
}

func TestKeywords_HandOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, handsOver+"keywords: [{words: [客服], match: Contains, handover: true}]\n")
		o := p.runOfficial(t, wechatsim.VerifiedService)
		f := o.Follower("")
		if x, err := f.Send(t.Context(), "客服在哪"); err != nil || !strings.HasPrefix(x.Text, offlineLine) {
			t.Errorf("with nobody online: %q, %v", x.Text, err)
		}
		o.SetAgents(desk(1))
		if x, err := f.Send(t.Context(), "我找客服"); err != nil || x.Type != "transfer_customer_service" {
			t.Errorf("%+v, %v", x, err)
		}
		if n := p.dify.CallCount(); n != 0 {
			t.Errorf("Dify was asked %d times", n)
		}
		o.noViolations(t)
	})
}
