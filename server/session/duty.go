package session

import "time"

// MaxNote bounds the note that is kept with the duty, in bytes.
const MaxNote = 256

// Duty is the right to do what is done once for the account, however many processes the bot has.
type Duty struct {
	// Until is when the right ends, by this process' clock; zero if another process has it. Whoever has it stops before,
	// unless it was renewed: the store does not give it to anybody else earlier.
	Until time.Time
	// Note is what the last holder has noted; "" if none has.
	Note string
}

// Held tells whether this process has the duty at a time.
func (d Duty) Held(now time.Time) bool { return now.Before(d.Until) }
