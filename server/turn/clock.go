package turn

import "time"

const (
	// afterDeadline is what recording and composing a reply may take once the deadline of its delivery is there.
	afterDeadline = 250 * time.Millisecond
	// beforePatience is how long before the channel stops waiting a reply leaves at the latest: it takes its time to
	// get there.
	beforePatience = 100 * time.Millisecond
)

// clock says when what is due for one delivery.
type clock struct {
	deadline  time.Time // the turn is waited for until then
	reply     time.Time // a reply leaves by then, whatever the store does
	holdUntil time.Time // a delivery that is left to time out is over then
}

func (e *Engine) clock(s *Settings, m Message) clock {
	c := clock{deadline: m.Received.Add(s.Deadline), holdUntil: m.Received.Add(e.HoldFor)}
	c.reply = m.Received.Add(min(s.Deadline+afterDeadline, e.Patience-beforePatience))
	if c.deadline.After(c.reply) {
		c.deadline = c.reply
	}
	return c
}
