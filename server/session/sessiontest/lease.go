package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func leaseCases() []Case {
	return []Case{
		{"a dead process' turn is taken over", takenOver},
		{"one of several new owners takes a turn over", oneNewOwner},
		{"a taken-over turn keeps its place before the follower's next", takeoverKeepsOrder},
		{"a turn is claimed three times at most", takenOverAgain},
		{"nobody works on a turn whose deadline is past", pastDeadline},
		{"renewing keeps the lease", renewing},
		{"a released turn is claimable at once, before what came later", released},
		{"what a holder reports is seen by all", progressSeen},
		{"what a holder notes stays with the turn", noted},
		{"a stranger's lease is refused", strangersLease},
		{"an ended lease cannot be used again", endedLease},
		{"an outcome has to be an end", outcomeIsEnd},
		{"the conversation follows progress and outcome", conversationFollows},
		{"a failed turn keeps its reason and what came before", failedTurn},
		{"asking for work ends with the context", nextEnds},
	}
}

// brief are options under which a lease runs out soon.
func brief() session.Options {
	o := options()
	o.LeaseTTL = 300 * time.Millisecond
	return o
}

// wantTakeover waits until the turn of a dead process' lease is handed out again.
func (h *handle) wantTakeover(old *session.Lease) *session.Lease {
	h.t.Helper()
	l := h.wantNext(old.Turn.Key.Follower, old.Turn.Key.ID)
	if l.Fence <= old.Fence || l.Turn.Attempts != old.Turn.Attempts+1 {
		h.t.Errorf("taken over with fence %d as attempt %d, before: %d and %d", l.Fence, l.Turn.Attempts, old.Fence, old.Turn.Attempts)
	}
	return l
}

func takenOver(t *testing.T, h Harness) {
	a, b := open(t, h, brief())
	old := a.start("alice", "1")
	a.wantOpen(old.Lost)
	l := b.wantTakeover(old)
	a.wantLost(old)
	if got := b.peek(l.Turn.Key); got.Answer.Markdown == "late" {
		t.Errorf("a late holder has changed the turn: %+v", got)
	}
	if got := b.look("alice").ConversationID; got == "late" {
		t.Error("a late holder has changed the conversation")
	}
}

// All who could take a turn over look for it at the same time.
func oneNewOwner(t *testing.T, h Harness) {
	const turns, newOwners = 20, 4
	o := options()
	o.LeaseTTL = 3 * time.Second
	a, b := open(t, h, o)
	a.limits.Concurrency, b.limits.Concurrency = turns, turns
	for i := range turns {
		a.start(fmt.Sprintf("follower-%d", i), "1")
	}
	type claim struct {
		*session.Lease

		at time.Time
	}
	claimed := make(chan claim, turns*newOwners)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range newOwners {
		newOwner := []*handle{a, b}[i%2]
		all.Go(func() {
			for ctx.Err() == nil {
				if c, err := newOwner.store.Next(ctx, newOwner.limits); err == nil {
					claimed <- claim{c.Lease, time.Now()}
				}
			}
		})
	}
	taken := make(map[string]time.Time)
	take := func(c claim) {
		// On a slow machine a lease may run out before all are taken: nobody renews it.
		if before, ok := taken[c.Turn.Key.Follower]; ok && c.at.Sub(before) < o.LeaseTTL/2 || !ok && c.Turn.Attempts != 2 {
			t.Errorf("taken over as attempt %d, %v after another", c.Turn.Attempts, c.at.Sub(before))
		}
		taken[c.Turn.Key.Follower] = c.at
	}
	for len(taken) < turns {
		take(<-claimed)
	}
	for quiet := false; !quiet; {
		select {
		case c := <-claimed:
			take(c)
		case <-time.After(o.LeaseTTL / 10):
			quiet = true
		}
	}
	cancel()
	all.Wait()
}

func takeoverKeepsOrder(t *testing.T, h Harness) {
	a, b := open(t, h, brief())
	old := a.start("alice", "1")
	a.enqueue("alice", "2")
	l := b.wantTakeover(old)
	for {
		err := b.store.Finish(t.Context(), l, session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: "1"}})
		if err == nil {
			break
		}
		if !errors.Is(err, session.ErrLeaseLost) {
			t.Fatalf("Finish: %v", err)
		}
		l = b.wantTakeover(l) // the machine has stalled for a lease's time
	}
	b.wantNext("alice", "2")
}

func takenOverAgain(t *testing.T, h Harness) {
	a, b := open(t, h, brief())
	l := a.start("alice", "1")
	for i := 1; i < session.MaxAttempts; i++ {
		l = []*handle{a, b}[i%2].wantTakeover(l)
	}
	a.enqueue("bob", "1")
	var ended []session.Turn
	for len(ended) == 0 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := b.store.Next(ctx, b.limits)
		cancel()
		b.check("Next", err)
		if c.Lease != nil && c.Lease.Turn.Key.Follower == "alice" {
			t.Fatalf("claimed as attempt %d", c.Lease.Turn.Attempts)
		}
		ended = append(ended, c.Ended...)
	}
	if len(ended) != 1 || ended[0].Key != l.Turn.Key || ended[0].State != session.Failed || ended[0].Failure != session.Abandoned {
		t.Errorf("ended %+v", ended)
	}
	if got := a.await(l.Turn.Key); got.State != session.Failed || got.Attempts != session.MaxAttempts {
		t.Errorf("turn %+v", got)
	}
	a.wantLost(l)
}

