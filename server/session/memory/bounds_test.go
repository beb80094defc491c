package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

var limits = session.Limits{Concurrency: 5, Queue: 20, Open: 3}

func options() session.Options {
	return session.Options{IdleTimeout: time.Hour, History: 3, LeaseTTL: time.Minute}
}

// problems says what is wrong inside the store: everything that is counted or linked must agree with what is there.
func (s *Store) problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	want := func(what string, got, want any) {
		if got != want {
			found = append(found, fmt.Sprintf("%s: %v, want %v", what, got, want))
		}
	}
	var bytes int64
	turns, open, leases, ready, idle := 0, 0, 0, 0, 0
	for openid, f := range s.followers {
		weight := followerWeight + int64(len(openid)+len(f.conversation))
		mine, past, turnless := 0, 0, 0
		for _, t := range f.turns {
			weight += t.weight()
			if t.State.Over() {
				past++
			} else {
				mine++
			}
			if t.lease != nil {
				leases++
				want("leased turn is the head", t, f.head())
			}
			if m := f.message(t.Key.ID); m == nil || m.turn != t {
				found = append(found, "a turn without its message")
			}
		}
		for i := range f.messages {
			weight += f.messages[i].weight()
			if f.messages[i].turn == nil {
				turnless++
			}
		}
		want("bytes of "+openid, f.bytes, weight)
		want("open of "+openid, f.open, mine)
		want("turnless of "+openid, f.turnless, turnless)
		if past > s.history || turnless > maxMessages {
			found = append(found, fmt.Sprintf("%s has %d turns over, %d messages", openid, past, turnless))
		}
		if mine == 0 {
			idle++
		}
		h := f.head()
		if h != nil && h.lease == nil && !h.unsettled {
			ready++
			if f.ready < 0 || s.ready[f.ready] != f || f.order != h.order {
				found = append(found, openid+" is not rightly among the ready")
			}
		} else {
			want("index among the ready of "+openid, f.ready, -1)
		}
		bytes += weight
		turns += len(f.turns)
		open += mine
	}
	want("bytes", s.bytes, bytes)
	want("turns", s.turns, turns)
	want("open", s.open, open)
	want("leases", s.leases.Len(), leases)
	want("ready", len(s.ready), ready)
	want("idle", s.idle.Len(), idle)
	want("busy", s.busy.Len(), len(s.followers)-idle)
	var ends time.Time
	for e := s.leases.Front(); e != nil; e = e.Next() {
		if leaseAt(e).expires.Before(ends) {
			found = append(found, "the leases are out of order")
		}
		ends = leaseAt(e).expires
	}
	var last time.Time
	for e := s.idle.Front(); e != nil; e = e.Next() {
		f := followerAt(e)
		if f.active.Before(last) {
			found = append(found, "the idle are out of order")
		}
		last = f.active
	}
	if s.bytes > s.maxBytes && (s.idle.Len() > 0 || s.turns > s.open) {
		found = append(found, fmt.Sprintf("%d bytes of %d, with something dispensable left", s.bytes, s.maxBytes))
	}
	if len(s.grave.young) > maxBuried || len(s.grave.old) > maxBuried {
		found = append(found, "too many buried")
	}
	return found
}

// Whatever is called in whatever order while time passes and bytes are short, nothing in the store comes apart.
func TestStaysConsistent(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		// A bubble for each, as rapid would take the time that passes in one for its own. It stops by panicking, which
		// has to get out of the bubble.
		var stop any
		synctest.Test(t, func(*testing.T) {
			defer func() { stop = recover() }()
			stayConsistent(r)
		})
		if stop != nil {
			panic(stop)
		}
	})
}

