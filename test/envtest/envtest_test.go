package envtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestControlPlane_WholeLife(t *testing.T) {
	c, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = c.Stop() // the test has failed already
		}
	}()

	namespace := c.Namespace(t, "room")
	if !strings.HasPrefix(namespace, "room-") {
		t.Errorf("namespace %q does not start with its prefix", namespace)
	}
	clients, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	resources, err := clients.Discovery().ServerResourcesForGroupVersion("wechatbot.dev/v1alpha1")
	if err != nil {
		t.Fatalf("the CRD is not served: %v", err)
	}
	if got := resources.APIResources[0].Kind; got != "WechatBot" {
		t.Errorf("first kind of the group = %q", got)
	}
	if out, err := c.Kubectl(t.Context(), "", "get", "namespace", namespace, "-o", "name"); err != nil || out != "namespace/"+namespace+"\n" {
		t.Errorf("kubectl get namespace = %q, %v", out, err)
	}
	bot := strings.ReplaceAll(refusedBot, "Bot.", "bot.")
	if out, err := c.Kubectl(t.Context(), bot, "create", "--dry-run=server", "--namespace=default", "-f", "-"); err != nil {
		t.Errorf("the bot that Comparable asks with is refused for more than its domain: %q, %v", out, err)
	}
	refused := `spec.domain: Invalid value: "string": write a name`
	if got := c.Comparable(t, refused); (got == refused) != c.quotesValues {
		t.Errorf("of an API server that quotes values (%v) %q is compared as %q", c.quotesValues, refused, got)
	}
	manifest := "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"
	if _, err := c.Kubectl(t.Context(), manifest, "apply", "-n", namespace, "-f", "-"); err != nil {
		t.Errorf("kubectl apply from stdin: %v", err)
	}
	if _, err := clients.CoreV1().ConfigMaps(namespace).Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Errorf("what kubectl applied: %v", err)
	}
	if _, err := c.Kubectl(t.Context(), "", "get", "nonsense"); err == nil || !strings.Contains(err.Error(), `the server doesn't have a resource type "nonsense"`) {
		t.Errorf("a failing kubectl gives %v, want its stderr", err)
	}

	for range 2 { // the first is controller-runtime's, the second ours
		if err := c.KillAPIServer(); err != nil {
			t.Fatal(err)
		}
		if _, err := clients.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{}); err == nil {
			t.Error("an API server that was killed answers")
		}
		if err := c.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := clients.CoreV1().ConfigMaps(namespace).Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
			t.Errorf("what was there before the API server was killed: %v", err)
		}
	}
	if err := c.StartAPIServer(t.Context()); err == nil {
		t.Error("an API server that runs was started")
	}

	stopped = true
	if err := c.Stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if _, err := os.Stat(c.dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the kubeconfig is still there: %v", err)
	}
}

func TestStartSaysHowToGetTheBinaries(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", t.TempDir())
	_, err := Start()
	if err == nil || !strings.Contains(err.Error(), "run `make controlplane`") {
		t.Errorf("Start without binaries = %v", err)
	}
}

func TestStartOutsideTheRepositoryFails(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Start()
	if err == nil || !strings.Contains(err.Error(), "no folder above the test has config/crd/bases") {
		t.Errorf("Start outside the repository = %v", err)
	}
}

func TestStart_ServerDoesNotRun(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBEBUILDER_ASSETS", dir)
	t.Setenv("TMPDIR", t.TempDir())
	_, err := Start()
	if err == nil || !strings.Contains(err.Error(), "starting the control plane") {
		t.Errorf("Start with a broken etcd = %v", err)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "envtest-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
