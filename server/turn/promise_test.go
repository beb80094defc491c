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
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func TestMessage_AskedOnceForAllDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(3*time.Second, 80))})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { b.follower("alice").push("1", ask).want(t, turn.Answer, echo(ask, 80)) })
		}
		all.Wait()
		b.calls(1)
		b.follower("alice").push("1", ask).want(t, turn.Answer, echo(ask, 80)) // much later
		b.follower("bob").push("1", ask).want(t, turn.Answer, echo(ask, 80))   // the ID is the follower's own
		b.calls(2)
	})
}

func TestAnAnswerIsKeptWhenEveryDeliveryIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		total time.Duration
		lose  func(*follower)
	}{
		"closed before the answer":    {20 * time.Second, func(f *follower) { f.lose = lostAll(time.Second) }},
		"closed at once":              {2 * time.Second, func(f *follower) { f.lose = lostAll(0) }},
		"replied to, but too late":    {2 * time.Second, func(f *follower) { f.late = func(int) bool { return true } }},
		"replied to in part, in vain": {20 * time.Second, func(f *follower) { f.late = func(int) bool { return true } }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, setup{simmed: simmed(steady(c.total, 80))})
				f := b.follower("alice")
				c.lose(f)
				if x := f.Send(ask); x.kind != turn.Held {
					t.Fatalf("a lost delivery got %s", x.kind)
				}
				f.lose, f.late = nil, nil
				if name == "replied to in part, in vain" { // the server cannot know that: it goes on behind the part
					if x := f.Send("1"); x.kind != turn.Answer || !strings.HasSuffix(echo(ask, 80), x.text) {
						t.Errorf("got %s %s", x.kind, x.text)
					}
				} else {
					f.Send("1").want(t, turn.Answer, quoted(ask, echo(ask, 80)))
				}
				b.calls(1)
				synctest.Wait()
				if c := b.sim.Calls()[0]; c.Outcome != difysim.Answered {
					t.Errorf("the call ended with the delivery: %+v", c)
				}
			})
		})
	}
}

// Each way in which Dify fails before any text, in the words that a follower reads.
func TestAFailureIsToldInWords(t *testing.T) {
	again := func(line string) string { return line + "\n" + retryLink }
	html := difysim.Fault{Kind: difysim.HTMLPage}
	httpError := func(name string) difysim.Fault { return difysim.Fault{Kind: difysim.HTTPError, Name: name} }
	event := func(code string) difysim.Fault { return difysim.Fault{Kind: difysim.ErrorEvent, Name: code} }
	for name, c := range map[string]struct {
		fault difysim.Fault
		line  string // without a link unless asking again may help
		calls int
	}{
		"wrong key":             {httpError("unauthorized-bad-key.401"), configLine, 1},
		"API switched off":      {httpError("forbidden-api-disabled.403"), configLine, 1},
		"app not published":     {httpError("app_unavailable.400"), configLine, 1},
		"app of another kind":   {httpError("not_chat_app.400"), configLine, 1},
		"missing variable":      {httpError("invalid_param-required-input.400"), configLine, 1},
		"wrong URL":             {httpError("html-unknown-route.404"), configLine, 1},
		"not Dify at all":       {html, configLine, 1},
		"no credit":             {httpError("provider_quota_exceeded.400"), quotaLine, 1},
		"no credit, told later": {event("provider_quota_exceeded"), quotaLine, 1},
		"no model":              {event("provider_not_initialize"), configLine, 1},
		"down":                  {httpError("nginx-bad-gateway.502"), again(busyLine), 2},
		"full":                  {difysim.Fault{Kind: difysim.TooManyRequests}, again(busyLine), 8},
		"no connection":         {difysim.Fault{Kind: difysim.CutBefore}, again(busyLine), 2},
		"cut before any text":   {difysim.Fault{Kind: difysim.EndEarly}, again(busyLine), 2},
		"model unavailable":     {event("completion_request_error"), again(busyLine), 8},
		"a worker that is gone": {difysim.Fault{Kind: difysim.Hang}, again(timedOutLine), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				b := start(t, setup{simmed: simmed(difysim.Behaviour{Fault: c.fault}), log: &log})
				f := b.follower("o-alice")
				x := f.Send(ask)
				for range 5 {
					if x.kind != turn.Waiting {
						break
					}
					x = f.Send("1")
				}
				if x.kind != turn.Failed || strings.TrimPrefix(x.text, ask+rule) != c.line {
					t.Errorf("got %s\n%s\nwant failed\n%s", x.kind, x.text, c.line)
				}
				b.calls(c.calls)
				if n := b.count("dify_errors_total"); int(n) != c.calls {
					t.Errorf("%v errors of Dify were counted, want %d", n, c.calls)
				}
				b.end()
				if strings.Contains(log.String(), ask) || strings.Contains(log.String(), "o-alice") || !strings.Contains(log.String(), "Turn finished") {
					t.Errorf("the log must tell of the turn without follower and question:\n%s", log.String())
				}
			})
		})
	}
}

