package follower

import (
	"slices"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Begin records a question as an accepted turn, once, or counts its delivery. If it is claimed, the record's lease is the
// caller's. again tells that this very delivery has perhaps been counted, by a call whose outcome is unknown.
func (s *Step) Begin(q session.Question, again, claim bool, l session.Limits) session.Begun {
	if b, known := s.joined(q.Key, again); known {
		return b
	}
	if q.Window != nil {
		s.Contact(*q.Window)
	}
	if s.Human > s.now {
		return session.Begun{Verdict: session.Served, Delivery: 1}
	}
	if refused, until := s.budget(l.Tokens); refused != 0 {
		return session.Begun{Verdict: refused, Until: until, Delivery: 1}
	}
	allowance, cost, ok := s.allowance(l)
	if !ok {
		s.Changed = s.Changed || s.Allowance != allowance
		s.Allowance = allowance
		return session.Begun{Verdict: session.RateLimited, Delivery: 1}
	}
	open := s.OpenTurns()
	if open >= l.Open {
		return session.Begun{Verdict: session.TooManyOpen, Delivery: 1}
	}
	claim = claim && s.head() == nil && !s.bot.Full && s.bot.Ready == 0 && s.bot.Running < l.Concurrency
	switch {
	case claim:
		s.Guard = Guard{Running: l.Concurrency, First: true}
	case s.bot.Full || s.bot.Open-s.bot.Running >= l.Queue:
		return session.Begun{Verdict: session.Busy, Delivery: 1}
	default:
		s.Guard = Guard{Waiting: l.Queue}
	}
	s.Guard.Used, s.Guard.FollowerUsed = l.Tokens.Bot, l.Tokens.Follower
	s.supersede(q.Again)
	t, media := s.accept(q, l.Timeout)
	t.cost, s.Allowance = cost, allowance
	if claim {
		t.State, t.Attempts = session.Answering, 1
		s.hold(t)
	}
	b := session.Begun{Verdict: session.Started, Delivery: t.Deliveries, Turn: s.Turn(q.Key)}
	b.Turn.Question, b.Turn.Media = q.Text, media
	return b
}

// joined counts another delivery of a message that is known as a question, or as something that is gone.
func (s *Step) joined(k session.Key, again bool) (b session.Begun, known bool) {
	if t := s.Find(k.ID); t != nil {
		t.count(again)
		s.touch()
		shown := s.takeBack(k.ID, &t.Seen)
		return session.Begun{Verdict: session.Joined, Delivery: t.Deliveries, Receipt: shown, Turn: s.Turn(k)}, true
	}
	if m := s.message(k.ID); m != nil && m.Kind != opening {
		m, _ = s.deliver(k.ID, m.Kind, again)
		return session.Begun{Verdict: session.Gone, Delivery: m.Deliveries}, true
	}
	return session.Begun{}, false
}

// supersede leaves nothing to show of a turn whose question is asked again: whoever asks again has read that it failed, and its text
// would come behind the new answer. The end of a part that is being sent is left to its sender.
func (s *Step) supersede(id string) {
	t := s.Find(id)
	if t == nil || !t.State.Over() || t.Sending.State == session.Sending {
		return
	}
	t.Delivered = true
	if t.Pushing {
		s.stopPushing(t)
	}
}

// accept records the question as the follower's last turn. Media that were kept for it are part of it.
func (s *Step) accept(q session.Question, timeout time.Duration) (*Turn, []session.Media) {
	s.touch()
	t := Turn{ID: q.Key.ID, State: session.Accepted, Accepted: s.now, NotDurable: s.durableLater, Ref: q.Ref, Seen: Seen{Deliveries: 1}}
	if timeout > 0 {
		t.Deadline = s.now.add(timeout)
	}
	if i := slices.IndexFunc(s.Messages, func(m Message) bool { return m.ID == t.ID }); i >= 0 { // it was only opened
		t.Seen = s.Messages[i].Seen // this delivery included
		s.Messages = slices.Delete(s.Messages, i, i+1)
	}
	var media []session.Media
	for i := range s.Kept {
		media = append(media, s.Kept[i].Media)
	}
	media = append(media, q.Media...)
	attached := encode(media)
	if s.durableLater && len(s.Kept) > 0 {
		t.kept = &keptMedia{s.Kept}
	}
	s.Kept = nil
	t.Question = len(q.Text) + len(attached)
	s.set(t.ID, QuestionText, q.Text)
	if attached != "" {
		s.set(t.ID, MediaText, attached)
	}
	s.Turns = append(s.Turns, t)
	return &s.Turns[len(s.Turns)-1], media
}

// allowance is what is left of the follower's questions with one more asked, and what that one costs; ok is false if
// none is left.
func (s *Step) allowance(l session.Limits) (left Time, cost time.Duration, ok bool) {
	if l.Questions <= 0 {
		return s.Allowance, 0, true
	}
	left, ok = Spend(s.Allowance, s.now, l.Questions, l.Window)
	return left, l.Window / time.Duration(l.Questions), ok
}

// Spend takes one out of an allowance of n that refills evenly over a window, kept as the one instant at which it is
// full again (the generic cell rate algorithm); ok is false if none is left. left is to be kept in both cases: one that
// was used up when it refilled more slowly, or before the clock was set back, is empty at most.
func Spend(full, now Time, n int, window time.Duration) (left Time, ok bool) {
	full = min(full, now.add(window))
	if left = max(now, full).add(window / time.Duration(n)); left.sub(now) > window {
		return full, false
	}
	return left, true
}

// MarkDurable says that a turn is durable: from now on it may be claimed.
func (s *Step) MarkDurable(id string) {
	if t := s.Find(id); t != nil && t.NotDurable {
		t.NotDurable, t.kept = false, nil
		s.Reindex = true
	}
}

// Withdraw undoes the Begin of a turn that could not be made durable, unless a later delivery than the given one has
// joined it: that one answers for it. What is left is that the message was delivered, so that the next delivery begins
// it anew.
func (s *Step) Withdraw(id string, delivery int) (withdrawn bool) {
	i := slices.IndexFunc(s.Turns, func(t Turn) bool { return t.ID == id })
	if i < 0 || !s.Turns[i].NotDurable || s.Turns[i].State.Over() || s.Turns[i].Deliveries > delivery {
		return false
	}
	t := s.Turns[i]
	if s.Lease != nil && s.Lease.Turn == id {
		s.revoke()
	}
	s.Turns = slices.Delete(s.Turns, i, i+1)
	s.Drop = append(s.Drop, id)
	s.Allowance = s.Allowance.add(-t.cost)
	if t.kept != nil {
		s.Kept = slices.Concat(t.kept.all, s.Kept)
	}
	s.Messages = append(s.Messages, Message{ID: id, Kind: opening, First: t.Accepted, Seen: t.Seen})
	s.Changed, s.Woken = true, true
	return true
}

// Retract cancels a question whose follower was told that it was not taken, if a step that was tried at a time has recorded it all the
// same, and nothing has come of it yet. If the message was delivered again since, the follower was not told in time: that delivery
// has recorded the question, or waits for it.
func (s *Step) Retract(id string, tried Time) {
	if t := s.Find(id); t != nil && !t.State.Over() && t.Deliveries == 1 && t.Accepted <= tried {
		s.cancel(t)
	}
}
