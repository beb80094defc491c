// Package follower has the rules of sessions, once: what becomes of one follower's record when a question comes, is
// claimed, answered, shown, cancelled or forgotten.
//
// A Record is plain data, and a Step changes it: it is told the time and the bot's totals, and says in Effects what
// has to become true together with the record. There is no I/O, no clock, no lock and no goroutine in here. A store
// keeps the record and its effects in one step, or nothing of it; if somebody else was faster, it takes the step again
// on what is there then.
//
// A record holds no texts, only their sizes: a store keeps them beside it, by turn, so that a rule costs the same
// however long the answers are.
package follower

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Format is the version of a record's JSON. A store refuses records of a later one. Fields may be added without a new
// number; one that older servers would misread needs it.
const Format = 1

const (
	// maxMessages bounds the messages without a turn that are remembered of a follower, however young they are.
	maxMessages = 256
	// keepMediaFor is how long media wait for the question that they belong to.
	keepMediaFor = 10 * time.Minute
)

// Time is microseconds since 1970; zero is none.
type Time int64

// At is a time as records have it.
func At(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMicro())
}

// Time is the opposite of At.
func (t Time) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(t))
}

func (t Time) add(d time.Duration) Time { return t + Time(d.Microseconds()) }

func (t Time) sub(u Time) time.Duration { return time.Duration(t-u) * time.Microsecond }

// Record is everything that is kept of one follower but the texts.
type Record struct {
	Format       int       `json:"v"`
	Clock        Time      `json:"-"`                      // the latest time that a step was told, as far as it is known
	Active       Time      `json:"active,omitempty"`       // the last message, or the end of the last turn if that was later; zero of a tombstone
	Conversation string    `json:"conversation,omitempty"` // Dify's
	Allowance    Time      `json:"allowance,omitempty"`    // when the follower may ask all questions at once again
	Human        Time      `json:"human,omitempty"`        // until when a person serves the follower at most
	Fence        int64     `json:"fence,omitempty"`        // the last one given out
	Lease        *Lease    `json:"lease,omitempty"`        // on one of the turns
	Turns        []Turn    `json:"turns,omitempty"`        // oldest first
	Messages     []Message `json:"messages,omitempty"`     // without a turn of their own, oldest first
	Windows      []Window  `json:"windows,omitempty"`      // in which the follower may be written to
	Kept         []Kept    `json:"kept,omitempty"`         // media that wait for their question, oldest first
}

// Lease says who works on a turn.
type Lease struct {
	Turn   string `json:"turn"`
	Holder string `json:"holder"`
	Fence  int64  `json:"fence"`
}

// Turn is one question and its answer. Its ID is the question's message.
type Turn struct {
	ID           string         `json:"id"`
	State        session.State  `json:"state"`
	Accepted     Time           `json:"accepted"`
	Deadline     Time           `json:"deadline,omitempty"`
	Finished     Time           `json:"finished,omitempty"`
	Attempts     int            `json:"attempts,omitempty"`
	Question     int            `json:"question,omitempty"` // bytes, with its media
	Heard        int            `json:"heard,omitempty"`    // of them, what was heard in a recording
	Answer       int            `json:"answer,omitempty"`   // bytes
	Failure      string         `json:"failure,omitempty"`
	Ref          string         `json:"ref,omitempty"`
	Cursor       session.Cursor `json:"cursor,omitzero"`
	Delivered    bool           `json:"delivered,omitempty"`
	Pushing      bool           `json:"pushing,omitempty"` // over, and its holder sends what the follower has not got
	Sends        int            `json:"sends,omitempty"`
	Sending      session.Part   `json:"sending,omitzero"`
	SendingSince Time           `json:"sendingSince,omitempty"`
	Media        bool           `json:"media,omitempty"` // while it is pushed: more than the text is to be sent
	Seen
	// NotDurable is true until the store has made the turn durable: nobody claims it until then. It is never stored.
	NotDurable bool `json:"-"`
	cost       time.Duration
	kept       *keptMedia // what has waited for it, until it is durable
}

// keptMedia are behind a pointer, as turns are compared.
type keptMedia struct{ all []Kept }

// Seen is what is known of one message's deliveries.
type Seen struct {
	Deliveries int    `json:"deliveries,omitempty"`
	Shown      *Shown `json:"shown,omitempty"` // by the last reply; nil if by none
}

