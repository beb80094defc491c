package turn_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// crash asks a question at a process that dies so long after it, and gives the heir of its turns. The stand-in's later
// answers differ in length from the first one's, to tell them apart.
func crash(t *testing.T, o difysim.Options, after time.Duration) (heir *bot) {
	t.Helper()
	store := newStore()
	sim := difysim.New(o)
	t.Cleanup(sim.Close)
	dying, die := context.WithCancel(t.Context())
	// What dies writes nothing more, to the store or to Dify, and claims nothing.
	severed := sound(store)
	severed.fails = func(int64, string) bool { return dying.Err() != nil }
	first := start(t, setup{dify: mortal{difyOf(t, sim), dying}, sim: sim, store: severed, owner: "pod-1", idle: true})
	first.follower("alice").drop(ask)
	<-time.After(after)
	die()
	sim.SetBehaviour(difysim.Behaviour{Length: 90})
	return start(t, setup{sim: sim, store: store, owner: "pod-2"})
}

// mortal is a client of Dify whose process dies.
type mortal struct {
	turn.Dify
	life context.Context //nolint:containedctx // it is a process'
}

func (m mortal) Chat(ctx context.Context, r dify.ChatRequest, onUpdate func(dify.Update)) (dify.Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.life, cancel)()
	return m.Dify.Chat(ctx, r, onUpdate)
}

func (m mortal) Stop(context.Context, string, string) error { return nil }

// A chatflow goes on without its client: whoever takes the turn over waits for its answer and asks nothing.
func TestAnHeirWaitsForARunThatOutlivedItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		died := 12 * time.Second
		heir := crash(t, difysim.Options{Mode: difysim.Chatflow, Behaviour: steady(30*time.Second, 80)}, died)
		began := time.Now()
		f := heir.follower("alice")
		x := f.push("2", "1")
		x.want(t, turn.Partial, x.text) // what the owner before has reported is shown meanwhile
		heir.calls(1)
		for x.kind != turn.Answer {
			x = f.Send("1")
		}
		if got := f.turns()[0].Answer; got != echo(ask, 80) {
			t.Errorf("the answer is %q", got)
		}
		if took := time.Since(began); took > 30*time.Second-died+turn.ResumeEvery {
			t.Errorf("the answer came %v after the crash, want it soon after Dify had it", took)
		}
		heir.calls(1)
	})
}

// The owner's last report, with what names the call, was lost with it: the question is known by its words.
func TestAnHeirFindsARunByItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		heir := start(t, setup{store: store, simmed: difysim.Options{Mode: difysim.Chatflow, Behaviour: difysim.Behaviour{Length: 70}}})
		f := heir.follower("alice")
		f.Send(ask).want(t, turn.Answer, echo(ask, 70)) // the same question before is another one
		heir.end()

		<-time.After(time.Minute)
		begun, err := store.Begin(t.Context(), question("alice", "again", ask), "pod-1", usual().Limits)
		if err != nil || begun.Lease == nil {
			t.Fatal(begun, err)
		}
		heir.sim.SetBehaviour(steady(20*time.Second, 80))
		dying, die := context.WithCancel(t.Context())
		go func() {
			_, _ = difyOf(t, heir.sim).Chat(dying, dify.ChatRequest{Query: ask, User: "alice", ConversationID: begun.Lease.ConversationID}, nil)
		}()
		<-time.After(3 * time.Second)
		die()
		heir.sim.SetBehaviour(difysim.Behaviour{Length: 90})
		next := start(t, setup{sim: heir.sim, store: store, owner: "pod-3"})
		next.follower("alice").push("3", "1").want(t, turn.Waiting, quoted(ask, waitingLine+"\n\n"+more))
		<-time.After(20 * time.Second)
		next.follower("alice").push("4", "1").want(t, turn.Answer, quoted(ask, echo(ask, 80)))
		next.calls(2)
	})
}

// Other apps lose the answer with the connection, unless it was complete: then it need not be asked for again.
func TestAnHeirAsksAgainWhatIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		options difysim.Options
		died    time.Duration
	}{
		"a chat app's":         {difysim.Options{Behaviour: steady(20*time.Second, 80)}, 5 * time.Second},
		"an agent's":           {difysim.Options{Mode: difysim.Agent, Behaviour: steady(20*time.Second, 80)}, 5 * time.Second},
		"an old chatflow's":    {difysim.Options{Mode: difysim.Chatflow, Release: difysim.V1_12_1, Behaviour: steady(20*time.Second, 80)}, 5 * time.Second},
		"an ancient release's": {difysim.Options{Release: difysim.V0_6_5, Behaviour: steady(20*time.Second, 80)}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				heir := crash(t, c.options, c.died)
				heir.follower("alice").push("2", "1").want(t, turn.Answer, quoted(ask, echo(ask, 90)))
				heir.calls(2)
			})
		})
	}
}

