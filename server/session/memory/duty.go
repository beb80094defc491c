package memory

import (
	"context"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// duty is who does what is done once for the account.
type duty struct {
	holder string
	until  time.Time
	note   string
}

// HoldDuty takes or renews the account's duty. See session.Store.
func (p *Port) HoldDuty(_ context.Context, lasts time.Duration) (session.Duty, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, now := &p.duty, time.Now()
	if d.holder != p.rules.Holder && now.Before(d.until) {
		return session.Duty{Note: d.note}, nil
	}
	d.holder, d.until = p.rules.Holder, now.Add(lasts)
	return session.Duty{Until: d.until, Note: d.note}, nil
}

// ReleaseDuty gives the account's duty up. See session.Store.
func (p *Port) ReleaseDuty(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.duty.holder == p.rules.Holder {
		p.duty.holder, p.duty.until = "", time.Time{}
	}
	return nil
}

// NoteDuty replaces the note. See session.Store.
func (p *Port) NoteDuty(_ context.Context, note string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.duty.holder != p.rules.Holder || !time.Now().Before(p.duty.until) {
		return session.ErrLeaseLost
	}
	p.duty.note = note
	return nil
}
