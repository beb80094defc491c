package turn_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
)

// R1: WeChat sends its classic emoticons as "/::)", "/:share" … inside the text (protocol/wechat.md §2.3). A question that
// begins with one is taken for an unknown command: the follower gets the help, the question is never asked.
func TestReviewEmoticonSwallowsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{}
		b := start(t, setup{dify: d})
		for _, q := range []string{"/::)你好，请问几点营业？", "/:rose 谢谢，还有一个问题：退货怎么办？", "/::D", "/var/log 满了怎么办？"} {
			x := b.follower("alice").push("m-"+q, q)
			t.Logf("%q -> %s, Dify calls so far %d", q, x.kind, len(d.requests()))
		}
		d.wantCalls(t, 4)
	})
}

// R2: one negative token count of Dify's ends the process.
func TestReviewNegativeTokensCrash(t *testing.T) {
	if os.Getenv("REVIEW_CHILD") == "1" {
		d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
			return dify.Answer{Text: "ok", ConversationID: "c1", Usage: dify.Usage{PromptTokens: -1}}, nil
		}}
		b := start(t, setup{dify: d})
		b.follower("alice").Send("hi")
		time.Sleep(300 * time.Millisecond)
		return
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=TestReviewNegativeTokensCrash$", "-test.v")
	c.Env = append(os.Environ(), "REVIEW_CHILD=1")
	out, err := c.CombinedOutput()
	if err != nil {
		lines := strings.SplitN(string(out), "\n\n", 2)
		t.Errorf("the process died: %v\n%s", err, lines[0])
	}
}

// R3: a "Conversation Not Exists." event in a stream that began a new conversation makes ask loop without pause or bound.
func TestReviewHotLoop(t *testing.T) {
	var calls atomic.Int64
	d := &scripted{chat: func(ctx context.Context, n int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
		calls.Add(1)
		if ctx.Err() != nil {
			return dify.Answer{}, canceled(ctx)
		}
		return dify.Answer{ConversationID: fmt.Sprint("c", n)}, &dify.Error{Op: "chat", Kind: dify.ConversationGone}
	}}
	b := start(t, setup{dify: d, settings: func(s *turn.Settings) { s.Limits.Timeout = time.Second; s.Deadline = time.Second }})
	b.follower("alice").Send("hi")
	b.end()
	if n := calls.Load(); n > 10 {
		t.Errorf("Dify was called %d times for one question within its 1 s", n)
	}
}

// R4: nothing bounds how often a turn is taken over: a turn that kills its owners is tried, and paid, for ever.
func TestReviewNoAttemptCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		lim := usual().Limits
		ctx := context.Background()
		if _, err := store.Begin(ctx, session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "poison"}, false, lim); err != nil {
			t.Fatal(err)
		}
		for i := range 50 { // fifty owners die with it
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			_, _ = store.of(fmt.Sprint("dies-", i)).Next(ctx, lim) // nothing is left after the last attempt
			cancel()
			time.Sleep(leaseTTL + time.Second)
		}
		d := &scripted{}
		b := start(t, setup{dify: d, store: store})
		time.Sleep(time.Second)
		b.end()
		s, _ := store.Get(ctx, "alice")
		if len(d.requests()) > 0 {
			t.Errorf("asked again as attempt %d, %v after it was accepted", s.Turns[0].Attempts, time.Since(s.Turns[0].AcceptedAt).Round(time.Minute))
		}
	})
}

