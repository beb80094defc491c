package controllers_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers"
)

// Whichever write of a new bot fails, the next pass goes on from there.
func TestEveryWriteMayFail(t *testing.T) {
	t.Parallel()
	op := sharedOperator(t)
	var mu sync.Mutex
	left := map[string]int{} // writes of a namespace until one fails
	op.calls.fail(func(r *http.Request) error {
		mu.Lock()
		defer mu.Unlock()
		for namespace := range left {
			if isWrite(r.Method, r.URL.Path) && strings.Contains(r.URL.Path, "/namespaces/"+namespace+"/") {
				left[namespace]--
				if left[namespace] == 0 {
					return errInjected
				}
			}
		}
		return nil
	})
	// The children, the status, and what follows when the pods run.
	for k := range len(minimalChildren) + 2 {
		t.Run(fmt.Sprintf("write %d", k+1), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			mu.Lock()
			left[w.namespace] = k + 1
			mu.Unlock()
			w.create()
			w.serve()
			mu.Lock()
			defer mu.Unlock()
			if left[w.namespace] > 0 {
				t.Errorf("%d writes short of a failure", left[w.namespace])
			}
			if n := len(op.calls.writes("/namespaces/" + w.namespace + "/")); n > 3*len(minimalChildren) {
				t.Errorf("%d writes for %d children", n, len(minimalChildren))
			}
		})
	}
}

// wire is a way to the API server that can be cut.
type wire struct {
	listener net.Listener
	to       string
	cut      atomic.Bool
	mu       sync.Mutex
	open     map[net.Conn]bool
	all      sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, to: to, open: map[net.Conn]bool{}}
	w.all.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		w.set(true)
		w.all.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		c, err := w.listener.Accept()
		if err != nil {
			return
		}
		if w.cut.Load() {
			_ = c.Close()
			continue
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", w.to)
		if err != nil {
			_ = c.Close()
			continue
		}
		w.mu.Lock()
		w.open[c], w.open[server] = true, true
		w.mu.Unlock()
		w.all.Go(func() { w.copy(server, c) })
		w.all.Go(func() { w.copy(c, server) })
	}
}

func (w *wire) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	w.mu.Lock()
	delete(w.open, to)
	w.mu.Unlock()
}

// set cuts the wire, or mends it.
func (w *wire) set(cut bool) {
	w.cut.Store(cut)
	if !cut {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Close()
	}
}

func TestAnAPIServerThatGoesAndComes(t *testing.T) {
	w := newWorld(t)
	way := newWire(t, strings.Trim(strings.TrimPrefix(controlPlane.Config.Host, "https:"), "/"))
	op := startOperator(t, quick(), func(c *rest.Config, _ *controllers.ManagerOptions) {
		c.Host = "https://" + way.listener.Addr().String()
	})
	w.create()
	w.serve()
	for round := range 3 {
		op.calls.reset()
		way.set(true)
		w.edit(func(s *v1alpha1.WechatBotSpec) {
			s.Limits.Questions, s.Image = int32(100+round), fmt.Sprintf("example.com/server:%d", round)
		})
		service := named(w, new(corev1.Service), "winter")
		if err := admin.Delete(t.Context(), service); err != nil {
			t.Fatal(err)
		}
		// The operator has tried in vain before the API server is back.
		w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"example.com/round": strconv.Itoa(round)} })
		way.set(false)
		eventually(t, func() error {
			if err := admin.Get(t.Context(), client.ObjectKeyFromObject(service), service); err != nil {
				return err
			}
			return unless(w.deployment().Spec.Template.Spec.Containers[0].Image == w.bot.Spec.Image, "the old image")
		})
		w.serve()
		if n := len(op.calls.writes(w.namespace)); n > 20 {
			t.Errorf("%d writes after the API server was away", n)
		}
	}
}

// The API server is killed while the operator makes several bots, and started again: nobody waits for the other in a
// hot loop, every bot becomes what it should be, and nothing is said of an outage that is over.
func TestTheAPIServerIsKilledInTheMiddle(t *testing.T) {
	worlds := make([]*world, 4)
	for i := range worlds {
		worlds[i] = newWorld(t)
	}
	op := startOperator(t, quick())
	lacking := worlds[0]
	lacking.create(func(b *v1alpha1.WechatBot) { b.Spec.TokenSecretRef.Name = "later" })
	lacking.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonSecretNotFound)
	const middle = 20
	begun := make(chan struct{})
	var made atomic.Int32
	op.calls.fail(func(r *http.Request) error {
		if isWrite(r.Method, r.URL.Path) && made.Add(1) == middle {
			close(begun)
		}
		return nil
	})
	for _, w := range worlds[1:] {
		w.create()
	}
	<-begun
	if err := controlPlane.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	away := op.calls.tried()
	eventually(t, func() error { return unless(op.calls.tried() > away, "the operator has not noticed") })
	if err := controlPlane.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A dozen watches and four workers, all of which back off.
	if n := op.calls.tried() - away; n > 400 {
		t.Errorf("%d requests to an API server that is away", n)
	}
	for _, w := range worlds[1:] {
		w.serve()
		if got := w.owned(); !slices.Equal(got, minimalChildren) {
			t.Errorf("children are %v", got)
		}
		if n := len(op.calls.writes(w.namespace)); n > 2*len(minimalChildren)+10 {
			t.Errorf("%d writes for %d children", n, len(minimalChildren))
		}
		var events eventsv1.EventList
		if err := admin.List(t.Context(), &events, client.InNamespace(w.namespace)); err != nil {
			t.Fatal(err)
		}
		for _, e := range events.Items {
			// One that has not read its roles yet forbids everything, and cannot be told from one that means it.
			if e.Reason == v1alpha1.ReasonApplyFailed && !strings.Contains(e.Note, "forbidden") {
				t.Errorf("an event about an outage that passes: %s", e.Note)
			}
		}
	}
	says(t, lacking.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonSecretNotFound), `Secret "later"`)
	lacking.secret("later", map[string]string{"token": "wintertoken"})
	lacking.serve()
}

