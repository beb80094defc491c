package server

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// handsOver is a bot that hands over.
const handsOver = calls + "handover: {words: [人工, 转人工]}\n"

const (
	offlineLine = "现在没有人工客服在线，请过一会儿再试。您也可以继续问我。"
	queueLine   = "正在为您转接人工客服，请稍等"
	helper      = "helper@bot"
)

// desk is a customer service with one agent, who takes so many followers unasked.
func desk(unasked int) []wechatsim.Agent {
	return []wechatsim.Agent{{Account: helper, Online: true, AutoAccept: unasked}}
}

func sees(bubbles []wechatsim.Bubble) string {
	var all []string
	for _, b := range bubbles {
		all = append(all, string(b.From)+": "+b.Text)
	}
	return strings.Join(all, "\n")
}

// toAgent sends a text that must not reach the bot.
func toAgent(t *testing.T, f *wechatsim.Follower) {
	t.Helper()
	if x, err := f.Send(t.Context(), "给客服的话"); err != nil || len(x.Deliveries) != 0 || x.Text != "" {
		t.Errorf("what is said to the agent got %+v, %v", x, err)
	}
}

func TestHandover_AgentServesAndTheBotIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, handsOver+"reply: {mode: CustomerService}\n")
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 8 * time.Second, Length: 60})
		o := p.runOfficial(t, wechatsim.VerifiedService)
		o.SetAgents(desk(1))
		f := o.Follower("")
		slow := make(chan struct{})
		go func() { defer close(slow); _, _ = f.Send(t.Context(), "一个慢的问题") }()
		time.Sleep(time.Second)
		x, err := f.Send(t.Context(), "转人工")
		if err != nil || x.Type != "transfer_customer_service" {
			t.Fatalf("%+v, %v", x, err)
		}
		<-slow
		synctest.Wait()
		if agent, _ := o.Serving(f.OpenID()); agent != helper {
			t.Fatalf("%q serves", agent)
		}
		before := f.Shown()
		time.Sleep(time.Minute) // the answer is there, and is not sent
		if shown := f.Shown(); shown != before {
			t.Errorf("while a person serves the follower is shown %s", sees(f.Transcript()))
		}
		toAgent(t, f)
		o.AgentSays(f.OpenID(), "您好")
		o.CloseSession(f.OpenID())
		time.Sleep(time.Second)
		say(t, f, "1", "回答「一个慢的问题")
		if calls := p.dify.CallCount(); calls != 1 {
			t.Errorf("Dify was asked %d times", calls)
		}
		p.dify.SetBehaviour(difysim.Behaviour{})
		say(t, f, "再问一个", "回答「再问一个")
		o.noViolations(t)
	})
}

func TestHandover_WhoWaitsIsToldAndCanGoOnWithTheBot(t *testing.T) {
	for _, config := range []string{handsOver, handsOver + "reply: {mode: CustomerService}\n"} {
		bubble(t, func(t *testing.T) {
			p := newPlace(t, config)
			o := p.runOfficial(t, wechatsim.VerifiedSubscription)
			o.SetAgents(desk(0))
			f := o.Follower("")
			if x, err := f.Send(t.Context(), "人工"); err != nil || x.Type != "transfer_customer_service" {
				t.Fatalf("%+v, %v", x, err)
			}
			time.Sleep(5 * time.Second)
			last := f.Transcript()[len(f.Transcript())-1]
			if !strings.HasPrefix(last.Text, queueLine) || last.AI || len(last.Links) != 1 {
				t.Fatalf("the follower sees %+v", last)
			}
			say(t, f, "还在吗？", queueLine)
			if n := p.dify.CallCount(); n != 0 {
				t.Errorf("Dify was asked %d times", n)
			}
			x, err := f.Tap(t.Context(), last.Links[0])
			said(t, x, err, "好的，请直接输入您的问题。")
			say(t, f, "还在吗？", "回答「还在吗？")
			// A person comes after all.
			if !o.Accept(f.OpenID(), helper) {
				t.Fatal("nobody accepts")
			}
			time.Sleep(time.Second)
			toAgent(t, f)
			o.CloseSession(f.OpenID())
			time.Sleep(time.Second)
			say(t, f, "谢谢", "回答「谢谢")
			o.noViolations(t)
		})
	}
}

// The event of a session's end may be lost: WeChat itself ends it after half an hour, and the bot asks.
func TestHandover_EndsWithoutAnEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, handsOver)
		o := p.runOfficial(t, wechatsim.VerifiedService)
		o.SetAgents(desk(1))
		f := o.Follower("")
		if _, err := f.Push(t.Context(), message(f, "event", "<Event>kf_create_session</Event><KfAccount>"+helper+"</KfAccount>")); err != nil {
			t.Fatal(err)
		}
		say(t, f, "有人吗？", "回答「有人吗？") // nobody serves, says WeChat
		if _, err := f.Push(t.Context(), message(f, "event", "<Event>kf_switch_session</Event><FromKfAccount>a</FromKfAccount>")); err != nil {
			t.Fatal(err)
		}
		o.Order(wechatsim.Order{API: "getsession", Code: -1})
		say(t, f, "还有人吗？", queueLine) // it cannot be asked
		time.Sleep(30 * time.Minute)
		say(t, f, "还有人吗？", "回答「还有人吗？")
	})
}

