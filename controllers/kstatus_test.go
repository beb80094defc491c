package controllers_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

var (
	abnormal = []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled, v1alpha1.ConditionSuspended}
	// beside are positive conditions that do not decide Ready, or not always.
	beside = []string{
		v1alpha1.ConditionDifyReachable, v1alpha1.ConditionConnected, v1alpha1.ConditionAccountReady, v1alpha1.ConditionMenuPublished,
	}
	uid        = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-`)
	timeOfDay  = regexp.MustCompile(`\d\d:\d\d`)
	camelCased = regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
)

// checkConditions holds a bot's conditions to the rules that tools (kstatus) and people rely on.
func checkConditions(t testing.TB, bot *v1alpha1.WechatBot) {
	t.Helper()
	conditions := bot.Status.Conditions
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		t.Errorf("Ready is missing: %s", describe(bot))
		return
	}
	if ready.ObservedGeneration != bot.Status.ObservedGeneration {
		t.Errorf("Ready is about generation %d, the status about %d", ready.ObservedGeneration, bot.Status.ObservedGeneration)
	}
	present := 0
	for _, c := range conditions {
		if c.ObservedGeneration > bot.Generation {
			t.Errorf("%s is about a generation that is yet to come", c.Type)
		}
		if !camelCased.MatchString(c.Reason) || c.Message == "" || strings.HasSuffix(c.Message, ".") {
			t.Errorf("%s has the reason %q and the message %q", c.Type, c.Reason, c.Message)
		}
		if uid.MatchString(c.Message) || timeOfDay.MatchString(c.Message) {
			t.Errorf("%s's message holds what changes by itself: %s", c.Type, c.Message)
		}
		if slices.Contains(abnormal, c.Type) {
			present++
			if c.Status != metav1.ConditionTrue {
				t.Errorf("%s is %s: an abnormal-true condition is True or absent", c.Type, c.Status)
			}
		}
	}
	if present > 1 {
		t.Errorf("more than one of %v: %s", abnormal, describe(bot))
	}
	// kstatus, and with it Flux and Helm, takes any other Ready for a rollout that goes on.
	if suspended := meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionSuspended); suspended {
		if ready.Status != metav1.ConditionTrue || ready.Reason != v1alpha1.ReasonSuspended || present != 1 {
			t.Errorf("a suspended bot is not current: %s", describe(bot))
		}
		return
	}
	if ready.Status == metav1.ConditionTrue && present > 0 || ready.Status != metav1.ConditionTrue && present == 0 {
		t.Errorf("Ready is %s with %d of %v: %s", ready.Status, present, abnormal, describe(bot))
	}
	if ready.Status == metav1.ConditionTrue && ready.Reason != v1alpha1.ReasonStopped {
		for _, c := range conditions {
			if c.Status != metav1.ConditionTrue && !slices.Contains(beside, c.Type) {
				t.Errorf("Ready is True although %s is %s", c.Type, c.Status)
			}
		}
	}
}
