package wechatsim

import (
	"sync"
	"time"
)

// markFail is the switch that stops pushes to an account whose server fails too often (the MarkFail alarm). Every failed delivery counts, also
// one whose message is answered by a later delivery: whether WeChat counts those is not known, and the stricter reading is taken.
type markFail struct {
	window, block time.Duration

	mu       sync.Mutex
	failures []time.Time // ring of the last failures, as long as the threshold; empty means never
	next     int
	until    time.Time // the end of the block
	blocks   int
}

func newMarkFail(o Options) *markFail {
	return &markFail{window: o.MarkFailWindow, block: o.MarkFailBlock, failures: make([]time.Time, max(0, o.MarkFailThreshold))}
}

// failed counts a failed delivery and says whether it has just blocked the account.
func (m *markFail) failed(now time.Time) bool {
	if len(m.failures) == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures[m.next] = now
	m.next = (m.next + 1) % len(m.failures)
	oldest := m.failures[m.next]
	if now.Before(m.until) || oldest.IsZero() || now.Sub(oldest) > m.window {
		return false
	}
	m.until = now.Add(m.block)
	m.blocks++
	clear(m.failures) // the block starts a new count
	return true
}

// blocked says whether nothing is pushed at this moment.
func (m *markFail) blocked(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Before(m.until)
}
