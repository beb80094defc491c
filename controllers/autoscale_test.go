package controllers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// scale reads the bot's scale as a HorizontalPodAutoscaler does, and sets it.
func (w *world) scale(bot *v1alpha1.WechatBot, replicas int32) (*autoscalingv1.Scale, error) {
	w.t.Helper()
	scale := new(autoscalingv1.Scale)
	if err := admin.SubResource("scale").Get(w.t.Context(), bot, scale); err != nil {
		w.t.Fatal(err)
	}
	before := scale.DeepCopy()
	scale.Spec.Replicas = replicas
	return before, admin.SubResource("scale").Update(w.t.Context(), bot, client.WithSubResourceBody(scale))
}

// The sample of a bot with its HorizontalPodAutoscaler: the autoscaler finds the pods by the scale's selector, and what
// it sets reaches the Deployment, which is never set back.
func TestAnAutoscalerScalesTheBot(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	manifest, err := os.ReadFile(filepath.Join("..", "config", "samples", "autoscaled.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := controlPlane.Kubectl(t.Context(), string(manifest), "apply", "-n", w.namespace, "-f", "-"); err != nil {
		t.Fatal(err)
	}
	autoscaler := named(w, new(autoscalingv2.HorizontalPodAutoscaler), "crowd")
	w.get(autoscaler)
	target := autoscaler.Spec.ScaleTargetRef
	w.bot = named(w, new(v1alpha1.WechatBot), target.Name)
	w.caughtUp()
	if target.Kind != "WechatBot" || target.APIVersion != v1alpha1.SchemeGroupVersion.String() || target.Name != w.bot.Name {
		t.Errorf("the autoscaler scales %v", target)
	}
	w.roll()
	w.expect(v1alpha1.ConditionAvailable, isTrue, v1alpha1.ReasonPodsReady)
	scale, err := w.scale(w.bot, *autoscaler.Spec.MinReplicas)
	if err != nil {
		t.Fatal(err)
	}
	selector, err := labels.Parse(scale.Status.Selector)
	if err != nil || scale.Spec.Replicas != 1 || scale.Status.Replicas != 1 {
		t.Errorf("the scale is %+v (%v)", scale, err)
	}
	template := w.deployment().Spec.Template
	if !selector.Matches(labels.Set(template.Labels)) || selector.Matches(labels.Set(naming.RedisSelector(w.bot))) {
		t.Errorf("%s does not select the servers' pods alone", selector)
	}
	if container := template.Spec.Containers[0]; container.Resources.Requests.Cpu().IsZero() {
		t.Error("an autoscaler has no request of CPU to count by")
	}
	w.caughtUp()
	if n := *w.deployment().Spec.Replicas; n != 2 {
		t.Errorf("the Deployment has %d replicas", n)
	}
	w.get(named(w, new(policyv1.PodDisruptionBudget), "crowd"))
	// The manifest is applied again, as GitOps does every few minutes.
	if _, err := controlPlane.Kubectl(t.Context(), string(manifest), "apply", "-n", w.namespace, "-f", "-"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.scale(w.bot, autoscaler.Spec.MaxReplicas); err != nil {
		t.Fatal(err)
	}
	w.caughtUp()
	if n := *w.deployment().Spec.Replicas; n != autoscaler.Spec.MaxReplicas {
		t.Errorf("the Deployment has %d replicas, not %d", n, autoscaler.Spec.MaxReplicas)
	}

	other := newWorld(t)
	other.create()
	if _, err := other.scale(other.bot, 2); err == nil || !strings.Contains(err.Error(), "set session.type to Redis") {
		t.Errorf("scaling a bot with a ConfigMap store gives %v", err)
	}
}
