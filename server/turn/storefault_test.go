package turn_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// visit is what a follower does who uses all that there is. The harness judges every reply.
func visit(f *follower) {
	first := f.Begin("甲？")
	synctest.Wait()
	second := f.Begin("乙？")
	<-first
	<-second
	f.Send("1")
	f.Send("1")
	third := f.Begin("丙？")
	<-time.After(time.Second)
	f.Send("/stop")
	<-third
	f.Send("1")
	f.Send("/retry")
	f.Send("/clear")
}

// Whichever call of the store fails, every reply is one that a follower can read, and afterwards all is as before.
func TestASingleFailureOfTheStoreIsSurvived(t *testing.T) {
	run := func(t *testing.T, k int64) (calls int64) {
		synctest.Test(t, func(t *testing.T) {
			s := sound(newStore())
			failed := ""
			s.fails = func(n int64, method string) bool {
				if n == k {
					failed = method
				}
				return n == k
			}
			b := start(t, setup{store: s, simmed: simmed(steady(7*time.Second, 300))})
			f := b.follower("alice")
			visit(f)
			synctest.Wait()
			calls = s.calls.Load()
			counted := b.count("session_store_errors_total")
			// A turn that is given up needs no progress any more, and a look while there is time is made again.
			if k > 0 && k <= calls && counted != 1 && (failed != "Progress" && failed != "Turn" || counted > 1) {
				t.Errorf("call %d, %s: %v failures of the store were counted, want 1", k, failed, counted)
			}
			f.Send("/clear")
			f.Send(ask).want(t, turn.Answer, echo(ask, 300))
			if n := b.sim.CallCount(); n > 5 {
				t.Errorf("call %d: Dify was called %d times for 4 questions", k, n)
			}
			b.end()
			if n := b.count("turns_in_flight"); n != 0 {
				t.Errorf("call %d: %v turns are left", k, n)
			}
		})
		return calls
	}
	eachCall(t, 30, run)
}

// eachCall runs a story once undisturbed, which tells how many calls of the store it makes, and then once for each of
// them, which are counted from 1: something is to happen there.
func eachCall(t *testing.T, least int64, run func(t *testing.T, k int64) (calls int64)) {
	t.Helper()
	all := run(t, 0)
	if all < least {
		t.Fatalf("only %d calls of the store", all)
	}
	for k := range all {
		run(t, k+1)
	}
}

func TestEachFailureOfTheStoreHasItsReply(t *testing.T) {
	for name, c := range map[string]struct {
		method, text string
		kind         turn.Kind
		want         string
	}{
		"a question that was not recorded":    {"Begin", ask, turn.Refused, busyLine},
		"an answer that cannot be waited for": {"Turn", ask, turn.Waiting, waitingLine + "\n\n" + more},
		"a session that cannot be opened":     {"Open", "1", turn.Waiting, waitingLine + "\n\n" + more},
		"a turn that cannot be cancelled":     {"Cancel", "/stop", turn.Refused, busyLine},
		"a session that cannot be cleared":    {"Clear", "/clear", turn.Refused, busyLine},
		"a failed turn that cannot be found":  {"Get", "/retry", turn.Refused, busyLine},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sound(newStore())
				s.fails = func(_ int64, method string) bool { return method == c.method }
				b := start(t, setup{store: s, simmed: simmed(difysim.Behaviour{FirstText: 7 * time.Second, Length: 80})})
				b.follower("alice").Send(c.text).want(t, c.kind, c.want)
			})
		})
	}
}

func TestHold_RepliedWhenNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(newStore())
		s.fails = func(_ int64, method string) bool { return method == "TakeHold" }
		b := start(t, setup{store: s, simmed: simmed(difysim.Behaviour{FirstText: 7 * time.Second, Length: 80})})
		x := b.follower("alice").Send(ask)
		x.want(t, turn.Answer, echo(ask, 80)) // out of a budget of this process' own
		x.wantAt(t, 2, 7*time.Second)
		if n := b.count("held_deliveries_total"); n != 1 {
			t.Errorf("%v holds were counted, want 1", n)
		}
	})
}

// unheard is a store that does not hear in this process how turns end.
type unheard struct{ session.Store }

func (s unheard) Watch(k session.Key) session.Watch {
	w := s.Store.Watch(k)
	w.Look = true
	return w
}

