package follower

import "github.com/wechatbot/wechatbot-operator/server/session"

// Cancel cancels the follower's first open turn, once for each message, and says which; ok is false if none was open.
// Its answer stays: it is what came before. Of a turn that is being pushed, the rest is left to be asked for.
func (s *Step) Cancel(id string, again bool) (turn string, ok bool) {
	return s.endOnce(id, again, s.head, s.cancel)
}

// Stop fails the follower's first turn that is not over, as nobody wants more of it but the follower, who is still to be told;
// with push it is sent. The rest is as for Cancel.
func (s *Step) Stop(id string, again, push bool) (turn string, ok bool) {
	return s.endOnce(id, again, s.firstOpen, func(t *Turn) {
		if s.Lease != nil && s.Lease.Turn == t.ID {
			s.revoke()
		}
		t.Pushing = push && t.Sending.State == session.NotSending // behind a part with an unknown outcome it would leave a hole
		s.end(t, session.Failed, session.Stopped)
	})
}

// endOnce ends a turn, once for each message that asks for it.
func (s *Step) endOnce(id string, again bool, which func() *Turn, end func(t *Turn)) (turn string, ok bool) {
	if s.Find(id) != nil {
		return "", false
	}
	m, known := s.deliver(id, stop, again)
	if known {
		return m.Stopped, m.Stopped != ""
	}
	t := which()
	if t == nil {
		return "", false
	}
	m.Stopped = t.ID
	turn = t.ID
	end(t)
	return turn, true
}

func (s *Step) cancel(t *Turn) {
	if s.Lease != nil && s.Lease.Turn == t.ID {
		s.revoke()
	}
	if t.State.Over() {
		t.Pushing = false
		s.Changed = true
		return
	}
	s.end(t, session.Cancelled, "")
}

// Clear forgets the follower's turns and conversation, which it returns, once for each message. The allowance stays, as
// does who serves the follower.
func (s *Step) Clear(id string, again bool) (conversation string) {
	if s.Find(id) != nil {
		return ""
	}
	if _, known := s.deliver(id, clearing, again); known {
		return ""
	}
	s.revoke()
	for len(s.Turns) > 0 {
		s.drop(len(s.Turns) - 1)
	}
	s.Kept = nil
	conversation, s.Conversation = s.Conversation, ""
	s.Woken = true
	return conversation
}

// Forget leaves a tombstone of the record, and returns the conversation.
func (s *Step) Forget() (conversation string) {
	if s.Tombstone() && len(s.Messages) == 0 {
		return ""
	}
	conversation = s.Conversation
	s.leaveTombstone()
	return conversation
}
