package configmap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
)

// readers is how many ConfigMaps are read at once.
const readers = 4

// loadUntilDone loads the sessions, again and again if it fails; false if the store has ended before.
func (p *port) loadUntilDone() bool {
	for try := 1; ; try++ {
		err := p.load(min(longestTimeout, 2*requestTimeout<<min(try-1, 10)))
		if err != nil {
			err = fmt.Errorf("loading the sessions: %w", err)
		}
		news := p.note(err)
		if !errors.Is(err, session.ErrElsewhere) {
			p.other.Store(nil)
		}
		if err == nil {
			close(p.loaded)
		}
		p.hasTried()
		if errors.Is(err, errSteppedDown) {
			p.end(errSteppedDown)
		}
		if err == nil || p.life.Err() != nil {
			return err == nil
		}
		if news {
			p.options.Log.Warn("Not ready, trying on", "error", err)
		}
		pause := time.NewTimer(backoff(try, err))
		select {
		case <-pause.C:
		case <-p.steppedDown:
			pause.Stop()
			p.end(errSteppedDown)
			return false
		case <-p.closing:
			pause.Stop()
			return false
		}
	}
}

// note notes why the sessions are not loaded, and tells whether that is another reason than before.
func (p *port) note(problem error) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	news = problem != nil && (p.problem == nil || p.problem.Error() != problem.Error())
	p.problem = problem
	return news
}

// load reads all shards and takes them over, each request within timeout. Nothing is changed before all of them have
// been understood.
func (p *port) load(timeout time.Duration) error {
	for {
		records := make([][]memory.Copy, shardCount)
		held, kept, err := p.read(timeout, records)
		if err != nil {
			return err
		}
		if p.standsBy(held) {
			err = p.awaitRelease(held)
		} else if err = p.takeOver(held, records, kept); err == nil {
			return nil
		}
		if err != nil && !errors.Is(err, errFaster) {
			return err
		}
	}
}

// errFaster says that another process has taken the sessions over while this one was about to.
var errFaster = errors.New("another process was faster")

// takeOver makes this process the owner of what it has read, if held is still the owner before.
func (p *port) takeOver(held owner, records [][]memory.Copy, kept *memory.Port) error {
	select {
	case <-p.steppedDown:
		return errSteppedDown
	default:
	}
	began, changed := time.Now(), false
	for i, sh := range p.shards {
		again, err := sh.take(p.life, held, &records[i])
		if err != nil {
			return err
		}
		changed = changed || again
	}
	if changed {
		var err error
		if kept, err = p.restore(records); err != nil {
			return err
		}
	}
	p.memory, p.tookOver, p.unreleased = kept, time.Now(), !p.isOver(held)
	p.answered()
	p.options.Log.Info("Sessions are loaded", "generation", p.generation, "took", time.Since(began))
	return nil
}

// read makes records in memory of all shards, and says who owns them.
func (p *port) read(timeout time.Duration, records [][]memory.Copy) (held owner, kept *memory.Port, err error) {
	owners, err := p.readAll(timeout, records)
	if err != nil {
		return owner{}, nil, err
	}
	p.generation = 1
	for _, o := range owners {
		p.generation = max(p.generation, o.Generation+1)
	}
	kept, err = p.restore(records)
	return owners[0], kept, err
}

// readAll reads all shards and says who owns them.
func (p *port) readAll(timeout time.Duration, records [][]memory.Copy) ([]owner, error) {
	owners, problems := make([]owner, shardCount), make([]error, shardCount)
	var reads errgroup.Group
	reads.SetLimit(readers)
	for i, sh := range p.shards {
		sh.timeout = timeout
		reads.Go(func() error {
			owners[i], problems[i] = sh.read(p.life, &records[i])
			return nil
		})
	}
	_ = reads.Wait() // always the first problem is told, so that the log says it once
	for _, problem := range problems {
		if problem != nil {
			return nil, problem
		}
	}
	return owners, nil
}

// hasTried lets Ping answer.
func (p *port) hasTried() { p.tryOnce.Do(func() { close(p.tried) }) }

// restore makes records in memory of what was read.
func (p *port) restore(records [][]memory.Copy) (*memory.Port, error) {
	kept := memory.NewCopied(p.session, memoryBytes, memory.Copied{
		Parts: shardCount * blockCount, Of: partOf, Changed: p.blockChanged,
	})
	if err := kept.Restore(slices.Concat(records...)); err != nil {
		return nil, fmt.Errorf("ConfigMaps %s/%s-* are not touched; empty or delete them to start without their sessions: they have %w",
			p.options.Namespace, p.options.Name, err)
	}
	for _, sh := range p.shards {
		kept.RestoreUsed(sh.used)
	}
	return kept.Port(p.identity), nil
}

func (p *port) blockChanged(part int) { p.shards[part/blockCount].changed(part % blockCount) }

// read reads a shard's followers and says who owns it: nobody, if it is new.
func (sh *shard) read(ctx context.Context, records *[]memory.Copy) (owner, error) {
	ctx, cancel := context.WithTimeout(ctx, sh.timeout)
	defer cancel()
	o := sh.port.options
	found, err := o.API.Get(ctx, o.Namespace, sh.name)
	if err != nil {
		return owner{}, err
	}
	held, err := sh.unpack(found, records)
	if err != nil {
		return owner{}, fmt.Errorf("ConfigMap %s/%s is not touched; empty or delete it to start without its sessions: %w", o.Namespace, sh.name, err)
	}
	sh.version = found.Metadata.ResourceVersion
	return held, nil
}

