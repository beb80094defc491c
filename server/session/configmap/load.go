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
func (s *Store) loadUntilDone() bool {
	for try := 1; ; try++ {
		err := s.load(min(longestTimeout, 2*requestTimeout<<min(try-1, 10)))
		if err != nil {
			err = fmt.Errorf("loading the sessions: %w", err)
		}
		news := s.note(err)
		if !errors.Is(err, session.ErrElsewhere) {
			s.other.Store(nil)
		}
		if err == nil {
			close(s.loaded)
		}
		s.hasTried()
		if errors.Is(err, errResigned) {
			s.end(errResigned)
		}
		if err == nil || s.life.Err() != nil {
			return err == nil
		}
		if news {
			s.options.Log.Warn("Not ready, trying on", "error", err)
		}
		pause := time.NewTimer(backoff(try, err))
		select {
		case <-pause.C:
		case <-s.resigned:
			pause.Stop()
			s.end(errResigned)
			return false
		case <-s.closing:
			pause.Stop()
			return false
		}
	}
}

// note notes why the sessions are not loaded, and tells whether that is another reason than before.
func (s *Store) note(problem error) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	news = problem != nil && (s.problem == nil || s.problem.Error() != problem.Error())
	s.problem = problem
	return news
}

// load reads all shards and takes them over, each request within timeout. Nothing is changed before all of them have
// been understood.
func (s *Store) load(timeout time.Duration) error {
	for {
		records := make([][]memory.Record, shardCount)
		held, kept, err := s.read(timeout, records)
		if err != nil {
			return err
		}
		if s.standsBy(held) {
			err = s.awaitRelease(held)
		} else if err = s.takeOver(held, records, kept); err == nil {
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
func (s *Store) takeOver(held owner, records [][]memory.Record, kept *memory.Store) error {
	select {
	case <-s.resigned:
		return errResigned
	default:
	}
	began, changed := time.Now(), false
	for i, sh := range s.shards {
		again, err := sh.take(s.life, held, &records[i])
		if err != nil {
			return err
		}
		changed = changed || again
	}
	if changed {
		var err error
		if kept, err = s.restore(records); err != nil {
			return err
		}
	}
	s.memory = kept
	s.answered()
	s.options.Log.Info("Sessions are loaded", "generation", s.generation, "took", time.Since(began))
	return nil
}

// read makes a store in memory of all shards, and says who owns them.
func (s *Store) read(timeout time.Duration, records [][]memory.Record) (held owner, kept *memory.Store, err error) {
	owners, err := s.readAll(timeout, records)
	if err != nil {
		return owner{}, nil, err
	}
	s.generation = 1
	for _, o := range owners {
		s.generation = max(s.generation, o.Generation+1)
	}
	kept, err = s.restore(records)
	return owners[0], kept, err
}

// readAll reads all shards and says who owns them.
func (s *Store) readAll(timeout time.Duration, records [][]memory.Record) ([]owner, error) {
	owners, problems := make([]owner, shardCount), make([]error, shardCount)
	var reads errgroup.Group
	reads.SetLimit(readers)
	for i, sh := range s.shards {
		sh.timeout = timeout
		reads.Go(func() error {
			owners[i], problems[i] = sh.read(s.life, &records[i])
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
func (s *Store) hasTried() { s.tryOnce.Do(func() { close(s.tried) }) }

// restore makes a store in memory of what was read.
func (s *Store) restore(records [][]memory.Record) (*memory.Store, error) {
	kept := memory.NewParted(s.session, memoryBytes, memory.Parts{
		Count: shardCount * blockCount, Of: partOf, Changed: s.changed,
	})
	// A process has 2³² claims before its fences reach its successor's.
	if err := kept.Restore(slices.Concat(records...), s.generation<<32); err != nil {
		return nil, fmt.Errorf("ConfigMaps %s/%s-* are not touched; empty or delete them to start without their sessions: they have %w",
			s.options.Namespace, s.options.Name, err)
	}
	return kept, nil
}

func (s *Store) changed(part int) { s.shards[part/blockCount].changed(part % blockCount) }

// read reads a shard's followers and says who owns it: nobody, if it is new.
func (sh *shard) read(ctx context.Context, records *[]memory.Record) (owner, error) {
	ctx, cancel := context.WithTimeout(ctx, sh.timeout)
	defer cancel()
	o := sh.store.options
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

func (sh *shard) unpack(found kubeapi.ConfigMap, records *[]memory.Record) (owner, error) {
	held, owned, err := ownerOf(found.Metadata, sh.index)
	switch {
	case err != nil:
		return owner{}, err
	case !owned && len(found.Data)+len(found.BinaryData) > 0:
		return owner{}, errors.New("it has content, but no annotation " + ownerAnnotation)
	case len(found.Data) > 0:
		return owner{}, errors.New("it has data, where sessions are binaryData only")
	}
	*records, sh.sizes = nil, [blockCount]int{}
	for key, block := range found.BinaryData {
		n, err := strconv.Atoi(strings.TrimPrefix(key, "followers-"))
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

// take makes this process the shard's owner. If the shard was written since it was read, by the predecessor for the last
// time, it is read again. Of several processes the first shard's owner is the one that goes on.
func (sh *shard) take(ctx context.Context, before owner, records *[]memory.Record) (again bool, err error) {
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
		case held.Generation < sh.store.generation:
		default:
			sh.store.supersede(held)
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
	o := sh.store.options
	meta, err := o.API.Patch(ctx, o.Namespace, sh.name, kubeapi.ConfigMap{
		Metadata: kubeapi.Metadata{ResourceVersion: version, Annotations: annotations},
	})
	if err != nil {
		return err
	}
	sh.version = meta.ResourceVersion
	return nil
}

// me is this process as the shard's owner.
func (sh *shard) me() owner {
	s := sh.store
	return owner{Format: format, Shard: sh.index, Generation: s.generation, Identity: s.identity, Address: s.options.Address}
}

// look reads who owns the ConfigMap now. If it is a later process, the store ends here.
func (sh *shard) look(ctx context.Context, timeout time.Duration) (m kubeapi.Metadata, held owner, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o := sh.store.options
	if m, err = o.API.GetMetadata(ctx, o.Namespace, sh.name); err != nil {
		return m, held, err
	}
	if held, _, err = ownerOf(m, sh.index); err != nil {
		return m, held, fmt.Errorf("ConfigMap %s/%s: %w", o.Namespace, sh.name, err)
	}
	sh.store.answered()
	if me := sh.me(); held != me && held.Generation >= me.Generation {
		sh.store.supersede(held)
		return m, held, ErrSuperseded
	}
	return m, held, nil
}

// reconcile finds out why the ConfigMap is not as it was when it was last seen, so that the next try can be right:
// somebody has changed its metadata, or an own write has come through whose answer was lost; or it was made anew, or
// put back to what it was long ago, and has to be written as a whole.
func (sh *shard) reconcile() error {
	ctx := sh.store.life
	m, held, err := sh.look(ctx, sh.timeout)
	if err != nil {
		return err
	}
	if held == sh.me() {
		sh.version = m.ResourceVersion
		return nil
	}
	if held == (owner{}) { // it must be empty, or it is not ours
		var none []memory.Record
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