func TestHeldDelivery_StoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(unheard{newStore()})
		s.err = session.ErrClosed
		looks := 0
		s.fails = func(_ int64, method string) bool {
			if method == "Turn" {
				looks++
			}
			return method == "Turn" && looks > 2 // at the wait's begin and at the deadline; then the delivery is held
		}
		b := start(t, setup{store: s, simmed: simmed(steady(20*time.Second, 80))})
		x := b.follower("alice").Send(ask)
		x.want(t, turn.Waiting, waitingLine+"\n\n"+more)
		x.wantAt(t, 1, deadline)
	})
}

// A store that is away for a while loses no answer and causes no second call.
func TestAnOutageOfTheStoreIsWaitedOut(t *testing.T) {
	for name, outage := range map[string]struct{ from, to time.Duration }{
		"shorter than a lease": {2 * time.Second, 9 * time.Second},
		"while it ends":        {4 * time.Second, 8 * time.Second},
		"longer than a lease":  {3 * time.Second, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := sound(newStore())
				s.fails = func(int64, string) bool {
					now := time.Since(began)
					return now >= outage.from && now < outage.to
				}
				b := start(t, setup{store: s, simmed: simmed(steady(5*time.Second, 80))})
				f := b.follower("alice")
				f.drop(ask)
				<-time.After(outage.to + 2*time.Second)
				x := f.push("2", "1")
				x.want(t, turn.Answer, quoted(ask, echo(ask, 80)))
				leases := 1 + int((outage.to-outage.from)/leaseTTL) // that may run out
				if n := b.sim.CallCount(); n > leases {
					t.Errorf("Dify was called %d times, want at most %d", n, leases)
				}
			})
		})
	}
}

// A store that is away for too long: the turn is given up, and asked again by whoever takes it over.
func TestEnd_UnstorableIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(newStore())
		s.fails = func(_ int64, method string) bool { return method == "Finish" || method == "Renew" }
		var log strings.Builder
		b := start(t, setup{store: s, dify: &scripted{}, log: &log})
		b.follower("alice").drop(ask)
		<-time.After(25 * time.Second)
		if n := b.count("turns_total", "outcome=lost"); n == 0 {
			t.Error("the lease was lost meanwhile, and nobody noticed")
		}
		b.end()
		if n := b.count("turns_total", "outcome=unsaved"); n != 1 || !strings.Contains(log.String(), "storing the end of a turn") {
			t.Errorf("an answer was dropped without a word:\n%s", log.String())
		}
	})
}

func TestALostLeaseEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		s := sound(store)
		var noted atomic.Bool
		began := time.Now()
		s.fails = func(_ int64, method string) bool {
			return method == "Renew" || method == "Progress" && noted.Swap(true) && time.Since(began) < leaseTTL
		}
		d := &scripted{}
		d.chat = func(ctx context.Context, n int, r dify.ChatRequest, say func(string)) (dify.Answer, error) {
			if n > 1 {
				return dify.Answer{Text: fmt.Sprint("第", n, "次。")}, nil
			}
			return hang("第一次")(ctx, n, r, say)
		}
		b := start(t, setup{store: s, dify: d})
		b.follower("alice").Send(ask).want(t, turn.Answer, "第2次。")
		synctest.Wait()
		d.wantCalls(t, 2)
		if len(d.stopped) == 0 { // by its new owner, and by itself if that was faster
			t.Error("the first generation goes on")
		}
	})
}

// A question that comes while the store is away for a moment is taken when it is back, within the same delivery.
func TestAQuestionWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := sound(newStore())
		s.fails = func(_ int64, method string) bool { return method == "Begin" && time.Since(began) < 3*time.Second }
		b := start(t, setup{store: s, simmed: simmed(difysim.Behaviour{Total: time.Second, Length: 80})})
		x := b.follower("alice").Send(ask)
		x.want(t, turn.Answer, echo(ask, 80))
		x.wantAt(t, 1, 4*time.Second)
		b.calls(1)
	})
}

