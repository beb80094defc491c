package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
)

const (
	// lookForWork is how often whoever waits for a candidate looks for it at least, if nobody has said that there is one.
	// It is less than half a lease, so that Redis can tell its own silences from the holders'.
	lookForWork = 3 * time.Second
	// lookForDead is how often, while turns are in work, it is looked whether their processes are there.
	lookForDead = 700 * time.Millisecond
	// unrenewed is how long a process that is there may not renew its leases, of a lease's time: it does so ten times
	// in that.
	unrenewed = 8 // as a divisor
	// absentFor is how long a process has to have been away, beside renewing nothing, to be dead.
	absentFor = 1300 * time.Millisecond
)

// found is what one look for a candidate has given.
type found struct {
	now           int64  // Redis' milliseconds
	orphan, ready string // followers
	suspects      []string
	until         time.Duration // the first lease's end; negative if there is no lease
}

// candidate looks for a candidate once.
func (p *Port) candidate(ctx context.Context, concurrency int) (found, error) {
	ttl := p.rules.LeaseTTL.Milliseconds()
	r, err := p.run(ctx, "looking for a turn", candidateScript, []string{p.keys.ready, p.keys.leases, p.keys.bot},
		ttl, concurrency, ttl/unrenewed, botKeep.Milliseconds())
	if err != nil {
		return found{}, err
	}
	f := found{now: r.int(0), orphan: r.text(1), ready: r.text(2), until: -1}
	for i := range r.list(3) {
		f.suspects = append(f.suspects, r.list(3).text(i))
	}
	if end := r.text(4); end != "" {
		f.until = max(time.Duration(number(end)-r.int(0))*time.Millisecond, 0)
	}
	return f, nil
}

// Candidate waits for a follower whose next turn may be claimed. See records.Port.
func (p *Port) Candidate(ctx context.Context, concurrency int) (records.Candidate, error) {
	for {
		if err := ctx.Err(); err != nil {
			return records.Candidate{}, err
		}
		f, err := p.candidate(ctx, concurrency)
		if err != nil {
			return records.Candidate{}, err
		}
		if c, err := p.chosen(ctx, f); c.Follower != "" || err != nil {
			return c, err
		}
		if err := p.sleep(ctx, p.pause(f)); err != nil {
			return records.Candidate{}, err
		}
	}
}

// chosen is the candidate that a look has given, if there is one: a follower whose lease has run out, one whose process
// has died, one that is ready.
func (p *Port) chosen(ctx context.Context, f found) (records.Candidate, error) {
	if f.orphan != "" {
		k, err := p.known(ctx, f.orphan)
		switch {
		case err != nil:
			return records.Candidate{}, err
		case k.openid != "" && k.until <= f.now: // nobody has been faster
			return records.Candidate{Follower: k.openid, Orphan: fenceOf(k.lease)}, nil
		}
	}
	if member, lease := p.holderDied(ctx, f.suspects); member != "" {
		if k, err := p.known(ctx, member); k.openid != "" || err != nil {
			return records.Candidate{Follower: k.openid, Orphan: fenceOf(lease)}, err
		}
	}
	if f.ready == "" {
		return records.Candidate{}, nil
	}
	k, err := p.known(ctx, f.ready)
	return records.Candidate{Follower: k.openid}, err
}

// known is what Redis has of a follower. One of whom there is no record was evicted, or is gone with a bot that has
// stood still for very long: it is no candidate any more.
func (p *Port) known(ctx context.Context, member string) (k struct {
	openid, lease string
	until         int64 // of the lease, Redis' milliseconds
}, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.call)
	defer cancel()
	var fields *redis.SliceCmd
	var until *redis.FloatCmd
	_, err = p.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		fields = pipe.HMGet(ctx, p.keys.record(member), openidField, leaseField)
		until = pipe.ZScore(ctx, p.keys.leases, member) // after its lease: that was the one until then, or a later one
		return nil
	})
	if err != nil && !isMissing(err) {
		return k, explain("looking for a turn", err)
	}
	record := reply(fields.Val())
	k.openid, k.lease, k.until = record.text(0), record.text(1), int64(until.Val())
	if k.openid != "" {
		return k, nil
	}
	_, err = p.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.ZRem(ctx, p.keys.ready, member)
		pipe.ZRem(ctx, p.keys.leases, member)
		return nil
	})
	return k, explain("looking for a turn", err)
}

