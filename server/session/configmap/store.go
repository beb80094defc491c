// Package configmap keeps the sessions of a bot with one replica in ConfigMaps: they survive the process and need
// nothing but the API server.
//
// The work is done in memory, by package memory; this package copies what changes. A follower belongs to one of eight
// ConfigMaps (shards), and there to one of 32 keys (blocks), each a gzip of JSON lines. A shard is written at most
// twice a second however much happens, with the blocks that have changed.
//
// What is durable, and when:
//   - Begin returns once its turn is in the API server, or takes the question back. So a question that was accepted is
//     answered even if the process dies at once.
//   - Cancel, Clear and Forget wait for the API server too, but do not fail without it: they hold in this process,
//     and are written as soon as it can be.
//   - All else is written behind, within a second. A crash in this second has the next process look for the turn's
//     answer in Dify, counts a delivery anew, or forgets that an answer was seen; it loses no answer. Leases are not written: a
//     process that starts takes all open turns over.
//   - The rate limit is durable, the bot's budget of holds is not. The hashes by which package memory knows the
//     messages of deleted sessions are not either: who unfollows the bot leaves nothing behind.
//
// One process owns the shards. It says so in each of them, and every write requires that nobody else has written since.
// One that starts while another pod's process owns them stands by: it is ready, its calls wait, until the owner has
// closed its store; or until that has had time enough for it, and may have died. Then it takes them over, and an owner
// that still runs cannot overwrite anything: from its first try on, all its calls fail with ErrSuperseded. So a rolling
// update goes through without a moment in which nobody listens. Who has not got the sessions can ask Elsewhere who has.
//
// Openids and texts are stored as they are: Dify must be told a turn's user after a restart too, and answers must be
// shown. The namespace's Roles are what guards them; RBAC needs get and patch of the ConfigMaps that Names lists. They
// are created by somebody else, without content. A process without that right, or before they are there, is not ready
// and goes on trying. What it cannot read it does not touch: it says what is wrong and waits for somebody to empty or
// delete the ConfigMap.
package configmap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
)

const (
	defaultInterval = 500 * time.Millisecond
	// memoryBytes bounds what is held in memory. The shards are full before, unless texts shrink to a tenth.
	memoryBytes = 64 << 20
	// patience is how long a caller waits for the API server before its follower is told to try again later.
	patience = 3 * time.Second
	// requestTimeout bounds one request. It leaves time for a second one within patience; an answer that comes later is
	// noticed by the resourceVersion.
	requestTimeout = 2 * time.Second
	// longestTimeout is what requestTimeout grows to, as it doubles with each failure, so that a slow API server is not
	// asked in vain for ever.
	longestTimeout = 30 * time.Second
	firstPause     = 100 * time.Millisecond // after a failure; doubles
	longestPause   = 5 * time.Second
	// contactAge is how old the API server's last answer may be for Ping to rely on it.
	contactAge = 30 * time.Second
)

// ErrSuperseded is returned by all calls once a process that started later has taken the sessions over.
var ErrSuperseded = fmt.Errorf("this process is no longer the bot's server: %w", session.ErrElsewhere)

// errResigned is returned by all calls after Resign, if it came before the sessions.
var errResigned = fmt.Errorf("this process is about to stop: %w", session.ErrElsewhere)

var errClosed = errors.New("the session store is closed")

// Options say where the sessions are kept.
type Options struct {
	API       *kubeapi.Client
	Namespace string
	Name      string // of the store: the ConfigMaps are Names(Name)
	Identity  string // the pod's name: of its processes only the last one runs
	Address   string // where other pods reach this one's webhook, for Elsewhere; may be empty
	Log       *slog.Logger

	Interval time.Duration      // between two writes of one ConfigMap; 0 is 500 ms
	Dropped  func(sessions int) // told when sessions had to go because their ConfigMap is full; may be nil
}

// Store implements session.Store.
type Store struct {
	options  Options
	session  session.Options
	identity string
	shards   []*shard

	memory     *memory.Store // set, as generation, before loaded is closed
	generation int64
	standFor   string        // the loader's own: who it stands by for, once it does
	standUntil time.Time     // and for how long
	loaded     chan struct{} // closed when the sessions are here and the shards are ours
	tried      chan struct{} // closed when loading has succeeded or failed once, or stands by
	tryOnce    sync.Once     // closes tried

	life    context.Context // ends when nothing may be written any more; its cause says why
	end     context.CancelCauseFunc
	closing chan struct{} // closed by Close
	closed  sync.Once
	work    sync.WaitGroup

	resigned   chan struct{} // closed by Resign
	resignOnce sync.Once

	contact atomic.Int64          // when the API server has last answered well, in nanoseconds since 1970
	other   atomic.Pointer[owner] // who has the sessions: the predecessor, or who has superseded this process; else nil
	mu      sync.Mutex
	problem error // why the sessions are not loaded yet
}

