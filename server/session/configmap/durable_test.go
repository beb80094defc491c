package configmap

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
)

var limits = session.Limits{Concurrency: 100, Queue: 100, Open: 5}

// on opens a store on an API server of this package.
func on(t testing.TB, a *api) *Store {
	t.Helper()
	return open(t, Options{API: a.client(), Namespace: namespace, Name: "s"}, sessionOptions())
}

// begin hands in a question that must be started and, if it may be claimed, returns the right to work on it.
func begin(t testing.TB, s *Store, claim bool, follower, id string) *session.Lease {
	t.Helper()
	q := session.Question{Key: session.Key{Follower: follower, ID: id}, Text: "question " + id}
	b, err := s.Begin(t.Context(), q, claim, limits)
	if err != nil || b.Verdict != session.Started || (b.Lease != nil) != claim {
		t.Fatalf("Begin: %+v, %v", b, err)
	}
	return b.Lease
}

func finish(t testing.TB, s *Store, l *session.Lease, answer string) {
	t.Helper()
	o := session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: answer}, ConversationID: "conversation"}
	if err := s.Finish(t.Context(), l, o); err != nil {
		t.Fatal(err)
	}
}

func look(t testing.TB, s *Store, follower string) session.Session {
	t.Helper()
	got, err := s.Get(t.Context(), follower)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// nextOf claims a turn.
func nextOf(s *Store, ctx context.Context, l session.Limits) (*session.Lease, error) { //nolint:revive // as the store's method
	c, err := s.Next(ctx, l)
	return c.Lease, err
}

// inMemory is what a store has of a follower, also after it was closed.
func inMemory(t testing.TB, s *Store, follower string) session.Session {
	t.Helper()
	got, err := records.New(s.port.memory, "test").Get(t.Context(), follower)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// sameTime is how exactly times are stored.
var sameTime = cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() < time.Millisecond })

func TestWhatIsClosedIsFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		strict := limits
		strict.Questions, strict.Window = 3, time.Hour
		for _, id := range []string{"1", "2", "3"} {
			q := session.Question{Key: session.Key{Follower: "alice", ID: id}, Text: "问题 <" + id + ">"}
			if b, err := s.Begin(t.Context(), q, true, strict); err != nil || b.Verdict != session.Started {
				t.Fatal(b, err)
			}
		}
		l := begin(t, s, true, "bob", "1")
		if err := s.Progress(t.Context(), l, session.Progress{Markdown: "half", ConversationID: "c"}); err != nil {
			t.Fatal(err)
		}
		finish(t, s, l, "an answer & more")
		r := session.Receipt{Message: "1", Turn: "1", To: session.Cursor{At: 5, Sum: 1<<64 - 1}}
		if err := s.Show(t.Context(), "bob", r); err != nil {
			t.Fatal(err)
		}
		running := begin(t, s, true, "bob", "2")
		if err := s.Progress(t.Context(), running, session.Progress{Markdown: "so far"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(t.Context(), session.Key{Follower: "carol", ID: "hello"}); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Cancel(t.Context(), session.Key{Follower: "bob", ID: "stop"}); !ok || err != nil {
			t.Fatal(ok, err)
		}
		closeStore(t, s)

		again := on(t, a)
		for _, follower := range []string{"alice", "bob", "carol"} {
			if diff := cmp.Diff(inMemory(t, s, follower), look(t, again, follower), sameTime); diff != "" {
				t.Errorf("%s (-before +after):\n%s", follower, diff)
			}
		}
		if b, err := again.Begin(t.Context(), session.Question{Key: session.Key{Follower: "bob", ID: "1"}}, true, limits); err != nil ||
			b.Verdict != session.Joined || b.Delivery != 2 || cmp.Diff(&r, b.Receipt) != "" {
			t.Errorf("delivered again: %+v, %v; want delivery 2 of a known question, with receipt", b, err)
		}
		if o, err := again.Open(t.Context(), session.Key{Follower: "carol", ID: "hello"}); err != nil || o.Delivery != 2 {
			t.Errorf("opened again: %+v, %v; want delivery 2", o, err)
		}
		if turn, ok, err := again.Cancel(t.Context(), session.Key{Follower: "bob", ID: "stop"}); !ok || turn.Key.ID != "2" || turn.Answer.Markdown != "so far" || err != nil {
			t.Errorf("cancelled again: %+v, %v, %v; want turn 2 as before", turn, ok, err)
		}
		q := session.Question{Key: session.Key{Follower: "alice", ID: "4"}}
		if b, err := again.Begin(t.Context(), q, true, strict); err != nil || b.Verdict != session.RateLimited {
			t.Errorf("a fourth question: %+v, %v; want it to be limited as before", b, err)
		}
	})
}

