package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

// program has the test's binary be the manager itself, so that processes of it can be killed.
const program = "WECHATBOT_TEST_MANAGER"

// plane is the API server of every test of the package, and kubeconfig an administrator's access to it.
var (
	plane      *envtest.ControlPlane
	kubeconfig string
)

func TestMain(m *testing.M) {
	if os.Getenv(program) != "" {
		main()
		return
	}
	os.Exit(tests(m))
}

func tests(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "manager-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		plane, err = envtest.Start()
	}
	if err == nil {
		defer func() {
			if err := plane.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}()
		var view string
		view, err = plane.Kubectl(context.Background(), "", "config", "view", "--raw", "--flatten")
		kubeconfig = filepath.Join(dir, "kubeconfig")
		err = errors.Join(err, os.WriteFile(kubeconfig, []byte(view), 0o600))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func TestFlags(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		want  controllers.Options
		wrong string
	}{
		"the image is needed": {nil, controllers.Options{}, "--server-image is missing"},
		"the image is enough": {
			[]string{"--server-image=a/b:1"},
			controllers.Options{Operator: desired.Operator{Image: "a/b:1", RedisImage: desired.DefaultRedisImage}, Concurrency: 8, RolloutConcurrency: 10}, "",
		},
		"all": {
			[]string{"--server-image=a", "--redis-image=mirror/redis:7", "--default-ingress-class=edge", "--default-issuer=ClusterIssuer/acme", "--concurrency=9", "--rollout-concurrency=3"},
			controllers.Options{Concurrency: 9, RolloutConcurrency: 3, Operator: desired.Operator{
				Image: "a", RedisImage: "mirror/redis:7", IngressClass: "edge", Issuer: &v1alpha1.IssuerRef{Kind: v1alpha1.ClusterIssuer, Name: "acme"},
			}}, "",
		},
		"an Issuer of the namespace": {
			[]string{"--server-image=a", "--default-issuer=acme"},
			controllers.Options{Concurrency: 8, RolloutConcurrency: 10, Operator: desired.Operator{
				Image: "a", RedisImage: desired.DefaultRedisImage, Issuer: &v1alpha1.IssuerRef{Kind: v1alpha1.NamespacedIssuer, Name: "acme"},
			}}, "",
		},
		"an unknown kind of issuer": {[]string{"--server-image=a", "--default-issuer=Certificate/x"}, controllers.Options{}, "neither NAME nor"},
		"an issuer without name":    {[]string{"--server-image=a", "--default-issuer=ClusterIssuer/"}, controllers.Options{}, "names no issuer"},
		"a renew deadline that is too long": {
			[]string{"--server-image=a", "--leader-elect-renew-deadline=15s"}, controllers.Options{}, "--leader-elect-renew-deadline 15s",
		},
		"a retry period that is too long": {
			[]string{"--server-image=a", "--leader-elect-retry-period=9s"}, controllers.Options{}, "--leader-elect-retry-period 9s",
		},
		"Dify is not asked": {
			[]string{"--server-image=a", "--probe-dify=false"},
			controllers.Options{Concurrency: 8, RolloutConcurrency: 10, Operator: desired.Operator{Image: "a", RedisImage: desired.DefaultRedisImage}, WithoutDify: true}, "",
		},
		"no server is asked": {
			[]string{"--server-image=a", "--poll-servers=false"},
			controllers.Options{Concurrency: 8, RolloutConcurrency: 10, Operator: desired.Operator{Image: "a", RedisImage: desired.DefaultRedisImage}, WithoutServers: true}, "",
		},
		"no workers":        {[]string{"--server-image=a", "--concurrency=0"}, controllers.Options{}, "out of range"},
		"no image of Redis": {[]string{"--server-image=a", "--redis-image="}, controllers.Options{}, "--redis-image is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			var f flags
			set := pflag.NewFlagSet(name, pflag.ContinueOnError)
			f.define(set)
			if err := set.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			got, err := f.options()
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("got %v, want an error with %q", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestACommandLineThatIsWrongEndsAtOnce(t *testing.T) {
	for args, want := range map[string]string{
		"--server-image=a --log-level=loud": "--log-level",
		"--server-image=a --log-format=xml": "--log-format",
		"--unknown":                         "unknown flag",
		"--server-image=a argument":         "unknown command",
		"--log-level=info":                  "--server-image",
	} {
		c := command()
		c.SetArgs(strings.Fields(args))
		if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", args, err, want)
		}
	}
}

// The whole command against a real API server: it becomes ready, works, serves metrics, and ends when told to.
func TestTheManagerRunsAndEnds(t *testing.T) {
	t.Setenv("KUBECONFIG", kubeconfig)
	health, metrics := freeAddress(t), freeAddress(t)
	namespace := plane.Namespace(t, "bots")
	checkFails(t, "no operator looked at", "--namespace="+namespace, "--timeout=1s")
	checkFails(t, "there is no namespace nowhere", "--namespace=nowhere")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := command()
	c.SetArgs([]string{
		"--server-image=example.com/wechatbot:1", "--health-probe-bind-address=" + health, "--metrics-bind-address=" + metrics,
		"--metrics-secure=false", "--leader-elect", "--leader-elect-namespace=" + namespace, "--log-level=error",
	})
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	eventually(t, func() error { return get("http://"+health+"/readyz", nil) })
	eventually(t, func() error { return get("http://"+health+"/healthz", nil) })

	if out, err := runCheck(t, "--namespace="+namespace); err != nil || !strings.HasPrefix(out, "the operator looked at a bot in namespace "+namespace) {
		t.Errorf("check of a working operator: %q, %v", out, err)
	}
	if left, err := plane.Kubectl(t.Context(), "", "-n", namespace, "get", "wbot", "-o", "name"); err != nil || left != "" {
		t.Errorf("the checks left %q, %v", left, err)
	}

	bot := `{"apiVersion": "wechatbot.dev/v1alpha1", "kind": "WechatBot", "metadata": {"name": "winter"}, "spec": {
		"domain": "bot.example.com", "tokenSecretRef": {"name": "winter", "key": "token"}, "dify": {"apiKeySecretRef": {"name": "winter", "key": "key"}}}}`
	if _, err := plane.Kubectl(t.Context(), bot, "-n", namespace, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		out, err := plane.Kubectl(t.Context(), "", "-n", namespace, "get", "wbot", "winter", "-o", "json")
		if err != nil {
			return err
		}
		var now v1alpha1.WechatBot
		if err := json.Unmarshal([]byte(out), &now); err != nil {
			return err
		}
		if len(now.Status.Conditions) == 0 || now.Status.Conditions[0].Reason != v1alpha1.ReasonSecretNotFound {
			return fmt.Errorf("the conditions are %v", now.Status.Conditions)
		}
		return nil
	})
	var body string
	if err := get("http://"+metrics+"/metrics", &body); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`wechatbot_apply_total{kind="Deployment",result="applied"} 1`, "controller_runtime_reconcile_total"} {
		if !strings.Contains(body, name) {
			t.Errorf("the metrics have no %s", name)
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it does not end")
	}
}

func runCheck(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	c := command()
	c.SetOut(&out)
	c.SetArgs(append([]string{"check"}, args...))
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func checkFails(t *testing.T, want string, args ...string) {
	t.Helper()
	if out, err := runCheck(t, args...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("check %v: %q, %v, want an error with %q", args, out, err, want)
	}
}

func TestVersionIsPrinted(t *testing.T) {
	var out strings.Builder
	c := command()
	c.SetOut(&out)
	c.SetArgs([]string{"--version"})
	if err := c.ExecuteContext(t.Context()); err != nil || out.String() != "manager version "+version+"\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func get(url string, body *string) error {
	resp, err := http.Get(url) //nolint:noctx // a test's own server
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if body != nil {
		*body = string(content)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, content)
	}
	return nil
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-ticker.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
