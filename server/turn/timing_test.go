package turn_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const ask = "我的订单在哪里？"

// The table of when a question is replied to, as far as the whole answer is the reply.
func TestAnswer_RepliesToTheDeliveryItIsReadyIn(t *testing.T) {
	for name, c := range map[string]struct {
		total          time.Duration
		delivery, held int
	}{
		"at once":                       {0, 1, 0},
		"before the deadline":           {2 * time.Second, 1, 0},
		"just before the deadline":      {4400 * time.Millisecond, 1, 0},
		"while delivery 1 is held":      {4700 * time.Millisecond, 1, 1},
		"during delivery 2":             {8 * time.Second, 2, 1},
		"while delivery 2 is held":      {9800 * time.Millisecond, 2, 2},
		"during delivery 3":             {13 * time.Second, 3, 2},
		"just before the last deadline": {14400 * time.Millisecond, 3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, setup{simmed: simmed(steady(c.total, 80))})
				x := b.follower("alice").Send(ask)
				x.want(t, turn.Answer, echo(ask, 80))
				x.wantAt(t, c.delivery, c.total)
				b.calls(1)
				if held := b.count("held_deliveries_total"); int(held) != c.held {
					t.Errorf("%v deliveries were held, want %d", held, c.held)
				}
			})
		})
	}
}

func TestALongTurnShowsWhatHasComeSoFar(t *testing.T) {
	for name, c := range map[string]struct {
		holds, delivery int
		after, total    time.Duration
	}{
		"at the last delivery's deadline":       {6000, 3, 14500 * time.Millisecond, 20 * time.Second},
		"at the first, if the bot may not hold": {0, 1, deadline, 8 * time.Second},
		"when the budget of holds is used up":   {1, 2, patience + deadline, 13 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const length = 200
				b := start(t, setup{simmed: simmed(steady(c.total, length)), settings: holds(c.holds)})
				f := b.follower("alice")
				x := f.Send(ask)
				x.wantAt(t, c.delivery, c.after)
				part, answer := body(x.text), echo(ask, length)
				if x.kind != turn.Partial || x.text != part+"\n\n"+more || !strings.HasPrefix(answer, part) ||
					!strings.HasSuffix(part, "。") || len(part) < 30 || len(part) == len(answer) {
					t.Fatalf("want a part of the answer up to a sentence's end and a link, got %s\n%s", x.kind, x.text)
				}
				rest := f.Send("1")
				rest.want(t, turn.Answer, strings.TrimPrefix(answer, part))
				b.calls(1)
				if len(f.turns()) != 1 || !f.turns()[0].Delivered {
					t.Errorf("want one turn, told: %+v", f.turns())
				}
			})
		})
	}
}

func TestATurnWithoutTextYetShowsAWaitingLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{FirstText: 10 * time.Second, Total: 12 * time.Second, Length: 80}), settings: holds(0)})
		f := b.follower("alice")
		x := f.Send(ask)
		x.want(t, turn.Waiting, waitingLine+"\n\n"+more)
		x.wantAt(t, 1, deadline)
		x = f.Send("1") // 4.5 s to 9 s: still nothing
		x.want(t, turn.Waiting, quoted(ask, waitingLine+"\n\n"+more))
		x.wantAt(t, 1, deadline)
		x = f.Send("1")
		x.want(t, turn.Answer, quoted(ask, echo(ask, 80)))
		x.wantAt(t, 1, 3*time.Second)
	})
}

func TestResumeReading_WaitsForARunningTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{FirstText: 20 * time.Second, Total: 24 * time.Second, Length: 80})})
		f := b.follower("alice")
		f.Send(ask).want(t, turn.Waiting, waitingLine+"\n\n"+more) // until 14.5 s
		x := f.Send("1")
		x.want(t, turn.Answer, quoted(ask, echo(ask, 80)))
		x.wantAt(t, 2, 9500*time.Millisecond)
		if x.ready.IsZero() || time.Since(x.ready) > time.Millisecond {
			t.Errorf("the reply was ready at %v, now is %v", x.ready, time.Now())
		}
	})
}

func TestHoldsAreABudgetOfTheBot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(7*time.Second, 80)), settings: holds(2)})
		alice, bob, carol := b.follower("alice").Begin(ask), b.follower("bob").Begin(ask), b.follower("carol").Begin(ask)
		kinds := map[turn.Kind]int{}
		for _, x := range []exchange{<-alice, <-bob, <-carol} {
			kinds[x.kind]++
			if x.kind == turn.Answer {
				x.wantAt(t, 2, 7*time.Second)
			} else {
				x.wantAt(t, 1, deadline)
			}
		}
		if kinds[turn.Answer] != 2 || kinds[turn.Partial] != 1 {
			t.Errorf("two holds are allowed: %v", kinds)
		}
		if n := b.count("held_deliveries_total"); n != 2 {
			t.Errorf("%v holds were counted", n)
		}
		if n := b.count("holds_refused_total"); n != 1 {
			t.Errorf("%v refused holds were counted", n)
		}
	})
}

func TestClosedConnection_TakesNoHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(7*time.Second, 80))})
		f := b.follower("alice")
		f.lose = func(n int) (time.Duration, bool) { return 2 * time.Second, n == 1 }
		x := f.Send(ask)
		x.want(t, turn.Answer, echo(ask, 80))
		x.wantAt(t, 2, 7*time.Second)
		if n := b.count("held_deliveries_total"); n != 0 {
			t.Errorf("%v holds were taken for a delivery that nobody waits for", n)
		}
	})
}

func TestALastDeliveryThatIsClosedGetsNoReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(3*time.Second, 80))})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := b.engine.Text(ctx, turn.Message{Follower: "alice", ID: "1", Text: ask, Delivery: 3, Received: time.Now()})
		if r.Kind != turn.Held {
			t.Errorf("got %s %q for a connection that is gone", r.Kind, r.Text)
		}
		b.follower("alice").Send("1").want(t, turn.Answer, quoted(ask, echo(ask, 80)))
	})
}
