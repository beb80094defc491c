package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
)

// maxConflicts is how often one step is taken because others change the record too, or the bot's totals do.
const maxConflicts = 50

var errTooLong = fmt.Errorf("an ID of more than %d bytes", maxID)

// Update takes a step. The first try is on the record as this process knows it: mostly it is so still. See records.Port.
func (p *Port) Update(ctx context.Context, openid string, step func(*follower.Step)) error {
	member := memberOf(openid)
	defer p.steps.enter(member)()
	have := p.cache.get(member)
	var totals follower.Totals // as if there were room, until Redis says that there is not
	for range maxConflicts {
		now, err := p.time(ctx)
		if err != nil {
			return err
		}
		after := have.record.Clone()
		st := follower.NewStep(after, now, totals, p.rules, false)
		step(st)
		if !st.Changed && have.known {
			return nil
		}
		c, err := p.commitOf(member, openid, have, st)
		if err != nil {
			return err
		}
		r, err := p.commit(ctx, "keeping a step", c)
		if err != nil {
			p.cache.drop(member) // nobody knows which version is there
			return err
		}
		switch r.code {
		case done:
			if st.Changed {
				p.cache.put(member, c.after)
			}
			return nil
		case conflict:
			if have, err = decode(r.fields); err != nil {
				return err
			}
			have.known = true
		case full:
			totals = r.totals
		}
	}
	return errors.New("keeping a step: others change the same record all the time")
}

// turnstile lets one step of this process at a time to a record: of several only one could be kept.
type turnstile struct {
	mu sync.Mutex
	by map[string]*gate
}

type gate struct {
	sync.Mutex
	n int
}

func (t *turnstile) enter(member string) (leave func()) {
	t.mu.Lock()
	if t.by == nil {
		t.by = make(map[string]*gate)
	}
	g := t.by[member]
	if g == nil {
		g = new(gate)
		t.by[member] = g
	}
	g.n++
	t.mu.Unlock()
	g.Lock()
	return func() {
		g.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		g.n--
		if g.n == 0 {
			delete(t.by, member)
		}
	}
}

// What can become of a commit.
const (
	done     = 0
	conflict = 1
	full     = 2
)

// commitCall is one call of the script that keeps a step.
type commitCall struct {
	member              string
	field, want         string // a field of the record, and what it has to be
	version             string // that the field then has; a call made twice finds it
	ready, lease        string // see the script
	guard               follower.Guard
	opened              int
	spent               follower.Spent
	keep                time.Duration
	event               string
	set, gone           []any // of the record
	setTexts, goneTexts []any
	after               kept // what is there then
}

type committed struct {
	code   int64
	fields reply // of the record, after a conflict
	totals follower.Totals
}

// notThere takes a follower out of an index; "" leaves it as it is.
const notThere = "no"

// expiryShare is the share of a record's time to live by which it may be shorter: it is not set with every step.
const expiryShare = 16

// commitOf is the call that keeps a step which was taken on what is known of the record.
func (p *Port) commitOf(member, openid string, have kept, st *follower.Step) (commitCall, error) {
	c := commitCall{
		member: member, field: versionField, want: have.version, version: have.version,
		guard: st.Guard, opened: st.OpenTurns() - have.record.OpenTurns(), spent: st.Spent,
	}
	if !st.Changed { // a step on a guess: nothing is kept, but the guess has to be right
		return c, nil
	}
	c.version = rand.Text()[:12]
	c.after = kept{version: c.version, openid: openid, record: st.Record, expiry: have.expiry, keep: st.KeepFor(p.rules.IdleTimeout)}
	if err := c.changes(have); err != nil {
		return c, err
	}
	if now := time.Now(); have.keep != c.after.keep || now.Sub(have.expiry) > have.keep/expiryShare {
		c.keep, c.after.expiry = c.after.keep, now
	}
	for _, t := range st.Set {
		if len(t.Turn) > maxID {
			return c, errTooLong
		}
		if t.Value == "" {
			c.goneTexts = append(c.goneTexts, textField(t.Kind, t.Turn))
		} else {
			c.setTexts = append(c.setTexts, textField(t.Kind, t.Turn), t.Value)
		}
	}
	for _, id := range st.Drop {
		for _, k := range follower.TextKinds {
			c.goneTexts = append(c.goneTexts, textField(k, id))
		}
	}
	p.index(&c, have, st)
	if st.Woken {
		c.event += "e" + member
	}
	return c, nil
}

