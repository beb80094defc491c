package session

import "time"

// Budget is how many of the app's tokens may be used on a day. What was accepted before the budget was used up is answered.
type Budget struct {
	Follower int64          // by each follower; 0 is no limit
	Bot      int64          // by all together; 0 is no limit
	Zone     *time.Location // whose days they are; nil is UTC
}

// Use is what a turn has used of the app.
type Use struct {
	Tokens int64
	Zone   *time.Location // on whose day; nil is UTC
	Each   bool           // it counts for the follower, too; otherwise only for the bot
}

// Used is what the bot has used on a day.
type Used struct {
	Tokens int64
	Until  time.Time // when the day ends; zero if nothing was used on it yet
}

// DayEnd is when the day ends on which now is in a zone: at midnight there, or at the first full hour behind it where clocks
// are set forward over midnight.
func DayEnd(now time.Time, zone *time.Location) time.Time {
	if zone == nil {
		zone = time.UTC
	}
	year, month, day := now.In(zone).Date()
	for hour := 0; ; hour++ {
		end := time.Date(year, month, day+1, hour, 0, 0, 0, zone) // may be an hour before, if there is no such time
		if end.Day() != day && end.After(now) {
			return end
		}
	}
}
