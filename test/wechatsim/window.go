package wechatsim

import (
	"time"
)

// trigger is what a follower does that opens a window for sends, each kind its own.
type trigger int

const (
	opensNothing trigger = iota
	opensByMessage
	opensByClick
	opensByFollow
	opensByScan
)

// windowRules is how many sends each opens, and for how long. A tap on a message's menu is a click.
var windowRules = map[trigger]struct {
	sends int
	life  time.Duration
}{
	opensByMessage: {5, 48 * time.Hour},
	opensByClick:   {3, time.Minute},
	opensByFollow:  {3, time.Minute},
	opensByScan:    {3, time.Minute},
}

// window is one that is open, or used up.
type window struct {
	ends time.Time
	left int
}

// contact is what the server API knows of a follower. The server's lock guards it.
type contact struct {
	windows  map[trigger]*window
	exchange time.Time            // the last message from either side
	typing   time.Time            // how long typing is shown
	sending  int                  // sends under way
	gone     bool                 // has left the account
	refuses  bool                 // takes no messages
	doubted  map[string]time.Time // sends by body, of which nobody knows what became
	menu     []Button             // the client's copy
	pulled   time.Time
}

// did notes what a follower does.
func (s *server) did(f *Follower, t trigger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &f.contact
	if t == opensNothing {
		return
	}
	now := time.Now()
	if c.windows == nil {
		c.windows = make(map[trigger]*window)
	}
	r := windowRules[t]
	c.windows[t] = &window{now.Add(r.life), r.sends} // a second one resets what is left, it adds nothing
	c.exchange = now
	clear(c.doubted)
}

// follows notes that a follower has come, or left: what has been open is closed then.
func (s *server) follows(f *Follower, follows bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.contact.gone = !follows
	if !follows {
		f.contact.windows = nil
		s.agents.leave(f.openid)
	}
}

// replied notes that the account has replied to a follower's push.
func (s *server) replied(f *Follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.contact.exchange = time.Now()
	f.contact.typing = time.Time{}
}

// open says whether any window is open, used up or not.
func (c *contact) open(now time.Time) bool {
	for _, w := range c.windows {
		if now.Before(w.ends) {
			return true
		}
	}
	return false
}

// spend takes one send, of the window that ends first; its errcode if there is none.
func (c *contact) spend(now time.Time) int {
	var first *window
	for _, w := range c.windows {
		if now.Before(w.ends) && w.left > 0 && (first == nil || w.ends.Before(first.ends)) {
			first = w
		}
	}
	switch {
	case first != nil:
		first.left--
		return 0
	case c.open(now):
		return 45047
	default:
		return 45015
	}
}

// SendsLeft is how many messages the account may send the follower now.
func (f *Follower) SendsLeft() int {
	f.platform.server.mu.Lock()
	defer f.platform.server.mu.Unlock()
	left, now := 0, time.Now()
	for _, w := range f.contact.windows {
		if now.Before(w.ends) {
			left += w.left
		}
	}
	return left
}

// Refuse makes the follower take no messages from the account, or take them again.
func (f *Follower) Refuse(refuses bool) {
	f.platform.server.mu.Lock()
	defer f.platform.server.mu.Unlock()
	f.contact.refuses = refuses
}

// Typing says whether the follower's client shows that the account is typing.
func (f *Follower) Typing() bool {
	f.platform.server.mu.Lock()
	defer f.platform.server.mu.Unlock()
	return time.Now().Before(f.contact.typing)
}