// index says where the follower is to be found after the step. A candidate for a claim may be in an index though its
// record says otherwise: whatever has come of it, it is put right.
func (p *Port) index(c *commitCall, have kept, st *follower.Step) {
	was, wasReady := have.record.Ready()
	is, isReady := st.Ready()
	switch {
	case isReady && (!wasReady || was != is || st.Reindex):
		c.ready, c.event = strconv.FormatInt(int64(is), 10), "w"
	case !isReady && (wasReady || st.Reindex):
		c.ready = notThere
	}
	switch held, before := leaseOf(st.Record), leaseOf(have.record); {
	case held != "" && held != before:
		c.lease = strconv.FormatInt(p.rules.LeaseTTL.Milliseconds(), 10)
	case held == "" && (before != "" || st.Reindex):
		c.lease, c.event = notThere, "w" // there is a place
	}
}

func textField(k follower.TextKind, turn string) string { return string(k) + turn }

// commit runs the script that keeps a step.
func (p *Port) commit(ctx context.Context, doing string, c commitCall) (committed, error) {
	keys, args := p.acts(&c)
	began := time.Now()
	r, err := p.run(ctx, doing, commitScript, keys, args...)
	if err != nil {
		return committed{}, err
	}
	is := committed{code: r.int(0)}
	switch is.code {
	case conflict:
		is.fields = r.list(1)
		return is, nil
	case full:
		is.totals = follower.Totals{Running: int(r.int(3)), Ready: int(r.int(4)), Open: int(r.int(5)), Used: r.int(6), FollowerUsed: r.int(7)}
	}
	if seconds := r.int(1); seconds != 0 {
		p.clock.hear(time.UnixMicro(seconds*1_000_000+r.int(2)), began)
	}
	return is, nil
}

// The places of the script's keys, from 1.
const (
	recordKey = iota + 1
	textsKey
	leasesKey
	botKey
	readyKey
	usedKey
)

// acts are the script's keys and arguments for a call: Redis pays for each, so only those that the call needs.
func (p *Port) acts(c *commitCall) (keys []string, args []any) {
	args = make([]any, 0, 32+len(c.set)+len(c.gone)+len(c.setTexts)+len(c.goneTexts))
	g, opened := c.guard, c.opened
	timed := g != (follower.Guard{}) || c.spent.Tokens != 0 || c.lease != "" && c.lease != notThere
	args = append(args, c.field, c.want, c.version, timed)
	last := recordKey
	act := func(key int, name string, with ...any) {
		if len(with) > 0 {
			last = max(last, key)
			args = append(append(args, name, len(with)), with...)
		}
	}
	if g != (follower.Guard{}) {
		key := readyKey
		if g.FollowerUsed > 0 {
			key = usedKey
		}
		act(key, "room", g.Running, g.Waiting, g.First, opened, g.Used, g.FollowerUsed)
		opened = 0
	}
	act(recordKey, "set", c.set...)
	act(recordKey, "unset", c.gone...)
	act(textsKey, "setTexts", c.setTexts...)
	act(textsKey, "unsetTexts", c.goneTexts...)
	if c.keep > 0 {
		act(textsKey, "keep", c.keep.Milliseconds())
	}
	// An index takes the follower in, by ready and lease, or lets it go, by unready and unlease.
	place := func(key int, name, at string) {
		switch at {
		case "":
		case notThere:
			act(key, "un"+name, c.member)
		default:
			act(key, name, at, c.member)
		}
	}
	place(readyKey, "ready", c.ready)
	place(leasesKey, "lease", c.lease)
	if opened != 0 {
		act(botKey, "open", opened)
	}
	if c.spent.Tokens != 0 {
		key := botKey
		if c.spent.Each {
			key = usedKey
		}
		act(key, "tokens", c.spent.Tokens, c.spent.Until.Time().UnixMilli(), c.spent.Each)
	}
	if c.event != "" {
		act(recordKey, "publish", p.keys.events, p.id+" "+c.event)
	}
	all := [...]string{p.keys.record(c.member), p.keys.texts(c.member), p.keys.leases, p.keys.bot, p.keys.ready, p.keys.used(c.member)}
	return all[:last], args
}