// Shown is a receipt but for its message.
type Shown struct {
	Turn      string         `json:"turn"`
	Before    session.Cursor `json:"before,omitzero"`
	From      session.Cursor `json:"from,omitzero"`
	To        session.Cursor `json:"to,omitzero"`
	End       bool           `json:"end,omitempty"`
	Delivered bool           `json:"delivered,omitempty"` // whether the turn was before
	Doubt     session.Part   `json:"doubt,omitzero"`      // the part that had perhaps been sent before
}

// Kind is what a message without a turn has asked for at its first delivery.
type Kind uint8

// The kinds.
const (
	opening  Kind = iota // nothing but the session
	question             // a turn, which is not there any more
	stop
	clearing
)

// Message is a message without a turn of its own.
type Message struct {
	ID      string `json:"id"`
	Kind    Kind   `json:"kind,omitempty"`
	First   Time   `json:"first"`
	Stopped string `json:"stopped,omitempty"` // of a stop: the turn that it has cancelled
	Seen
}

// Kept is media that wait for their question.
type Kept struct {
	session.Media
	At Time `json:"at"`
}

// Clone is a copy that shares nothing that a step changes.
func (r *Record) Clone() *Record {
	c := *r
	c.Turns, c.Messages = slices.Clone(r.Turns), slices.Clone(r.Messages)
	c.Windows, c.Kept = slices.Clone(r.Windows), slices.Clone(r.Kept)
	return &c
}

// Find returns a turn, nil if it is not there (any more). The pointer is good until turns are added or removed.
func (r *Record) Find(id string) *Turn {
	for i := len(r.Turns) - 1; i >= 0; i-- { // the youngest first, as those are asked for most
		if r.Turns[i].ID == id {
			return &r.Turns[i]
		}
	}
	return nil
}

func (r *Record) message(id string) *Message {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].ID == id {
			return &r.Messages[i]
		}
	}
	return nil
}

// seen returns what is known of a message, nil if it is not known.
func (r *Record) seen(id string) *Seen {
	if t := r.Find(id); t != nil {
		return &t.Seen
	}
	if m := r.message(id); m != nil {
		return &m.Seen
	}
	return nil
}

// OpenTurns counts the turns that are not over.
func (r *Record) OpenTurns() int {
	n := 0
	for i := range r.Turns {
		if !r.Turns[i].State.Over() {
			n++
		}
	}
	return n
}

// undelivered counts the turns but one that are open, or over and not delivered.
func (r *Record) undelivered(but string) int {
	n := 0
	for i := range r.Turns {
		if !r.Turns[i].Delivered && r.Turns[i].ID != but {
			n++
		}
	}
	return n
}

// Undelivered counts the turns whose question may still be delivered again, and whose end the follower has not got.
func (r *Record) Undelivered(now Time) int {
	n := 0
	for i := range r.Turns {
		t := &r.Turns[i]
		if t.State.Over() && !t.Delivered && now.sub(t.Finished) <= session.DeliveriesLast {
			n++
		}
	}
	return n
}

// head returns the turn that is to be worked on first: one whose parts are still to be sent, or else the first open one.
func (r *Record) head() *Turn {
	for i := range r.Turns {
		if t := &r.Turns[i]; t.Pushing || !t.State.Over() {
			return t
		}
	}
	return nil
}

// firstOpen returns the first turn that is not over.
func (r *Record) firstOpen() *Turn {
	for i := range r.Turns {
		if t := &r.Turns[i]; !t.State.Over() {
			return t
		}
	}
	return nil
}

// Ready tells whether somebody may claim a turn of the follower, and since when it waits.
func (r *Record) Ready() (since Time, ok bool) {
	if r.Lease != nil {
		return 0, false
	}
	t := r.head()
	if t == nil || t.NotDurable {
		return 0, false
	}
	return t.Accepted, true
}

// Tombstone tells whether nothing is left but which messages have been seen.
func (r *Record) Tombstone() bool { return r.Active == 0 }

// keepOpen is for how long at least a follower with open turns is kept: a bot that has been switched off for less still
// answers what it has accepted.
const keepOpen = 24 * time.Hour

// KeepFor is how long a store keeps the record from now on if nothing happens to it.
func (r *Record) KeepFor(idle time.Duration) time.Duration {
	switch {
	case r.Tombstone():
		return session.Dedupe
	case r.head() != nil:
		return max(idle, keepOpen) + session.Dedupe
	}
	return idle + session.Dedupe
}

// Rough sizes of what is kept beside the texts, for the account of bytes: the structs, their share of slices and maps,
// and what the allocator rounds up.
const (
	recordWeight  = 512
	turnWeight    = 320
	messageWeight = 128
	shownWeight   = 128
)

