package turn

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	// humanAtMost is how long the bot is silent for a person at most, without another sign: WeChat itself ends a session after as long.
	humanAtMost = 30 * time.Minute
	// tellQueueAfter is how long after a hand-over a follower whom nobody serves yet is told to wait.
	tellQueueAfter = 3 * time.Second
)

// Agents are the people who serve followers in the account's name. It is safe for concurrent use.
type Agents interface {
	// Online tells whether any of them is there. An error is as good as nobody.
	Online(ctx context.Context) (bool, error)
	// Standing tells how a follower stands with them now.
	Standing(ctx context.Context, follower string) (Standing, error)
}

// Standing is how a follower stands with people.
type Standing int

// The standings.
const (
	Alone  Standing = iota // with the bot
	Queued                 // in the queue
	WithHuman
)

// asksForHuman tells whether a text asks for a person.
func (s *Settings) asksForHuman(text string) bool {
	return slices.ContainsFunc(s.HandoverWords, func(word string) bool { return strings.EqualFold(word, text) })
}

// handOver hands a follower over to a person, if one is there.
func (e *Engine) handOver(ctx context.Context, s *Settings, m Message) Reply {
	if m.Window != nil { // a line to who waits takes a send out of it
		w := *m.Window
		w.Sends--
		m.Window = &w
	}
	e.Contact(m)
	c := e.clock(s, m)
	if !e.humanOnline(ctx, c) {
		return e.notice(s.Texts.get(TextHumanOffline))
	}
	if m.Click { // an agent would see nothing of it but nonsense
		return e.notice(e.linked(s, TextToHuman))
	}
	o, err := within(ctx, e, c.deadline, func(ctx context.Context) (session.Opened, error) {
		o, err := e.Store.Open(ctx, m.key())
		if err == nil {
			err = e.Store.Serve(ctx, m.Follower, humanAtMost)
		}
		return o, err
	})
	if ctx.Err() != nil {
		return Reply{Kind: Held}
	}
	if err != nil { // the bot goes on with who is handed over, until WeChat tells that a person serves
		e.storeFailed("recording a hand-over", err)
	}
	if err == nil && o.Delivery == 1 {
		e.jobs.run(func() { e.tellQueue(s, m.Follower) })
	}
	return Reply{Kind: HandedOver}
}

func (e *Engine) humanOnline(ctx context.Context, c clock) bool {
	if e.Agents == nil {
		return false
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline)
	defer cancel()
	online, err := e.Agents.Online(ctx)
	return err == nil && online // why not is in the account's state
}

// tellQueue tells a follower to wait whom nobody serves yet, and how to go on with the bot. WeChat says nothing to them.
func (e *Engine) tellQueue(s *Settings, follower string) {
	if e.Pusher == nil || !e.Pusher.Able() || !pause(e.life, tellQueueAfter) {
		return
	}
	ctx, cancel := context.WithTimeout(e.life, callTimeout)
	defer cancel()
	if standing, err := e.Agents.Standing(ctx, follower); err == nil && standing == Queued {
		e.Pusher.Tell(ctx, follower, e.linked(s, TextAwaitingHuman))
	}
}

// whileHanded replies to a question that was not begun because its follower was handed over. handed is false if the follower is alone
// again, and the question can be begun: WeChat has not told, or nobody has heard.
func (e *Engine) whileHanded(ctx context.Context, s *Settings, m Message, c clock) (r Reply, handed bool) {
	standing := Queued // a person's followers send us nothing: whoever does waits
	if e.Agents != nil {
		asked, cancel := context.WithDeadline(ctx, c.deadline)
		if now, err := e.Agents.Standing(asked, m.Follower); err == nil {
			standing = now
		}
		cancel()
	}
	switch {
	case ctx.Err() != nil:
		return Reply{Kind: Held}, true
	case standing == WithHuman && m.Click:
		return Reply{Kind: Silent}, true
	case standing == WithHuman: // WeChat has sent it here a moment before: it is the agent's
		return Reply{Kind: HandedOver}, true
	case standing == Queued:
		return e.notice(e.linked(s, TextAwaitingHuman)), true
	}
	if err := e.serve(ctx, m, c, 0); err != nil {
		return e.unavailable(ctx, s, m, c, "recording the end of a hand-over", err, e.refuse(s, TextBusy)), true
	}
	return Reply{}, false
}

// backToBot lets a follower who waits go on with the bot. WeChat's queue keeps the follower: a person may still come.
func (e *Engine) backToBot(ctx context.Context, s *Settings, m Message) Reply {
	c := e.clock(s, m)
	if err := e.serve(ctx, m, c, 0); err != nil {
		return e.unavailable(ctx, s, m, c, "recording the end of a hand-over", err, e.refuse(s, TextBusy))
	}
	return e.notice(s.Texts.get(TextBotAgain))
}

func (e *Engine) serve(ctx context.Context, m Message, c clock, atMost time.Duration) error {
	_, err := within(ctx, e, c.reply, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, e.Store.Serve(ctx, m.Follower, atMost)
	})
	return err
}

// Human notes that a person begins to serve a follower, or has ended to.
func (e *Engine) Human(ctx context.Context, follower string, serves bool) error {
	atMost := time.Duration(0)
	if serves {
		atMost = humanAtMost
	}
	if err := e.Store.Serve(ctx, follower, atMost); err != nil {
		e.storeFailed("recording who serves a follower", err)
		return err
	}
	return nil
}

// withHuman tells whether a turn's follower was handed over.
func withHuman(t *session.Turn) bool { return t.HumanUntil.After(time.Now()) }
