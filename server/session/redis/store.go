// Package redis keeps the records of one bot in a Redis that all its replicas share: a turn that any of them has accepted
// outlives it, is seen by all of them, and is taken over when its process dies.
//
// Everything of one bot is in one hash slot, {bot}, so that each step is one script that keeps a record with its effects,
// on Redis' own clock, or nothing of it: no crash and no lost connection leaves anything half done. The price is that in
// a cluster one bot's load is one shard's; a shard answers many more turns than an official account can have, and the
// bots of a cluster are spread over its shards. The scripts know no rule of sessions: they compare a version, set and
// delete fields, keep two indexes, and publish.
//
//	f:HASH   hash: the record of a follower (record.go), found by a hash of the openid. The openid itself is a field, as
//	         whoever takes a turn over needs it, and goes with the record
//	t:HASH   hash: the texts of the follower's turns: a letter for the kind and the turn's ID
//	u:HASH   string: the tokens that the follower has used today, where that is bounded. It goes with the day, not with the
//	         record
//	ready    sorted set: followers whose next turn anybody may claim, by when it was accepted
//	leases   sorted set: followers with a turn in work, by the end of its lease
//	bot      hash: open (turns), beat (the last sign of any process), tokens and tokensUntil (the bot's use on its day), and
//	         the budget of holds
//	duty     hash: who does what is done once for the account, until when, and the note
//
// Steps that others may wait for are told to all processes over one channel. It is only a short cut: whoever waits also
// looks for itself now and then, and at once after the subscription was lost. By a subscription of its own each process
// shows that it is there: when that is gone, and the process renews nothing either, it is dead.
//
// Every key expires by itself when its follower or its bot has been silent for long enough. A call takes a second at
// most, also when Redis does not answer, and the port goes on by itself when it does again. The package knows nothing of
// what the texts mean.
package redis

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
)

const (
	callTimeout = time.Second // for one call, whatever becomes of it
	poolSize    = 8           // connections to one server: calls share trips
	botKeep     = 48 * time.Hour
	dutyKeep    = 90 * 24 * time.Hour // the note of a bot that is suspended should be there when it goes on

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

// Store is a session.Store whose records are in Redis.
type Store struct {
	*records.Store
	port *Port
}

// Port implements records.Port.
type Port struct {
	client redis.UniversalClient
	log    *slog.Logger
	rules  session.Options
	call   time.Duration // callTimeout
	keys   keys
	id     string // this process', in events and as its presence
	batch  batch
	steps  turnstile
	cache  cache
	clock  clock

	changed   func(openid string)
	watched   watched
	suspicion suspicion

	work       chan struct{}         // holds a token when there may be a candidate
	subscribed chan struct{}         // holds a token when the subscription is new
	listening  atomic.Bool           // the subscription is there
	since      atomic.Int64          // since when, in milliseconds since 1970
	problem    atomic.Pointer[error] // why it is not

	life  context.Context // of the goroutines
	end   context.CancelFunc
	tasks sync.WaitGroup
	once  sync.Once
}

// New makes a store on the records that are in Redis. It does not wait for Redis and does not fail when Redis is down:
// the calls do, until it is back. An error says which option is wrong. The store's goroutines end with ctx or Close.
//
// What the client library has to say goes to log as well, also for other stores of this process: it has one log.
func New(ctx context.Context, o Options, rules session.Options, log *slog.Logger) (*Store, error) {
	switch {
	case o.Bot == "" || strings.ContainsAny(o.Bot, "{}"):
		return nil, fmt.Errorf("session store in Redis: %q cannot name a bot in its keys", o.Bot)
	case rules.IdleTimeout < time.Millisecond || rules.LeaseTTL < time.Millisecond || rules.History < 1 || rules.Holder == "":
		return nil, errors.New("session store in Redis: idle timeout, lease TTL and history must be positive, the holder named")
	}
	call := max(callTimeout, o.slow)
	client, err := connect(&o.Redis, call)
	if err != nil {
		return nil, fmt.Errorf("session store in Redis: %w", err)
	}
	redis.SetLogger(libraryLog{log})
	p := &Port{
		client: client, log: log, rules: rules, call: call, keys: keysOf(o.Bot), id: rand.Text(),
		batch: batch{client: client, timeout: call}, changed: func(string) {},
		work: make(chan struct{}, 1), subscribed: make(chan struct{}, 1),
	}
	p.life, p.end = context.WithCancel(ctx)
	s := &Store{records.New(p, rules.Holder), p}
	p.batch.start(p.life) //nolint:contextcheck // it ends with the store
	p.tasks.Go(p.listen)
	p.tasks.Go(p.watch)
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
		// A call may be made twice when a connection breaks: it finds the version that it has written.
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

// libraryLog takes what the client library logs, at debug level: calls return the same errors.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, fmt.Sprintf(format, args...))
	}
}

// Close ends the store and waits for its goroutines. Whoever waits in a call gets an error. What is in Redis stays.
func (s *Store) Close() error { return s.port.close() }

func (p *Port) close() error {
	var err error
	p.once.Do(func() {
		p.end()
		p.changed("") // whoever waits gets an error
		p.batch.work.Wait()
		p.tasks.Wait()
		err = p.client.Close()
	})
	if err != nil {
		return fmt.Errorf("closing the connections to Redis: %w", err)
	}
	return nil
}

// Waiting counts who waits to be claimed. See session.Store.
func (p *Port) Waiting(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, p.call)
	defer cancel()
	n, err := p.client.ZCard(ctx, p.keys.ready).Result()
	return int(n), explain("counting the turns that wait", err)
}

// Durable is true: the sessions are in Redis.
func (p *Port) Durable() bool { return true }

// DurableLater is false: what a step has kept is as durable as Redis makes it. See records.Port.
func (p *Port) DurableLater() bool { return false }

// AwaitDurable has nothing to wait for. See records.Port.
func (p *Port) AwaitDurable(context.Context, string) error { return nil }

// Attach has changed called for what other processes change. See records.Port.
func (p *Port) Attach(changed func(openid string)) { p.changed = changed }

// Ping says whether Redis does all that the bot needs: it runs the scripts and takes writes of this bot's. Without the
// subscription the bot looks more often.
func (p *Port) Ping(ctx context.Context) error {
	const doing = "asking Redis"
	if _, err := p.candidate(ctx, 0); err != nil {
		return err
	}
	_, err := p.commit(ctx, doing, commitCall{
		member: "ping", field: versionField, set: []any{versionField, ""}, keep: time.Minute, event: " ",
	})
	return err
}

var _ records.Port = (*Port)(nil)
