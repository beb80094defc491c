package turn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const helpText = "您好，我是 AI 助手，直接输入问题就可以。\n\n" +
	`<a href="tap:1">1</a> 查看还没看到的回答` + "\n" +
	`<a href="tap:%2Fstop">/stop</a> 停止当前回答` + "\n" +
	`<a href="tap:%2Fclear">/clear</a> 清空对话，重新开始` + "\n/help 查看本帮助"

func TestWhatIsNoQuestionNeverReachesDify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{})
		f := b.follower("alice")
		for text, want := range map[string]struct {
			kind turn.Kind
			text string
		}{
			"1":        {turn.Notice, nothingYet},
			" 1\n":     {turn.Notice, nothingYet},
			"１":        {turn.Notice, nothingYet},
			"/clear":   {turn.Notice, clearedLine},
			"／clear":   {turn.Notice, clearedLine},
			"/CLEAR ":  {turn.Notice, clearedLine},
			"/stop":    {turn.Notice, nothingToStop},
			"/retry":   {turn.Notice, nothingYet},
			"/help":    {turn.Notice, helpText},
			"继续":       {turn.Notice, nothingYet},
			"/unknown": {turn.Notice, helpText},
			"／Unknown": {turn.Notice, helpText},
			"":         {turn.Silent, ""},
			" \n\t":    {turn.Silent, ""},
		} {
			x := f.Send(text)
			x.want(t, want.kind, want.text)
			x.wantAt(t, 1, 0)
		}
		b.calls(0)
	})
}

func TestAMenuItemIsACommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{})
		for key, want := range map[string]string{
			"1": nothingYet, "clear": clearedLine, "/clear": clearedLine, "stop": nothingToStop, "HELP\n": helpText,
			"": helpText, "V1001_TODAY": helpText, "你好": helpText,
		} {
			r := b.engine.Menu(t.Context(), turn.Message{Follower: "alice", ID: "menu-" + key, Text: key, Delivery: 1, Received: time.Now()})
			if r.Kind != turn.Notice || r.Text != want {
				t.Errorf("key %q: got %s %q, want %q", key, r.Kind, r.Text, want)
			}
		}
		b.calls(0)
	})
}

func TestResumeReading_ShowsTheLatestAnswerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80})})
		f := b.follower("alice")
		f.Send("甲？")
		f.Send("乙？")
		for range 2 {
			f.Send("１").want(t, turn.Answer, quoted("乙？", echo("乙？", 80)))
		}
		b.calls(2)
	})
}

func TestResumeReading_OldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80})})
		f := b.follower("alice")
		f.lose = lostAll(0)
		f.Send("甲？")
		f.Send("乙？")
		f.lose = nil
		f.Send("丙？").want(t, turn.Answer, quoted("丙？", echo("丙？", 80))+"\n\n"+more)
		f.Send("1").want(t, turn.Answer, quoted("甲？", echo("甲？", 80))+"\n\n"+more)
		f.late = func(n int) bool { return n < 3 }
		f.Send("1").want(t, turn.Answer, quoted("乙？", echo("乙？", 80))) // the same on every delivery
		f.late = nil
		f.Send("1").want(t, turn.Answer, quoted("丙？", echo("丙？", 80)))
	})
}

// The answer may end with a sentence that was shown while it grew: a fetch has to show something, and that it is the end.
func TestResumeReading_ShowsTheLastPageAgain(t *testing.T) {
	for name, c := range map[string]struct{ text string }{
		"short": {"第一句。第二句。"},
		"long":  {strings.Repeat("这一句有十二个字母哦。", 100)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				finish := make(chan struct{})
				d := &scripted{chat: func(_ context.Context, _ int, _ dify.ChatRequest, say func(string)) (dify.Answer, error) {
					say(c.text)
					<-finish
					return dify.Answer{Text: c.text}, nil
				}}
				b := start(t, setup{dify: d, settings: holds(0)})
				f := b.follower("alice")
				var seen strings.Builder
				for x := f.Send(ask); x.kind == turn.Partial; x = f.Send("1") {
					seen.WriteString(body(x.text))
				}
				if seen.String() != c.text {
					t.Fatalf("saw %d of %d bytes", seen.Len(), len(c.text))
				}
				close(finish)
				synctest.Wait()
				x := f.Send("1")
				if last := strings.TrimPrefix(x.text, ask+rule); x.kind != turn.Answer || last == x.text || last == "" || !strings.HasSuffix(c.text, last) {
					t.Errorf("want the end of the answer under its question: %s\n%s", x.kind, x.text)
				}
				if x := f.Send("下一个？"); x.text != firstPage(c.text) { // nothing is open: no quotation
					t.Errorf("got %s\n%s", x.kind, x.text)
				}
			})
		})
	}
}

