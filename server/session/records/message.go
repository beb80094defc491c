package records

import (
	"context"
	"fmt"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// Open records a delivery. See session.Store.
func (s *Store) Open(ctx context.Context, k session.Key) (session.Opened, error) {
	var o session.Opened
	err := s.update(ctx, "recording a message", k.Follower, func(st *follower.Step) {
		o.Delivery, o.Receipt = st.Open(k.ID, false)
	})
	if err != nil {
		return session.Opened{}, err
	}
	if o.Session, err = s.Get(ctx, k.Follower); err != nil {
		return session.Opened{}, err
	}
	return o, nil
}

// Get returns the follower's session. See session.Store.
func (s *Store) Get(ctx context.Context, openid string) (session.Session, error) {
	v, err := s.port.View(ctx, openid, "")
	if err != nil {
		return session.Session{}, fmt.Errorf("reading a session: %w", err)
	}
	return v.session(openid)
}

// List returns a page of sessions. See session.Store.
func (s *Store) List(ctx context.Context, from string, about int) (session.Page, error) {
	page, err := s.port.List(ctx, from, max(about, 1))
	if err != nil {
		return session.Page{}, fmt.Errorf("listing sessions: %w", err)
	}
	return page, nil
}

// Show records what a reply is about to show. See session.Store.
func (s *Store) Show(ctx context.Context, openid string, r session.Receipt) error {
	var shown bool
	err := s.update(ctx, "recording a reply", openid, func(st *follower.Step) { shown = st.Show(r) })
	if err == nil && !shown {
		return session.ErrMoved
	}
	return err
}

// Unshow takes back what a reply was to show. See session.Store.
func (s *Store) Unshow(ctx context.Context, k session.Key) error {
	return s.update(ctx, "taking a reply back", k.Follower, func(st *follower.Step) { st.Unshow(k.ID) })
}

// Cancel cancels the follower's first open turn. See session.Store.
func (s *Store) Cancel(ctx context.Context, k session.Key) (t session.Turn, ok bool, err error) {
	return s.ending(ctx, "cancelling a turn", k, func(st *follower.Step) (string, bool) { return st.Cancel(k.ID, false) })
}

// Stop fails the follower's first open turn. See session.Store.
func (s *Store) Stop(ctx context.Context, k session.Key, push bool) (t session.Turn, ok bool, err error) {
	return s.ending(ctx, "stopping a turn", k, func(st *follower.Step) (string, bool) { return st.Stop(k.ID, false, push) })
}

// ending ends a turn by a rule that says which it has ended, if any.
func (s *Store) ending(ctx context.Context, doing string, k session.Key, rule func(st *follower.Step) (turn string, ok bool)) (
	t session.Turn, ok bool, err error,
) {
	var id string
	err = s.update(ctx, doing, k.Follower, func(st *follower.Step) { id, ok = rule(st) })
	if err != nil || !ok {
		return session.Turn{}, false, err
	}
	s.persist(ctx, k.Follower)
	t, err = s.Turn(ctx, session.Key{Follower: k.Follower, ID: id})
	return t, err == nil, err
}

// Clear forgets turns and conversation. See session.Store.
func (s *Store) Clear(ctx context.Context, k session.Key) (conversation string, err error) {
	err = s.update(ctx, "clearing a session", k.Follower, func(st *follower.Step) { conversation = st.Clear(k.ID, false) })
	if err == nil {
		s.persist(ctx, k.Follower)
	}
	return conversation, err
}

// Forget deletes everything of a follower. See session.Store.
func (s *Store) Forget(ctx context.Context, openid string) (conversation string, err error) {
	err = s.update(ctx, "forgetting a follower", openid, func(st *follower.Step) { conversation = st.Forget() })
	if err == nil {
		s.persist(ctx, openid)
	}
	return conversation, err
}

// persist waits until what was done to a follower is durable. That it cannot be now is no error: it is done, and the
// port goes on trying.
func (s *Store) persist(ctx context.Context, openid string) {
	if s.port.DurableLater() {
		_ = s.port.AwaitDurable(ctx, openid)
	}
}
