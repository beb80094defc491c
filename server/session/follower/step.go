package follower

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Totals are counts over all followers of the bot, and of what was used today.
type Totals struct {
	Running int  // followers with a lease
	Ready   int  // followers whose next turn anybody may claim
	Open    int  // turns that are not over
	Full    bool // there is no room for another question

	Used, FollowerUsed int64 // tokens, of the bot's day: by all, and by the step's follower
}

// Step is one change of a record. Make it with NewStep, call one of its rules, and keep the record and Effects together.
type Step struct {
	*Record
	Effects

	now          Time
	bot          Totals
	rules        session.Options
	durableLater bool
}

// Effects are what has to become true together with the record.
type Effects struct {
	Changed bool     // the record is not as it was
	Reindex bool     // where the follower is found may be wrong, though the record has not changed
	Woken   bool     // who awaits a turn of the follower, or holds one, has to look again
	Ended   []string // turns that a claim has ended, as nobody may work on them any more
	Set     []Text   // texts to keep
	Drop    []string // turns all of whose texts go
	Spent   Spent    // to be counted
	Guard   Guard    // under which alone the record may be kept
}

// Guard is what the bot's totals have to be when a step is kept. Its zero value demands nothing.
type Guard struct {
	Running int  // fewer may run than this
	First   bool // nobody may be ready
	Waiting int  // fewer may be open and not running than this

	Used, FollowerUsed int64 // fewer tokens may have been used than this
}

// TextKind says which of a turn's texts one is.
type TextKind byte

// The texts of a turn.
const (
	QuestionText TextKind = 'q'
	MediaText    TextKind = 'm' // JSON of the question's media
	AnswerText   TextKind = 'a'
	FilesText    TextKind = 'f' // JSON of the answer's files
)

// TextKinds are all of them.
var TextKinds = []TextKind{QuestionText, MediaText, AnswerText, FilesText}

// Text is one text of a turn; an empty value is none.
type Text struct {
	Turn  string
	Kind  TextKind
	Value string
}

// tolerance is how far a clock may be behind the record's without having been set back: processes do not agree exactly.
const tolerance = time.Second

// Now is when the step is taken.
func (s *Step) Now() Time { return s.now }

// NewStep begins a step on a record, which may be new. The bot's totals may be guessed: Effects.Guard says under which
// the step is right. durableLater tells that turns become durable after the step, by MarkDurable.
func NewStep(r *Record, now time.Time, bot Totals, rules session.Options, durableLater bool) *Step {
	s := &Step{Record: r, now: At(now), bot: bot, rules: rules, durableLater: durableLater}
	r.Format = Format
	r.Clock = max(r.Clock, r.Active)
	if behind := r.Clock.sub(s.now); behind > tolerance {
		r.shift(-behind)
	}
	s.now = max(s.now, r.Clock+1) // no two steps have the same time, so that turns have an order
	r.Clock = s.now
	s.expire()
	return s
}

// shift moves all times. A clock that was set back, as that of a Redis to which another has failed over, takes the
// record with it: what had a minute left still has a minute.
func (r *Record) shift(d time.Duration) {
	move := func(times ...*Time) {
		for _, t := range times {
			if *t != 0 {
				*t = max(t.add(d), 1)
			}
		}
	}
	move(&r.Clock, &r.Active, &r.Allowance, &r.Human)
	for i := range r.Turns {
		move(&r.Turns[i].Accepted, &r.Turns[i].Deadline, &r.Turns[i].Finished, &r.Turns[i].SendingSince)
	}
	for i := range r.Messages {
		move(&r.Messages[i].First)
	}
	for i := range r.Windows {
		move(&r.Windows[i].Opened, &r.Windows[i].Until)
	}
	for i := range r.Kept {
		move(&r.Kept[i].At)
	}
}

// Idle tells whether the follower has been silent for so long that everything but the tombstone goes.
func (r *Record) Idle(now time.Time, after time.Duration) bool {
	return !r.Tombstone() && r.head() == nil && At(now).sub(r.Active) >= after
}

// expire lets go what time has ended.
func (s *Step) expire() {
	if s.Idle(s.now.Time(), s.rules.IdleTimeout) {
		s.leaveTombstone()
	}
	if s.Human != 0 && s.Human <= s.now {
		s.Human = 0
	}
	s.Windows = slices.DeleteFunc(s.Windows, func(w Window) bool { return w.Until <= s.now || w.Left <= 0 })
	s.Kept = slices.DeleteFunc(s.Kept, func(k Kept) bool { return s.now.sub(k.At) >= keepMediaFor })
	s.Messages = slices.DeleteFunc(s.Messages, func(m Message) bool { return s.now.sub(m.First) >= session.Dedupe })
	if over := len(s.Messages) - maxMessages; over > 0 {
		s.Messages = slices.Delete(s.Messages, 0, over)
	}
}

// leaveTombstone leaves of the record only which messages have been seen, as they may be delivered once more.
func (s *Step) leaveTombstone() {
	tombstone := Record{Format: Format, Clock: s.Clock, Fence: s.Fence}
	keep := func(m Message) {
		if s.now.sub(m.First) < session.Dedupe {
			tombstone.Messages = append(tombstone.Messages, m)
		}
	}
	for i := range s.Messages {
		m := s.Messages[i]
		m.Shown, m.Stopped = nil, ""
		if m.Kind == opening {
			m.Kind = question
		}
		keep(m)
	}
	for i := range s.Turns {
		t := &s.Turns[i]
		s.Drop = append(s.Drop, t.ID)
		keep(Message{ID: t.ID, Kind: question, First: t.Accepted, Seen: Seen{Deliveries: t.Deliveries}})
	}
	slices.SortFunc(tombstone.Messages, func(a, b Message) int { return int(a.First - b.First) })
	*s.Record = tombstone
	s.Changed, s.Woken = true, true
}

