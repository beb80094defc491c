package sessiontest

import (
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

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
	l.turn.Answer, l.turn.Failure = o.Answer, o.Failure
	if o.State != session.Cancelled {
		l.turn.Partial = ""
	}
	f.conversation = o.ConversationID
	m.ended(l.turn, o.State)
	m.trim(f)
	if slices.Contains(f.turns, l.turn) { // one with nothing to tell may be the first to go
		m.same(r, "awaited", m.handle(r).await(l.turn.Key), l.turn)
	}
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
		From:    rapid.IntRange(0, 9).Draw(r, "from"),
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
	if rc.From <= t.Seen {
		t.Seen, t.SeenSum, t.Told = rc.To, rc.Sum, rc.Told
	}
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
