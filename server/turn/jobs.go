package turn

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// jobs counts the engine's goroutines and refuses new ones once it is closed.
type jobs struct {
	guard func(f func())

	mu     sync.Mutex
	n      int
	closed bool
	group  sync.WaitGroup
}

// run runs f in the background; false if that is not possible any more.
func (j *jobs) run(f func()) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	j.n++
	j.group.Go(func() {
		defer j.done()
		j.guard(f)
	})
	return true
}

func (j *jobs) done() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.n--
}

func (j *jobs) running() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.n
}

func (j *jobs) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}

func (j *jobs) wait() { j.group.Wait() }

// guarded runs f. A panic in it is counted and logged, and the process lives.
func (e *Engine) guarded(f func()) {
	defer func() {
		if p := recover(); p != nil {
			e.panicked("background work", p)
		}
	}()
	f()
}

// panicked counts and logs a panic. Its value may contain a text: only its type is logged.
func (e *Engine) panicked(in string, value any) {
	e.Metrics.panics.Inc()
	e.Log.Error("Recovered from a panic: this is a bug", "in", in, "type", fmt.Sprintf("%T", value), "stack", string(debug.Stack()))
}
