package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// findings gives every positive condition; nil is one that does not apply.
func findings(bot *v1alpha1.WechatBot, state *observe.State) map[string]*finding {
	all := map[string]*finding{
		v1alpha1.ConditionSecretsResolved:   secretsResolved(bot, state),
		v1alpha1.ConditionSessionStoreReady: sessionStoreReady(bot, state),
		v1alpha1.ConditionAvailable:         available(bot, state),
		v1alpha1.ConditionExposed:           exposed(bot, state),
		v1alpha1.ConditionCertificateReady:  certificateReady(bot, state),
	}
	if f := difyReachable(bot, state); f != nil || state.Dify.Off {
		all[v1alpha1.ConditionDifyReachable] = f
	}
	return all
}

func secretsResolved(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	if len(state.Secrets) == 0 {
		return good(v1alpha1.ReasonResolved, "every referenced Secret and key is there and well-formed")
	}
	p := state.Secrets[0]
	if p.Ref.Generated {
		return bad(p.Reason, "spec.%s: key %q of the generated Secret %q is not as it was made: delete the Secret, another is made within a minute, "+
			"and restart the Redis then (kubectl rollout restart statefulset/%s)", p.Ref.Field, p.Ref.Key, p.Ref.Name, p.Ref.Name)
	}
	switch p.Reason {
	case v1alpha1.ReasonSecretNotFound:
		return bad(p.Reason, "spec.%s: Secret %q does not exist in namespace %s: create it with the key %q",
			p.Ref.Field, p.Ref.Name, bot.Namespace, p.Ref.Key)
	case v1alpha1.ReasonSecretKeyMissing:
		return bad(p.Reason, "spec.%s: Secret %q has no key %q: add it, or correct the reference", p.Ref.Field, p.Ref.Name, p.Ref.Key)
	default:
		return bad(p.Reason, "spec.%s: key %q of Secret %q %s", p.Ref.Field, p.Ref.Key, p.Ref.Name, p.Wrong)
	}
}

// NeedsDify tells whether nothing is known of Dify: after a start of the operator what was known before still holds.
func NeedsDify(bot *v1alpha1.WechatBot, state *observe.State) bool {
	if state.Dify.Off {
		return false
	}
	before := meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionDifyReachable)
	return !state.Dify.Asked && (state.Dify.Changed || before == nil || before.Status == metav1.ConditionUnknown ||
		before.ObservedGeneration != bot.Generation)
}

// KnownOfDify tells whether the bot's status says already what Dify answered, and that all is well: after a start of
// the operator, say.
func KnownOfDify(bot *v1alpha1.WechatBot, answer observe.Dify) bool {
	is := difyReachable(bot, &observe.State{Dify: answer})
	was := meta.FindStatusCondition(bot.Status.Conditions, v1alpha1.ConditionDifyReachable)
	return is != nil && is.status == metav1.ConditionTrue && was != nil && was.Status == is.status && was.Reason == is.reason &&
		was.Message == clip(is.message) && was.ObservedGeneration == bot.Generation && bot.Status.Dify == answer.App
}

// difyReachable is nil while the condition is to stay as it is.
func difyReachable(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	d := &state.Dify
	if !d.Asked {
		if !NeedsDify(bot, state) {
			return nil
		}
		if slices.ContainsFunc(state.Secrets, func(p observe.SecretProblem) bool { return p.Ref.File == desired.FileDifyAPIKey }) {
			return unknown(v1alpha1.ReasonNotChecked, "Dify at %s is asked as soon as there is an API key", bot.Spec.Dify.BaseURL)
		}
		return unknown(v1alpha1.ReasonNotChecked, "Dify at %s has not answered yet", bot.Spec.Dify.BaseURL)
	}
	if d.Err != nil {
		return difyError(bot.Spec.Dify.BaseURL, d.Err)
	}
	switch {
	case !observe.Chats(d.App.Mode):
		return bad(v1alpha1.ReasonWrongAppMode, "the API key belongs to a %s app, which cannot be talked to: "+
			"use the key of a chat app, an agent or a chatflow in spec.dify.apiKeySecretRef", d.App.Mode)
	case len(d.Missing) > 0:
		return bad(v1alpha1.ReasonInputsMissing, "the Dify app requires variables that are not set: add %s to spec.dify.inputs",
			strings.Join(d.Missing, ", "))
	case d.App.AppName == "":
		return good(v1alpha1.ReasonAuthorized, "Dify accepted the API key")
	}
	return good(v1alpha1.ReasonAuthorized, "Dify accepted the API key of app %q", d.App.AppName)
}

