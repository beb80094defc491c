package turn_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// unrecorded is a store that fails to record the first replies: before they are recorded, or after.
type unrecorded struct {
	session.Store
	fail  int
	after bool
}

func (s *unrecorded) Show(ctx context.Context, follower string, r session.Receipt) error {
	s.fail--
	if s.fail < 0 {
		return s.Store.Show(ctx, follower, r)
	}
	if s.after {
		_ = s.Store.Show(ctx, follower, r) // nobody hears of it
	}
	return errStore
}

// A reply that could not be recorded would be pushed once more: it is left to the next delivery, whether it was recorded or not.
func TestPush_UnrecordedReplyComesOnce(t *testing.T) {
	for name, after := range map[string]bool{"before it is recorded": false, "after": true} {
		for _, dies := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the process dies %v", name, dies), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					base := newStore()
					p := newPhone()
					b := start(t, setup{pusher: p, settings: pushing(4), store: &unrecorded{base, 1, after}, simmed: simmed(difysim.Behaviour{FirstText: 2 * time.Second, Length: 80})})
					f := caller(b)
					if dies {
						next := start(t, setup{pusher: p, settings: pushing(4), store: base.of("pod-2"), sim: b.sim})
						f.route = func(n int) *bot {
							if n == 1 {
								return b
							}
							b.end()
							return next
						}
					}
					x := f.Send(ask)
					<-time.After(time.Minute)
					shown := p.messages()
					if x.text != "" {
						shown = append(shown, x.text)
					}
					if len(shown) != 1 || shown[0] != echo(ask, 80) {
						t.Errorf("delivery %d got %s; in all the follower was shown %q, want the answer once", x.delivery, x.kind, shown)
					}
				})
			})
		}
	}
}

// The last delivery shows what it has: better twice than not at all.
func TestPush_UnrecordedReplyToTheLastDeliveryIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{pusher: newPhone(), settings: pushing(4), store: &unrecorded{newStore(), 9, true}, simmed: simmed(difysim.Behaviour{FirstText: 2 * time.Second, Length: 80})})
		x := caller(b).Send(ask)
		x.want(t, turn.Answer, echo(ask, 80))
		if x.delivery != deliveries {
			t.Errorf("delivery %d was replied to, want %d", x.delivery, deliveries)
		}
	})
}

// forgetful is a store that has lost, when it is asked next, that the first part was about to be sent.
type forgetful struct {
	session.Store
	begun int
}

func (s *forgetful) BeginSend(ctx context.Context, l *session.Lease, from session.Cursor, p session.Part) (session.SendVerdict, error) {
	s.begun++
	if s.begun == 1 {
		return session.SendNow, nil
	}
	return s.Store.BeginSend(ctx, l, from, p)
}

// A Redis that was restarted may have lost the record of a send: the process that has sent the part sends it no more.
func TestPush_LostRecordOfASendIsNotSentAgain(t *testing.T) {
	text := paragraphs(3)
	first, rest, _ := strings.Cut(text, "\n\n")
	growing := func() *scripted {
		return &scripted{chat: func(_ context.Context, _ int, _ dify.ChatRequest, say func(string)) (dify.Answer, error) {
			say(first + "\n\n" + rest[:30])
			<-time.After(30 * time.Second)
			return dify.Answer{Text: text, ConversationID: "c1"}, nil
		}}
	}
	for name, result := range map[string]session.SendResult{"sent": session.Sent, "perhaps sent": session.Uncertain} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, d := newPhone(), growing()
				p.send = func(int) session.SendResult { return result }
				b := start(t, setup{pusher: p, settings: pushing(4), store: &forgetful{Store: newStore()}, dify: d})
				f := caller(b)
				f.Send(ask).want(t, turn.Pushed, "")
				<-time.After(time.Minute)
				if p.tried != 1 {
					t.Errorf("%d messages were sent, want the first part once: %q", p.tried, p.messages())
				}
				d.wantCalls(t, 1)
				if x := f.Send("1"); !strings.Contains(x.text, first) { // it can be asked for
					t.Errorf("1 got %s %q", x.kind, x.text)
				}
			})
		})
	}
}

// A failure that was perhaps sent has been read by whoever asks again: `1` does not come back to it behind the new answer.
func TestPush_WhatIsAskedAgainIsNotShownBehindItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		p.send = func(int) session.SendResult { return session.Uncertain }
		d := &scripted{chat: func(ctx context.Context, n int, r dify.ChatRequest, say func(string)) (dify.Answer, error) {
			if n > 1 {
				return dify.Answer{Text: "第二次。", ConversationID: "c1"}, nil
			}
			return hang("第一次。")(ctx, n, r, say)
		}}
		b := start(t, setup{pusher: p, settings: func(s *turn.Settings) { s.Sends, s.Limits.Timeout = 4, 20*time.Second }, dify: d})
		f := caller(b)
		f.Send(ask).want(t, turn.Pushed, "")
		<-time.After(time.Minute)
		synctest.Wait()
		if p.tried != 1 {
			t.Errorf("%d sends, want one", p.tried)
		}
		f.Send("/retry").want(t, turn.Answer, "第二次。")
		f.Send("1").want(t, turn.Answer, ask+rule+"第二次。")
	})
}