// firstPage is the first page of an answer when nothing else is open.
func firstPage(text string) string {
	if len(text) <= pageBytes {
		return text
	}
	end, _ := renderer{}.Page(text, 0, pageBytes-len(more)-2)
	return text[:end] + "\n\n" + more
}

func TestClearForgetsEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80})})
		f := b.follower("alice")
		f.Send("甲？")
		f.late = func(n int) bool { return n == 1 } // a second delivery clears nothing more
		f.Send("/clear").want(t, turn.Notice, clearedLine)
		f.late = nil
		synctest.Wait()
		if n := b.sim.Requests("DELETE /conversations/{id}"); n != 1 {
			t.Errorf("Dify's conversation was deleted %d times, want once", n)
		}
		f.Send("1").want(t, turn.Notice, nothingYet)
		f.Send("乙？").want(t, turn.Answer, echo("乙？", 80))
		if c := b.sim.Calls()[1]; c.ConversationID != "" {
			t.Errorf("the old conversation went on: %+v", c)
		}
	})
}

func TestAClearedQuestionIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(20*time.Second, 80))})
		f := b.follower("alice")
		question := f.Begin(ask)
		synctest.Wait()
		<-time.After(6 * time.Second) // in delivery 2
		fetch := f.Begin("1")
		synctest.Wait()
		f.Send("/clear").want(t, turn.Notice, clearedLine)
		(<-question).want(t, turn.Silent, "")
		(<-fetch).want(t, turn.Silent, "")
		f.push("alice-1", ask).want(t, turn.Silent, "") // delivery 3
		synctest.Wait()
		b.calls(1)
		if n := b.sim.Requests("POST /chat-messages/{task_id}/stop"); n != 1 {
			t.Errorf("the generation was stopped %d times, want once", n)
		}
		if n := b.sim.Requests("DELETE /conversations/{id}"); n != 1 {
			t.Errorf("the conversation was deleted %d times, want once", n)
		}
		if n := b.count("turns_total", "outcome=lost"); n != 1 {
			t.Errorf("%v turns were lost, want 1", n)
		}
		f.Send("1").want(t, turn.Notice, nothingYet)
	})
}

func TestStopKeepsWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(40*time.Second, 200)), settings: holds(0)})
		f := b.follower("alice")
		part := f.Send(ask) // nothing has come at 4.5 s
		part.want(t, turn.Waiting, waitingLine+"\n\n"+more)
		<-time.After(12 * time.Second)
		f.late = func(n int) bool { return n == 1 } // the second delivery says the same and stops nothing else
		f.Send("/stop").want(t, turn.Notice, stoppedLine+"\n\n"+more)
		f.late = nil
		synctest.Wait()
		if n := b.sim.Requests("POST /chat-messages/{task_id}/stop"); n != 1 {
			t.Errorf("the generation was stopped %d times, want once", n)
		}
		x := f.Send("1")
		kept := body(x.text)
		if x.text != quoted(ask, kept+"\n\n"+stoppedLine) || len(kept) < 24 || !strings.HasPrefix(echo(ask, 200), kept) {
			t.Errorf("want what came, and that it was stopped: %s\n%s", x.kind, x.text)
		}
		f.Send("/stop").want(t, turn.Notice, nothingToStop)
		b.sim.SetBehaviour(difysim.Behaviour{Length: 80})
		f.Send("乙？").want(t, turn.Answer, echo("乙？", 80)) // no question is open: no quotation, no link
		calls := b.sim.Calls()
		if len(calls) != 2 || calls[1].ConversationID != calls[0].Conversation {
			t.Errorf("the conversation did not go on: %+v", calls)
		}
	})
}

func TestStop_TurnThatWasDelivered(t *testing.T) {
	for name, text := range map[string]string{"nothing came": "", "all that came was seen": "第一句。", "only reasoning came": "<think>hm"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &scripted{chat: hang(text)}
				b := start(t, setup{dify: d, settings: holds(0)})
				f := b.follower("alice")
				if x := f.Send(ask); x.kind != turn.Waiting && x.kind != turn.Partial {
					t.Fatalf("got %s %s", x.kind, x.text)
				}
				f.Send("/stop").want(t, turn.Notice, stoppedLine)
				synctest.Wait()
				d.chat = nil
				f.Send("乙？").want(t, turn.Answer, "回答：乙？")
				f.Send("1").want(t, turn.Answer, quoted("乙？", "回答：乙？"))
			})
		})
	}
}