// An operator without a right says which, and goes on when it has it.
func TestARightIsMissing(t *testing.T) {
	w := newWorld(t)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "wechatbot-manager"}}
	w.get(role)
	full := role.DeepCopy()
	for i := range role.Rules {
		if role.Rules[i].APIGroups[0] == "apps" {
			role.Rules[i].Verbs = []string{"get", "list", "watch"}
		}
	}
	if err := admin.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceFunc(func() {
		full.ResourceVersion = ""
		if err := admin.Update(context.Background(), full); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(restore)
	op := startOperator(t, quick())
	w.create()
	says(t, w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonApplyFailed), "Deployment winter", "cannot patch", "forbidden")
	w.expect(v1alpha1.ConditionReconciling, isTrue, v1alpha1.ReasonApplyFailed)
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonApplyFailed)
	if got := w.owned(); len(got) != len(minimalChildren)-1 {
		t.Errorf("the other children are %v", got)
	}
	restore()
	w.serve()
	if n := op.calls.matching(http.MethodPatch, w.namespace, "/deployments/"); n > 40 {
		t.Errorf("%d attempts", n)
	}
}

// A namespace that is being deleted takes the bot with it: what goes before the bot is not put back in vain, and nothing
// is said of it.
func TestANamespaceEnds(t *testing.T) {
	w := newWorld(t)
	op := startOperator(t, quick())
	w.create()
	w.serve()
	before := w.bot.DeepCopy()
	w.get(before)
	if err := admin.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}); err != nil {
		t.Fatal(err)
	}
	op.calls.reset()
	for _, gone := range []client.Object{named(w, &corev1.Service{}, "winter"), named(w, &rbacv1.Role{}, "winter-sessions")} {
		if err := admin.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error {
		return unless(op.calls.matching(http.MethodPatch, w.namespace, "/services/") > 0, "the operator has not seen that its Service is gone")
	})
	sentinel := newWorld(t) // when it has been seen to, so has what came before
	sentinel.create()
	sentinel.expect(v1alpha1.ConditionSecretsResolved, isTrue, v1alpha1.ReasonResolved)
	if n := op.calls.matching(http.MethodPatch, w.namespace, "/services/"); n > 3 {
		t.Errorf("%d attempts to put the Service back", n)
	}
	after := before.DeepCopy()
	w.get(after)
	if after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the bot was written to: %s", describe(after))
	}
}

// An admission policy that rejects a child is quoted.
func TestAPolicyRejectsAChild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"services"}},
			}}}},
			Validations: []admissionv1.Validation{{Expression: "object.metadata.namespace != '" + w.namespace + "'", Message: "no Services in this namespace"}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: w.namespace, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	for _, o := range []client.Object{policy, binding} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	remove := sync.OnceFunc(func() {
		for _, o := range []client.Object{binding, policy} {
			if err := admin.Delete(context.Background(), o); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(remove)
	probe := named(w, &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}}, "probe")
	eventually(t, func() error {
		err := admin.Create(t.Context(), probe.DeepCopy(), client.DryRunAll)
		return unless(err != nil && strings.Contains(err.Error(), "no Services"), err)
	})
	sharedOperator(t)
	w.create()
	says(t, w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonApplyFailed), "Service winter", "no Services in this namespace")
	remove()
	w.serve()
}

// secondWriter is how long the second writer writes: `make test` lets it write for 30 s.
func secondWriter(t *testing.T) time.Duration {
	t.Helper()
	given := cmp.Or(os.Getenv("SECOND_WRITER"), "5s")
	long, err := time.ParseDuration(given)
	if err != nil {
		t.Fatal(err)
	}
	return long
}

// A second writer edits the bot and its children all the time: the operator keeps up, and comes to rest.
func TestASecondWriter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := sharedOperator(t)
	w.create()
	w.serve()
	before := len(op.calls.writes(w.namespace))
	edits := 0
	pace := time.NewTicker(200 * time.Millisecond)
	defer pace.Stop()
	for end := time.Now().Add(secondWriter(t)); edits < 10 || time.Now().Before(end); edits++ {
		service := named(w, new(corev1.Service), "winter")
		config := w.config()
		d := w.deployment()
		w.patch(service, func() { service.Spec.Ports[0].Port = int32(1000 + edits) })
		w.patch(config, func() { config.Data["config.yaml"] = strconv.Itoa(edits) })
		w.patch(d, func() { d.Spec.Template.Spec.Containers[0].Image = fmt.Sprintf("example.com/theirs:%d", edits) })
		w.patch(w.bot, func() { w.bot.Labels = map[string]string{"edit": strconv.Itoa(edits)} })
		w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = int32(1 + edits%1000) })
		<-pace.C
	}
	eventually(t, func() error {
		config := w.config()
		w.get(config)
		return unless(strings.Contains(config.Data["config.yaml"], fmt.Sprintf("questions: %d\n", w.bot.Spec.Limits.Questions)) &&
			w.deployment().Spec.Template.Spec.Containers[0].Image == managerImage, config.Data)
	})
	w.serve() // now the pods' template does not change any more
	// An edit of three children and the bot: as many applies, and one or two statuses each.
	if n := len(op.calls.writes(w.namespace)) - before; n > 8*edits+20 {
		t.Errorf("%d writes for %d rounds of edits", n, edits)
	}
}
