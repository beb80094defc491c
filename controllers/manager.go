package controllers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// ManagerOptions are what the operator's flags say of the process.
type ManagerOptions struct {
	// Namespaces to work in; none means all. With some, nothing outside of them is read, not even what belongs to the
	// cluster.
	Namespaces []string
	// LeaderElection lets several operators run, of which one works. It is held in LeaderElectionNamespace; empty means
	// the pod's own.
	LeaderElection          bool
	LeaderElectionNamespace string
	// MetricsAddress and HealthAddress are host:port; "0" means none.
	MetricsAddress, HealthAddress string
	// SecureMetrics serves metrics over TLS, to those whom the API server allows to read /metrics.
	SecureMetrics bool
	// MetricsCertDir holds tls.crt and tls.key; empty means a certificate of the process's own.
	MetricsCertDir string
	// Log gets everything.
	Log logr.Logger
	// Strict has a read of something that is not watched fail instead of starting a watch: for tests.
	Strict bool
	// Lease, Renew and Retry are the times of the leader election: how long the others wait for a silent leader, how
	// long the leader tries to speak before it gives up, and the time between two tries. 0 means 15 s, 10 s, 2 s.
	Lease, Renew, Retry time.Duration
}

// LeaderElectionID is the name of the Lease.
const LeaderElectionID = "wechatbot-operator"

// NewManager makes a manager with a Reconciler in it.
func NewManager(ctx context.Context, access *rest.Config, m ManagerOptions, o Options) (manager.Manager, error) {
	o.ClusterScoped = len(m.Namespaces) == 0
	caches := CacheOptions(m.Namespaces)
	caches.ReaderFailOnMissingInformer = m.Strict
	options := ctrl.Options{
		Scheme: Scheme(),
		Logger: m.Log,
		Cache:  caches,
		// A read waits for the process's own writes, so that none is made twice. It cannot with several caches of a kind.
		Client: client.Options{Cache: &client.CacheOptions{
			EnableReadYourWritesConsistency: new(len(m.Namespaces) < 2),
		}},
		Metrics:                metricsOptions(m),
		HealthProbeBindAddress: m.HealthAddress,

		LeaderElection:                m.LeaderElection,
		LeaderElectionID:              LeaderElectionID,
		LeaderElectionNamespace:       m.LeaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true, // the process ends when the manager has
		Controller:                    config.Controller{SkipNameValidation: new(m.Strict)},
	}
	if m.Lease > 0 {
		options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = &m.Lease, &m.Renew, &m.Retry
	}
	mgr, err := ctrl.NewManager(access, options)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if err := Setup(ctx, mgr, o); err != nil {
		return nil, err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("caches", cachesFilled(mgr)); err != nil {
		return nil, fmt.Errorf("adding the readiness check: %w", err)
	}
	return mgr, nil
}

func metricsOptions(m ManagerOptions) metricsserver.Options {
	o := metricsserver.Options{BindAddress: m.MetricsAddress}
	if m.SecureMetrics {
		o.SecureServing, o.CertDir = true, m.MetricsCertDir
		o.FilterProvider = filters.WithAuthenticationAndAuthorization
		// HTTP/2 lets a client make much work by resetting streams.
		o.TLSOpts = []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }}
	}
	return o
}

// cachesFilled is the readiness: without filled caches nothing can be reconciled.
func cachesFilled(mgr manager.Manager) healthz.Checker {
	return func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
}
