// Package sessiontest is what a session.Store has to prove. Every implementation runs the same cases.
//
// The cases use two handles on the same data, as two processes would, and no clock but the store's: they wait for what
// has to happen with limits that only a broken store reaches, and what must not happen is waited for briefly. So they
// hold in real time and, where the store is of this process, in a testing/synctest bubble.
//
// Where the contract leaves a choice, so do the cases: which refusal is given if there are several reasons, and whether
// an expired lease may still be renewed while nobody has taken the turn over. Limits.Queue counts every open turn that
// nobody holds, also one that waits for its follower's turn before.
//
// What a rule does with one record is proven in package follower; here, that a store keeps what the rules say, for all
// processes, at the right time.
//
// The package knows nothing of how a store does it: it sees what session.Store shows.
package sessiontest

import (
	"slices"
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// Harness opens the store that is tested.
type Harness struct {
	// Open opens a store with no data; whatever it needs is released by t.Cleanup.
	Open func(t testing.TB, o session.Options) session.Store

	// Reopen returns another process's store of the data of one that Open has returned.
	Reopen func(t testing.TB, s session.Store, o session.Options) session.Store
}

// Case is one thing to prove. Run uses neither subtests nor t.Parallel, so that it may be run in a synctest bubble.
type Case struct {
	Name string
	Run  func(t *testing.T, h Harness)
}

// Cases returns all cases.
func Cases() []Case { return append(briefCases(), longCases()...) }

// briefCases need seconds at the most.
func briefCases() []Case {
	return slices.Concat(
		deliveryCases(), orderCases(), limitCases(), budgetCases(), leaseCases(), awaitCases(), receiptCases(),
		commandCases(), forgettingCases(), pendingCases(), listCases(), sendCases(), dutyCases(), modelCases(),
	)
}

// longCases wait for session.DeliveriesLast, 15 s, where the clock is real.
func longCases() []Case {
	return []Case{
		{"an answer nobody fetches is not waited for longer than its deliveries last", undeliveredExpires},
	}
}

// Run runs all cases side by side, in real time.
func Run(t *testing.T, h Harness) { run(t, h, Cases()) }

// RunBrief runs side by side, in real time, the cases that need seconds at the most. It is for a package that runs all
// of them in a bubble.
func RunBrief(t *testing.T, h Harness) { run(t, h, briefCases()) }

func run(t *testing.T, h Harness, cases []Case) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, h)
		})
	}
}