func pastDeadline(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Concurrency, b.limits.Concurrency = 1, 1
	running := a.start("bob", "1")
	a.limits.Timeout = 50 * time.Millisecond
	late := a.enqueue("alice", "1")
	if late.Turn.Deadline.Sub(late.Turn.AcceptedAt) != a.limits.Timeout {
		t.Errorf("accepted at %v, deadline at %v", late.Turn.AcceptedAt, late.Turn.Deadline)
	}
	a.limits.Timeout = time.Hour
	a.enqueue("alice", "2")
	a.eventually("the deadline is past", func() bool { return time.Until(late.Turn.Deadline) < -10*time.Millisecond })
	a.finish(running, "", "")
	var l *session.Lease
	var ended []session.Turn
	for l == nil {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := b.store.Next(ctx, b.limits)
		cancel()
		b.check("Next", err)
		l, ended = c.Lease, append(ended, c.Ended...)
	}
	if len(ended) != 1 || ended[0].Key != late.Turn.Key || ended[0].Failure != session.TimedOut || l.Turn.Key.ID != "2" {
		t.Errorf("ended %+v, leased %+v", ended, l.Turn)
	}
	if got := a.await(late.Turn.Key); got.State != session.Failed || got.Attempts != 0 {
		t.Errorf("turn %+v", got)
	}
}

func renewing(t *testing.T, h Harness) {
	o := brief()
	for range 5 {
		o.LeaseTTL *= 2
		if stalled := renewOnce(t, h, o); !stalled {
			return
		}
	}
	t.Fatal("the machine stalls all the time: a lease could not be renewed in time five times")
}

// renewOnce renews a lease for three times its duration while another process asks for work. It says nothing if the
// machine has stalled for so long that the lease may have been lost rightly.
func renewOnce(t *testing.T, h Harness, o session.Options) (stalled bool) {
	a, b := open(t, h, o)
	a.start("alice", "1")
	ctx, cancel := context.WithTimeout(t.Context(), 3*o.LeaseTTL)
	defer cancel()
	next := background(func() (*session.Lease, error) {
		c, err := b.store.Next(ctx, roomy)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, nil //nolint:nilnil // no lease is what is wanted here
		}
		return c.Lease, err
	})
	ticks := time.NewTicker(o.LeaseTTL / 10)
	defer ticks.Stop()
	for last := time.Now(); ; {
		select {
		case r := <-next:
			if r.err != nil {
				t.Fatalf("Next: %v", r.err)
			}
			if r.value == nil {
				return false
			}
			if time.Since(last) < o.LeaseTTL/2 {
				t.Fatal("a renewed lease was given to somebody else")
			}
			return true
		case <-ticks.C:
		}
		err := a.store.Renew(t.Context())
		gap := time.Since(last)
		last = time.Now()
		if gap >= o.LeaseTTL/2 {
			return true
		}
		if err != nil {
			t.Fatalf("Renew, %v after the one before: %v", gap, err)
		}
	}
}

func released(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Concurrency, b.limits.Concurrency = 1, 1
	old := a.start("alice", "1")
	a.enqueue("alice", "2")
	a.enqueue("bob", "1")
	a.progress(old, "begun", "c1")
	a.release(old)
	if got := b.peek(old.Turn.Key); got.State != session.Answering {
		t.Errorf("a released turn is %v, want it to stay in answering", got.State)
	}
	l := b.wantTakeover(old)
	if l.ConversationID != "c1" || l.Turn.Answer.Markdown != "begun" {
		t.Errorf("lease %+v, want what the holder before has reported", l)
	}
	if err := a.store.Progress(t.Context(), old, session.Progress{Markdown: "late"}); !errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("Progress after Release: %v, want ErrLeaseLost", err)
	}
	b.finish(l, "", "")
	a.finish(a.wantNext("alice", "2"), "", "")
	b.wantNext("bob", "1")
}

func progressSeen(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	for _, partial := range []string{"one", "one two", "", "other"} {
		a.progress(l, partial, "")
		if got := b.peek(l.Turn.Key); got.Answer.Markdown != partial || got.State != session.Answering {
			t.Errorf("after reporting %q: %+v", partial, got)
		}
		if got := b.look("alice").Turns[0].Answer.Markdown; got != partial {
			t.Errorf("after reporting %q the session has %q", partial, got)
		}
	}
}

