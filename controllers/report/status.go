// Package report says what a bot's state means: its conditions and the rest of the status, the events about what
// changed, and when to look again.
//
// It is pure: it knows no client, no context and no clock. Its messages say what is missing, in which field, and what
// to do; they hold nothing that changes while the state does not, and no secret.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// positive are the conditions that Ready sums up, in its order.
var positive = []string{
	v1alpha1.ConditionSecretsResolved,
	v1alpha1.ConditionDifyReachable,
	v1alpha1.ConditionSessionStoreReady,
	v1alpha1.ConditionAvailable,
	v1alpha1.ConditionExposed,
	v1alpha1.ConditionCertificateReady,
}

// finding is what a condition says, before it is one; nil is a condition that does not apply.
type finding struct {
	status          metav1.ConditionStatus
	reason, message string
}

func good(reason, format string, args ...any) *finding {
	return &finding{metav1.ConditionTrue, reason, fmt.Sprintf(format, args...)}
}

func bad(reason, format string, args ...any) *finding {
	return &finding{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

func unknown(reason, format string, args ...any) *finding {
	return &finding{metav1.ConditionUnknown, reason, fmt.Sprintf(format, args...)}
}

// Status is the bot's new status. err is what came of making the children; state is nil if the bot could not be looked
// at, and then the conditions stay as they were.
func Status(bot *v1alpha1.WechatBot, state *observe.State, err error) v1alpha1.WechatBotStatus {
	status := *bot.Status.DeepCopy()
	set := func(condition string, f *finding) {
		if f == nil {
			status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool { return c.Type == condition })
			return
		}
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: condition, Status: f.status, Reason: f.reason, Message: clip(f.message), ObservedGeneration: bot.Generation,
		})
	}
	set(v1alpha1.ConditionSuspended, nil)
	status.ObservedGeneration = bot.Generation
	status.URL = desired.URL(bot)
	status.Selector = labels.SelectorFromSet(naming.Selector(bot)).String()
	if state != nil {
		replicas(&status, state)
		for condition, f := range findings(bot, state) {
			set(condition, f)
		}
		// An app that cannot be used is named by the condition only: see difyVouched.
		if state.Dify.Off || state.Dify.Changed || NeedsDify(bot, state) {
			status.Dify = v1alpha1.DifyStatus{}
		} else if state.Dify.Asked && meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionDifyReachable) {
			status.Dify = state.Dify.App
		}
		if d := state.Children.Deployment; err == nil && d != nil && observe.RolledOut(d) {
			status.SessionStore = bot.Spec.Session.Store()
		}
	}
	ready, reconciling, stalled := summary(bot, &status, state, err)
	set(v1alpha1.ConditionReady, ready)
	set(v1alpha1.ConditionReconciling, reconciling)
	set(v1alpha1.ConditionStalled, stalled)
	status.Summary = line(&status)
	slices.SortFunc(status.Conditions, func(a, b metav1.Condition) int { return rank(a.Type) - rank(b.Type) })
	return status
}

// Suspended is the status of a bot that is to be left alone: what is known stays. Ready is True, as the bot is as it was
// asked to be: tools that wait for Ready would take anything else for a rollout that hangs.
func Suspended(bot *v1alpha1.WechatBot) v1alpha1.WechatBotStatus {
	status := *bot.Status.DeepCopy()
	status.ObservedGeneration = bot.Generation
	const message = "spec.suspend is true: what runs goes on running, changes wait until it is false"
	for _, condition := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionSuspended} {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: condition, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSuspended, Message: message, ObservedGeneration: bot.Generation,
		})
	}
	meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionReconciling)
	meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStalled)
	for _, condition := range slices.Concat([]string{v1alpha1.ConditionDifyReachable}, told) {
		// Nobody asks Dify and the servers any more, and an alert about an old answer would go on.
		if !meta.IsStatusConditionTrue(status.Conditions, condition) {
			meta.RemoveStatusCondition(&status.Conditions, condition)
		}
	}
	status.Summary = line(&status)
	slices.SortFunc(status.Conditions, func(a, b metav1.Condition) int { return rank(a.Type) - rank(b.Type) })
	return status
}

