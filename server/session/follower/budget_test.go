package follower

import (
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func TestTally(t *testing.T) {
	day := At(time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC))
	noon, midnight := day.add(12*time.Hour), day.add(24*time.Hour)
	for _, c := range []struct {
		name  string
		tally Tally
		now   Time
		spent Spent
		want  Tally
	}{
		{"the first of a day", Tally{}, noon, Spent{Tokens: 5, Until: midnight}, Tally{5, midnight}},
		{"more on the same day", Tally{5, midnight}, noon, Spent{Tokens: 7, Until: midnight}, Tally{12, midnight}},
		{"another zone does not end the day", Tally{5, midnight}, noon, Spent{Tokens: 7, Until: midnight.add(time.Hour)}, Tally{12, midnight}},
		{"the next day", Tally{5, midnight}, midnight, Spent{Tokens: 7, Until: midnight.add(24 * time.Hour)}, Tally{7, midnight.add(24 * time.Hour)}},
		{"the clock was wrong", Tally{5, midnight.add(8760 * time.Hour)}, noon, Spent{Tokens: 7, Until: midnight}, Tally{7, midnight}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.tally.Add(c.now, c.spent); got != c.want || got.At(c.now) != c.want.Tokens || got.At(c.want.Until) != 0 {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestBudget(t *testing.T) {
	shanghai := time.FixedZone("", 8*60*60)
	now := time.Date(2026, 11, 28, 17, 0, 0, 0, time.UTC)
	ends := time.Date(2026, 11, 29, 16, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		budget session.Budget
		used   Totals
		want   session.Verdict
	}{
		{"no budget", session.Budget{}, Totals{Used: 1e9, FollowerUsed: 1e9}, session.Started},
		{"all but one token", session.Budget{Follower: 10, Bot: 20}, Totals{Used: 19, FollowerUsed: 9}, session.Started},
		{"the follower's is used up", session.Budget{Follower: 10, Bot: 20}, Totals{Used: 10, FollowerUsed: 10}, session.FollowerSpent},
		{"the bot's is used up", session.Budget{Follower: 10, Bot: 20}, Totals{Used: 20}, session.BotSpent},
		{"only the bot has one", session.Budget{Bot: 20}, Totals{Used: 25, FollowerUsed: 25}, session.BotSpent},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.budget.Zone = shanghai
			l := session.Limits{Questions: 5, Window: time.Hour, Concurrency: 1, Queue: 1, Open: 1, Tokens: c.budget}
			st := NewStep(&Record{}, now, c.used, session.Options{IdleTimeout: time.Hour, History: 1}, false)
			got := st.Begin(session.Question{Key: session.Key{ID: "1"}}, false, true, l)
			if got.Verdict != c.want {
				t.Fatalf("verdict %d, want %d", got.Verdict, c.want)
			}
			if c.want == session.Started {
				if want := (Guard{Running: 1, First: true, Used: c.budget.Bot, FollowerUsed: c.budget.Follower}); st.Guard != want || !got.Until.IsZero() {
					t.Errorf("guard %+v, want %+v", st.Guard, want)
				}
				return
			}
			if !got.Until.Equal(ends) || st.Changed || st.Allowance != 0 || len(st.Turns) != 0 {
				t.Errorf("refused until %v with the record %+v, want until %v and nothing of it", got.Until, st.Record, ends)
			}
		})
	}
}

func TestUse_OfNothing(t *testing.T) {
	st := NewStep(&Record{}, time.Now(), Totals{}, session.Options{}, false)
	st.Use(session.Use{Tokens: -1, Each: true})
	if st.Changed || st.Spent != (Spent{}) {
		t.Errorf("spent %+v", st.Spent)
	}
}
