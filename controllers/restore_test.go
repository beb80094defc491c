package controllers_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// everything of a bot, as a backup tool lists it.
func (w *world) everything() []client.Object {
	w.t.Helper()
	var all []client.Object
	for _, list := range []client.ObjectList{
		&corev1.ServiceAccountList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{}, &corev1.ConfigMapList{}, &corev1.SecretList{},
		&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &corev1.ServiceList{}, &networkingv1.IngressList{}, &networkingv1.NetworkPolicyList{},
	} {
		err := admin.List(w.t.Context(), list, client.InNamespace(w.namespace), client.MatchingLabels{naming.LabelInstance: w.bot.Name})
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, objects(w.t, list)...)
	}
	return all
}

// A backup tool restores everything, without owner references and with other UIDs, children before the bot.
func TestRestore_ChildrenAreAdopted(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	for name, change := range map[string]func(*v1alpha1.WechatBot){"ConfigMaps": func(*v1alpha1.WechatBot) {}, "managed Redis": managed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := newWorld(t)
			bot := before.create(change)
			eventually(t, func() error { return unless(len(before.owned()) >= len(minimalChildren)-9, before.owned()) })
			before.expect(v1alpha1.ConditionAvailable, isFalse, v1alpha1.ReasonPodsNotReady)
			backup := before.everything()
			owned := before.owned()

			w := newWorld(t)
			for _, o := range backup {
				if slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.Kind != "WechatBot" }) {
					continue
				}
				o.SetOwnerReferences(nil)
				o.SetManagedFields(nil)
				o.SetUID("")
				o.SetResourceVersion("")
				o.SetNamespace(w.namespace)
				if service, ok := o.(*corev1.Service); ok {
					service.Spec.ClusterIP, service.Spec.ClusterIPs = "", nil
				}
				if err := admin.Create(t.Context(), o); err != nil {
					t.Fatalf("restoring %T %s: %v", o, o.GetName(), err)
				}
			}
			w.create(func(b *v1alpha1.WechatBot) { b.Spec.Session = bot.Spec.Session })
			w.expect(v1alpha1.ConditionAvailable, isFalse, v1alpha1.ReasonPodsNotReady)
			// All but the Secret of a managed Redis, which the operator may not write.
			want := slices.DeleteFunc(slices.Clone(owned), func(name string) bool { return strings.HasPrefix(name, "Secret/") })
			eventually(t, func() error { return unless(slices.Equal(w.owned(), want), w.owned()) })
			w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 7 })
			eventually(t, func() error {
				config := w.config()
				w.get(config)
				return unless(strings.Contains(config.Data["config.yaml"], "questions: 7"), config.Data)
			})
		})
	}
}

// kubectl delete --cascade=orphan and apply: the bot has all of its objects again, and the pods stay.
func TestOrphans_AreAdoptedAgain(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	deployment := named(w, new(appsv1.Deployment), "winter")
	w.get(deployment)
	if err := admin.Delete(t.Context(), w.bot, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		t.Fatal(err)
	}
	for _, o := range w.everything() { // as the garbage collector does
		w.patch(o, func() { o.SetOwnerReferences(nil) })
	}
	w.patch(w.bot, func() { w.bot.Finalizers = nil })
	eventually(t, func() error {
		return unless(client.IgnoreNotFound(admin.Get(t.Context(), client.ObjectKeyFromObject(w.bot), w.bot)) == nil, "there")
	})
	again := newBot(w)
	if err := admin.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	w.bot = again
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	if got := w.owned(); !slices.Equal(got, minimalChildren) {
		t.Errorf("children are %v", got)
	}
	now := named(w, new(appsv1.Deployment), "winter")
	w.get(now)
	if now.UID != deployment.UID || now.Generation != deployment.Generation {
		t.Errorf("the Deployment was changed: generation %d, then %d", deployment.Generation, now.Generation)
	}
}

// newBot is the minimal sample's bot in the world.
func newBot(w *world) *v1alpha1.WechatBot {
	bot := sample(w.t, "minimal")
	bot.Namespace, bot.Spec.Domain, bot.Spec.Dify.BaseURL = w.namespace, w.namespace+".example.com", w.difyURL
	return bot
}

// Objects without the bot's labels are named at once, in one command. Who runs it has a bot that serves.
func TestNameConflict_OneCommand(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	selector := map[string]string{"app": "mine"}
	service := named(w, &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1234}}, Selector: selector}}, "winter")
	config := named(w, new(corev1.ConfigMap), w.futureConfig())
	store := named(w, new(corev1.ConfigMap), "winter-sessions-3")
	for _, o := range []client.Object{service, config, store} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	w.create()
	message := w.expect(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonNameConflict)
	says(t, message, "configmap/"+config.Name+" configmap/winter-sessions-3 service/winter", "give the bot another name")
	_, command, ok := strings.Cut(message, ": kubectl ")
	if !ok {
		t.Fatalf("%q has no command", message)
	}
	if out, err := controlPlane.Kubectl(context.Background(), "", strings.Fields(command)...); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	w.serve()
	if got := w.owned(); !slices.Equal(got, minimalChildren) {
		t.Errorf("children are %v", got)
	}

	// What somebody else controls is left to them.
	other := newWorld(t)
	owner := named(other, new(corev1.ConfigMap), "owner")
	if err := admin.Create(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	taken := named(other, new(corev1.ConfigMap), other.futureConfig())
	taken.Labels = naming.Labels(w.bot, naming.Server)
	taken.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap"))}
	if err := admin.Create(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	other.create()
	says(t, other.expect(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonNameConflict), "configmap/"+taken.Name+" (of ConfigMap owner)", "another name")
}

// A former child that a finalizer holds is not somebody else's: the bot waits for its end.
func TestObjectTerminating(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	held := named(w, new(corev1.ConfigMap), w.futureConfig())
	held.Finalizers = []string{"example.com/archive"}
	if err := admin.Create(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	w.create()
	says(t, w.expect(v1alpha1.ConditionReconciling, isTrue, v1alpha1.ReasonObjectTerminating), "ConfigMap "+held.Name+" is being deleted", "example.com/archive")
	says(t, w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonObjectTerminating), held.Name)
	w.patch(held, func() { held.Finalizers = nil })
	w.serve()
	if got := w.owned(); !slices.Equal(got, minimalChildren) {
		t.Errorf("children are %v", got)
	}
}