// What Dify says of a question decides whether it is asked again.
func TestWhatDifyHasKept(t *testing.T) {
	chatflow := dify.Info{Mode: "advanced-chat", Version: "1.13.3"}
	down := &dify.Error{Op: "messages", Kind: dify.Server}
	gone := &dify.Error{Op: "messages", Kind: dify.ConversationGone}
	for name, c := range map[string]struct {
		info     dify.Info
		messages func(now time.Time, n int) ([]dify.Message, error)
		calls    int
		kind     turn.Kind
		text     string
	}{
		"the answer": {messages: func(time.Time, int) ([]dify.Message, error) {
			return []dify.Message{{ID: "m0", Answer: "旧的。", Status: "normal"}, {ID: "m1", Answer: "好的。", Status: "normal"}}, nil
		}, kind: turn.Answer, text: "好的。"},
		"part of it, and an error": {messages: func(time.Time, int) ([]dify.Message, error) {
			return []dify.Message{{ID: "m1", Answer: "好的，", Status: "error"}}, nil
		}, kind: turn.Answer, text: "好的，\n\n" + cutLine + "\n" + retryLink},
		"an error": {messages: func(time.Time, int) ([]dify.Message, error) {
			return []dify.Message{{ID: "m1", Status: "error"}}, nil
		}, calls: 1, kind: turn.Answer, text: "再来。"},
		"a pause": {messages: func(time.Time, int) ([]dify.Message, error) {
			return []dify.Message{{ID: "m1", Status: "paused"}}, nil
		}, kind: turn.Answer, text: emptyLine},
		"nothing of it": {messages: func(now time.Time, _ int) ([]dify.Message, error) {
			return []dify.Message{
				{ID: "old", Query: ask, Answer: "旧的。", Status: "normal", CreatedAt: now.Add(-time.Hour)},
				{ID: "other", Query: "别的", Answer: "别的。", Status: "normal", CreatedAt: now},
			}, nil
		}, calls: 1, kind: turn.Answer, text: "再来。"},
		"nothing any more": {messages: func(time.Time, int) ([]dify.Message, error) { return nil, gone },
			calls: 1, kind: turn.Answer, text: "再来。"},
		"the answer, after it was down": {messages: func(_ time.Time, n int) ([]dify.Message, error) {
			if n < 4 {
				return nil, down
			}
			return []dify.Message{{ID: "m1", Answer: "好的。", Status: "normal"}}, nil
		}, kind: turn.Answer, text: "好的。"},
		"a run that never ends": {info: chatflow, messages: func(time.Time, int) ([]dify.Message, error) {
			return []dify.Message{{ID: "m1", Status: "normal"}}, nil
		}, kind: turn.Failed, text: timedOutLine + "\n" + retryLink},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore()
				begun, err := store.Begin(t.Context(), question("alice", "1", ask), "pod-1", usual().Limits)
				if err != nil || begun.Lease == nil {
					t.Fatal(begun, err)
				}
				accepted := time.Now()
				if err := store.Progress(t.Context(), begun.Lease, session.Progress{ConversationID: "c1", Note: "m1 task-1"}); err != nil {
					t.Fatal(err)
				}
				if err := store.Release(t.Context(), begun.Lease); err != nil {
					t.Fatal(err)
				}
				d := &scripted{info: c.info}
				d.messages = func(_ context.Context, n int) ([]dify.Message, error) { return c.messages(accepted, n) }
				d.chat = func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
					return dify.Answer{Text: "再来。", ConversationID: "c1"}, nil
				}
				b := start(t, setup{dify: d, store: store, owner: "pod-2"})
				if c.kind == turn.Failed {
					<-time.After(timeout)
				}
				b.follower("alice").push("2", "1").want(t, c.kind, quoted(ask, c.text))
				d.wantCalls(t, c.calls)
				synctest.Wait()
				if stops := c.calls > 0 || c.kind == turn.Failed; (len(d.stopped) == 1) != stops {
					t.Errorf("stopped %v, want the old run stopped: %v", d.stopped, stops)
				}
			})
		})
	}
}

// A follower's /stop reaches the run that the heir only waits for.
func TestAnInheritedRunIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heir := crash(t, difysim.Options{Mode: difysim.Chatflow, Behaviour: steady(60*time.Second, 80)}, 20*time.Second)
		<-time.After(15 * time.Second)
		heir.follower("alice").push("2", "/stop")
		synctest.Wait()
		if got := heir.sim.Calls()[0].Outcome; got != difysim.Stopped {
			t.Errorf("the run is %s", got)
		}
		heir.calls(1)
	})
}