// With nobody there, or without the right, the follower is told so and stays with the bot: whatever WeChat answers.
func TestHandover_NobodyIsThere(t *testing.T) {
	type situation struct {
		kind   wechatsim.AccountKind
		agents []wechatsim.Agent
		order  *wechatsim.Order
	}
	all := map[string]situation{
		"nobody is online":         {wechatsim.VerifiedService, []wechatsim.Agent{{Account: helper}}, nil},
		"customer service is off":  {wechatsim.VerifiedService, nil, nil},
		"the account may not":      {wechatsim.UnverifiedService, desk(1), nil},
		"a person's account":       {wechatsim.PersonalSubscription, desk(1), nil},
		"WeChat is slow":           {wechatsim.VerifiedService, desk(1), &wechatsim.Order{Delay: 20 * time.Second}},
		"a connection that breaks": {wechatsim.VerifiedService, desk(1), &wechatsim.Order{Lose: true}},
		"no answer of WeChat's":    {wechatsim.VerifiedService, desk(1), &wechatsim.Order{Status: 502, Body: "<html>"}},
	}
	for _, code := range []int{-1, 40001, 40014, 40125, 40164, 40243, 42001, 45009, 45011, 48001, 48004, 50002, 65400, 65401, 99999} {
		all[strconv.Itoa(code)] = situation{wechatsim.VerifiedService, desk(1), &wechatsim.Order{Code: code}}
	}
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := newPlace(t, handsOver).runOfficial(t, c.kind)
				time.Sleep(time.Second)
				o.SetAgents(c.agents)
				if c.order != nil {
					c.order.API = wechatsim.OnlinePath
					o.Order(*c.order)
				}
				f := o.Follower("")
				for range 2 {
					if x := say(t, f, "人工", offlineLine); len(x.Deliveries) != 1 {
						t.Errorf("it took %d deliveries", len(x.Deliveries))
					}
				}
				say(t, f, "那我问你", "回答「那我问你")
				o.noViolations(t)
			})
		})
	}
}

func TestHandover_OfflineText(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newPlace(t, calls+"handover: {words: [human], offline: 客服时间是 9 点到 18 点。}\n").runOfficial(t, wechatsim.VerifiedService)
		f := o.Follower("")
		say(t, f, "Human", "客服时间是 9 点到 18 点。")
		say(t, f, "人工", "回答「人工") // is no word of this bot's
	})
}

// A click cannot be handed over: agents would see nonsense. It gives a link that can.
func TestHandover_ByTheMenu(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, handsOver+"menu: [{name: 找客服, handover: true}]\n")
		o := p.runOfficial(t, wechatsim.VerifiedService)
		o.SetAgents([]wechatsim.Agent{{Account: helper}})
		time.Sleep(time.Second)
		f := o.Follower("")
		x, err := f.TapMenu(t.Context(), "找客服")
		said(t, x, err, offlineLine)
		o.SetAgents(desk(1))
		x, err = f.TapMenu(t.Context(), "找客服")
		x = said(t, x, err, "请点这里转接人工客服")
		x, err = f.Tap(t.Context(), x.Links[0])
		if err != nil || x.Type != "transfer_customer_service" {
			t.Fatalf("%+v, %v", x, err)
		}
		time.Sleep(time.Second)
		o.CloseSession(f.OpenID())
		time.Sleep(time.Second)
		if x, err = f.Send(t.Context(), "找客服"); err != nil || x.Type != "transfer_customer_service" { // as tap-links under /help send it
			t.Fatalf("%+v, %v", x, err)
		}
		o.noViolations(t)
	})
}

// What a follower may still do while waiting: commands, and what is not delivered yet.
func TestHandover_CommandsWorkInTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, handsOver+"reply: {texts: {help: Help!}}\n")
		o := p.runOfficial(t, wechatsim.VerifiedService)
		o.SetAgents(desk(0))
		f := o.Follower("")
		say(t, f, "先问一个", "回答「先问一个")
		if x, err := f.Send(t.Context(), "人工"); err != nil || x.Type != "transfer_customer_service" {
			t.Fatalf("%+v, %v", x, err)
		}
		say(t, f, "/help", "Help!")
		say(t, f, "1", "回答「先问一个")
		x, err := f.Picture(t.Context(), picture(100))
		said(t, x, err, "我目前只能看懂文字消息")
		say(t, f, "问题", queueLine)
		o.noViolations(t)
	})
}

// Whatever WeChat says to the question who serves, the follower gets a line, and can go on with the bot.
func TestHandover_EveryErrorInTheQueueIsAnswered(t *testing.T) {
	for _, path := range []string{"getsession", "getwaitcase"} {
		for _, code := range []int{-1, 40001, 40003, 40014, 40125, 40164, 42001, 45009, 45011, 48001, 50002, 65400, 99999} {
			t.Run(path+" "+strconv.Itoa(code), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					o := newPlace(t, handsOver).runOfficial(t, wechatsim.VerifiedService)
					o.SetAgents(desk(0))
					f := o.Follower("")
					if x, err := f.Send(t.Context(), "人工"); err != nil || x.Type != "transfer_customer_service" {
						t.Fatalf("%+v, %v", x, err)
					}
					o.Order(wechatsim.Order{API: path, Code: code})
					want := queueLine
					if code == 48001 || code == 65400 { // then nobody serves
						want = "回答「有人吗？"
					}
					say(t, f, "有人吗？", want)
					say(t, f, "/bot", "好的，请直接输入您的问题。")
					say(t, f, "那我问你", "回答「那我问你")
					o.noViolations(t)
				})
			})
		}
	}
}
