package turn_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// awaitEvery is how often the client asks Dify whether a run is over.
const awaitEvery = 2 * time.Second

// crash asks a question at a process that dies so long after it, and gives the process that takes its turns over. The stand-in's later
// answers differ in length from the first one's, to tell them apart.
func crash(t *testing.T, o difysim.Options, after time.Duration) (next *bot) {
	t.Helper()
	store := newStore()
	sim := difysim.New(o)
	t.Cleanup(sim.Close)
	dying, die := context.WithCancel(t.Context())
	// What dies writes nothing more, to the store or to Dify, and claims nothing.
	severed := sound(store)
	severed.fails = func(int64, string) bool { return dying.Err() != nil }
	first := start(t, setup{dify: mortal{difyOf(t, sim), dying}, sim: sim, store: severed, idle: true})
	first.follower("alice").drop(ask)
	<-time.After(after)
	die()
	sim.SetBehaviour(difysim.Behaviour{Length: 90})
	return start(t, setup{sim: sim, store: store.of("pod-2")})
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

func (m mortal) Stop(ctx context.Context, task, user string) error {
	if m.life.Err() != nil {
		return nil //nolint:nilerr // it is dead, and nobody hears of it
	}
	return m.Dify.Stop(ctx, task, user)
}

// A chatflow goes on without its client: whoever takes the turn over waits for its answer and asks nothing.
func TestNewOwner_WaitsForAnOutlivingRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		died := 12 * time.Second
		next := crash(t, difysim.Options{Mode: difysim.Chatflow, Behaviour: steady(30*time.Second, 80)}, died)
		began := time.Now()
		f := next.follower("alice")
		x := f.push("2", "1")
		x.want(t, turn.Partial, x.text) // what the process before has reported is shown meanwhile
		next.calls(1)
		for x.kind != turn.Answer {
			x = f.Send("1")
		}
		if got := render.Text(f.turns()[0].Answer.Markdown, nil, render.Options{}); got != echo(ask, 80) {
			t.Errorf("the answer is %q", got)
		}
		if took := time.Since(began); took > 30*time.Second-died+awaitEvery {
			t.Errorf("the answer came %v after the crash, want it soon after Dify had it", took)
		}
		next.calls(1)
	})
}

// The owner's last report, with what names the call, was lost with it: the question is known by its words.
func TestAnHeirFindsARunByItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		next := start(t, setup{store: store, simmed: difysim.Options{Mode: difysim.Chatflow, Behaviour: difysim.Behaviour{Length: 70}}})
		f := next.follower("alice")
		f.Send(ask).want(t, turn.Answer, echo(ask, 70)) // the same question before is another one
		next.end()

		<-time.After(time.Minute)
		begun, err := store.Begin(t.Context(), question("alice", "again", ask), true, usual().Limits)
		if err != nil || begun.Lease == nil {
			t.Fatal(begun, err)
		}
		next.sim.SetBehaviour(steady(20*time.Second, 80))
		dying, die := context.WithCancel(t.Context())
		go func() {
			_, _ = difyOf(t, next.sim).Chat(dying, dify.ChatRequest{Query: ask, User: "alice", ConversationID: begun.Lease.ConversationID}, nil)
		}()
		<-time.After(3 * time.Second)
		die()
		next.sim.SetBehaviour(difysim.Behaviour{Length: 90})
		third := start(t, setup{sim: next.sim, store: store.of("pod-3")})
		third.follower("alice").push("3", "1").want(t, turn.Waiting, quoted(ask, waitingLine+"\n\n"+more))
		<-time.After(20 * time.Second)
		third.follower("alice").push("4", "1").want(t, turn.Answer, quoted(ask, echo(ask, 80)))
		third.calls(2)
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
		"an ancient release's": {difysim.Options{Release: difysim.V0_6_5, Behaviour: steady(20*time.Second, 80)}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := crash(t, c.options, c.died)
				next.follower("alice").push("2", "1").want(t, turn.Answer, quoted(ask, echo(ask, 90)))
				next.calls(2)
			})
		})
	}
}

// A workflow that has begun to run nodes may have sent a mail: the follower decides whether to ask again.
func TestTakenOver_WorkflowIsNotRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := difysim.Options{Mode: difysim.Chatflow, Release: difysim.V1_12_1, Behaviour: steady(20*time.Second, 80)}
		next := crash(t, old, 12*time.Second)
		x := next.follower("alice").push("2", "1")
		if x.kind != turn.Answer || !strings.HasSuffix(x.text, "\n\n"+cutLine+"\n"+retryLink) {
			t.Errorf("got %s %q, want a part of the answer, marked", x.kind, x.text)
		}
		next.calls(1)
	})
}

