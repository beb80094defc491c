package turn

import (
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Kind says what a reply is, for metrics and tests.
type Kind string

// The kinds of reply.
const (
	Answer  Kind = "answer"  // an answer to its end
	Page    Kind = "page"    // a page of an answer, more follow
	Partial Kind = "partial" // what has come so far of an answer that still grows
	Waiting Kind = "waiting" // nothing has come yet
	Failed  Kind = "failed"  // the turn has failed: why, and how to try again
	Refused Kind = "refused" // the question was not accepted: busy, or over the follower's allowance
	Notice  Kind = "notice"  // a command's or an event's own line
	Silent  Kind = "silent"  // nothing to say: the message is acknowledged and that is all
	Held    Kind = "held"    // no reply at all: the channel is to deliver the message again
	Pushed  Kind = "pushed"  // the message is acknowledged: the answer comes outside any push

	HandedOver Kind = "handedOver" // the message, and its follower, are handed over to a person
)

// Reply is what one delivery is answered with. Text is empty for Silent, Held, Pushed and HandedOver. One that cannot be written is given
// to Unsend.
type Reply struct {
	Kind Kind
	Text string
	// Ready is when what is shown was complete, if this delivery has waited for it; else zero.
	Ready time.Time

	receipt *receipt
}

// receipt says what of whose turns a reply shows.
type receipt struct {
	follower string
	session.Receipt
}
