package sessiontest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func leaseCases() []Case {
	return []Case{
		{"a dead owner's turn is taken over", takenOver},
		{"a taken-over turn keeps its place before the follower's next", takeoverKeepsOrder},
		{"a turn is taken over again and again", takenOverAgain},
		{"reporting keeps the lease", renewing},
		{"a released turn is claimable at once, before what came later", released},
		{"what an owner reports is seen by all", progressSeen},
		{"what an owner notes is for the next one, until the turn is over", noted},
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

// wantTakeover waits until the turn of a dead owner's lease is handed out again.
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
	// No renewal must be asked of the new owner while the old one is tried.
	l := b.wantTakeover(old)
	a.wantLost(old)
	if got := b.peek(l.Turn.Key); got.Partial == "late" || got.Answer == "late" {
		t.Errorf("a late owner has changed the turn: %+v", got)
	}
	if got := b.look("alice").ConversationID; got == "late" {
		t.Error("a late owner has changed the conversation")
	}
}

func takeoverKeepsOrder(t *testing.T, h Harness) {
	a, b := open(t, h, brief())
	old := a.start("alice", "1")
	a.enqueue("alice", "2")
	l := b.wantTakeover(old)
	for {
		err := b.store.Finish(t.Context(), l, session.Outcome{State: session.Answered, Answer: "1"})
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
	for i := range 3 {
		l = []*handle{b, a}[i%2].wantTakeover(l)
	}
	if l.Turn.Attempts != 4 {
		t.Errorf("attempt %d, want 4", l.Turn.Attempts)
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

// renewOnce renews a lease for three times its duration while another owner asks for work. It says nothing if the
// machine has stalled for so long that the lease may have been lost rightly.
func renewOnce(t *testing.T, h Harness, o session.Options) (stalled bool) {
	a, b := open(t, h, o)
	l := a.start("alice", "1")
	ctx, cancel := context.WithTimeout(t.Context(), 3*o.LeaseTTL)
	defer cancel()
	next := background(func() (*session.Lease, error) {
		l, err := b.store.Next(ctx, b.owner, roomy)
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, nil //nolint:nilnil // no lease is what is wanted here
		}
		return l, err
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
		err := a.store.Progress(t.Context(), l, session.Progress{Partial: "…"})
		gap := time.Since(last)
		last = time.Now()
		if gap >= o.LeaseTTL/2 {
			return true
		}
		if err != nil {
			t.Fatalf("Progress, %v after the one before: %v", gap, err)
		}
	}
}

func released(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Concurrency, b.limits.Concurrency = 1, 1
	old := a.start("alice", "1")
	a.enqueue("alice", "2")
	b.enqueue("bob", "1")
	a.progress(old, "begun", "c1")
	a.release(old)
	if got := b.peek(old.Turn.Key); got.State != session.Answering {
		t.Errorf("a released turn is %v, want it to stay in answering", got.State)
	}
	l := b.wantTakeover(old)
	if l.ConversationID != "c1" || l.Turn.Partial != "begun" {
		t.Errorf("lease %+v, want what the owner before has reported", l)
	}
	if err := a.store.Progress(t.Context(), old, session.Progress{Partial: "late"}); !errors.Is(err, session.ErrLeaseLost) {
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
		if got := b.peek(l.Turn.Key); got.Partial != partial || got.State != session.Answering {
			t.Errorf("after reporting %q: %+v", partial, got)
		}
		if got := b.look("alice").Turns[0].Partial; got != partial {
			t.Errorf("after reporting %q the session has %q", partial, got)
		}
	}
}

func noted(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	if l.Note != "" {
		t.Errorf("a new turn has the note %q", l.Note)
	}
	for _, p := range []session.Progress{{Note: "first"}, {Note: "second"}, {Partial: "text"}} {
		a.check("Progress", a.store.Progress(t.Context(), l, p))
	}
	for i, by := range []*handle{b, a} {
		[]*handle{a, b}[i].release(l)
		if l = by.wantNext("alice", "1"); l.Note != "second" || l.Turn.Partial != "text" {
			t.Errorf("taken over with %+v, want the last note", l)
		}
	}
	a.finish(l, "answer", "c1")
	if l := b.start("alice", "2"); l.Note != "" {
		t.Errorf("the follower's next turn has the note %q", l.Note)
	}
}

func strangersLease(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	for name, forged := range map[string]session.Lease{
		"another follower": {Turn: session.Turn{Key: key("bob", "1")}, Owner: l.Owner, Fence: l.Fence},
		"another message":  {Turn: session.Turn{Key: key("alice", "2")}, Owner: l.Owner, Fence: l.Fence},
		"another fence":    {Turn: l.Turn, Owner: l.Owner, Fence: l.Fence - 1},
	} {
		if err := b.store.Progress(t.Context(), &forged, session.Progress{Partial: "forged"}); !errors.Is(err, session.ErrLeaseLost) {
			t.Errorf("%s: %v, want ErrLeaseLost", name, err)
		}
	}
	a.finish(l, "true", "")
	if got := b.await(l.Turn.Key); got.Answer != "true" {
		t.Errorf("turn %+v", got)
	}
}

func endedLease(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.finish(l, "first", "c1")
	o := session.Outcome{State: session.Failed, Answer: "second", ConversationID: "c2"}
	if err := a.store.Finish(t.Context(), l, o); !errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("finished twice: %v, want ErrLeaseLost", err)
	}
	if err := a.store.Release(t.Context(), l); !errors.Is(err, session.ErrLeaseLost) {
		t.Errorf("released after the end: %v, want ErrLeaseLost", err)
	}
	if s := b.look("alice"); s.ConversationID != "c1" || s.Turns[0].Answer != "first" || s.Turns[0].State != session.Answered {
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
	o := session.Outcome{State: session.Failed, Answer: "half", Failure: "quota", ConversationID: "c1"}
	a.check("Finish", a.store.Finish(t.Context(), l, o))
	got := b.await(l.Turn.Key)
	if got.State != session.Failed || got.Answer != "half" || got.Failure != "quota" || got.FinishedAt.IsZero() {
		t.Errorf("turn %+v", got)
	}
}

func nextEnds(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.wantNone()
	ctx, cancel := context.WithCancel(t.Context())
	next := background(func() (error, error) {
		_, err := b.store.Next(ctx, b.owner, roomy)
		return err, nil
	})
	cancel()
	if err := collect(t, "Next", next); !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v, want context.Canceled", err)
	}
	a.enqueue("alice", "1")
	if l, err := a.store.Next(ctx, a.owner, roomy); l != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Next with an ended context: %v, %v; want context.Canceled", l, err)
	}
	b.wantNext("alice", "1")
}
