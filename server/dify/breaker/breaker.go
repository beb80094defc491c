// Package breaker is a circuit breaker for Dify. After some failures in a row, questions fail at once, and one question at
// a time probes whether Dify works again.
//
// It only looks at errors. It does not know questions or followers.
package breaker

import (
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// State is a state of a Breaker.
type State string

// The states.
const (
	Closed   State = "closed"   // all questions go to Dify
	Open     State = "open"     // none does
	HalfOpen State = "halfOpen" // one at a time does
)

// States are all states, for metrics.
var States = []State{Closed, Open, HalfOpen}

// Options of a Breaker.
type Options struct {
	// Failures is the number of failures in a row that open the breaker. 0 means 5.
	Failures int
	// Pause is how long it stays open before it lets a question through. 0 means 5 s.
	Pause time.Duration
	// OnChange is called with each new state. It must not block or use the Breaker. It may be nil.
	OnChange func(State)
}

// Breaker is safe for concurrent use.
type Breaker struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// New makes a closed Breaker.
func New(o Options) *Breaker {
	if o.Failures <= 0 {
		o.Failures = 5
	}
	if o.Pause <= 0 {
		o.Pause = 5 * time.Second
	}
	failures := uint32(o.Failures) //nolint:gosec // positive, and a few
	settings := gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      o.Pause,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failures },
		IsSuccessful: func(err error) bool { return healthOf(err) == dify.Up },
		IsExcluded:   func(err error) bool { return healthOf(err) == dify.Unknown },
	}
	if o.OnChange != nil {
		settings.OnStateChange = func(_ string, _, to gobreaker.State) { o.OnChange(stateOf(to)) }
	}
	return &Breaker{gobreaker.NewTwoStepCircuitBreaker[struct{}](settings)}
}

// Allow asks whether a question may go to Dify. If not, err is a *dify.Error of kind Suspended. Otherwise the caller must
// call done with the result of the call, and with nil as soon as Dify has started to answer: until then a probing question
// keeps all others out. Only the first call of done counts.
func (b *Breaker) Allow() (done func(error), err error) {
	report, err := b.breaker.Allow()
	if err != nil {
		return nil, &dify.Error{Op: "chat", Kind: dify.Suspended}
	}
	var once sync.Once
	return func(err error) { once.Do(func() { report(err) }) }, nil
}

// State returns the current state.
func (b *Breaker) State() State { return stateOf(b.breaker.State()) }

func stateOf(s gobreaker.State) State {
	switch s {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	default:
		return Closed
	}
}

// healthOf returns what the result of a call says about Dify.
func healthOf(err error) dify.Health {
	if err == nil {
		return dify.Up
	}
	if e, ok := errors.AsType[*dify.Error](err); ok {
		return e.Health()
	}
	return dify.Unknown
}