// New returns a store that loads the sessions in the background, for as long as it takes: its calls wait for that, and
// Ping says what is in the way. An error is one of the options'. Close it.
func New(o Options, s session.Options) (*Store, error) {
	switch {
	case o.API == nil || o.Log == nil:
		return nil, errors.New("ConfigMap store: API and log are required")
	case o.Namespace == "" || o.Name == "" || o.Identity == "":
		return nil, errors.New("ConfigMap store: namespace, name and identity are required")
	case s.IdleTimeout <= 0 || s.History <= 0 || s.LeaseTTL <= 0:
		return nil, errors.New("ConfigMap store: idle timeout, history and lease TTL must be positive")
	}
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	store := &Store{
		options: o, session: s, identity: o.Identity + "/" + rand.Text(),
		loaded: make(chan struct{}), tried: make(chan struct{}), closing: make(chan struct{}),
		resigned: make(chan struct{}),
	}
	store.life, store.end = context.WithCancelCause(context.Background())
	for i, name := range Names(o.Name) {
		store.shards = append(store.shards, newShard(store, i, name))
	}
	store.work.Go(store.run)
	return store, nil
}

// run loads the sessions and then writes what changes, until the store is closed or superseded.
func (s *Store) run() {
	if !s.loadUntilDone() {
		return
	}
	var writers sync.WaitGroup
	for _, sh := range s.shards {
		writers.Go(sh.run)
	}
	writers.Wait()
}

// Close writes what is not written yet, gives the sessions up and stops. Calls that still wait, and later ones, fail. The
// error says what could not be written before ctx ended.
func (s *Store) Close(ctx context.Context) error {
	s.closed.Do(func() { close(s.closing) })
	stop := context.AfterFunc(ctx, func() { s.end(errClosed) })
	defer stop()
	s.work.Wait()
	err := s.handOver(ctx)
	s.end(errClosed)
	if errors.Is(s.over(), ErrSuperseded) {
		return ErrSuperseded
	}
	return err
}

// handOver gives the sessions up if they are here and written.
func (s *Store) handOver(ctx context.Context) error {
	select {
	case <-s.loaded:
	default:
		return nil
	}
	if err := s.unwritten(ctx); err != nil {
		return err
	}
	s.release(ctx)
	return nil
}

func (s *Store) unwritten(ctx context.Context) error {
	for _, sh := range s.shards {
		if sh.dirty.Load()|sh.pending != 0 {
			return fmt.Errorf("closing the session store: not all could be written: %w", errors.Join(sh.failure(), ctx.Err()))
		}
	}
	return nil
}

// supersede ends the store's life because another process has taken the shards over.
func (s *Store) supersede(by owner) {
	s.other.Store(&by)
	s.end(ErrSuperseded)
	s.options.Log.Error("Another process has taken the sessions over: this one must not go on",
		"by", by.Identity, "generation", by.Generation)
	select {
	case <-s.loaded:
		s.memory.Revoke()
	default:
	}
}

// enter begins a call: the sessions are loaded and this process' own, or the error says why not. It waits for them no
// longer than patience, unless that is endless.
func (s *Store) enter(ctx context.Context, endless bool) error {
	select {
	case <-s.loaded:
	default:
		if err := s.wait(ctx, endless); err != nil {
			return err
		}
	}
	select {
	case <-s.closing:
		return errClosed
	default:
		return s.over()
	}
}

func (s *Store) wait(ctx context.Context, endless bool) error {
	if !endless {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		ctx = limited
	}
	select {
	case <-s.loaded:
		return nil
	case <-s.closing:
		return errClosed
	case <-s.life.Done():
		return s.over()
	case <-ctx.Done():
		return fmt.Errorf("the sessions are not loaded yet: %w", errors.Join(s.loadProblem(), s.elsewhere(), ctx.Err()))
	}
}

// over says why the store's life has ended; nil if it has not.
func (s *Store) over() error {
	if s.life.Err() == nil {
		return nil
	}
	return context.Cause(s.life)
}

func (s *Store) loadProblem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// Ping says whether the sessions are here and can be written, or will be here as soon as the predecessor ends.
func (s *Store) Ping(ctx context.Context) error {
	select {
	case <-s.tried:
	case <-ctx.Done():
		return fmt.Errorf("loading the sessions: %w", ctx.Err())
	}
	select {
	case <-s.loaded:
	default:
		if err := s.over(); err != nil {
			return err
		}
		return s.loadProblem()
	}
	if err := s.enter(ctx, false); err != nil {
		return err
	}
	for _, sh := range s.shards {
		if err := sh.failure(); err != nil {
			return err
		}
	}
	if time.Since(time.Unix(0, s.contact.Load())) < contactAge {
		return nil
	}
	return s.shards[0].check(ctx)
}

// answered notes that the API server does its work.
func (s *Store) answered() { s.contact.Store(time.Now().UnixNano()) }

// Durable is true: another process loads what this one has stored.
func (s *Store) Durable() bool { return true }

var _ session.Store = (*Store)(nil)
