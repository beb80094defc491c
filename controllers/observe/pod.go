package observe

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// PodProblem is why a pod is not ready, in words that do not change while the reason does not: the kubelet's own
// messages count seconds and name pods. It is empty for a pod that is ready, starts or ends, and for one that has ended: a
// pod that a node has evicted stays for the record, and another one has taken its place.
func PodProblem(pod *corev1.Pod) string {
	if !pod.DeletionTimestamp.IsZero() || ended(pod) {
		return ""
	}
	for _, condition := range pod.Status.Conditions {
		switch {
		case condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue:
			return ""
		case condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable:
			return "Unschedulable: no node takes the pod" + scheduler(condition.Message)
		case condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonSchedulerError:
			return "SchedulerError: the scheduler fails to place the pod"
		case condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonSchedulingGated:
			return "SchedulingGated: the pod's spec.schedulingGates keep it from the scheduler until who set them, a queue for example, takes them away"
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

// ended tells whether a pod has run to its end: its controller has made another one, or makes it.
func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
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
		if last := lastEnd(c); last != nil && last.Reason == "OOMKilled" { // the kernel leaves no words
			return "OOMKilled: container " + c.Name + " needs more memory than its limit"
		}
		return "CrashLoopBackOff: container " + c.Name + " ends by itself" + lastWords(c)
	}
	return ""
}

func lastEnd(c *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	if c.State.Terminated != nil {
		return c.State.Terminated
	}
	return c.LastTerminationState.Terminated
}

// scheduler is the sentence in which the scheduler says why, without what it says of preemption.
func scheduler(message string) string {
	sentence, _, _ := strings.Cut(message, ". ")
	sentence, _, _ = strings.Cut(sentence, " preemption:")
	if sentence = strings.TrimRight(strings.TrimSpace(sentence), "."); sentence == "" {
		return ""
	}
	return ": " + clip(sentence)
}

// lastWords is the last line that the server or a managed Redis has written. A sidecar's may hold anything.
func lastWords(c *corev1.ContainerStatus) string {
	last := lastEnd(c)
	if last == nil || c.Name != naming.ServerContainer && c.Name != naming.RedisContainer {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(last.Message), "\n")
	line := lines[len(lines)-1]
	var entry struct{ Msg, Error string }
	if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg != "" { // without its time
		if line = entry.Msg; entry.Error != "" {
			line += ": " + entry.Error
		}
	}
	if line = strings.TrimSpace(line); line == "" {
		return fmt.Sprintf(" (exit code %d)", last.ExitCode)
	}
	return ": " + clip(line)
}

// clip keeps others' words within a condition's bounds.
func clip(words string) string {
	const limit = 300
	if runes := []rune(words); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return words
}

var (
	noClass      = regexp.MustCompile(`storageclass[a-z.0-9]* "([^"]+)" not found`)
	createPrefix = regexp.MustCompile(`^create Pod \S+ in StatefulSet \S+ failed error: `)
)

// newestWarning is the reason and the message of the newest of some events, in words that stay the same.
func newestWarning(all []corev1.Event) string {
	if len(all) == 0 {
		return ""
	}
	newest := slices.MaxFunc(all, func(a, b corev1.Event) int { return seen(&a).Compare(seen(&b)) })
	if class := noClass.FindStringSubmatch(newest.Message); class != nil {
		return fmt.Sprintf("%s: StorageClass %q does not exist", newest.Reason, class[1])
	}
	return newest.Reason + ": " + clip(createPrefix.ReplaceAllString(newest.Message, ""))
}

func seen(e *corev1.Event) time.Time {
	if e.Series != nil && !e.Series.LastObservedTime.IsZero() {
		return e.Series.LastObservedTime.Time
	}
	for _, t := range []time.Time{e.LastTimestamp.Time, e.EventTime.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return e.CreationTimestamp.Time
}

// How long a server that was told to stop may still be sent pushes: by proxies that have not noticed; where sessions are
// in ConfigMaps, by the new server too, which forwards them until it has the sessions.
const (
	proxiesLeave  = 5 * time.Second
	sessionsLeave = 15 * time.Second
)

// leaving is until when servers of another template than the running ones' may be sent pushes.
func leaving(pods []corev1.Pod, store v1alpha1.SessionStore) (until time.Time) {
	const hash = "pod-template-hash"
	current := map[string]bool{}
	for i := range pods {
		if pods[i].DeletionTimestamp.IsZero() && !ended(&pods[i]) {
			current[pods[i].Labels[hash]] = true
		}
	}
	for i := range pods {
		pod := &pods[i]
		if pod.DeletionTimestamp.IsZero() || len(current) == 0 || current[pod.Labels[hash]] {
			continue
		}
		told := pod.DeletionTimestamp.Time
		if grace := pod.DeletionGracePeriodSeconds; grace != nil {
			told = told.Add(-time.Duration(*grace) * time.Second)
		}
		left := told.Add(proxiesLeave)
		if store == v1alpha1.StoreConfigMap {
			left = told.Add(sessionsLeave)
		}
		if left.After(until) {
			until = left
		}
	}
	return until
}