// R5: a run of a chatflow that outlives its client, silent for longer than idleTimeout (a slow node): it is neither waited
// for, nor stopped; the next question runs beside it in the same conversation.
func TestReviewIdleTimeoutLeavesRunBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		d := &scripted{}
		d.chat = func(_ context.Context, n int, r dify.ChatRequest, say func(string)) (dify.Answer, error) {
			if n == 1 {
				running.Add(1) // goes on in Dify's worker
				say("")
				time.Sleep(time.Minute)
				return dify.Answer{ConversationID: "c1", TaskID: "task-1", MessageID: "m1"}, &dify.Error{Op: "chat", Kind: dify.IdleTimeout, RunContinues: true}
			}
			if running.Load() > 0 {
				t.Errorf("question 2 runs in conversation %q beside the run of question 1 that was never stopped", r.ConversationID)
			}
			return dify.Answer{Text: "two", ConversationID: "c1"}, nil
		}
		d.stop = func(context.Context, string) error { running.Add(-1); return nil }
		d.await = func(_ context.Context, r dify.Run) (dify.Answer, error) {
			if r.MessageID != "m1" {
				t.Errorf("awaits %+v", r)
			}
			running.Add(-1)
			return dify.Answer{Text: "the whole answer", ConversationID: "c1"}, nil
		}
		b := start(t, setup{dify: d})
		f := b.follower("alice")
		f.Send("slow")
		x := f.Begin("second")
		time.Sleep(2 * time.Minute)
		<-x
		ts := f.turns()
		if ts[0].State != session.Answered {
			t.Errorf("question 1 ended %v (%s); looked into Dify %d times, stopped %v", ts[0].State, ts[0].Failure, d.looked, d.stopped)
		}
	})
}

// R6: a session that was idle is forgotten with the id of its conversation: when its follower unfollows, the conversation
// stays in Dify for ever. So does every earlier one.
func TestReviewConversationSurvivesUnfollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{}
		n := 0
		d.chat = func(_ context.Context, _ int, r dify.ChatRequest, _ func(string)) (dify.Answer, error) {
			c := r.ConversationID
			if c == "" {
				n++
				c = fmt.Sprint("c", n)
			}
			return dify.Answer{Text: "hello", ConversationID: c}, nil
		}
		b := start(t, setup{dify: d})
		f := b.follower("alice")
		for range 5 { // once every other day
			f.Send("hi")
			time.Sleep(48 * time.Hour)
		}
		if err := b.engine.Forget(context.Background(), "alice"); err != nil { // unsubscribe
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n != 5 || !slices.Equal(d.cleared, []string{"alice"}) {
			t.Errorf("%d conversations were made in Dify, all deleted of %v", n, d.cleared)
		}
	})
}

// R12: the time of a turn counts from when it is worked on, each owner anew: it has no end of its own.
func TestReviewQueuedQuestionHasNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: hang("")}
		b := start(t, setup{dify: d, settings: func(s *turn.Settings) { s.Limits.Concurrency = 1 }})
		for i := range 30 {
			_, err := b.store.Begin(context.Background(), session.Question{Key: session.Key{Follower: fmt.Sprint("f", i), ID: "1"}, Text: "q"}, false, b.settings.Limits)
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Hour)
		s, _ := b.store.Get(context.Background(), "f29")
		if w := s.Turns[0].FinishedAt.Sub(s.Turns[0].AcceptedAt); w > 2*timeout {
			t.Errorf("the last question was given up %v after it was accepted; the turn's whole time is %v", w, timeout)
		}
	})
}

// R15: reply.holdsPerMinute: 0 says that no delivery is ever left to time out. While the sessions move (a lost node: 20 s),
// or the store fails, deliveries are, without the budget and without the metric.
func TestReviewHoldsWithoutBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := &shaky{Store: newStore(), fails: func(int64, string) bool { return true }, err: session.ErrElsewhere, lasting: true}
		b := start(t, setup{dify: &scripted{}, store: away, settings: func(s *turn.Settings) { s.HoldsPerMinute = 0 }})
		var held int
		for i := range 100 {
			go func() {
				for n := 1; n <= 2; n++ {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					r := b.engine.Text(ctx, turn.Message{Follower: fmt.Sprint("f", i), ID: "1", Text: "hi", Delivery: n, Received: time.Now()})
					cancel()
					if r.Kind == turn.Held {
						held++
					}
				}
			}()
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if held > 0 {
			t.Errorf("with holdsPerMinute 0, %d deliveries of 100 questions were left to time out; held_deliveries_total is %v", held, b.count("held_deliveries_total"))
		}
	})
}