// isStopped tells whether no server is asked for, and none runs.
func isStopped(bot *v1alpha1.WechatBot, state *observe.State) bool {
	d := state.Children.Deployment
	return bot.Spec.DesiredReplicas() == 0 && d != nil && observe.RolledOut(d)
}

func replicas(status *v1alpha1.WechatBotStatus, state *observe.State) {
	status.Replicas, status.ReadyReplicas = 0, 0
	if d := state.Children.Deployment; d != nil {
		status.Replicas, status.ReadyReplicas = d.Status.Replicas, d.Status.ReadyReplicas
	}
}

// summary gives Ready and the two abnormal-true conditions. An error comes first: what it kept from being made, no
// other condition can vouch for.
func summary(bot *v1alpha1.WechatBot, status *v1alpha1.WechatBotStatus, state *observe.State, err error) (ready, reconciling, stalled *finding) {
	if err != nil {
		reason, message := explain(bot, err)
		message += servesOn(status, state)
		ready = bad(reason, "%s", message)
		if Terminal(err) {
			return ready, nil, &finding{metav1.ConditionTrue, reason, message}
		}
		return ready, &finding{metav1.ConditionTrue, reason, message}, nil
	}
	if isStopped(bot, state) {
		return good(v1alpha1.ReasonStopped, "spec.replicas is 0: no webhook server runs, and followers get no answer"), nil, nil
	}
	for _, condition := range positive {
		c := meta.FindStatusCondition(status.Conditions, condition)
		if c == nil || c.Status == metav1.ConditionTrue || condition == v1alpha1.ConditionDifyReachable &&
			c.Status == metav1.ConditionFalse && difyVouched(bot, state) {
			continue
		}
		message := c.Message
		if condition == v1alpha1.ConditionSecretsResolved {
			message += servesOn(status, state)
		}
		return &finding{metav1.ConditionFalse, c.Reason, message},
			&finding{metav1.ConditionTrue, v1alpha1.ReasonProgressing, message}, nil
	}
	d := state.Children.Deployment
	return good(v1alpha1.ReasonServing, "%d/%d replicas serve %s", d.Status.AvailableReplicas, *d.Spec.Replicas, status.URL), nil, nil
}

// servesOn says that followers are answered although Ready is False: a bot that is not touched goes on as it was.
func servesOn(status *v1alpha1.WechatBotStatus, state *observe.State) string {
	if state == nil || state.Children.Deployment == nil || !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionExposed) {
		return ""
	}
	return meanwhile(state.Children.Deployment)
}

// order is that of all conditions in a status.
var order = slices.Concat([]string{v1alpha1.ConditionReady}, positive, told,
	[]string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled, v1alpha1.ConditionSuspended})

func rank(condition string) int { return slices.Index(order, condition) }

// line is Ready's message as kubectl get shows it, or of a bot that is ready what WeChat's side lacks, and how many other
// conditions are not as they should be.
func line(status *v1alpha1.WechatBotStatus) string {
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return ""
	}
	words := ready.Message
	if ready.Status == metav1.ConditionTrue && ready.Reason == v1alpha1.ReasonServing {
		words = cmp.Or(lacks(status), words)
	}
	wrong := 0
	for _, condition := range slices.Concat(positive, told) {
		if c := meta.FindStatusCondition(status.Conditions, condition); c != nil && c.Status == metav1.ConditionFalse {
			wrong++
		}
	}
	more := ""
	if ready.Status != metav1.ConditionTrue || words != ready.Message {
		wrong--
	}
	if wrong > 0 {
		more = fmt.Sprintf(" (and %d more)", wrong)
	}
	const limit = 100
	runes := []rune(words)
	if len(runes) > limit {
		runes = append(runes[:limit-1], '…')
	}
	return string(runes) + more
}

// maxMessage keeps a condition within what the API allows, and a table's line readable.
const maxMessage = 1024

func clip(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage-len("…")], "") + "…" // without half a character
}
