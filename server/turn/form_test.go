package turn_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const (
	needsPerson = "需要人工确认。"
	formWords   = "请确认退款 100 元"
)

// approval is a bot whose app waits with a form.
func approval(t *testing.T, form *difysim.Form, change func(*setup)) *bot {
	t.Helper()
	sim := difysim.New(difysim.Options{Release: difysim.V1_14_2, Mode: difysim.Chatflow, Behaviour: difysim.Behaviour{
		Answer: needsPerson, Form: form, Fault: difysim.Fault{Kind: difysim.Pause, Text: formWords},
	}})
	t.Cleanup(sim.Close)
	o := setup{sim: sim, forms: difyOf(t, sim)}
	if change != nil {
		change(&o)
	}
	return start(t, o)
}

// actionsShown is what stands under an answer that waits for an action.
func actionsShown(turnID string) string {
	return "请选择：\n" + linkAs("同意", "同意", "form:approve:"+turnID) + "\n" + linkAs("拒绝", "拒绝", "form:reject:"+turnID)
}

var tapID = regexp.MustCompile(`\?(form:[^"]+)">([^<]+)</a>`)

// tap taps the link of that label in a reply.
func (f *follower) tap(t *testing.T, in, label string) exchange {
	t.Helper()
	for _, l := range tapID.FindAllStringSubmatch(in, -1) {
		if l[2] == label {
			f.tapped = l[1]
			x := f.Send(label)
			f.tapped = ""
			return x
		}
	}
	t.Fatalf("no %s to tap in %s", label, in)
	return exchange{}
}

func TestForm_AnActionIsTapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := approval(t, &difysim.Form{Rest: "已同意退款，三天内到账。", Total: difysim.Duration(2 * time.Second)}, nil)
		f := b.follower("alice")
		x := f.Send("退款")
		x.want(t, turn.Answer, needsPerson+"\n\n"+formWords+"\n\n"+actionsShown("alice-1"))
		y := f.tap(t, x.text, "同意")
		y.want(t, turn.Answer, "已同意退款，三天内到账。")
		y.wantAt(t, 1, 2*time.Second)
		b.calls(1)
		if n := b.sim.Requests("POST /form/human_input/{token}"); n != 1 {
			t.Errorf("the form was submitted %d times", n)
		}
		// The form is answered: whatever is tapped then is told so, and nothing is submitted twice.
		f.tap(t, x.text, "拒绝").want(t, turn.Failed, "这一步已经处理过了，不用再选。")
		// `1` shows it again, and another question is asked as ever.
		b.sim.SetBehaviour(difysim.Behaviour{Length: 60})
		f.Send(ask).want(t, turn.Answer, echo(ask, 60))
		f.Send("/clear")
		f.tap(t, x.text, "同意").want(t, turn.Notice, nothingYet)
	})
}

func TestForm_WhatIsShown(t *testing.T) {
	for name, c := range map[string]struct {
		form   *difysim.Form
		change func(*setup)
		want   string
	}{
		"inputs besides actions":   {&difysim.Form{Inputs: []string{"reason", "sum"}}, nil, needsPerson + "\n\n" + formWords + "\n\n（下一步要填写表单，在这里填不了，请联系工作人员）"},
		"sent by mail":             {&difysim.Form{ByMail: true}, nil, needsPerson + "\n\n" + pausedLine},
		"nobody can submit":        {nil, func(o *setup) { o.forms = nil }, needsPerson + "\n\n" + pausedLine},
		"in English":               {nil, func(o *setup) { o.settings = func(s *turn.Settings) { s.Texts = turn.NewTexts(turn.English, nil) } }, needsPerson + "\n\n" + formWords + "\n\n" + strings.Replace(actionsShown("alice-1"), "请选择：", "Please choose:", 1)},
		"a long title":             {&difysim.Form{Actions: []difysim.Action{{ID: "a", Title: strings.Repeat("很长", 10)}}}, nil, needsPerson + "\n\n" + formWords + "\n\n请选择：\n" + linkAs("很长很长很长很长很…", "很长很长很长很长很…", "form:a:alice-1")},
		"an action without title":  {&difysim.Form{Actions: []difysim.Action{{ID: "go"}}}, nil, needsPerson + "\n\n" + formWords + "\n\n请选择：\n" + linkAs("go", "go", "form:go:alice-1")},
		"more than there is place": {&difysim.Form{Actions: many(20)}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := approval(t, c.form, c.change)
				x := b.follower("alice").Send("退款")
				if c.want != "" {
					x.want(t, turn.Answer, c.want)
				}
				if n := len(tapID.FindAllString(x.text, -1)); name == "more than there is place" && (n < 4 || n > 8) {
					t.Errorf("%d actions: %s", n, x.text)
				}
				if strings.Contains(x.text, "{{#") {
					t.Errorf("a placeholder is shown: %s", x.text)
				}
			})
		})
	}
}

