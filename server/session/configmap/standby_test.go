package configmap

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
)

// successor is the store of the pod that a rolling update starts next.
func successor(t testing.TB, a *api) *Store { return inPod(t, a, "next-pod") }

// inPod is the store of a pod of this name; the address of its webhook is that, too.
func inPod(t testing.TB, a *api, pod string) *Store {
	return open(t, Options{API: a.client(), Namespace: namespace, Name: "s", Identity: pod, Address: pod + ":8080"}, sessionOptions())
}

// standing waits until a store stands by: it is ready, and has no sessions.
func standing(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("it is not ready: %v", err)
	}
	_, err := s.Begin(t.Context(), session.Question{Key: session.Key{Follower: "alice", ID: "early"}, Text: "question"}, true, limits)
	if !errors.Is(err, session.ErrElsewhere) {
		t.Fatalf("Begin: %v, want it to be elsewhere", err)
	}
}

// In a rolling update nobody else writes while the predecessor finishes, and nobody waits longer than that.
func TestStandby_UntilThePreviousOwnerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		left := begin(t, old, true, "alice", "1")
		next := successor(t, a)
		standing(t, next)

		finish(t, old, begin(t, old, true, "bob", "1"), "answer") // it goes on as if nothing were
		if err := old.Release(t.Context(), left); err != nil {
			t.Fatal(err)
		}
		closed := time.Now()
		closeStore(t, old)
		l, err := nextOf(next, t.Context(), limits)
		if err != nil || l.Turn.Key != left.Turn.Key {
			t.Fatalf("the next process' work: %+v, %v", l, err)
		}
		if took := time.Since(closed); took > standByLook+time.Second {
			t.Errorf("it has the sessions %v after its predecessor has closed them", took)
		}
		if got := look(t, next, "bob").Turns; len(got) != 1 || got[0].Answer.Markdown != "answer" {
			t.Errorf("turns %+v", got)
		}
		begin(t, next, false, "alice", "early") // its delivery came too soon, the next one does not
	})
}

// Where there are more pods than one, the sessions stay with who has them for as long as it answers. When it does not, the
// next one takes them, and the one before is told to end.
func TestStandby_OwnerThatLivesKeepsTheSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		first := successor(t, a)
		if err := first.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		var dead atomic.Bool
		var mu sync.Mutex
		asked := make(map[string]int)
		second := open(t, Options{
			API: a.client(), Namespace: namespace, Name: "s", Identity: "second-pod", Address: "second-pod:8080",
			Alive: func(_ context.Context, identity, address string) bool {
				mu.Lock()
				defer mu.Unlock()
				asked[identity+" "+address]++
				return !dead.Load()
			},
		}, sessionOptions())
		for range 10 {
			time.Sleep(2 * standByFor)
			standing(t, second)
			finish(t, first, begin(t, first, true, "bob", rand.Text()), "answer")
		}
		mu.Lock()
		if n := asked[first.Identity()+" next-pod:8080"]; n < 10 || len(asked) != 1 {
			t.Errorf("asked %v: want often, and the owner only", asked)
		}
		mu.Unlock()
		select {
		case <-first.Superseded():
			t.Fatal("the owner was superseded while it answered")
		default:
		}
		dead.Store(true)
		time.Sleep(2 * standByFor)
		begin(t, second, true, "alice", "1")
		q := session.Question{Key: session.Key{Follower: "carol", ID: "1"}, Text: "question"}
		if _, err := first.Begin(t.Context(), q, true, limits); !errors.Is(err, ErrSuperseded) { // it finds out when it writes
			t.Errorf("the owner before: %v", err)
		}
		<-first.Superseded()
	})
}

// A call that waits goes on as soon as the sessions are there.
func TestACallWaitsForThePredecessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		if err := old.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := successor(t, a)
		begun := make(chan error)
		go func() {
			_, err := next.Begin(t.Context(), session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "question"}, true, limits)
			begun <- err
		}()
		time.Sleep(time.Second) // in a bubble
		closeStore(t, old)
		if err := <-begun; err != nil {
			t.Error(err)
		}
	})
}

// A predecessor that has died never says that it has stopped.
func TestTakeover_PreviousOwnerIsDead(t *testing.T) {
	for name, die := range map[string]func(*api, *Store){
		"killed": func(_ *api, old *Store) { drop(old) },
		"hangs":  func(*api, *Store) {},
		"killed, and the API server is away for a while": func(a *api, old *Store) {
			drop(old)
			a.breaks(unreachable)
			time.AfterFunc(standByFor/2, func() { a.breaks(nil) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				old := on(t, a)
				running := begin(t, old, true, "alice", "1")
				next := successor(t, a)
				standing(t, next)
				began := time.Now()
				die(a, old)
				l, err := nextOf(next, t.Context(), limits)
				if err != nil || l.Turn.Key != running.Turn.Key {
					t.Fatalf("the next process' work: %+v, %v", l, err)
				}
				if took := time.Since(began); took > standByFor {
					t.Errorf("it took %v", took)
				}
				if name == "hangs" {
					time.Sleep(2 * contactAge) // in a bubble
					if err := old.Ping(t.Context()); !errors.Is(err, session.ErrElsewhere) {
						t.Errorf("Ping: %v", err)
					}
					wantSuperseded(t, old, running)
				}
			})
		})
	}
}

// The predecessor in the same pod is dead: it was a process of the same container.
func TestARestartedContainerDoesNotStandBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		begin(t, old, true, "alice", "1")
		drop(old)
		began := time.Now()
		if _, err := on(t, a).Next(t.Context(), limits); err != nil || time.Since(began) > time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Of rollouts in quick succession the last one's process gets the sessions, and no other: one that has been told to stop
