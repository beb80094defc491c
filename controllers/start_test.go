package controllers_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// placed is the status of a pod that a node has taken so long ago, and that has no container yet.
func placed(ago time.Duration) corev1.PodStatus {
	return corev1.PodStatus{
		Phase: corev1.PodPending,
		Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now().Add(-ago)),
		}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: naming.ServerContainer, Image: "nowhere/image", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
		}},
	}
}

// kubelet tells of a pod as a node's does.
func (w *world) kubelet(pod *corev1.Pod, kind, reason, message string) {
	w.t.Helper()
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: pod.Name + ".", Namespace: w.namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: w.namespace, Name: pod.Name, UID: pod.UID},
		Source:         corev1.EventSource{Component: "kubelet", Host: "node-1"}, Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Type: kind, Reason: reason, Message: message,
	}
	if err := admin.Create(w.t.Context(), event); err != nil {
		w.t.Fatal(err)
	}
}

// What keeps a pod from its first container stands in events only. It is told once the pod takes long, without anything that wakes the
// bot, and no longer when the pod is past it.
func TestAvailable_WhatOnlyEventsTell(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.bot = sample(t, "minimal")
	const missing = `MountVolume.SetUp failed for volume "extra" : secret "nosuch" not found`
	pod := w.pod("winter-abcde", naming.Server, placed(27*time.Second))
	other := w.pod("winter-fghij", naming.Server, placed(time.Second))
	w.kubelet(pod, corev1.EventTypeNormal, "Scheduled", "Successfully assigned")
	w.kubelet(pod, corev1.EventTypeWarning, "FailedMount", missing)
	w.kubelet(other, corev1.EventTypeWarning, "FailedAttachVolume", "of another pod")
	w.create()
	message := w.expectMessage(v1alpha1.ConditionAvailable, isFalse, v1alpha1.ReasonPodsNotReady, "FailedMount: "+missing, "kubectl describe pods")
	if strings.Contains(message, "of another pod") {
		t.Errorf("%q", message)
	}
	w.expectEvent(corev1.EventTypeWarning, "FailedMount")

	w.kubelet(pod, corev1.EventTypeNormal, "Pulling", "Pulling image")
	look := 0
	eventually(t, func() error {
		look++
		w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"look": strconv.Itoa(look)} })
		message := w.expect(v1alpha1.ConditionAvailable, isFalse, v1alpha1.ReasonPodsNotReady)
		return unless(strings.HasPrefix(message, "waiting for the pods"), message)
	})
	w.serve()
}

// A volume that a node does not get concerns a managed Redis most.
func TestManagedRedis_PodThatDoesNotStart(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.bot = sample(t, "minimal")
	pod := w.pod("winter-redis-0", naming.Redis, placed(time.Minute))
	w.kubelet(pod, corev1.EventTypeWarning, "FailedAttachVolume", `Multi-Attach error for volume "pvc-1": it is attached to another node`)
	w.create(managed)
	w.claim()
	w.expectMessage(v1alpha1.ConditionSessionStoreReady, isFalse, v1alpha1.ReasonRedisProvisioning, "FailedAttachVolume: Multi-Attach error", "kubectl describe")
}
