//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// cluster is the cluster under test, and where its ingress controller is reached from this machine.
type cluster struct {
	config     *rest.Config
	client     client.WithWatch
	root       string         // of the repository
	connect    string         // host:port of the ingress controller's TLS
	authority  *x509.CertPool // that signs what the ACME issuer gives
	issuer     string         // name of the ACME ClusterIssuer
	caIssuer   string         // name of one that signs at once
	gateway    string         // namespace/name/listener of a Gateway for the domains of the tests
	image      image          // of the operator
	newImage   image          // the same under another tag
	oldImage   image          // of the previous release
	oldChart   string         // likewise
	difyImage  string
	redisImage string

	prometheusImage string

	relays atomic.Int32 // that serveWeChat has begun
}

// image is what helm wants to know of an image.
type image struct{ repository, tag string }

func (i image) String() string { return i.repository + ":" + i.tag }

func parseImage(s string) image {
	i := strings.LastIndex(s, ":")
	return image{s[:max(i, 0)], s[i+1:]}
}

// open reads the environment that hack/e2e.sh makes.
func open(t *testing.T) *cluster {
	t.Helper()
	need := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			t.Fatalf("%s is not set: run `make e2e`", name)
		}
		return value
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{
		root: root, connect: need("E2E_CONNECT"), issuer: need("E2E_ISSUER"), caIssuer: need("E2E_CA_ISSUER"), gateway: need("E2E_GATEWAY"),
		image: parseImage(need("E2E_IMAGE")), newImage: parseImage(need("E2E_NEW_IMAGE")),
		oldImage: parseImage(need("E2E_PREVIOUS_IMAGE")), oldChart: need("E2E_PREVIOUS_CHART"),
		difyImage: need("E2E_DIFY_IMAGE"), redisImage: need("E2E_REDIS_IMAGE"), prometheusImage: need("E2E_PROMETHEUS_IMAGE"),
	}
	pem, err := os.ReadFile(need("E2E_CA"))
	if err != nil {
		t.Fatal(err)
	}
	c.authority = x509.NewCertPool()
	if !c.authority.AppendCertsFromPEM(pem) {
		t.Fatal("E2E_CA holds no certificate")
	}
	c.config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	c.config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), gatewayv1.Install(scheme)); err != nil {
		t.Fatal(err)
	}
	if c.client, err = client.NewWithWatch(c.config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	return c
}

// run runs a command in the repository's folder as a user would, and gives what it prints.
func (c *cluster) run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.root, strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.run(t.Context(), "", "kubectl", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply applies manifests in a namespace, as `kubectl apply`.
func (c *cluster) apply(t *testing.T, namespace, manifests string) {
	t.Helper()
	if _, err := c.run(t.Context(), manifests, "kubectl", "--namespace", namespace, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.run(t.Context(), "", "helm", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// namespace makes a namespace in which nothing but what the restricted Pod Security Standard allows may run, and deletes
// it with the test.
func (c *cluster) namespace(t *testing.T, name string) string {
	t.Helper()
	c.apply(t, "default", fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted}}}", name))
	t.Cleanup(func() {
		if t.Failed() {
			return // somebody may want to look
		}
		if _, err := c.run(context.Background(), "", "kubectl", "delete", "namespace", name, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	return name
}

// await waits until holds says yes. What it says else is the state, for the message when it takes too long.
func await(t *testing.T, patience time.Duration, what string, holds func() (ok bool, state string, err error)) time.Duration {
	t.Helper()
	began := time.Now()
	over := time.NewTimer(patience)
	defer over.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, state, err := holds()
		if ok {
			return time.Since(began)
		}
		if err != nil {
			state = err.Error()
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("%s: not within %v: %s", what, patience, state)
		case <-t.Context().Done():
			t.Fatalf("%s: %v: %s", what, t.Context().Err(), state)
		}
	}
}

// seconds shows a time in a table.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