// would only hold everybody up.
func TestWhoResignsTakesNothingOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		begin(t, old, false, "alice", "1")
		between := successor(t, a)
		standing(t, between)
		next := inPod(t, a, "last-pod")
		standing(t, next)
		between.StepDown()
		began := time.Now()
		if _, err := between.Get(t.Context(), "alice"); !errors.Is(err, session.ErrElsewhere) || time.Since(began) > standByLook {
			t.Errorf("a call after it has resigned: %v after %v", err, time.Since(began))
		}
		closeStore(t, old)
		if got := look(t, next, "alice").Turns; len(got) != 1 {
			t.Errorf("turns %+v", got)
		}
		closeStore(t, between)
		if err := next.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Without the API server too: it does not go on trying.
func TestResignsWhileItCannotLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		a.breaks(unreachable)
		s := on(t, a)
		if err := s.Ping(t.Context()); err == nil {
			t.Fatal("it is ready")
		}
		s.StepDown()
		time.Sleep(longestPause) // in a bubble
		a.breaks(nil)
		time.Sleep(time.Minute)
		if patches, _ := a.writes(); patches > 0 {
			t.Errorf("it has written %d times", patches)
		}
	})
}

// Who has the sessions keeps them until it closes the store.
func TestAnOwnerThatResignsGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := on(t, newAPI())
		l := begin(t, s, true, "alice", "1")
		s.StepDown()
		finish(t, s, l, "answer")
		closeStore(t, s)
	})
}

// A successor that is stopped before its turn has come leaves everything as it is.
func TestStopsWhileItStandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		finish(t, old, begin(t, old, true, "alice", "1"), "answer")
		time.Sleep(time.Second) // in a bubble: all is written
		next := successor(t, a)
		standing(t, next)
		before := a.copies()
		closeStore(t, next)
		if diff := cmp.Diff(before, a.copies()); diff != "" {
			t.Errorf("it has written:\n%s", diff)
		}
		begin(t, old, true, "alice", "2")
	})
}

// What stands by is not ready if it could not take the sessions over: else it would replace one that can.
func TestWhoCannotReadDoesNotStandBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		begin(t, on(t, a), true, "alice", "1")
		a.change(Names("s")[3], func(c *kubeapi.ConfigMap) {
			c.BinaryData = map[string][]byte{blockKey(0): []byte("damaged")}
		})
		if err := successor(t, a).Ping(t.Context()); err == nil {
			t.Error("it is ready")
		}
	})
}

// Labels that somebody adds at the last moment do not keep the sessions from being given up.
func TestReleasesWhatOthersHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		begin(t, old, false, "alice", "1")
		time.Sleep(time.Second) // in a bubble
		a.change(Names("s")[0], func(c *kubeapi.ConfigMap) { c.Metadata.Annotations["other"] = "x" })
		closeStore(t, old)
		began := time.Now()
		if got := look(t, successor(t, a), "alice").Turns; len(got) != 1 || time.Since(began) > time.Second {
			t.Errorf("turns %+v after %v", got, time.Since(began))
		}
	})
}

// Whoever has not got the sessions knows who has, and where: before its turn has come, and after it is over.
func TestTellsWhereTheSessionsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		want := func(when string, s, owner *Store, address string) {
			t.Helper()
			var identity string
			if owner != nil {
				identity = owner.Identity()
			}
			if gotIdentity, gotAddress := s.Elsewhere(); gotIdentity != identity || gotAddress != address {
				t.Errorf("%s: it says %q at %q, want %q at %q", when, gotIdentity, gotAddress, identity, address)
			}
		}
		old := inPod(t, a, "old")
		running := begin(t, old, true, "alice", "1")
		want("the owner", old, nil, "")
		between, last := inPod(t, a, "between"), inPod(t, a, "last")
		standing(t, between)
		standing(t, last)
		want("stands by", between, old, "old:8080")
		last.StepDown()
		synctest.Wait()
		want("has resigned", last, old, "old:8080")
		if _, err := between.Next(t.Context(), limits); err != nil { // the old one does not close it
			t.Fatal(err)
		}
		want("the owner", between, nil, "")
		time.Sleep(2 * contactAge) // in a bubble
		if err := old.Ping(t.Context()); !errors.Is(err, session.ErrElsewhere) {
			t.Errorf("Ping: %v", err)
		}
		wantSuperseded(t, old, running)
		want("is superseded", old, between, "between:8080")
	})
}

// Each process that has the sessions has its time to end, also if another one had them before it while somebody stood by.
func TestStandsByForEachOwnerAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		old := on(t, a)
		begin(t, old, false, "alice", "1")
		between := successor(t, a)
		standing(t, between)
		last := inPod(t, a, "last-pod")
		standing(t, last)
		time.Sleep(standByFor - 10*time.Second) // in a bubble
		closeStore(t, old)
		time.Sleep(time.Second)
		owner, waits := between, last
		if identity, _ := owner.Elsewhere(); identity != "" { // the last one was faster
			owner, waits = waits, owner
		}
		time.Sleep(standByFor - 2*time.Second)
		if got := look(t, owner, "alice").Turns; len(got) != 1 {
			t.Errorf("turns %+v", got)
		}
		if identity, _ := waits.Elsewhere(); identity != owner.Identity() {
			t.Errorf("it stands by for %q", identity)
		}
	})
}
