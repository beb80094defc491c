package turn_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func TestAnEngineNeedsAllItsParts(t *testing.T) {
	for name, spoil := range map[string]func(*turn.Options){
		"store":      func(o *turn.Options) { o.Store = nil },
		"Dify":       func(o *turn.Options) { o.Dify = nil },
		"renderer":   func(o *turn.Options) { o.Renderer = nil },
		"metrics":    func(o *turn.Options) { o.Metrics = nil },
		"log":        func(o *turn.Options) { o.Log = nil },
		"link":       func(o *turn.Options) { o.Link = nil },
		"alias":      func(o *turn.Options) { o.Alias = nil },
		"page":       func(o *turn.Options) { o.PageBytes = 1199 },
		"deliveries": func(o *turn.Options) { o.Deliveries = 0 },
	} {
		o := options(&scripted{}, newStore())
		if _, err := turn.New(o, usual()); err != nil {
			t.Fatalf("complete options are refused: %v", err)
		}
		spoil(&o)
		if _, err := turn.New(o, usual()); err == nil {
			t.Errorf("options with a bad %s are accepted", name)
		}
	}
}

// A process that dies writes nothing more; its turn is taken over, and it cannot write over the new owner's answer.
func TestADeadOwnersTurnIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		sim := difysim.New(simmed(steady(30*time.Second, 80)))
		t.Cleanup(sim.Close)
		var dead atomic.Bool
		severed := sound(store)
		severed.fails = func(int64, string) bool { return dead.Load() }
		first := start(t, setup{sim: sim, store: severed, idle: true}) // the dead claim nothing
		second := start(t, setup{sim: sim, store: store.of("pod-2")})

		f := first.follower("alice")
		f.drop(ask)
		<-time.After(5 * time.Second)
		dead.Store(true)
		died := time.Now()
		sim.SetBehaviour(difysim.Behaviour{Length: 90}) // to tell the answers apart
		x := second.follower("alice").push("2", "1")
		x.want(t, turn.Answer, quoted(ask, echo(ask, 90)))
		if took := time.Since(died); took > 15*time.Second {
			t.Errorf("taken over after %v, want at most 15 s", took)
		}
		first.calls(2)
		dead.Store(false) // it was not dead, only cut off: what it has to say comes too late
		<-time.After(time.Minute)
		second.follower("alice").push("3", "1").want(t, turn.Answer, quoted(ask, echo(ask, 90)))
		if turns := f.turns(); len(turns) != 1 || turns[0].Attempts != 2 {
			t.Errorf("want one turn in its second attempt: %+v", turns)
		}
	})
}

// A message delivered to one replica is answered by another that has it already.
func TestDeliveriesToDifferentReplicasAreOneTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		sim := difysim.New(simmed(steady(7*time.Second, 80)))
		t.Cleanup(sim.Close)
		first := start(t, setup{sim: sim, store: store})
		second := start(t, setup{sim: sim, store: store.of("pod-2")})
		one := first.follower("alice")
		if _, ok := one.deliver("1", ask, 1); ok {
			t.Fatal("delivery 1 was replied to")
		}
		r, ok := second.follower("alice").deliver("1", ask, 2)
		if !ok || r.Text != echo(ask, 80) {
			t.Errorf("delivery 2 got %s %q", r.Kind, r.Text)
		}
		first.calls(1)
	})
}

// The engine counts deliveries itself: a front that cannot tell makes no delivery wait in vain.
func TestQuestion_LastDeliveryBehindAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(60*time.Second, 200))})
		f := b.follower("alice")
		for n := 1; n <= deliveries; n++ {
			if _, ok := f.deliver("1", ask, 0); ok != (n == deliveries) {
				t.Errorf("delivery %d was replied to: %v", n, ok)
			}
		}
	})
}

func TestAnEndedRunGivesItsTurnsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		sim := difysim.New(simmed(steady(20*time.Second, 80)))
		t.Cleanup(sim.Close)
		first := start(t, setup{sim: sim, store: store})
		first.follower("alice").drop(ask)
		second := start(t, setup{sim: sim, store: store.of("pod-2")})
		synctest.Wait()
		first.calls(1)
		sim.SetBehaviour(difysim.Behaviour{Length: 80})
		ended := time.Now()
		first.end()
		x := second.follower("alice").push("2", "1")
		x.want(t, turn.Answer, quoted(ask, echo(ask, 80)))
		if took := time.Since(ended); took > time.Second {
			t.Errorf("taken over after %v: the turn was not given back", took)
		}
		if n := first.count("turns_total", "outcome=released"); n != 1 {
			t.Errorf("%v turns were released, want 1", n)
		}
		// The ended engine still replies, and what it accepts is worked on by the other.
		first.follower("bob").push("1", ask).want(t, turn.Answer, echo(ask, 80))
		first.calls(3)
	})
}

// An answer that is there when the engine ends is stored, not asked for again.
func TestAnAnswerThatComesWithTheEndIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{chat: func(ctx context.Context, _ int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
			<-ctx.Done()
			return dify.Answer{Text: "好的。"}, nil
		}}
		store := newStore()
		first := start(t, setup{dify: d, store: store})
		first.follower("alice").drop(ask)
		first.end()
		other := &scripted{}
		start(t, setup{dify: other, store: store.of("pod-2")}).follower("alice").push("x", "1").want(t, turn.Answer, quoted(ask, "好的。"))
		other.wantCalls(t, 0)
	})
}

