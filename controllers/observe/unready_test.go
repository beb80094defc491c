package observe

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestUnready(t *testing.T) {
	started, later := time.Unix(1000, 0), time.Unix(2000, 0)
	server := func(change func(*corev1.ContainerStatus)) corev1.PodStatus {
		c := corev1.ContainerStatus{
			Name: "server", Started: new(true),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(started)}},
		}
		change(&c)
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c}}
	}
	lost := server(func(*corev1.ContainerStatus) {})
	lost.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(later)}}
	for name, c := range map[string]struct {
		status corev1.PodStatus
		want   time.Time
	}{
		"since its start":      {server(func(*corev1.ContainerStatus) {}), started},
		"since it was ready":   {lost, later},
		"ready":                {server(func(c *corev1.ContainerStatus) { c.Ready = true }), time.Time{}},
		"starting":             {server(func(c *corev1.ContainerStatus) { c.Started = new(false) }), time.Time{}},
		"not known to start":   {server(func(c *corev1.ContainerStatus) { c.Started = nil }), time.Time{}},
		"not running":          {server(func(c *corev1.ContainerStatus) { c.State = corev1.ContainerState{} }), time.Time{}},
		"a sidecar's business": {server(func(c *corev1.ContainerStatus) { c.Name = "proxy" }), time.Time{}},
	} {
		if got := Unready(&corev1.Pod{Status: c.status}); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	ending := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: new(metav1.Now())}, Status: server(func(*corev1.ContainerStatus) {})}
	if got := Unready(ending); !got.IsZero() {
		t.Errorf("a pod that ends is unready since %s", got)
	}
}