// Whoever is killed leaves every question that was accepted, in their order, to be worked on at once.
func TestKilledProcessLeavesItsQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		dead := begin(t, s, true, "alice", "1")
		begin(t, s, false, "alice", "2")
		begin(t, s, false, "bob", "1")
		drop(s)

		s = on(t, a)
		one := limits
		one.Concurrency = 1
		for _, want := range []session.Key{{Follower: "alice", ID: "1"}, {Follower: "alice", ID: "2"}, {Follower: "bob", ID: "1"}} {
			l, err := nextOf(s, t.Context(), one)
			if err != nil || l.Turn.Key != want || l.Turn.Question != "question "+want.ID {
				t.Fatalf("Next: %+v, %v; want %v", l, err, want)
			}
			if l.Fence <= dead.Fence {
				t.Errorf("fence %d after %d", l.Fence, dead.Fence)
			}
			if want == dead.Turn.Key && l.Turn.Attempts != 2 {
				t.Errorf("attempt %d, want 2", l.Turn.Attempts)
			}
			finish(t, s, l, "answer")
		}
		if err := s.Finish(t.Context(), dead, session.Outcome{State: session.Answered}); !errors.Is(err, session.ErrLeaseLost) {
			t.Errorf("the dead owner's lease: %v", err)
		}
	})
}

// What is not waited for is durable a second later nevertheless, and what streams in causes no write.
func TestWrittenBehindWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		l := begin(t, s, true, "alice", "1")
		time.Sleep(time.Minute / 2) // in a bubble this is how the clock is set forward
		before, _ := a.writes()
		for range 20 {
			time.Sleep(defaultInterval)
			if err := s.Progress(t.Context(), l, session.Progress{Markdown: "half"}); err != nil {
				t.Fatal(err)
			}
		}
		if after, _ := a.writes(); after != before {
			t.Errorf("%d writes for what has streamed in", after-before)
		}
		finish(t, s, l, "answer")
		if err := s.Show(t.Context(), "alice", session.Receipt{Message: "1", Turn: "1", To: session.Cursor{At: 6}, End: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if after, _ := a.writes(); after != before+1 {
			t.Errorf("%d writes for the end and its delivery, want 1", after-before)
		}
		drop(s)
		if got := look(t, on(t, a), "alice").Turns[0]; got.Answer.Markdown != "answer" || !got.Delivered {
			t.Errorf("turn %+v", got)
		}
	})
}

func TestForgottenIsGoneFromTheAPIServerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		finish(t, s, begin(t, s, true, "alice", "1"), "answer")
		if c, err := s.Forget(t.Context(), "alice"); c != "conversation" || err != nil {
			t.Fatal(c, err)
		}
		if c, err := s.Forget(t.Context(), "a stranger"); c != "" || err != nil {
			t.Fatal(c, err)
		}
		drop(s)
		for name, o := range a.copies() {
			if len(o.BinaryData) > 0 {
				t.Errorf("%s still has %d blocks", name, len(o.BinaryData))
			}
		}
	})
}

func TestIdleSessionsLeaveTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		finish(t, s, begin(t, s, true, "alice", "1"), "answer")
		ctx, cancel := context.WithTimeout(t.Context(), sessionOptions().IdleTimeout+time.Minute)
		defer cancel()
		if _, err := s.Next(ctx, limits); !errors.Is(err, context.DeadlineExceeded) { // as the engine does all the time
			t.Fatal(err)
		}
		for name, o := range a.copies() {
			if len(o.BinaryData) > 0 {
				t.Errorf("%s still has %d blocks", name, len(o.BinaryData))
			}
		}
	})
}

// The first delivery's caller goes away before the question is durable; the second one waits for it and finds it
// accepted, for whoever asks for work.
func TestAnotherDeliveryWaitsForTheSameWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		begin(t, s, false, "alice", "0")
		a.breaks(unreachable)
		q := session.Question{Key: session.Key{Follower: "alice", ID: "1"}, Text: "question"}
		first, leave := context.WithCancel(t.Context())
		results := make(chan error, 2)
		go func() {
			_, err := s.Begin(first, q, true, limits)
			results <- err
		}()
		synctest.Wait()
		second := make(chan session.Begun, 1)
		go func() {
			b, err := s.Begin(t.Context(), q, true, limits)
			results <- err
			second <- b
		}()
		synctest.Wait()
		leave()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("the delivery that went away: %v", err)
		}
		a.breaks(nil)
		if err := <-results; err != nil {
			t.Fatal(err)
		}
		if b := <-second; b.Verdict != session.Joined || b.Delivery != 2 {
			t.Errorf("the second delivery: %+v", b)
		}
		drop(s)
		if got := look(t, on(t, a), "alice").Turns; len(got) != 2 || got[1].State.Over() {
			t.Errorf("turns %+v, want both", got)
		}
	})
}

