// Package memory keeps the records of one bot in this process: the store of a bot with one replica. Nothing of it
// outlives the process, unless package configmap copies it.
//
// It is one mutex around plain structures, each of which gives in constant or logarithmic time what is asked of it
// most: who is ready, whose lease ends first, who was active least lately. It has no goroutine of its own: what time
// does is done by the next call, and by the timer of whoever waits for a candidate, which a bot always does. It knows
// no rule of sessions.
package memory

import (
	"container/list"
	"context"
	"hash/maphash"
	"maps"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
)

// Records are those of one bot.
type Records struct {
	rules    session.Options
	maxBytes int64
	copied   *Copied // nil unless the records are kept somewhere else too

	mu      sync.Mutex
	began   time.Time // the clock goes on from here, whatever is done to the machine's
	last    time.Time // that a step was told: no two are told the same, so that what came first is known
	entries map[string]*entry
	order   maphash.Seed // of lists
	idle    list.List    // of *entry without work to do, the least lately active in front
	busy    list.List    // of *entry with work to do
	buried  list.List    // of *entry that are tombstones, the oldest in front
	ready   ready
	leases  list.List // of *entry, the one whose lease ends first in front
	holds   follower.Time
	used    used
	duty    duty
	ports   []*Port

	bytes   int64 // what the records weigh together
	open    int   // turns that are not over
	orders  uint64
	waiting chan struct{} // closed when there may be a candidate; nil while nobody waits for one
}

// New makes empty records. They keep to about maxBytes: beyond, the followers go that were active least lately and have
// no open turn, then what is over of the others; what then remains are open turns, and no question is taken. All options
// and maxBytes must be positive.
//
// Texts are kept as they are handed in, not copied: they must not be parts of much larger strings.
func New(o session.Options, maxBytes int64) *Records {
	return &Records{rules: o, maxBytes: maxBytes, entries: make(map[string]*entry), order: maphash.MakeSeed(), began: time.Now()}
}

// NewStore makes a store on records of its own.
func NewStore(o session.Options, maxBytes int64) *records.Store {
	return records.New(New(o, maxBytes).Port(o.Holder), o.Holder)
}

// Port implements records.Port for one holder: several may share the records, as several processes would.
type Port struct {
	*Records
	rules   session.Options
	changed func(openid string)
}

// Port returns the records as the holder of that name sees them.
func (r *Records) Port(holder string) *Port {
	p := &Port{Records: r, rules: r.rules, changed: func(string) {}}
	p.rules.Holder = holder
	return p
}

// enter begins a call: the records are the caller's, and as they should be at the returned time.
func (r *Records) enter() time.Time {
	r.mu.Lock()
	now := r.began.Add(time.Since(r.began))
	if !now.After(r.last) {
		now = r.last.Add(time.Microsecond)
	}
	r.last = now
	r.expire(now)
	return now
}

// expire lets go who has been silent for too long, and what was left of who has gone.
func (r *Records) expire(now time.Time) {
	for e := front(&r.idle); e != nil && e.Idle(now, r.rules.IdleTimeout); e = front(&r.idle) {
		r.step(e, now, r.rules, func(*follower.Step) {})
	}
	for e := front(&r.buried); e != nil && !e.goes.After(now); e = front(&r.buried) {
		r.remove(e)
	}
}

// Update takes a step. See records.Port.
func (p *Port) Update(_ context.Context, openid string, step func(*follower.Step)) error {
	now := p.enter()
	e := p.entries[openid]
	if e == nil {
		e = &entry{openid: openid, heapAt: -1}
	}
	woken := p.step(e, now, p.rules, step)
	p.fit(now)
	var others []*Port
	if woken && len(p.ports) > 1 {
		others = p.ports
	}
	p.mu.Unlock()
	for _, other := range others {
		if other != p {
			other.changed(openid)
		}
	}
	return nil
}

