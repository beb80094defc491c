package controllers_test

import (
	"context"
	"testing"

	registrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// annotateClaims is an admission policy of the cluster's that writes an annotation into the claims of new StatefulSets.
func annotateClaims(t *testing.T, w *world) {
	t.Helper()
	policy := &registrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "claims-" + w.namespace},
		Spec: registrationv1.MutatingAdmissionPolicySpec{
			FailurePolicy: new(registrationv1.Fail), ReinvocationPolicy: registrationv1.NeverReinvocationPolicy,
			MatchConstraints: &registrationv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}},
				ResourceRules: []registrationv1.NamedRuleWithOperations{{RuleWithOperations: registrationv1.RuleWithOperations{
					Operations: []registrationv1.OperationType{registrationv1.Create},
					Rule:       registrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"statefulsets"}},
				}}},
			},
			Mutations: []registrationv1.Mutation{{
				PatchType: registrationv1.PatchTypeJSONPatch,
				JSONPatch: &registrationv1.JSONPatch{Expression: `[JSONPatch{op: "add", path: "/spec/volumeClaimTemplates/0/metadata/annotations",
					value: {"backup.example.com/volume": "daily"}}]`},
			}},
		},
	}
	binding := &registrationv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: policy.Name}, Spec: registrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: policy.Name},
	}
	for _, o := range []client.Object{policy, binding} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := admin.Delete(context.Background(), o); err != nil {
				t.Error(err)
			}
		})
	}
	labels := map[string]string{"app": "probe"}
	eventually(t, func() error { // until the API server keeps to it
		probe := named(w, &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
			},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: "data"},
				Spec:       w.claimSpec(),
			}},
		}}, "probe")
		if err := admin.Create(t.Context(), probe, client.DryRunAll); err != nil {
			return err
		}
		claim := probe.Spec.VolumeClaimTemplates[0]
		return unless(claim.Annotations["backup.example.com/volume"] != "", claim.Annotations)
	})
}

func (w *world) claimSpec() corev1.PersistentVolumeClaimSpec {
	return corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}
}

// A claim that an admission policy has changed stays as it was made: the API server lets nobody change it.
func TestManagedRedis_ClaimChangedAtAdmission(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	annotateClaims(t, w)
	w.create(managed)
	w.redisRuns()
	w.serve()
	set := named(w, new(appsv1.StatefulSet), "winter-redis")
	w.get(set)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Session.Redis.Managed.Image = "example.com/redis:7.2" })
	eventually(t, func() error {
		w.get(set)
		image := set.Spec.Template.Spec.Containers[0].Image
		return unless(image == "example.com/redis:7.2", image)
	})
	w.redisRuns()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	if got := set.Spec.VolumeClaimTemplates[0].Annotations["backup.example.com/volume"]; got != "daily" {
		t.Errorf("the claim's annotation is %q", got)
	}
}