// Whatever is done, and whenever the process is killed: what Begin has accepted and nobody has cancelled is there, and
// what was closed properly is there as it was.
func TestNothingAcceptedIsLost(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var stop any
		synctest.Test(t, func(t *testing.T) {
			defer func() { stop = recover() }() // rapid's way to end, which has to get out of the bubble
			nothingAcceptedIsLost(t, r)
		})
		if stop != nil {
			panic(stop)
		}
	})
}

func nothingAcceptedIsLost(t *testing.T, r *rapid.T) {
	a := newAPI()
	o := sessionOptions()
	o.History = 100 // so that a turn goes only if it is cleared or forgotten
	reopen := func() *Store {
		s := open(t, Options{API: a.client(), Namespace: namespace, Name: "s"}, o)
		if err := s.Ping(t.Context()); err != nil {
			r.Fatal(err)
		}
		return s
	}
	s := reopen()
	accepted := map[session.Key]bool{}
	var leases []*session.Lease
	follower := func() string { return fmt.Sprint("follower", rapid.IntRange(1, 5).Draw(r, "follower")) }
	forget := func(f string) {
		for k := range accepted {
			if k.Follower == f {
				delete(accepted, k)
			}
		}
	}
	must := func(err error) {
		if err != nil && !errors.Is(err, session.ErrLeaseLost) {
			r.Fatal(err)
		}
	}
	id := 0
	key := func() session.Key {
		id++
		return session.Key{Follower: follower(), ID: strconv.Itoa(id)}
	}
	there := func() {
		for k := range accepted {
			if turn, err := s.Turn(t.Context(), k); err != nil || turn.State == session.Cancelled || turn.Question == "" {
				r.Fatalf("an accepted question is %v: %v", turn.State, err)
			}
		}
	}
	r.Repeat(map[string]func(*rapid.T){
		"begin": func(*rapid.T) {
			k := key()
			b, err := s.Begin(t.Context(), session.Question{Key: k, Text: strings.Repeat("问", id)}, rapid.Bool().Draw(r, "claims"), limits)
			if err == nil && b.Verdict == session.Started { // an error is a request that still hangs from before
				accepted[k] = true
			}
			if b.Lease != nil {
				leases = append(leases, b.Lease)
			}
		},
		"begin in vain": func(*rapid.T) {
			a.breaks(rapid.SampledFrom([]fault{unreachable, silent, deaf}).Draw(r, "fault"))
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rapid.IntRange(0, 1000).Draw(r, "ms"))*time.Millisecond)
			defer cancel()
			q := session.Question{Key: key(), Text: "lost"}
			if b, err := s.Begin(ctx, q, true, limits); err == nil && b.Verdict == session.Started {
				r.Fatal("begun without an API server")
			}
			a.breaks(nil)
		},
		"finish": func(*rapid.T) {
			if len(leases) > 0 {
				l := leases[len(leases)-1]
				leases = leases[:len(leases)-1]
				must(s.Finish(t.Context(), l, session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "answer"}, ConversationID: l.Turn.Key.ID}))
			}
		},
		"clear": func(*rapid.T) {
			k := key()
			_, err := s.Clear(t.Context(), k)
			must(err)
			forget(k.Follower)
		},
		"forget": func(*rapid.T) {
			f := follower()
			_, err := s.Forget(t.Context(), f)
			must(err)
			forget(f)
		},
		"time passes": func(*rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(0, 1000).Draw(r, "ms")) * time.Millisecond) // in a bubble
		},
		"killed": func(*rapid.T) {
			drop(s)
			s = reopen()
			there()
		},
		"closed": func(*rapid.T) {
			closeStore(t, s)
			old := s
			s = reopen()
			for i := range 5 {
				f := fmt.Sprint("follower", i+1)
				if diff := cmp.Diff(inMemory(t, old, f), look(t, s, f), sameTime); diff != "" {
					r.Fatalf("-before +after:\n%s", diff)
				}
			}
		},
		"": func(*rapid.T) { there() },
	})
}

// ended is a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