// step takes a step on an entry and puts it where it belongs then.
func (r *Records) step(e *entry, now time.Time, rules session.Options, f func(*follower.Step)) (woken bool) {
	totals := follower.Totals{Running: r.leases.Len(), Ready: len(r.ready), Open: r.open, Full: r.weight() > r.maxBytes}
	totals.Used, totals.FollowerUsed = r.used.of(e.openid, follower.At(now))
	open := e.OpenTurns()
	st := follower.NewStep(&e.Record, now, totals, rules, r.copied != nil)
	f(st)
	if !st.Changed {
		if st.Reindex && e.place != nil {
			r.index(e, now)
		}
		return false
	}
	if st.Spent.Tokens > 0 {
		r.used.add(e.openid, follower.At(now), st.Spent)
	}
	for _, t := range st.Set {
		e.set(t)
	}
	for _, id := range st.Drop {
		delete(e.texts, id)
	}
	r.open += e.OpenTurns() - open
	r.weigh(e)
	r.place(e, now)
	r.index(e, now)
	return st.Woken
}

// View reads a record. See records.Port.
func (p *Port) View(_ context.Context, openid, turn string) (records.View, error) {
	p.enter()
	defer p.mu.Unlock()
	e := p.entries[openid]
	if e == nil || e.Tombstone() {
		return records.View{}, nil
	}
	v := records.View{Record: e.Clone()}
	if turn == "" {
		v.Texts = make(map[string]*follower.Texts, len(e.texts))
		for id, t := range e.texts {
			v.Texts[id] = new(*t)
		}
	} else if t := e.texts[turn]; t != nil {
		v.Texts = map[string]*follower.Texts{turn: new(*t)}
	}
	return v, nil
}

// Progress replaces the answer of a turn. See records.Port.
func (p *Port) Progress(_ context.Context, k session.Key, fence int64, markdown string) (bool, error) {
	p.enter()
	defer p.mu.Unlock()
	e := p.entries[k.Follower]
	if e == nil || e.Lease == nil || e.Lease.Fence != fence || e.Lease.Turn != k.ID {
		return false, nil
	}
	e.set(follower.Text{Turn: k.ID, Kind: follower.AnswerText, Value: markdown})
	e.Find(k.ID).Answer = len(markdown)
	p.weigh(e)
	return true, nil
}

// DurableLater is false: what is here is as durable as it will be. See records.Port.
func (p *Port) DurableLater() bool { return p.copied != nil }

// AwaitDurable has nothing to wait for. See records.Port.
func (p *Port) AwaitDurable(context.Context, string) error { return nil }

// Attach has the port told what others change. See records.Port.
func (p *Port) Attach(changed func(string)) {
	p.changed = changed
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ports = append(p.ports, p)
}

// Watch has nothing to do: all changes are told. See records.Port.
func (p *Port) Watch(string) (stop func()) { return func() {} }

// TakeHold takes a hold out of the budget. See session.Store.
func (p *Port) TakeHold(_ context.Context, perMinute int) (bool, error) {
	now := p.enter()
	defer p.mu.Unlock()
	var ok bool
	p.holds, ok = follower.Spend(p.holds, follower.At(now), perMinute, time.Minute)
	return ok, nil
}

// Pending counts what would be lost. See session.Store.
func (p *Port) Pending(context.Context) (session.Pending, error) {
	now := p.enter()
	defer p.mu.Unlock()
	left := session.Pending{Open: p.open}
	for e := range maps.Values(p.entries) {
		left.Undelivered += e.Undelivered(follower.At(now))
	}
	return left, nil
}

// Waiting counts who waits to be claimed. See session.Store.
func (p *Port) Waiting(context.Context) (int, error) {
	p.enter()
	defer p.mu.Unlock()
	return len(p.ready), nil
}

// Durable is false: the sessions are gone with the process.
func (p *Port) Durable() bool { return false }

// Ping always finds the records.
func (p *Port) Ping(context.Context) error { return nil }

var _ records.Port = (*Port)(nil)
