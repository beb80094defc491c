package sessiontest

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func (m *model) begin(r *rapid.T) {
	by, claim := m.handle(r), rapid.Bool().Draw(r, "claims")
	name, f := m.follower(r)
	id := id(r, "question", 6)
	got := by.beginOr(claim, name, id)
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
		m.takeBack(msg)
		m.same(r, "joined", got.Turn, msg.turn)
		if diff := cmp.Diff(msg.receipt, got.Receipt); diff != "" {
			r.Fatalf("receipt (-want +got):\n%s", diff)
		}
	default:
		m.beginNew(r, by, claim, session.Key{Follower: name, ID: id}, f, got)
	}
}

func (m *model) beginNew(r *rapid.T, by *handle, claim bool, k session.Key, f *modelFollower, got session.Begun) {
	claims := claim && f.head() == nil && m.first() == nil && m.running() < m.limits.Concurrency
	var refusals []session.Verdict // any of them will do
	if m.limits.Questions > 0 && f.asked >= m.limits.Questions {
		refusals = append(refusals, session.RateLimited)
	}
	if f.count(notOver) >= m.limits.Open {
		refusals = append(refusals, session.TooManyOpen)
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
	if t.Attempts < session.MaxAttempts {
		m.claimed(r, by, t, by.wantNext(t.Key.Follower, t.Key.ID))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	c, err := by.store.Next(ctx, by.limits)
	by.check("Next", err)
	if len(c.Ended) != 1 || c.Ended[0].Key != t.Key || c.Ended[0].Failure != session.Abandoned {
		r.Fatalf("Next gave %+v, want turn %v ended: it was claimed %d times", c, t.Key, t.Attempts)
	}
	t.Failure = session.Abandoned
	m.ended(t, session.Failed)
	f := m.followers[t.Key.Follower]
	m.trim(f)
	if c.Lease != nil { // of the follower's next, which has its place, not of whoever waits longest
		m.claimed(r, by, f.head(), c.Lease)
	}
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
	l.turn.Answer.Markdown = m.text()
	conversation := rapid.SampledFrom([]string{"", "c1", "c2"}).Draw(r, "conversation")
	if conversation != "" {
		f.conversation = conversation
	}
	l.by.progress(l.lease, l.turn.Answer.Markdown, conversation)
}

func (m *model) finish(r *rapid.T) {
	l, f := m.inHand(r)
	if l == nil {
		return
	}
	o := session.Outcome{
		State:          rapid.SampledFrom([]session.State{session.Answered, session.Failed, session.Cancelled}).Draw(r, "state"),
		Answer:         session.Answer{Markdown: m.text()},
		Failure:        rapid.SampledFrom([]string{"", "reason"}).Draw(r, "failure"),
		ConversationID: rapid.SampledFrom([]string{"", "c1", "c2"}).Draw(r, "conversation"),
	}
	l.by.check("Finish", l.by.store.Finish(r.Context(), l.lease, o))
	l.turn.Answer, l.turn.Failure = o.Answer, o.Failure
	f.conversation = o.ConversationID
	m.ended(l.turn, o.State)
	m.trim(f)
	if slices.Contains(f.turns, l.turn) { // one with nothing to deliver may be the first to go
		m.same(r, "awaited", m.handle(r).await(l.turn.Key), l.turn)
	}
}

func (m *model) release(r *rapid.T) {
	if l, _ := m.inHand(r); l != nil {
		l.by.release(l.lease)
		m.unheld(l.turn)
	}
}

// late has a holder go on that no longer holds its turn.
func (m *model) late(r *rapid.T) {
	if len(m.lost) == 0 {
		return
	}
	l := rapid.SampledFrom(m.lost).Draw(r, "lost lease")
	ctx := r.Context()
	for what, err := range map[string]error{
		"Progress": l.by.store.Progress(ctx, l.lease, session.Progress{Markdown: "late", ConversationID: "late"}),
		"Finish":   l.by.store.Finish(ctx, l.lease, session.Outcome{State: session.Failed, Answer: session.Answer{Markdown: "late"}}),
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
	m.takeBack(msg)
	if got.Delivery != msg.deliveries || len(got.Session.Turns) != len(f.turns) || got.Session.ConversationID != f.conversation {
		r.Fatalf("opened %+v, want delivery %d", got, msg.deliveries)
	}
	if diff := cmp.Diff(msg.receipt, got.Receipt); diff != "" {
		r.Fatalf("receipt (-want +got):\n%s", diff)
	}
}

// receipt draws a receipt for one of the follower's messages: one that fits, or one that was composed too early.
func (m *model) receipt(r *rapid.T, f *modelFollower) (*modelMessage, *modelTurn, session.Receipt) {
	known := slices.Sorted(maps.Keys(f.messages))
	if len(known) == 0 {
		return nil, nil, session.Receipt{}
	}
	rc := session.Receipt{
		Message: rapid.SampledFrom(known).Draw(r, "message"),
		Turn:    id(r, "question", 6),
		To:      session.Cursor{At: rapid.IntRange(1, 9).Draw(r, "to"), Sum: rapid.Uint64().Draw(r, "sum")},
		End:     rapid.Bool().Draw(r, "end"),
	}
	i := slices.IndexFunc(f.turns, func(t *modelTurn) bool { return t.Key.ID == rc.Turn })
	if i < 0 {
		return f.messages[rc.Message], nil, rc
	}
	rc.Before = f.turns[i].Cursor
	if before := f.messages[rc.Message].receipt; before != nil && rapid.Bool().Draw(r, "beside") {
		rc.Before = before.Before
	}
	if rapid.IntRange(0, 4).Draw(r, "early") == 0 {
		rc.Before.At += 100
	}
	rc.From = rc.Before
	return f.messages[rc.Message], f.turns[i], rc
}

func (m *model) show(r *rapid.T) {
	name, f := m.follower(r)
	msg, t, rc := m.receipt(r, f)
	if msg == nil {
		return
	}
	err := m.handle(r).store.Show(r.Context(), name, rc)
	same := msg.receipt != nil && msg.receipt.Turn == rc.Turn && msg.receipt.Before == rc.Before && t != nil && msg.receipt.To == t.Cursor
	if t != nil && rc.Before != t.Cursor && !same {
		if !errors.Is(err, session.ErrMoved) {
			r.Fatalf("Show at %+v, the cursor is at %+v: %v, want ErrMoved", rc.Before, t.Cursor, err)
		}
		return
	}
	m.a.check("Show", err)
	if t == nil {
		return
	}
	if rc.Before == t.Cursor {
		msg.before = t.Delivered
	}
	msg.receipt = &rc
	t.Cursor, t.Delivered = rc.To, rc.End && t.State.Over()
}

func (m *model) unshow(r *rapid.T) {
	name, f := m.follower(r)
	known := slices.Sorted(maps.Keys(f.messages))
	if len(known) == 0 {
		return
	}
	message := rapid.SampledFrom(known).Draw(r, "message")
	m.a.check("Unshow", m.handle(r).store.Unshow(r.Context(), key(name, message)))
	m.takeBack(f.messages[message])
}

// takeBack takes back what the reply to a message was to show.
func (m *model) takeBack(msg *modelMessage) {
	if msg.receipt == nil {
		return
	}
	for _, f := range m.followers {
		for _, t := range f.turns {
			if t.Key.ID == msg.receipt.Turn && slices.Contains(slices.Collect(maps.Values(f.messages)), msg) && t.Cursor == msg.receipt.To {
				t.Cursor, t.Delivered = msg.receipt.Before, msg.before
			}
		}
	}
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
			if slices.Contains(f.turns, msg.stopped) { // with nothing to deliver it may be the first to go
				m.same(r, "cancelled", got, msg.stopped)
			}
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
