// Package scale measures the operator with many bots. What can be counted exactly is a test; times and memory are
// those of a benchmark (make bench-operator), as they depend on the machine.
package scale

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

const (
	childrenPerBot = 15 // of the minimal object
	looking        = 100 * time.Millisecond
	image          = "registry.example.com/wechatbot-operator:v0.1.0"
	difyKey        = "app-0123456789"
)

// plane is a control plane of its own for one measurement: operators of other tests would count.
type plane struct {
	*envtest.ControlPlane

	admin     client.Client
	namespace string
	difyURL   string
}

func newPlane(t testing.TB) *plane {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	control, err := envtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := control.Stop(); err != nil {
			t.Error(err)
		}
	})
	admin, err := client.New(control.Config, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	sim := difysim.New(difysim.Options{Key: difyKey})
	server := httptest.NewServer(sim)
	t.Cleanup(func() { server.Close(); sim.Close() })
	p := &plane{control, admin, control.Namespace(t, "scale"), server.URL + "/v1"}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bots", Namespace: p.namespace},
		StringData: map[string]string{"token": "wintertoken", "dify-key": difyKey},
	}
	if err := admin.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	// One certificate for all: bots that wait for one are looked at every 15 s, which is not what is measured.
	if err := admin.Create(t.Context(), certificate(t, p.namespace)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plane) bot(i int) *v1alpha1.WechatBot {
	return &v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bot-%04d", i), Namespace: p.namespace},
		Spec: v1alpha1.WechatBotSpec{
			Domain: fmt.Sprintf("bot-%04d.example.com", i), TokenSecretRef: v1alpha1.SecretKeyRef{Name: "bots", Key: "token"},
			Dify:    v1alpha1.Dify{BaseURL: p.difyURL, APIKeySecretRef: v1alpha1.SecretKeyRef{Name: "bots", Key: "dify-key"}},
			Ingress: &v1alpha1.Ingress{TLS: v1alpha1.IngressTLS{SecretName: "certificate"}},
		},
	}
}

// certificate is a Secret with one for *.example.com.
func certificate(t testing.TB, namespace string) *corev1.Secret {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"*.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "certificate", Namespace: namespace}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		},
	}
}

// createBots makes bots with eight workers.
func (p *plane) createBots(t testing.TB, n int) {
	t.Helper()
	each(t, n, func(ctx context.Context, i int) error { return p.admin.Create(ctx, p.bot(i)) })
}

func each(t testing.TB, n int, do func(context.Context, int) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// converged waits until the operator has reported on all bots.
func (p *plane) converged(t testing.TB, n int) {
	t.Helper()
	p.await(t, looking, func() (bool, error) {
		var bots v1alpha1.WechatBotList
		if err := p.admin.List(t.Context(), &bots, client.InNamespace(p.namespace)); err != nil {
			return false, err
		}
		done := 0
		for i := range bots.Items {
			if bots.Items[i].Status.ObservedGeneration == bots.Items[i].Generation {
				done++
			}
		}
		return done == n, nil
	})
}

func (p *plane) await(t testing.TB, every time.Duration, check func() (bool, error)) {
	t.Helper()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	patience := max(10*time.Minute, time.Duration(*bots)*200*time.Millisecond)
	for end := time.Now().Add(patience); ; <-ticker.C {
		ok, err := check()
		switch {
		case err != nil:
			t.Fatal(err)
		case ok:
			return
		case time.Now().After(end):
			t.Fatalf("not after %v", patience)
		}
	}
}

// counter counts an operator's requests.
type counter struct {
	mu              sync.Mutex
	writes, secrets int
	conflicts       int
}

func (c *counter) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/events"):
			c.writes++
		case strings.Contains(r.URL.Path, "/secrets/"):
			c.secrets++
		}
		if err == nil && resp.StatusCode == http.StatusConflict {
			c.conflicts++
		}
		return resp, err
	})
}

func (c *counter) read() (writes, secrets, conflicts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes, c.secrets, c.conflicts
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// operate runs an operator in this process until the returned function is called.
func (p *plane) operate(t testing.TB, c *counter) (stop func()) {
	t.Helper()
	access := rest.CopyConfig(p.Config)
	access.Wrap(c.wrap)
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := controllers.NewManager(ctx, access, controllers.ManagerOptions{
		MetricsAddress: "0", HealthAddress: "0", Log: logr.Discard(), Strict: true,
	}, controllers.Options{Operator: desired.Operator{Image: image}})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// A new bot costs one write a child and one status; a bot that is as it should be costs none, also after a restart.
func TestWritesPerBot(t *testing.T) {
	const bots = 30
	p := newPlane(t)
	first := new(counter)
	stop := p.operate(t, first)
	p.createBots(t, bots)
	p.converged(t, bots)
	stop()
	if writes, _, conflicts := first.read(); writes != bots*(childrenPerBot+1) || conflicts != 0 {
		t.Errorf("%d writes and %d conflicts for %d bots with %d children and a status each", writes, conflicts, bots, childrenPerBot)
	}
	second := new(counter)
	stop = p.operate(t, second)
	// Two Secrets are read in a pass: the bot's and the certificate's.
	p.await(t, looking, func() (bool, error) {
		_, secrets, _ := second.read()
		return secrets >= 2*bots, nil
	})
	stop()
	if writes, secrets, _ := second.read(); writes != 0 || secrets > 4*bots {
		t.Errorf("a restart with %d bots makes %d writes, and reads %d Secrets", bots, writes, secrets)
	}
}

// kubeconfig gives a file with an administrator's access.
func (p *plane) kubeconfig(t testing.TB) string {
	t.Helper()
	view, err := p.Kubectl(t.Context(), "", "config", "view", "--raw", "--flatten")
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/kubeconfig"
	if err := os.WriteFile(file, []byte(view), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// scrape reads all metrics of a process; empty if it is not up yet. A page of them costs a busy operator some 40 ms of CPU.
func scrape(url string) string {
	resp, err := http.Get(url) //nolint:noctx // the benchmark's own process
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(page)
}

// sum adds up the samples on a page of metrics whose labels have a part.
func sum(t testing.TB, page, metric, part string) (total float64) {
	t.Helper()
	for line := range strings.Lines(page) {
		name, value, _ := strings.Cut(line, "} ")
		if strings.HasPrefix(name, metric+"{") && strings.Contains(name, part) {
			var v float64
			if _, err := fmt.Sscan(value, &v); err != nil {
				t.Fatal(err)
			}
			total += v
		}
	}
	return total
}
