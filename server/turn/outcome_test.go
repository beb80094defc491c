package turn_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const pausedLine = "（这件事还要由工作人员处理，处理之后才能继续）"

// What Dify answers decides the words, whether they invite to ask again, and the outcome that metrics and log name.
func TestOutcome_OfAnAnswer(t *testing.T) {
	file := dify.AnswerFile{Name: "报表.xlsx", Type: "document", URL: "https://dify.example/files/1?sign=a"}
	failed := func(k dify.Kind) error { return &dify.Error{Op: "chat", Kind: k} }
	for name, c := range map[string]struct {
		answer        dify.Answer
		err           error
		kind          turn.Kind
		text, outcome string
	}{
		"text":                      {answer: dify.Answer{Text: "好的。"}, kind: turn.Answer, text: "好的。", outcome: "answered"},
		"a file alone":              {answer: dify.Answer{Files: []dify.AnswerFile{file}}, kind: turn.Answer, text: `<a href="https://dify.example/files/1?sign=a">报表.xlsx</a>`, outcome: "answered"},
		"nothing":                   {kind: turn.Answer, text: emptyLine, outcome: "emptyAnswer"},
		"reasoning alone":           {answer: dify.Answer{Text: "<think>想</think>"}, kind: turn.Answer, text: emptyLine, outcome: "emptyAnswer"},
		"a pause":                   {answer: dify.Answer{Pause: &dify.Pause{}}, kind: turn.Answer, text: pausedLine, outcome: "paused"},
		"text and a pause":          {answer: dify.Answer{Text: "请稍候。", Pause: &dify.Pause{}}, kind: turn.Answer, text: "请稍候。\n\n" + pausedLine, outcome: "paused"},
		"moderated, and then stops": {answer: dify.Answer{Text: "不能回答。", Moderated: true, Stopped: true}, kind: turn.Answer, text: "不能回答。", outcome: "answered"},
		"moderated, and then fails": {answer: dify.Answer{Text: "不能回答。", Moderated: true}, err: failed(dify.WorkflowFailed), kind: turn.Answer, text: "不能回答。", outcome: "answered"},
		"stopped":                   {answer: dify.Answer{Text: "好", Stopped: true}, kind: turn.Answer, text: "好\n\n" + cutLine + "\n" + retryLink, outcome: "cutShort"},
		"a content filter":          {err: failed(dify.ContentFiltered), kind: turn.Failed, text: "抱歉，这个问题或它的回答没有通过内容审核，请换个说法再问一次。", outcome: "filtered"},
		"too long for the model":    {err: failed(dify.ContextTooLong), kind: turn.Failed, text: "抱歉，问题或我们的对话太长了，请把问题缩短，或用 " + link("/clear", "/clear") + " 清空对话后再问。", outcome: "tooLong"},
		"arrears":                   {err: failed(dify.QuotaExceeded), kind: turn.Failed, text: quotaLine, outcome: "quotaExceeded"},
		"a redirect":                {err: failed(dify.Redirected), kind: turn.Failed, text: configLine, outcome: "misconfigured"},
		"a missing input":           {err: failed(dify.InputRefused), kind: turn.Failed, text: configLine, outcome: "misconfigured"},
		"a failed node":             {err: failed(dify.WorkflowFailed), kind: turn.Failed, text: failedLine + "\n" + retryLink, outcome: "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
					return c.answer, c.err
				}}
				b := start(t, setup{dify: d})
				b.follower("alice").Send(ask).want(t, c.kind, c.text)
				synctest.Wait()
				if n := b.count("turns_total", "outcome="+c.outcome); n != 1 {
					t.Errorf("%v turns ended %s", n, c.outcome)
				}
				d.wantCalls(t, 1)
			})
		})
	}
}

// While Dify fails for everybody, followers are told at once and Dify is asked by one question at a time; when it works
// again, so does the bot.
func TestBreaker_DifyDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: difysim.Options{Behaviour: difysim.Behaviour{
			Length: 80, Fault: difysim.Fault{Kind: difysim.HTTPError, Name: "internal_server_error.500"},
		}}})
		exchanges := make(chan exchange)
		const followers = 50
		for i := range followers {
			f := b.follower(fmt.Sprint("o-", i))
			go func() {
				<-time.After(time.Duration(i) * 100 * time.Millisecond)
				exchanges <- f.Send(ask)
			}()
		}
		for range followers {
			if x := <-exchanges; x.kind != turn.Failed || x.text != busyLine+"\n"+retryLink || x.after > 4*time.Second {
				t.Errorf("got %s after %v: %s", x.kind, x.after, x.text)
			}
		}
		if n := len(b.sim.Calls()); n > 10 {
			t.Errorf("Dify was asked %d times", n)
		}
		if n := b.count("dify_breaker", "state=open"); n != 1 {
			t.Errorf("open: %v", n)
		}
		<-time.After(10 * time.Second)
		b.sim.SetBehaviour(difysim.Behaviour{Length: 80})
		b.follower("alice").Send(ask).want(t, turn.Answer, echo(ask, 80))
		b.follower("bob").Send(ask).want(t, turn.Answer, echo(ask, 80))
		if n := b.count("dify_breaker", "state=closed"); n != 1 {
			t.Errorf("closed: %v", n)
		}
	})
}

// A follower's conversation of which Dify says for ever that it does not exist costs two calls.
func TestConversationGone_Bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(_ context.Context, n int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
			if n == 1 {
				return dify.Answer{Text: "好的。", ConversationID: "c1"}, nil
			}
			return dify.Answer{ConversationID: "c2"}, &dify.Error{Op: "chat", Kind: dify.ConversationGone}
		}}
		f := start(t, setup{dify: d}).follower("alice")
		f.Send(ask)
		f.Send("再问").want(t, turn.Failed, failedLine+"\n"+retryLink)
		d.wantCalls(t, 3)
	})
}