// touch notes that the follower is active. A tombstone becomes a session.
func (s *Step) touch() {
	s.Active = s.now
	s.Changed = true
}

// deliver counts a delivery of a message that is not a turn's, and tells whether it was known. again tells that it has
// perhaps been counted, by a call whose outcome is unknown.
func (s *Step) deliver(id string, kind Kind, again bool) (m *Message, known bool) {
	if m = s.message(id); m == nil {
		s.touch()
		s.Messages = append(s.Messages, Message{ID: id, Kind: kind, First: s.now, Seen: Seen{Deliveries: 1}})
		return &s.Messages[len(s.Messages)-1], false
	}
	m.count(again)
	s.Changed = true
	if !s.Tombstone() {
		s.touch()
	}
	return m, true
}

func (s *Seen) count(again bool) {
	if !again {
		s.Deliveries++
	}
}

// hold gives a turn to a holder.
func (s *Step) hold(t *Turn) {
	s.Fence = max(s.Fence+1, int64(s.now)) // also after the record was gone: an old lease fits no new turn
	s.Lease = &Lease{Turn: t.ID, Holder: s.rules.Holder, Fence: s.Fence}
	s.Changed = true
}

// Held is what a process knows of a lease of its own.
type Held struct {
	Turn  string
	Fence int64
}

// Holds tells whether the lease is the one that the record has.
func (r *Record) Holds(l Held) bool {
	return r.Lease != nil && r.Lease.Turn == l.Turn && r.Lease.Fence == l.Fence
}

// held returns the turn that the lease is for, nil if it is lost.
func (s *Step) held(l Held) *Turn {
	if !s.Holds(l) {
		return nil
	}
	return s.Find(l.Turn)
}

// revoke takes the lease from its holder, if there is one. Whether a part that was being sent has arrived, nobody knows.
func (s *Step) revoke() {
	if s.Lease == nil {
		return
	}
	if t := s.Find(s.Lease.Turn); t != nil && t.Sending.State == session.Sending {
		t.Sending.State = session.SendUnknown
		t.Pushing = false // what comes behind it would leave a hole
	}
	s.Lease = nil
	s.Changed, s.Woken = true, true
}

// end ends a turn that nobody holds any more. It is what the follower was last active with, so that the answer is kept
// as long as one to a new message.
func (s *Step) end(t *Turn, state session.State, failure string) {
	t.State, t.Failure, t.Finished = state, failure, s.now
	t.Delivered = state == session.Cancelled && t.Answer == 0 // there is nothing to deliver
	s.Woken = true
	s.touch()
	s.trim()
}

// trim lets turns go that are over and more than are to be kept: the oldest that was delivered, else the oldest.
func (s *Step) trim() {
	over := 0
	for i := range s.Turns {
		if s.Turns[i].State.Over() {
			over++
		}
	}
	for ; over > s.rules.History; over-- {
		i := slices.IndexFunc(s.Turns, func(t Turn) bool { return t.State.Over() && t.Delivered && !t.Pushing })
		if i < 0 {
			i = slices.IndexFunc(s.Turns, func(t Turn) bool { return t.State.Over() && !t.Pushing })
		}
		if i < 0 {
			return
		}
		s.drop(i)
	}
}

// drop forgets a turn that is over. Its message stays known for a while.
func (s *Step) drop(i int) {
	t := s.Turns[i]
	s.Turns = slices.Delete(s.Turns, i, i+1)
	s.Drop = append(s.Drop, t.ID)
	s.forgetShown(t.ID)
	if s.now.sub(t.Accepted) < session.Dedupe {
		s.Messages = append(s.Messages, Message{ID: t.ID, Kind: question, First: t.Accepted, Seen: Seen{Deliveries: t.Deliveries}})
	}
	s.Changed = true
}

// Shed forgets the oldest turn that is over, to make room; false if there is none, or none that was delivered if only
// such may go.
func (s *Step) Shed(delivered bool) bool {
	i := slices.IndexFunc(s.Turns, func(t Turn) bool {
		return t.State.Over() && !t.Pushing && (t.Delivered || !delivered)
	})
	if i < 0 {
		return false
	}
	s.drop(i)
	return true
}

// forgetShown forgets what replies have shown of a turn that is gone.
func (s *Step) forgetShown(turn string) {
	for i := range s.Turns {
		if shown := s.Turns[i].Shown; shown != nil && shown.Turn == turn {
			s.Turns[i].Shown = nil
		}
	}
	for i := range s.Messages {
		if shown := s.Messages[i].Shown; shown != nil && shown.Turn == turn {
			s.Messages[i].Shown = nil
		}
	}
}

func (s *Step) set(turn string, kind TextKind, value string) {
	s.Set = append(s.Set, Text{turn, kind, value})
}

// encode is the JSON of media or files; "" of none.
func encode[T any](list []T) string {
	if len(list) == 0 {
		return ""
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "" // they are plain data: it does not fail
	}
	return string(b)
}
