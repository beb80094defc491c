package observe

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestStartingSince(t *testing.T) {
	made, placed := metav1.Unix(1000, 0), metav1.Unix(1020, 0)
	waits := func(reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: "server", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}
	}
	scheduled := []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: placed}}
	for name, c := range map[string]struct {
		status corev1.PodStatus
		want   time.Time
	}{
		"on its node":         {corev1.PodStatus{Phase: corev1.PodPending, Conditions: scheduled, ContainerStatuses: []corev1.ContainerStatus{waits("ContainerCreating")}}, placed.Time},
		"before its init":     {corev1.PodStatus{Phase: corev1.PodPending, Conditions: scheduled, ContainerStatuses: []corev1.ContainerStatus{waits("PodInitializing")}}, placed.Time},
		"no word yet":         {corev1.PodStatus{Phase: corev1.PodPending}, made.Time},
		"runs":                {corev1.PodStatus{Phase: corev1.PodRunning, Conditions: scheduled}, time.Time{}},
		"has another reason":  {corev1.PodStatus{Phase: corev1.PodPending, Conditions: scheduled, ContainerStatuses: []corev1.ContainerStatus{waits("ErrImagePull")}}, time.Time{}},
		"no node takes it":    {corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: corev1.PodReasonUnschedulable}}}, time.Time{}},
		"its init is at work": {corev1.PodStatus{Phase: corev1.PodPending, Conditions: scheduled, InitContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}, time.Time{}},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: made}, Status: c.status}
		if got := startingSince(pod); !got.Equal(c.want) {
			t.Errorf("%s: since %s, want %s", name, got, c.want)
		}
		pod.DeletionTimestamp = &made
		if got := startingSince(pod); !got.IsZero() {
			t.Errorf("%s, and it ends: since %s", name, got)
		}
	}
}

func TestStartWarning(t *testing.T) {
	const pod = "winter-7c9d8-abcde"
	since := time.Unix(1000, 700)
	at := func(second int64, kind, reason, message string) corev1.Event {
		return corev1.Event{LastTimestamp: metav1.Unix(second, 0), Type: kind, Reason: reason, Message: message}
	}
	warning := func(second int64, reason, message string) corev1.Event {
		return at(second, corev1.EventTypeWarning, reason, message)
	}
	const (
		noSecret = `MountVolume.SetUp failed for volume "extra" : secret "nosuch" not found`
		summary  = `Unable to attach or mount volumes: unmounted volumes=[extra], unattached volumes=[]: timed out waiting for the condition`
		sandbox  = `Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "` +
			`5f0c3a9be2d14c7f8a6b5f0c3a9be2d14c7f8a6b5f0c3a9be2d14c7f8a6b0011": plugin failed for ` + pod + `_bots(0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0) after 1m20s`
	)
	for name, c := range map[string]struct {
		events []corev1.Event
		want   string
	}{
		"nothing":                       {nil, ""},
		"a Secret":                      {[]corev1.Event{at(1000, corev1.EventTypeNormal, "Scheduled", "x"), warning(1000, "FailedMount", noSecret)}, "FailedMount: " + noSecret},
		"before the kubelet's summary":  {[]corev1.Event{warning(1001, "FailedMount", noSecret), warning(1120, "FailedMount", summary)}, "FailedMount: " + noSecret},
		"but the summary is better":     {[]corev1.Event{warning(1120, "FailedMount", summary)}, "FailedMount: " + summary},
		"than what is no longer so":     {[]corev1.Event{warning(1001, "FailedMount", noSecret), warning(1400, "FailedMount", summary)}, "FailedMount: " + summary},
		"the cause before the effect":   {[]corev1.Event{warning(1030, "FailedMount", "a"), warning(1010, "FailedAttachVolume", "Multi-Attach\n error")}, "FailedAttachVolume: Multi-Attach error"},
		"always the same of two":        {[]corev1.Event{warning(1010, "FailedMount", "b"), warning(1011, "FailedMount", "a"), warning(1012, "FailedMount", "b")}, "FailedMount: a"},
		"without what changes":          {[]corev1.Event{warning(1010, "FailedCreatePodSandBox", sandbox)}, `FailedCreatePodSandBox: Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "…": plugin failed for …_bots(…) after …`},
		"it goes on":                    {[]corev1.Event{warning(1001, "FailedMount", noSecret), at(1060, corev1.EventTypeNormal, "Pulling", "Pulling image")}, ""},
		"it went on, and stops":         {[]corev1.Event{at(1060, corev1.EventTypeNormal, "Pulled", "x"), warning(1100, "FailedCreatePodSandBox", "x")}, "FailedCreatePodSandBox: x"},
		"a sandbox is made anew":        {[]corev1.Event{warning(1010, "FailedCreatePodSandBox", "x"), at(1011, corev1.EventTypeNormal, "SandboxChanged", "y")}, "FailedCreatePodSandBox: x"},
		"of before it had a node":       {[]corev1.Event{warning(999, "FailedMount", noSecret)}, ""},
		"others' words":                 {[]corev1.Event{warning(1010, "PolicyViolation", "x"), warning(1010, "DNSConfigForming", "x"), warning(1010, "FailedToRetrieveImagePullSecret", "x")}, ""},
		"a reason that is no warning":   {[]corev1.Event{at(1010, corev1.EventTypeNormal, "FailedMount", "x")}, ""},
		"as the newer API has its time": {[]corev1.Event{{EventTime: metav1.NewMicroTime(time.Unix(900, 0)), Series: &corev1.EventSeries{LastObservedTime: metav1.NewMicroTime(time.Unix(1010, 0))}, Type: corev1.EventTypeWarning, Reason: "FailedMount", Message: "x"}}, "FailedMount: x"},
		"a long one is cut":             {[]corev1.Event{warning(1010, "FailedMount", strings.Repeat("ä", 400))}, "FailedMount: " + strings.Repeat("ä", 300) + "…"},
	} {
		if got := startWarning(c.events, pod, since); got != c.want {
			t.Errorf("%s:\n%q, want\n%q", name, got, c.want)
		}
	}
}