func difyError(baseURL string, err error) *finding {
	e, ok := errors.AsType[*dify.Error](err)
	if !ok {
		return bad(v1alpha1.ReasonUnreachable, "spec.dify.baseURL: %s", strings.TrimPrefix(err.Error(), "dify: "))
	}
	switch e.Kind {
	case dify.Unauthorized:
		return bad(v1alpha1.ReasonUnauthorized, "Dify at %s refuses the API key: put the app's key (app-...) into the Secret "+
			"of spec.dify.apiKeySecretRef", baseURL)
	case dify.Forbidden:
		return bad(v1alpha1.ReasonUnauthorized, "Dify at %s accepts the API key but not the access: the app is deleted, or its "+
			"API is switched off", baseURL)
	case dify.WrongAppMode:
		return bad(v1alpha1.ReasonWrongAppMode, "the API key belongs to an app that cannot be talked to: use the key of a chat "+
			"app, an agent or a chatflow in spec.dify.apiKeySecretRef")
	case dify.AppUnavailable:
		return bad(v1alpha1.ReasonUnreachable, "the Dify app is not published: publish it in Dify")
	case dify.NotFound, dify.BadResponse, dify.HTMLResponse, dify.Redirected:
		return bad(v1alpha1.ReasonUnreachable, "what answers at %s is not Dify's service API: correct spec.dify.baseURL", baseURL)
	case dify.Server, dify.RateLimited:
		return bad(v1alpha1.ReasonUnreachable, "Dify at %s, or a proxy before it, answers with errors", baseURL)
	default:
		return bad(v1alpha1.ReasonUnreachable, "Dify at %s does not answer: check spec.dify.baseURL, and that the cluster may "+
			"reach it", baseURL)
	}
}

func available(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	d := state.Children.Deployment
	if d == nil {
		return bad(v1alpha1.ReasonPodsNotReady, "the Deployment %s is not there yet", bot.Name)
	}
	if isStopped(bot, state) {
		return good(v1alpha1.ReasonStopped, "no webhook server runs, as spec.replicas is 0")
	}
	if observe.RolledOut(d) {
		return good(v1alpha1.ReasonPodsReady, "every replica of the Deployment %s serves", d.Name)
	}
	if c := deploymentCondition(d, appsv1.DeploymentReplicaFailure); c != nil && c.Status == corev1.ConditionTrue {
		return bad(v1alpha1.ReasonPodsNotReady, "the pods of Deployment %s cannot be made: %s", d.Name, c.Message)
	}
	if bot.Spec.DesiredReplicas() == 0 {
		return bad(v1alpha1.ReasonPodsNotReady, "waiting for the pods of Deployment %s to end, as spec.replicas is 0", d.Name)
	}
	reason := v1alpha1.ReasonPodsNotReady
	if progressGivenUp(d) {
		reason = v1alpha1.ReasonProgressDeadlineExceeded
	}
	if state.PodProblem != "" {
		return bad(reason, "%s (kubectl describe pods -l app.kubernetes.io/instance=%s)%s", state.PodProblem, bot.Name, meanwhile(d))
	}
	return bad(reason, "waiting for the pods of Deployment %s%s", d.Name, meanwhile(d))
}

// meanwhile says how many replicas serve while others do not: in a rollout those of before.
func meanwhile(d *appsv1.Deployment) string {
	if d.Status.AvailableReplicas == 0 || d.Spec.Replicas == nil {
		return ""
	}
	return fmt.Sprintf("; meanwhile %d/%d replicas serve", min(d.Status.AvailableReplicas, *d.Spec.Replicas), *d.Spec.Replicas)
}

func progressGivenUp(d *appsv1.Deployment) bool {
	c := deploymentCondition(d, appsv1.DeploymentProgressing)
	return c != nil && c.Status == corev1.ConditionFalse && c.Reason == "ProgressDeadlineExceeded" &&
		d.Status.ObservedGeneration >= d.Generation
}

func deploymentCondition(d *appsv1.Deployment, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range d.Status.Conditions {
		if d.Status.Conditions[i].Type == t {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}
