package report

import (
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// Event is about a condition that changed. Its reason is the condition's.
type Event struct {
	// Type is Normal or Warning.
	Type string
	// Reason and Note are the condition's reason and message.
	Reason, Note string
}

// transientReasons are reasons that a bot goes through on its way: they warn of nothing.
var transientReasons = []string{
	v1alpha1.ReasonNotChecked, v1alpha1.ReasonStorePending, v1alpha1.ReasonPodsNotReady, v1alpha1.ReasonAddressPending,
	v1alpha1.ReasonCertificatePending, v1alpha1.ReasonProgressing, v1alpha1.ReasonSuspended, v1alpha1.ReasonRedisProvisioning,
	v1alpha1.ReasonNoPushYet,
}

// Events tells what changed from one status to the next: Ready, which has the first thing that is wrong, and what does not
// reach Ready: Dify's failure and what the servers tell. A status that says the same gives none.
func Events(before, after *v1alpha1.WechatBotStatus) []Event {
	var events []Event
	ready := changed(before, after, v1alpha1.ConditionReady)
	if ready == nil {
		ready = otherPodReason(before, after)
	}
	if ready != nil {
		events = append(events, event(ready))
	}
	dify := changed(before, after, v1alpha1.ConditionDifyReachable)
	if dify == nil {
		dify = otherCause(before, after, v1alpha1.ConditionDifyReachable)
	}
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionDifyReachable)
	if dify != nil && (ready == nil || ready.Reason != dify.Reason) && was != nil &&
		(dify.Status == metav1.ConditionFalse || was.Status == metav1.ConditionFalse && dify.Status == metav1.ConditionTrue) {
		events = append(events, event(dify))
	}
	for _, condition := range told {
		if c := changed(before, after, condition); c != nil && c.Reason != v1alpha1.ReasonNotChecked {
			events = append(events, event(c))
		}
	}
	return events
}

// changed gives a condition whose status or reason is not what it was.
func changed(before, after *v1alpha1.WechatBotStatus, condition string) *metav1.Condition {
	is, was := meta.FindStatusCondition(after.Conditions, condition), meta.FindStatusCondition(before.Conditions, condition)
	if is == nil || was != nil && was.Status == is.Status && was.Reason == is.Reason {
		return nil
	}
	return is
}

// otherCause gives a condition that is False as before, for the same reason, and says something else: of Dify, why it
// cannot be reached.
func otherCause(before, after *v1alpha1.WechatBotStatus, condition string) *metav1.Condition {
	is, was := meta.FindStatusCondition(after.Conditions, condition), meta.FindStatusCondition(before.Conditions, condition)
	if is == nil || was == nil || is.Status != metav1.ConditionFalse || was.Status != metav1.ConditionFalse || is.Message == was.Message {
		return nil
	}
	return is
}

var leadingReason = regexp.MustCompile(`^([A-Z][A-Za-z]+): `)

// podReason is the pods' own reason in a condition that waits for them, such as ImagePullBackOff; empty if it has none.
func podReason(c *metav1.Condition) string {
	if c == nil || c.Status == metav1.ConditionTrue ||
		!slices.Contains([]string{v1alpha1.ReasonPodsNotReady, v1alpha1.ReasonProgressDeadlineExceeded, v1alpha1.ReasonRedisProvisioning}, c.Reason) {
		return ""
	}
	if reason := leadingReason.FindStringSubmatch(c.Message); reason != nil {
		return reason[1]
	}
	return ""
}

// otherPodReason gives Ready if the pods have another reason than before, or one at last.
func otherPodReason(before, after *v1alpha1.WechatBotStatus) *metav1.Condition {
	is := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
	if reason := podReason(is); reason == "" || reason == podReason(meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady)) {
		return nil
	}
	return is
}

func event(c *metav1.Condition) Event {
	kind := corev1.EventTypeWarning
	if c.Status == metav1.ConditionTrue || slices.Contains(transientReasons, c.Reason) {
		kind = corev1.EventTypeNormal
	}
	if reason := podReason(c); reason != "" {
		return Event{corev1.EventTypeWarning, reason, clip(c.Message)}
	}
	return Event{kind, c.Reason, clip(c.Message)}
}
