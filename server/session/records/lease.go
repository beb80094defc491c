package records

import (
	"context"
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// lease is one that this process holds.
type lease struct {
	Held
	life context.Context // ends when it is lost
	lose context.CancelFunc

	// What its holder has reported: what is the same need not be written again.
	conversation, ref string
	look              bool // the turn may be over: whoever awaits it does not hear of it
}

// lease notes that this process holds a turn from now on; nil if it is noted already.
func (s *Store) lease(t session.Turn, conversation string, fence int64, left time.Duration) *session.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	openid := t.Key.Follower
	if old := s.leases[openid]; old != nil {
		if old.Fence == fence {
			return nil
		}
		old.lose()
	}
	l := &lease{Held: Held{t.Key, fence}, conversation: conversation, ref: t.Ref, look: t.State.Over()}
	l.life, l.lose = context.WithCancel(context.Background())
	s.leases[openid] = l
	return &session.Lease{
		Turn: t, ConversationID: conversation, Fence: fence, Left: left, Lost: l.life.Done(),
		OnLost: func(f func()) (stop func() bool) { return context.AfterFunc(l.life, f) },
	}
}

// reported tells whether a report has nothing new but text.
func (s *Store) reported(l *session.Lease, p session.Progress) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.leases[l.Turn.Key.Follower]
	return have != nil && have.Fence == l.Fence && p.Question == "" && (p.ConversationID == "" || p.ConversationID == have.conversation) && (p.Ref == "" || p.Ref == have.ref)
}

// report notes what was reported.
func (s *Store) report(l *session.Lease, p session.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.leases[l.Turn.Key.Follower]
	if have == nil || have.Fence != l.Fence {
		return
	}
	if p.ConversationID != "" {
		have.conversation = p.ConversationID
	}
	if p.Ref != "" {
		have.ref = p.Ref
	}
}

// finished notes that a held turn is over. The lease is its holder's no longer, or is for what is still to be sent.
func (s *Store) finished(l *session.Lease, pushing bool) {
	if !pushing {
		s.giveUp(l)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.leases[l.Turn.Key.Follower]; have != nil && have.Fence == l.Fence {
		have.look = true
	}
}

// giveUp forgets a lease that its holder has given up.
func (s *Store) giveUp(l *session.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.leases[l.Turn.Key.Follower]; have != nil && have.Fence == l.Fence {
		delete(s.leases, l.Turn.Key.Follower)
	}
}

// lost tells the holder of a lease that it is lost.
func (s *Store) lost(h Held) {
	s.mu.Lock()
	if have := s.leases[h.Key.Follower]; have != nil && have.Held == h {
		delete(s.leases, h.Key.Follower)
		have.lose()
	}
	s.mu.Unlock()
	s.wake(h.Key.Follower, nil)
}

// lose tells the holder of the follower's turn that its lease is lost, if it is no longer the one that the record has.
func (s *Store) lose(openid string, now *follower.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.leases[openid]; have != nil && (now == nil || now.Fence != have.Fence) {
		delete(s.leases, openid)
		have.lose()
	}
}

// Renew renews all leases of this process. See session.Store.
func (s *Store) Renew(ctx context.Context) error {
	s.mu.Lock()
	held := make([]Held, 0, len(s.leases))
	for _, l := range s.leases {
		held = append(held, l.Held)
	}
	s.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	lost, err := s.port.Renew(ctx, held)
	for _, h := range lost {
		s.lost(h)
	}
	if err != nil {
		return fmt.Errorf("renewing leases: %w", err)
	}
	return nil
}

// Revoke takes all leases from their holders: this process is not the bot's any more.
func (s *Store) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for openid, l := range s.leases {
		delete(s.leases, openid)
		l.lose()
	}
}
