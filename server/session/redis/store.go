// Package redis keeps the sessions of one bot in a Redis that all its replicas share: a turn that any of them has
// accepted outlives it, is seen by all of them, and is taken over when its owner dies.
//
// Everything of one bot is in one hash slot, {bot}, so that each call is one script that does all it has to in one
// step, on Redis' own clock, or nothing of it: no crash and no lost connection leaves anything half done. The price is
// that in a cluster one bot's load is one shard's; a shard answers many more turns than an official account can have,
// and the bots of a cluster are spread over its shards. Followers are found by a hash of their openid. The openid itself
// is a field of the session, as whoever takes a turn over needs it, and is deleted with it.
//
// Ends of turns, lost leases and new work are told to all processes over one channel. It is only a short cut: whoever
// waits also looks for itself now and then, and at once after the subscription was lost.
//
// Every key expires by itself when its follower or its bot has been silent for long enough. A call takes a second at
// most, also when Redis does not answer, and the store goes on by itself when it does again. The package knows nothing
// of what the texts mean.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	callTimeout = time.Second            // for one call, whatever becomes of it
	lookTimeout = 300 * time.Millisecond // for a last look when the caller's time is up
	poolSize    = 32                     // connections to one server; each is in use for well under a millisecond

	// openKeep is how much longer than an idle session one with open turns is kept: a bot that has been switched off
	// for less still answers what it has accepted.
	openKeep = 24 * time.Hour

	// maxID bounds the IDs of messages, in bytes. WeChat's have 20, those made of an event some more.
	maxID = 512
)

// Mode is how a Redis is laid out.
type Mode string

// The layouts.
const (
	Standalone Mode = "Standalone"
	Sentinel   Mode = "Sentinel"
	Cluster    Mode = "Cluster"
)

// Server says where Redis is.
type Server struct {
	Mode       Mode
	Addresses  []string // host:port: of the server, of the sentinels, or of some nodes of the cluster
	MasterName string   // what the sentinels call the master
	Database   int      // 0 in a cluster
	TLS        *tls.Config

	// Credentials are asked for whenever a connection is made, so that a password can be replaced while connections
	// made with the old one go on. An empty password is none; an empty user is Redis' default one. nil is no password.
	Credentials func(context.Context) (user, password string, err error)

	// SentinelUser and SentinelPassword are for the sentinels themselves; empty for none.
	SentinelUser, SentinelPassword string
}

// Options of a store that are Redis' own.
type Options struct {
	Bot   string // names the bot among those that share the Redis; without braces
	Redis Server

	slow time.Duration // allows each call as much, for tests on a busy machine; 0 is none
}

// Store implements session.Store.
type Store struct {
	client   redis.UniversalClient
	log      *slog.Logger
	leaseTTL time.Duration
	call     time.Duration // callTimeout
	look     time.Duration // lookTimeout

	prefix  string // of all keys
	bot     []string
	channel string
	common  []any // the first arguments of every script, but the first

	leases  leases
	doubts  doubts
	waiters waiters

	claiming   chan struct{} // holds a token while somebody waits for work: one is enough
	work       chan struct{} // holds a token when there may be work
	subscribed chan struct{} // holds a token when the subscription is new
	listening  atomic.Bool   // the subscription is there

	life  context.Context // of the goroutines
	end   context.CancelFunc
	tasks sync.WaitGroup
	once  sync.Once
}