// A process that was only cut off leaves the run to its heir; one whose turn was cancelled stops it.
func TestALostRunIsLeftToItsHeir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		severed := sound(store)
		cut := time.Now().Add(5 * time.Second)
		severed.fails = func(_ int64, method string) bool { return method == "Progress" && time.Now().After(cut) }
		sim := difysim.New(difysim.Options{Mode: difysim.Chatflow, Behaviour: steady(30*time.Second, 80)})
		t.Cleanup(sim.Close)
		first := start(t, setup{sim: sim, store: severed, owner: "pod-1"})
		first.follower("alice").drop(ask)
		<-time.After(35 * time.Second)
		first.follower("alice").push("2", "1").want(t, turn.Answer, quoted(ask, echo(ask, 80)))
		if turns := first.follower("alice").turns(); turns[0].Attempts < 2 {
			t.Errorf("the turn was never lost: %+v", turns)
		}
		first.calls(1)
	})
}

// A process that is told to stop and cannot finish in time gives its turn back: the other replica goes on with the
// same run at once, and gives its answer to whoever waits there.
func TestATurnThatOutlivesTheGraceIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := sound(newStore())
		sim := difysim.New(difysim.Options{Mode: difysim.Chatflow, Behaviour: steady(12*time.Second, 80)})
		t.Cleanup(sim.Close)
		first := start(t, setup{sim: sim, store: store, owner: "pod-1"})
		second := start(t, setup{sim: sim, store: store, owner: "pod-2"})
		f := first.follower("alice")
		f.route = func(n int) *bot { return map[int]*bot{1: first, 2: second, 3: second}[n] }
		waiting := f.Begin(ask)
		<-time.After(2 * time.Second)
		grace, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if err := first.engine.Drain(grace); err == nil {
			t.Error("drained, though a turn still runs")
		}
		first.end()
		synctest.Wait()
		if got := second.count("turns_in_flight"); got != 1 {
			t.Errorf("%v turns are in hand at the other replica right after the end, want 1", got)
		}
		x := <-waiting
		x.want(t, turn.Answer, echo(ask, 80))
		if x.after > 12*time.Second+turn.ResumeEvery {
			t.Errorf("answered after %v", x.after)
		}
		first.calls(1)
	})
}

func question(follower, id, text string) session.Question {
	return session.Question{Key: session.Key{Follower: follower, ID: id}, Text: text}
}

// proxied is a client behind a proxy that breaks streams after a while.
type proxied struct {
	turn.Dify
	patience time.Duration
}

func (p proxied) Chat(ctx context.Context, r dify.ChatRequest, onUpdate func(dify.Update)) (dify.Answer, error) {
	open, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	answer, err := p.Dify.Chat(open, r, onUpdate)
	if open.Err() != nil && ctx.Err() == nil {
		err = &dify.Error{Op: "chat", Kind: dify.Interrupted}
	}
	return answer, err
}

// A chatflow goes on when its stream breaks: its answer is fetched whole, and it is not asked again.
func TestABrokenStreamOfARunThatGoesOn(t *testing.T) {
	for name, b := range map[string]difysim.Behaviour{
		"in the middle of the text": steady(12*time.Second, 80),
		"before the first text":     {FirstText: 8 * time.Second, Total: 12 * time.Second, Length: 80},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := difysim.New(difysim.Options{Mode: difysim.Chatflow, Behaviour: b})
				t.Cleanup(sim.Close)
				bot := start(t, setup{sim: sim, dify: proxied{difyOf(t, sim), 5 * time.Second}})
				x := bot.follower("alice").Send(ask)
				x.want(t, turn.Answer, echo(ask, 80))
				bot.calls(1)
				if x.after > 12*time.Second+turn.ResumeEvery {
					t.Errorf("answered after %v", x.after)
				}
			})
		})
	}
}

// What ends with its stream is shown as far as it came.
func TestABrokenStreamOfARunThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := difysim.New(difysim.Options{Behaviour: steady(12*time.Second, 80)})
		t.Cleanup(sim.Close)
		bot := start(t, setup{sim: sim, dify: proxied{difyOf(t, sim), 5 * time.Second}})
		x := bot.follower("alice").Send(ask)
		if x.kind != turn.Answer || !strings.Contains(x.text, cutLine) {
			t.Errorf("got %s %q, want what came and that it was cut", x.kind, x.text)
		}
		bot.calls(1)
	})
}
