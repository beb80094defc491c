package sessiontest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func modelCases() []Case {
	return []Case{{"thousands of random calls do as a simple model does", asModel}}
}

// model is a store in which nothing runs out, as plainly as it can be said. It is compared with the store after every
// call. What needs waiting or several callers at once is left to the other cases.
type model struct {
	a, b      *handle
	limits    session.Limits
	history   int
	followers map[string]*modelFollower
	open      []*modelTurn // of all followers, in the order in which they were accepted
	held      []*modelLease
	lost      []*modelLease
	leases    map[session.Key]int64 // the last fence of each turn
	texts     int                   // texts made up so far
}

// modelMoment is a moment for the model, which sees many of them.
const modelMoment = moment / 10

type modelFollower struct {
	conversation string
	asked        int // questions that count against the allowance
	turns        []*modelTurn
	messages     map[string]*modelMessage
	buried       map[string]bool // messages that were forgotten
}

type modelTurn struct {
	session.Turn
	running bool
}

type modelLease struct {
	by    *handle
	lease *session.Lease
	turn  *modelTurn
}

// String is what rapid shows of a drawn lease.
func (l *modelLease) String() string { return fmt.Sprint(l.turn.Key, " held by ", l.by) }

type modelMessage struct {
	deliveries int
	turn       *modelTurn // of a question, until it is gone
	stopped    *modelTurn // of a cancellation
	receipt    *session.Receipt
	before     bool // whether the receipt's turn was delivered before
}

// withoutDeadline hides testing.T's Deadline, which a synctest bubble does not allow rapid to ask for.
type withoutDeadline struct{ rapid.TB }

func asModel(t *testing.T, h Harness) {
	rapid.Check(withoutDeadline{t}, func(r *rapid.T) {
		m := &model{
			limits: session.Limits{
				Questions:   rapid.SampledFrom([]int{0, 6}).Draw(r, "questions"),
				Window:      1000 * time.Hour,
				Concurrency: rapid.IntRange(1, 3).Draw(r, "concurrency"),
				Queue:       rapid.IntRange(0, 4).Draw(r, "queue"),
				Open:        rapid.IntRange(1, 3).Draw(r, "open"),
			},
			history:   rapid.IntRange(1, 3).Draw(r, "history"),
			followers: map[string]*modelFollower{},
			leases:    map[session.Key]int64{},
		}
		o := options()
		o.History = m.history
		s := h.Open(t, named(o, "a"))
		m.a = &handle{r, s, "a", m.limits, modelMoment}
		m.b = &handle{r, h.Reopen(t, s, named(o, "b")), "b", m.limits, modelMoment}
		r.Repeat(map[string]func(*rapid.T){
			"begin":    m.begin,
			"next":     m.next,
			"progress": m.progress,
			"finish":   m.finish,
			"release":  m.release,
			"late":     m.late,
			"open":     m.openMessage,
			"show":     m.show,
			"unshow":   m.unshow,
			"cancel":   m.cancel,
			"clear":    m.clear,
			"forget":   m.forget,
			"":         m.compare,
		})
	})
}

var modelFollowers = []string{"alice", "bob", "carol", "dave"}

func (m *model) handle(r *rapid.T) *handle {
	return rapid.SampledFrom([]*handle{m.a, m.b}).Draw(r, "handle")
}

func (m *model) follower(r *rapid.T) (string, *modelFollower) {
	name := rapid.SampledFrom(modelFollowers).Draw(r, "follower")
	f := m.followers[name]
	if f == nil {
		f = &modelFollower{messages: map[string]*modelMessage{}, buried: map[string]bool{}}
		m.followers[name] = f
	}
	return name, f
}

// text makes up a text that is in the store nowhere else.
func (m *model) text() string {
	m.texts++
	return fmt.Sprint("text ", m.texts)
}

// id draws the ID of a message of a kind; each kind has few, so that most are delivered often.
func id(r *rapid.T, kind string, most int) string {
	return fmt.Sprint(kind, rapid.IntRange(1, most).Draw(r, kind))
}

func (f *modelFollower) head() *modelTurn {
	for _, t := range f.turns {
		if !t.State.Over() {
			return t
		}
	}
	return nil
}

