package controllers_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	// Tests wait for the API server and each other's objects much more than they compute.
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := parallel.Value.Set("8"); err != nil {
			panic(err) // it is a number
		}
	}
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
	code = m.Run()
	if shared.operator != nil {
		if err := shared.operator.end(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if all := flag.Lookup("test.run"); code == 0 && all.Value.String() == "" {
		for _, right := range unusedRights() {
			fmt.Fprintln(os.Stderr, "a right that no test of the package has needed:", right)
			code = 1
		}
	}
	return code
}

func start() (err error) {
	if controlPlane, err = envtest.Start(); err != nil {
		return err
	}
	if admin, err = client.New(controlPlane.Config, client.Options{Scheme: controllers.Scheme()}); err != nil {
		return err
	}
	if err := admin.Create(context.Background(), defaultIngressClass()); err != nil {
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

// defaultIngressClass is the cluster's: most clusters have one.
func defaultIngressClass() *networkingv1.IngressClass {
	return &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: "public", Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}},
		Spec:       networkingv1.IngressClassSpec{Controller: "example.com/public"},
	}
}

const (
	clusterAccount    = "system:serviceaccount:wechatbot-system:wechatbot-manager"
	namespacedAccount = "system:serviceaccount:wechatbot:wechatbot-manager"
)

// managerImage is what the operators of the tests are told.
const managerImage = "registry.example.com/wechatbot-operator:v0.1.0"

// adminPort is that of the tests' webhook servers, each of which has an address of its own.
const adminPort = 29090

// quick are waits that suit a test.
func quick() controllers.Options {
	return controllers.Options{
		Operator:    desired.Operator{Image: managerImage},
		Waits:       report.Waits{Secret: 100 * time.Millisecond, Cluster: 100 * time.Millisecond, ResyncPeriod: time.Hour},
		DifyUp:      time.Hour,
		DifyDown:    100 * time.Millisecond,
		PollEvery:   600 * time.Millisecond,
		AdminPort:   adminPort,
		Concurrency: 4,
	}
}

// operator is a running manager that has the rights of a ServiceAccount of config/ and no others.
type operator struct {
	calls *calls
	stop  func()       // and fail the test if it does not end well
	end   func() error // stops it
}

// startOperator starts an operator of the whole cluster that ends with the test, at the latest. Its test is not
// parallel: the bots of others would be reconciled by two.
func startOperator(t testing.TB, o controllers.Options, change ...func(*rest.Config, *controllers.ManagerOptions)) *operator {
	t.Helper()
	op, err := launch(o, change...)
	if err != nil {
		t.Fatal(err)
	}
	op.stop = func() {
		if err := op.end(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(op.stop)
	return op
}

// shared is the operator of all tests that are parallel: they start when the others have ended.
var shared struct {
	once     sync.Once
	operator *operator
	err      error
}

// sharedOperator gives it. Only its calls below one's own namespaces mean anything.
func sharedOperator(t testing.TB) *operator {
	t.Helper()
	shared.once.Do(func() { shared.operator, shared.err = launch(quick()) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.operator
}

func launch(o controllers.Options, change ...func(*rest.Config, *controllers.ManagerOptions)) (*operator, error) {
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
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	op.end = sync.OnceValue(func() error {
		cancel()
		if err := <-ended; err != nil {
			return fmt.Errorf("the manager ended with: %w", err)
		}
		return nil
	})
	return op, nil
}

// calls counts the requests of an operator.
type calls struct {
	mu    sync.Mutex
	all   []call
	tries int // of everything, watches too
	fault func(*http.Request) error
}

type call struct{ verb, path string }

func (c *calls) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		c.mu.Lock()
		c.tries++
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
		answer, err := next.RoundTrip(r)
		if err == nil && answer.StatusCode < http.StatusBadRequest {
			used.add(r, answer.StatusCode)
		}
		return answer, err
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

// tried counts all that was sent, or tried to be.
func (c *calls) tried() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tries
}

func (c *calls) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = nil
}

// eventually waits until check gives no error. It asks ever less often, as many tests ask at once, and gives up late,
// as the machine may be busy.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for wait := 25 * time.Millisecond; ; wait = min(2*wait, 400*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still after two minutes: %v", err)
		}
		<-time.After(wait)
	}
}
