package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// pushes is a bot that pushes late answers.
const pushes = minimal + "wechat: {appID: " + appID + "}\nreply: {mode: CustomerService}\n"

const asked = "我的订单在哪里？"

func TestPush_VerifiedAccountGetsOneMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, pushes)
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 12 * time.Second, Length: 100})
		o := p.runOfficial(t, wechatsim.VerifiedService)
		f := o.Follower("")
		x, err := f.Send(t.Context(), asked)
		if err != nil || x.Text != "" || len(x.Deliveries) != 1 {
			t.Fatalf("the question got %+v, %v; want it acknowledged once", x, err)
		}
		time.Sleep(time.Minute)
		got := f.Transcript()
		last := got[len(got)-1]
		if len(got) != 2 || !last.AI || !strings.HasPrefix(last.Text, "回答「"+asked) {
			t.Errorf("the follower sees %+v", got)
		}
		if v := o.Violations(); len(v) != 0 {
			t.Errorf("rules of WeChat's broken: %v", v)
		}
		if n := p.dify.CallCount(); n != 1 {
			t.Errorf("Dify was called %d times", n)
		}
	})
}

// An account that may not send finds it out by its first send: that answer waits for the follower, and from then on the bot
// holds deliveries as any other.
func TestPush_UnverifiedAccountLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, pushes)
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 7 * time.Second, Length: 100})
		o := p.runOfficial(t, wechatsim.UnverifiedSubscription)
		f := o.Follower("")
		first, err := f.Send(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if first.Text == "" {
			if first, err = f.Send(t.Context(), "1"); err != nil {
				t.Fatal(err)
			}
		}
		second, err := f.Send(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		for n, x := range []*wechatsim.Exchange{first, second} {
			if !strings.Contains(x.Text, "回答「"+asked) {
				t.Errorf("answer %d is %q", n+1, x.Text)
			}
		}
		if len(second.Deliveries) != 2 {
			t.Errorf("the second answer took %d deliveries, want 2", len(second.Deliveries))
		}
	})
}

// Whatever becomes of WeChat's answer to a send, the follower has the answer or can fetch it, and no rule of WeChat's is broken.
func TestPush_UnreadableAnswersLeaveTheAnswer(t *testing.T) {
	wrong := []wechatsim.Order{
		{Status: 500}, {Body: "<html>"}, {Empty: true}, {Lose: true}, {Lose: true, Applied: true}, {Refuse: true}, {Delay: 20 * time.Second},
	}
	for _, c := range wrong {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, pushes)
				p.dify.SetBehaviour(difysim.Behaviour{FirstText: 8 * time.Second, Length: 100})
				o := p.runOfficial(t, wechatsim.VerifiedService)
				c.API = wechatsim.SendPath
				o.Order(c)
				f := o.Follower("")
				if _, err := f.Send(t.Context(), asked); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				got := f.Transcript()
				text := got[len(got)-1].Text
				if len(got) == 1 {
					x, err := f.Send(t.Context(), "1")
					if err != nil {
						t.Fatal(err)
					}
					text = x.Text
				}
				if !strings.Contains(text, "回答「"+asked) {
					t.Errorf("the follower has %q", text)
				}
				if v := o.Violations(); len(v) != 0 {
					t.Errorf("rules of WeChat's broken: %v", v)
				}
			})
		})
	}
}

func TestResultOfSend(t *testing.T) {
	for kind, want := range map[api.Kind]session.SendResult{
		api.UnknownDelivery: session.Uncertain, api.WindowClosed: session.WindowClosed, api.CountUsedUp: session.WindowClosed,
		api.NotReceiving: session.WindowClosed, api.ContentRefused: session.Refused, api.NotEntitled: session.Refused,
		api.Unreachable: session.Refused, api.QuotaExhausted: session.Refused,
	} {
		if got := resultOf(&api.Error{Kind: kind}); got != want {
			t.Errorf("%s: %d, want %d", kind, got, want)
		}
	}
	if got := resultOf(nil); got != session.Sent {
		t.Errorf("no error: %d", got)
	}
	if got := resultOf(errors.Join(context.Canceled)); got != session.Uncertain {
		t.Errorf("an error of no kind: %d", got)
	}
}
