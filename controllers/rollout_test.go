package controllers_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// An upgrade of the operator rolls bots in batches; what a user changes rolls at once; a rollout that is given up holds
// nobody up.
func TestRollout_UpgradeGoesInBatches(t *testing.T) {
	const bots, atOnce = 7, 2
	o := quick()
	o.Waits.Cluster = time.Hour // they are woken, not looked at again
	var left v1alpha1.WechatBotList
	if err := admin.List(t.Context(), &left); err != nil {
		t.Fatal(err)
	}
	for i := range left.Items { // of other tests: whatever they roll counts too
		if err := client.IgnoreNotFound(admin.Delete(t.Context(), &left.Items[i])); err != nil {
			t.Fatal(err)
		}
	}
	before := startOperator(t, o)
	w := newWorld(t)
	for i := range bots {
		w.create(func(b *v1alpha1.WechatBot) {
			b.Name, b.Spec.Domain = fmt.Sprintf("bot-%d", i), fmt.Sprintf("bot-%d.%s.example.com", i, w.namespace)
		})
		w.serve()
	}
	before.stop()

	const upgraded = "registry.example.com/wechatbot-operator:v0.2.0"
	o.Operator.Image, o.RolloutConcurrency = upgraded, atOnce
	startOperator(t, o)
	rolled := map[string]bool{}
	for len(rolled) < bots {
		batch := w.waitForRollouts(upgraded, rolled, min(atOnce, bots-len(rolled)))
		w.bot = batch[0]
		if len(rolled) == 0 {
			w.expectMessage(v1alpha1.ConditionAvailable, isFalse, v1alpha1.ReasonPodsNotReady, "waiting for the pods")
			w.waitsItsTurn(upgraded, rolled, batch)
		}
		for i, bot := range batch {
			w.bot = bot
			if i == 0 && len(rolled) == 0 {
				w.giveUp() // its new pods never get ready: the next one's turn comes all the same
			} else {
				w.roll()
			}
			rolled[bot.Name] = true
		}
	}
}

// waitForRollouts waits until as many more bots have the image, and returns them.
func (w *world) waitForRollouts(image string, rolled map[string]bool, more int) (batch []*v1alpha1.WechatBot) {
	w.t.Helper()
	eventually(w.t, func() error {
		batch = nil
		for _, d := range w.deployments() {
			if d.Spec.Template.Spec.Containers[0].Image == image && !rolled[d.Name] {
				bot := named(w, new(v1alpha1.WechatBot), d.Name)
				w.get(bot)
				batch = append(batch, bot)
			}
		}
		if len(batch) > more {
			w.t.Fatalf("%d bots roll at once, want %d", len(batch), more)
		}
		return unless(len(batch) == more, fmt.Sprintf("%d bots roll, want %d", len(batch), more))
	})
	return batch
}

// waitsItsTurn checks a bot that is held back: it serves, says why, and goes at once if a user changes it.
func (w *world) waitsItsTurn(image string, rolled map[string]bool, batch []*v1alpha1.WechatBot) {
	w.t.Helper()
	for _, d := range w.deployments() {
		if d.Spec.Template.Spec.Containers[0].Image == image {
			continue
		}
		held := named(w, new(v1alpha1.WechatBot), d.Name)
		w.get(held)
		w.bot = held
		w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
		w.expectMessage(v1alpha1.ConditionAvailable, isTrue, v1alpha1.ReasonPodsReady, "--rollout-concurrency")
		w.edit(func(s *v1alpha1.WechatBotSpec) { s.Session.History = 7 })
		eventually(w.t, func() error {
			image2 := w.deployment().Spec.Template.Spec.Containers[0].Image
			return unless(image2 == image, image2)
		})
		w.roll()
		rolled[held.Name] = true
		return
	}
	w.t.Fatalf("no bot is held back beside %d", len(batch))
}

func (w *world) deployments() []appsv1.Deployment {
	w.t.Helper()
	var all appsv1.DeploymentList
	if err := admin.List(w.t.Context(), &all, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	return all.Items
}

// giveUp does what a Deployment's controller would after ten minutes.
func (w *world) giveUp() {
	w.t.Helper()
	d := w.deployment()
	d.Status.ObservedGeneration, d.Status.Replicas, d.Status.UpdatedReplicas = d.Generation, 2, 1
	d.Status.Conditions = []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"},
	}
	if err := admin.Status().Update(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
}
