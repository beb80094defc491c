// Package session is the contract of the store that remembers a bot's followers: their conversation, their turns
// (one question and its answer each), how far the answers were delivered, and who is working on which turn.
//
// The promises of a bot rest on it: a question is recorded once however often and to whichever process it is
// delivered, the turns of one follower run in order, the turn of a dead process is taken over, the end of a turn wakes
// everybody who waits for it. Package follower has the rules, package records the one Store that keeps them, and
// memory, configmap and redis are where it keeps its records. Every store passes sessiontest.
//
// It knows nothing of HTTP, WeChat's XML, Dify or rendering: texts are opaque to it.
package session

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrLeaseLost is returned for a turn that its lease holder no longer holds: the lease ran out and another process
	// took the turn over, or the turn was cancelled, cleared or forgotten. The holder stops working on it and writes
	// nothing more.
	ErrLeaseLost = errors.New("the lease on the turn is lost")

	// ErrElsewhere is part of the error of a store that one process has at a time, while another one has it: a later
	// delivery of the message meets that one, or this one has the sessions by then.
	ErrElsewhere = errors.New("another process has the sessions")

	// ErrClosed is part of the error of a store that this process has closed.
	ErrClosed = errors.New("the session store is closed")

	// ErrMoved is returned for a receipt that was composed at a cursor which has moved since: somebody else has
	// delivered what it would show.
	ErrMoved = errors.New("the cursor has moved")
)

// Key names one message of one follower. ID is unique among that follower's messages (WeChat's MsgId; a compound for
// events), not across followers.
type Key struct {
	Follower string // the openid
	ID       string
}

// State is how far a turn is.
type State uint8

