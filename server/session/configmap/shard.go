package configmap

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
	"github.com/wechatbot/wechatbot-operator/server/session/follower"
)

const (
	// maxShard is how many bytes of blocks a shard has at most: the API server takes 1 MiB.
	maxShard = 1_000_000
	// roomy is what is left of a full shard, so that not every write has to make room.
	roomy = maxShard * 9 / 10
	// maxShrinks is how often a shard is made smaller for one write.
	maxShrinks = 8
	// maxConflicts is how often one write is tried because others write too; then it is a failure like any other.
	maxConflicts = 4

	allBlocks = 1<<blockCount - 1
)

// shard is one ConfigMap and its writer.
//
// Writing is a group commit: whoever has changed something and wants to know when it is durable asks for the number of
// the write that is being gathered, and waits for it. A follower's block is marked as dirty before its number is taken,
// and a write takes its number before the blocks: so it has what its number stands for.
type shard struct {
	port  *port
	index int
	name  string

	dirty atomic.Uint32 // blocks that have changed since the last write began
	wake  chan struct{} // holds a token when the writer has to look again

	mu        sync.Mutex
	gathering uint64        // the next write
	wanted    uint64        // the last write that somebody waits for
	committed uint64        // the last write that is durable
	progress  chan struct{} // closed and replaced when committed grows
	failing   error         // of the last try; nil when it went well

	// The writer's own.
	version string          // resourceVersion
	old     bool            // it has blocks of the first release
	used    follower.Tally  // the bot's, as it was read
	pending uint32          // blocks that have changed, or may not be written as they are
	sizes   [blockCount]int // of the blocks as they were written or are about to be
	began   time.Time       // the last write
	noticed time.Time       // when dirty was first seen to be set; zero when nothing is
	timeout time.Duration   // of one request
}

func newShard(p *port, index int, name string) *shard {
	return &shard{
		port: p, index: index, name: name,
		wake: make(chan struct{}, 1), progress: make(chan struct{}), gathering: 1,
	}
}

// changed marks a block. It is called with the memory store locked: it takes no lock and never waits.
func (sh *shard) changed(block int) {
	bit := uint32(1) << block
	if sh.dirty.Load()&bit == 0 { // most often it is set, and a load costs nothing
		sh.dirty.Or(bit)
		sh.nudge()
	}
}

func (sh *shard) nudge() {
	select {
	case sh.wake <- struct{}{}:
	default:
	}
}

// ask asks for all that has changed up to now to be written soon, and returns the number of that write.
func (sh *shard) ask() uint64 {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.wanted = sh.gathering
	sh.nudge()
	return sh.gathering
}

// await waits until a write is durable, at most for patience.
func (sh *shard) await(ctx context.Context, write uint64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		sh.mu.Lock()
		done, progress, failing := sh.committed >= write, sh.progress, sh.failing
		sh.mu.Unlock()
		if done {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the API server has not taken it in time: %w", errors.Join(failing, ctx.Err()))
		}
		select {
		case <-progress:
		case <-ctx.Done(): // look once more
		case <-sh.port.life.Done():
			return sh.port.over()
		}
	}
}

// failure says why the shard cannot be written; nil if it can.
func (sh *shard) failure() error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.failing
}

// run writes whenever there is something to write and it may be, until the store has ended or is closed and nothing
// is left to write.
func (sh *shard) run() {
	for sh.waitForWork() {
		sh.writeUntilDone()
	}
}

// waitForWork returns true when there is something to write now.
func (sh *shard) waitForWork() bool {
	for {
		closing := sh.isClosing()
		var due <-chan time.Time
		if sh.hasWork() {
			wait := time.Until(sh.due())
			if closing || wait <= 0 {
				return sh.port.life.Err() == nil
			}
			due = time.After(wait)
		} else if closing {
			return false
		}
		select {
		case <-sh.wake:
		case <-due:
		case <-sh.port.closing:
		case <-sh.port.life.Done():
			return false
		}
	}
}

// due is when what has changed may be written: at once if somebody waits for it, else an interval after it was
// noticed, so that a turn's end and its delivery are one write; and never sooner than an interval after the last write.
func (sh *shard) due() time.Time {
	if sh.noticed.IsZero() {
		sh.noticed = time.Now()
	}
	sh.mu.Lock()
	waited := sh.wanted == sh.gathering
	sh.mu.Unlock()
	interval := sh.port.options.Interval
	if next := sh.began.Add(interval); waited || next.After(sh.noticed.Add(interval)) {
		return next
	}
	return sh.noticed.Add(interval)
}

