package memory

import (
	"hash/maphash"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// maxBuried bounds the hashes kept of deleted sessions' messages, in each of two generations: about 3 MiB together.
const maxBuried = 1 << 15

// grave remembers which messages belonged to sessions that are deleted, so that a late delivery of one does not bring
// the follower back. It keeps only hashes under a seed of this process and counts of deliveries: nothing of a follower
// can be read out of it.
//
// There are two generations instead of a date for each hash: a hash lives between one and two times session.Dedupe.
// Past maxBuried the older generation goes early: a flood of deletions shortens the memory of deletions, nothing else.
type grave struct {
	seed     maphash.Seed
	young    map[uint64]int // hash → deliveries
	old      map[uint64]int
	youngest time.Time // when young was begun
}

func (g *grave) hash(k session.Key) uint64 { return maphash.Comparable(g.seed, k) }

// bury remembers a message that was delivered so often.
func (g *grave) bury(now time.Time, k session.Key, deliveries int) {
	g.turn(now)
	if len(g.young) >= maxBuried {
		g.old, g.young, g.youngest = g.young, nil, now
	}
	if g.young == nil {
		g.young = make(map[uint64]int)
	}
	g.young[g.hash(k)] = deliveries
}

// visit counts one more delivery of a buried message and says the how-manieth it is; 0 if it is not buried.
func (g *grave) visit(now time.Time, k session.Key) int {
	g.turn(now)
	if len(g.young) == 0 && len(g.old) == 0 {
		return 0
	}
	h := g.hash(k)
	for _, generation := range []map[uint64]int{g.young, g.old} {
		if n, ok := generation[h]; ok {
			generation[h] = n + 1
			return n + 1
		}
	}
	return 0
}

// turn lets the generations that are over go.
func (g *grave) turn(now time.Time) {
	age := now.Sub(g.youngest)
	if age < session.Dedupe {
		return
	}
	g.old = nil
	if age < 2*session.Dedupe {
		g.old = g.young
	}
	g.young, g.youngest = nil, now
}