// The states of a turn. It moves forward only; a turn that is taken over stays in Answering.
const (
	Accepted  State = iota + 1 // recorded, waits for the follower's turn before it or for a free place
	Answering                  // a process has claimed it
	Answered                   // over: Answer is complete
	Failed                     // over: Failure says why, Answer is what came before
	Cancelled                  // over: stopped, cleared or forgotten; Answer is what came before it was stopped
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

// Failures that the store itself gives a turn; all others are the engine's.
const (
	Stopped   = "stopped"   // by whoever runs the bot: see Store.Stop
	TimedOut  = "timedOut"  // its deadline passed before anybody asked
	Abandoned = "abandoned" // MaxAttempts processes have claimed it, and none has ended it
)

// MaxAttempts is how many processes may claim one turn. A question that ends its process must not go round all of them
// for ever.
const MaxAttempts = 3

// Media is a reference to something that a follower has sent and WeChat keeps.
type Media struct {
	Kind   string `json:"kind"`             // image, voice
	ID     string `json:"id,omitempty"`     // WeChat's media ID, good for three days
	URL    string `json:"url,omitempty"`    // where it can be fetched without the account's API
	Format string `json:"format,omitempty"` // amr, speex
}

// File is something that an answer has besides its words.
type File struct {
	ID   string `json:"id,omitempty"`   // Dify's
	Name string `json:"name,omitempty"` // as a person reads it
	Type string `json:"type,omitempty"` // image, document, audio, video, custom
	MIME string `json:"mime,omitempty"`
	URL  string `json:"url"` // absolute; Dify's addresses expire in minutes
	Size int64  `json:"size,omitempty"`
}

// Answer is what Dify has said: it is rendered when it is shown.
type Answer struct {
	Markdown string
	Files    []File
}

// Cursor is a place in a turn's rendered text. Sum is the checksum of all before it: it tells whether the text is still
// the same there.
type Cursor struct {
	At  int    `json:"at,omitempty"` // bytes
	Sum uint64 `json:"sum,omitempty"`
}

// Turn is one question and its answer, as the store has it at one moment. It is a copy: changing it changes nothing.
type Turn struct {
	Key      Key
	Question string
	Media    []Media
	State    State

	Answer  Answer // so far, as the lease holder last reported it; all of it when over
	Failure string // when Failed, or Answered but cut short: the code of the reason
	Ref     string // what the lease holder has noted of the turn: how Dify calls it

	AcceptedAt time.Time
	Deadline   time.Time // nobody asks Dify after it
	FinishedAt time.Time // zero until over
	Attempts   int       // how often it was claimed

	Cursor    Cursor // what the follower has got of the rendered text
	Delivered bool   // the follower has got the end of it; true at once if it was cancelled before any text came
	Pushing   bool   // over, and its lease holder sends what the follower has not got
	Sends     int    // how many messages of the account's API have carried parts of it
	Sending   Part   // the part whose send is under way, or has an unknown outcome

	Others     int       // other turns of the follower that are open, or over and undelivered, when this copy was made
	HumanUntil time.Time // of the follower's session
}

// Part is a piece of a turn's text that is sent by the account's API: from the cursor to To.
type Part struct {
	State SendState `json:"state,omitempty"`
	To    Cursor    `json:"to"`
	End   bool      `json:"end,omitempty"` // To is the end of the text, and the turn is over
}

// SendState is how far the send of a part is.
type SendState uint8

// The states of a send. A part that was sent is none any more: the cursor is behind it.
const (
	NotSending  SendState = iota
	Sending               // recorded before the call
	SendUnknown           // nobody knows whether the follower has got it: it is not sent again
)

// Window is a time in which WeChat lets the account write to a follower, and how often: something that the follower does
// opens it. Each kind is a window of its own; a new one replaces the earlier one of its kind.
type Window struct {
	Kind  string
	Lasts time.Duration
	Sends int
}

// SendVerdict is what became of the wish to send a part.
type SendVerdict uint8

// What BeginSend can say.
const (
	SendNow   SendVerdict = iota + 1 // recorded: send it
	SendMoved                        // the cursor is not where the part begins, or another part has an unknown outcome
	SendNot                          // no window is open, or a person serves the follower
)

// SendResult is what became of a send.
type SendResult uint8

// The results. Only after Sent the follower has got the part; after Uncertain nobody knows.
const (
	Sent         SendResult = iota + 1
	Refused                 // the windows stay as they are
	WindowClosed            // WeChat lets nothing through: the windows of before the send are closed
	Uncertain
)

// Session is what is remembered of one follower, as the store has it at one moment.
type Session struct {
	ConversationID string // Dify's; "" when there is none (any more)
	LastActive     time.Time
	HumanUntil     time.Time // a person serves the follower until then at most; zero if none does
	Turns          []Turn    // oldest first, at most Options.History, and what is still open
}

// Page is some of the sessions that a store has.
type Page struct {
	Sessions []Listed
	Next     string // where the next page begins, without an openid in it; "" if there is none
}

// Listed is a session without its texts.
type Listed struct {
	Follower string
	Session
	Bytes int64 // about what it takes, with its texts
}

// ErrNoPage is returned for a page that begins nowhere: the word for it is not one of List's.
var ErrNoPage = errors.New("no page begins there")

// Receipt is what the reply to one message shows. It is recorded before the reply is written, so that no two replies
// show the same, and taken back if the reply could not be written or the message is delivered again.
type Receipt struct {
	Message string // ID of the message that is replied to
	Turn    string // ID of the turn whose text is shown
	Before  Cursor // the turn's cursor as the reply was composed
	From    Cursor // where the text that is shown begins: Before, unless it is shown again
	To      Cursor // where it ends
	End     bool   // To is the end of the text, and the turn is over
}

// Options of a store, fixed for its lifetime.
type Options struct {
	Holder      string        // this process' name in leases; unique among all that share the store
	IdleTimeout time.Duration // a follower silent for so long is forgotten
	History     int           // turns kept a follower; open and undelivered ones are kept longer than delivered ones
	LeaseTTL    time.Duration // a process that has not renewed its leases for so long has lost them
}

// Limits protect the bot; they can change from call to call.
type Limits struct {
	Timeout     time.Duration // from a question's acceptance to its deadline; 0 is none
	Questions   int           // a follower's questions per Window; 0 is no limit
	Window      time.Duration // the allowance refills evenly over it
	Concurrency int           // turns of the bot that are answered at once, by all processes together
	Queue       int           // turns of the bot that may wait for a place
	Open        int           // turns of one follower that may be open at once, the running one included
	Tokens      Budget
}

// Question is a follower's message that wants an answer.
type Question struct {
	Key    Key
	Text   string
	Media  []Media
	Window *Window // that the message opens; nil if nothing is ever sent
	Ref    string  // the turn's, until its lease holder notes another
	Again  string  // the turn that failed whose question this is; once this one is recorded, that one counts as delivered
}

// Verdict is what became of a question.
type Verdict uint8

// What Begin can say.
const (
	Started       Verdict = iota + 1 // recorded now
	Joined                           // known already: this is another delivery of it
	Gone                             // known, and since then cleared or forgotten: it asks for nothing any more
	Busy                             // not recorded: the bot's queue is full
	TooManyOpen                      // not recorded: this follower has too many open questions
	RateLimited                      // not recorded: this follower has used up the allowance
	Served                           // not recorded: a person serves this follower, or is to
	FollowerSpent                    // not recorded: this follower has used up the day's tokens
	BotSpent                         // not recorded: the bot has used up the day's tokens
)

// Begun is Begin's answer. Turn is set for Started and Joined, Lease only when the turn could start at once.
type Begun struct {
	Verdict  Verdict
	Until    time.Time // with FollowerSpent and BotSpent: when the day ends
	Turn     Turn
	Delivery int // 1 for the first delivery of this message, counted over all processes
	Lease    *Lease
	Receipt  *Receipt // what an earlier delivery of this message has shown, taken back; nil if none has
}

// Opened is Open's answer.
type Opened struct {
	Session  Session
	Delivery int      // as in Begun
	Receipt  *Receipt // as in Begun
}

// Lease is the right to work on one turn. It lasts Options.LeaseTTL after the last Renew of its holder.
type Lease struct {
	Turn           Turn
	ConversationID string
	Fence          int64           // grows with every claim of the turn: a late writer is refused
	Left           time.Duration   // until the turn's deadline, by the store's clock; 0 if it has none
	Lost           <-chan struct{} // closed as soon as the store learns that the lease is lost; the holder may learn it sooner from ErrLeaseLost
	// OnLost calls f once Lost is closed, in a goroutine of its own, unless stop is called before.
	OnLost func(f func()) (stop func() bool)
}

// Claimed is Next's answer: a turn to work on, or turns that nobody works on any more.
type Claimed struct {
	Lease *Lease
	Ended []Turn // ended by the claim: their deadline has passed, or MaxAttempts processes have claimed them
}

// Progress is what a lease holder reports while it works.
type Progress struct {
	Markdown       string // the turn's answer so far
	Question       string // becomes the turn's: what was said in a voice message; "" leaves it
	ConversationID string // becomes the session's; "" leaves it
	Ref            string // becomes the turn's; "" leaves it
}

// Outcome ends a turn.
type Outcome struct {
	State          State // Answered, Failed or Cancelled
	Answer         Answer
	Failure        string
	ConversationID string // becomes the session's; "" forgets the session's
	Ref            string // "" leaves the turn's
	Use            Use
	Push           bool // the lease stays, to send what the follower has not got, until EndPush
	Media          bool // with Push: more than the text is to be sent, so that a reply which shows the end does not end it
}

// Pending counts what would be lost if this process stopped now.
type Pending struct {
	Open        int // turns accepted or answering
	Undelivered int // turns over whose end the follower has not got, finished within the last DeliveriesLast
}

const (
	// DeliveriesLast is how long after the end of a turn its question may still be delivered again: three deliveries
	// of five seconds. After that only the follower can ask for the answer.
	DeliveriesLast = 15 * time.Second

	// Dedupe is how long at least a message is remembered after its first delivery, also when its session is gone.
	Dedupe = time.Minute
)

// Store keeps the sessions of one bot. All methods are safe for concurrent use, by several processes too if the store
// is shared. An error means the store could not be asked, never that something is not there.
type Store interface {
	// Begin records a question as an accepted turn, once, and counts its deliveries. If it may claim and nothing is
	// ahead of it, the turn is claimed in the same step and Begun has the lease. After an error nobody knows whether
	// it is recorded: Begin again, which gives what the reply would have been, or Retract it.
	Begin(ctx context.Context, q Question, claim bool, l Limits) (Begun, error)

	// Retract cancels a question whose last Begin through this store has failed, if that has recorded it all the same:
	// its follower has been told that it was not taken. Otherwise it does nothing, as when a later delivery of the question has
	// recorded it, or waits for it.
	Retract(ctx context.Context, k Key) error

	// Next waits until a turn may be worked on and claims it: a waiting one whose turn it is, first come, first served
	// as exactly as the processes' clocks agree, or one whose lease ran out. The only other way out is an error, the
	// context's when it ends.
	Next(ctx context.Context, l Limits) (Claimed, error)

	// Renew renews all leases of this process.
	Renew(ctx context.Context) error

	// Progress reports on a turn; ErrLeaseLost if it is no longer the holder's.
	Progress(ctx context.Context, l *Lease, p Progress) error

	// Finish ends a turn, gives its place to the next, and wakes everybody who awaits it; ErrLeaseLost as above.
	Finish(ctx context.Context, l *Lease, o Outcome) error

	// BeginSend records that a part of a held turn is about to be sent, and takes the send out of the window that closes
	// first. Nobody else shows or sends the part until EndSend. If the holder dies before, its outcome is unknown.
	BeginSend(ctx context.Context, l *Lease, from Cursor, p Part) (SendVerdict, error)

	// EndSend records what became of the part; ErrLeaseLost as above, and its outcome is unknown then. Recorded once more
	// it changes nothing.
	EndSend(ctx context.Context, l *Lease, r SendResult) error

	// EndPush says that nothing more of a turn that is over is to be sent, and gives its lease up. all tells that the
	// follower has got all of it. ErrLeaseLost as above: a reply has shown the end meanwhile, and there was no more.
	EndPush(ctx context.Context, l *Lease, all bool) error

	// Contact notes something that the follower did and that opens a window, but for questions.
	Contact(ctx context.Context, follower string, w Window) error

	// Keep has media wait for the question that they belong to, at most so many, the youngest, for ten minutes, and
	// counts the message's deliveries; a later one adds nothing. waiting says how many wait.
	Keep(ctx context.Context, k Key, m Media, most int) (waiting int, err error)

	// Serve notes that a person serves the follower for so long at most; 0 ends it. Nothing is sent meanwhile.
	Serve(ctx context.Context, follower string, atMost time.Duration) error

	// Use counts what a turn has used whose end this process does not record: it was cancelled, cleared or forgotten.
	Use(ctx context.Context, follower string, u Use) error

	// Used tells what the bot has used on its day.
	Used(ctx context.Context) (Used, error)

	// Release gives a turn back unfinished, to be claimed by the next process at once; ErrLeaseLost as above.
	Release(ctx context.Context, l *Lease) error

	// Turn returns a turn as it is. One that is not there (any more) is Cancelled.
	Turn(ctx context.Context, k Key) (Turn, error)

	// Watch watches for the end of a turn, without asking the store anything: it neither fails nor waits. See Await.
	Watch(k Key) Watch

	// Open records one delivery of a message that asks no question and returns the follower's session.
	Open(ctx context.Context, k Key) (Opened, error)

	// Get returns the follower's session and records nothing; an empty one if there is none.
	Get(ctx context.Context, follower string) (Session, error)

	// List returns a page of the followers' sessions in no order, from where an earlier page says, or "". It has about so many
	// of them, or fewer although more come. Each session that is there all the while is on one page at least; a store whose
	// records are elsewhere may list one twice.
	List(ctx context.Context, from string, about int) (Page, error)

	// Show records what a reply is about to show; ErrMoved if the turn's cursor is not where the receipt says, unless
	// another reply to the same message has moved it: the follower gets one of them at most. A receipt for a turn or a
	// follower that is gone is dropped.
	Show(ctx context.Context, follower string, r Receipt) error

	// Unshow takes back what the reply to a message was to show: it could not be written.
	Unshow(ctx context.Context, k Key) error

	// Cancel cancels the follower's running turn, or else the next waiting one, and says which; ok is false if none
	// was open. k is the message that asks for it: its second delivery cancels nothing but gives the same answer.
	Cancel(ctx context.Context, k Key) (t Turn, ok bool, err error)

	// Stop ends what Cancel would, on the word of whoever runs the bot, and fails it with Stopped: unlike one who has asked for
	// it, the follower is still to be told. push has that sent as what a Finish with Push leaves. A turn that is over stays as
	// it is. k names the wish, not a message: asked again by it, Stop ends nothing but gives the same answer.
	Stop(ctx context.Context, k Key, push bool) (t Turn, ok bool, err error)

	// Clear forgets the follower's turns and conversation, cancels what is open, and returns the conversation.
	// k is the message that asks for it: its second delivery clears nothing. Neither the rate limit nor what was used is
	// cleared.
	Clear(ctx context.Context, k Key) (conversationID string, err error)

	// Forget deletes everything of a follower and returns the conversation that was known. What the follower has used
	// counts until the day ends, under a name that does not tell whose it is where that is kept outside of a process.
	Forget(ctx context.Context, follower string) (conversationID string, err error)

	// TakeHold takes one hold out of the bot's budget, which refills evenly; false if there is none left.
	TakeHold(ctx context.Context, perMinute int) (bool, error)

	// HoldDuty takes the account's duty for this process if no other has it, or renews it, for the given time from the
	// call's beginning. A holder that has neither renewed nor released it by then has lost it.
	HoldDuty(ctx context.Context, lasts time.Duration) (Duty, error)

	// ReleaseDuty gives the duty up if this process has it: any other can take it at once.
	ReleaseDuty(ctx context.Context) error

	// NoteDuty replaces the note that is kept with the duty, at most MaxNote bytes; ErrLeaseLost if this process has not
	// the duty. The note outlives its holder. A store that has lost it, as Memory does at each start, has "".
	NoteDuty(ctx context.Context, note string) error

	// Pending counts what would be lost if this process stopped now: nothing if the sessions are durable.
	Pending(ctx context.Context) (Pending, error)

	// Waiting counts the followers whose next question waits to be claimed: the queue of the bot, for all processes together.
	Waiting(ctx context.Context) (int, error)

	// Durable tells whether sessions outlive the process, so that another one can take over its turns.
	Durable() bool

	// Ping says whether the store answers, and does all that the bot needs of it.
	Ping(ctx context.Context) error
}
