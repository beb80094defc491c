package turn_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const sentLine = "回答刚刚已经发给您了，请看上一条消息。"

// phone is the account's API as a follower sees it.
type phone struct {
	unable bool
	// send says what becomes of the nth message, and may take its time; nil sends it.
	send func(n int) session.SendResult
	// dead tells that the process that sends is gone; nil is never.
	dead func() bool

	mu     sync.Mutex
	began  time.Time
	tried  int
	got    []string        // the messages that have arrived
	told   []string        // lines of the bot's own
	at     []time.Duration // when
	typing []time.Duration
}

func newPhone() *phone { return &phone{began: time.Now()} }

func (p *phone) Able() bool { return !p.unable }

func (p *phone) Send(_ context.Context, _, text string) session.SendResult {
	if p.dead != nil && p.dead() {
		return session.Uncertain // nothing was sent, and nobody hears of it
	}
	p.mu.Lock()
	p.tried++
	n := p.tried
	p.mu.Unlock()
	result := session.Sent
	if p.send != nil {
		result = p.send(n)
	}
	if result == session.Sent {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got, p.at = append(p.got, text), append(p.at, time.Since(p.began).Round(100*time.Millisecond))
	}
	return result
}

func (p *phone) SendMedia(ctx context.Context, follower, kind, id string) session.SendResult {
	return p.Send(ctx, follower, kind+" "+id)
}

func (p *phone) Suggest(ctx context.Context, follower, head string, questions []turn.Choice) session.SendResult {
	lines := []string{head}
	for _, q := range questions {
		lines = append(lines, q.ID+" "+q.Label)
	}
	return p.Send(ctx, follower, strings.Join(lines, "\n"))
}

func (p *phone) Tell(_ context.Context, _, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, text)
}

func (p *phone) Typing(context.Context, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.typing = append(p.typing, time.Since(p.began).Round(time.Second))
}

func (p *phone) messages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.got...)
}

// wantMessages checks what has arrived, and when.
func (p *phone) wantMessages(t *testing.T, want ...string) {
	t.Helper()
	if got := p.messages(); strings.Join(got, "\n====\n") != strings.Join(want, "\n====\n") {
		t.Errorf("got %d messages\n%s\nwant %d\n%s", len(got), strings.Join(got, "\n====\n"), len(want), strings.Join(want, "\n====\n"))
	}
}

func (p *phone) wantAt(t *testing.T, want ...time.Duration) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if fmt.Sprint(p.at) != fmt.Sprint(want) {
		t.Errorf("messages at %v, want %v", p.at, want)
	}
}

// written is what a message opens: the follower may be written to.
var written = session.Window{Kind: "message", Lasts: 48 * time.Hour, Sends: 5}

func pushing(sends int) func(*turn.Settings) { return func(s *turn.Settings) { s.Sends = sends } }

// caller is a follower of a bot that pushes.
func caller(b *bot) *follower {
	f := b.follower("alice")
	f.window = &written
	return f
}

func TestPush_ReplyOrOneMessage(t *testing.T) {
	for name, c := range map[string]struct {
		total  time.Duration
		passes bool // by the reply
		typing []time.Duration
	}{
		"at once":             {0, true, []time.Duration{0}},
		"before the deadline": {2 * time.Second, true, []time.Duration{0}},
		"just after it":       {4600 * time.Millisecond, false, []time.Duration{0}},
		"8 s":                 {8 * time.Second, false, []time.Duration{0}},
		"20 s":                {20 * time.Second, false, []time.Duration{0, 15 * time.Second}},
		"50 s":                {50 * time.Second, false, []time.Duration{0, 15 * time.Second, 30 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPhone()
				b := start(t, setup{pusher: p, settings: pushing(4), simmed: simmed(difysim.Behaviour{FirstText: c.total, Length: 80})})
				x := caller(b).Send(ask)
				<-time.After(time.Minute)
				synctest.Wait()
				if c.passes {
					x.want(t, turn.Answer, echo(ask, 80))
					p.wantMessages(t)
				} else {
					x.want(t, turn.Pushed, "")
					x.wantAt(t, 1, deadline)
					p.wantMessages(t, echo(ask, 80))
					p.wantAt(t, max(c.total, patience))
				}
				if fmt.Sprint(p.typing) != fmt.Sprint(c.typing) {
					t.Errorf("typing at %v, want %v", p.typing, c.typing)
				}
				b.calls(1)
				if n := b.count("held_deliveries_total"); n != 0 {
					t.Errorf("%v deliveries were held", n)
				}
				if n := b.count("turns_in_flight"); n != 0 {
					t.Errorf("%v turns are left", n)
				}
			})
		})
	}
}

