package wechatsim

import (
	"context"
	"fmt"
	"time"
)

// FaultToast is the line that current clients show when the account failed a follower.
const FaultToast = "该公众号提供的服务出现故障，请稍后再试"

// Outcome is how an exchange ended.
type Outcome string

const (
	// Replied means that a delivery was answered with a legal reply.
	Replied Outcome = "replied"
	// Silent means that a delivery was answered with "success" or nothing: there is no reply and no retry.
	Silent Outcome = "silent"
	// Fault means that every delivery failed.
	Fault Outcome = "fault"
	// Served means that an agent serves the follower: the message went to the agent and was not pushed.
	Served Outcome = "served"
	// Blocked means that MarkFail kept the message, or what deliveries it had left, from being pushed.
	Blocked Outcome = "blocked"
)

// Exchange is one message or event of a follower and all that came of it.
type Exchange struct {
	// Sent is the follower's own bubble; empty for an event.
	Sent string
	// MsgID is the message's id; 0 for an event.
	MsgID int64
	// Start is when the follower sent it, Took the time until the follower saw how it ended.
	Start time.Time
	Took  time.Duration
	// Deliveries are the pushes that were made, in order; none when the account was blocked.
	Deliveries []Delivery
	Outcome    Outcome
	// Toast says whether the follower saw FaultToast: after Fault and Blocked, unless it was an event that nobody waits for.
	Toast bool
	// Reply is what the follower was answered with, when Outcome is Replied.
	Reply
}

// EventType says what an Event tells.
type EventType string

const (
	// DeliveryStarted comes before a push goes out; of Delivery only N and Start are set.
	DeliveryStarted EventType = "delivery started"
	// DeliveryEnded comes when a push was judged.
	DeliveryEnded EventType = "delivery ended"
	// AccountBlocked comes when MarkFail stops the pushes.
	AccountBlocked EventType = "account blocked"
	// ExchangeEnded comes when a message is over; Exchange is set and must not be changed.
	ExchangeEnded EventType = "exchange ended"
	// BubbleShown comes when the follower sees what was not the reply to a push; Bubble is set.
	BubbleShown EventType = "bubble shown"
	// TypingShown comes when the client begins to show that the account is typing, and when a call ends it; Typing says which.
	TypingShown EventType = "typing shown"
	// SessionChanged comes when an agent's session begins or ends; Agent and Open are set.
	SessionChanged EventType = "session changed"
	// APICalled comes when a call of the server API was answered; Call is set.
	APICalled EventType = "API called"
)

// Call is one call of the server API.
type Call struct {
	API string
	// Code is what it was answered with, 0 for a success.
	Code int
	// Lost says that there was no such answer: by order, or because the caller had gone.
	Lost  bool
	Start time.Time
	Took  time.Duration
}

// Event is something that Options.Observer is told.
type Event struct {
	Type     EventType
	OpenID   string
	Delivery Delivery
	Exchange *Exchange
	Bubble   Bubble
	Typing   bool
	Agent    string
	Open     bool
	Call     Call
}

type observerKey struct{}

// WithObserver gives a context under which what a follower does is told to an observer of its own too, beside Options.Observer.
func WithObserver(ctx context.Context, observer func(Event)) context.Context {
	return context.WithValue(ctx, observerKey{}, observer)
}

func (p *Platform) observe(ctx context.Context, e Event) {
	if p.options.Observer != nil {
		p.options.Observer(e)
	}
	if observer, ok := ctx.Value(observerKey{}).(func(Event)); ok {
		observer(e)
	}
}

// exchange pushes m until it is answered or all deliveries have failed. The next delivery starts Timeout after the start of the one
// before, whether that one timed out or failed at once: the documentation speaks of a retry for both and of no other distance.
// An error means that ctx ended, or that m cannot be sent in the account's mode; the exchange then holds what happened until then.
func (f *Follower) exchange(ctx context.Context, m push) (*Exchange, error) {
	p := f.platform
	x := &Exchange{Sent: m.shown, MsgID: m.id, Start: time.Now()}
	if m.shown != "" {
		f.see(Bubble{At: x.Start, From: FromFollower, Type: m.kind, Text: m.shown, MediaID: m.media})
	}
	p.server.did(f, m.opens)
	switch m.event {
	case "subscribe":
		p.server.follows(f, true)
	case "unsubscribe":
		p.server.follows(f, false)
	case "":
		if p.server.toAgent(f.openid) {
			x.Outcome = Served
			p.observe(ctx, Event{Type: ExchangeEnded, OpenID: f.openid, Exchange: x})
			return x, nil
		}
	}
	p.stats.pushed()
	err := p.deliverAll(ctx, f.openid, m, x)
	x.Took = time.Since(x.Start)
	if err != nil {
		return x, err
	}
	f.conclude(m, x) //nolint:contextcheck // an agent's session is longer than what began it
	p.stats.ended(x)
	p.observe(ctx, Event{Type: ExchangeEnded, OpenID: f.openid, Exchange: x})
	return x, nil
}

func (p *Platform) deliverAll(ctx context.Context, openid string, m push, x *Exchange) error {
	x.Outcome = Fault
	for n := 1; n <= p.options.Deliveries; n++ {
		if n > 1 {
			if err := sleepUntil(ctx, x.Deliveries[n-2].Start.Add(p.options.Timeout)); err != nil {
				return fmt.Errorf("waiting for delivery %d: %w", n, err)
			}
		}
		if p.marks.blocked(time.Now()) {
			x.Outcome = Blocked
			return nil
		}
		d, reply, err := p.deliver(ctx, openid, m, n)
		if err != nil {
			return fmt.Errorf("making delivery %d: %w", n, err)
		}
		x.Deliveries = append(x.Deliveries, d)
		p.stats.delivered(d)
		p.observe(ctx, Event{Type: DeliveryEnded, OpenID: openid, Delivery: d})
		switch d.Verdict {
		case Answered:
			x.Outcome, x.Reply = Replied, reply
			return nil
		case Acknowledged:
			x.Outcome = Silent
			return nil
		default:
			if p.marks.failed(time.Now()) {
				p.observe(ctx, Event{Type: AccountBlocked, OpenID: openid, Delivery: d})
			}
		}
	}
	return nil
}

// conclude shows the follower how it ended.
func (f *Follower) conclude(m push, x *Exchange) {
	now := time.Now()
	switch x.Outcome {
	case Replied:
		f.platform.server.replied(f)
		if x.Type == "transfer_customer_service" {
			f.platform.server.transfer(f, x.KfAccount)
		}
		if x.Type != "transfer_customer_service" { // the follower sees nothing of a hand-over
			f.see(Bubble{At: now, From: FromAccount, Type: x.Type, Text: x.Text, Links: x.Links})
		}
	case Fault, Blocked:
		if x.Toast = m.repliable; x.Toast {
			f.see(Bubble{At: now, From: FromSystem, Type: "text", Text: FaultToast})
		}
	case Silent, Served:
	}
}

func sleepUntil(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() //nolint:wrapcheck // the caller wraps it
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller wraps it
	}
}
