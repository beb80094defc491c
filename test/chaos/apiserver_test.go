//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

// apiServer is a control plane whose API server can be killed and started again.
type apiServer struct {
	config *rest.Config
	pid    int
	args   []string
	dir    string
	log    *os.File
	cmd    *exec.Cmd // after the first kill
}

func startAPIServer(t *testing.T, logs string) (*apiServer, *envtest.ControlPlane) {
	t.Helper()
	log.SetLogger(logr.Discard())
	before := children(t)
	plane, err := envtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	a := &apiServer{config: plane.Config}
	t.Cleanup(func() {
		if a.cmd != nil {
			_ = a.cmd.Process.Kill()
			_ = a.cmd.Wait()
		}
		// The control plane has lost the process that it started, and says so.
		if err := plane.Stop(); err != nil && a.cmd == nil {
			t.Errorf("stopping the control plane: %v", err)
		}
		if a.log != nil {
			_ = a.log.Close()
		}
	})
	if a.log, err = os.Create(filepath.Join(logs, "kube-apiserver.log")); err != nil {
		t.Fatal(err)
	}
	for _, pid := range children(t) {
		proc := "/proc/" + strconv.Itoa(pid)
		line, err := os.ReadFile(filepath.Join(proc, "cmdline"))
		if err != nil || slices.Contains(before, pid) {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		if filepath.Base(args[0]) != "kube-apiserver" {
			continue
		}
		a.pid, a.args = pid, args
		if a.dir, err = os.Readlink(filepath.Join(proc, "cwd")); err != nil {
			t.Fatal(err)
		}
	}
	if a.pid == 0 {
		t.Fatal("the control plane's kube-apiserver was not found among this process's children")
	}
	return a, plane
}

// children are the processes that this one has started.
func children(t *testing.T) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // behind the name, which can hold anything
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill ends the API server with SIGKILL; etcd goes on.
func (a *apiServer) kill() error {
	if a.cmd != nil {
		return errors.New("the API server is killed once only")
	}
	if err := syscall.Kill(a.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing the API server: %w", err)
	}
	gone := func() bool { return errors.Is(syscall.Kill(a.pid, 0), syscall.ESRCH) }
	if err := await(startTimeout, gone); err != nil { // its port is free then
		return fmt.Errorf("waiting for the end of the API server: %w", err)
	}
	return nil
}

// start starts it as it was.
func (a *apiServer) start() error {
	a.cmd = exec.Command(a.args[0], a.args[1:]...) //nolint:noctx // it ends by a signal of its own
	a.cmd.Dir, a.cmd.Stdout, a.cmd.Stderr = a.dir, a.log, a.log
	if err := a.cmd.Start(); err != nil {
		return fmt.Errorf("starting the API server: %w", err)
	}
	client, err := rest.HTTPClientFor(a.config)
	if err != nil {
		return fmt.Errorf("asking the API server: %w", err)
	}
	ready := func() bool {
		r, err := http.NewRequest(http.MethodGet, strings.TrimSuffix(a.config.Host, "/")+"/readyz", http.NoBody) //nolint:noctx // await ends it
		if err != nil {
			return false
		}
		res, err := client.Do(r)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	if err := await(2*startTimeout, ready); err != nil {
		return fmt.Errorf("waiting for the API server: %w", err)
	}
	return nil
}

// pod gives what a pod of the bot has of its cluster: the command that a server is started by, and its environment.
// The server runs in a mount namespace of its own, in which its ServiceAccount's files are where a pod has them; its
// rights are those that the operator gives, and its ConfigMaps are there.
func (a *apiServer) pod(t *testing.T, namespace string) (wrap, env []string) {
	t.Helper()
	const name = "chaos"
	objects := (&serverconfig.ConfigMap{Namespace: namespace, Name: name + "-sessions"}).Objects()
	clients, err := kubernetes.NewForConfig(a.config)
	if err != nil {
		t.Fatal(err)
	}
	create := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	meta := metav1.ObjectMeta{Name: name, Namespace: namespace}
	_, err = clients.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	create(err)
	_, err = clients.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: objects, Verbs: []string{"get", "patch"},
	}}}, metav1.CreateOptions{})
	create(err)
	_, err = clients.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}},
	}, metav1.CreateOptions{})
	create(err)
	for _, object := range objects {
		_, err = clients.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: object}}, metav1.CreateOptions{})
		create(err)
	}
	token, err := clients.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	create(err)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "token"), token.Status.Token)
	writeFile(t, filepath.Join(dir, "ca.crt"), string(a.config.CAData))

	u, err := url.Parse(a.config.Host)
	create(err)
	host, port, err := net.SplitHostPort(u.Host)
	create(err)
	wrap = []string{"unshare", "--mount"}
	if os.Getuid() != 0 {
		wrap = append(wrap, "--map-root-user")
	}
	const mounted = "/run/secrets/kubernetes.io/serviceaccount"
	script := fmt.Sprintf(`mount -t tmpfs tmpfs /run && mkdir -p %s && cp "$0"/* %s/ && exec "$@"`, mounted, mounted)
	wrap = append(wrap, "sh", "-euc", script, dir)
	return wrap, []string{"PATH=" + os.Getenv("PATH"), "KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port}
}
