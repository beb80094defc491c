package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// maxInDoubt bounds the calls of Begin that are remembered because their outcome is unknown.
const maxInDoubt = 10_000

// Begin records a question. See session.Store.
func (s *Store) Begin(ctx context.Context, q session.Question, claim bool, l session.Limits) (session.Begun, error) {
	tried, again := s.takeInDoubt(q.Key)
	var b session.Begun
	var mine *follower.Lease
	var conversation string
	var notDurable bool
	var left time.Duration
	err := s.update(ctx, "recording a question", q.Key.Follower, func(st *follower.Step) {
		tried = st.Now()
		b = st.Begin(q, again, claim, l)
		mine, conversation, notDurable = nil, st.Conversation, false
		if t := st.Find(q.Key.ID); t != nil {
			notDurable, left = t.NotDurable, st.Left(t)
		}
		// What a call of this process with an unknown outcome has claimed is its own, too.
		if at := st.Lease; (b.Verdict == session.Started || again) && at != nil && at.Turn == q.Key.ID && at.Holder == s.holder {
			mine = new(*at)
		}
	})
	if err == nil && notDurable {
		err = s.makeDurable(ctx, q.Key, b, mine)
	}
	if err != nil {
		s.noteInDoubt(q.Key, tried)
		return session.Begun{}, err
	}
	switch b.Verdict {
	case session.Started:
	case session.Joined:
		if b.Turn, err = s.Turn(ctx, q.Key); err != nil {
			return session.Begun{}, err
		}
	default:
		return b, nil
	}
	if mine != nil {
		b.Lease = s.lease(b.Turn, conversation, mine.Fence, left)
	}
	return b, nil
}

// makeDurable waits until a question is durable, and then lets it be claimed. One that cannot be made durable in time was
// never accepted, unless a later delivery waits for it too.
func (s *Store) makeDurable(ctx context.Context, k session.Key, b session.Begun, mine *follower.Lease) error {
	err := s.port.AwaitDurable(ctx, k.Follower)
	after := context.WithoutCancel(ctx) // it is done in this process
	if err == nil {
		return s.update(after, "noting that a question is durable", k.Follower, func(st *follower.Step) { st.MarkDurable(k.ID) })
	}
	return errors.Join(err, s.update(after, "withdrawing a question", k.Follower, func(st *follower.Step) {
		if !st.Withdraw(k.ID, b.Delivery) && mine != nil {
			st.Release(follower.Held{Turn: k.ID, Fence: mine.Fence})
		}
	}))
}

// doubt is a Begin whose outcome is unknown.
type doubt struct {
	noted time.Time
	tried follower.Time // when its last step was taken, by the clock of records; zero if none was
}

// takeInDoubt tells whether the outcome of an earlier Begin of the question is unknown, and when it was tried; it is the caller's now.
func (s *Store) takeInDoubt(k session.Key) (tried follower.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.inDoubt[k]
	delete(s.inDoubt, k)
	return d.tried, ok
}

func (s *Store) noteInDoubt(k session.Key, tried follower.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.inDoubt) >= maxInDoubt {
		for old, d := range s.inDoubt {
			if now.Sub(d.noted) > session.Dedupe {
				delete(s.inDoubt, old)
			}
		}
	}
	if len(s.inDoubt) < maxInDoubt {
		s.inDoubt[k] = doubt{now, tried}
	}
}

// Retract cancels a question whose Begin has an unknown outcome. See session.Store.
func (s *Store) Retract(ctx context.Context, k session.Key) error {
	tried, ok := s.takeInDoubt(k)
	if !ok {
		return nil
	}
	err := s.update(ctx, "taking a question back", k.Follower, func(st *follower.Step) { st.Retract(k.ID, tried) })
	if err != nil {
		s.noteInDoubt(k, tried)
	}
	return err
}