// pause is how long to wait before the next look.
func (p *Port) pause(f found) time.Duration {
	most := lookForWork
	if !p.listening.Load() {
		most = lookUnsubscribed
	}
	if f.until < 0 {
		return most
	}
	return min(most, lookForDead, p.rules.LeaseTTL/3, f.until+time.Millisecond)
}

func (p *Port) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.work:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.life.Done():
		return session.ErrClosed
	}
	return nil
}

// suspicion is since when processes that renew nothing have been away.
type suspicion struct {
	mu   sync.Mutex
	away map[string]time.Time // by holder
}

// holderDied returns the first of the followers whose process has died, and the lease that it had: it has renewed nothing
// for a while, and its presence is gone, which its connection's end takes away at once; and both for longer than to
// connect again takes. Where presence cannot be asked for, only the end of a lease tells.
func (p *Port) holderDied(ctx context.Context, suspects []string) (member, lease string) {
	p.suspicion.mu.Lock()
	defer p.suspicion.mu.Unlock()
	// What has ended this process' own subscription, such as Redis' restart, has ended the others', too.
	if len(suspects) == 0 || time.Since(time.UnixMilli(p.since.Load())) < p.rules.LeaseTTL/2 {
		p.suspicion.away = nil
		return "", ""
	}
	leases := p.leases(ctx, suspects)
	absent := p.absent(ctx, leases)
	now, away := time.Now(), make(map[string]time.Time)
	for i, l := range leases {
		holder := holderOf(l)
		if !absent[holder] {
			continue
		}
		since, ok := p.suspicion.away[holder]
		if !ok {
			since = now
		}
		away[holder] = since
		if member == "" && now.Sub(since) >= min(absentFor, p.rules.LeaseTTL/4) {
			member, lease = suspects[i], l
		}
	}
	p.suspicion.away = away
	return member, lease
}

// leases are those on the followers' turns; "" where it cannot be told.
func (p *Port) leases(ctx context.Context, members []string) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.call)
	defer cancel()
	fields := make([]*redis.StringCmd, len(members))
	_, _ = p.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, m := range members {
			fields[i] = pipe.HGet(ctx, p.keys.record(m), leaseField)
		}
		return nil
	})
	leases := make([]string, len(members))
	for i, l := range fields {
		leases[i] = l.Val()
	}
	return leases
}

// absent tells which of the leases' holders are not there.
func (p *Port) absent(ctx context.Context, leases []string) map[string]bool {
	absent := make(map[string]bool)
	for _, l := range leases {
		h := holderOf(l)
		if _, asked := absent[h]; asked || h == "" || h == p.rules.Holder {
			continue
		}
		channel := p.keys.presence(h)
		n, err := p.subscribers(ctx, channel)
		absent[h] = err == nil && n == 0
	}
	return absent
}

// subscribers counts who is subscribed to a channel, at the server where everybody subscribes to it.
func (p *Port) subscribers(ctx context.Context, channel string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.call)
	defer cancel()
	client := p.client
	if c, ok := client.(*redis.ClusterClient); ok {
		node, err := c.MasterForKey(ctx, channel)
		if err != nil {
			return 0, err
		}
		client = node
	}
	counts, err := client.PubSubNumSub(ctx, channel).Result()
	return counts[channel], err
}

// Renew renews leases. See records.Port.
func (p *Port) Renew(ctx context.Context, leases []records.Held) (lost []records.Held, err error) {
	const atOnce = 100
	for len(leases) > 0 {
		some := leases[:min(atOnce, len(leases))]
		leases = leases[len(some):]
		keys, args := []string{p.keys.leases, p.keys.bot}, []any{p.rules.LeaseTTL.Milliseconds()}
		for _, l := range some {
			member := memberOf(l.Key.Follower)
			keys = append(keys, p.keys.record(member))
			args = append(args, member, leaseText(l.Fence, p.rules.Holder))
		}
		r, err := p.run(ctx, "renewing leases", renewScript, keys, args...)
		if err != nil {
			return lost, err
		}
		for i := range r {
			lost = append(lost, some[r.int(i)-1])
		}
	}
	return lost, nil
}