func TestDrainWaitsForAnswersThatNobodyElseHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(8*time.Second, 80)), settings: func(s *turn.Settings) { s.Limits.Concurrency = 1 }})
		alice, bob := b.follower("alice"), b.follower("bob")
		alice.drop(ask)
		question := bob.Begin(ask) // waits for a place: 8 s to 16 s
		synctest.Wait()
		began := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- b.engine.Drain(t.Context()) }()
		if x := <-question; x.kind != turn.Partial {
			t.Errorf("a draining engine replies as ever: %s %s", x.kind, x.text)
		}
		if x := bob.Send("1"); x.kind != turn.Answer {
			t.Errorf("a draining engine takes messages: %s %s", x.kind, x.text)
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
		// Alice never fetches: her answer is waited for until all deliveries are over.
		if took := time.Since(began); took < 22*time.Second || took > 24*time.Second {
			t.Errorf("drained after %v, want 15 s after the untold answer of 8 s", took)
		}
		if err := b.engine.Drain(t.Context()); err != nil {
			t.Errorf("drained already: %v", err)
		}
	})
}

func TestDrainSaysWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(newStore())
		s.lasting = false
		b := start(t, setup{simmed: simmed(steady(3*time.Second, 80)), store: s})
		b.follower("alice").drop(ask)
		for range 2 { // once for the running turn, then for its answer
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := b.engine.Drain(ctx)
			cancel()
			if err == nil || !strings.Contains(err.Error(), "1 turns still run") && !strings.Contains(err.Error(), "1 answers were not") {
				t.Errorf("got %v", err)
			}
			<-time.After(3 * time.Second)
		}
		s.fails = func(_ int64, method string) bool { return method == "Pending" }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.engine.Drain(ctx); err == nil || !strings.Contains(err.Error(), errStore.Error()) {
			t.Errorf("got %v", err)
		}
	})
}

// With a shared store a leaving process finishes what it has and leaves the rest.
func TestDrainLeavesWaitingTurnsToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		one := func(s *turn.Settings) { s.Limits.Concurrency = 1 }
		b := start(t, setup{simmed: simmed(steady(8*time.Second, 80)), store: sound(store), settings: one})
		alice, bob := b.follower("alice"), b.follower("bob")
		alice.drop(ask)
		bob.drop(ask)
		began := time.Now()
		if err := b.engine.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took.Round(time.Second) != 8*time.Second { // alice's turn, not bob's
			t.Errorf("drained after %v", took)
		}
		running := b.sim.CallCount()
		carol := b.follower("carol")
		carol.drop(ask) // accepted, for the others
		if got := b.sim.CallCount(); got != running {
			t.Errorf("a leaving process began %d turns", got-running)
		}
		other := start(t, setup{sim: b.sim, store: store.of("pod-2")})
		for _, name := range []string{"alice", "bob", "carol"} {
			other.follower(name).push("x", "1").want(t, turn.Answer, quoted(ask, echo(ask, 80)))
		}
		b.calls(3)
	})
}

func TestSettingsChangeWhileTheEngineRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(30*time.Second, 80)), settings: func(s *turn.Settings) { s.HoldsPerMinute, s.Limits.Concurrency = 0, 1 }})
		for i := range 3 {
			b.follower(fmt.Sprint("f", i)).drop(ask)
		}
		synctest.Wait()
		b.calls(1)
		s := b.settings
		s.Texts = turn.NewTexts(turn.English, map[string]string{turn.TextWaiting: "Wait."})
		b.engine.Configure(s)
		synctest.Wait()
		b.calls(1)
		x := b.follower("other").Send("1")
		x.want(t, turn.Notice, "There is no answer to show yet. Just type your question.")
		s.Limits.Concurrency = 3
		b.engine.Configure(s)
		synctest.Wait()
		b.calls(3) // those who wait need not wait for a place under the old limit
		x = b.follower("f0").push("x", "1")
		x.want(t, turn.Waiting, quoted(ask, "Wait.\n\n"+link("Continue", "1")+" (or reply 1)"))
	})
}

func TestTexts_UnknownLanguageAndOwnTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{settings: func(s *turn.Settings) {
			s.Texts = turn.NewTexts("tlh", map[string]string{turn.TextNothingYet: "无", turn.TextCleared: "", turn.TextHelp: "{{1}} {{clear}} {{x}}"})
		}})
		f := b.follower("alice")
		f.Send("1").want(t, turn.Notice, "无")
		f.Send("/clear").want(t, turn.Notice, clearedLine)
		f.Send("/help").want(t, turn.Notice, link("1", "1")+" "+link("/clear", "/clear")+" {{x}}")
		long := b.settings
		long.Texts = turn.NewTexts(turn.Chinese, map[string]string{turn.TextHelp: strings.Repeat("长句。", 400)})
		b.engine.Configure(long)
		if x := f.Send("/help"); x.kind != turn.Notice || len(x.text) < pageBytes/2 || !strings.HasSuffix(x.text, "。") {
			t.Errorf("got %d bytes", len(x.text))
		}
	})
}
