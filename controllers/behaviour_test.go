package controllers_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// What a running operator does with a bot that is there, on one operator.
func TestABotOverItsLife(t *testing.T) {
	t.Parallel()
	op := sharedOperator(t)
	for name, test := range map[string]func(*testing.T, *world, *operator){
		"a rotated Secret changes no pod":                  rotation,
		"only what binds at the start rolls the pods":      rolling,
		"kubectl scale works with a shared store only":     scaling,
		"what others own is left alone":                    foreignFields,
		"an edited or deleted child is restored":           restoring,
		"what the spec no longer wants is removed":         pruning,
		"what another makes in the bot's name is removed":  strangersChild,
		"everything belongs to the bot":                    belonging,
		"a Secret of another namespace stays unread":       otherNamespace,
		"a template that the API server completes settles": settling,
		"every sample works":                               samples,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t), op)
		})
	}
}

func (w *world) deployment() *appsv1.Deployment {
	w.t.Helper()
	d := named(w, new(appsv1.Deployment), w.bot.Name)
	w.get(d)
	return d
}

// caughtUp waits until the operator has looked at the bot as it is now.
func (w *world) caughtUp() {
	w.t.Helper()
	eventually(w.t, func() error {
		w.get(w.bot)
		return unless(w.bot.Status.ObservedGeneration == w.bot.Generation, describe(w.bot))
	})
}

func rotation(t *testing.T, w *world, op *operator) {
	w.create()
	w.serve()
	before := w.deployment()
	w.secret("winter", map[string]string{"token": "anothertoken", "dify-key": difyKey})
	reads := op.calls.matching(http.MethodGet, w.namespace, "/secrets/winter")
	w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"example.com/look": "now"} })
	eventually(t, func() error {
		return unless(op.calls.matching(http.MethodGet, w.namespace, "/secrets/winter") > reads, "not read again")
	})
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	after := w.deployment()
	if diff := cmp.Diff(before.Spec, after.Spec); diff != "" {
		t.Errorf("the Deployment changed:\n%s", diff)
	}
	source := after.Spec.Template.Spec.Volumes[1].Projected.Sources[0].Secret
	if source.Name != "winter" || source.Items[0].Key != "token" || source.Items[0].Path != "token" {
		t.Errorf("the token is mounted from %v", source)
	}
}

func rolling(t *testing.T, w *world, _ *operator) {
	w.create()
	w.caughtUp()
	for _, step := range []struct {
		what  string
		edit  func(*v1alpha1.WechatBotSpec)
		rolls bool
		holds string
	}{
		{"limits", func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 5 }, false, "questions: 5"},
		{"texts", func(s *v1alpha1.WechatBotSpec) { s.Reply.Texts = map[string]v1alpha1.ReplyText{"busy": "later"} }, false, `"later"`},
		{"inputs", func(s *v1alpha1.WechatBotSpec) { s.Dify.Inputs = map[string]v1alpha1.InputValue{"a": "b"} }, false, `"a":"b"`},
		{"session history", func(s *v1alpha1.WechatBotSpec) { s.Session.History = 7 }, true, "history: 7"},
		{"path", func(s *v1alpha1.WechatBotSpec) { s.Path = "/other" }, true, `path: "/other"`},
	} {
		before := w.deployment().Generation
		w.edit(step.edit)
		w.caughtUp()
		if rolled := w.deployment().Generation > before; rolled != step.rolls {
			t.Errorf("a change of %s rolls the pods: %v, want %v", step.what, rolled, step.rolls)
		}
		config := w.config()
		w.get(config)
		says(t, config.Data["config.yaml"], step.holds)
	}
}

func redis(b *v1alpha1.WechatBot) {
	b.Spec.Session = v1alpha1.Session{Type: v1alpha1.SessionRedis, Redis: &v1alpha1.Redis{
		External: &v1alpha1.ExternalRedis{Addresses: []v1alpha1.RedisAddress{"redis.example.com:6379"}},
	}}
}

