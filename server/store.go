package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/session/redis"
	"github.com/wechatbot/wechatbot-operator/server/webhook"
)

const (
	leaseTTL = 10 * time.Second // the turns of a process that is silent for so long are taken over

	// What the Memory store may hold: a share of what the process may have, within bounds.
	memoryShare = 4
	leastMemory = 8 << 20
	mostMemory  = 256 << 20
)

// memoryBytes is what the Memory store may hold in a process with a soft limit of its memory (GOMEMLIMIT).
func memoryBytes(limit int64) int64 { return min(max(limit/memoryShare, leastMemory), mostMemory) }

// stores makes the store that a configuration asks for.
type stores struct {
	log      *slog.Logger
	registry prometheus.Registerer
	secrets  func() serverconfig.Secrets // as they are now: a password can be rotated
	host, ip string                      // Options.Host and Options.IP
	holder   string                      // this process' name in leases
}

// open makes the store, and what ends it.
func (s stores) open(c serverconfig.Config) (session.Store, func(context.Context) error, error) {
	o := session.Options{
		Holder: s.holder, IdleTimeout: time.Duration(c.Session.IdleTimeout), History: c.Session.History, LeaseTTL: leaseTTL,
	}
	switch c.Session.Type {
	case serverconfig.SessionMemory:
		return memory.NewStore(o, memoryBytes(debug.SetMemoryLimit(-1))), func(context.Context) error { return nil }, nil
	case serverconfig.SessionConfigMap:
		return s.configMap(c, o)
	case serverconfig.SessionRedis:
		return s.redis(c, o)
	}
	return nil, nil, fmt.Errorf("session.type: there is no %s store", c.Session.Type)
}

func (s stores) configMap(c serverconfig.Config, o session.Options) (session.Store, func(context.Context) error, error) {
	api, err := kubeapi.InCluster(kubeapi.ServiceAccountDir)
	if err != nil {
		return nil, nil, fmt.Errorf("session.type: ConfigMap needs a pod's ServiceAccount: %w", err)
	}
	var address string
	if s.ip != "" {
		_, port, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return nil, nil, fmt.Errorf("listen: %w", err)
		}
		address = net.JoinHostPort(s.ip, port)
	}
	dropped := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "wechatbot", Name: "sessions_dropped_total",
		Help: "Sessions that had to go because their ConfigMap was full.",
	})
	s.registry.MustRegister(dropped)
	store, err := configmap.New(configmap.Options{
		API: api, Namespace: c.Session.ConfigMap.Namespace, Name: c.Session.ConfigMap.Name,
		Identity: s.host, Address: address, Alive: webhook.Alive, Log: s.log,
		Dropped: func(n int) { dropped.Add(float64(n)) },
	}, o)
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

func (s stores) redis(c serverconfig.Config, o session.Options) (session.Store, func(context.Context) error, error) {
	r := c.Session.Redis
	encryption, err := s.redisTLS(r.TLS)
	if err != nil {
		return nil, nil, err
	}
	atStart := s.secrets()
	store, err := redis.New(context.Background(), redis.Options{
		Bot: c.Bot,
		Redis: redis.Server{
			Mode: redis.Mode(r.Mode), Addresses: r.Addresses, MasterName: r.MasterName, Database: r.Database,
			TLS: encryption,
			Credentials: func(context.Context) (user, password string, err error) {
				now := s.secrets()
				return now.RedisUsername.Reveal(), now.RedisPassword.Reveal(), nil
			},
			SentinelUser: atStart.RedisSentinelUsername.Reveal(), SentinelPassword: atStart.RedisSentinelPassword.Reveal(),
		},
	}, o, s.log)
	if err != nil {
		return nil, nil, err
	}
	return store, func(context.Context) error { return store.Close() }, nil
}

func (s stores) redisTLS(c serverconfig.RedisTLS) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil //nolint:nilnil // no TLS is not an error
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureSkipVerify} //nolint:gosec // the platform team's choice
	if ca := s.secrets().RedisCA; len(ca) > 0 {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("redis-ca.crt: holds no PEM certificate")
		}
	}
	return t, nil
}