// R18: a link that is longer than what a page has left is cut in two: the follower sees raw HTML.
func TestReviewLongLinkIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url := "https://files.example.com/a.pdf?X-Amz-Security-Token=" + strings.Repeat("A", 1850)
		d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
			return dify.Answer{Text: "请看[附件](" + url + ")。" + strings.Repeat("说明。", 40), ConversationID: "c1"}, nil
		}}
		b := start(t, setup{dify: d})
		f := b.follower("alice")
		x := f.Send("文件呢？")
		t.Logf("reply ends in %q", x.text[max(0, len(x.text)-140):])
		y := f.Send("1")
		t.Logf("next begins with %q", y.text[:min(140, len(y.text))])
	})
}

// slowed is a store each of whose calls of some methods takes 0.9 s: less than the second that redis.callTimeout allows.
type slowed struct{ session.Store }

func (s slowed) TakeHold(ctx context.Context, n int) (bool, error) {
	time.Sleep(900 * time.Millisecond)
	return s.Store.TakeHold(ctx, n)
}

func (s slowed) Get(ctx context.Context, f string) (session.Session, error) {
	time.Sleep(900 * time.Millisecond)
	return s.Store.Get(ctx, f)
}

// R19: what is asked of the store behind the deadline has no bound of its own: the reply comes after WeChat's five seconds.
func TestReviewReplyAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{dify: &scripted{chat: hang("")}, store: slowed{newStore()}, settings: holds(1)})
		_, _ = b.store.TakeHold(context.Background(), 1) // the budget is used up
		x := b.follower("alice").Begin("first")
		time.Sleep(time.Second)
		began := time.Now()
		r := b.engine.Text(context.Background(), turn.Message{Follower: "alice", ID: "2", Text: "second", Delivery: 1, Received: began})
		if took := time.Since(began); took > patience {
			t.Errorf("the reply (%s) came after %v, WeChat waits 5 s", r.Kind, took)
		}
		<-x
	})
}

// R20: dify.Error.Temporary says it is "false … where a workflow has run: its nodes may have acted". Interrupted is
// temporary whatever came before: a chatflow below 1.13 whose stream breaks between its nodes is run eight times.
func TestReviewBrokenWorkflowIsRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{}
		d.chat = func(_ context.Context, _ int, _ dify.ChatRequest, say func(string)) (dify.Answer, error) {
			say("") // workflow_started, node_finished of an HTTP node that has placed an order: ids are known, no text yet
			return dify.Answer{ConversationID: "c1", TaskID: "task-1", MessageID: "m1"}, &dify.Error{Op: "chat", Kind: dify.Interrupted, Effects: dify.BegunEffects}
		}
		b := start(t, setup{dify: d})
		b.follower("alice").Send("order one")
		time.Sleep(5 * time.Minute)
		if n := len(d.requests()); n > 1 {
			t.Errorf("the workflow was run %d times", n)
		}
	})
}

// R21: inherit writes run.latest without the lock under which the keeper, already running, reads it.
func TestReviewInheritRace(t *testing.T) {
	store := newStore()
	ctx, lim := context.Background(), usual().Limits
	_, _ = store.Begin(ctx, session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "q"}, false, lim)
	c, _ := store.Next(ctx, lim)
	_ = store.Release(ctx, c.Lease)
	b := start(t, setup{dify: &scripted{}, store: slowLook{store}})
	time.Sleep(5 * time.Second)
	b.end()
}

type slowLook struct{ session.Store }

func (s slowLook) Get(ctx context.Context, f string) (session.Session, error) {
	time.Sleep(4 * time.Second)
	return s.Store.Get(ctx, f)
}

// R24: who types 1 while the answer's own delivery is held gets the whole answer twice.
func TestReviewDoubledAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
			time.Sleep(7 * time.Second)
			return dify.Answer{Text: "the whole answer", ConversationID: "c1"}, nil
		}}
		b := start(t, setup{dify: d})
		f := b.follower("alice")
		x := f.Begin("hi")
		time.Sleep(3 * time.Second)
		y := f.Begin("1")
		a, c := <-x, <-y
		if strings.Contains(a.text, "the whole answer") && strings.Contains(c.text, "the whole answer") {
			t.Errorf("shown as %q and again as %q", a.text, c.text)
		}
	})
}
