// Package records is the session.Store: it takes the steps of package follower on records that a Port keeps. What is
// the same wherever records are kept is in here: which leases this process holds, who waits for which turn, and calls
// whose outcome is unknown. It knows no rule of sessions, and nothing of where a Port has its records.
package records

import (
	"context"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

// Port is where records are kept. All methods are safe for concurrent use. Calls end with their context.
type Port interface {
	// Update takes a step on a follower's record, which is new if there is none, and keeps the record and the effects
	// in one step, or nothing of it. The step may be taken several times; the last one counts. After an error nobody
	// knows whether it was kept.
	Update(ctx context.Context, openid string, step func(*follower.Step)) error

	// View reads a record with the texts of one turn, or of all if turn is "". The record is nil if there is none, or
	// if nothing is left of it but a tombstone.
	View(ctx context.Context, openid, turn string) (View, error)

	// List is session.Store's, without tombstones.
	List(ctx context.Context, from string, about int) (session.Page, error)

	// Progress replaces the answer of a turn while its lease is held under the fence; false if it is not.
	Progress(ctx context.Context, k session.Key, fence int64, markdown string) (bool, error)

	// Renew renews leases, and returns those that are lost.
	Renew(ctx context.Context, leases []Held) (lost []Held, err error)

	// Candidate waits for a follower whose next turn may perhaps be claimed: one that is ready while fewer than
	// concurrency run, or one whose lease has run out. It returns an error when ctx ends.
	Candidate(ctx context.Context, concurrency int) (Candidate, error)

	// DurableLater tells whether a step becomes durable later than Update returns. AwaitDurable waits until all steps on the
	// follower's record are; the error says that they may not be.
	DurableLater() bool
	AwaitDurable(ctx context.Context, openid string) error

	// Attach has changed called for each follower that another process has taken a step on which somebody may wait
	// for; with "" if steps may have been missed. It is for before the first call.
	Attach(changed func(openid string))

	// Watch says that changes of a follower are of interest, until the returned function is called.
	Watch(openid string) (stop func())

	// Used tells what the bot has used. Steps say what is to be counted.
	Used(ctx context.Context) (session.Used, error)
	TakeHold(ctx context.Context, perMinute int) (bool, error)
	HoldDuty(ctx context.Context, lasts time.Duration) (session.Duty, error)
	ReleaseDuty(ctx context.Context) error
	NoteDuty(ctx context.Context, note string) error
	Pending(ctx context.Context) (session.Pending, error)
	Waiting(ctx context.Context) (int, error)
	Durable() bool
	Ping(ctx context.Context) error
}

// Candidate is a follower whose next turn may perhaps be claimed.
type Candidate struct {
	Follower string
	// Orphan is the fence of the lease that has run out; 0 if there was none. Only that lease may be taken away: another
	// process may have taken the turn over meanwhile.
	Orphan int64
}

// View is a record with texts, by turn.
type View struct {
	Record *follower.Record
	Texts  map[string]*follower.Texts
}

// Set adds a text.
func (v View) Set(turn string, k follower.TextKind, value string) {
	texts := v.Texts[turn]
	if texts == nil {
		texts = new(follower.Texts)
		v.Texts[turn] = texts
	}
	*texts.Of(k) = value
}

// Held is a lease of this process.
type Held struct {
	Key   session.Key
	Fence int64
}
