package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func orderCases() []Case {
	return []Case{
		{"one follower's turns run in order, one at a time", inOrder},
		{"a turn that waits is claimed as soon as its predecessor is over", wakesSuccessor},
		{"whoever waits for work wakes up when there is some", wakesWorkers},
		{"a follower with a running turn does not keep others waiting", overtakes},
		{"followers are served first come, first served", firstCome},
		{"a question does not overtake those that wait", noOvertaking},
		{"as many run as may, side by side", sideBySide},
		{"the concurrency of each call counts", concurrencyChanges},
		{"whoever may not claim claims nothing", withoutClaim},
		{"many workers answer everything once and in order", manyWorkers},
	}
}

func inOrder(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	first := a.start("alice", "1")
	for _, id := range []string{"2", "3"} {
		if got := b.wantVerdict("alice", id, session.Started); got.Lease != nil || got.Turn.State != session.Accepted {
			t.Fatalf("question %s behind an open one: %+v", id, got)
		}
	}
	b.wantNone()
	a.finish(first, "1", "c1")
	second := b.wantNext("alice", "2")
	if second.ConversationID != "c1" || second.Turn.Question != "question 2" || second.Turn.Attempts != 1 {
		t.Errorf("lease %+v", second)
	}
	a.wantNone()
	b.finish(second, "2", "c2")
	third := a.wantNext("alice", "3")
	if third.ConversationID != "c2" {
		t.Errorf("conversation %q, want c2", third.ConversationID)
	}
	a.wantNone()
	a.finish(third, "3", "c2")
	a.wantNone()
	got := []string{}
	for _, turn := range b.look("alice").Turns {
		got = append(got, turn.Key.ID+"="+turn.Answer.Markdown)
	}
	if want := []string{"1=1", "2=2", "3=3"}; !slices.Equal(got, want) {
		t.Errorf("turns %v, want %v", got, want)
	}
}

func wakesWorkers(t *testing.T, h Harness) {
	for what, free := range map[string]func(*handle, *session.Lease){
		"Finish":  func(a *handle, l *session.Lease) { a.finish(l, "", "") },
		"Release": (*handle).release,
		"Cancel":  func(a *handle, _ *session.Lease) { a.cancel("alice", "stop") },
		"Clear":   func(a *handle, _ *session.Lease) { a.clear("alice", "clear") },
		"Forget":  func(a *handle, _ *session.Lease) { a.forget("alice") },
		"Begin":   func(a *handle, _ *session.Lease) { a.enqueue("carol", "1") },
	} {
		a, b := open(t, h, options())
		l := a.start("alice", "1")
		wants := map[string]session.Key{"Begin": key("carol", "1"), "Release": key("alice", "1")}
		want, only := wants[what]
		if !only { // there is something to do as soon as there is a place
			b.limits.Concurrency = 1
			want = a.enqueue("bob", "1").Turn.Key
		}
		next := b.nextInBackground()
		a.linger(l.Turn.Key)
		free(a, l)
		if got := collect(t, "Next after "+what, next); got.Turn.Key != want {
			t.Errorf("Next after %s gave %v, want %v", what, got.Turn.Key, want)
		}
	}
}

func wakesSuccessor(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	first := a.start("alice", "1")
	a.enqueue("alice", "2")
	next := b.nextInBackground()
	a.linger(first.Turn.Key)
	a.finish(first, "", "")
	if l := collect(t, "Next", next); l.Turn.Key.ID != "2" {
		t.Errorf("Next gave %v", l.Turn.Key)
	}
}

func overtakes(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.start("alice", "1")
	a.enqueue("alice", "2")
	b.start("bob", "1")
	a.enqueue("carol", "1")
	b.wantNext("carol", "1")
	b.wantNone()
}

func firstCome(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Concurrency, b.limits.Concurrency = 1, 1
	running := a.start("alice", "1")
	followers := []string{"bob", "alice", "erin", "carol", "dave"}
	for _, f := range followers { // by one process: between two the order is as exact as their clocks
		a.enqueue(f, "2")
	}
	for i, f := range followers {
		by := []*handle{b, a}[i%2]
		by.finish(running, "", "")
		running = by.wantNext(f, "2")
	}
}

