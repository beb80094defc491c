package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers"
)

const (
	handoverBots = 8
	// childrenPerBot is how many objects the minimal bot has.
	childrenPerBot = 15
)

// handover is several managers of one namespace, of which one leads.
type handover struct {
	t         *testing.T
	namespace string
	client    client.Client
}

// manager starts a process of the manager.
func (h *handover) manager() *exec.Cmd {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), os.Args[0], "--server-image=example.com/wechatbot:1", "--watch-namespaces="+h.namespace,
		"--health-probe-bind-address=0", "--log-level=error", "--concurrency=1",
		"--leader-elect", "--leader-elect-namespace="+h.namespace, "--leader-elect-lease-duration=3s",
		"--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=250ms")
	cmd.Env = append(os.Environ(), program+"=1", "KUBECONFIG="+kubeconfig)
	cmd.Stderr = h.t.Output()
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	})
	return cmd
}

// leader waits until another than before leads, and gives its name.
func (h *handover) leader(before string) (holder string) {
	h.t.Helper()
	eventually(h.t, func() error {
		lease := new(coordinationv1.Lease)
		if err := h.client.Get(h.t.Context(), client.ObjectKey{Namespace: h.namespace, Name: controllers.LeaderElectionID}, lease); err != nil {
			return err
		}
		if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" || *lease.Spec.HolderIdentity == before {
			return fmt.Errorf("no other than %q leads", before)
		}
		holder = *lease.Spec.HolderIdentity
		return nil
	})
	return holder
}

// configured waits until n bots have what the given number of questions makes of their configuration.
func (h *handover) configured(n, questions int) {
	h.t.Helper()
	eventually(h.t, func() error {
		var configs corev1.ConfigMapList
		if err := h.client.List(h.t.Context(), &configs, client.InNamespace(h.namespace)); err != nil {
			return err
		}
		found := 0
		for i := range configs.Items {
			if strings.Contains(configs.Items[i].Data["config.yaml"], fmt.Sprintf("questions: %d\n", questions)) {
				found++
			}
		}
		if found < n {
			return fmt.Errorf("%d of %d bots are configured", found, n)
		}
		return nil
	})
}

// settled waits until every bot's status is about the bot as it is.
func (h *handover) settled() {
	h.t.Helper()
	eventually(h.t, func() error {
		var bots v1alpha1.WechatBotList
		if err := h.client.List(h.t.Context(), &bots, client.InNamespace(h.namespace)); err != nil {
			return err
		}
		for i := range bots.Items {
			if b := &bots.Items[i]; b.Status.ObservedGeneration != b.Generation {
				return fmt.Errorf("the status of %s is of generation %d, not %d", b.Name, b.Status.ObservedGeneration, b.Generation)
			}
		}
		return nil
	})
}

// applies counts the server-side applies that the API server has had.
func (h *handover) applies() (n int) {
	h.t.Helper()
	clients, err := kubernetes.NewForConfig(plane.Config)
	if err != nil {
		h.t.Fatal(err)
	}
	body, err := clients.RESTClient().Get().AbsPath("/metrics").DoRaw(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(body))); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if strings.HasPrefix(name, "apiserver_request_total{") && strings.Contains(name, `verb="APPLY"`) {
			var count int
			if _, err := fmt.Sscan(value, &count); err != nil {
				h.t.Fatal(err)
			}
			n += count
		}
	}
	return n
}

// deaf is a Dify that takes connections and says nothing, so that the operator is half a second at each bot: it can be
// ended in the middle.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String() + "/v1"
}

// Of several processes one leads. Another takes over when it is killed in the middle of its work, and when it is told
// to end; none does again what was done.
func TestAnotherProcessTakesOver(t *testing.T) {
	ctrl.SetLogger(logr.Discard())
	c, err := client.New(plane.Config, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	h := &handover{t, plane.Namespace(t, "handover"), c}
	before := h.applies()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bots", Namespace: h.namespace},
		StringData: map[string]string{"token": "wintertoken", "dify-key": "app-0123456789"},
	}
	if err := c.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}

	first := h.manager()
	leader := h.leader("")
	second := h.manager()
	url := deaf(t)
	for i := range handoverBots {
		bot := &v1alpha1.WechatBot{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bot-%d", i), Namespace: h.namespace},
			Spec: v1alpha1.WechatBotSpec{
				Domain: fmt.Sprintf("bot-%d.example.com", i), TokenSecretRef: v1alpha1.SecretKeyRef{Name: "bots", Key: "token"},
				Dify:   v1alpha1.Dify{BaseURL: url, APIKeySecretRef: v1alpha1.SecretKeyRef{Name: "bots", Key: "dify-key"}},
				Limits: v1alpha1.Limits{Questions: 19},
			},
		}
		if err := c.Create(t.Context(), bot); err != nil {
			t.Fatal(err)
		}
	}
	h.configured(2, 19)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it was killed
	var done appsv1.DeploymentList
	if err := c.List(t.Context(), &done, client.InNamespace(h.namespace)); err != nil {
		t.Fatal(err)
	}
	if n := len(done.Items); n == 0 || n == handoverBots {
		t.Errorf("the first process was killed when it had made %d Deployments of %d: not in the middle", n, handoverBots)
	}
	leader = h.leader(leader)
	h.configured(handoverBots, 19)
	h.settled()
	// What was on its way when the process was killed may have been given up by the API server.
	if n := h.applies() - before; n < handoverBots*childrenPerBot || n > handoverBots*childrenPerBot+1 {
		t.Errorf("%d applies for %d bots with %d children each", n, handoverBots, childrenPerBot)
	}

	before = h.applies()
	h.manager()
	for i := range handoverBots {
		bot := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bot-%d", i), Namespace: h.namespace}}
		change := client.RawPatch("application/merge-patch+json", []byte(`{"spec": {"limits": {"questions": 7}}}`))
		if err := c.Patch(t.Context(), bot, change); err != nil {
			t.Fatal(err)
		}
	}
	h.configured(1, 7)
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("a process that is told to end says %v", err)
	}
	h.leader(leader)
	h.configured(handoverBots, 7)
	h.settled()
	if n := h.applies() - before; n != handoverBots {
		t.Errorf("%d applies for a change of %d bots' configuration", n, handoverBots)
	}
}
