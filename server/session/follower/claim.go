package follower

import (
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Claim gives the follower's next turn to the step's holder, if there is one that anybody may claim and the bot has a
// place. orphan is the fence of a lease that has run out, which is taken away, or 0. Turns on whose deadline or last attempt is past are ended.
func (s *Step) Claim(orphan int64, l session.Limits) (claimed bool) {
	inherited := s.Lease != nil
	if inherited {
		if s.Lease.Fence != orphan {
			return false
		}
		s.revoke()
	}
	for t := s.head(); t != nil && !t.NotDurable; t = s.head() {
		switch {
		case t.Attempts >= session.MaxAttempts && t.Pushing:
			t.Pushing = false // the rest is there to be asked for
			s.Changed = true
			continue
		case t.Pushing:
		case t.Deadline != 0 && t.Deadline <= s.now:
			s.giveUp(t, session.TimedOut)
			continue
		case t.Attempts >= session.MaxAttempts:
			s.giveUp(t, session.Abandoned)
			continue
		}
		if !inherited { // with its place
			if s.bot.Running >= l.Concurrency {
				return false
			}
			s.Guard.Running = l.Concurrency
		}
		if !t.Pushing {
			t.State = session.Answering
		}
		t.Attempts++
		s.hold(t)
		return true
	}
	return false
}

// Left is the time until a turn's deadline; 0 if it has none.
func (s *Step) Left(t *Turn) time.Duration {
	if t.Deadline == 0 {
		return 0
	}
	return max(t.Deadline.sub(s.now), time.Microsecond)
}

// giveUp ends a turn that nobody may work on any more.
func (s *Step) giveUp(t *Turn, failure string) {
	s.Ended = append(s.Ended, t.ID)
	s.end(t, session.Failed, failure)
}

// Progress notes what a holder knows of its turn by now; false if it holds it no longer. The conversation is the
// session's from now on.
func (s *Step) Progress(l Held, p session.Progress) bool {
	t := s.held(l)
	if t == nil {
		return false
	}
	if p.ConversationID != "" {
		s.Conversation = p.ConversationID
	}
	if p.Ref != "" {
		t.Ref = p.Ref
	}
	if p.Question != "" {
		t.Question += len(p.Question) - t.Heard
		t.Heard = len(p.Question)
		s.set(t.ID, QuestionText, p.Question)
	}
	t.Answer = len(p.Markdown)
	s.set(t.ID, AnswerText, p.Markdown)
	s.Changed = true
	return true
}

// Finish ends a turn; false if it is not held any more. One that is to be pushed stays its holder's, until
// EndPush.
func (s *Step) Finish(l Held, o session.Outcome) bool {
	t := s.held(l)
	if t == nil {
		return false
	}
	s.Use(o.Use)
	files := encode(o.Answer.Files)
	t.Answer = len(o.Answer.Markdown) + len(files)
	s.set(t.ID, AnswerText, o.Answer.Markdown)
	if files != "" {
		s.set(t.ID, FilesText, files)
	}
	if o.Ref != "" {
		t.Ref = o.Ref
	}
	s.Conversation = o.ConversationID
	t.Pushing = o.Push && o.State != session.Cancelled
	t.Media = t.Pushing && o.Media
	if !t.Pushing {
		s.Lease = nil
	}
	s.end(t, o.State, o.Failure)
	return true
}

// Release returns a turn to the queue, in its place; false if it is not held any more.
func (s *Step) Release(l Held) bool {
	if s.held(l) == nil {
		return false
	}
	s.Lease = nil
	s.Changed = true
	return true
}

// Restore takes the leases away that a record was kept with: their holder was another process.
func (s *Step) Restore() {
	s.revoke()
	s.Changed = true
}
