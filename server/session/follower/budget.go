package follower

import (
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// longestDay is how far away the end of a day can be: of one that seems to end later, the clock was wrong that said so.
const longestDay = 26 * time.Hour

// Tally counts tokens on one day. Stores keep one of the bot, and one of each follower beside the record, so that it
// outlives what the follower can have forgotten.
type Tally struct {
	Tokens int64 `json:"tokens"`
	Until  Time  `json:"until"` // when the day ends
}

// Over tells whether it is of another day than a time.
func (t Tally) Over(now Time) bool { return t.Until <= now || t.Until.sub(now) > longestDay }

// At is what was used on the day of a time.
func (t Tally) At(now Time) int64 {
	if t.Over(now) {
		return 0
	}
	return t.Tokens
}

// Add counts what a step has used. A day that has begun lasts as long as it was said at first.
func (t Tally) Add(now Time, s Spent) Tally {
	if t.Over(now) {
		t = Tally{Until: s.Until}
	}
	t.Tokens += s.Tokens
	return t
}

// Spent is what a step has used of the app.
type Spent struct {
	Tokens int64
	Until  Time // when the day ends
	Each   bool // it counts for the follower, too
}

// Use counts what a turn has used.
func (s *Step) Use(u session.Use) {
	if u.Tokens <= 0 {
		return
	}
	s.Spent = Spent{Tokens: u.Tokens, Until: At(session.DayEnd(s.now.Time(), u.Zone)), Each: u.Each}
	s.Changed = true
}

// budget says whether another question may use tokens, and until when it may not.
func (s *Step) budget(b session.Budget) (refused session.Verdict, until time.Time) {
	switch {
	case b.Follower > 0 && s.bot.FollowerUsed >= b.Follower:
		refused = session.FollowerSpent
	case b.Bot > 0 && s.bot.Used >= b.Bot:
		refused = session.BotSpent
	default:
		return 0, time.Time{}
	}
	return refused, session.DayEnd(s.now.Time(), b.Zone)
}