func (f *modelFollower) count(which func(*modelTurn) bool) int {
	n := 0
	for _, t := range f.turns {
		if which(t) {
			n++
		}
	}
	return n
}

func over(t *modelTurn) bool        { return t.State.Over() }
func notOver(t *modelTurn) bool     { return !t.State.Over() }
func undelivered(t *modelTurn) bool { return !t.State.Over() || !t.Delivered }

// first returns the turn that may be worked on next, if there is a place.
func (m *model) first() *modelTurn {
	for _, t := range m.open {
		if !t.running && m.followers[t.Key.Follower].head() == t {
			return t
		}
	}
	return nil
}

func (m *model) running() int { return len(m.held) }

// claimed notes that a handle has got the turn.
func (m *model) claimed(r *rapid.T, by *handle, t *modelTurn, l *session.Lease) {
	t.running, t.State = true, session.Answering
	t.Attempts++
	m.held = append(m.held, &modelLease{by, l, t})
	if l.Fence <= m.leases[t.Key] || l.ConversationID != m.followers[t.Key.Follower].conversation {
		r.Fatalf("lease %+v after fence %d", l, m.leases[t.Key])
	}
	m.leases[t.Key] = l.Fence
	m.same(r, "leased", l.Turn, t)
}

// unheld takes a turn from its holder, who may try to go on all the same.
func (m *model) unheld(t *modelTurn) {
	t.running = false
	for i, l := range m.held {
		if l.turn == t {
			m.held = slices.Delete(m.held, i, i+1)
			m.lost = append(m.lost, l)
			return
		}
	}
}

// ended takes an open turn out of work.
func (m *model) ended(t *modelTurn, s session.State) {
	t.State = s
	if s == session.Cancelled && t.Answer.Markdown == "" {
		t.Delivered = true
	}
	m.unheld(t)
	m.open = slices.DeleteFunc(m.open, func(o *modelTurn) bool { return o == t })
}

func (m *model) trim(f *modelFollower) {
	for f.count(over) > m.history {
		i := slices.IndexFunc(f.turns, func(t *modelTurn) bool { return over(t) && t.Delivered })
		if i < 0 {
			i = slices.IndexFunc(f.turns, over)
		}
		f.drop(f.turns[i])
	}
}

func (f *modelFollower) drop(t *modelTurn) {
	f.turns = slices.DeleteFunc(f.turns, func(o *modelTurn) bool { return o == t })
	for _, msg := range f.messages {
		if msg.turn == t {
			msg.turn = nil
		}
		if msg.receipt != nil && msg.receipt.Turn == t.Key.ID {
			msg.receipt = nil
		}
	}
}

// same compares a copy of a turn with the model's.
func (m *model) same(r *rapid.T, what string, got session.Turn, t *modelTurn) {
	want := t.Turn
	f := m.followers[t.Key.Follower]
	want.Others = f.count(func(o *modelTurn) bool { return o != t && undelivered(o) })
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(session.Turn{}, "AcceptedAt", "FinishedAt"), cmpopts.EquateEmpty()); diff != "" {
		r.Fatalf("%s: turn %v (-want +got):\n%s", what, t.Key, diff)
	}
	if got.AcceptedAt.IsZero() || got.FinishedAt.IsZero() == got.State.Over() {
		r.Fatalf("%s: turn %v is %v, accepted at %v, finished at %v", what, t.Key, got.State, got.AcceptedAt, got.FinishedAt)
	}
}

// compare compares everything that can be looked at.
func (m *model) compare(r *rapid.T) {
	m.a.t, m.b.t = r, r
	for name, f := range m.followers {
		s := m.handle(r).look(name)
		if s.ConversationID != f.conversation || len(s.Turns) != len(f.turns) {
			r.Fatalf("%s: session %+v, want conversation %q and %d turns", name, s, f.conversation, len(f.turns))
		}
		for i, t := range f.turns {
			m.same(r, "in the session", s.Turns[i], t)
		}
		for _, t := range f.turns {
			m.same(r, "looked at", m.a.peek(t.Key), t)
		}
	}
	if p := m.b.pending(); p.Open != len(m.open) && !m.b.store.Durable() {
		r.Fatalf("pending %+v, want %d open", p, len(m.open))
	}
	for _, l := range m.held {
		l.by.wantOpen(l.lease.Lost)
	}
}
