package memory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Record is everything of one follower but who holds its turns, to be kept outside the process. Its JSON is what is
// kept: fields may be added, none may change its meaning. Times are milliseconds since 1970, zero is none.
type Record struct {
	Follower     string          `json:"follower"`
	Conversation string          `json:"conversation,omitempty"`
	Active       int64           `json:"active"`
	Allowance    int64           `json:"allowance,omitempty"` // when all questions are allowed again
	Turns        []TurnRecord    `json:"turns,omitempty"`
	Messages     []MessageRecord `json:"messages,omitempty"`
}

// TurnRecord is one turn of a Record.
type TurnRecord struct {
	ID       string        `json:"id"`
	Question string        `json:"question,omitempty"`
	State    session.State `json:"state"`
	Partial  string        `json:"partial,omitempty"`
	Answer   string        `json:"answer,omitempty"`
	Failure  string        `json:"failure,omitempty"`
	Note     string        `json:"note,omitempty"`
	Accepted int64         `json:"accepted"`
	Finished int64         `json:"finished,omitempty"`
	Attempts int           `json:"attempts,omitempty"`
	Seen     int           `json:"seen,omitempty"`
	SeenSum  uint64        `json:"seenSum,omitempty"`
	Told     bool          `json:"told,omitempty"`
	Order    uint64        `json:"order"` // among all turns of the bot
}

// MessageRecord is one message of a Record.
type MessageRecord struct {
	ID         string           `json:"id"`
	Kind       uint8            `json:"kind,omitempty"`
	First      int64            `json:"first"`
	Deliveries int              `json:"deliveries"`
	Stopped    string           `json:"stopped,omitempty"`
	Receipt    *session.Receipt `json:"receipt,omitempty"`
}

// Records copies the followers of a part, in no order.
func (s *Store) Records(part int) []Record {
	now := s.enter()
	defer s.leave(now)
	members := s.parts.members[part]
	records := make([]Record, 0, len(members))
	for f := range members {
		records = append(records, f.record())
	}
	return records
}

func (f *follower) record() Record {
	r := Record{
		Follower: f.openid, Conversation: f.conversation, Active: millis(f.active), Allowance: millis(f.allowance.fullAt),
		Turns: make([]TurnRecord, 0, len(f.turns)), Messages: make([]MessageRecord, 0, len(f.messages)),
	}
	for _, t := range f.turns {
		r.Turns = append(r.Turns, TurnRecord{
			ID: t.Key.ID, Question: t.Question, State: t.State, Partial: t.Partial, Answer: t.Answer, Failure: t.Failure, Note: t.note,
			Accepted: millis(t.AcceptedAt), Finished: millis(t.FinishedAt), Attempts: t.Attempts,
			Seen: t.Seen, SeenSum: t.SeenSum, Told: t.Told, Order: t.order,
		})
	}
	for i := range f.messages {
		m := &f.messages[i]
		r.Messages = append(r.Messages, MessageRecord{
			ID: m.id, Kind: uint8(m.kind), First: millis(m.first), Deliveries: m.deliveries, Stopped: m.stopped,
			Receipt: m.receipt, // never changed, only replaced
		})
	}
	return r
}

// Restore fills an empty store with what was kept. Turns that somebody held can be claimed at once; fence is less than
// every fence that will be given out. An error leaves the store in parts: it says what makes no sense in the records.
func (s *Store) Restore(records []Record, fence int64) error {
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Active, b.Active) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fence = fence
	for i := range records {
		if err := s.restore(&records[i]); err != nil {
			return err
		}
	}
	s.wake()
	return nil
}

func (s *Store) restore(r *Record) error {
	switch {
	case r.Follower == "":
		return errors.New("a follower without a name")
	case s.followers[r.Follower] != nil:
		return errors.New("a follower twice")
	}
	f := &follower{openid: r.Follower, conversation: r.Conversation, active: fromMillis(r.Active), ready: -1}
	f.allowance.fullAt = fromMillis(r.Allowance)
	bytes := followerWeight + int64(len(f.openid)+len(f.conversation))
	for i := range r.Turns {
		t, err := r.Turns[i].turn(r.Follower)
		if err != nil {
			return err
		}
		if f.find(t.Key.ID) != nil {
			return errors.New("a turn twice")
		}
		f.turns = append(f.turns, t)
		bytes += t.weight()
		if !t.State.Over() {
			f.open++
		}
		s.orders = max(s.orders, t.order)
	}
	linked := 0
	for i := range r.Messages {
		m, err := r.Messages[i].message(f)
		if err != nil {
			return err
		}
		if m.turn != nil {
			linked++
		} else {
			f.turnless++
		}
		bytes += m.weight()
		f.messages = append(f.messages, m)
	}
	if linked != len(f.turns) {
		return errors.New("a turn without its message")
	}
	s.admitRestored(f, bytes)
	return nil
}

func (s *Store) admitRestored(f *follower, bytes int64) {
	s.followers[f.openid] = f
	s.join(f)
	s.account(f, bytes)
	s.turns += len(f.turns)
	s.open += f.open
	if f.open == 0 {
		f.place = s.idle.PushBack(f)
	} else {
		f.place = s.busy.PushBack(f)
	}
	s.arrange(f)
}

func (r *TurnRecord) turn(follower string) (*turn, error) {
	if r.ID == "" || r.State < session.Accepted || r.State > session.Cancelled {
		return nil, fmt.Errorf("a turn with an ID of %d bytes and state %d", len(r.ID), r.State)
	}
	return &turn{order: r.Order, note: r.Note, Turn: session.Turn{
		Key: session.Key{Follower: follower, ID: r.ID}, Question: r.Question, State: r.State,
		Partial: r.Partial, Answer: r.Answer, Failure: r.Failure,
		AcceptedAt: fromMillis(r.Accepted), FinishedAt: fromMillis(r.Finished), Attempts: r.Attempts,
		Seen: r.Seen, SeenSum: r.SeenSum, Told: r.Told,
	}}, nil
}

func (r *MessageRecord) message(f *follower) (message, error) {
	if r.ID == "" || kind(r.Kind) > clearing || f.message(r.ID) != nil {
		return message{}, errors.New("a message that cannot be")
	}
	m := message{
		id: r.ID, kind: kind(r.Kind), first: fromMillis(r.First), deliveries: r.Deliveries, stopped: r.Stopped, receipt: r.Receipt,
	}
	if m.kind == question {
		m.turn = f.find(m.id)
	}
	return m, nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