func noOvertaking(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.enqueue("alice", "1")
	if got := b.begin("bob", "1"); got.Verdict != session.Started || got.Lease != nil {
		t.Fatalf("begun behind a waiting question: verdict %d, lease %v", got.Verdict, got.Lease)
	}
	b.wantNext("alice", "1")
	b.wantNext("bob", "1")
}

func sideBySide(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Concurrency, b.limits.Concurrency = 3, 3
	first := a.start("alice", "1")
	b.start("bob", "1")
	a.start("carol", "1")
	if got := b.begin("dave", "1"); got.Verdict != session.Started || got.Lease != nil {
		t.Fatalf("a fourth of three: verdict %d, lease %v", got.Verdict, got.Lease)
	}
	a.wantNone()
	b.wantNone()
	a.finish(first, "", "")
	b.wantNext("dave", "1")
}

func concurrencyChanges(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Concurrency = 1
	first := a.start("alice", "1")
	a.begin("bob", "1")
	a.begin("carol", "1")
	a.wantNone()
	a.limits.Concurrency = 2
	second := a.wantNext("bob", "1")
	a.wantNone()
	a.limits.Concurrency, b.limits.Concurrency = 1, 1
	a.finish(first, "", "")
	b.wantNone()
	a.finish(second, "", "")
	b.wantNext("carol", "1")
	b.limits.Concurrency = 2
	b.start("dave", "1")
}

func withoutClaim(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	if got := a.enqueue("alice", "1"); got.Verdict != session.Started || got.Lease != nil || got.Turn.State != session.Accepted {
		t.Fatalf("begun without a claim: %+v", got)
	}
	if l := b.wantNext("alice", "1"); l.Turn.Attempts != 1 {
		t.Errorf("claimed for the first time as attempt %d", l.Turn.Attempts)
	}
}

func manyWorkers(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	const followers, questions, workers = 10, 4, 8
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen := make(chan session.Key, followers*questions)
	var done []<-chan result[int]
	for i := range workers {
		by := []*handle{a, b}[i%2]
		done = append(done, background(func() (int, error) { return by.work(ctx, seen) }))
	}
	for q := range questions {
		for f := range followers {
			[]*handle{a, b}[f%2].enqueue(fmt.Sprint("follower", f), strconv.Itoa(q))
		}
	}
	for f := range followers {
		for q := range questions {
			if got := a.await(key(fmt.Sprint("follower", f), strconv.Itoa(q))); got.Answer.Markdown != fmt.Sprint("answer ", q) || got.Attempts != 1 {
				t.Errorf("turn %+v", got)
			}
		}
	}
	stop()
	worked := 0
	for _, d := range done {
		worked += collect(t, "a worker", d)
	}
	if worked != followers*questions {
		t.Errorf("%d turns were finished, want %d", worked, followers*questions)
	}
	last := map[string]int{}
	for range followers * questions {
		k := <-seen
		if strconv.Itoa(last[k.Follower]) != k.ID {
			t.Fatalf("%s: turn %s was worked on when %d was next", k.Follower, k.ID, last[k.Follower])
		}
		last[k.Follower]++
	}
}

// nextInBackground waits for work, whose lease is read later.
func (h *handle) nextInBackground() <-chan result[*session.Lease] {
	return background(func() (*session.Lease, error) {
		c, err := h.store.Next(h.t.Context(), h.limits)
		return c.Lease, err
	})
}

// work answers turns until ctx ends, and returns how many it has answered.
func (h *handle) work(ctx context.Context, seen chan<- session.Key) (int, error) {
	for n := 0; ; n++ {
		c, err := h.store.Next(ctx, roomy)
		if errors.Is(err, context.Canceled) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		l := c.Lease
		if err := h.store.Progress(ctx, l, session.Progress{Markdown: "…"}); err != nil {
			return n, err
		}
		seen <- l.Turn.Key
		o := session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "answer " + l.Turn.Key.ID}}
		if err := h.store.Finish(ctx, l, o); err != nil {
			return n, err
		}
	}
}
