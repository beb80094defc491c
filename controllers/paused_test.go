package controllers_test

import (
	"strings"
	"testing"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// A rollout that somebody has paused goes on as the message says.
func TestPausedDeployment(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	if _, err := controlPlane.Kubectl(t.Context(), "", "-n", w.namespace, "rollout", "pause", "deployment/winter"); err != nil {
		t.Fatal(err)
	}
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Image = "example.com/other:2" })
	w.caughtUp()
	d := w.deployment()
	d.Status.ObservedGeneration, d.Status.UpdatedReplicas = d.Generation, 0
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	message := w.expectMessage(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonPodsNotReady, "paused", "meanwhile 1/1 replicas serve")
	_, command, _ := strings.Cut(message, "kubectl ")
	command, _, _ = strings.Cut(command, ";")
	if out, err := controlPlane.Kubectl(t.Context(), "", strings.Fields(command)...); err != nil {
		t.Fatalf("kubectl %s: %s: %v", command, out, err)
	}
	w.roll()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}
