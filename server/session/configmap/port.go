package configmap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
)

// enter begins a call: the records are loaded and this process' own, or the error says why not. It waits for them no
// longer than patience, unless that is endless.
func (p *port) enter(ctx context.Context, endless bool) (*memory.Port, error) {
	select {
	case <-p.loaded:
	default:
		if err := p.wait(ctx, endless); err != nil {
			return nil, err
		}
	}
	select {
	case <-p.closing:
		return nil, session.ErrClosed
	default:
		return p.memory, p.over()
	}
}

func (p *port) wait(ctx context.Context, endless bool) error {
	if !endless {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		ctx = limited
	}
	select {
	case <-p.loaded:
		return nil
	case <-p.closing:
		return session.ErrClosed
	case <-p.life.Done():
		return p.over()
	case <-ctx.Done():
		return fmt.Errorf("the sessions are not loaded yet: %w", errors.Join(p.loadProblem(), p.elsewhere(), ctx.Err()))
	}
}

// over says why the port's life has ended; nil if it has not.
func (p *port) over() error {
	if p.life.Err() == nil {
		return nil
	}
	return context.Cause(p.life)
}

func (p *port) loadProblem() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.problem
}

func (p *port) shardOf(openid string) *shard { return p.shards[partOf(openid)/blockCount] }

// Update takes a step in memory. It is written behind, or when somebody waits for it. See records.Port.
func (p *port) Update(ctx context.Context, openid string, step func(*follower.Step)) error {
	m, err := p.enter(ctx, false)
	if err != nil {
		return err
	}
	return m.Update(ctx, openid, step)
}

// DurableLater is true: a step is durable once the API server has it. See records.Port.
func (p *port) DurableLater() bool { return true }

// AwaitDurable waits until all that was done to a follower is durable, at most for patience. See records.Port.
func (p *port) AwaitDurable(ctx context.Context, openid string) error {
	if err := p.over(); err != nil {
		return err
	}
	sh := p.shardOf(openid)
	return sh.await(ctx, sh.ask())
}

// View reads a record. See records.Port.
func (p *port) View(ctx context.Context, openid, turn string) (records.View, error) {
	m, err := p.enter(ctx, false)
	if err != nil {
		return records.View{}, err
	}
	return m.View(ctx, openid, turn)
}

// List returns a page of sessions. See session.Store.
func (p *port) List(ctx context.Context, from string, about int) (session.Page, error) {
	m, err := p.enter(ctx, false)
	if err != nil {
		return session.Page{}, err
	}
	return m.List(ctx, from, about)
}

// Progress replaces the answer of a turn. It is written when something else is. See records.Port.
func (p *port) Progress(ctx context.Context, k session.Key, fence int64, markdown string) (bool, error) {
	m, err := p.enter(ctx, false)
	if err != nil {
		return false, err
	}
	return m.Progress(ctx, k, fence, markdown)
}

// Renew renews leases. See records.Port.
func (p *port) Renew(ctx context.Context, leases []records.Held) (lost []records.Held, err error) {
	m, err := p.enter(ctx, false)
	if err != nil {
		return nil, err
	}
	return m.Renew(ctx, leases)
}

// Candidate waits for a follower whose next turn may be claimed. See records.Port.
func (p *port) Candidate(ctx context.Context, concurrency int) (records.Candidate, error) {
	m, err := p.enter(ctx, true)
	if err != nil {
		return records.Candidate{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.life, func() { cancel(p.over()) })() //nolint:contextcheck // the port's life, beside the call's
	c, err := m.Candidate(ctx, concurrency)
	if over := p.over(); over != nil {
		return records.Candidate{}, over
	}
	return c, err
}

// Attach has nothing to tell but that the sessions are not this process' any more. See records.Port.
func (p *port) Attach(changed func(openid string)) { p.changed = changed }

// Watch has nothing to do: no other process changes anything. See records.Port.
func (p *port) Watch(string) (stop func()) { return func() {} }

// TakeHold takes a hold out of the budget, which is this process' own. See session.Store.
func (p *port) TakeHold(ctx context.Context, perMinute int) (bool, error) {
	m, err := p.enter(ctx, false)
	if err != nil {
		return false, err
	}
	return m.TakeHold(ctx, perMinute)
}

// Used tells what the bot has used on its day. See session.Store.
func (p *port) Used(ctx context.Context) (session.Used, error) {
	m, err := p.enter(ctx, false)
	if err != nil {
		return session.Used{}, err
	}
	return m.Used(ctx)
}

// Pending is never asked: the sessions are durable. See session.Store.
func (p *port) Pending(context.Context) (session.Pending, error) { return session.Pending{}, nil }

// Waiting counts who waits to be claimed. See session.Store.
func (p *port) Waiting(ctx context.Context) (int, error) {
	m, err := p.enter(ctx, false)
	if err != nil {
		return 0, err
	}
	return m.Waiting(ctx)
}

// Durable is true: another process loads what this one has stored.
func (p *port) Durable() bool { return true }

// Ping says whether the sessions are here and can be written, or will be here as soon as the owner before ends.
func (p *port) Ping(ctx context.Context) error {
	select {
	case <-p.tried:
	case <-ctx.Done():
		return fmt.Errorf("loading the sessions: %w", ctx.Err())
	}
	select {
	case <-p.loaded:
	default:
		if err := p.over(); err != nil {
			return err
		}
		return p.loadProblem()
	}
	if _, err := p.enter(ctx, false); err != nil {
		return err
	}
	for _, sh := range p.shards {
		if err := sh.failure(); err != nil {
			return err
		}
	}
	if time.Since(time.Unix(0, p.contact.Load())) < contactAge {
		return nil
	}
	return p.shards[0].check(ctx)
}

var _ records.Port = (*port)(nil)
