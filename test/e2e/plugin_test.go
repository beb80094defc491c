//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// user is somebody with a role in one namespace who has the plugin: on this machine, and in a pod of the cluster, where
// names lead where they lead for WeChat.
type user struct {
	*cluster
	namespace, name string
	kubeconfig      string // on this machine
}

// In the pod of the users.
const (
	usersPod = "outside"
	usersDir = "/users"
)

// user makes a user with a ClusterRole of Kubernetes' own: view, edit, admin.
func (c *cluster) user(t *testing.T, namespace, name, role string) *user {
	t.Helper()
	c.apply(t, namespace, fmt.Sprintf(`
{apiVersion: v1, kind: ServiceAccount, metadata: {name: %[1]s}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s}
subjects: [{kind: ServiceAccount, name: %[1]s}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[2]s}
`, name, role))
	u := &user{cluster: c, namespace: namespace, name: name, kubeconfig: filepath.Join(t.TempDir(), name)}
	if err := os.WriteFile(u.kubeconfig, u.access(t, c.config.Host), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

// access is a kubeconfig of the user, for an API server at an address.
func (u *user) access(t *testing.T, server string) []byte {
	t.Helper()
	authority := u.config.CAData
	if authority == nil {
		var err error
		if authority, err = os.ReadFile(u.config.CAFile); err != nil {
			t.Fatal(err)
		}
	}
	access := clientcmdapi.NewConfig()
	access.Clusters["test"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: authority}
	access.AuthInfos["test"] = &clientcmdapi.AuthInfo{
		Token: strings.TrimSpace(u.kubectl(t, "--namespace", u.namespace, "create", "token", u.name, "--duration=2h")),
	}
	access.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test", Namespace: u.namespace}
	access.CurrentContext = "test"
	content, err := clientcmd.Write(*access)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// outside runs a pod in which the users have the plugin. It trusts the authorities besides those of this test, and names
// have the addresses that are given.
func (c *cluster) outside(t *testing.T, authorities string, names map[string]string, users ...*user) {
	t.Helper()
	own, err := os.ReadFile(os.Getenv("E2E_CA"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]any{"trust.crt": base64.StdEncoding.EncodeToString(append(own, authorities...))}
	for _, u := range users {
		files[u.name] = base64.StdEncoding.EncodeToString(u.access(t, "https://kubernetes.default.svc"))
	}
	namespace := users[0].namespace
	c.apply(t, namespace, string(encode(t, map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": usersPod}, "data": files,
	})))
	var aliases []any
	for name, address := range names {
		aliases = append(aliases, map[string]any{"ip": address, "hostnames": []any{name}})
	}
	c.apply(t, namespace, string(encode(t, map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": usersPod},
		"spec": map[string]any{
			"automountServiceAccountToken": false, "hostAliases": aliases, "terminationGracePeriodSeconds": 0,
			"securityContext": map[string]any{"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": map[string]any{"type": "RuntimeDefault"}},
			"containers": []any{map[string]any{
				"name": "dify", "image": c.difyImage, "imagePullPolicy": "IfNotPresent", // it waits
				"securityContext": map[string]any{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": map[string]any{"drop": []any{"ALL"}}},
				"volumeMounts":    []any{map[string]any{"name": "users", "mountPath": usersDir, "readOnly": true}},
			}},
			"volumes": []any{map[string]any{"name": "users", "secret": map[string]any{"secretName": usersPod}}},
		},
	})))
	c.kubectl(t, "--namespace", namespace, "wait", "--for=condition=Ready", "pod/"+usersPod, "--timeout=60s")
}

// printed is what a command of the plugin has shown.
type printed struct {
	out, err string
	code     int
	took     time.Duration
}

// plugin runs `kubectl wechatbot` on this machine.
func (u *user) plugin(t *testing.T, args ...string) printed {
	t.Helper()
	return u.print(t, append(append([]string{"wechatbot"}, args...), "--kubeconfig="+u.kubeconfig)...)
}

// doctor runs `kubectl wechatbot doctor` in the pod.
func (u *user) doctor(t *testing.T, bot string) printed {
	t.Helper()
	return u.print(t, "--namespace", u.namespace, "exec", usersPod, "--", "/kubectl-wechatbot", "doctor", bot,
		"--kubeconfig="+usersDir+"/"+u.name, "--trust="+usersDir+"/trust.crt")
}

func (u *user) print(t *testing.T, args ...string) printed {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "kubectl", args...)
	command.Dir, command.Stdout, command.Stderr = u.root, &stdout, &stderr
	command.Env = append(os.Environ(), "WECHATBOT_DIFY_KEY=app-e2eDifyKey") // for create
	began := time.Now()
	err := command.Run()
	p := printed{out: stdout.String(), err: strings.TrimSpace(stderr.String()), took: time.Since(began)}
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		p.code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return p
}

// says fails the test unless a command has ended with this code and shown all parts.
func (p printed) says(t *testing.T, code int, parts ...string) {
	t.Helper()
	if p.code != code {
		t.Errorf("the command ended with %d, not %d", p.code, code)
	}
	for _, part := range parts {
		if !strings.Contains(p.out+p.err, part) {
			t.Errorf("the command does not say %q", part)
		}
	}
	if t.Failed() {
		t.Fatalf("it took %s and printed:\n%s\n%s", seconds(p.took), p.out, p.err)
	}
}
