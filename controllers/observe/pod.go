package observe

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// PodProblem is why a pod is not ready, in words that do not change while the reason does not: the kubelet's own
// messages count seconds and name pods. It is empty for a pod that is ready, starts or ends.
func PodProblem(pod *corev1.Pod) string {
	if !pod.DeletionTimestamp.IsZero() {
		return ""
	}
	for _, condition := range pod.Status.Conditions {
		switch {
		case condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue:
			return ""
		case condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable:
			return "Unschedulable: no node takes the pod"
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			if problem := containerProblem(&statuses[i]); problem != "" {
				return problem
			}
		}
	}
	return ""
}

// Unready is since when a server has run without being ready; zero if it is ready, starts or ends.
func Unready(pod *corev1.Pod) time.Time {
	if !pod.DeletionTimestamp.IsZero() {
		return time.Time{}
	}
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		if c.Name != naming.ServerContainer || c.Ready || c.State.Running == nil || c.Started == nil || !*c.Started {
			continue
		}
		since := c.State.Running.StartedAt.Time
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.ContainersReady && condition.LastTransitionTime.After(since) {
				since = condition.LastTransitionTime.Time
			}
		}
		return since
	}
	return time.Time{}
}

// containerProblem gives one name to the states that a container in trouble goes to and fro between.
func containerProblem(c *corev1.ContainerStatus) string {
	if c.Ready {
		return ""
	}
	reason := ""
	if c.State.Waiting != nil {
		reason = c.State.Waiting.Reason
	}
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable":
		if reason == "ErrImagePull" {
			reason = "ImagePullBackOff"
		}
		return reason + ": the image " + c.Image + " of container " + c.Name + " cannot be pulled"
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return reason + ": container " + c.Name + " cannot be started"
	}
	if c.RestartCount > 0 || c.State.Terminated != nil {
		if last := lastEnd(c); last != nil && last.Reason == "OOMKilled" {
			return "OOMKilled: container " + c.Name + " needs more memory than its limit"
		}
		return "CrashLoopBackOff: container " + c.Name + " ends by itself"
	}
	return ""
}

func lastEnd(c *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	if c.State.Terminated != nil {
		return c.State.Terminated
	}
	return c.LastTerminationState.Terminated
}
