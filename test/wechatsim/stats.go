package wechatsim

import (
	"maps"
	"math/bits"
	"sync"
	"time"
)

// Stats is what the platform has seen so far.
type Stats struct {
	// Pushes is the number of messages and events that followers sent, Deliveries the number of requests made for them.
	Pushes, Deliveries int
	// Answered and Silent are the exchanges that ended with a reply and without one; Faults those whose deliveries all failed;
	// Blocked those that MarkFail kept from being pushed. What a caller's context ended is in none of them.
	Answered, Silent, Faults, Blocked int
	// Toasts is how often a follower saw FaultToast.
	Toasts int
	// Blocks is how often MarkFail blocked the account.
	Blocks int
	// Failures counts failed deliveries by verdict.
	Failures map[Verdict]int
	// Latency is the time from sending to the reply, of the answered exchanges.
	Latency Latency
}

// Latency sums up durations; percentiles are exact to 1 %.
type Latency struct {
	Count              int
	P50, P90, P99, Max time.Duration
}

// Stats gives the state of this moment.
func (p *Platform) Stats() Stats {
	p.marks.mu.Lock()
	blocks := p.marks.blocks
	p.marks.mu.Unlock()
	c := &p.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.Stats
	s.Blocks = blocks
	s.Failures = maps.Clone(c.Failures)
	s.Latency = c.latency.Latency()
	return s
}

type counters struct {
	mu sync.Mutex
	Stats
	latency Histogram
}

func (c *counters) pushed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Pushes++
}

func (c *counters) delivered(d Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Deliveries++
	if d.Verdict.Failed() {
		if c.Failures == nil {
			c.Failures = make(map[Verdict]int)
		}
		c.Failures[d.Verdict]++
	}
}

func (c *counters) ended(x *Exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch x.Outcome {
	case Replied:
		c.Answered++
		c.latency.Add(x.Took)
	case Silent:
		c.Silent++
	case Fault:
		c.Faults++
	case Blocked:
		c.Blocked++
	case Served: // it was not pushed
	}
	if x.Toast {
		c.Toasts++
	}
}

// Histogram counts durations in constant memory: buckets of microseconds, 128 to a power of two. The zero value is ready to use.
// It is not safe for concurrent use.
type Histogram struct {
	count   int
	max     time.Duration
	buckets [subBuckets * 40]uint32 // up to 2^46 µs
}

const (
	subBits    = 7
	subBuckets = 1 << subBits
)

// Add counts one duration; a negative one counts as 0.
func (h *Histogram) Add(d time.Duration) {
	h.count++
	h.max = max(h.max, d)
	h.buckets[min(bucketOf(uint64(max(0, d.Microseconds()))), len(h.buckets)-1)]++
}

// bucketOf keeps the leading bits of n: exact below subBuckets, then subBuckets a power of two.
func bucketOf(n uint64) int {
	shift := max(0, bits.Len64(n)-subBits-1)
	return shift<<subBits + int(n>>shift) //nolint:gosec // n>>shift is below 2*subBuckets
}

// middleOf is the middle of a bucket, in microseconds.
func middleOf(bucket int) int64 {
	shift := max(0, bucket>>subBits-1)
	return int64(bucket-shift<<subBits)<<shift + int64(1)<<shift/2
}

// Latency sums up what was counted.
func (h *Histogram) Latency() Latency {
	return Latency{Count: h.count, P50: h.percentile(50), P90: h.percentile(90), P99: h.percentile(99), Max: h.max}
}

func (h *Histogram) percentile(p int) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank, seen := (h.count*p+99)/100, 0
	for bucket, n := range &h.buckets {
		if seen += int(n); seen >= rank {
			return min(h.max, time.Duration(middleOf(bucket))*time.Microsecond)
		}
	}
	return h.max
}
