package follower

import "github.com/wechatbot/wechatbot-operator/server/session"

// Cancel cancels the follower's first open turn, once for each message, and says which; ok is false if none was open.
// Its answer stays: it is what came before. Of a turn that is being pushed, the rest is left to be asked for.
func (s *Step) Cancel(id string, again bool) (turn string, ok bool) {
	if s.Find(id) != nil {
		return "", false
	}
	m, known := s.deliver(id, stop, again)
	if known {
		return m.Stopped, m.Stopped != ""
	}
	t := s.head()
	if t == nil {
		return "", false
	}
	m.Stopped = t.ID
	turn = t.ID
	s.cancel(t)
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
