// Package envtest starts a real API server for tests: etcd and kube-apiserver (and kubectl) with the CRDs of this
// repository. `make controlplane` builds them into bin/controlplane; KUBEBUILDER_ASSETS names another folder.
//
// It is a control plane without controllers and without nodes: no Deployment gets pods, no Ingress an address, nothing
// is garbage collected (tests look at owner references instead), a deleted namespace stays Terminating, and pods of
// ServiceAccounts are not admitted specially. Each test takes a namespace of its own.
package envtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const stopTimeout = 20 * time.Second

// ControlPlane is a running control plane. Whoever started it stops it.
type ControlPlane struct {
	// Config is an administrator's access, without client-side rate limit.
	Config *rest.Config

	env        *envtest.Environment
	dir        string
	kubeconfig string

	// Whether the API server quotes what it refuses, once that was asked.
	asked        sync.Once
	quotesValues bool
	askedErr     error

	// After the first KillAPIServer: its arguments, and the process that has taken its place, if there is one.
	args  []string
	again *exec.Cmd
}

// Start starts a control plane with the CRDs of config/crd/bases. It takes about four seconds: a package of tests
// starts one, in TestMain.
func Start() (*ControlPlane, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	assets, err := binaries(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "envtest-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the kubeconfig: %w", err)
	}
	c := &ControlPlane{dir: dir, env: &envtest.Environment{
		BinaryAssetsDirectory:   assets,
		CRDDirectoryPaths:       []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing:   true,
		ControlPlaneStopTimeout: stopTimeout,
	}}
	// The default /24 is full after 254 Services.
	c.env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.0.0.0/16")
	if err := c.start(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}

	return c, nil
}

// Main is the body of a TestMain: it runs tests with a control plane, and gives the exit code. What goes wrong with
// either is printed, and no success.
func Main(tests func(*ControlPlane) (code int, err error)) (code int) {
	c, err := Start()
	if err == nil {
		code, err = tests(c)
		err = errors.Join(err, c.Stop())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func (c *ControlPlane) start() error {
	config, err := c.env.Start()
	if err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	config.QPS = -1
	c.Config = config
	user, err := c.env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return fmt.Errorf("adding a user for kubectl: %w", err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	c.kubeconfig = filepath.Join(c.dir, "kubeconfig")
	if err := os.WriteFile(c.kubeconfig, kubeconfig, 0o600); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}

	return nil
}

// Stop ends the control plane's processes and removes their files.
func (c *ControlPlane) Stop() error {
	var killed error
	if c.again != nil {
		killed = c.KillAPIServer()
	}
	return errors.Join(killed, c.env.Stop(), os.RemoveAll(c.dir))
}

// Namespace makes a namespace for one test. Its name is the prefix and what the API server adds to make it unique.
func (c *ControlPlane) Namespace(t testing.TB, prefix string) string {
	t.Helper()
	clients, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	namespace, err := clients.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("making a namespace: %v", err)
	}

	return namespace.Name
}

// KubectlPath is where the control plane's kubectl is.
func (c *ControlPlane) KubectlPath() string {
	return filepath.Join(c.env.BinaryAssetsDirectory, "kubectl")
}

// Kubectl runs kubectl as an administrator and gives what it prints. The error has what it prints to stderr.
func (c *ControlPlane) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	//nolint:gosec // the arguments are those of a test
	cmd := exec.CommandContext(ctx, filepath.Join(c.env.BinaryAssetsDirectory, "kubectl"), args...)
	cmd.Env = []string{"KUBECONFIG=" + c.kubeconfig, "HOME=" + c.dir}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}

	return stdout.String(), nil
}

// repository gives the folder of the module that the running test belongs to.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "config", "crd", "bases")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("looking for the repository: no folder above the test has config/crd/bases")
		}
		dir = parent
	}
}

// binaries gives the folder of etcd, kube-apiserver and kubectl.
func binaries(root string) (string, error) {
	dir := os.Getenv("KUBEBUILDER_ASSETS")
	if dir == "" {
		dir = filepath.Join(root, "bin", "controlplane")
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("the control plane's binaries are not there: run `make controlplane`, or set KUBEBUILDER_ASSETS: %w", err)
		}
	}

	return dir, nil
}
