package controllers_test

import (
	"net/http"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

func (w *world) session(change func(*v1alpha1.WechatBot)) func(*v1alpha1.WechatBotSpec) {
	return func(s *v1alpha1.WechatBotSpec) {
		b := &v1alpha1.WechatBot{}
		change(b)
		s.Session = b.Spec.Session
	}
}

func (w *world) expectChildren(want []string) {
	w.t.Helper()
	eventually(w.t, func() error {
		got := w.owned()
		return unless(slices.Equal(got, want), got)
	})
}

func switchingStores(t *testing.T, w *world, _ *operator) {
	const condition = v1alpha1.ConditionSessionStoreReady
	w.create()
	w.serve()

	// From ConfigMaps: their servers go on until the new ones are ready.
	w.edit(w.session(managed))
	w.expectMessage(condition, isFalse, v1alpha1.ReasonStoreSwitching, "from ConfigMaps to the managed Redis", "not carried over", "deleted when the new servers serve")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonStoreSwitching)
	both := append(slices.Clone(minimalChildren), "ConfigMap/winter-redis", "NetworkPolicy/winter-redis", "Secret/winter-redis",
		"Service/winter-redis", "StatefulSet/winter-redis")
	slices.Sort(both)
	w.expectChildren(both)
	old := w.pod("winter-old", naming.Server, corev1.PodStatus{})
	w.patch(old, func() { old.Finalizers = []string{"example.com/still-answering"} })
	if err := admin.Delete(t.Context(), old, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	w.redisRuns()
	w.roll()
	w.expect(condition, isTrue, v1alpha1.ReasonStoreReady)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 3 })
	w.caughtUp()
	if got := w.owned(); !slices.Equal(got, both) {
		t.Errorf("while a server of before still answers, children are %v", got)
	}
	w.patch(old, func() { old.Finalizers = nil })
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 4 })
	w.expectChildren(managedChildren)
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)

	// To a Redis of one's own.
	w.edit(w.session(redis))
	w.expectMessage(condition, isFalse, v1alpha1.ReasonStoreSwitching, "from the managed Redis to the external Redis", "stay on the PersistentVolumeClaim data-winter-redis-0")
	if got := w.owned(); !slices.Equal(got, managedChildren) {
		t.Errorf("while the managed Redis is in use, children are %v", got)
	}
	w.roll()
	w.expect(condition, isTrue, v1alpha1.ReasonStoreReady)
	// The Secret stays: the operator may not delete it.
	w.expectChildren([]string{
		"ConfigMap/winter-config", "Deployment/winter", "Ingress/winter", "Secret/winter-redis", "Service/winter", "ServiceAccount/winter",
	})
	w.get(named(w, new(corev1.PersistentVolumeClaim), "data-winter-redis-0"))

	// To ConfigMaps.
	w.edit(w.session(func(*v1alpha1.WechatBot) {}))
	w.expectMessage(condition, isFalse, v1alpha1.ReasonStoreSwitching, "from the external Redis to ConfigMaps", "stay there until they expire")
	w.roll()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	all := append(slices.Clone(minimalChildren), "Secret/winter-redis")
	slices.Sort(all)
	w.expectChildren(all)
}

// switchingInVain: the new servers never serve, and the user goes back.
func switchingInVain(t *testing.T, w *world, op *operator) {
	w.create()
	w.serve()
	w.edit(w.session(redis))
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonStoreSwitching)
	d := w.deployment()
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: 2, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1, UnavailableReplicas: 1,
	}
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.expectMessage(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonStoreSwitching, "set back before")
	w.edit(w.session(func(*v1alpha1.WechatBot) {}))
	w.caughtUp()
	w.roll()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	if n := op.calls.matching(http.MethodDelete, w.namespace, "/winter-sessions"); n > 0 {
		t.Errorf("%d objects of the store in use were deleted", n)
	}
}