// Nobody knows whether an earlier delivery has recorded the question: while there is another delivery, it may meet a
// replica that reaches the store.
func TestRedelivery_LeftToTheNextDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		cutOff := sound(store)
		cutOff.fails = func(_ int64, method string) bool { return method == "Begin" }
		sim := difysim.New(simmed(difysim.Behaviour{Length: 80}))
		t.Cleanup(sim.Close)
		first := start(t, setup{sim: sim, store: cutOff})
		second := start(t, setup{sim: sim, store: store.of("pod-2")})
		f := first.follower("alice")
		f.lose = func(n int) (time.Duration, bool) { return time.Second, n == 1 } // as of a process that died
		f.route = func(n int) *bot { return map[int]*bot{1: first, 2: first, 3: second}[n] }
		x := f.Send(ask)
		x.want(t, turn.Answer, echo(ask, 80))
		if x.delivery != 3 {
			t.Errorf("replied to delivery %d, want 3", x.delivery)
		}
		first.calls(1)
	})
}

// After the last delivery it is told that it was not taken, but also how to find its answer if it was.
func TestAQuestionThatNobodyKnowsOfIsNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(newStore())
		s.fails = func(_ int64, method string) bool { return method == "Begin" }
		b := start(t, setup{store: s, simmed: simmed(difysim.Behaviour{Length: 80})})
		f := b.follower("alice")
		r, ok := f.deliver("1", ask, 3)
		if !ok || r.Kind != turn.Refused || r.Text != busyLine+"\n\n"+more {
			t.Errorf("got %s %q, want the busy line with a link", r.Kind, r.Text)
		}
	})
}

// A question that was refused because nobody knows whether it is recorded is taken back, as soon as that is possible.
func TestARefusedQuestionIsRetracted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var retracted atomic.Int64
		s := sound(newStore())
		s.fails = func(_ int64, method string) bool {
			return method == "Begin" || method == "Retract" && retracted.Add(1) < 5
		}
		b := start(t, setup{store: s, simmed: simmed(difysim.Behaviour{Length: 80})})
		b.follower("alice").Send(ask).want(t, turn.Refused, busyLine)
		<-time.After(time.Minute)
		if n := retracted.Load(); n != 5 {
			t.Errorf("tried %d times, want until the fifth succeeds", n)
		}
	})
}

// While the sessions go from one process to the next, whatever a follower sends is answered by the last delivery at the
// latest, and nothing of it counts as a failure.
func TestSessionsMove_LeftToTheNextDelivery(t *testing.T) {
	for name, c := range map[string]struct {
		method, text string
		kind         turn.Kind
	}{
		"a question":           {"Begin", ask, turn.Answer},
		"a wait for a turn":    {"Turn", ask, turn.Answer},
		"a fetch":              {"Open", "1", turn.Notice},
		"a turn to stop":       {"Cancel", "/stop", turn.Notice},
		"a session to clear":   {"Clear", "/clear", turn.Notice},
		"a question once more": {"Get", "/retry", turn.Notice},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := sound(newStore())
				s.err = fmt.Errorf("standing by: %w", session.ErrElsewhere)
				s.fails = func(_ int64, method string) bool { return method == c.method && time.Since(began) < 8*time.Second }
				b := start(t, setup{store: s, simmed: simmed(difysim.Behaviour{Total: time.Second, Length: 80})})
				if x := b.follower("alice").Send(c.text); x.kind != c.kind {
					t.Errorf("got %s at delivery %d, want %s", x.kind, x.delivery, c.kind)
				}
				if n := b.count("session_store_errors_total"); n != 0 {
					t.Errorf("%v failures of the store were counted", n)
				}
			})
		})
	}
}

// After the last delivery nobody comes back: the follower is told.
func TestTheLastDeliveryIsNotLeftToANextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sound(newStore())
		s.err = session.ErrElsewhere
		s.fails = func(_ int64, method string) bool { return method == "Begin" }
		b := start(t, setup{store: s, simmed: simmed(difysim.Behaviour{Length: 80})})
		x := b.follower("alice").Send(ask)
		x.want(t, turn.Refused, busyLine+"\n\n"+more)
		if x.delivery != 3 {
			t.Errorf("replied to delivery %d, want 3", x.delivery)
		}
	})
}

// losesBegin is a store whose first Begin records the question, but does not return before the delivery is over.
type losesBegin struct {
	session.Store
	begun, retracted atomic.Int64
}

