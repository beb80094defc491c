package sessiontest

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func forgettingCases() []Case {
	return []Case{
		{"forgetting leaves nothing", forgetLeavesNothing},
		{"what was forgotten asks for nothing any more", forgottenIsGone},
		{"forgetting a stranger does nothing", forgetStranger},
		{"an idle session goes", idleGoes},
		{"a session with an open turn does not go", openStays},
		{"the message of a session that went is still known", idleIsGone},
		{"of the past, what was delivered goes first", historyDropsDelivered},
		{"what is open is not past", historyKeepsOpen},
		{"what has left the past is not begun again", historyIsGone},
	}
}

func forgetLeavesNothing(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.limits.Questions, a.limits.Window = 3, time.Hour
	b.limits = a.limits
	a.answer("alice", "1")
	a.deliver("alice", "1", "1")
	running := a.start("alice", "2")
	waiting := a.enqueue("alice", "3")
	a.answer("bob", "1")
	if got := b.forget("alice"); got != "conversation of alice" {
		t.Errorf("forgot the conversation %q", got)
	}
	for _, by := range []*handle{a, b} {
		if s := by.look("alice"); len(s.Turns) != 0 || s.ConversationID != "" || !s.LastActive.IsZero() {
			t.Errorf("session after forgetting: %+v", s)
		}
	}
	a.wantLost(running)
	for _, k := range []session.Key{key("alice", "1"), running.Turn.Key, waiting.Turn.Key} {
		if got := b.await(k); got.State != session.Cancelled || got.Answer.Markdown != "" || got.Question != "" {
			t.Errorf("turn %+v", got)
		}
	}
	b.wantNone()
	if got := b.forget("alice"); got != "" {
		t.Errorf("forgot the conversation %q again", got)
	}
	if s := b.look("bob"); len(s.Turns) != 1 {
		t.Errorf("another follower's session: %+v", s)
	}
	for _, id := range []string{"4", "5", "6"} { // the allowance is as new
		b.wantVerdict("alice", id, session.Started)
	}
	if p := a.pending(); p.Open != 3 && !a.store.Durable() {
		t.Errorf("pending %+v, want the three new ones open", p)
	}
}

func forgottenIsGone(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	a.start("alice", "2")
	a.cancel("alice", "stop")
	a.clear("alice", "clear")
	a.answer("alice", "3")
	a.forget("alice")
	for _, id := range []string{"1", "2", "3"} {
		for range 2 {
			if got := b.wantVerdict("alice", id, session.Gone); got.Lease != nil || got.Delivery < 2 {
				t.Errorf("delivered again: %+v", got)
			}
		}
	}
	if s := b.look("alice"); len(s.Turns) != 0 || !s.LastActive.IsZero() {
		t.Errorf("deliveries of what was forgotten have made a session: %+v", s)
	}
	b.answer("alice", "4")
	if _, ok := a.cancel("alice", "stop"); ok {
		t.Error("a forgotten cancellation has cancelled")
	}
	if got := a.clear("alice", "clear"); got != "" {
		t.Errorf("a forgotten clearing has cleared the conversation %q", got)
	}
	if s := b.look("alice"); len(s.Turns) != 1 || s.Turns[0].Key.ID != "4" || s.Turns[0].State != session.Answered {
		t.Errorf("session %+v", s)
	}
}

func forgetStranger(t *testing.T, h Harness) {
	a, _ := open(t, h, options())
	if got := a.forget("alice"); got != "" {
		t.Errorf("forgot the conversation %q", got)
	}
	a.answer("alice", "1")
}

// fleeting are options under which a session goes soon.
func fleeting() session.Options {
	o := options()
	o.IdleTimeout = time.Second
	return o
}

// wantGoes waits until a follower's session has gone by itself. Looking at it does not keep it.
func (h *handle) wantGoes(follower string) {
	h.t.Helper()
	h.eventually("the session of "+follower+" is gone", func() bool {
		s := h.look(follower)
		return len(s.Turns) == 0 && s.ConversationID == "" && s.LastActive.IsZero()
	})
}