func scaling(t *testing.T, w *world, _ *operator) {
	w.create()
	w.caughtUp()
	_, err := controlPlane.Kubectl(t.Context(), "", "-n", w.namespace, "scale", "wechatbot", "winter", "--replicas=3")
	if err == nil || !strings.Contains(err.Error(), "set session.type to Redis") {
		t.Errorf("scaling a bot with a ConfigMap store gives %v", err)
	}
	w.edit(func(s *v1alpha1.WechatBotSpec) { b := &v1alpha1.WechatBot{}; redis(b); s.Session = b.Spec.Session })
	w.caughtUp()
	if _, err := controlPlane.Kubectl(t.Context(), "", "-n", w.namespace, "scale", "wechatbot", "winter", "--replicas=3"); err != nil {
		t.Fatal(err)
	}
	w.caughtUp()
	d := w.deployment()
	if *d.Spec.Replicas != 3 || d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 {
		t.Errorf("the Deployment has %d replicas and the strategy %v", *d.Spec.Replicas, d.Spec.Strategy)
	}
	w.get(named(w, new(policyv1.PodDisruptionBudget), "winter"))
	w.serve()
	w.get(w.bot)
	says(t, describeReady(w.bot), "3/3 replicas serve")
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Replicas, s.Session = new(int32(1)), v1alpha1.Session{} })
	w.caughtUp()
	w.roll()
	if got := w.owned(); !slices.Equal(got, minimalChildren) {
		t.Errorf("children are %v", got)
	}
}

func foreignFields(t *testing.T, w *world, op *operator) {
	w.create()
	w.serve()
	i := named(w, new(networkingv1.Ingress), "winter")
	w.patch(i, func() { i.Annotations = map[string]string{"example.com/mine": "yes"}; i.Labels["team"] = "a" })
	d := named(w, new(appsv1.Deployment), "winter")
	w.patch(d, func() {
		d.Annotations = map[string]string{"example.com/mine": "yes"}
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: "sidecar", Image: "example.com/sidecar"})
	})
	writes := len(op.calls.writes(w.namespace))
	w.edit(func(s *v1alpha1.WechatBotSpec) {
		s.Ingress = &v1alpha1.Ingress{Annotations: map[string]string{"example.com/theirs": "too"}}
		s.Image = "example.com/other:2"
	})
	w.caughtUp()
	w.get(i)
	if want := map[string]string{"example.com/mine": "yes", "example.com/theirs": "too"}; !maps.Equal(i.Annotations, want) || i.Labels["team"] != "a" {
		t.Errorf("the Ingress has the annotations %v and labels %v", i.Annotations, i.Labels)
	}
	w.get(d)
	if n := len(d.Spec.Template.Spec.Containers); n != 2 || d.Annotations["example.com/mine"] != "yes" {
		t.Errorf("the Deployment has %d containers and annotations %v", n, d.Annotations)
	}
	if n := len(op.calls.writes(w.namespace)) - writes; n < 2 || n > 5 {
		t.Errorf("%d writes for a change of two objects and the status", n)
	}
}

func restoring(t *testing.T, w *world, _ *operator) {
	w.create()
	w.serve()
	s := named(w, new(corev1.Service), "winter")
	w.patch(s, func() { s.Spec.Ports[0].TargetPort = intstr.FromInt32(1) })
	config := w.config()
	w.patch(config, func() { config.Data["config.yaml"] = "bot: else" })
	eventually(t, func() error {
		w.get(s)
		w.get(config)
		return unless(s.Spec.Ports[0].TargetPort.String() == "webhook" && strings.Contains(config.Data["config.yaml"], "bots-"), s.Spec.Ports)
	})
	for _, child := range []client.Object{
		named(w, new(corev1.Service), "winter"), w.config(),
		named(w, new(appsv1.Deployment), "winter"), named(w, new(corev1.ServiceAccount), "winter"),
		named(w, new(networkingv1.Ingress), "winter"),
	} {
		w.get(child)
		old := child.GetUID()
		if err := admin.Delete(t.Context(), child); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			err := admin.Get(t.Context(), client.ObjectKeyFromObject(child), child)
			if err != nil {
				return err
			}
			return unless(child.GetUID() != old, "still the old one")
		})
	}
	// Without its label a child is in no cache any more.
	d := w.deployment()
	w.patch(d, func() { delete(d.Labels, "app.kubernetes.io/managed-by") })
	eventually(t, func() error {
		return unless(w.deployment().Labels["app.kubernetes.io/managed-by"] != "", "without label")
	})
	w.serve()
}