func (s *losesBegin) Begin(ctx context.Context, q session.Question, claim bool, l session.Limits) (session.Begun, error) {
	if s.begun.Add(1) > 1 {
		return s.Store.Begin(ctx, q, claim, l)
	}
	if _, err := s.Store.Begin(ctx, q, false, l); err != nil {
		return session.Begun{}, err
	}
	<-ctx.Done()
	return session.Begun{}, ctx.Err()
}

func (s *losesBegin) Retract(ctx context.Context, k session.Key) error {
	s.retracted.Add(1)
	return s.Store.Retract(ctx, k)
}

// Nobody was told that the question was refused, so it is not taken back.
func TestAQuestionWhoseDeliveryIsCutOffStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &losesBegin{Store: newStore()}
		b := start(t, setup{store: s, simmed: simmed(steady(2*time.Second, 80))})
		f := b.follower("alice")
		f.lose = func(n int) (time.Duration, bool) { return time.Second, n == 1 }
		x := f.Send(ask)
		x.want(t, turn.Answer, echo(ask, 80))
		if n := s.retracted.Load(); n > 0 {
			t.Errorf("it was taken back %d times", n)
		}
		b.calls(1)
	})
}

// A store that takes up to two seconds for each call, and looks at no context, makes no reply late, and no delivery is
// left to time out but out of the budget. Every question is answered in the end.
func TestASlowStoreMakesNoReplyLate(t *testing.T) {
	for name, budget := range map[string]int{"no holds": 0, "some holds": 30} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const followers = 20
				var mu sync.Mutex
				r := rand.New(rand.NewPCG(1, 2))
				s := sound(newStore())
				s.fails = func(int64, string) bool {
					mu.Lock()
					d := time.Duration(r.IntN(2000)) * time.Millisecond
					mu.Unlock()
					time.Sleep(d) // in a bubble
					return false
				}
				b := start(t, setup{store: s, simmed: simmed(steady(7*time.Second, 400)), settings: holds(budget)})
				var held atomic.Int64
				var all sync.WaitGroup
				for i := range followers {
					all.Go(func() {
						f := b.follower(fmt.Sprint("f", i))
						x := f.Send(ask)
						for n := 0; n < 20 && x.kind != turn.Answer; n++ {
							if x.kind == turn.Held {
								held.Add(1)
							}
							time.Sleep(5 * time.Second)
							x = f.Send("1")
						}
						if x.kind != turn.Answer {
							t.Errorf("follower %d: the last reply is %s %q", i, x.kind, x.text)
						}
					})
				}
				all.Wait()
				if budget == 0 && (held.Load() > 0 || b.count("held_deliveries_total") > 0) {
					t.Errorf("%d messages were left alone without a budget", held.Load())
				}
				b.calls(followers)
			})
		})
	}
}

// amnesic is a store that knows nothing of the first turn that is waited for, a second after it was recorded.
type amnesic struct {
	session.Store
	waits int
}

func (s *amnesic) Watch(k session.Key) session.Watch {
	s.waits++
	if s.waits > 1 {
		return s.Store.Watch(k)
	}
	woken := make(chan struct{})
	timer := time.AfterFunc(time.Second, func() { close(woken) })
	return session.Watch{
		Woken: woken,
		Ended: func() *session.Turn { return &session.Turn{Key: k, State: session.Cancelled} },
		Stop:  func() { timer.Stop() },
	}
}

// A question whose turn the store has lost while its delivery waits is recorded again, and answered.
func TestALostTurnIsRecordedAgain(t *testing.T) {
	for name, push := range map[string]bool{"reply": false, "push": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := setup{store: &amnesic{Store: newStore()}, simmed: simmed(steady(3*time.Second, 80))}
				if push {
					o.pusher, o.settings = newPhone(), pushing(4)
				}
				b := start(t, o)
				f := b.follower("alice")
				f.Send(ask).want(t, turn.Answer, echo(ask, 80))
			})
		})
	}
}

// One that was cleared meanwhile is known to be gone: it is not asked again.
func TestAClearedTurnIsNotRecordedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(steady(3*time.Second, 80))})
		f := b.follower("alice")
		first := f.Begin(ask)
		<-time.After(time.Second)
		f.Send("/clear")
		(<-first).want(t, turn.Silent, "")
		<-time.After(time.Minute)
		if n := b.sim.Calls(); len(n) != 1 {
			t.Errorf("Dify was asked %d times, want once", len(n))
		}
	})
}
