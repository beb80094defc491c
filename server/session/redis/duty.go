package redis

import (
	"context"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// HoldDuty takes or renews the account's duty. See session.Store. It lasts from before the call to after it was taken: the
// holder's time is over first.
func (p *Port) HoldDuty(ctx context.Context, lasts time.Duration) (session.Duty, error) {
	began := time.Now()
	r, err := p.duty(ctx, "taking the duty", "hold", lasts, "")
	if err != nil {
		return session.Duty{}, err
	}
	d := session.Duty{Note: r.text(1)}
	if r.int(0) == 1 {
		d.Until = began.Add(lasts)
	}
	return d, nil
}

// ReleaseDuty gives the account's duty up. See session.Store.
func (p *Port) ReleaseDuty(ctx context.Context) error {
	_, err := p.duty(ctx, "giving the duty up", "release", 0, "")
	return err
}

// NoteDuty replaces the note. See session.Store.
func (p *Port) NoteDuty(ctx context.Context, note string) error {
	r, err := p.duty(ctx, "noting with the duty", "note", 0, note)
	if err == nil && r.int(0) != 1 {
		return session.ErrLeaseLost
	}
	return err
}

func (p *Port) duty(ctx context.Context, doing, what string, lasts time.Duration, note string) (reply, error) {
	return p.run(ctx, doing, dutyScript, []string{p.keys.duty},
		what, p.rules.Holder, lasts.Milliseconds(), dutyKeep.Milliseconds(), note)
}