// Next waits for a turn to work on. See session.Store.
func (s *Store) Next(ctx context.Context, l session.Limits) (session.Claimed, error) {
	for {
		candidate, err := s.port.Candidate(ctx, l.Concurrency)
		if err != nil {
			return session.Claimed{}, fmt.Errorf("waiting for a turn: %w", err)
		}
		// What is claimed has to be heard, also if the caller has stopped waiting meanwhile.
		c, err := s.claim(context.WithoutCancel(ctx), candidate, l)
		if err != nil || c.Lease != nil || len(c.Ended) > 0 {
			return c, err
		}
		if err := ctx.Err(); err != nil {
			return session.Claimed{}, fmt.Errorf("waiting for a turn: %w", err)
		}
	}
}

func (s *Store) claim(ctx context.Context, from Candidate, l session.Limits) (session.Claimed, error) {
	var c session.Claimed
	var mine *follower.Lease
	var conversation string
	var left time.Duration
	err := s.update(ctx, "claiming a turn", from.Follower, func(st *follower.Step) {
		c, mine, conversation = session.Claimed{}, nil, st.Conversation
		if st.Claim(from.Orphan, l) {
			mine, left = new(*st.Lease), st.Left(st.Find(st.Lease.Turn))
		}
		st.Changed, st.Reindex = true, true // a port that took the follower for a candidate in vain learns better
		for _, id := range st.Ended {
			c.Ended = append(c.Ended, st.Turn(session.Key{Follower: from.Follower, ID: id}))
		}
	})
	if err != nil || mine == nil {
		return c, err
	}
	t, err := s.Turn(ctx, session.Key{Follower: from.Follower, ID: mine.Turn})
	if err != nil {
		return c, err // the lease runs out
	}
	c.Lease = s.lease(t, conversation, mine.Fence, left)
	return c, nil
}

// Progress reports on a turn. See session.Store.
func (s *Store) Progress(ctx context.Context, l *session.Lease, p session.Progress) error {
	var held bool
	var err error
	if s.reported(l, p) {
		if held, err = s.port.Progress(ctx, l.Turn.Key, l.Fence, p.Markdown); err != nil {
			err = fmt.Errorf("reporting on a turn: %w", err)
		}
	} else {
		err = s.update(ctx, "reporting on a turn", l.Turn.Key.Follower, func(st *follower.Step) {
			held = st.Progress(heldBy(l), p)
		})
	}
	if err == nil && held {
		s.report(l, p)
	}
	return s.still(l, held, err)
}

// Finish ends a turn. See session.Store.
func (s *Store) Finish(ctx context.Context, l *session.Lease, o session.Outcome) error {
	if !o.State.Over() {
		return errors.New("finishing a turn: its outcome is not an end")
	}
	k := l.Turn.Key
	var held bool
	var last session.Turn
	err := s.port.Update(ctx, k.Follower, func(st *follower.Step) {
		held = st.Finish(heldBy(l), o)
		last = st.Turn(k)
	})
	if err != nil {
		err = fmt.Errorf("finishing a turn: %w", err)
	} else if held {
		s.finished(l, last.Pushing)
		last.Question, last.Media, last.Answer = l.Turn.Question, l.Turn.Media, o.Answer
		s.wake(k.Follower, &last)
	}
	return s.still(l, held, err)
}

// Release returns a turn to the queue. See session.Store.
func (s *Store) Release(ctx context.Context, l *session.Lease) error {
	var held bool
	err := s.update(ctx, "releasing a turn", l.Turn.Key.Follower, func(st *follower.Step) { held = st.Release(heldBy(l)) })
	if err == nil && held {
		s.giveUp(l)
	}
	return s.still(l, held, err)
}

// heldBy is a lease as rules know it.
func heldBy(l *session.Lease) follower.Held {
	return follower.Held{Turn: l.Turn.Key.ID, Fence: l.Fence}
}

// still tells what a call for a held turn has found: an error, or that the lease is lost. A process that has lost the
// sessions to another has lost its leases with them.
func (s *Store) still(l *session.Lease, held bool, err error) error {
	if errors.Is(err, session.ErrElsewhere) {
		return fmt.Errorf("%w: %w", session.ErrLeaseLost, err)
	}
	if err != nil || held {
		return err
	}
	s.lost(Held{l.Turn.Key, l.Fence})
	return session.ErrLeaseLost
}