// Weight is about how many bytes the record and its texts take in memory.
func (r *Record) Weight() int64 {
	w := r.WeightWithoutTexts()
	for i := range r.Turns {
		w += int64(r.Turns[i].Question + r.Turns[i].Answer)
	}
	return w
}

// WeightWithoutTexts is about how many bytes the record takes in memory.
func (r *Record) WeightWithoutTexts() int64 {
	w := int64(recordWeight + len(r.Conversation))
	for i := range r.Turns {
		t := &r.Turns[i]
		w += turnWeight + int64(len(t.ID)+len(t.Failure)+len(t.Ref)) + t.weight()
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		w += messageWeight + int64(len(m.ID)+len(m.Stopped)) + m.weight()
	}
	for i := range r.Kept {
		w += messageWeight + int64(len(r.Kept[i].ID)+len(r.Kept[i].URL))
	}
	return w
}

func (s *Seen) weight() int64 {
	if s.Shown == nil {
		return 0
	}
	return shownWeight + int64(len(s.Shown.Turn))
}

// Turn is a turn as the engine gets it, without its texts; one that is not there is cancelled.
func (r *Record) Turn(k session.Key) session.Turn {
	t := r.Find(k.ID)
	if t == nil {
		return session.Turn{Key: k, State: session.Cancelled, Others: r.undelivered("")}
	}
	return session.Turn{
		Key: k, State: t.State, Failure: t.Failure, Ref: t.Ref, Attempts: t.Attempts,
		AcceptedAt: t.Accepted.Time(), Deadline: t.Deadline.Time(), FinishedAt: t.Finished.Time(),
		Cursor: t.Cursor, Delivered: t.Delivered, Pushing: t.Pushing, Sends: t.Sends, Sending: t.Sending,
		Others: r.undelivered(t.ID), HumanUntil: r.Human.Time(),
	}
}

// Session is what the engine gets of the follower, without the turns' texts.
func (r *Record) Session(follower string) session.Session {
	s := session.Session{ConversationID: r.Conversation, LastActive: r.Active.Time(), HumanUntil: r.Human.Time()}
	for i := range r.Turns {
		s.Turns = append(s.Turns, r.Turn(session.Key{Follower: follower, ID: r.Turns[i].ID}))
	}
	return s
}

// Listed is what a list of sessions has of the follower.
func (r *Record) Listed(openid string) session.Listed {
	return session.Listed{Follower: openid, Session: r.Session(openid), Bytes: r.Weight()}
}

// Texts are those of one turn.
type Texts struct{ Question, Media, Answer, Files string }

// Of is where the text of a kind is.
func (t *Texts) Of(k TextKind) *string {
	switch k {
	case QuestionText:
		return &t.Question
	case MediaText:
		return &t.Media
	case FilesText:
		return &t.Files
	default:
		return &t.Answer
	}
}

// Fill puts the texts into a turn.
func (t *Texts) Fill(into *session.Turn) error {
	into.Question, into.Answer.Markdown = t.Question, t.Answer
	if err := decode(t.Media, &into.Media); err != nil {
		return fmt.Errorf("media of a question: %w", err)
	}
	if err := decode(t.Files, &into.Answer.Files); err != nil {
		return fmt.Errorf("files of an answer: %w", err)
	}
	return nil
}

func decode[T any](text string, into *[]T) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// Busy tells whether there is a turn to be worked on.
func (r *Record) Busy() bool { return r.head() != nil }

// Check says what makes no sense in a record that was kept.
func (r *Record) Check() error {
	if r.Format < 1 || r.Format > Format {
		return fmt.Errorf("it has format %d, known are 1 to %d", r.Format, Format)
	}
	ids := make(map[string]bool, len(r.Turns)+len(r.Messages))
	for i := range r.Turns {
		t := &r.Turns[i]
		if t.ID == "" || ids[t.ID] || t.State < session.Accepted || t.State > session.Cancelled {
			return fmt.Errorf("a turn with an ID of %d bytes and state %d", len(t.ID), t.State)
		}
		ids[t.ID] = true
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.ID == "" || ids[m.ID] || m.Kind > clearing {
			return fmt.Errorf("a message with an ID of %d bytes and kind %d", len(m.ID), m.Kind)
		}
		ids[m.ID] = true
	}
	if r.Lease != nil && r.Find(r.Lease.Turn) == nil {
		return errors.New("a lease on no turn")
	}
	return nil
}
