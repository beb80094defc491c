package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// HoldDuty takes or renews the account's duty. See session.Store.
func (s *Store) HoldDuty(ctx context.Context, lasts time.Duration) (session.Duty, error) {
	if lasts < time.Millisecond {
		return session.Duty{}, fmt.Errorf("taking the account's duty for %v: it must last a millisecond at least", lasts)
	}
	d, err := s.port.HoldDuty(ctx, lasts)
	if err != nil {
		return session.Duty{}, fmt.Errorf("taking the account's duty: %w", err)
	}
	return d, nil
}

// ReleaseDuty gives the account's duty up. See session.Store.
func (s *Store) ReleaseDuty(ctx context.Context) error {
	if err := s.port.ReleaseDuty(ctx); err != nil {
		return fmt.Errorf("giving the account's duty up: %w", err)
	}
	return nil
}

// NoteDuty replaces the note. See session.Store.
func (s *Store) NoteDuty(ctx context.Context, note string) error {
	if len(note) > session.MaxNote {
		return fmt.Errorf("noting with the account's duty: a note of %d bytes is longer than %d", len(note), session.MaxNote)
	}
	err := s.port.NoteDuty(ctx, note)
	if err != nil && !errors.Is(err, session.ErrLeaseLost) {
		return fmt.Errorf("noting with the account's duty: %w", err)
	}
	return err
}
