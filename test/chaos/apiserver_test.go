//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

// apiServer is a control plane whose API server is killed and started again, while etcd goes on.
type apiServer struct{ *envtest.ControlPlane }

func startAPIServer(t testing.TB) *apiServer {
	t.Helper()
	log.SetLogger(logr.Discard())
	plane, err := envtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Errorf("stopping the control plane: %v", err)
		}
	})
	return &apiServer{plane}
}

func (a *apiServer) kill() error { return a.KillAPIServer() }

func (a *apiServer) start() error { return a.StartAPIServer(context.Background()) }

// pod gives what a pod of the bot has of its cluster: the command that a server is started by, and its environment.
// The server runs in a mount namespace of its own, in which its ServiceAccount's files are where a pod has them; its
// rights are those that the operator gives, and its ConfigMaps are there.
func (a *apiServer) pod(t testing.TB, namespace string) (wrap, env []string) {
	t.Helper()
	const name = "chaos"
	objects := (&serverconfig.ConfigMap{Namespace: namespace, Name: name + "-sessions"}).Objects()
	clients, err := kubernetes.NewForConfig(a.Config)
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
	writeFile(t, filepath.Join(dir, "ca.crt"), string(a.Config.CAData))

	u, err := url.Parse(a.Config.Host)
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
