package dify

import (
	"context"
	"net"
	"time"
)

const (
	// readEvery is how often a stream is read at most, but for the first readBurst times: all fast ones at the same ticks. A fast
	// model writes an event every few milliseconds, and to be woken for each costs more than to parse it. A reply waits for the end of
	// the answer, so that the follower gets that by so much later at most; of a slow stream, whose reads are further apart, the end is
	// read at once.
	readEvery = 50 * time.Millisecond
	readBurst = 4
)

// paced is the connection of a stream, read in steps: what comes in between is read together.
type paced struct {
	net.Conn
	ctx  context.Context //nolint:containedctx // of the one call that reads the stream
	free time.Time       // when all of the burst may be read again
	full bool            // the last read has perhaps left something behind
	wait *time.Timer
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (n int, err error) {
	if !p.full {
		p.pause()
	}
	n, err = p.Conn.Read(b)
	p.full = n == len(b)
	return n, err
}

// pause waits for the next tick if the stream was read often of late, at most until the stream is not needed any more.
func (p *paced) pause() {
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(readEvery)
	if p.free.Sub(now) <= readBurst*readEvery {
		return
	}
	tick := now.Truncate(readEvery).Add(readEvery).Sub(now)
	if p.wait == nil {
		p.wait = time.NewTimer(tick)
	} else {
		p.wait.Reset(tick)
	}
	select {
	case <-p.wait.C:
	case <-p.ctx.Done():
	}
}