func TestStopSilencesAQuestionWithoutText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(60*time.Second, 80))})
		f := b.follower("alice")
		question := f.Begin("甲？")
		synctest.Wait()
		next := f.Begin("乙？")
		<-time.After(2 * time.Second)
		b.sim.SetBehaviour(difysim.Behaviour{Length: 80})
		f.Send("/stop").want(t, turn.Notice, stoppedLine)
		(<-question).want(t, turn.Silent, "")
		(<-next).want(t, turn.Answer, echo("乙？", 80)) // its turn has come
		f.Send("1").want(t, turn.Answer, quoted("乙？", echo("乙？", 80)))
	})
}

func TestStop_WaitingDeliveryGetsThePart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: hang("第一句。第二")}
		b := start(t, setup{dify: d})
		f := b.follower("alice")
		question := f.Begin(ask)
		<-time.After(2 * time.Second)
		f.Send("/stop").want(t, turn.Notice, stoppedLine+"\n\n"+more)
		x := <-question
		x.want(t, turn.Answer, "第一句。第二\n\n"+stoppedLine)
		f.Send("1").want(t, turn.Answer, quoted(ask, "第一句。第二\n\n"+stoppedLine))
	})
}

// With nothing but a turn that was stopped before any text there is nothing to fetch.
func TestAFetchAfterAStoppedTurnOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{dify: &scripted{chat: hang("")}, settings: holds(0)})
		f := b.follower("alice")
		f.Send(ask)
		f.Send("/stop")
		f.Send("1").want(t, turn.Notice, nothingYet)
	})
}

func TestUnsupportedMessagesGetALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{})
		if r := b.engine.Unsupported(); r.Kind != turn.Notice || r.Text != "抱歉，我目前只能看懂文字消息，请用文字告诉我。" {
			t.Errorf("got %s %q", r.Kind, r.Text)
		}
	})
}

func TestForgetDeletesAFollowerEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(8*time.Second, 80))})
		f := b.follower("alice")
		question := f.Begin(ask)
		<-time.After(3 * time.Second)
		if err := b.engine.Forget(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		(<-question).want(t, turn.Silent, "")
		synctest.Wait()
		if turns := f.turns(); len(turns) != 0 {
			t.Errorf("the store still has %+v", turns)
		}
		if d, s := b.sim.Requests("DELETE /conversations/{id}"), b.sim.Requests("POST /chat-messages/{task_id}/stop"); d != 1 || s != 1 {
			t.Errorf("%d deletions, %d stops, want one each", d, s)
		}
		if err := b.engine.Forget(t.Context(), "nobody"); err != nil {
			t.Errorf("a stranger is forgotten already: %v", err)
		}
		b.calls(1)
	})
}

func TestForgettingSaysWhenItCouldNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(newStore())
		s.fails = func(_ int64, method string) bool { return method == "Forget" }
		b := start(t, setup{store: s})
		if err := b.engine.Forget(t.Context(), "alice"); !errors.Is(err, errStore) {
			t.Errorf("got %v", err)
		}
	})
}

func TestADeletionInDifyIsTriedForAWhile(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		from, to int
	}{
		"temporary": {&dify.Error{Op: "delete conversation", Kind: dify.Server}, 6, 20},
		"final":     {&dify.Error{Op: "delete conversation", Kind: dify.Forbidden}, 1, 1},
		"healed":    {nil, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				d := &scripted{remove: func(context.Context, string) error { return c.err }}
				b := start(t, setup{dify: d, log: &log})
				f := b.follower("o-alice")
				f.Send(ask)
				f.Send("/clear").want(t, turn.Notice, clearedLine)
				<-time.After(3 * time.Minute)
				synctest.Wait()
				if n := len(d.removed); n < c.from || n > c.to || d.removed[0] != "c1" {
					t.Errorf("tried %d times, want %d to %d: %v", n, c.from, c.to, d.removed)
				}
				b.end()
				if told := strings.Contains(log.String(), "Could not delete"); told != (c.err != nil) || strings.Contains(log.String(), "o-alice") {
					t.Errorf("the log:\n%s", log.String())
				}
			})
		})
	}
}

// Two taps on the link of a failed answer, delivered twice each, ask twice at most, and every delivery of one has one answer.
func TestRetriesOfOneMessageAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(_ context.Context, n int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
			if n == 1 {
				return dify.Answer{}, &dify.Error{Op: "chat", Kind: dify.WorkflowFailed, Effects: dify.BegunEffects}
			}
			<-time.After(7 * time.Second)
			return dify.Answer{Text: "好的。"}, nil
		}}
		b := start(t, setup{dify: d})
		f := b.follower("alice")
		f.Send(ask).want(t, turn.Failed, failedLine+"\n"+retryLink)
		x := f.Send("/retry")
		x.want(t, turn.Answer, "好的。")
		x.wantAt(t, 2, 7*time.Second)
		d.wantCalls(t, 2)
		if got := d.requests()[1].Query; got != ask {
			t.Errorf("asked %q", got)
		}
	})
}