func stayConsistent(r *rapid.T) {
	ctx := context.Background()
	s := New(options(), rapid.SampledFrom([]int64{2_000, 10_000, 1 << 30}).Draw(r, "bytes"))
	var leases []*session.Lease
	follower := func() string { return fmt.Sprint("follower", rapid.IntRange(1, 6).Draw(r, "follower")) }
	key := func() session.Key {
		return session.Key{Follower: follower(), ID: strconv.Itoa(rapid.IntRange(1, 60).Draw(r, "id"))}
	}
	text := func() string { return strings.Repeat("字", rapid.IntRange(0, 200).Draw(r, "length")) }
	must := func(err error) {
		if err != nil && !errors.Is(err, session.ErrLeaseLost) {
			r.Fatal(err)
		}
	}
	keep := func(l *session.Lease) {
		if l != nil {
			leases = append(leases, l)
		}
	}
	withLease := func(use func(*session.Lease) error) func(*rapid.T) {
		return func(*rapid.T) {
			if len(leases) > 0 {
				must(use(leases[rapid.IntRange(0, len(leases)-1).Draw(r, "lease")]))
			}
		}
	}
	r.Repeat(map[string]func(*rapid.T){
		"begin": func(*rapid.T) {
			b, err := s.Begin(ctx, session.Question{Key: key(), Text: text()}, "a", limits)
			must(err)
			keep(b.Lease)
		},
		"next": func(*rapid.T) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			l, err := s.Next(ctx, "b", limits)
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				r.Fatal(err)
			}
			keep(l)
		},
		"progress": withLease(func(l *session.Lease) error {
			return s.Progress(ctx, l, session.Progress{Partial: text(), ConversationID: text()})
		}),
		"finish": withLease(func(l *session.Lease) error {
			return s.Finish(ctx, l, session.Outcome{State: session.Answered, Answer: text(), ConversationID: text()})
		}),
		"release": withLease(func(l *session.Lease) error { return s.Release(ctx, l) }),
		"open":    func(*rapid.T) { _, err := s.Open(ctx, key()); must(err) },
		"cancel":  func(*rapid.T) { _, _, err := s.Cancel(ctx, key()); must(err) },
		"clear":   func(*rapid.T) { _, err := s.Clear(ctx, key()); must(err) },
		"forget":  func(*rapid.T) { _, err := s.Forget(ctx, follower()); must(err) },
		"delivered": func(*rapid.T) {
			k := key()
			must(s.Delivered(ctx, k.Follower, session.Receipt{Message: key().ID, Turn: k.ID, To: 1, Told: true}))
		},
		"time passes": func(*rapid.T) {
			// In a bubble this is how the clock is set forward.
			time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, 40 * time.Second, 61 * time.Minute}).Draw(r, "time"))
		},
		"": func(r *rapid.T) {
			if p := s.problems(); len(p) > 0 {
				r.Fatal(strings.Join(p, "\n"))
			}
		},
	})
}

// answered begins and answers a question of a follower.
func answered(t *testing.T, s *Store, follower, id, answer string) {
	t.Helper()
	k := session.Key{Follower: follower, ID: id}
	b, err := s.Begin(t.Context(), session.Question{Key: k, Text: "question"}, "a", limits)
	if err != nil || b.Lease == nil {
		t.Fatalf("Begin: %+v, %v", b, err)
	}
	if err := s.Finish(t.Context(), b.Lease, session.Outcome{State: session.Answered, Answer: answer}); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, s *Store, follower, id string) bool {
	t.Helper()
	snap, err := s.Look(t.Context(), follower)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(snap.Turns, func(turn session.Turn) bool { return turn.Key.ID == id })
}

func TestForgetsLeastActiveForBytes(t *testing.T) {
	const each = 100_000
	s := New(options(), 3*(each+2000))
	for _, f := range []string{"alice", "bob", "carol"} {
		answered(t, s, f, "1", strings.Repeat("x", each))
	}
	if _, err := s.Open(t.Context(), session.Key{Follower: "alice", ID: "2"}); err != nil { // alice is active once more
		t.Fatal(err)
	}
	answered(t, s, "dave", "1", strings.Repeat("x", each))
	for f, want := range map[string]bool{"alice": true, "bob": false, "carol": true, "dave": true} {
		if got := has(t, s, f, "1"); got != want {
			t.Errorf("%s is remembered: %v, want %v", f, got, want)
		}
	}
	b, err := s.Begin(t.Context(), session.Question{Key: session.Key{Follower: "bob", ID: "1"}}, "a", limits)
	if err != nil || b.Verdict != session.Gone || b.Delivery != 2 {
		t.Errorf("a delivery of what was forgotten for bytes: %+v, %v", b, err)
	}
}

func TestForgetsToldTurnsOfTheBusyForBytes(t *testing.T) {
	const each = 100_000
	s := New(options(), 3*each+4000)
	answered(t, s, "alice", "1", strings.Repeat("x", each))
	answered(t, s, "alice", "2", strings.Repeat("x", each))
	if err := s.Delivered(t.Context(), "alice", session.Receipt{Message: "2", Turn: "2", To: each, Told: true}); err != nil {
		t.Fatal(err)
	}
	begin := func(id string) session.Begun {
		t.Helper()
		q := session.Question{Key: session.Key{Follower: "alice", ID: id}, Text: strings.Repeat("x", each)}
		b, err := s.Begin(t.Context(), q, "a", limits)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, step := range []struct {
		begin   string
		verdict session.Verdict
		kept    string
	}{
		{"3", session.Started, "123"}, // all of it fits
		{"4", session.Started, "134"}, // told goes first
		{"5", session.Started, "345"}, // then what is over
	} {
		if got := begin(step.begin).Verdict; got != step.verdict {
			t.Fatalf("Begin %s: verdict %d, want %d", step.begin, got, step.verdict)
		}
		snap, err := s.Look(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, turn := range snap.Turns {
			ids = append(ids, turn.Key.ID)
		}
		if kept := strings.Join(ids, ""); kept != step.kept {
			t.Fatalf("after Begin %s: turns %s kept, want %s", step.begin, kept, step.kept)
		}
	}
}

func TestIsBusyWhenOpenTurnsFillTheBytes(t *testing.T) {
	s := New(options(), 1000)
	var lease *session.Lease
	for _, step := range []struct {
		follower string
		want     session.Verdict
	}{{"alice", session.Started}, {"bob", session.Busy}} {
		q := session.Question{Key: session.Key{Follower: step.follower, ID: "1"}, Text: strings.Repeat("x", 1000)}
		b, err := s.Begin(t.Context(), q, "a", limits)
		if err != nil || b.Verdict != step.want {
			t.Fatalf("%s: verdict %d, %v; want %d", step.follower, b.Verdict, err, step.want)
		}
		if b.Lease != nil {
			lease = b.Lease
		}
	}
	if err := s.Finish(t.Context(), lease, session.Outcome{State: session.Answered, Answer: "x"}); err != nil {
		t.Fatalf("what was begun cannot be finished: %v", err)
	}
}

// A waiter gets the answer also when the session is forgotten for its bytes in the same step.
func TestWaiterGetsAnswerThatIsTooLargeToKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(options(), 5000)
		k := session.Key{Follower: "alice", ID: "1"}
		b, err := s.Begin(t.Context(), session.Question{Key: k}, "a", limits)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan session.Turn)
		go func() {
			turn, err := s.Await(t.Context(), k)
			if err != nil {
				t.Error(err)
			}
			got <- turn
		}()
		synctest.Wait()
		answer := strings.Repeat("x", 10_000)
		if err := s.Finish(t.Context(), b.Lease, session.Outcome{State: session.Answered, Answer: answer}); err != nil {
			t.Fatal(err)
		}
		if turn := <-got; turn.State != session.Answered || turn.Answer != answer {
			t.Errorf("state %v and %d bytes, want the answer", turn.State, len(turn.Answer))
		}
		if has(t, s, "alice", "1") {
			t.Error("kept what is larger than all there is")
		}
	})
}

func TestMessagesOfAFollowerAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(options(), 1<<30)
		open := func(id int) int {
			t.Helper()
			o, err := s.Open(t.Context(), session.Key{Follower: "alice", ID: strconv.Itoa(id)})
			if err != nil {
				t.Fatal(err)
			}
			return o.Delivery
		}
		for i := range 2 * maxMessages {
			open(i)
		}
		if got := len(s.followers["alice"].messages); got != maxMessages {
			t.Errorf("%d messages of a minute kept, want %d", got, maxMessages)
		}
		time.Sleep(session.Dedupe) // in a bubble this is how the clock is set forward
		open(-1)
		if got := len(s.followers["alice"].messages); got != keptMessages {
			t.Errorf("%d messages kept after a minute, want %d", got, keptMessages)
		}
		if got := open(2*maxMessages - 1); got != 2 {
			t.Errorf("the youngest but one is delivered for time %d, want 2", got)
		}
		if p := s.problems(); len(p) > 0 {
			t.Error(p)
		}
	})
}

func TestGraveForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(options(), 1).grave
		k := session.Key{Follower: "alice", ID: "1"}
		g.bury(time.Now(), k, 3)
		for want := 4; want <= 5; want++ {
			time.Sleep(session.Dedupe/2 - 1)
			if got := g.visit(time.Now(), k); got != want {
				t.Fatalf("visit counts %d, want %d", got, want)
			}
		}
		if got := g.visit(time.Now(), session.Key{Follower: "bob", ID: "1"}); got != 0 {
			t.Errorf("another's message is buried, visit %d", got)
		}
		time.Sleep(2 * session.Dedupe)
		if got := g.visit(time.Now(), k); got != 0 {
			t.Errorf("still buried, visit %d", got)
		}
		for i := range 3 * maxBuried {
			g.bury(time.Now(), session.Key{Follower: "alice", ID: strconv.Itoa(i)}, 1)
		}
		if len(g.young)+len(g.old) > 2*maxBuried {
			t.Errorf("%d and %d buried", len(g.young), len(g.old))
		}
		if got := g.visit(time.Now(), session.Key{Follower: "alice", ID: strconv.Itoa(3*maxBuried - 1)}); got != 2 {
			t.Errorf("the last one buried counts %d, want 2", got)
		}
	})
}

// What time does is done for whoever waits in Next, without anybody calling.
func TestTimePassesForWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(options(), 1<<30)
		next := make(chan *session.Lease)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			l, err := s.Next(ctx, "b", limits)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			next <- l
		}()
		synctest.Wait() // asleep, with nothing to wake up for
		start := time.Now()
		b, err := s.Begin(t.Context(), session.Question{Key: session.Key{Follower: "alice", ID: "1"}}, "a", limits)
		if err != nil {
			t.Fatal(err)
		}
		<-b.Lease.Lost
		if took := time.Since(start); took != time.Minute {
			t.Errorf("lost after %v, want the lease's minute", took)
		}
		l := <-next
		if err := s.Finish(t.Context(), l, session.Outcome{State: session.Answered}); err != nil {
			t.Fatal(err)
		}
		go func() {
			l, err := s.Next(ctx, "b", limits)
			if err == nil {
				t.Error("work out of nothing")
			}
			next <- l
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		s.mu.Lock() // not a call of the store, which would itself let it go
		if len(s.followers) != 0 || s.bytes != 0 {
			t.Errorf("%d followers and %d bytes are left after an idle hour", len(s.followers), s.bytes)
		}
		s.mu.Unlock()
		cancel()
		<-next
	})
}
