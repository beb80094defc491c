package turn_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// stopTurn has whoever runs the bot stop what the follower has open.
func (f *follower) stopTurn(t *testing.T, want bool) {
	t.Helper()
	if ok, err := f.engine.StopTurn(t.Context(), f.name); ok != want || err != nil {
		t.Errorf("stopped %v, %v, want %v", ok, err, want)
	}
}

// Whatever had come of a question when it was stopped, and wherever its follower waits, they are told once.
func TestStopTurn_ReplyTells(t *testing.T) {
	for name, c := range map[string]struct {
		came  string // of the answer
		after time.Duration
		sends int
		kind  turn.Kind
		reply string
	}{
		"in the first delivery":            {"", 2 * time.Second, 0, turn.Failed, stoppedLine},
		"in a held delivery":               {"", 8 * time.Second, 0, turn.Failed, stoppedLine},
		"a part had come":                  {"第一句。第二", 2 * time.Second, 0, turn.Failed, "第一句。第二\n\n" + stoppedLine},
		"only reasoning had come":          {"<think>hm", 2 * time.Second, 0, turn.Failed, stoppedLine},
		"pushing, while the reply is open": {"", 2 * time.Second, 4, turn.Failed, stoppedLine},
		"pushing, with a part":             {"第一句。第二", 2 * time.Second, 4, turn.Failed, "第一句。第二\n\n" + stoppedLine},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPhone()
				b := start(t, setup{dify: &scripted{chat: hang(c.came)}, pusher: p, settings: pushing(c.sends)})
				f := caller(b)
				question := f.Begin(ask)
				<-time.After(c.after)
				f.stopTurn(t, true)
				x := <-question
				x.want(t, c.kind, c.reply)
				if x.after > c.after {
					t.Errorf("told after %v, want at once", x.after)
				}
				<-time.After(time.Minute)
				synctest.Wait()
				p.wantMessages(t)
				f.stopTurn(t, false)
				f.Send("1").want(t, c.kind, quoted(ask, c.reply)) // once more, as it was asked for
			})
		})
	}
}

// Who has nothing but a waiting line is told when they ask, and by the reply to the next question that has to wait.
func TestStopTurn_AfterTheWaitingLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{dify: &scripted{chat: hang("")}, settings: holds(0)})
		f := b.follower("alice")
		f.Send("甲？").want(t, turn.Waiting, waitingLine+"\n\n"+more)
		f.stopTurn(t, true)
		f.Send("1").want(t, turn.Failed, quoted("甲？", stoppedLine))
		f.Send("乙？").want(t, turn.Waiting, waitingLine+"\n\n"+more)
		f.stopTurn(t, true)
		f.Send("丙？").want(t, turn.Failed, quoted("乙？", stoppedLine+"\n\n"+more))
	})
}

func TestStopTurn_MessageTells(t *testing.T) {
	for name, c := range map[string]struct {
		came   string
		window *session.Window
		sent   []string
		asked  turn.Kind // what "1" gets
	}{
		"nothing had come":         {"", &written, []string{stoppedLine}, turn.Failed},
		"a part had come":          {"第一句。第二", &written, []string{"第一句。第二\n\n" + stoppedLine}, turn.Failed},
		"nobody may be written to": {"", nil, nil, turn.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPhone()
				d := &scripted{chat: hang(c.came)}
				b := start(t, setup{dify: d, pusher: p, settings: pushing(4)})
				f := caller(b)
				f.window = c.window
				f.Send(ask).want(t, turn.Pushed, "")
				<-time.After(3 * time.Second)
				f.stopTurn(t, true)
				synctest.Wait()
				p.wantMessages(t, c.sent...)
				<-time.After(time.Minute)
				synctest.Wait()
				p.wantMessages(t, c.sent...)
				f.Send("1").want(t, c.asked, quoted(ask, c.came+between(c.came)+stoppedLine))
				d.chat = nil
				f.Send("乙？").want(t, turn.Answer, "回答：乙？")
			})
		})
	}
}

// between is what stands between a text and the line below it.
func between(text string) string {
	if text == "" {
		return ""
	}
	return "\n\n"
}

// The questions behind a stopped one go on.
func TestStopTurn_NextGoesOn(t *testing.T) {
	for name, sends := range map[string]int{"replies": 0, "pushing": 4} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, setup{simmed: simmed(steady(60*time.Second, 80)), pusher: newPhone(), settings: pushing(sends)})
				f := caller(b)
				first := f.Begin("甲？")
				synctest.Wait()
				next := f.Begin("乙？")
				<-time.After(2 * time.Second)
				b.sim.SetBehaviour(difysim.Behaviour{Length: 80})
				f.stopTurn(t, true)
				(<-first).want(t, turn.Failed, quoted("甲？", stoppedLine+"\n\n"+more))
				(<-next).want(t, turn.Answer, echo("乙？", 80))
				f.stopTurn(t, false)
			})
		})
	}
}
