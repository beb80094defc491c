package sessiontest

import (
	"fmt"
	"maps"
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
		s := h.Open(t, o)
		m.a = &handle{r, s, "a", m.limits, modelMoment}
		m.b = &handle{r, h.Reopen(t, s), "b", m.limits, modelMoment}
		r.Repeat(map[string]func(*rapid.T){
			"begin":     m.begin,
			"next":      m.next,
			"progress":  m.progress,
			"finish":    m.finish,
			"release":   m.release,
			"late":      m.late,
			"open":      m.openMessage,
			"delivered": m.delivered,
			"cancel":    m.cancel,
			"clear":     m.clear,
			"forget":    m.forget,
			"":          m.compare,
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

func over(t *modelTurn) bool    { return t.State.Over() }
func notOver(t *modelTurn) bool { return !t.State.Over() }
func untold(t *modelTurn) bool  { return !t.State.Over() || !t.Told }

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
	if l.Fence <= m.leases[t.Key] || l.Owner != by.owner || l.ConversationID != m.followers[t.Key.Follower].conversation {
		r.Fatalf("lease %+v after fence %d", l, m.leases[t.Key])
	}
	m.leases[t.Key] = l.Fence
	m.same(r, "leased", l.Turn, t)
}

// unheld takes a turn from its owner, who may try to go on all the same.
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
	m.unheld(t)
	m.open = slices.DeleteFunc(m.open, func(o *modelTurn) bool { return o == t })
}

func (m *model) trim(f *modelFollower) {
	for f.count(over) > m.history {
		i := slices.IndexFunc(f.turns, func(t *modelTurn) bool { return over(t) && t.Told })
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
	want.Others = f.count(func(o *modelTurn) bool { return o != t && untold(o) })
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(session.Turn{}, "AcceptedAt", "FinishedAt")); diff != "" {
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
	if p := m.b.pending(); p.Open != len(m.open) {
		r.Fatalf("pending %+v, want %d open", p, len(m.open))
	}
	for _, l := range m.held {
		l.by.wantOpen(l.lease.Lost)
	}
}

func (m *model) begin(r *rapid.T) {
	by, owner := m.handle(r), ""
	if rapid.Bool().Draw(r, "claims") {
		owner = by.owner
	}
	name, f := m.follower(r)
	id := id(r, "question", 6)
	got := by.beginAs(owner, name, id)
	msg := f.messages[id]
	switch {
	case f.buried[id]:
		if got.Verdict != session.Gone || got.Delivery < 2 {
			r.Fatalf("begun a forgotten question: %+v", got)
		}
	case msg != nil && msg.turn == nil:
		msg.deliveries++
		if got.Verdict != session.Gone || got.Delivery != msg.deliveries {
			r.Fatalf("begun a question that is gone: %+v, want delivery %d", got, msg.deliveries)
		}
	case msg != nil:
		msg.deliveries++
		if got.Verdict != session.Joined || got.Delivery != msg.deliveries || got.Lease != nil {
			r.Fatalf("joined %+v, want delivery %d", got, msg.deliveries)
		}
		m.same(r, "joined", got.Turn, msg.turn)
		if diff := cmp.Diff(msg.receipt, got.Receipt); diff != "" {
			r.Fatalf("receipt (-want +got):\n%s", diff)
		}
	default:
		m.beginNew(r, by, owner, session.Key{Follower: name, ID: id}, f, got)
	}
}

func (m *model) beginNew(r *rapid.T, by *handle, owner string, k session.Key, f *modelFollower, got session.Begun) {
	claims := owner != "" && f.head() == nil && m.first() == nil && m.running() < m.limits.Concurrency
	var refusals []session.Verdict // any of them will do
	if m.limits.Questions > 0 && f.asked >= m.limits.Questions {
		refusals = append(refusals, session.RateLimited)
	}
	if f.count(notOver) >= m.limits.Open {
		refusals = append(refusals, session.Impatient)
	}
	if !claims && len(m.open)-m.running() >= m.limits.Queue {
		refusals = append(refusals, session.Busy)
	}
	if len(refusals) > 0 {
		if !slices.Contains(refusals, got.Verdict) || got.Lease != nil {
			r.Fatalf("begun %+v, want one of %v", got, refusals)
		}
		return
	}
	if got.Verdict != session.Started || got.Delivery != 1 || (got.Lease != nil) != claims || got.Receipt != nil {
		r.Fatalf("begun %+v, want it started, claimed at once: %v", got, claims)
	}
	t := &modelTurn{Turn: session.Turn{Key: k, Question: "question " + k.ID, State: session.Accepted}}
	f.asked++
	f.turns = append(f.turns, t)
	f.messages[k.ID] = &modelMessage{deliveries: 1, turn: t}
	m.open = append(m.open, t)
	if claims {
		m.claimed(r, by, t, got.Lease)
	}
	m.same(r, "begun", got.Turn, t)
}

func (m *model) next(r *rapid.T) {
	by := m.handle(r)
	t := m.first()
	if t == nil || m.running() >= m.limits.Concurrency {
		by.wantNone()
		return
	}
	m.claimed(r, by, t, by.wantNext(t.Key.Follower, t.Key.ID))
}

// inHand draws a turn that somebody works on, nil if there is none.
func (m *model) inHand(r *rapid.T) (*modelLease, *modelFollower) {
	if len(m.held) == 0 {
		return nil, nil
	}
	l := rapid.SampledFrom(m.held).Draw(r, "lease")
	return l, m.followers[l.turn.Key.Follower]
}

func (m *model) progress(r *rapid.T) {
	l, f := m.inHand(r)
	if l == nil {
		return
	}
	l.turn.Partial = m.text()
	conversation := rapid.SampledFrom([]string{"", "c1", "c2"}).Draw(r, "conversation")
	if conversation != "" {
		f.conversation = conversation
	}
	l.by.progress(l.lease, l.turn.Partial, conversation)
}

func (m *model) finish(r *rapid.T) {
	l, f := m.inHand(r)
	if l == nil {
		return
	}
	o := session.Outcome{
		State:          rapid.SampledFrom([]session.State{session.Answered, session.Failed, session.Cancelled}).Draw(r, "state"),
		Answer:         m.text(),
		Failure:        rapid.SampledFrom([]string{"", "reason"}).Draw(r, "failure"),
		ConversationID: rapid.SampledFrom([]string{"", "c1", "c2"}).Draw(r, "conversation"),
	}
	l.by.check("Finish", l.by.store.Finish(r.Context(), l.lease, o))
	l.turn.Partial, l.turn.Answer, l.turn.Failure = "", o.Answer, o.Failure
	f.conversation = o.ConversationID
	m.ended(l.turn, o.State)
	m.trim(f)
	m.same(r, "awaited", m.handle(r).await(l.turn.Key), l.turn)
}

func (m *model) release(r *rapid.T) {
	if l, _ := m.inHand(r); l != nil {
		l.by.release(l.lease)
		m.unheld(l.turn)
	}
}

// late has an owner go on that no longer holds its turn.
func (m *model) late(r *rapid.T) {
	if len(m.lost) == 0 {
		return
	}
	l := rapid.SampledFrom(m.lost).Draw(r, "lost lease")
	ctx := r.Context()
	for what, err := range map[string]error{
		"Progress": l.by.store.Progress(ctx, l.lease, session.Progress{Partial: "late", ConversationID: "late"}),
		"Finish":   l.by.store.Finish(ctx, l.lease, session.Outcome{State: session.Failed, Answer: "late"}),
		"Release":  l.by.store.Release(ctx, l.lease),
	} {
		if err != session.ErrLeaseLost { //nolint:errorlint // the sentinel itself is promised
			r.Fatalf("%s with a lost lease: %v, want ErrLeaseLost", what, err)
		}
	}
}

func (m *model) openMessage(r *rapid.T) {
	name, f := m.follower(r)
	id := id(r, "opening", 3)
	if f.buried[id] {
		return
	}
	got := m.handle(r).open(name, id)
	msg := f.messages[id]
	if msg == nil {
		msg = &modelMessage{}
		f.messages[id] = msg
	}
	msg.deliveries++
	if got.Delivery != msg.deliveries || len(got.Session.Turns) != len(f.turns) || got.Session.ConversationID != f.conversation {
		r.Fatalf("opened %+v, want delivery %d", got, msg.deliveries)
	}
	if diff := cmp.Diff(msg.receipt, got.Receipt); diff != "" {
		r.Fatalf("receipt (-want +got):\n%s", diff)
	}
}

func (m *model) delivered(r *rapid.T) {
	name, f := m.follower(r)
	known := slices.Sorted(maps.Keys(f.messages))
	if len(known) == 0 {
		return
	}
	rc := session.Receipt{
		Message: rapid.SampledFrom(known).Draw(r, "message"),
		Turn:    id(r, "question", 6),
		From:    rapid.IntRange(0, 5).Draw(r, "from"),
		To:      rapid.IntRange(5, 9).Draw(r, "to"),
		FromSum: rapid.Uint64().Draw(r, "from sum"),
		Sum:     rapid.Uint64().Draw(r, "sum"),
		Told:    rapid.Bool().Draw(r, "told"),
	}
	i := slices.IndexFunc(f.turns, func(t *modelTurn) bool { return t.Key.ID == rc.Turn })
	if i < 0 || !f.turns[i].State.Over() {
		rc.Told = false
	}
	m.handle(r).delivered(name, rc)
	if i < 0 {
		return
	}
	t := f.turns[i]
	t.Seen, t.SeenSum, t.Told = rc.To, rc.Sum, rc.Told
	f.messages[rc.Message].receipt = &rc
}

func (m *model) cancel(r *rapid.T) {
	name, f := m.follower(r)
	id := id(r, "stop", 4)
	got, ok := m.handle(r).cancel(name, id)
	msg := f.messages[id]
	switch {
	case f.buried[id]:
		if ok {
			r.Fatalf("a forgotten cancellation cancelled %+v", got)
		}
	case msg != nil:
		if ok != (msg.stopped != nil) || ok && (got.Key != msg.stopped.Key || got.State != session.Cancelled) {
			r.Fatalf("cancelled %+v, %v once more, want %+v", got, ok, msg.stopped)
		}
	default:
		msg = &modelMessage{deliveries: 1, stopped: f.head()}
		f.messages[id] = msg
		if ok != (msg.stopped != nil) {
			r.Fatalf("cancelled %+v, %v, want %+v", got, ok, msg.stopped)
		}
		if ok {
			m.ended(msg.stopped, session.Cancelled)
			m.trim(f)
			m.same(r, "cancelled", got, msg.stopped)
		}
	}
}

// wipe forgets the follower's turns and conversation, which it returns.
func (m *model) wipe(f *modelFollower) string {
	for _, t := range slices.Clone(f.turns) {
		if !t.State.Over() {
			m.ended(t, session.Cancelled)
		}
		f.drop(t)
	}
	conversation := f.conversation
	f.conversation = ""
	return conversation
}

func (m *model) clear(r *rapid.T) {
	name, f := m.follower(r)
	id := id(r, "clearing", 3)
	want := ""
	if f.messages[id] == nil && !f.buried[id] {
		f.messages[id] = &modelMessage{deliveries: 1}
		want = m.wipe(f)
	}
	if got := m.handle(r).clear(name, id); got != want {
		r.Fatalf("cleared the conversation %q, want %q", got, want)
	}
}

func (m *model) forget(r *rapid.T) {
	name, f := m.follower(r)
	want := m.wipe(f)
	if got := m.handle(r).forget(name); got != want {
		r.Fatalf("forgot the conversation %q, want %q", got, want)
	}
	for id := range f.messages {
		f.buried[id] = true
	}
	clear(f.messages)
	f.asked = 0
}
