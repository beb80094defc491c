package memory

import "time"

// allowance is a token bucket that refills evenly, kept as the one instant at which it would be full again
// (the generic cell rate algorithm). The zero value is a full bucket.
type allowance struct{ fullAt time.Time }

// within returns the bucket as it is if it can hold no more than window refills: at most empty. A bucket that was
// emptied when refilling took longer would otherwise stay empty for that long.
func (a allowance) within(now time.Time, window time.Duration) allowance {
	if latest := now.Add(window); a.fullAt.After(latest) {
		a.fullAt = latest
	}
	return a
}

// after returns the bucket with one token of n taken out, each window refilling all n; ok is false if none is left.
// It changes nothing, so that what is refused for another reason costs nothing.
func (a allowance) after(now time.Time, n int, window time.Duration) (taken allowance, ok bool) {
	from := a.fullAt
	if from.Before(now) {
		from = now
	}
	taken.fullAt = from.Add(window / time.Duration(n))
	return taken, taken.fullAt.Sub(now) <= window
}
