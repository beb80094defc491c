package redis

import (
	"context"
	"sync"
	"time"
)

// clockAge is how long what is known of Redis' clock is good for, before a less exact answer is better than none.
const clockAge = 10 * time.Second

// clock is Redis' clock as far as it is known here: each reply says what time it is there. Steps are told that time, so
// that all processes go by the same.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration // of this machine's
	wrong time.Duration // how wrong that is at most
	heard time.Time
	last  time.Time // that was told
}

// now is the time at Redis; ok is false if nothing has been heard of it yet. It does not go back because it has become
// known more exactly, so that what comes first here is known.
func (c *clock) now() (now time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now = time.Now().Add(c.ahead)
	if behind := c.last.Sub(now); behind >= 0 && behind < time.Second {
		now = c.last.Add(time.Microsecond)
	}
	c.last = now
	return now, !c.heard.IsZero()
}

// hear takes what Redis has said in the middle of a call that was begun at a time. The faster the reply, the more exact;
// but a clock that was set is believed at once.
func (c *clock) hear(said, began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	wrong := now.Sub(began) / 2
	ahead := said.Sub(began.Add(wrong))
	moved := (ahead - c.ahead).Abs() > wrong+c.wrong
	if wrong <= c.wrong || moved || now.Sub(c.heard) > clockAge {
		c.ahead, c.wrong, c.heard = ahead, wrong, now
	}
}

// time is the time at Redis.
func (p *Port) time(ctx context.Context) (time.Time, error) {
	if now, ok := p.clock.now(); ok {
		return now, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.call)
	defer cancel()
	began := time.Now()
	said, err := p.client.Time(ctx).Result()
	if err != nil {
		return time.Time{}, explain("asking Redis for the time", err)
	}
	p.clock.hear(said, began)
	return said, nil
}