// New makes a store on the sessions that are in Redis. It does not wait for Redis and does not fail when Redis is down:
// the calls do, until it is back. An error says which option is wrong. The store's goroutines end with ctx or Close.
//
// What the client library has to say goes to log as well, also for other stores of this process: it has one log.
func New(ctx context.Context, o Options, so session.Options, log *slog.Logger) (*Store, error) {
	switch {
	case o.Bot == "" || strings.ContainsAny(o.Bot, "{}"):
		return nil, fmt.Errorf("session store in Redis: %q cannot name a bot in its keys", o.Bot)
	case so.IdleTimeout < time.Millisecond || so.LeaseTTL < time.Millisecond || so.History < 1:
		return nil, errors.New("session store in Redis: idle timeout, lease TTL and history must be positive")
	}
	call := max(callTimeout, o.slow)
	client, err := connect(&o.Redis, call)
	if err != nil {
		return nil, fmt.Errorf("session store in Redis: %w", err)
	}
	redis.SetLogger(libraryLog{log})
	s := &Store{
		client: client, log: log, leaseTTL: so.LeaseTTL, call: call, look: max(lookTimeout, o.slow),
		prefix:     "wechatbot:{" + o.Bot + "}:",
		claiming:   make(chan struct{}, 1),
		work:       make(chan struct{}, 1),
		subscribed: make(chan struct{}, 1),
	}
	s.bot = []string{s.prefix + "b", s.prefix + "ready", s.prefix + "leases", s.prefix + "untold"}
	s.channel = s.prefix + "events"
	s.common = []any{
		strconv.FormatInt(so.LeaseTTL.Microseconds(), 10),
		strconv.FormatInt(so.IdleTimeout.Milliseconds(), 10),
		strconv.FormatInt((so.IdleTimeout + openKeep).Milliseconds(), 10),
		s.channel,
		strconv.Itoa(so.History),
		strconv.FormatInt(int64(session.Dedupe.Seconds()), 10),
		strconv.FormatInt(session.UntoldFor.Microseconds(), 10),
	}
	s.life, s.end = context.WithCancel(ctx)
	s.tasks.Go(s.listen)
	s.tasks.Go(s.watch)
	return s, nil
}

// connect makes the client. Nothing is sent yet. timeout bounds each step of a call.
func connect(r *Server, timeout time.Duration) (redis.UniversalClient, error) {
	if len(r.Addresses) == 0 {
		return nil, errors.New("no address of Redis is given")
	}
	o := &redis.UniversalOptions{
		Addrs: slices.Clone(r.Addresses), MasterName: r.MasterName, DB: r.Database, TLSConfig: r.TLS,
		SentinelUsername: r.SentinelUser, SentinelPassword: r.SentinelPassword,
		CredentialsProviderContext: r.Credentials,
		ContextTimeoutEnabled:      true,
		DialTimeout:                timeout,
		DialerRetries:              1,
		ReadTimeout:                timeout,
		WriteTimeout:               timeout,
		PoolTimeout:                timeout,
		PoolSize:                   poolSize,
		MaxActiveConns:             2 * poolSize,
		// A call may be done twice when a connection breaks. To begin a question twice is the same as once; a turn
		// that was claimed by Next, and the reply lost, is taken over when its lease has run out.
		MaxRetries:               1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	switch r.Mode {
	case Standalone:
		return redis.NewClient(o.Simple()), nil
	case Sentinel:
		return redis.NewFailoverClient(o.Failover()), nil
	case Cluster:
		return redis.NewClusterClient(o.Cluster()), nil
	}
	return nil, fmt.Errorf("there is no mode %q of Redis", string(r.Mode))
}

// libraryLog takes what the client library logs. It is of use only to who looks closer: calls return the same errors.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, fmt.Sprintf(format, args...))
	}
}

// Close ends the store and waits for its goroutines. Whoever waits in a call gets an error. What is in Redis stays.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		s.end()
		s.tasks.Wait()
		err = s.client.Close()
	})
	if err != nil {
		return fmt.Errorf("closing the connections to Redis: %w", err)
	}
	return nil
}

// Durable is true: the sessions are in Redis.
func (s *Store) Durable() bool { return true }

// Ping says whether Redis takes writes of this bot's.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := s.timed(ctx)
	defer cancel()
	return explain("asking Redis", s.client.Set(ctx, s.prefix+"ping", 1, time.Minute).Err())
}

// timed bounds a call. It does not end with the caller, who may only have stopped waiting: what Redis has done for a
// call, such as giving a turn to this process, has to be heard.
func (s *Store) timed(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.call)
}

var errClosed = errors.New("the session store is closed")

var _ session.Store = (*Store)(nil)