func idleGoes(t *testing.T, h Harness) {
	a, b := open(t, h, fleeting())
	a.answer("alice", "1")
	a.open("bob", "1")
	b.wantGoes("alice")
	b.wantGoes("bob")
	if got := b.await(key("alice", "1")); got.State != session.Cancelled {
		t.Errorf("turn %+v", got)
	}
	if l := b.start("alice", "2"); l.ConversationID != "" {
		t.Errorf("begins with the conversation %q", l.ConversationID)
	}
}

func openStays(t *testing.T, h Harness) {
	a, b := open(t, h, fleeting())
	running := a.start("alice", "1")
	a.progress(running, "half", "c1")
	a.enqueue("bob", "1")
	a.open("carol", "1") // was active last, and goes
	b.wantGoes("carol")
	if s := b.look("alice"); len(s.Turns) != 1 || s.ConversationID != "c1" {
		t.Errorf("session %+v", s)
	}
	a.finish(running, "whole", "c1")
	b.wantNext("bob", "1")
	b.wantGoes("alice")
}

func idleIsGone(t *testing.T, h Harness) {
	a, b := open(t, h, fleeting())
	a.answer("alice", "1")
	a.open("alice", "2")
	b.wantGoes("alice")
	b.wantVerdict("alice", "1", session.Gone)
	if s := b.look("alice"); len(s.Turns) != 0 || s.ConversationID != "" {
		t.Errorf("session %+v", s)
	}
}

// past returns the IDs of the follower's turns, oldest first.
func (h *handle) past(follower string) []string {
	h.t.Helper()
	ids := []string{}
	for _, turn := range h.look(follower).Turns {
		ids = append(ids, turn.Key.ID)
	}
	return ids
}

func historyDropsDelivered(t *testing.T, h Harness) {
	o := options()
	o.History = 3
	a, b := open(t, h, o)
	for i := 1; i <= 3; i++ {
		a.answer("alice", strconv.Itoa(i))
	}
	a.deliver("alice", "2", "2")
	a.deliver("alice", "3", "3")
	for _, step := range []struct {
		id   string
		want []string
	}{
		{"4", []string{"1", "3", "4"}},
		{"5", []string{"1", "4", "5"}},
		{"6", []string{"4", "5", "6"}},
	} {
		b.answer("alice", step.id)
		if got := a.past("alice"); !slices.Equal(got, step.want) {
			t.Fatalf("after turn %s: turns %v, want %v", step.id, got, step.want)
		}
	}
}

func historyKeepsOpen(t *testing.T, h Harness) {
	o := options()
	o.History = 1
	a, b := open(t, h, o)
	a.answer("alice", "1")
	running := a.start("alice", "2")
	for i := 3; i <= 6; i++ {
		b.enqueue("alice", strconv.Itoa(i))
	}
	if got, want := a.past("alice"), []string{"1", "2", "3", "4", "5", "6"}; !slices.Equal(got, want) {
		t.Errorf("turns %v, want %v", got, want)
	}
	a.finish(running, "", "")
	if got, want := b.past("alice"), []string{"2", "3", "4", "5", "6"}; !slices.Equal(got, want) {
		t.Errorf("turns %v, want %v", got, want)
	}
	b.wantNext("alice", "3")
}

func historyIsGone(t *testing.T, h Harness) {
	o := options()
	o.History = 1
	a, b := open(t, h, o)
	a.answer("bob", "1")
	a.answer("bob", "2")
	if got := b.wantVerdict("bob", "1", session.Gone); got.Lease != nil {
		t.Error("begun with a lease")
	}
	if got := a.past("bob"); !slices.Equal(got, []string{"2"}) {
		t.Errorf("turns %v, want only 2", got)
	}
}