// paragraphs is a text of so many paragraphs.
func paragraphs(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("第 %d 段。", i+1) + strings.Repeat("这一段说明了怎样查询订单。", 20)
	}
	return strings.Join(all, "\n\n")
}

// slow answers with a text after 8 s.
func slow(text string) *scripted {
	return &scripted{chat: func(ctx context.Context, _ int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
		select {
		case <-time.After(8 * time.Second):
			return dify.Answer{Text: text, ConversationID: "c1"}, nil
		case <-ctx.Done():
			return dify.Answer{}, canceled(ctx)
		}
	}}
}

// A question whose deliveries were lost until its answer may have been sent is told so: shown as the reply it might be there twice.
func TestPush_PerhapsSentIsNotReplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		p.send = func(int) session.SendResult { return session.Uncertain }
		b := start(t, setup{pusher: p, settings: pushing(4), simmed: simmed(difysim.Behaviour{FirstText: 8 * time.Second, Length: 80})})
		f := caller(b)
		f.lose = func(n int) (time.Duration, bool) { return time.Second, n < deliveries }
		x := f.Send(ask)
		if x.kind != turn.Notice || !strings.HasPrefix(x.text, sentLine) || !strings.Contains(x.text, ">继续</a>") || p.tried != 1 {
			t.Errorf("after %d messages, delivery %d got %s %q", p.tried, x.delivery, x.kind, x.text)
		}
		f.lose = nil
		f.Send("1").want(t, turn.Answer, ask+"\n------------\n"+echo(ask, 80))
	})
}

func TestPush_LongAnswerIsSentInPages(t *testing.T) {
	for name, c := range map[string]struct {
		paragraphs, sends, messages int
		whole                       bool
	}{
		"in two":                        {4, 4, 2, true},
		"in as many as may be sent":     {8, 4, 4, true},
		"the rest is left to be asked":  {20, 4, 4, false},
		"with one message, the rest as": {4, 1, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPhone()
				text := paragraphs(c.paragraphs)
				b := start(t, setup{pusher: p, settings: pushing(c.sends), dify: slow(text)})
				f := caller(b)
				f.Send(ask)
				<-time.After(time.Minute)
				got := p.messages()
				if len(got) != c.messages {
					t.Fatalf("%d messages, want %d", len(got), c.messages)
				}
				var all []string
				for i, m := range got {
					if len(m) > pageBytes {
						t.Errorf("a message of %d bytes", len(m))
					}
					if linked := strings.HasSuffix(m, more); linked == (c.whole || i < len(got)-1) {
						t.Errorf("message %d ends in a link: %v", i+1, linked)
					}
					all = append(all, body(m))
				}
				for !c.whole {
					x := f.Send("1")
					all = append(all, body(x.text))
					if x.kind == turn.Answer {
						break
					}
				}
				if squeeze(strings.Join(all, "")) != squeeze(text) {
					t.Errorf("the follower has read %d bytes, want %d", len(strings.Join(all, "")), len(text))
				}
			})
		})
	}
}

func TestPush_PartOfALongTurnIsSentWhileItGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		text := paragraphs(3)
		first, rest, _ := strings.Cut(text, "\n\n")
		growing := &scripted{chat: func(_ context.Context, _ int, _ dify.ChatRequest, say func(string)) (dify.Answer, error) {
			say(first[:30])
			<-time.After(17 * time.Second)
			say(first + "\n\n" + rest[:30])
			<-time.After(13 * time.Second)
			return dify.Answer{Text: text, ConversationID: "c1"}, nil
		}}
		b := start(t, setup{pusher: p, settings: pushing(4), dify: growing})
		x := caller(b).Send(ask)
		x.want(t, turn.Pushed, "")
		<-time.After(time.Minute)
		p.wantMessages(t, first, rest)
		p.wantAt(t, 20*time.Second, 30*time.Second)
		growing.wantCalls(t, 1)
	})
}

