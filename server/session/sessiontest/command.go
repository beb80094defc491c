package sessiontest

import (
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func commandCases() []Case {
	return []Case{
		{"cancelling ends the running turn and keeps what came", cancelRunning},
		{"cancelling ends a waiting turn if none runs", cancelWaiting},
		{"cancelling with nothing open cancels nothing, then or later", cancelNothing},
		{"a second delivery of a cancellation cancels nothing", cancelTwice},
		{"the turn behind a cancelled one goes on", cancelFreesPlace},
		{"a turn that was stopped is still to be told", stopUntold},
		{"a second wish to stop by one name stops nothing", stopTwice},
		{"clearing forgets turns and conversation", clearForgets},
		{"a second delivery of a clearing clears nothing", clearTwice},
		{"clearing frees the places", clearFreesPlaces},
		{"what was cleared asks for nothing any more", clearedIsGone},
		{"clearing keeps the allowance", clearKeepsAllowance},
	}
}

func cancelRunning(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.progress(l, "half", "c1")
	a.enqueue("alice", "2")
	got, ok := b.cancel("alice", "stop")
	if !ok || got.Key.ID != "1" || got.State != session.Cancelled || got.Answer.Markdown != "half" || got.FinishedAt.IsZero() {
		t.Errorf("cancelled %+v, %v", got, ok)
	}
	a.wantLost(l)
	if got := a.await(l.Turn.Key); got.State != session.Cancelled || got.Answer.Markdown != "half" {
		t.Errorf("turn %+v", got)
	}
	if got := a.look("alice").ConversationID; got != "c1" {
		t.Errorf("conversation %q, want it kept", got)
	}
	if got := b.wantVerdict("alice", "1", session.Joined); got.Turn.State != session.Cancelled {
		t.Errorf("delivered again: %+v", got.Turn)
	}
}

func cancelWaiting(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	a.enqueue("alice", "2")
	a.enqueue("alice", "3")
	if got, ok := b.cancel("alice", "stop"); !ok || got.Key.ID != "2" || !got.Delivered {
		t.Errorf("cancelled %+v, %v; want turn 2, with nothing left to tell", got, ok)
	}
	b.wantNext("alice", "3")
	if got := a.wantVerdict("alice", "3", session.Joined); got.Turn.Others != 1 {
		t.Errorf("%d other turns, want turn 1 alone: what was cancelled without text is delivered", got.Turn.Others)
	}
}

func cancelNothing(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	if got, ok := a.cancel("alice", "stop"); ok {
		t.Errorf("cancelled %+v of a stranger", got)
	}
	l := a.start("alice", "1")
	if got, ok := b.cancel("alice", "stop"); ok {
		t.Errorf("the second delivery of what cancelled nothing cancelled %+v", got)
	}
	a.finish(l, "", "")
	if got, ok := b.cancel("alice", "another stop"); ok {
		t.Errorf("cancelled %+v, which is over", got)
	}
}

func cancelTwice(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.start("alice", "1")
	a.enqueue("alice", "2")
	for range 3 {
		if got, ok := b.cancel("alice", "stop"); !ok || got.Key.ID != "1" || got.State != session.Cancelled {
			t.Errorf("cancelled %+v, %v; want turn 1 each time", got, ok)
		}
	}
	if got := a.peek(key("alice", "2")); got.State.Over() {
		t.Errorf("turn 2 is %v", got.State)
	}
}

func cancelFreesPlace(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Concurrency, b.limits.Concurrency = 1, 1
	a.start("alice", "1")
	a.begin("bob", "1")
	a.begin("alice", "2")
	b.wantNone()
	a.cancel("alice", "stop")
	l := b.wantNext("bob", "1")
	b.finish(l, "", "")
	a.wantNext("alice", "2")
}

func stopUntold(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	l := a.start("alice", "1")
	a.enqueue("alice", "2")
	for _, id := range []string{"1", "2"} {
		got, ok := b.stop("stop "+id, false)
		if !ok || got.Key.ID != id || got.State != session.Failed || got.Failure != session.Stopped || got.Delivered || got.Pushing {
			t.Errorf("stopped %+v, %v, want turn %s, not delivered", got, ok, id)
		}
	}
	a.wantLost(l)
	a.wantNone()
	if got := b.wantVerdict("alice", "1", session.Joined); got.Turn.Failure != session.Stopped || got.Turn.Others != 1 {
		t.Errorf("delivered again: %+v, want it stopped, and turn 2 undelivered too", got.Turn)
	}
	if got, ok := b.stop("stop 3", true); ok {
		t.Errorf("stopped %+v, which is over", got)
	}
}

func stopTwice(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.start("alice", "1")
	a.enqueue("alice", "2")
	for range 3 {
		if got, ok := b.stop("stop", false); !ok || got.Key.ID != "1" {
			t.Errorf("stopped %+v, %v; want turn 1 each time", got, ok)
		}
	}
	if got := a.peek(key("alice", "2")); got.State.Over() {
		t.Errorf("turn 2 is %v", got.State)
	}
}

func clearForgets(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	running := a.start("alice", "2")
	waiting := a.enqueue("alice", "3")
	a.answer("bob", "1")
	if got := b.clear("alice", "clear"); got != "conversation of alice" {
		t.Errorf("cleared the conversation %q", got)
	}
	for _, by := range []*handle{a, b} {
		if s := by.look("alice"); len(s.Turns) != 0 || s.ConversationID != "" {
			t.Errorf("session after the clearing: %+v", s)
		}
	}
	a.wantLost(running)
	for _, k := range []session.Key{key("alice", "1"), running.Turn.Key, waiting.Turn.Key} {
		if got := a.await(k); got.State != session.Cancelled || got.Answer.Markdown != "" || got.Question != "" {
			t.Errorf("turn %+v", got)
		}
	}
	if s := b.look("bob"); len(s.Turns) != 1 || s.ConversationID != "conversation of bob" {
		t.Errorf("another follower's session: %+v", s)
	}
	b.wantNone()
}

func clearTwice(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	if got := a.clear("alice", "clear"); got != "" {
		t.Errorf("cleared the conversation %q of a stranger", got)
	}
	a.answer("alice", "1")
	if got := b.clear("alice", "clear"); got != "" {
		t.Errorf("the second delivery cleared the conversation %q", got)
	}
	if s := a.look("alice"); len(s.Turns) != 1 || s.ConversationID != "conversation of alice" {
		t.Errorf("session %+v", s)
	}
	if got := b.clear("alice", "another clear"); got != "conversation of alice" {
		t.Errorf("cleared the conversation %q", got)
	}
}

func clearFreesPlaces(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Concurrency, a.limits.Queue = 1, 1
	b.limits = a.limits
	a.start("alice", "1")
	a.wantVerdict("alice", "2", session.Started)
	a.wantVerdict("bob", "1", session.Busy)
	b.clear("alice", "clear")
	b.start("bob", "1")
	a.wantVerdict("alice", "3", session.Started)
}

func clearedIsGone(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	a.start("alice", "2")
	a.enqueue("alice", "3")
	a.clear("alice", "clear")
	for _, id := range []string{"1", "2", "3"} {
		for n := 2; n <= 3; n++ {
			if got := b.wantVerdict("alice", id, session.Gone); got.Lease != nil || got.Delivery != n {
				t.Errorf("delivery %d of the cleared question %s: %+v", n, id, got)
			}
		}
	}
	if s := a.look("alice"); len(s.Turns) != 0 {
		t.Errorf("session %+v", s)
	}
	a.answer("alice", "4")
}

func clearKeepsAllowance(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Questions, a.limits.Window = 2, time.Hour
	b.limits = a.limits
	a.start("alice", "1")
	a.enqueue("alice", "2")
	a.clear("alice", "clear")
	b.wantVerdict("alice", "3", session.RateLimited)
}