func pruning(t *testing.T, w *world, _ *operator) {
	w.create(redis, func(b *v1alpha1.WechatBot) { b.Spec.Replicas, b.Spec.NetworkPolicy.Enabled = new(int32(2)), true })
	w.caughtUp()
	want := []string{
		"ConfigMap/winter-config", "Deployment/winter", "Ingress/winter", "NetworkPolicy/winter",
		"PodDisruptionBudget/winter", "Service/winter", "ServiceAccount/winter",
	}
	if got := w.owned(); !slices.Equal(got, want) {
		t.Errorf("children are %v", got)
	}
	w.edit(func(s *v1alpha1.WechatBotSpec) {
		s.Replicas, s.NetworkPolicy.Enabled, s.Ingress = new(int32(1)), false, &v1alpha1.Ingress{Enabled: new(false)}
	})
	w.caughtUp()
	if got := w.owned(); !slices.Equal(got, []string{"ConfigMap/winter-config", "Deployment/winter", "Service/winter", "ServiceAccount/winter"}) {
		t.Errorf("children are %v", got)
	}
}

func strangersChild(t *testing.T, w *world, _ *operator) {
	w.create()
	w.caughtUp()
	policy := named(w, new(networkingv1.NetworkPolicy), "winter")
	policy.Labels = naming.Labels(w.bot, naming.Server)
	policy.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(w.bot, v1alpha1.SchemeGroupVersion.WithKind("WechatBot"))}
	if err := admin.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		err := admin.Get(t.Context(), client.ObjectKeyFromObject(policy), policy)
		return unless(apierrors.IsNotFound(err), "the NetworkPolicy is still there")
	})
}

func belonging(t *testing.T, w *world, _ *operator) {
	w.create(func(b *v1alpha1.WechatBot) { b.Spec.NetworkPolicy.Enabled = true })
	w.caughtUp()
	out, err := controlPlane.Kubectl(t.Context(), "", "-n", w.namespace, "get",
		"sa,role,rolebinding,cm,deploy,svc,ing,netpol,pdb,secret,pod,pvc,sts", "-l", "app.kubernetes.io/managed-by=wechatbot-operator",
		"-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.ownerReferences[*].uid} {.metadata.ownerReferences[*].blockOwnerDeletion}{"\n"}{end}`)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(minimalChildren)+1 {
		t.Errorf("the operator made %v", lines)
	}
	for _, line := range lines {
		if parts := strings.Fields(line); len(parts) != 2 || parts[1] != string(w.bot.UID) {
			t.Errorf("%q does not belong to bot %s alone", line, w.bot.UID)
		}
	}
	w.get(w.bot)
	if len(w.bot.Finalizers) > 0 {
		t.Errorf("the bot has finalizers %v", w.bot.Finalizers)
	}
	if err := admin.Delete(t.Context(), w.bot); err != nil {
		t.Fatal(err)
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(w.bot), w.bot); !apierrors.IsNotFound(err) {
		t.Errorf("the deleted bot is still there: %v", err)
	}
}

func otherNamespace(t *testing.T, w *world, op *operator) {
	other := newWorld(t)
	other.secret("elsewhere", map[string]string{"token": "theirtoken"})
	w.create(func(b *v1alpha1.WechatBot) { b.Spec.TokenSecretRef.Name = "elsewhere" })
	w.expect(v1alpha1.ConditionSecretsResolved, isFalse, v1alpha1.ReasonSecretNotFound)
	if n := op.calls.matching(http.MethodGet, other.namespace, "/secrets/"); n > 0 {
		t.Errorf("%d reads of Secrets of a namespace without bots", n)
	}
	if n := op.calls.matching(http.MethodGet, "/api/v1/secrets"); n > 0 {
		t.Errorf("%d lists of Secrets", n)
	}
}