func TestAFailedQuestionIsAskedAgainByItsLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80, Fault: difysim.Fault{Kind: difysim.HTTPError, Name: "invalid_param-run-failed.400"}, Repeat: 2})})
		f := b.follower("alice")
		f.Send("/retry").want(t, turn.Notice, nothingYet)
		f.Send(ask).want(t, turn.Failed, busyLine+"\n"+retryLink)
		f.Send("/retry").want(t, turn.Failed, busyLine+"\n"+retryLink)
		f.late = func(n int) bool { return n == 1 }
		f.Send("/retry").want(t, turn.Answer, echo(ask, 80)) // the second delivery gets the same
		b.calls(3)
		if calls := b.sim.CallsFor(ask); len(calls) != 3 {
			t.Errorf("the question was asked %d times, want 3", len(calls))
		}
	})
}

func TestATemporaryFailureIsRetriedUnseen(t *testing.T) {
	for name, c := range map[string]struct {
		fault    difysim.Fault
		failures int           // before it works: of what may have had effects there is one retry
		from, to time.Duration // until the answer: the pauses double from 0.5 s and are between half and whole
	}{
		"connection":        {difysim.Fault{Kind: difysim.CutBefore}, 1, 250 * time.Millisecond, 500 * time.Millisecond},
		"bad gateway":       {difysim.Fault{Kind: difysim.HTTPError, Name: "nginx-bad-gateway.502"}, 1, 250 * time.Millisecond, 500 * time.Millisecond},
		"stream cut early":  {difysim.Fault{Kind: difysim.CutAfter}, 1, 250 * time.Millisecond, 500 * time.Millisecond},
		"too many requests": {difysim.Fault{Kind: difysim.TooManyRequests}, 2, 750 * time.Millisecond, 1500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80, Fault: c.fault, Repeat: c.failures})})
				x := b.follower("alice").Send(ask)
				x.want(t, turn.Answer, echo(ask, 80))
				b.calls(c.failures + 1)
				if x.after < c.from || x.after > c.to {
					t.Errorf("answered after %v, want %v to %v", x.after, c.from, c.to)
				}
			})
		})
	}
}

func TestWhatCameOfABrokenAnswerIsKeptAndMarked(t *testing.T) {
	for _, kind := range []difysim.FaultKind{difysim.CutAfter, difysim.EndEarly, difysim.Truncate, difysim.ErrorEvent} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80, Total: time.Second, Fault: difysim.Fault{Kind: kind, Deltas: 8}})})
				f := b.follower("alice")
				x := f.Send(ask)
				part := body(strings.TrimSuffix(x.text, "\n"+retryLink))
				if x.kind != turn.Answer || len(part) < 24 || !strings.HasPrefix(echo(ask, 80), part) ||
					x.text != part+"\n\n"+cutLine+"\n"+retryLink {
					t.Errorf("want a part of the answer, marked: %s\n%s", x.kind, x.text)
				}
				b.calls(1)
				b.sim.SetBehaviour(difysim.Behaviour{Length: 80})
				f.Send("/retry").want(t, turn.Answer, echo(ask, 80))
			})
		})
	}
}

