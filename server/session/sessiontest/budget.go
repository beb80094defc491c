package sessiontest

import (
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func budgetCases() []Case {
	return []Case{
		{"a follower who has used up the day's tokens is refused, and others are not", followerSpends},
		{"a bot that has used up the day's tokens refuses everybody", botSpends},
		{"what was accepted before the tokens were used up is answered", acceptedBefore},
		{"what a turn has used that nobody ends counts, too", usedWithoutEnd},
		{"what was used is not forgotten with the follower", usedOutlivesFollower},
		{"what was used is not forgotten with an idle session", usedOutlivesSession},
		{"the day's end gives the tokens anew", dayEnds},
		{"what only the bot has used is no follower's", usedByBotOnly},
	}
}

// dayFor is a zone whose day ends so long from now, in whole seconds.
func dayFor(d time.Duration) *time.Location {
	end := time.Now().Add(d).Unix()
	return time.FixedZone("its own", int((24*60*60-end%(24*60*60))%(24*60*60)))
}

// use ends a question that has used tokens.
func (h *handle) use(follower, id string, u session.Use) {
	h.t.Helper()
	h.finishUsing(h.start(follower, id), u)
}

func (h *handle) finishUsing(l *session.Lease, u session.Use) {
	h.t.Helper()
	h.check("Finish", h.store.Finish(h.t.Context(), l, session.Outcome{State: session.Answered, Use: u}))
}

func (h *handle) wantUsed(want int64) session.Used {
	h.t.Helper()
	got, err := h.store.Used(h.t.Context())
	h.check("Used", err)
	if got.Tokens != want || got.Until.IsZero() != (want == 0) {
		h.t.Fatalf("used %+v, want %d tokens", got, want)
	}
	return got
}

// wantSpent begins in vain, as tokens are used up until the day ends.
func (h *handle) wantSpent(follower, id string, want session.Verdict) {
	h.t.Helper()
	end := session.DayEnd(time.Now(), h.limits.Tokens.Zone)
	if got := h.wantVerdict(follower, id, want); got.Lease != nil || !got.Until.Equal(end) {
		h.t.Fatalf("refused until %v with the lease %v, want until %v", got.Until, got.Lease, end)
	}
}

// budgeted opens two handles with a budget whose day lasts while the case does.
func budgeted(t *testing.T, h Harness, o session.Options, follower, bot int64) (a, b *handle, one session.Use) {
	t.Helper()
	a, b = open(t, h, o)
	zone := dayFor(12 * time.Hour)
	a.limits.Tokens = session.Budget{Follower: follower, Bot: bot, Zone: zone}
	b.limits = a.limits
	return a, b, session.Use{Tokens: 10, Zone: zone, Each: true}
}

func followerSpends(t *testing.T, h Harness) {
	a, b, ten := budgeted(t, h, options(), 20, 0)
	a.limits.Questions, a.limits.Window = 3, time.Hour
	b.limits = a.limits
	a.wantUsed(0)
	a.use("alice", "1", ten)
	b.use("alice", "2", ten)
	for range 3 {
		a.wantSpent("alice", "3", session.FollowerSpent)
		b.wantSpent("alice", "3", session.FollowerSpent)
	}
	if got := b.wantVerdict("alice", "1", session.Joined); got.Delivery != 2 {
		t.Errorf("delivery %d of what is known, want 2", got.Delivery)
	}
	b.use("bob", "1", ten)
	b.wantUsed(30)
	a.limits.Tokens.Follower, b.limits.Tokens.Follower = 21, 21
	a.wantNoTrace("alice", "3", func() {}) // and it has cost no part of the allowance, of which this is the last
	a.wantVerdict("alice", "4", session.RateLimited)
}

func botSpends(t *testing.T, h Harness) {
	a, b, ten := budgeted(t, h, options(), 0, 30)
	for i, by := range []*handle{a, b, a} {
		by.use([]string{"alice", "bob", "carol"}[i], "1", ten)
	}
	until := b.wantUsed(30).Until
	if want := session.DayEnd(time.Now(), ten.Zone); until.Sub(want).Abs() > time.Second {
		t.Errorf("used until %v, want until %v", until, want)
	}
	for _, follower := range []string{"alice", "dave"} {
		a.wantSpent(follower, "2", session.BotSpent)
		b.wantSpent(follower, "2", session.BotSpent)
	}
	if s := a.look("dave"); len(s.Turns) != 0 || !s.LastActive.IsZero() {
		t.Errorf("a refused stranger has a session: %+v", s)
	}
	a.limits.Tokens.Bot, b.limits.Tokens.Bot = 0, 31
	a.wantVerdict("alice", "2", session.Started)
	b.wantVerdict("dave", "2", session.Started)
}

func acceptedBefore(t *testing.T, h Harness) {
	a, b, ten := budgeted(t, h, options(), 10, 10)
	running := a.start("alice", "1")
	a.wantVerdict("alice", "2", session.Started)
	b.wantVerdict("bob", "1", session.Started)
	a.finishUsing(running, ten)
	b.wantNext("alice", "2")
	a.wantSpent("alice", "3", session.FollowerSpent)
	a.wantSpent("bob", "2", session.BotSpent)
}

func usedWithoutEnd(t *testing.T, h Harness) {
	a, b, ten := budgeted(t, h, options(), 10, 20)
	l := a.start("alice", "1")
	b.cancel("alice", "stop")
	a.wantLost(l)
	a.check("Use", a.store.Use(t.Context(), "alice", ten))
	b.wantUsed(10)
	b.wantSpent("alice", "2", session.FollowerSpent)
	b.forget("bob")
	b.check("Use", b.store.Use(t.Context(), "bob", ten)) // of whom there is nothing any more
	a.wantSpent("carol", "1", session.BotSpent)
	if s := a.look("bob"); len(s.Turns) != 0 || !s.LastActive.IsZero() {
		t.Errorf("use alone has made a session: %+v", s)
	}
	a.limits.Tokens.Bot, b.limits.Tokens.Bot = 0, 0
	a.wantSpent("bob", "1", session.FollowerSpent)
}

func usedOutlivesFollower(t *testing.T, h Harness) {
	a, b, ten := budgeted(t, h, options(), 10, 0)
	a.use("alice", "1", ten)
	a.clear("alice", "clear")
	b.wantSpent("alice", "2", session.FollowerSpent)
	b.forget("alice")
	a.wantSpent("alice", "2", session.FollowerSpent)
	b.wantUsed(10)
}

func usedOutlivesSession(t *testing.T, h Harness) {
	a, b, ten := budgeted(t, h, fleeting(), 10, 0)
	a.use("alice", "1", ten)
	b.wantGoes("alice")
	b.wantSpent("alice", "2", session.FollowerSpent)
}

func dayEnds(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	zone := dayFor(4 * time.Second)
	a.limits.Tokens = session.Budget{Follower: 10, Bot: 20, Zone: zone}
	b.limits = a.limits
	ten := session.Use{Tokens: 10, Zone: zone, Each: true}
	a.use("alice", "1", ten)
	b.use("bob", "1", ten)
	a.wantVerdict("alice", "2", session.FollowerSpent)
	b.wantVerdict("carol", "1", session.BotSpent)
	b.eventually("the bot's tokens are there anew", func() bool { return b.begin("carol", "1").Verdict == session.Started })
	a.eventually("the follower's tokens are there anew", func() bool { return a.begin("alice", "2").Verdict == session.Started })
	a.wantUsed(0)
	a.use("dave", "1", ten)
	b.wantUsed(10)
}

func usedByBotOnly(t *testing.T, h Harness) {
	a, b, ten := budgeted(t, h, options(), 10, 0)
	ten.Each = false
	a.use("alice", "1", ten)
	b.wantUsed(10)
	b.wantVerdict("alice", "2", session.Started)
}