func many(n int) (actions []difysim.Action) {
	for i := range n {
		actions = append(actions, difysim.Action{ID: "action_number_" + string(rune('a'+i)), Title: strings.Repeat("选", i%9+1)})
	}
	return actions
}

// Before 1.14 a form cannot be submitted by the service API: people see to it.
func TestForm_OfAnOlderRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := difysim.New(difysim.Options{Mode: difysim.Chatflow, Behaviour: difysim.Behaviour{Answer: needsPerson, Fault: difysim.Fault{Kind: difysim.Pause}}})
		defer sim.Close()
		start(t, setup{sim: sim, forms: difyOf(t, sim)}).follower("alice").Send("退款").want(t, turn.Answer, needsPerson+"\n\n"+pausedLine)
	})
}

func TestForm_Outcomes(t *testing.T) {
	for name, c := range map[string]struct {
		form   *difysim.Form
		before func(b *bot)
		kind   turn.Kind
		want   string
	}{
		"expired":                {&difysim.Form{Life: difysim.Duration(time.Minute)}, func(*bot) { time.Sleep(2 * time.Minute) }, turn.Failed, "这一步已经过了有效期，请重新提问。"},
		"answered elsewhere":     {nil, func(b *bot) { b.sim.SubmitForms() }, turn.Failed, "这一步已经处理过了，不用再选。"},
		"the run fails":          {&difysim.Form{Fails: true, Rest: "正在退款。"}, nil, turn.Answer, "正在退款。\n\n" + cutLine + "\n" + retryLink},
		"it is slow":             {&difysim.Form{Total: difysim.Duration(7 * time.Second)}, nil, turn.Answer, "已同意。"},
		"it waits once more":     {&difysim.Form{Again: true}, nil, turn.Answer, "已同意。\n\n" + formWords + "\n\n" + actionsShown("alice-2")},
		"somebody says it again": {nil, nil, turn.Answer, "已同意。"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := approval(t, c.form, nil)
				f := b.follower("alice")
				x := f.Send("退款")
				if c.before != nil {
					c.before(b)
				}
				y := f.tap(t, x.text, "同意")
				y.want(t, c.kind, c.want)
				if name == "it waits once more" {
					f.tap(t, y.text, "同意").want(t, turn.Answer, "已同意。")
				}
				if name == "somebody says it again" { // typed, it is a question
					b.sim.SetBehaviour(difysim.Behaviour{Length: 60})
					f.Send("同意").want(t, turn.Answer, echo("同意", 60))
				}
			})
		})
	}
}

// The answer is read where Dify stores it if its events reach nobody.
func TestForm_EventsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := approval(t, &difysim.Form{Unheard: true}, nil)
		f := b.follower("alice")
		x := f.Send("退款")
		if y := f.tap(t, x.text, "同意"); y.kind != turn.Waiting {
			t.Errorf("got %s %s", y.kind, y.text)
		}
		time.Sleep(timeout)
		f.Send("1").want(t, turn.Answer, quoted("同意", "已同意。"))
	})
}

// The tap is delivered three times, and submits once.
func TestForm_TapDeliveredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := approval(t, nil, nil)
		f := b.follower("alice")
		x := f.Send("退款")
		f.late = func(n int) bool { return n < 3 }
		y := f.tap(t, x.text, "同意")
		y.want(t, turn.Answer, "已同意。")
		if n := b.sim.Requests("POST /form/human_input/{token}"); n != 1 || y.delivery != 3 {
			t.Errorf("submitted %d times, delivery %d", n, y.delivery)
		}
	})
}