// What Dify has of a question decides whether it is asked again.
func TestTakenOver_WhatDifyHasKept(t *testing.T) {
	const ref, begun = "m1 task-1", "m1 task-1 begun"
	failed := func(e dify.Error) error { return &e }
	for name, c := range map[string]struct {
		ref    string
		answer dify.Answer
		err    error
		calls  int
		kind   turn.Kind
		text   string
		stops  bool
	}{
		"the answer": {ref: ref, answer: dify.Answer{Text: "好的。"}, kind: turn.Answer, text: "好的。"},
		"part of it, and an error": {
			ref: ref, answer: dify.Answer{Text: "好的，"}, err: failed(dify.Error{Kind: dify.WorkflowFailed, Effects: dify.BegunEffects}),
			kind: turn.Answer, text: "好的，\n\n" + cutLine + "\n" + retryLink,
		},
		"an error": {
			ref: ref, err: failed(dify.Error{Kind: dify.WorkflowFailed, Effects: dify.BegunEffects}),
			kind: turn.Failed, text: failedLine + "\n" + retryLink,
		},
		"a pause":              {ref: ref, answer: dify.Answer{Pause: &dify.Pause{}}, kind: turn.Answer, text: "（这件事还要由工作人员处理，处理之后才能继续）"},
		"nothing":              {ref: ref, err: failed(dify.Error{Kind: dify.NotRunning}), calls: 1, kind: turn.Answer, text: "再来。", stops: true},
		"no conversation":      {ref: ref, err: failed(dify.Error{Kind: dify.ConversationGone}), calls: 1, kind: turn.Answer, text: "再来。", stops: true},
		"nothing, never asked": {err: failed(dify.Error{Kind: dify.NotRunning}), calls: 1, kind: turn.Answer, text: "再来。"},
		"nothing, after nodes have run": {
			ref: begun, err: failed(dify.Error{Kind: dify.NotRunning}),
			kind: turn.Failed, text: failedLine + "\n" + retryLink,
		},
		"a run that never ends": {
			ref: ref, err: failed(dify.Error{Kind: dify.Canceled, RunContinues: true}),
			kind: turn.Failed, text: timedOutLine + "\n" + retryLink, stops: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore()
				first, err := store.Begin(t.Context(), question("alice", "1", ask), true, usual().Limits)
				if err != nil || first.Lease == nil {
					t.Fatal(first, err)
				}
				accepted := time.Now()
				if err := store.Progress(t.Context(), first.Lease, session.Progress{ConversationID: "c1", Ref: c.ref}); err != nil {
					t.Fatal(err)
				}
				if err := store.Release(t.Context(), first.Lease); err != nil {
					t.Fatal(err)
				}
				d := &scripted{}
				d.await = func(_ context.Context, r dify.Run) (dify.Answer, error) {
					message, _, _ := strings.Cut(c.ref, " ")
					if r.MessageID != message || r.ConversationID != "c1" || r.Query != ask || r.User != "alice" || r.Since.After(accepted) {
						t.Errorf("awaits %+v", r)
					}
					return c.answer, c.err
				}
				d.chat = func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
					return dify.Answer{Text: "再来。", ConversationID: "c1"}, nil
				}
				b := start(t, setup{dify: d, store: store.of("pod-2")})
				b.follower("alice").push("2", "1").want(t, c.kind, quoted(ask, c.text))
				d.wantCalls(t, c.calls)
				synctest.Wait()
				if (len(d.stopped) == 1) != c.stops {
					t.Errorf("stopped %v, want the old run stopped: %v", d.stopped, c.stops)
				}
			})
		})
	}
}

// A follower's /stop reaches the run that the next only waits for.
func TestAnInheritedRunIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := crash(t, difysim.Options{Mode: difysim.Chatflow, Behaviour: steady(60*time.Second, 80)}, 20*time.Second)
		<-time.After(15 * time.Second)
		next.follower("alice").push("2", "/stop")
		synctest.Wait()
		if got := next.sim.Calls()[0].Outcome; got != difysim.Stopped {
			t.Errorf("the run is %s", got)
		}
		next.calls(1)
	})
}