func TestATurnEndsAtItsTimeLimit(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"without text":        {"", timedOutLine + "\n" + retryLink},
		"with reasoning only": {"<think>hm", timedOutLine + "\n" + retryLink},
		"with text":           {"第一句。", "第一句。\n\n" + cutLine + "\n" + retryLink},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &scripted{chat: hang(c.text)}
				slow := make(chan struct{})
				d.stop = func(context.Context, string) error { <-slow; return nil } // the answer waits for it a second at most
				b := start(t, setup{dify: d, settings: func(s *turn.Settings) { s.Limits.Timeout = 3 * time.Second }})
				x := b.follower("alice").Send(ask)
				x.wantAt(t, 1, 4*time.Second)
				if x.text != c.want {
					t.Errorf("got %q, want %q", x.text, c.want)
				}
				synctest.Wait()
				if len(d.stopped) != 1 || d.stopped[0] != "task-1" {
					t.Errorf("the generation was not stopped: %v", d.stopped)
				}
				close(slow)
				d.wantCalls(t, 1)
			})
		})
	}
}

func TestRetry_TooLateIsNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
			return dify.Answer{}, &dify.Error{Op: "chat", Kind: dify.RateLimited, RetryAfter: time.Hour}
		}}
		b := start(t, setup{dify: d})
		x := b.follower("alice").Send(ask)
		x.want(t, turn.Failed, busyLine+"\n"+retryLink)
		x.wantAt(t, 1, 0)
	})
}

func TestDifyIsGivenTheTimeItAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(_ context.Context, n int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
			if n == 1 {
				return dify.Answer{}, &dify.Error{Op: "chat", Kind: dify.RateLimited, RetryAfter: 3 * time.Second}
			}
			return dify.Answer{Text: "好的。"}, nil
		}}
		x := start(t, setup{dify: d}).follower("alice").Send(ask)
		x.want(t, turn.Answer, "好的。")
		x.wantAt(t, 1, 3*time.Second)
	})
}

func TestPartialAnswer_IsMarked(t *testing.T) {
	for name, c := range map[string]struct {
		answer dify.Answer
		want   string
	}{
		"stopped in Dify":  {dify.Answer{Text: "第一句。", Stopped: true}, "第一句。\n\n" + cutLine + "\n" + retryLink},
		"too long to keep": {dify.Answer{Text: "第一句。", Cut: true}, "第一句。\n\n" + cutLine + "\n" + retryLink},
		"empty":            {dify.Answer{}, emptyLine},
		"reasoning only":   {dify.Answer{Text: "<think>hm</think>"}, emptyLine},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) { return c.answer, nil }}
				start(t, setup{dify: d}).follower("alice").Send(ask).want(t, turn.Answer, c.want)
			})
		})
	}
}

func TestAFollowersAllowanceIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{settings: func(s *turn.Settings) { s.Limits.Questions = 3 }})
		alice, bob := b.follower("alice"), b.follower("bob")
		for i := range 3 {
			if x := alice.Send(fmt.Sprint("问题", i)); x.kind != turn.Answer {
				t.Fatalf("question %d: %s %s", i, x.kind, x.text)
			}
		}
		x := alice.Send("问题")
		x.want(t, turn.Refused, rateLine)
		x.wantAt(t, 1, 0)
		if x := alice.Send("1"); x.kind != turn.Answer {
			t.Errorf("a fetch is no question: %s %s", x.kind, x.text)
		}
		if x := bob.Send("问题"); x.kind != turn.Answer {
			t.Errorf("the allowance is a follower's own: %s %s", x.kind, x.text)
		}
		b.calls(4)
	})
}

func TestTheBotAnswersSoManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places, queue, followers = 3, 2, 8
		b := start(t, setup{simmed: simmed(steady(4*time.Second, 80)), settings: func(s *turn.Settings) { s.Limits.Concurrency, s.Limits.Queue = places, queue }})
		var replies []<-chan exchange
		for i := range followers {
			replies = append(replies, b.follower(fmt.Sprint("f", i)).Begin(ask))
			synctest.Wait()
			if running := b.sim.RunningCount(); running > places {
				t.Fatalf("%d calls at once", running)
			}
		}
		var answered, refused int
		for _, r := range replies {
			switch x := <-r; {
			case x.kind == turn.Answer && (x.after == 4*time.Second || x.after == 8*time.Second):
				answered++
			case x.kind == turn.Refused && x.text == busyLine && x.after == 0:
				refused++
			default:
				t.Errorf("got %s after %v: %s", x.kind, x.after, x.text)
			}
		}
		if answered != places+queue || refused != followers-places-queue {
			t.Errorf("%d answered, %d refused", answered, refused)
		}
		b.calls(places + queue)
	})
}

func TestTooManyOpen_FollowerGetsTheText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(4*time.Second, 80)), settings: func(s *turn.Settings) { s.Limits.Open = 1 }})
		f := b.follower("alice")
		first := f.Begin("甲？")
		synctest.Wait()
		f.Send("乙？").want(t, turn.Refused, tooManyLine)
		(<-first).want(t, turn.Answer, echo("甲？", 80))
		b.calls(1)
	})
}

func TestSecondQuestion_WhileTheFirstRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(6*time.Second, 80))})
		f := b.follower("alice")
		first := f.Begin("甲？")
		synctest.Wait()
		second := f.Begin("乙？")
		one, two := <-first, <-second
		one.want(t, turn.Answer, quoted("甲？", echo("甲？", 80))+"\n\n"+more)
		one.wantAt(t, 2, 6*time.Second)
		two.want(t, turn.Answer, echo("乙？", 80))
		two.wantAt(t, 3, 12*time.Second)
		calls := b.sim.Calls()
		if len(calls) != 2 || calls[0].ConversationID != "" || calls[1].ConversationID != calls[0].Conversation || calls[1].Started.Before(calls[0].Ended) {
			t.Errorf("want two calls, one after another, in one conversation: %+v", calls)
		}
	})
}

func TestAQueuedQuestionSaysThatItIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{FirstText: 18 * time.Second, Total: 20 * time.Second, Length: 80}), settings: holds(0)})
		f := b.follower("alice")
		f.Send("甲？").want(t, turn.Waiting, waitingLine+"\n\n"+more)
		f.Send("乙？").want(t, turn.Waiting, quoted("乙？", queuedLine)+"\n\n"+more)
	})
}

// What would be a waiting line shows an answer that the follower has not seen, and again if that reply was lost.
func TestUndelivered_BeforeAWaitingLine(t *testing.T) {
	for name, late := range map[string]func(int) bool{
		"at once":                 nil,
		"again after a lost one":  func(n int) bool { return n == 1 },
		"again after two of them": func(n int) bool { return n <= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80}), settings: holds(0)})
				f := b.follower("alice")
				f.lose = lostAll(0)
				f.Send("甲？")
				f.lose, f.late = nil, late
				b.sim.SetBehaviour(difysim.Behaviour{FirstText: 28 * time.Second, Total: 30 * time.Second, Length: 80})
				f.Send("乙？").want(t, turn.Answer, quoted("甲？", echo("甲？", 80))+"\n\n"+more)
				f.late = nil
				if turns := f.turns(); !turns[0].Delivered || turns[1].Delivered {
					t.Errorf("want the first turn told, the second not: %+v", turns)
				}
				f.Send("1").want(t, turn.Waiting, quoted("乙？", waitingLine)+"\n\n"+more)
			})
		})
	}
}

