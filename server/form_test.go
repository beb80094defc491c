package server

import (
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// refund is a chatflow that waits for an approval.
func refund(form *difysim.Form) *difysim.Server {
	return difysim.New(difysim.Options{Release: difysim.V1_14_2, Mode: difysim.Chatflow, Behaviour: difysim.Behaviour{
		Answer: "金额较大，需要您确认。", Form: form, Fault: difysim.Fault{Kind: difysim.Pause, Text: "退款 100 元？"},
	}})
}

// The actions of a form are links; a tap has the run go on, and its follower reads what it says then.
func TestForm_ATapGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal)
		p.dify = refund(&difysim.Form{Rest: "已退款。", Total: difysim.Duration(time.Second)})
		f := p.run(t).platform(t).Follower("")
		x, err := f.Send(t.Context(), "退款")
		if err != nil || tapsOf(x.Links) != "同意 拒绝" || !strings.Contains(x.Text, "退款 100 元？\n\n（内容由AI生成）\n请选择：") {
			t.Fatalf("got %q with %s, %v", x.Text, tapsOf(x.Links), err)
		}
		y, err := f.Tap(t.Context(), x.Links[0])
		if err != nil || y.Text != "已退款。\n\n（内容由AI生成）" {
			t.Errorf("the tap got %q, %v", y.Text, err)
		}
		z, err := f.Tap(t.Context(), x.Links[1])
		if err != nil || !strings.HasPrefix(z.Text, "这一步已经处理过了") {
			t.Errorf("the other tap got %q, %v", z.Text, err)
		}
		if calls := p.dify.Calls(); len(calls) != 1 {
			t.Errorf("Dify was asked %+v", calls)
		}
		for _, secret := range []string{"form-", "退款", "同意"} {
			if strings.Contains(p.log.String(), secret) {
				t.Errorf("the log has %q", secret)
			}
		}
	})
}

func TestForm_Pushed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, pushes)
		p.dify = refund(&difysim.Form{Rest: "已退款。", Total: difysim.Duration(8 * time.Second)})
		o := p.runOfficial(t, wechatsim.VerifiedService)
		f := o.Follower("")
		x, err := f.Send(t.Context(), "退款")
		if err != nil || len(x.Links) != 2 {
			t.Fatalf("got %q, %v", x.Text, err)
		}
		if _, err := f.Tap(t.Context(), x.Links[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		got := f.Transcript()
		if last := got[len(got)-1]; last.Text != "已退款。" || !last.AI || !last.Pushed {
			t.Errorf("the follower sees %+v", got)
		}
		o.noViolations(t)
	})
}

func TestForm_TooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+"reply: {language: en}\n")
		p.dify = refund(&difysim.Form{Life: difysim.Duration(time.Hour)})
		f := p.run(t).platform(t).Follower("")
		x, err := f.Send(t.Context(), "退款")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		y, err := f.Tap(t.Context(), x.Links[0])
		if err != nil || y.Text != "The time for this step is over. Please ask your question again." {
			t.Errorf("the tap got %q, %v", y.Text, err)
		}
	})
}
