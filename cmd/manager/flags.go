package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/logging"
	"github.com/wechatbot/wechatbot-operator/controllers"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// flags are what the command line says.
type flags struct {
	manager      controllers.ManagerOptions
	serverImage  string
	redisImage   string
	ingressClass string
	issuer       string
	concurrency  int
	rollouts     int
	probeDify    bool
	pollServers  bool
	log          logging.Flags
}

func (f *flags) define(s *pflag.FlagSet) {
	s.StringVar(&f.serverImage, "server-image", "",
		"image of the webhook servers where a bot names none; the operator's own image is meant (required)")
	s.StringVar(&f.redisImage, "redis-image", desired.DefaultRedisImage,
		"image of the Redis that a bot with session.redis.managed gets where it names none: one of a mirror, say")
	s.StringVar(&f.ingressClass, "default-ingress-class", "",
		"IngressClass where a bot names none; empty leaves it to the cluster's default class")
	s.StringVar(&f.issuer, "default-issuer", "",
		"cert-manager issuer where a bot names none: NAME is an Issuer of the bot's namespace, ClusterIssuer/NAME one of the cluster")
	s.IntVar(&f.concurrency, "concurrency", 8, "how many bots are reconciled at once")
	s.IntVar(&f.rollouts, "rollout-concurrency", 10,
		"how many bots' pods are replaced at once when the operator was upgraded or its flags have changed; 0 is all. What a user changes is never held back")
	s.BoolVar(&f.probeDify, "probe-dify", true,
		"ask each bot's Dify whether its API key works; false: no connection is made to addresses that bots name, and they have no condition DifyReachable")
	s.BoolVar(&f.pollServers, "poll-servers", true,
		"ask each bot's pods every minute, at their admin port, how they are; false: no connection is made to pods, and bots have no conditions Connected, "+
			"AccountReady and MenuPublished")
	s.StringSliceVar(&f.manager.Namespaces, "watch-namespaces", nil,
		"namespaces to work in, separated by commas; empty means all. With it, rights in these namespaces are enough")
	s.BoolVar(&f.manager.LeaderElection, "leader-elect", false, "let one of several operators work")
	s.StringVar(&f.manager.LeaderElectionNamespace, "leader-elect-namespace", "", "namespace of the Lease; empty means the pod's own")
	s.DurationVar(&f.manager.Lease, "leader-elect-lease-duration", 15*time.Second,
		"how long the others wait for a leader that says nothing before one of them takes over")
	s.DurationVar(&f.manager.Renew, "leader-elect-renew-deadline", 10*time.Second,
		"how long the leader tries to say that it is there before it gives up and ends; less than the lease's duration")
	s.DurationVar(&f.manager.Retry, "leader-elect-retry-period", 2*time.Second, "how long each waits between two tries; less than the renew deadline")
	s.StringVar(&f.manager.MetricsAddress, "metrics-bind-address", "0", "address of /metrics, such as :8443; 0 means none")
	s.BoolVar(&f.manager.SecureMetrics, "metrics-secure", true,
		"serve metrics over TLS to those whom the API server allows to read them (needs rights on tokenreviews and subjectaccessreviews)")
	s.StringVar(&f.manager.MetricsCertDir, "metrics-cert-dir", "", "folder of tls.crt and tls.key for metrics; empty means a certificate of its own")
	s.StringVar(&f.manager.HealthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 means none")
	f.log.Define(s)
}

// options checks the flags, and gives what they say of bots.
func (f *flags) options() (controllers.Options, error) {
	if f.serverImage == "" {
		return controllers.Options{}, errors.New("--server-image is missing: give the operator's own image")
	}
	if f.concurrency < 1 || f.concurrency > 256 {
		return controllers.Options{}, fmt.Errorf("--concurrency: %d is out of range: give 1 to 256", f.concurrency)
	}
	if f.rollouts < 0 {
		return controllers.Options{}, fmt.Errorf("--rollout-concurrency: %d is out of range: give 0 or more", f.rollouts)
	}
	if m := &f.manager; m.Retry <= 0 || m.Renew <= m.Retry*6/5 || m.Lease <= m.Renew { // a try may come a fifth later
		return controllers.Options{}, fmt.Errorf("--leader-elect-lease-duration %v, --leader-elect-renew-deadline %v, "+
			"--leader-elect-retry-period %v: give each less than the one before it, and 1.2 times the last less than the second",
			m.Lease, m.Renew, m.Retry)
	}
	if f.redisImage == "" {
		return controllers.Options{}, errors.New("--redis-image is empty: leave it out to get " + desired.DefaultRedisImage)
	}
	issuer, err := parseIssuer(f.issuer)
	if err != nil {
		return controllers.Options{}, err
	}
	return controllers.Options{
		Operator:    desired.Operator{Image: f.serverImage, RedisImage: f.redisImage, IngressClass: f.ingressClass, Issuer: issuer},
		Concurrency: f.concurrency, RolloutConcurrency: f.rollouts,
		WithoutDify: !f.probeDify, WithoutServers: !f.pollServers,
	}, nil
}

func parseIssuer(s string) (*v1alpha1.IssuerRef, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // there is no default issuer
	}
	kind, name, qualified := strings.Cut(s, "/")
	if !qualified {
		kind, name = string(v1alpha1.NamespacedIssuer), s
	}
	switch k := v1alpha1.IssuerKind(kind); k {
	case v1alpha1.NamespacedIssuer, v1alpha1.ClusterIssuer:
		if name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("--default-issuer: %q names no issuer", s)
		}
		return &v1alpha1.IssuerRef{Kind: k, Name: name}, nil
	default:
		return nil, fmt.Errorf("--default-issuer: %q is neither NAME nor ClusterIssuer/NAME", s)
	}
}
