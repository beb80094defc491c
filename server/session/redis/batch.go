package redis

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	lanes     = 2   // trips that are under way at once
	batchSize = 128 // calls that share one trip at most
)

// batch sends calls that are made at the same time in one trip. While a trip is under way the next calls gather: a lone
// call does not wait, and under load both sides make one system call for many.
type batch struct {
	client  redis.UniversalClient
	timeout time.Duration // of a trip
	calls   chan *call
	work    sync.WaitGroup
}

type call struct {
	script *redis.Script
	keys   []string
	args   []any
	cmd    *redis.Cmd
	err    error // of the whole trip
	done   chan struct{}
}

// start makes the lanes, which end with ctx.
func (b *batch) start(ctx context.Context) {
	b.calls = make(chan *call, batchSize)
	for range lanes {
		b.work.Go(func() {
			gathered := make([]*call, 0, batchSize)
			for {
				select {
				case c := <-b.calls:
					gathered = b.gather(append(gathered[:0], c))
					b.send(ctx, gathered)
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

func (b *batch) gather(calls []*call) []*call {
	for len(calls) < batchSize {
		select {
		case c := <-b.calls:
			calls = append(calls, c)
		default:
			return calls
		}
	}
	return calls
}

// send makes one trip. A script that Redis does not have yet, or any more, is sent in full by its call.
func (b *batch) send(ctx context.Context, calls []*call) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	p := b.client.Pipeline()
	for _, c := range calls {
		c.cmd = c.script.EvalSha(ctx, p, c.keys, c.args...)
	}
	_, err := p.Exec(ctx)
	for _, c := range calls {
		if c.cmd.Err() == nil && c.cmd.Val() == nil { // it was not even sent
			c.err = err
		}
		close(c.done)
	}
}

// run runs a script.
func (b *batch) run(ctx context.Context, sc *redis.Script, keys []string, args []any) (any, error) {
	c := &call{script: sc, keys: keys, args: args, done: make(chan struct{})}
	select {
	case b.calls <- c:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c.err != nil {
		return nil, c.err
	}
	v, err := c.cmd.Result()
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		return sc.Eval(ctx, b.client, keys, args...).Result()
	}
	return v, err
}