// A process that was only cut off leaves the run to its new owner; one whose turn was cancelled stops it.
func TestALostRun_IsLeftToItsNewOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		severed := sound(store)
		cut := time.Now().Add(5 * time.Second)
		severed.fails = func(_ int64, method string) bool {
			return (method == "Progress" || method == "Renew") && time.Now().After(cut)
		}
		sim := difysim.New(difysim.Options{Mode: difysim.Chatflow, Behaviour: steady(30*time.Second, 80)})
		t.Cleanup(sim.Close)
		first := start(t, setup{sim: sim, store: severed})
		first.follower("alice").drop(ask)
		<-time.After(35 * time.Second)
		first.follower("alice").push("2", "1").want(t, turn.Answer, quoted(ask, echo(ask, 80)))
		if turns := first.follower("alice").turns(); turns[0].Attempts < 2 {
			t.Errorf("the turn was never lost: %+v", turns)
		}
		first.calls(1)
	})
}

// A run that a new owner has stopped leaves a part of an answer in Dify, which looks like a whole one. When that owner dies
// before it has another, the next one asks again.
func TestTakenOver_AStoppedRunIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		sim := difysim.New(difysim.Options{Behaviour: steady(20*time.Second, 80)})
		t.Cleanup(sim.Close)
		cut := time.Now().Add(8 * time.Second)
		severed := sound(store) // reaches Dify, and no store
		severed.fails = func(int64, string) bool { return time.Now().After(cut) }
		start(t, setup{sim: sim, store: severed, idle: true}).follower("alice").drop(ask)
		<-time.After(9 * time.Second)
		dying, die := context.WithCancel(t.Context())
		dies := sound(store.of("pod-2"))
		dies.fails = func(int64, string) bool { return dying.Err() != nil }
		second := start(t, setup{dify: mortal{difyOf(t, sim), dying}, sim: sim, store: dies})
		for sim.CallCount() < 2 {
			<-time.After(100 * time.Millisecond)
		}
		<-time.After(time.Second)
		die()
		second.end()
		if got := sim.Calls()[0].Outcome; got != difysim.Stopped {
			t.Fatalf("the first run is %v, want it stopped: %+v", got, sim.Calls())
		}
		sim.SetBehaviour(difysim.Behaviour{Length: 90})
		third := start(t, setup{sim: sim, store: store.of("pod-3")})
		<-time.After(time.Minute)
		third.follower("alice").push("2", "1").want(t, turn.Answer, quoted(ask, echo(ask, 90)))
		third.calls(3)
	})
}

// A process that is told to stop and cannot finish in time gives its turn back: the other replica goes on with the
// same run at once, and gives its answer to whoever waits there.
func TestATurnThatOutlivesTheGraceIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		sim := difysim.New(difysim.Options{Mode: difysim.Chatflow, Behaviour: steady(12*time.Second, 80)})
		t.Cleanup(sim.Close)
		first := start(t, setup{sim: sim, store: sound(store)})
		second := start(t, setup{sim: sim, store: sound(store.of("pod-2"))})
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
		if x.after > 12*time.Second+awaitEvery {
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
				if x.after > 12*time.Second+awaitEvery {
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

// A question whose owners all die is given up, and the follower is told with what there is of its answer.
func TestQuestion_GivenUpAfterItsOwners(t *testing.T) {
	retry := "\n" + link("再问一次", "/retry")
	for name, c := range map[string]struct{ known, want string }{
		"nothing of its answer": {"", "抱歉，这个问题没有回答成功。" + retry},
		"a part of its answer":  {"第一句。第二", "第一句。第二\n\n（回答中断了，后面的内容没有收到）" + retry},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore()
				if _, err := store.Begin(t.Context(), question("alice", "1", ask), false, usual().Limits); err != nil {
					t.Fatal(err)
				}
				for owner := range session.MaxAttempts {
					claimed, err := store.of("owner-"+strconv.Itoa(owner)).Next(t.Context(), usual().Limits)
					if err != nil || claimed.Lease == nil {
						t.Fatal(claimed, err)
					}
					if err := store.Progress(t.Context(), claimed.Lease, session.Progress{Markdown: c.known}); err != nil {
						t.Fatal(err)
					}
				}
				next := start(t, setup{store: store.of("next")})
				<-time.After(time.Minute)
				next.follower("alice").push("2", "1").want(t, turn.Failed, quoted(ask, c.want))
				next.calls(0)
			})
		})
	}
}