// A reply that told another answer was lost; the next delivery has the question's own answer; the other one is unseen again.
func TestALostReplyOfAnotherAnswerIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80}), settings: holds(0)})
		f := b.follower("alice")
		f.lose = lostAll(0)
		f.Send("甲？")
		f.lose, f.late = nil, func(n int) bool { return n == 1 }
		b.sim.SetBehaviour(difysim.Behaviour{FirstText: 6 * time.Second, Total: 7 * time.Second, Length: 80})
		x := f.Send("乙？")
		x.want(t, turn.Answer, quoted("乙？", echo("乙？", 80))+"\n\n"+more)
		x.wantAt(t, 2, 7*time.Second)
		f.late = nil
		f.Send("1").want(t, turn.Answer, quoted("甲？", echo("甲？", 80)))
	})
}

func TestConversation_LostOneStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80})})
		f := b.follower("alice")
		f.Send("甲？").want(t, turn.Answer, echo("甲？", 80))
		f.Send("乙？").want(t, turn.Answer, echo("乙？", 80))
		b.sim.SetBehaviour(difysim.Behaviour{Length: 80, Fault: difysim.Fault{Kind: difysim.ConversationGone}, Repeat: 1})
		f.Send("丙？").want(t, turn.Answer, echo("丙？", 80))
		f.Send("丁？").want(t, turn.Answer, echo("丁？", 80))
		calls := b.sim.Calls()
		if len(calls) != 5 {
			t.Fatalf("%d calls, want 5", len(calls))
		}
		first, second := calls[0].Conversation, calls[3].Conversation
		for i, want := range []string{"", first, first, "", second} {
			if calls[i].ConversationID != want {
				t.Errorf("call %d continued %q, want %q", i+1, calls[i].ConversationID, want)
			}
		}
		if first == second || second == "" {
			t.Errorf("conversations %q and %q", first, second)
		}
	})
}

func TestConversation_SurvivesUnrelatedFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: difysim.Options{Mode: difysim.Chatflow, Behaviour: difysim.Behaviour{Length: 80}}, settings: func(s *turn.Settings) { s.Limits.Timeout = 4 * time.Minute }})
		f := b.follower("alice")
		f.Send("甲？").want(t, turn.Answer, echo("甲？", 80))
		b.sim.SetBehaviour(difysim.Behaviour{Fault: difysim.Fault{Kind: difysim.Hang}}) // the worker is down
		x := f.Send("乙？")
		for x.kind == turn.Waiting {
			x = f.Send("1")
		}
		b.sim.SetBehaviour(difysim.Behaviour{Length: 80})
		f.Send("丙？").want(t, turn.Answer, echo("丙？", 80))
		calls := b.sim.Calls()
		if last := calls[len(calls)-1]; last.ConversationID != calls[0].Conversation {
			t.Errorf("the conversation was given up: %+v", last)
		}
	})
}

func TestASilentFollowerStartsANewConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80})})
		f := b.follower("alice")
		f.Send("甲？")
		synctest.Wait()
		<-time.After(25 * time.Hour)
		f.Send("1").want(t, turn.Notice, nothingYet)
		f.Send("乙？").want(t, turn.Answer, echo("乙？", 80))
		if c := b.sim.Calls()[1]; c.ConversationID != "" {
			t.Errorf("the old conversation went on: %+v", c)
		}
	})
}

func TestInputsReachDify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{}
		b := start(t, setup{dify: d, settings: func(s *turn.Settings) { s.Inputs = map[string]string{"city": "北京"} }})
		b.follower("alice").Send(" " + ask + "\n")
		want := dify.ChatRequest{Query: ask, User: "alice", Inputs: map[string]string{"city": "北京"}}
		if got := d.requests()[0]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("asked %+v, want %+v", got, want)
		}
	})
}
