// Package session is the contract of the store that remembers a bot's followers: their conversation, their turns
// (one question and its answer each), what they have seen of the answers, and who is working on which turn.
//
// The promises of a bot rest on it: a question is recorded once however often and to whichever process it is
// delivered, the turns of one follower run in order, a dead owner's turn is taken over, a finished turn wakes
// everybody who waits for it. Every implementation passes sessiontest.
//
// It knows nothing of HTTP, WeChat's XML, Dify or rendering: texts are opaque to it.
package session

import (
	"context"
	"errors"
	"time"
)

// ErrLeaseLost is returned for a turn that its owner no longer holds: the lease ran out and another owner took the
// turn over, or the turn was cancelled, cleared or forgotten. The owner stops working on it and writes nothing more.
var ErrLeaseLost = errors.New("the turn is no longer held by this owner")

// ErrElsewhere is part of the error of a store that one process has at a time, while another one has it: a later
// delivery of the message meets that one, or this one has the sessions by then.
var ErrElsewhere = errors.New("another process has the sessions")

// Key names one message of one follower. ID is unique among that follower's messages (WeChat's MsgId; a compound for
// events), not across followers.
type Key struct {
	Follower string // the openid
	ID       string
}

// State is how far a turn is.
type State uint8

// The states of a turn. It moves forward only; a taken-over turn stays in Answering.
const (
	Accepted  State = iota + 1 // recorded, waits for its predecessor or for a free place
	Answering                  // an owner holds its lease
	Answered                   // over: Answer is complete
	Failed                     // over: Failure says why, Answer is what came before
	Cancelled                  // over: stopped, cleared or forgotten; Partial is what came before it was stopped
)

// Over tells whether nothing more will come.
func (s State) Over() bool { return s >= Answered }

func (s State) String() string {
	switch s {
	case Accepted:
		return "accepted"
	case Answering:
		return "answering"
	case Answered:
		return "answered"
	case Failed:
		return "failed"
	case Cancelled:
		return "cancelled"
	}
	return "unknown"
}

// Turn is one question and its answer, as the store has it at one moment. It is a copy: changing it changes nothing.
type Turn struct {
	Key      Key
	Question string
	State    State

	Partial string // while Answering, and when Cancelled: what has streamed in so far, as the owner last reported it
	Answer  string // when over: the text to show
	Failure string // when Failed, or Answered but cut short: the owner's code for the reason

	AcceptedAt time.Time
	FinishedAt time.Time // zero until over
	Attempts   int       // how often an owner has claimed it

	Seen    int    // bytes of the shown text that the follower has got
	SeenSum uint64 // checksum of those bytes, to notice that the text has changed since
	Told    bool   // the follower has got the end of it; true at once if it was cancelled before any text came

	Others int // other turns of the follower that are open, or over and not told, when this copy was made
}

// Session is what is remembered of one follower, as the store has it at one moment.
type Session struct {
	ConversationID string // Dify's; "" when there is none (any more)
	LastActive     time.Time
	Turns          []Turn // oldest first, at most Options.History, and what is still open
}

// Receipt records what the reply to one message has shown, so that the same message delivered again gets the same
// again, and the next fetch goes on behind it.
type Receipt struct {
	Message  string // ID of the message that was replied to
	Turn     string // ID of the turn whose text was shown
	From, To int    // bytes of that text
	FromSum  uint64 // checksum of text[:From]
	Sum      uint64 // checksum of text[:To]
	Told     bool   // To is its end, and the turn is over
}

// Options of a store, fixed for its lifetime.
type Options struct {
	IdleTimeout time.Duration // a follower silent for so long is forgotten
	History     int           // turns kept a follower; open and unseen ones are kept longer than told ones
	LeaseTTL    time.Duration // an owner that has not renewed for so long has lost its turn
}

// Limits protect the bot; they can change from call to call.
type Limits struct {
	Questions   int           // a follower's questions per Window; 0 is no limit
	Window      time.Duration // the allowance refills evenly over it
	Concurrency int           // turns of the bot that are answered at once, by all replicas together
	Queue       int           // turns of the bot that may wait for a place
	Open        int           // turns of one follower that may be open at once, the running one included
}

// Question is a follower's message that wants an answer.
type Question struct {
	Key  Key
	Text string
}

// Verdict is what became of a question.
type Verdict uint8

// What Begin can say.
const (
	Started     Verdict = iota + 1 // recorded now
	Joined                         // known already: this is another delivery of it
	Gone                           // known, and since then cleared or forgotten: it asks for nothing any more
	Busy                           // not recorded: the bot's queue is full
	Impatient                      // not recorded: this follower has too many open questions
	RateLimited                    // not recorded: this follower has used up the allowance
)

// Begun is Begin's answer. Turn is set for Started and Joined, Lease only when the turn could start at once.
type Begun struct {
	Verdict  Verdict
	Turn     Turn
	Delivery int // 1 for the first delivery of this message, counted over all replicas
	Lease    *Lease
	Receipt  *Receipt // what an earlier delivery of this message has shown; nil if none has
}

