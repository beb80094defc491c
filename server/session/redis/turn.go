package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Begin records a question. See session.Store.
func (s *Store) Begin(ctx context.Context, q session.Question, owner string, l session.Limits) (session.Begun, error) {
	id := idOf(q.Key)
	call := s.doubts.take(id)
	r, err := s.runList(ctx, beginScript, q.Key,
		q.Text, flagText(owner != ""), l.Questions, l.Window.Microseconds(), l.Concurrency, l.Queue, l.Open, call)
	if err != nil {
		s.doubts.keep(id, call)
		return session.Begun{}, err
	}
	begun := session.Begun{Verdict: session.Verdict(r.int(0)), Delivery: r.int(1)} //nolint:gosec // one of six
	turn := r.list(2)
	if turn == nil {
		return begun, nil
	}
	begun.Turn = turn.turn(q.Key.Follower)
	if begun.Verdict == session.Joined {
		begun.Receipt = readReceipt(q.Key.ID, r.text(3))
		return begun, nil
	}
	begun.Turn.Question = q.Text
	if fence := number(r.text(4)); fence != 0 {
		begun.Lease = s.lease(begun.Turn, r.text(5), owner, fence)
	}
	return begun, nil
}

// Retract cancels a turn that a failed Begin has recorded. See session.Store.
func (s *Store) Retract(ctx context.Context, k session.Key) error {
	id := idOf(k)
	call, ok := s.doubts.known(id)
	if !ok {
		return nil
	}
	if _, err := s.run(ctx, retractScript, follower(k.Follower), k.ID, call); err != nil {
		return err
	}
	s.doubts.take(id)
	return nil
}

// lease notes that this process holds a turn.
func (s *Store) lease(t session.Turn, conversation, owner string, fence int64) *session.Lease {
	return &session.Lease{
		Turn: t, ConversationID: conversation, Owner: owner, Fence: fence,
		Lost: s.leases.add(fence, idOf(t.Key)),
	}
}

// idOf names a turn among the bot's.
func idOf(k session.Key) turnID { return turnID(follower(k.Follower) + k.ID) }

// Progress reports on a turn. See session.Store.
func (s *Store) Progress(ctx context.Context, l *session.Lease, p session.Progress) error {
	v, err := s.runLease(ctx, progressScript, l, p.Partial, p.ConversationID, p.Note)
	return s.held(ctx, l, v, err)
}

// Finish ends a turn. Unless it is cancelled its Partial goes: Answer takes its place. See session.Store.
func (s *Store) Finish(ctx context.Context, l *session.Lease, o session.Outcome) error {
	if !o.State.Over() {
		return errors.New("finishing a turn: its outcome is not an end")
	}
	v, err := s.runLease(ctx, finishScript, l, int(o.State), o.Answer, o.Failure, o.ConversationID)
	if err := s.held(ctx, l, v, err); err != nil {
		return err
	}
	reply, _ := v.([]any)
	t := list(reply).turn(l.Turn.Key.Follower)
	t.Question, t.Answer = l.Turn.Question, o.Answer
	s.leases.drop(l.Fence, l.Lost)
	s.waiters.wake(idOf(l.Turn.Key), func() (session.Turn, error) { return t, nil })
	return nil
}

// Release gives a turn back. See session.Store.
func (s *Store) Release(ctx context.Context, l *session.Lease) error {
	v, err := s.runLease(ctx, releaseScript, l)
	if err := s.held(ctx, l, v, err); err != nil {
		return err
	}
	s.leases.drop(l.Fence, l.Lost)
	return nil
}

// runLease runs a script on a turn that is held.
func (s *Store) runLease(ctx context.Context, sc script, l *session.Lease, args ...any) (any, error) {
	s.leases.touch(l.Fence)
	k := l.Turn.Key
	all := append(make([]any, 0, 2+len(args)), k.ID, strconv.FormatInt(l.Fence, 10))
	return s.run(ctx, sc, follower(k.Follower), append(all, args...)...)
}

// held tells what has become of a call for a turn that is held: a script that has not found it so returns 0.
func (s *Store) held(ctx context.Context, l *session.Lease, reply any, err error) error {
	if err != nil {
		return err
	}
	if n, ok := reply.(int64); ok && n == 0 {
		s.leases.lose(l.Fence, l.Lost)
		s.waiters.wake(idOf(l.Turn.Key), s.fetch(ctx, l.Turn.Key)) // it may have ended
		return session.ErrLeaseLost
	}
	return nil
}

// Cancel cancels the turn that is next to end. Its Partial stays: it is what came before. See session.Store.
func (s *Store) Cancel(ctx context.Context, k session.Key) (cancelled session.Turn, ok bool, err error) {
	r, err := s.runList(ctx, cancelScript, k)
	switch {
	case err != nil || len(r) == 0:
		return session.Turn{}, false, err
	case len(r) == 2:
		return gone(session.Key{Follower: k.Follower, ID: r.text(0)}, r.int(1)), true, nil
	}
	return r.turn(k.Follower), true, nil
}

// Pending counts what is left behind. See session.Store.
func (s *Store) Pending(ctx context.Context) (session.Pending, error) {
	v, err := s.run(ctx, pendingScript, "")
	if err != nil {
		return session.Pending{}, err
	}
	r, err := asList(pendingScript, v)
	return session.Pending{Open: r.int(0), Untold: r.int(1)}, err
}

func flagText(is bool) string {
	if is {
		return "1"
	}
	return "0"
}

// asList is what a script that always returns a list has returned.
func asList(sc script, v any) (list, error) {
	l, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s: Redis returned %T", sc.doing, v)
	}
	return l, nil
}
