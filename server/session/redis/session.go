package redis

import (
	"context"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Open records a delivery. See session.Store.
func (s *Store) Open(ctx context.Context, k session.Key) (session.Opened, error) {
	r, err := s.runList(ctx, openScript, k)
	if err != nil {
		return session.Opened{}, err
	}
	flat := r.list(2)
	fields := make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		fields[flat.text(i)] = flat.text(i + 1)
	}
	return session.Opened{
		Session:  snapshot(k.Follower, fields),
		Delivery: r.int(0),
		Receipt:  readReceipt(k.ID, r.text(1)),
	}, nil
}

// Look returns what is remembered of the follower. See session.Store.
func (s *Store) Look(ctx context.Context, openid string) (session.Session, error) {
	const doing = "reading a session"
	if err := ctx.Err(); err != nil {
		return session.Session{}, explain(doing, err)
	}
	ctx, cancel := s.timed(ctx)
	defer cancel()
	fields, err := s.client.HGetAll(ctx, s.followerKey(follower(openid))).Result()
	if err != nil {
		return session.Session{}, explain(doing, err)
	}
	return snapshot(openid, fields), nil
}

// Delivered records what a reply has shown. See session.Store.
func (s *Store) Delivered(ctx context.Context, openid string, r session.Receipt) error {
	_, err := s.run(ctx, deliveredScript, follower(openid),
		r.Turn, r.Message, writeReceipt(&r), r.From, r.To, formatSum(r.Sum), flagText(r.Told))
	return err
}

// Clear forgets turns and conversation. A second delivery returns no conversation. See session.Store.
func (s *Store) Clear(ctx context.Context, k session.Key) (conversationID string, err error) {
	v, err := s.runMessage(ctx, clearScript, k)
	conversationID, _ = v.(string)
	return conversationID, err
}

// Forget deletes everything of a follower. See session.Store.
func (s *Store) Forget(ctx context.Context, openid string) (conversationID string, err error) {
	v, err := s.run(ctx, forgetScript, follower(openid))
	conversationID, _ = v.(string)
	return conversationID, err
}

// TakeHold takes a hold out of the budget. See session.Store.
func (s *Store) TakeHold(ctx context.Context, perMinute int) (bool, error) {
	if perMinute <= 0 {
		return false, nil
	}
	v, err := s.run(ctx, holdScript, "", perMinute)
	return v == int64(1), err
}