// Where answers are pushed, so is a form, and what follows it.
func TestForm_Pushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		b := approval(t, &difysim.Form{Total: difysim.Duration(10 * time.Second)}, func(o *setup) { o.pusher, o.settings = p, pushing(4) })
		f := caller(b)
		x := f.Send("退款")
		f.tap(t, x.text, "拒绝").want(t, turn.Pushed, "")
		time.Sleep(time.Minute)
		p.wantMessages(t, "已拒绝。")
	})
}

// A process that dies while it submits leaves the turn to the next one, which finds the form submitted and awaits the answer.
func TestForm_TakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newStore()
		one := approval(t, &difysim.Form{Total: difysim.Duration(20 * time.Second)}, func(o *setup) { o.store = base })
		f := one.follower("alice")
		x := f.Send("退款")
		l := tapID.FindStringSubmatch(x.text)
		f.tapped = l[1]
		tapped := f.Begin(l[2])
		time.Sleep(2 * time.Second)
		one.end()
		<-tapped
		f.tapped = ""
		f.bot = start(t, setup{store: base.of("pod-2"), sim: one.sim, forms: difyOf(t, one.sim)})
		time.Sleep(time.Minute)
		got := f.Send("1")
		if got.kind != turn.Answer || !strings.Contains(got.text, "已同意。") {
			t.Errorf("got %s %s", got.kind, got.text)
		}
		if turns := f.turns(); turns[len(turns)-1].State != session.Answered {
			t.Errorf("the turn is %+v", turns[len(turns)-1])
		}
	})
}

// A process that dies before the run waits leaves the turn to the next one, which finds out what the run waits with.
func TestForm_FoundByTheNextOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newStore()
		one := approval(t, nil, func(o *setup) { o.store = base })
		one.sim.SetBehaviour(difysim.Behaviour{
			Answer: needsPerson, FirstText: 5 * time.Second, Total: 20 * time.Second, Fault: difysim.Fault{Kind: difysim.Pause, Text: formWords},
		})
		f := one.follower("alice")
		asked := f.Begin("退款")
		time.Sleep(8 * time.Second)
		one.end()
		<-asked
		f.bot = start(t, setup{store: base.of("pod-2"), sim: one.sim, forms: difyOf(t, one.sim)})
		time.Sleep(time.Minute)
		x := f.Send("1")
		if !strings.Contains(x.text, formWords) || !strings.Contains(x.text, "请选择：") {
			t.Fatalf("got %s %s", x.kind, x.text)
		}
		f.tap(t, x.text, "同意").want(t, turn.Answer, "已同意。")
	})
}

// broken is a Dify whose forms cannot be submitted at first.
type broken struct {
	turn.Forms
	fails int
}

func (b *broken) Submit(ctx context.Context, f dify.Submission, say func(dify.Update)) (dify.Answer, error) {
	b.fails--
	if b.fails >= 0 {
		return dify.Answer{}, errors.New("unreachable")
	}
	return b.Forms.Submit(ctx, f, say)
}

// "Ask again" submits the form, and does not ask the app what its action is called.
func TestForm_Retried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := approval(t, nil, func(o *setup) { o.forms = &broken{o.forms, 1} })
		f := b.follower("alice")
		x := f.Send("退款")
		f.tap(t, x.text, "同意").want(t, turn.Failed, failedLine+"\n"+retryLink)
		f.Send("/retry").want(t, turn.Answer, "已同意。")
		b.calls(1)
	})
}

// Of a reference that a newer release has written, or that is damaged, nothing is offered and nothing breaks.
func TestForm_DamagedReference(t *testing.T) {
	for _, id := range []string{"form:", "form:approve", "form:approve:", "form:approve:other", "form:x:alice-1", "form:::"} {
		synctest.Test(t, func(t *testing.T) {
			b := approval(t, nil, nil)
			f := b.follower("alice")
			f.Send("退款")
			f.tapped = id
			f.Send("同意").want(t, turn.Notice, nothingYet)
		})
	}
}
