package observe

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// startPatience is how long a pod may be on its way to its first container until its events are read. Pods of thousands of bots
// start, and nobody watches the events of all.
const startPatience = 30 * time.Second

// startingSince is since when a pod has been on its way to its first container without a reason of its own; zero if it is not.
func startingSince(pod *corev1.Pod) time.Time {
	if !pod.DeletionTimestamp.IsZero() || pod.Status.Phase != corev1.PodPending || PodProblem(pod) != "" {
		return time.Time{}
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			if state := &statuses[i].State; state.Running != nil || state.Terminated != nil {
				return time.Time{}
			}
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Time
		}
	}
	return pod.CreationTimestamp.Time
}

// startProblem finds what keeps the pod that has been starting for longest from it, or when to look for that: volumes and networks
// that a pod does not get are told of in events only.
func (o *Observer) startProblem(ctx context.Context, pods []corev1.Pod, s *State) (string, error) {
	var stuck *corev1.Pod
	var since time.Time
	for i := range pods {
		if began := startingSince(&pods[i]); !began.IsZero() && (stuck == nil || began.Before(since)) {
			stuck, since = &pods[i], began
		}
	}
	if stuck == nil {
		return "", nil
	}
	if due := since.Add(startPatience); due.After(s.Now) {
		if s.StartLook.IsZero() || due.Before(s.StartLook) {
			s.StartLook = due
		}
		return "", nil
	}
	var found corev1.EventList
	err := o.Live.List(ctx, &found, client.InNamespace(stuck.Namespace), client.MatchingFields{"involvedObject.uid": string(stuck.UID)})
	if err != nil {
		return "", fmt.Errorf("listing the events of Pod %s: %w", stuck.Name, err)
	}
	return startWarning(found.Items, stuck.Name, since), nil
}

// startWarnings are the reasons of what keeps a pod from its first container, in the order of its steps. Others' are no answer:
// policies report on pods too, and the kubelet on the DNS of its node.
var startWarnings = []string{
	"FailedPrepareDynamicResources", "FailedAttachVolume", "FailedMapVolume", "FailedMount", "NetworkNotReady", "FailedCreatePodSandBox",
}

// pastStart are the reasons of what comes behind those steps: warnings from before are settled.
var pastStart = []string{"Pulling", "Pulled", "Created", "Started"}

// repeats is within which time the kubelet and the controllers say again what is still so.
const repeats = 3 * time.Minute

// startWarning is what the events say of a pod that has been starting since then; empty if they say nothing that still holds. Of more
// warnings than one, which come in turns, it is always the same: that of the earliest step.
func startWarning(all []corev1.Event, pod string, since time.Time) string {
	settled, newest := since.Truncate(time.Second), time.Time{} // as events have it
	for i := range all {
		if e := &all[i]; slices.Contains(pastStart, e.Reason) && seen(e).After(settled) {
			settled = seen(e)
		} else if isStartWarning(e) && seen(e).After(newest) {
			newest = seen(e)
		}
	}
	var first *corev1.Event
	for i := range all {
		e := &all[i]
		if isStartWarning(e) && !seen(e).Before(settled) && newest.Sub(seen(e)) <= repeats && (first == nil || compareSteps(e, first) < 0) {
			first = e
		}
	}
	if first == nil {
		return ""
	}
	words := changing.ReplaceAllString(strings.ReplaceAll(first.Message, pod, "…"), "…")
	return first.Reason + ": " + clip(strings.Join(strings.Fields(words), " "))
}

func isStartWarning(e *corev1.Event) bool {
	return e.Type == corev1.EventTypeWarning && slices.Contains(startWarnings, e.Reason)
}

// compareSteps puts the kubelet's summary of volumes last, which follows the error of each and does not tell it.
func compareSteps(a, b *corev1.Event) int {
	step := func(e *corev1.Event) int {
		if e.Reason == "FailedMount" && strings.HasPrefix(e.Message, "Unable to attach or mount volumes") {
			return len(startWarnings)
		}
		return slices.Index(startWarnings, e.Reason)
	}
	return cmp.Or(cmp.Compare(step(a), step(b)), cmp.Compare(a.Message, b.Message))
}

// changing is what is said anew each time: identities of sandboxes and requests, durations, own ports.
var changing = regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{12,64}\b|\b[0-9]+m?[0-9.]*m?s\b|:[0-9]+->`)