func (sh *shard) unpack(found kubeapi.ConfigMap, records *[]memory.Copy) (owner, error) {
	held, owned, err := ownerOf(found.Metadata, sh.index)
	switch {
	case err != nil:
		return owner{}, err
	case !owned && len(found.Data)+len(found.BinaryData) > 0:
		return owner{}, errors.New("it has content, but no annotation " + ownerAnnotation)
	case len(found.Data) > 0:
		return owner{}, errors.New("it has data, where sessions are binaryData only")
	}
	if sh.used, err = usedIn(found.Metadata); err != nil {
		return owner{}, err
	}
	*records, sh.sizes, sh.old = nil, [blockCount]int{}, held.Format == 1
	if sh.old {
		return held, nil
	}
	for key, block := range found.BinaryData {
		n, err := strconv.Atoi(strings.TrimPrefix(key, "records-"))
		if err != nil || n < 0 || n >= blockCount || key != blockKey(n) {
			return owner{}, fmt.Errorf("it has a key %q", key)
		}
		if *records, err = decode(block, sh.index*blockCount+n, maxBlock, *records); err != nil {
			return owner{}, fmt.Errorf("its key %s is damaged: %w", key, err)
		}
		sh.sizes[n] = len(block)
	}
	return held, nil
}

// take makes this process the shard's owner. If the shard was written since it was read, by the owner before for the last
// time, it is read again. Of several processes the first shard's owner is the one that goes on.
func (sh *shard) take(ctx context.Context, before owner, records *[]memory.Copy) (again bool, err error) {
	for {
		err := sh.claim(ctx, sh.me(), sh.version)
		if !kubeapi.IsConflict(err) {
			return again, err
		}
		again = true
		held, err := sh.read(ctx, records)
		switch {
		case err != nil:
			return again, err
		case sh.index == 0 && held.Identity != before.Identity:
			return again, errFaster
		case held.Generation < sh.port.generation:
		default:
			sh.port.supersede(held)
			return again, ErrSuperseded
		}
	}
}

// claim writes who owns the ConfigMap into it, if it is as it was at the given version.
func (sh *shard) claim(ctx context.Context, by owner, version string) error {
	annotations, err := by.annotations()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sh.timeout)
	defer cancel()
	o := sh.port.options
	change := kubeapi.ConfigMap{Metadata: kubeapi.Metadata{ResourceVersion: version, Annotations: annotations}}
	if sh.old {
		change.BinaryData = make(map[string][]byte, blockCount)
		for n := range blockCount {
			change.BinaryData[oldBlockKey(n)] = nil
		}
	}
	meta, err := o.API.Patch(ctx, o.Namespace, sh.name, change)
	if err != nil {
		return err
	}
	sh.version, sh.old = meta.ResourceVersion, false
	return nil
}

// me is this process as the shard's owner.
func (sh *shard) me() owner {
	p := sh.port
	return owner{Format: format, Shard: sh.index, Generation: p.generation, Identity: p.identity, Address: p.options.Address}
}

// look reads who owns the ConfigMap now. If it is a later process, the store ends here.
func (sh *shard) look(ctx context.Context, timeout time.Duration) (m kubeapi.Metadata, held owner, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o := sh.port.options
	if m, err = o.API.GetMetadata(ctx, o.Namespace, sh.name); err != nil {
		return m, held, err
	}
	if held, _, err = ownerOf(m, sh.index); err != nil {
		return m, held, fmt.Errorf("ConfigMap %s/%s: %w", o.Namespace, sh.name, err)
	}
	sh.port.answered()
	if me := sh.me(); held != me && held.Generation >= me.Generation {
		sh.port.supersede(held)
		return m, held, ErrSuperseded
	}
	return m, held, nil
}

// reconcile finds out why the ConfigMap is not as it was when it was last seen, so that the next try can be right:
// somebody has changed its metadata, or an own write has come through whose answer was lost; or it was made anew, or
// put back to what it was long ago, and has to be written as a whole.
func (sh *shard) reconcile() error {
	ctx := sh.port.life
	m, held, err := sh.look(ctx, sh.timeout)
	if err != nil {
		return err
	}
	if held == sh.me() {
		sh.version = m.ResourceVersion
		return nil
	}
	if held == (owner{}) { // it must be empty, or it is not ours
		var none []memory.Copy
		if _, err := sh.read(ctx, &none); err != nil {
			return err
		}
		m.ResourceVersion = sh.version
	}
	if err := sh.claim(ctx, sh.me(), m.ResourceVersion); err != nil {
		return err
	}
	sh.pending = allBlocks
	return nil
}

// check asks the API server for the ConfigMap and has it written if it is not this process' own.
func (sh *shard) check(ctx context.Context) error {
	_, held, err := sh.look(ctx, requestTimeout)
	if err == nil && held != sh.me() {
		sh.dirty.Or(allBlocks)
		sh.nudge()
	}
	return err
}