// What could not be sent, or perhaps was, is not sent again: the follower can ask for it.
func TestPush_WhatIsNotSentCanBeAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		window *session.Window
		send   func(n int) session.SendResult
		human  bool
		sent   int // messages that arrive
		tried  int
	}{
		"no window is open":       {nil, nil, false, 0, 0},
		"the window is closed":    {&written, func(int) session.SendResult { return session.WindowClosed }, false, 0, 1},
		"WeChat refuses it":       {&written, func(int) session.SendResult { return session.Refused }, false, 0, 1},
		"nobody knows":            {&written, func(int) session.SendResult { return session.Uncertain }, false, 0, 1},
		"a panic":                 {&written, func(int) session.SendResult { panic("a bug") }, false, 0, 1},
		"the second is refused":   {&written, func(n int) session.SendResult { return session.SendResult(n) }, false, 1, 2},
		"a person serves":         {&written, nil, true, 0, 0},
		"the window has one left": {&session.Window{Kind: "click", Lasts: time.Minute, Sends: 1}, nil, false, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPhone()
				p.send = c.send
				text := paragraphs(6)
				b := start(t, setup{pusher: p, settings: pushing(4), dify: slow(text)})
				f := caller(b)
				f.window = c.window
				asked, kind := f.Begin(ask), turn.Pushed
				if c.human {
					<-time.After(time.Second)
					kind = turn.Silent
					if err := b.store.Serve(t.Context(), f.name, time.Hour); err != nil {
						t.Fatal(err)
					}
				}
				(<-asked).want(t, kind, "")
				<-time.After(time.Minute)
				got := p.messages()
				if len(got) != c.sent || p.tried != c.tried {
					t.Errorf("%d messages arrived of %d, want %d of %d", len(got), p.tried, c.sent, c.tried)
				}
				var all []string
				for _, m := range got {
					all = append(all, body(m))
				}
				f.window = nil
				for range 9 {
					x := f.Send("1")
					all = append(all, body(x.text))
					if x.kind == turn.Answer {
						break
					}
				}
				if squeeze(strings.Join(all, "")) != squeeze(text) {
					t.Errorf("the follower has read %d bytes, want %d", len(strings.Join(all, "")), len(text))
				}
				if p.tried != c.tried {
					t.Errorf("%d sends after all, want %d", p.tried, c.tried)
				}
			})
		})
	}
}

func TestPush_WithoutTheRightItIsAPassiveBot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		p.unable = true
		b := start(t, setup{pusher: p, settings: pushing(4), simmed: simmed(steady(8*time.Second, 80))})
		x := caller(b).Send(ask)
		x.want(t, turn.Answer, echo(ask, 80))
		x.wantAt(t, 2, 8*time.Second)
		p.wantMessages(t)
		if len(p.typing) > 0 {
			t.Errorf("typing at %v", p.typing)
		}
	})
}

func TestPush_AFailureIsToldToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		b := start(t, setup{pusher: p, settings: func(s *turn.Settings) { s.Sends, s.Limits.Timeout = 4, 20*time.Second }, dify: &scripted{chat: hang("")}})
		caller(b).Send(ask).want(t, turn.Pushed, "")
		<-time.After(time.Minute)
		p.wantMessages(t, timedOutLine+"\n"+retryLink)
	})
}

func TestPush_NothingIsSentAfterStopOrClear(t *testing.T) {
	for _, word := range []string{"/stop", "/clear"} {
		synctest.Test(t, func(t *testing.T) {
			p := newPhone()
			b := start(t, setup{pusher: p, settings: pushing(4), simmed: simmed(steady(12*time.Second, 80))})
			f := caller(b)
			f.Send(ask).want(t, turn.Pushed, "")
			f.Send(word)
			<-time.After(time.Minute)
			p.wantMessages(t)
		})
	}
}

func TestPush_TwoAnswersNameTheirQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		b := start(t, setup{pusher: p, settings: pushing(4), simmed: simmed(steady(8*time.Second, 80))})
		f := caller(b)
		first := f.Begin("甲？")
		<-time.After(time.Second)
		second := f.Begin("乙？")
		(<-first).want(t, turn.Pushed, "")
		(<-second).want(t, turn.Pushed, "")
		<-time.After(time.Minute)
		p.wantMessages(t, quoted("甲？", echo("甲？", 80)), echo("乙？", 80))
	})
}

func TestPush_AskingWhileAPartIsOnItsWay(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		kind  turn.Kind
		text  string
	}{
		"it arrives meanwhile":  {2 * time.Second, turn.Notice, sentLine},
		"it takes too long yet": {20 * time.Second, turn.Notice, sentLine},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPhone()
				p.send = func(int) session.SendResult { time.Sleep(c.takes); return session.Sent }
				b := start(t, setup{pusher: p, settings: pushing(4), simmed: simmed(steady(8*time.Second, 80))})
				f := caller(b)
				f.Send(ask).want(t, turn.Pushed, "")
				<-time.After(4 * time.Second) // 8.5 s
				x := f.Send("1")
				x.want(t, c.kind, c.text)
				<-time.After(time.Minute)
				p.wantMessages(t, echo(ask, 80))
			})
		})
	}
}

// A process may die between any two of its steps. What the follower gets, from it, from the next one and by asking, is the
// answer: no part is missing, and none is sent twice.
func TestPush_SurvivesADeathBetweenAnyTwoSteps(t *testing.T) {
	text := paragraphs(6)
	run := func(t *testing.T, k int64) (calls int64) {
		synctest.Test(t, func(t *testing.T) {
			base := newStore()
			s := sound(base)
			s.fails = func(n int64, _ string) bool { return k > 0 && n > k }
			dead := func() bool { return k > 0 && s.calls.Load() > k }
			p := newPhone()
			p.dead = dead
			first := start(t, setup{pusher: p, settings: pushing(4), store: s, dify: slow(text), idle: true})
			f := caller(first)
			f.drop(ask)
			<-time.After(20 * time.Second)
			calls = s.calls.Load()
			next := newPhone()
			second := start(t, setup{pusher: next, settings: pushing(4), store: base.of("pod-2"), dify: slow(text)})
			<-time.After(time.Minute)
			var all []string
			for _, m := range append(p.messages(), next.messages()...) {
				all = append(all, body(m))
			}
			arrived := squeeze(strings.Join(all, ""))
			g := second.follower("alice")
			for i := range 9 {
				x := g.push(fmt.Sprint("more-", i), "1")
				if x.kind != turn.Answer && x.kind != turn.Page && x.kind != turn.Partial {
					break
				}
				if arrived == squeeze(text) { // all is there, and is shown again as nothing else is asked
					break
				}
				all = append(all, body(x.text))
				if x.kind == turn.Answer {
					break
				}
			}
			want, got := squeeze(text), squeeze(strings.Join(all, ""))
			if k > 0 && k < calls && got != want && !repeatsOnePage(got, want, p.messages()) {
				t.Errorf("death after call %d: the follower has read\n%s\nwant\n%s", k, squeeze(strings.Join(all, "")), squeeze(text))
			}
			if k > 0 {
				first.end()
			}
		})
		return calls
	}
	eachCall(t, 8, run)
}

// repeatsOnePage tells whether what was read is the text with the last message of the process that has died once more: it
// has arrived, but nobody knows, and the follower has asked for it.
func repeatsOnePage(got, want string, messages []string) bool {
	if len(messages) == 0 {
		return false
	}
	bodies := make([]string, len(messages))
	for i, m := range messages {
		bodies[i] = body(m)
	}
	last := squeeze(body(messages[len(messages)-1]))
	upTo := squeeze(strings.Join(bodies, ""))
	return strings.HasPrefix(want, upTo) && got == upTo+last+strings.TrimPrefix(want, upTo)
}
