package turn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func TestALongQuestionIsQuotedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{dify: &scripted{chat: hang("")}, settings: holds(0)})
		f := b.follower("alice")
		f.drop("a" + strings.Repeat("问", 60) + "\n 呢")
		f.Send("1").want(t, turn.Waiting, quoted("a"+strings.Repeat("问", 39)+"…", waitingLine)+"\n\n"+more)
	})
}

func TestAQuestionsLinesAreQuotedAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{dify: &scripted{chat: hang("")}, settings: holds(0)})
		f := b.follower("alice")
		f.drop("第一行\n\n 第二行")
		f.Send("1").want(t, turn.Waiting, quoted("第一行 第二行", waitingLine)+"\n\n"+more)
	})
}

// What another version of this program has stored is shown in words too.
func TestAnUnknownFailureHasWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		b := start(t, setup{store: store})
		begun, err := store.Begin(t.Context(), session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: ask}, true, b.settings.Limits)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Finish(t.Context(), begun.Lease, session.Outcome{State: session.Failed, Failure: "ofTheFuture"}); err != nil {
			t.Fatal(err)
		}
		b.follower("alice").push("2", "1").want(t, turn.Failed, quoted(ask, failedLine+"\n"+retryLink))
	})
}

func TestAnErrorThatIsNotDifysIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
			return dify.Answer{}, errors.New("no idea")
		}}
		b := start(t, setup{dify: d})
		b.follower("alice").Send(ask).want(t, turn.Failed, failedLine+"\n"+retryLink)
		if n := b.count("dify_errors_total", "kind=other"); n != 1 {
			t.Errorf("%v errors were counted", n)
		}
	})
}

func TestWhatDifyReportsIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
			return dify.Answer{Text: "好。", Usage: dify.Usage{PromptTokens: 7, CompletionTokens: 5, TotalPrice: 0.5, Currency: "USD"}}, nil
		}}
		b := start(t, setup{dify: d})
		f := b.follower("alice")
		f.Send("甲？")
		f.Send("乙？")
		b.end()
		for name, want := range map[string]float64{"dify_tokens_total": 24, "dify_price_total": 1, "turns_total": 2, "turns_in_flight": 0} {
			if got := b.count(name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if got := b.count("dify_tokens_total", "type=prompt"); got != 14 {
			t.Errorf("%v prompt tokens", got)
		}
	})
}

func TestUndelivered_StaysWhenTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(newStore())
		b := start(t, setup{store: s, simmed: simmed(difysim.Behaviour{Length: 80}), settings: holds(0)})
		f := b.follower("alice")
		f.drop("甲？")
		synctest.Wait()
		b.sim.SetBehaviour(difysim.Behaviour{FirstText: 8 * time.Second, Length: 80})
		s.fails = func(_ int64, method string) bool { return method == "Get" }
		f.Send("乙？").want(t, turn.Waiting, quoted("乙？", waitingLine)+"\n\n"+more)
		f.Send("1").want(t, turn.Answer, quoted("甲？", echo("甲？", 80))+"\n\n"+more)
	})
}

func TestLostReply_GivenAgainUnrecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(newStore())
		b := start(t, setup{store: s, simmed: simmed(difysim.Behaviour{Length: 80})})
		f := b.follower("alice")
		f.drop(ask)
		shown := 0
		s.fails = func(_ int64, method string) bool {
			if method == "Show" {
				shown++
			}
			return method == "Show" && shown == 1
		}
		f.late = func(n int) bool { return n == 1 }
		f.Send("1").want(t, turn.Answer, quoted(ask, echo(ask, 80)))
		if shown != 2 || b.count("session_store_errors_total") != 1 {
			t.Errorf("%d receipts, want 2: in vain, and recorded", shown)
		}
	})
}

// Progress is written at most twice a second, however fast an answer streams, and the lease is renewed while it does not.
func TestProgressIsWrittenInMeasure(t *testing.T) {
	for name, c := range map[string]struct {
		behaviour difysim.Behaviour
		method    string
		least     int
		most      int
	}{
		"fast": {difysim.Behaviour{Total: 4 * time.Second, Length: 2000}, "Progress", 6, 10},
		"slow": {difysim.Behaviour{FirstText: 40 * time.Second, Total: 41 * time.Second, Length: 80}, "Renew", 38, 42},
		"idle": {difysim.Behaviour{FirstText: 40 * time.Second, Total: 41 * time.Second, Length: 80}, "Progress", 1, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				writes := 0
				s := sound(newStore())
				s.fails = func(_ int64, method string) bool {
					if method == c.method {
						writes++
					}
					return false
				}
				b := start(t, setup{store: s, simmed: simmed(c.behaviour)})
				b.follower("alice").drop(ask)
				<-time.After(time.Minute)
				synctest.Wait()
				if writes < c.least || writes > c.most {
					t.Errorf("%d writes, want %d to %d", writes, c.least, c.most)
				}
				b.calls(1)
			})
		})
	}
}

// A page that was lost stays unseen, also when the deliveries that prove it are lost themselves.
func TestAPageThatIsLostForGoodStaysUnseen(t *testing.T) {
	for name, text := range map[string]string{"a question's": ask, "a fetch's": "1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const length = 1500
				b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: length})})
				f := b.follower("alice")
				if text == "1" {
					f.drop(ask)
					synctest.Wait()
				}
				f.late = func(n int) bool { return n == 1 }
				f.lose = func(n int) (time.Duration, bool) { return 0, n > 1 }
				if x := f.Send(text); x.kind != turn.Held {
					t.Fatalf("got %s", x.kind)
				}
				f.late, f.lose = nil, nil
				if got := strings.Join(f.read("1"), ""); got != echo(ask, length) {
					t.Errorf("got %d bytes, want %d", len(got), len(echo(ask, length)))
				}
			})
		})
	}
}

func TestDeliveredAnswer_NoReplyToAQueuedQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 80}), settings: holds(0)})
		f := b.follower("alice")
		f.Send("甲？").want(t, turn.Answer, echo("甲？", 80))
		b.sim.SetBehaviour(difysim.Behaviour{FirstText: 30 * time.Second, Length: 80})
		f.drop("乙？")
		f.Send("丙？").want(t, turn.Waiting, quoted("丙？", queuedLine)+"\n\n"+more)
	})
}

func TestResumeReading_LastDeliveryBehindAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{FirstText: time.Minute, Length: 80})})
		f := b.follower("alice")
		f.drop(ask)
		for n := 1; n <= deliveries; n++ {
			if _, ok := f.deliver("1", "1", 0); ok != (n == deliveries) {
				t.Errorf("delivery %d was replied to: %v", n, ok)
			}
		}
	})
}
