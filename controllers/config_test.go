package controllers_test

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// A configuration stays as long as a ReplicaSet may start a server with it, and stays as it was.
func TestConfig_IsKeptWhileAReplicaSetUsesIt(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	old := w.config()
	w.get(old)
	before := w.replicaSet("winter-1")

	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Session.History, s.Limits.Questions = 7, 5 })
	w.caughtUp()
	current := w.config()
	w.get(current)
	if current.Name == old.Name {
		t.Fatalf("another configuration at the start has the name of the old one, %s", old.Name)
	}
	was := old.Data["config.yaml"]
	w.get(old)
	if old.Data["config.yaml"] != was {
		t.Errorf("servers that are being replaced read %s", old.Data["config.yaml"])
	}
	w.roll()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	w.caughtUp()
	w.get(old)

	// It goes when the ReplicaSet has gone, which the Deployment's controller does with the oldest.
	if err := admin.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	d := w.deployment()
	w.patch(d, func() { d.Annotations["deployment.kubernetes.io/revision"] = "5" })
	w.roll()
	eventually(t, func() error {
		err := admin.Get(t.Context(), client.ObjectKeyFromObject(old), old)
		return unless(apierrors.IsNotFound(err), "the old configuration is still there: "+fmt.Sprint(w.owned(), w.deployment().Annotations, err))
	})
	w.get(current)
}

// The previous release's ConfigMap, which all servers shared, is kept as well.
func TestConfig_OfThePreviousReleaseIsKept(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	current := w.config()
	w.get(current)
	// First what uses it: the operator is woken by its coming.
	set := w.replicaSet("winter-0", func(s *appsv1.ReplicaSet) { s.Spec.Template.Spec.Volumes[0].ConfigMap.Name = "winter-config" })
	shared := named(w, new(corev1.ConfigMap), "winter-config")
	shared.Labels, shared.OwnerReferences, shared.Data = current.Labels, current.OwnerReferences, current.Data
	if err := admin.Create(t.Context(), shared); err != nil {
		t.Fatal(err)
	}
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Session.History = 7 })
	w.caughtUp()
	w.roll()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	w.caughtUp()
	w.get(shared)
	if err := admin.Delete(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	d := w.deployment()
	w.patch(d, func() { d.Annotations["deployment.kubernetes.io/revision"] = "5" })
	w.roll()
	eventually(t, func() error {
		err := admin.Get(t.Context(), client.ObjectKeyFromObject(shared), shared)
		return unless(apierrors.IsNotFound(err), "the previous release's configuration is still there: "+fmt.Sprint(w.owned(), w.deployment().Annotations, err))
	})
}

// replicaSet makes what the Deployment's controller would of the Deployment as it is.
func (w *world) replicaSet(name string, change ...func(*appsv1.ReplicaSet)) *appsv1.ReplicaSet {
	w.t.Helper()
	d := w.deployment()
	set := named(w, new(appsv1.ReplicaSet), name)
	set.Labels = d.Spec.Template.Labels
	set.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	set.Spec = appsv1.ReplicaSetSpec{Replicas: new(int32(0)), Selector: d.Spec.Selector, Template: d.Spec.Template}
	for _, c := range change {
		c(set)
	}
	if err := admin.Create(w.t.Context(), set); err != nil {
		w.t.Fatal(err)
	}
	return set
}