// hasWork tells whether something has changed, or somebody waits to hear that nothing has.
func (sh *shard) hasWork() bool {
	if sh.dirty.Load()|sh.pending != 0 {
		return true
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.wanted == sh.gathering
}

func (sh *shard) isClosing() bool {
	select {
	case <-sh.port.closing:
		return true
	default:
		return false
	}
}

// writeUntilDone writes, again and again if it fails, unless the store ends.
func (sh *shard) writeUntilDone() {
	for try := 1; ; try++ {
		err := sh.write(try)
		if sh.port.life.Err() != nil {
			return
		}
		sh.outcome(try, err)
		if err == nil {
			return
		}
		wait := backoff(try, err)
		if errors.Is(err, errFull) { // no request was made, and each question's end makes room for those that wait
			wait = sh.port.options.Interval
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-sh.port.life.Done():
			pause.Stop()
			return
		}
	}
}

// outcome notes how a try has ended, and says it in the log when it is news.
func (sh *shard) outcome(try int, err error) {
	sh.mu.Lock()
	before := sh.failing
	sh.failing = err
	sh.mu.Unlock()
	switch {
	case err != nil && before == nil:
		sh.port.options.Log.Warn("Sessions cannot be written, trying on", "configMap", sh.name, "error", err)
	case err == nil && before != nil:
		sh.port.options.Log.Info("Sessions are written again", "configMap", sh.name, "tries", try)
	}
}

func backoff(try int, err error) time.Duration {
	d := min(firstPause<<min(try-1, 10), longestPause)
	d = d/2 + rand.N(d/2) //nolint:gosec // spreads load, guards no secret
	if refused, ok := errors.AsType[*kubeapi.Error](err); ok {
		d = max(d, min(refused.RetryAfter, longestPause))
	}
	return d
}

// write writes once. It is more patient from try to try.
func (sh *shard) write(try int) error {
	sh.began, sh.noticed = time.Now(), time.Time{}
	sh.mu.Lock()
	number := sh.gathering
	sh.gathering++
	sh.mu.Unlock()
	sh.timeout = min(requestTimeout<<min(try-1, 10), longestTimeout)
	if err := sh.send(); err != nil {
		return err
	}
	sh.mu.Lock()
	sh.committed = number
	close(sh.progress)
	sh.progress = make(chan struct{})
	sh.mu.Unlock()
	return nil
}

// send gathers and patches. A ConfigMap that somebody else has written since is looked at, and patched as it is then.
func (sh *shard) send() error {
	for try := 1; ; try++ {
		blocks, err := sh.gather()
		if err != nil || len(blocks) == 0 {
			return err
		}
		err = sh.patch(blocks)
		if !kubeapi.IsConflict(err) || try == maxConflicts {
			return err
		}
		if err := sh.reconcile(); err != nil {
			return err
		}
	}
}

// gather encodes the blocks that have changed, and lets sessions go if all blocks together are too large.
func (sh *shard) gather() (map[string][]byte, error) {
	blocks := make(map[string][]byte)
	first, shrunk := sh.index*blockCount, 0
	for range maxShrinks {
		changed := sh.dirty.Swap(0)
		sh.pending |= changed
		if len(blocks) == 0 {
			changed = sh.pending
		}
		for ; changed != 0; changed &= changed - 1 {
			n := bits.TrailingZeros32(changed)
			block, err := encode(sh.port.memory.Copy(first + n))
			if err != nil {
				sh.shed(shrunk)
				return nil, err
			}
			blocks[blockKey(n)], sh.sizes[n] = block, len(block)
		}
		size := 0
		for _, n := range sh.sizes {
			size += n
		}
		if size <= maxShard {
			sh.shed(shrunk)
			return blocks, nil
		}
		sessions, turns := sh.port.memory.Shrink(first, first+blockCount, 1-float64(roomy)/float64(size))
		shrunk += sessions
		if sessions+turns == 0 {
			break
		}
	}
	sh.shed(shrunk)
	return nil, fmt.Errorf("ConfigMap %s is %w", sh.name, errFull)
}

// errFull says that nothing can go to make room.
var errFull = errors.New("full of open questions")

// shed tells that sessions had to go.
func (sh *shard) shed(sessions int) {
	if sessions == 0 {
		return
	}
	sh.port.options.Log.Warn("A ConfigMap is full: the sessions that were silent longest are forgotten",
		"configMap", sh.name, "sessions", sessions)
	if sh.port.options.Dropped != nil {
		sh.port.options.Dropped(sessions)
	}
}

// patch writes blocks into the ConfigMap as it was when it was last seen.
func (sh *shard) patch(blocks map[string][]byte) error {
	ctx, cancel := context.WithTimeout(sh.port.life, sh.timeout)
	defer cancel()
	annotations, err := usedAnnotations(sh.port.memory.UsedInAll())
	if err != nil {
		return err
	}
	o := sh.port.options
	meta, err := o.API.Patch(ctx, o.Namespace, sh.name, kubeapi.ConfigMap{
		Metadata: kubeapi.Metadata{ResourceVersion: sh.version, Annotations: annotations}, BinaryData: blocks,
	})
	if err != nil {
		return err
	}
	sh.version, sh.pending = meta.ResourceVersion, 0
	sh.port.answered()
	return nil
}