// Opened is Open's answer.
type Opened struct {
	Session  Session
	Delivery int      // as in Begun
	Receipt  *Receipt // what an earlier delivery of this message has shown; nil if none has
}

// Lease is the right to work on one turn. It lasts LeaseTTL after the last Progress.
type Lease struct {
	Turn           Turn
	ConversationID string
	Note           string // what the owner before has noted; "" if nothing
	Owner          string
	Fence          int64           // grows with every claim of the turn: a late writer is refused
	Lost           <-chan struct{} // closed as soon as the store learns that the lease is lost; the owner may learn it sooner from ErrLeaseLost
}

// Progress is what an owner reports while it works. Reporting renews the lease.
type Progress struct {
	Partial        string // replaces the turn's
	ConversationID string // "" leaves the session's
	Note           string // for whoever takes the turn over: gone with the turn's end; "" leaves the one before
}

// Outcome ends a turn.
type Outcome struct {
	State          State // Answered, Failed or Cancelled
	Answer         string
	Failure        string
	ConversationID string // becomes the session's; "" forgets the session's
}

// Pending counts what a process that wants to stop would leave behind.
type Pending struct {
	Open   int // turns accepted or answering
	Untold int // turns over whose end the follower has not got, finished within the last UntoldFor
}

// UntoldFor is how long after its end an answer that nobody has fetched counts in Pending: all deliveries of its
// question are over by then.
const UntoldFor = 15 * time.Second

// Dedupe is how long at least a message is remembered after its first delivery, also when its session is gone.
const Dedupe = time.Minute

// Store keeps the sessions of one bot. All methods are safe for concurrent use, by several processes too if the store
// is shared. An error means the store could not be asked, never that something is not there.
type Store interface {
	// Begin records a question as an accepted turn, once, and counts its deliveries. If nothing is ahead of it, it
	// is claimed for owner in the same step and Begun has the lease; owner "" never claims. After an error nobody knows
	// whether it is recorded: Begin again, which gives what the reply would have been, or Retract it.
	Begin(ctx context.Context, q Question, owner string, l Limits) (Begun, error)

	// Retract cancels a question whose last Begin through this handle has failed, if that has recorded it all the
	// same: its follower has been told that it was not taken. Otherwise it does nothing.
	Retract(ctx context.Context, k Key) error

	// Next waits until a turn may be worked on and claims it for owner: a waiting one whose turn it is, or one whose
	// owner's lease ran out. The only other way out is an error, the context's when it ends.
	Next(ctx context.Context, owner string, l Limits) (*Lease, error)

	// Progress reports on a turn and renews its lease; ErrLeaseLost if it is no longer the owner's.
	Progress(ctx context.Context, l *Lease, p Progress) error

	// Finish ends a turn, gives its place to the next, and wakes everybody who awaits it; ErrLeaseLost as above.
	Finish(ctx context.Context, l *Lease, o Outcome) error

	// Release gives a turn back unfinished, to be claimed by the next owner at once; ErrLeaseLost as above.
	Release(ctx context.Context, l *Lease) error

	// Await waits until the turn is over or ctx ends, and returns it as it is then (also when ctx ends: no error).
	// A turn that is not there (any more) is returned as Cancelled.
	Await(ctx context.Context, k Key) (Turn, error)

	// Open records one delivery of a message that asks no question and returns the follower's session.
	Open(ctx context.Context, k Key) (Opened, error)

	// Look returns the follower's session and records nothing; an empty one if there is none.
	Look(ctx context.Context, follower string) (Session, error)

	// Delivered records what a reply has shown. A receipt for a turn or a follower that is gone is dropped. One that
	// begins behind what the follower has seen changes nothing of the turn: what is between would never be shown.
	Delivered(ctx context.Context, follower string, r Receipt) error

	// Cancel cancels the follower's running turn, or else the next waiting one, and says which; ok is false if none
	// was open. k is the message that asks for it: its second delivery cancels nothing but gives the same answer.
	Cancel(ctx context.Context, k Key) (t Turn, ok bool, err error)

	// Clear forgets the follower's turns and conversation, cancels what is open, and returns the conversation.
	// k is the message that asks for it: its second delivery clears nothing. The rate limit is not cleared.
	Clear(ctx context.Context, k Key) (conversationID string, err error)

	// Forget deletes everything of a follower and returns the conversation that was known.
	Forget(ctx context.Context, follower string) (conversationID string, err error)

	// TakeHold takes one hold out of the bot's budget, which refills evenly; false if there is none left.
	TakeHold(ctx context.Context, perMinute int) (bool, error)

	// Pending counts what is left behind if this process stops now.
	Pending(ctx context.Context) (Pending, error)

	// Durable tells whether sessions outlive the process, so that another one can take over its turns.
	Durable() bool

	// Ping says whether the store answers.
	Ping(ctx context.Context) error
}