// Progress replaces the answer of a turn. The record stays as it is, unless it says that there is no text yet. See
// records.Port.
func (p *Port) Progress(ctx context.Context, k session.Key, fence int64, markdown string) (held bool, err error) {
	if t := p.cache.get(memberOf(k.Follower)).record.Find(k.ID); t == nil || t.Answer == 0 {
		err := p.Update(ctx, k.Follower, func(st *follower.Step) {
			held = st.Progress(follower.Held{Turn: k.ID, Fence: fence}, session.Progress{Markdown: markdown})
		})
		return held, err
	}
	lease := leaseText(fence, p.rules.Holder)
	c := commitCall{
		member: memberOf(k.Follower), field: leaseField, want: lease, version: lease,
	}
	if markdown == "" {
		c.goneTexts = []any{textField(follower.AnswerText, k.ID)}
	} else {
		c.setTexts = []any{textField(follower.AnswerText, k.ID), markdown}
	}
	r, err := p.commit(ctx, "reporting on a turn", c)
	return err == nil && r.code == done, err
}

// View reads a record. See records.Port.
func (p *Port) View(ctx context.Context, openid, turn string) (records.View, error) {
	member := memberOf(openid)
	var args []any
	if turn != "" {
		for _, k := range follower.TextKinds {
			args = append(args, textField(k, turn))
		}
	}
	r, err := p.run(ctx, "reading a session", viewScript, []string{p.keys.record(member), p.keys.texts(member)}, args...)
	if err != nil {
		return records.View{}, err
	}
	have, err := decode(r.list(0))
	if err != nil {
		return records.View{}, err
	}
	now, err := p.time(ctx)
	if err != nil {
		return records.View{}, err
	}
	if have.version == "" || have.record.Tombstone() || have.record.Idle(now, p.rules.IdleTimeout) {
		return records.View{}, nil
	}
	v := records.View{Record: have.record, Texts: make(map[string]*follower.Texts)}
	texts := r.list(1)
	for i := range texts {
		switch {
		case turn != "" && texts.text(i) != "":
			v.Set(turn, follower.TextKinds[i], texts.text(i))
		case turn == "" && i%2 == 1:
			field := texts.text(i - 1)
			v.Set(field[1:], follower.TextKind(field[0]), texts.text(i))
		}
	}
	return v, nil
}

// TakeHold takes a hold out of the budget. See session.Store.
func (p *Port) TakeHold(ctx context.Context, perMinute int) (bool, error) {
	r, err := p.run(ctx, "taking a hold", takeScript, []string{p.keys.bot},
		"holds", time.Minute.Microseconds(), perMinute, botKeep.Milliseconds())
	return r.int(0) == 1, err
}

// Used tells what the bot has used on its day. See session.Store.
func (p *Port) Used(ctx context.Context) (session.Used, error) {
	now, err := p.time(ctx)
	if err != nil {
		return session.Used{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.call)
	defer cancel()
	fields, err := p.client.HMGet(ctx, p.keys.bot, "tokens", "tokensUntil").Result()
	if err != nil {
		return session.Used{}, explain("reading what was used", err)
	}
	r := reply(fields)
	t := follower.Tally{Tokens: r.int(0), Until: follower.Time(r.int(1) * 1000)}
	if t.At(follower.At(now)) == 0 {
		return session.Used{}, nil
	}
	return session.Used{Tokens: t.Tokens, Until: t.Until.Time()}, nil
}

// Pending is never asked: the sessions are durable. See session.Store.
func (p *Port) Pending(context.Context) (session.Pending, error) { return session.Pending{}, nil }