// settling: a fieldRef is completed by the API server, but owned as a whole.
func settling(t *testing.T, w *world, op *operator) {
	w.create(func(b *v1alpha1.WechatBot) {
		b.Spec.PodTemplate = raw(`{"spec": {"containers": [{"name": "server", "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]}]}}`)
	})
	w.serve()
	before := op.calls.matching(http.MethodPatch, w.namespace, "/deployments/")
	generation := w.deployment().Generation
	for i := range 3 {
		w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"example.com/look": strconv.Itoa(i)} })
		reads := op.calls.matching(http.MethodGet, w.namespace, "/secrets/winter")
		eventually(t, func() error {
			return unless(op.calls.matching(http.MethodGet, w.namespace, "/secrets/winter") > reads, "no pass")
		})
	}
	if n := op.calls.matching(http.MethodPatch, w.namespace, "/deployments/") - before; n > 1 {
		t.Errorf("%d applies of a Deployment that stays as it is", n)
	}
	if w.deployment().Generation != generation {
		t.Error("the Deployment changed")
	}
}

func samples(t *testing.T, w *world, _ *operator) {
	for _, name := range []string{"full", "secure-mode", "menu", "handover", "external-redis", "managed-redis", "autoscaled"} {
		bot := sample(t, name)
		bot.Namespace = w.namespace
		if err := admin.Create(t.Context(), bot); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(func() {
			if err := admin.Delete(context.Background(), bot); err != nil {
				t.Error(err)
			}
		})
		w.expectOf(bot, v1alpha1.ConditionSecretsResolved, isFalse, v1alpha1.ReasonSecretNotFound)
		d := named(w, new(appsv1.Deployment), bot.Name)
		w.get(d)
		image := managerImage
		if bot.Spec.Image != "" {
			image = bot.Spec.Image
		}
		if got := d.Spec.Template.Spec.Containers[0].Image; got != image {
			t.Errorf("%s runs %s", name, got)
		}
	}
}

func TestUpgrade_ChangesTheImageOnly(t *testing.T) {
	w := newWorld(t)
	old := startOperator(t, quick())
	w.create()
	w.serve()
	before := w.deployment()
	old.stop()
	next := quick()
	next.Operator = desired.Operator{Image: "registry.example.com/wechatbot-operator:v0.2.0"}
	startOperator(t, next)
	eventually(t, func() error {
		return unless(w.deployment().Spec.Template.Spec.Containers[0].Image == next.Operator.Image, "the old image")
	})
	after := w.deployment()
	after.Spec.Template.Spec.Containers[0].Image = before.Spec.Template.Spec.Containers[0].Image
	if diff := cmp.Diff(before.Spec, after.Spec); diff != "" {
		t.Errorf("more than the image changed:\n%s", diff)
	}
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonPodsNotReady) // not Ready while the old pods run
	w.roll()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}

// An operator that is told not to asks no Dify, and bots become ready without.
func TestDifyIsNotAsked(t *testing.T) {
	w := newWorld(t)
	asked := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	t.Cleanup(server.Close)
	w.difyURL = server.URL + "/v1"
	o := quick()
	o.WithoutDify = true
	startOperator(t, o)
	w.create()
	w.serve()
	w.get(w.bot)
	if c := meta.FindStatusCondition(w.bot.Status.Conditions, v1alpha1.ConditionDifyReachable); c != nil {
		t.Errorf("DifyReachable is %v", c)
	}
	if err := admin.Delete(t.Context(), w.bot); err != nil {
		t.Fatal(err)
	}
	select {
	case path := <-asked:
		t.Errorf("the bot's Dify was asked for %s", path)
	default:
	}
}

func TestARestartWritesNothing(t *testing.T) {
	w := newWorld(t)
	first := startOperator(t, quick())
	w.create()
	w.serve()
	first.stop()
	w.get(w.bot)
	before := w.bot.ResourceVersion
	second := startOperator(t, quick())
	eventually(t, func() error {
		return unless(second.calls.matching(http.MethodGet, w.namespace, "/secrets/winter") >= 2, "no two passes yet")
	})
	w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"example.com/look": "now"} })
	eventually(t, func() error {
		return unless(second.calls.matching(http.MethodGet, w.namespace, "/secrets/winter") >= 3, "no third pass yet")
	})
	second.stop()
	if writes := second.calls.writes(""); len(writes) > 0 {
		t.Errorf("an operator that starts with everything in order writes %v (the bot was at %s)", writes, before)
	}
}
