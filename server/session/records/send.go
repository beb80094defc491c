package records

import (
	"context"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// BeginSend records that a part is about to be sent. See session.Store.
func (s *Store) BeginSend(ctx context.Context, l *session.Lease, from session.Cursor, p session.Part) (v session.SendVerdict, err error) {
	var held bool
	err = s.update(ctx, "recording a send", l.Turn.Key.Follower, func(st *follower.Step) {
		v, held = st.BeginSend(heldBy(l), from, p)
	})
	return v, s.still(l, held, err)
}

// EndSend records what became of a send. See session.Store.
func (s *Store) EndSend(ctx context.Context, l *session.Lease, r session.SendResult) error {
	var held bool
	err := s.update(ctx, "recording the end of a send", l.Turn.Key.Follower, func(st *follower.Step) {
		held = st.EndSend(heldBy(l), r)
	})
	return s.still(l, held, err)
}

// EndPush gives the lease of a turn up whose rest is not sent. See session.Store.
func (s *Store) EndPush(ctx context.Context, l *session.Lease, all bool) error {
	var held bool
	err := s.port.Update(ctx, l.Turn.Key.Follower, func(st *follower.Step) { held = st.EndPush(heldBy(l), all) })
	if err == nil && held {
		s.giveUp(l)
		s.wake(l.Turn.Key.Follower, nil)
	}
	return s.still(l, held, err)
}

// Contact notes what opens a window. See session.Store.
func (s *Store) Contact(ctx context.Context, openid string, w session.Window) error {
	return s.update(ctx, "recording a contact", openid, func(st *follower.Step) { st.Contact(w) })
}

// Keep has media wait for their question. See session.Store.
func (s *Store) Keep(ctx context.Context, k session.Key, m session.Media, most int) (waiting int, err error) {
	err = s.update(ctx, "keeping media", k.Follower, func(st *follower.Step) { waiting = st.Keep(k.ID, m, most, false) })
	return waiting, err
}

// Serve notes who serves the follower. See session.Store.
func (s *Store) Serve(ctx context.Context, openid string, atMost time.Duration) error {
	return s.update(ctx, "recording who serves a follower", openid, func(st *follower.Step) { st.Serve(atMost) })
}
