package turn_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/turn"
)

const awaitingLine = "正在为您转接人工客服，请稍等，客服会尽快回复您。\n\n不想等了？"

// desk is a customer service.
type desk struct {
	mu       sync.Mutex
	offline  bool
	standing turn.Standing
	err      error
	asked    int
}

func (d *desk) Online(context.Context) (bool, error) { return !d.offline, d.err }

func (d *desk) Standing(context.Context, string) (turn.Standing, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	return d.standing, d.err
}

func handingOver(s *turn.Settings) { s.HandoverWords, s.Sends = []string{"人工", "human"}, 4 }

func (b *bot) serving(t *testing.T, follower string, atMost time.Duration) {
	t.Helper()
	if err := b.store.Serve(t.Context(), follower, atMost); err != nil {
		t.Fatal(err)
	}
}

func TestHandover_WhatAQuestionGetsByStanding(t *testing.T) {
	for name, c := range map[string]struct {
		desk  *desk
		kind  turn.Kind
		text  string
		human bool // still
	}{
		"in the queue":           {&desk{standing: turn.Queued}, turn.Notice, awaitingLine, true},
		"with a person":          {&desk{standing: turn.WithHuman}, turn.HandedOver, "", true},
		"alone again":            {&desk{standing: turn.Alone}, turn.Answer, "回答：" + ask, false},
		"WeChat cannot be asked": {&desk{err: errors.New("unreachable")}, turn.Notice, awaitingLine, true},
		"there is nobody to ask": {nil, turn.Notice, awaitingLine, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := setup{dify: &scripted{}, settings: handingOver, pusher: newPhone()}
				if c.desk != nil {
					o.agents = c.desk
				}
				b := start(t, o)
				f := b.follower("alice")
				b.serving(t, f.name, time.Hour)
				x := f.Send(ask)
				if x.kind != c.kind || !strings.HasPrefix(x.text, c.text) {
					t.Errorf("got %s %q, want %s %q", x.kind, x.text, c.kind, c.text)
				}
				s, err := b.store.Get(t.Context(), f.name)
				if err != nil || s.HumanUntil.After(time.Now()) != c.human {
					t.Errorf("with a person until %v, %v", s.HumanUntil, err)
				}
			})
		})
	}
}

func TestHandover_TwoReplicasKnowOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := newStore()
		d := &desk{standing: turn.Queued}
		one := start(t, setup{store: base, dify: &scripted{}, settings: handingOver, agents: d, pusher: newPhone()})
		other := start(t, setup{store: base.of("pod-2"), dify: &scripted{}, settings: handingOver, agents: d, pusher: newPhone()})
		f := one.follower("alice")
		f.Send("Human").want(t, turn.HandedOver, "")
		f.bot = other
		if x := f.Send(ask); x.kind != turn.Notice || !strings.HasPrefix(x.text, awaitingLine) {
			t.Errorf("the other replica says %s %q", x.kind, x.text)
		}
		f.Send("/bot").want(t, turn.Notice, "好的，请直接输入您的问题。")
		f.bot = one
		f.Send(ask).want(t, turn.Answer, "回答："+ask)
	})
}

// Who waits is told once, though the message comes twice, and not if an agent was faster.
func TestHandover_TheQueueIsToldOnce(t *testing.T) {
	for standing, want := range map[turn.Standing]int{turn.Queued: 1, turn.WithHuman: 0, turn.Alone: 0} {
		synctest.Test(t, func(t *testing.T) {
			p := newPhone()
			b := start(t, setup{dify: &scripted{}, settings: handingOver, agents: &desk{standing: standing}, pusher: p})
			f := b.follower("alice")
			f.window = &written
			for n := 1; n <= 2; n++ {
				if r, _ := f.deliver("h1", "人工", n); r.Kind != turn.HandedOver {
					t.Errorf("delivery %d got %s", n, r.Kind)
				}
			}
			<-time.After(time.Minute)
			synctest.Wait()
			if len(p.told) != want {
				t.Errorf("standing %d: told %q", standing, p.told)
			}
		})
	}
}

// A store that is away keeps nobody from a person, and nobody from an answer.
func TestHandover_WithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(newStore())
		var down atomic.Bool
		s.fails = func(_ int64, call string) bool { return down.Load() && (call == "Serve" || call == "Open") }
		b := start(t, setup{store: s, dify: &scripted{}, settings: handingOver, agents: &desk{standing: turn.Queued}, pusher: newPhone()})
		f := b.follower("alice")
		down.Store(true)
		f.Send("人工").want(t, turn.HandedOver, "")
		if err := b.engine.Human(t.Context(), f.name, true); err == nil {
			t.Error("an event that was not recorded is no error: WeChat would not push it again")
		}
		down.Store(false)
		f.Send(ask).want(t, turn.Answer, "回答："+ask)
		if err := b.engine.Human(t.Context(), f.name, true); err != nil {
			t.Error(err)
		}
		down.Store(true)
		if x := f.Send("/bot"); x.kind != turn.Refused {
			t.Errorf("what could not be recorded is said to be done: %s %q", x.kind, x.text)
		}
	})
}

// What was asked before is answered when it is asked for: nothing comes between the follower and the person.
func TestHandover_RunningTurnsStayQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		d := &desk{standing: turn.WithHuman}
		b := start(t, setup{dify: slow("您好。"), settings: handingOver, agents: d, pusher: p})
		f := caller(b)
		first := f.Begin(ask)
		<-time.After(time.Second)
		f.Send("人工").want(t, turn.HandedOver, "")
		(<-first).want(t, turn.Silent, "")
		<-time.After(time.Minute)
		p.wantMessages(t)
		if len(p.typing) != 1 {
			t.Errorf("typing at %v", p.typing)
		}
		if err := b.engine.Human(t.Context(), f.name, false); err != nil {
			t.Fatal(err)
		}
		f.Send("1").want(t, turn.Answer, quoted(ask, "您好。"))
	})
}

// A keyword hands over as the words do, wherever it stands in the message, and comes behind the menu's and the words of the settings.
func TestHandover_ByAKeyword(t *testing.T) {
	for text, handed := range map[string]bool{"我要找客服！": true, "投诉": true, "我要投诉": false} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, setup{
				dify: &scripted{}, agents: &desk{standing: turn.Queued}, pusher: newPhone(),
				settings: func(s *turn.Settings) {
					handingOver(s)
					s.Keywords = []turn.Keyword{
						{Words: []string{"客服"}, Match: turn.Contains, Handover: true}, {Words: []string{"投诉"}, Handover: true},
					}
				},
			})
			f := b.follower("alice")
			x := f.Send(text)
			s, err := b.store.Get(t.Context(), f.name)
			if err != nil || (x.kind == turn.HandedOver) != handed || s.HumanUntil.After(time.Now()) != handed {
				t.Errorf("%s got %s %q, with a person until %v, %v", text, x.kind, x.text, s.HumanUntil, err)
			}
		})
	}
}

// The text of a desk without agents is said to a keyword too.
func TestHandover_ByAKeywordToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{dify: &scripted{}, agents: &desk{offline: true}, pusher: newPhone(), settings: func(s *turn.Settings) {
			handingOver(s)
			s.Keywords = []turn.Keyword{{Words: []string{"客服"}, Match: turn.Contains, Handover: true}}
		}})
		b.follower("alice").Send("客服在吗").want(t, turn.Notice, "现在没有人工客服在线，请过一会儿再试。您也可以继续问我。")
	})
}
