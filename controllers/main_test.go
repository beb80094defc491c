package controllers_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/controllers"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/report"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// controlPlane is the API server of every test of the package, with config/default and config/namespaced applied.
var controlPlane *envtest.ControlPlane

// admin is an administrator's client, without caches.
var admin client.Client

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	err := start()
	if controlPlane != nil {
		defer func() {
			if err := controlPlane.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func start() (err error) {
	if controlPlane, err = envtest.Start(); err != nil {
		return err
	}
	if admin, err = client.New(controlPlane.Config, client.Options{Scheme: controllers.Scheme()}); err != nil {
		return err
	}
	for _, dir := range []string{"default", "namespaced"} {
		_, err := controlPlane.Kubectl(context.Background(), "", "apply", "--server-side", "--force-conflicts", "-k", filepath.Join("..", "config", dir))
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	clusterAccount    = "system:serviceaccount:wechatbot-system:wechatbot-manager"
	namespacedAccount = "system:serviceaccount:wechatbot:wechatbot-manager"
)

// managerImage is what the operators of the tests are told.
const managerImage = "registry.example.com/wechatbot-operator:v0.1.0"

// quick are waits that suit a test.
func quick() controllers.Options {
	return controllers.Options{
		Operator:    desired.Operator{Image: managerImage},
		Waits:       report.Waits{Secret: 100 * time.Millisecond, Cluster: 100 * time.Millisecond, Calm: time.Hour},
		DifyUp:      time.Hour,
		DifyDown:    100 * time.Millisecond,
		Concurrency: 4,
	}
}

// operator is a running manager that has the rights of a ServiceAccount of config/ and no others.
type operator struct {
	calls *calls
	stop  func()
}

// startOperator starts an operator that ends with the test, at the latest.
func startOperator(t testing.TB, o controllers.Options, change ...func(*rest.Config, *controllers.ManagerOptions)) *operator {
	t.Helper()
	access := rest.CopyConfig(controlPlane.Config)
	access.Impersonate = rest.ImpersonationConfig{UserName: clusterAccount, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	op := &operator{calls: &calls{}}
	m := controllers.ManagerOptions{MetricsAddress: "0", HealthAddress: "0", Log: logr.Discard(), Strict: true}
	for _, c := range change {
		c(access, &m)
	}
	access.Wrap(op.calls.wrap)
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := controllers.NewManager(ctx, access, m, o)
	if err != nil {
		cancel()
		t.Fatalf("making the manager: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	op.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && !strings.Contains(err.Error(), "leader election lost") {
			t.Errorf("the manager ended with: %v", err)
		}
	})
	t.Cleanup(op.stop)
	return op
}

// calls counts the requests of an operator.
type calls struct {
	mu    sync.Mutex
	all   []call
	fault func(*http.Request) error
}

type call struct{ verb, path string }

func (c *calls) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		c.mu.Lock()
		fault := c.fault
		c.mu.Unlock()
		if fault != nil {
			if err := fault(r); err != nil {
				return nil, err
			}
		}
		if r.URL.Query().Get("watch") == "" {
			c.mu.Lock()
			c.all = append(c.all, call{r.Method, r.URL.Path})
			c.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// fail makes requests fail before they are sent.
func (c *calls) fail(fault func(*http.Request) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fault
}

var errInjected = errors.New("injected fault")

// isWrite tells whether a request changes something that is not an event or a lease.
func isWrite(verb, path string) bool {
	return verb != http.MethodGet && !strings.Contains(path, "/events") && !strings.Contains(path, "/leases")
}

// writes are the calls since the n-th that changed something below a path.
func (c *calls) writes(below string) []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []call
	for _, one := range c.all {
		if isWrite(one.verb, one.path) && strings.Contains(one.path, below) {
			found = append(found, one)
		}
	}
	return found
}

// matching counts calls of a verb whose path has all the parts.
func (c *calls) matching(verb string, parts ...string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, one := range c.all {
		ok := one.verb == verb
		for _, part := range parts {
			ok = ok && strings.Contains(one.path, part)
		}
		if ok {
			n++
		}
	}
	return n
}

func (c *calls) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = nil
}

// eventually waits until check gives no error.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still after 30 s: %v", err)
		}
		<-ticker.C
	}
}
