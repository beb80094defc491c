// Package configmap keeps the records of a bot with one replica in ConfigMaps: they survive the process and need nothing
// but the API server.
//
// The work is done in memory, by package memory; this package copies what changes. A follower belongs to one of eight
// ConfigMaps (shards), and there to one of 32 keys (blocks), each a gzip of JSON lines. A shard is written at most
// twice a second however much happens, with the blocks that have changed.
//
// What is durable, and when:
//   - A question is accepted once its turn is in the API server, or it is withdrawn. So a question that was accepted is
//     answered even if the process dies at once.
//   - To cancel, clear and forget waits for the API server too, but does not fail without it: it holds in this process,
//     and is written as soon as it can be.
//   - All else is written behind, within a second. A crash in this second has the next process look for the turn's
//     answer in Dify, counts a delivery anew, or forgets that an answer was shown; it loses no answer. A process that
//     starts takes all leases away.
//   - The rate limit is durable, the bot's budget of holds is not. Tombstones are not written: who unfollows the bot
//     leaves nothing behind.
//
// One process owns the shards. It says so in each of them, and every write requires that nobody else has written since.
// One that starts while another pod's process owns them stands by: it is ready, its calls wait, until the owner has
// closed its store; or until that has had time enough for it, and does not answer when it is asked. Then it takes them
// over, and an owner that still runs cannot overwrite anything: from its first try on, all its calls fail with
// ErrSuperseded, and it is to end. So a rolling update goes through without a moment in which nobody listens, and of more
// pods than there should be one has the sessions and the others wait. A process without the sessions can ask Elsewhere
// who has them.
//
// Openids and texts are stored as they are: Dify must be told a turn's user after a restart too, and answers must be
// shown. The namespace's Roles are what guards them; RBAC needs get and patch of the ConfigMaps that Names lists. They
// are created by somebody else, without content. A process without that right, or before they are there, is not ready
// and goes on trying. What it cannot read it does not touch: it says what is wrong and waits for somebody to empty or
// delete the ConfigMap. It knows no rule of sessions.
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
	"github.com/wechatbot/wechatbot-operator/server/session/records"
)

const (
	defaultInterval = 500 * time.Millisecond
	// memoryBytes bounds what is held in memory. The shards are full before, unless texts shrink to a tenth.
	memoryBytes = 64 << 20
	// patience is how long a call waits for the sessions, or for the API server to take them.
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

// errSteppedDown is returned by all calls after StepDown, if it came before the sessions.
var errSteppedDown = fmt.Errorf("this process is about to stop: %w", session.ErrElsewhere)

// Options say where the sessions are kept.
type Options struct {
	API       *kubeapi.Client
	Namespace string
	Name      string // of the store: the ConfigMaps are Names(Name)
	Identity  string // the pod's name: of its processes only the last one runs
	Address   string // where other pods reach this one's webhook, for Elsewhere; may be empty
	Log       *slog.Logger

	// Alive asks whether a process answers at its address before ctx ends; nil means that it does not. The sessions of one
	// that answers stay its own, however long that is.
	Alive func(ctx context.Context, identity, address string) bool

	Interval time.Duration      // between two writes of one ConfigMap; 0 is 500 ms
	Dropped  func(sessions int) // told when sessions had to go because their ConfigMap is full; may be nil
}

// Store is a session.Store whose records are in ConfigMaps.
type Store struct {
	*records.Store
	port *port
}

// port implements records.Port.
type port struct {
	options  Options
	session  session.Options
	identity string
	shards   []*shard

	memory     *memory.Port // set, as generation, before loaded is closed
	generation int64
	tookOver   time.Time     // set with them: when the sessions became this process' own
	unreleased bool          // likewise: from another pod's process that had not given them up
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

	superseded    chan struct{} // closed by supersede
	supersedeOnce sync.Once

	steppedDown  chan struct{} // closed by StepDown
	stepDownOnce sync.Once

	contact atomic.Int64          // when the API server has last answered well, in nanoseconds since 1970
	other   atomic.Pointer[owner] // who has the sessions: the owner before, or who has superseded this process; else nil
	mu      sync.Mutex
	problem error // why the sessions are not loaded yet

	changed func(openid string)
	revoke  func() // takes all leases of this process away
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
	s.Holder = o.Identity + "/" + rand.Text()
	p := &port{
		options: o, session: s, identity: s.Holder,
		loaded: make(chan struct{}), tried: make(chan struct{}), closing: make(chan struct{}),
		superseded: make(chan struct{}), steppedDown: make(chan struct{}),
	}
	p.life, p.end = context.WithCancelCause(context.Background())
	for i, name := range Names(o.Name) {
		p.shards = append(p.shards, newShard(p, i, name))
	}
	store := &Store{records.New(p, p.identity), p}
	p.revoke = store.Revoke
	p.work.Go(p.run)
	return store, nil
}

// run loads the sessions and then writes what changes, until the store is closed or superseded.
func (p *port) run() {
	if !p.loadUntilDone() {
		return
	}
	var writers sync.WaitGroup
	for _, sh := range p.shards {
		writers.Go(sh.run)
	}
	writers.Wait()
}

// Close writes what is not written yet, gives the sessions up and stops. Calls that still wait, and later ones, fail. The
// error says what could not be written before ctx ended.
func (s *Store) Close(ctx context.Context) error { return s.port.close(ctx) }

func (p *port) close(ctx context.Context) error {
	p.closed.Do(func() { close(p.closing) })
	stop := context.AfterFunc(ctx, func() { p.end(session.ErrClosed) })
	defer stop()
	p.work.Wait()
	err := p.handOver(ctx)
	p.end(session.ErrClosed)
	if errors.Is(p.over(), ErrSuperseded) {
		return ErrSuperseded
	}
	return err
}

// handOver gives the sessions up if they are here and written.
func (p *port) handOver(ctx context.Context) error {
	select {
	case <-p.loaded:
	default:
		return nil
	}
	if err := p.unwritten(ctx); err != nil {
		return err
	}
	p.release(ctx)
	return nil
}

func (p *port) unwritten(ctx context.Context) error {
	for _, sh := range p.shards {
		if sh.dirty.Load()|sh.pending != 0 {
			return fmt.Errorf("closing the session store: not all could be written: %w", errors.Join(sh.failure(), ctx.Err()))
		}
	}
	return nil
}

// supersede ends the store's life because another process has taken the shards over.
func (p *port) supersede(by owner) {
	p.other.Store(&by)
	p.end(ErrSuperseded)
	p.options.Log.Error("Another process has taken the sessions over: this one must not go on",
		"by", by.Identity, "generation", by.Generation)
	p.revoke()
	p.changed("") // whoever waits gets an error
	p.supersedeOnce.Do(func() { close(p.superseded) })
}

// answered notes that the API server does its work.
func (p *port) answered() { p.contact.Store(time.Now().UnixNano()) }