func noted(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	if l.Turn.Ref != "" {
		t.Errorf("a new turn has the reference %q", l.Turn.Ref)
	}
	told, err := a.store.Begin(t.Context(), session.Question{Key: session.Key{Follower: "bob", ID: "1"}, Text: "q", Ref: "told"}, false, a.limits)
	if err != nil || told.Turn.Ref != "told" || b.look("bob").Turns[0].Ref != "told" {
		t.Errorf("a question with a reference is begun as %+v, %v", told, err)
	}
	if got := b.wantNext("bob", "1"); got.Turn.Ref != "told" {
		t.Errorf("its lease has the reference %q", got.Turn.Ref)
	}
	for _, p := range []session.Progress{{Ref: "first"}, {Ref: "second"}, {Markdown: "text"}, {Markdown: "text and more", Ref: "second"}} {
		a.check("Progress", a.store.Progress(t.Context(), l, p))
	}
	for i, by := range []*handle{b, a} {
		[]*handle{a, b}[i].release(l)
		if l = by.wantNext("alice", "1"); l.Turn.Ref != "second" || l.Turn.Answer.Markdown != "text and more" {
			t.Errorf("taken over with %+v, want what was reported last", l.Turn)
		}
	}
	a.finish(l, "answer", "c1")
	if got := b.await(l.Turn.Key); got.Ref != "second" {
		t.Errorf("ended with the reference %q", got.Ref)
	}
	l = b.start("alice", "2")
	if l.Turn.Ref != "" {
		t.Errorf("the follower's next turn has the reference %q", l.Turn.Ref)
	}
	o := session.Outcome{State: session.Answered, Ref: "third", Answer: session.Answer{Files: []session.File{{Name: "a.pdf", URL: "https://x/a.pdf"}}}}
	b.check("Finish", b.store.Finish(t.Context(), l, o))
	if got := a.await(l.Turn.Key); got.Ref != "third" || len(got.Answer.Files) != 1 || got.Answer.Files[0] != o.Answer.Files[0] {
		t.Errorf("ended as %+v", got)
	}
}

func strangersLease(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	for name, forged := range map[string]session.Lease{
		"another follower": {Turn: session.Turn{Key: key("bob", "1")}, Fence: l.Fence},
		"another message":  {Turn: session.Turn{Key: key("alice", "2")}, Fence: l.Fence},
		"another fence":    {Turn: l.Turn, Fence: l.Fence - 1},
	} {
		if err := b.store.Progress(t.Context(), &forged, session.Progress{Markdown: "forged"}); !errors.Is(err, session.ErrLeaseLost) {
			t.Errorf("%s: %v, want ErrLeaseLost", name, err)
		}
	}
	a.finish(l, "true", "")
	if got := b.await(l.Turn.Key); got.Answer.Markdown != "true" {
		t.Errorf("turn %+v", got)
	}
}

func endedLease(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.finish(l, "first", "c1")
	o := session.Outcome{State: session.Failed, Answer: session.Answer{Markdown: "second"}, ConversationID: "c2"}
	if err := a.store.Finish(t.Context(), l, o); !errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("finished twice: %v, want ErrLeaseLost", err)
	}
	if err := a.store.Release(t.Context(), l); !errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("released after the end: %v, want ErrLeaseLost", err)
	}
	if s := b.look("alice"); s.ConversationID != "c1" || s.Turns[0].Answer.Markdown != "first" || s.Turns[0].State != session.Answered {
		t.Errorf("session %+v", s)
	}
	b.wantNone()
}

func outcomeIsEnd(t *testing.T, h Harness) {
	a, _ := open(t, h, options())
	l := a.start("alice", "1")
	err := a.store.Finish(t.Context(), l, session.Outcome{State: session.Answering})
	if err == nil || errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("finished as answering: %v, want an error of its own", err)
	}
	a.finish(l, "", "")
}

func conversationFollows(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	want := func(id string) {
		t.Helper()
		if got := b.look("alice").ConversationID; got != id {
			t.Errorf("conversation %q, want %q", got, id)
		}
	}
	l := a.start("alice", "1")
	want("")
	a.progress(l, "", "c1")
	want("c1")
	a.progress(l, "", "")
	want("c1")
	a.finish(l, "", "c2")
	want("c2")
	l = b.start("alice", "2")
	if l.ConversationID != "c2" {
		t.Errorf("lease with conversation %q, want c2", l.ConversationID)
	}
	b.finish(l, "", "")
	want("")
}

func failedTurn(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.progress(l, "half", "c1")
	o := session.Outcome{State: session.Failed, Answer: session.Answer{Markdown: "half"}, Failure: "quota", ConversationID: "c1"}
	a.check("Finish", a.store.Finish(t.Context(), l, o))
	got := b.await(l.Turn.Key)
	if got.State != session.Failed || got.Answer.Markdown != "half" || got.Failure != "quota" || got.FinishedAt.IsZero() {
		t.Errorf("turn %+v", got)
	}
}

func nextEnds(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.wantNone()
	ctx, cancel := context.WithCancel(t.Context())
	next := background(func() (error, error) {
		_, err := b.store.Next(ctx, roomy)
		return err, nil
	})
	cancel()
	if err := collect(t, "Next", next); !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v, want context.Canceled", err)
	}
	a.enqueue("alice", "1")
	if l, err := a.store.Next(ctx, roomy); l.Lease != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Next with an ended context: %v, %v; want context.Canceled", l, err)
	}
	b.wantNext("alice", "1")
}
