package report

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
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
	serverFindings(all, bot, state)
	return all
}

func secretsResolved(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	if len(state.Secrets) == 0 {
		return good(v1alpha1.ReasonResolved, "every referenced Secret and key is there and well-formed")
	}
	p := state.Secrets[0]
	if p.Ref.Generated {
		return bad(p.Reason, "spec.%s: key %q of the generated Secret %q is not as it was made: delete the Secret, another is made within a minute, "+
			"which restarts the Redis", p.Ref.Field, p.Ref.Key, p.Ref.Name)
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

func available(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	d := state.Children.Deployment
	if d == nil {
		return bad(v1alpha1.ReasonPodsNotReady, "the Deployment %s is not there yet", bot.Name)
	}
	if isStopped(bot, state) {
		return good(v1alpha1.ReasonStopped, "no webhook server runs, as spec.replicas is 0")
	}
	if observe.RolledOut(d) {
		if state.Leaving.After(state.Now) {
			return bad(v1alpha1.ReasonPodsNotReady, "every replica of the Deployment %s serves; waiting for those of before to be sent no more pushes", d.Name)
		}
		if state.RolloutWaits {
			return good(v1alpha1.ReasonPodsReady, "every replica of the Deployment %s serves; they are replaced by those of the operator's "+
				"version when other bots' have been (--rollout-concurrency)", d.Name)
		}
		return good(v1alpha1.ReasonPodsReady, "every replica of the Deployment %s serves", d.Name)
	}
	if c := deploymentCondition(d, appsv1.DeploymentReplicaFailure); c != nil && c.Status == corev1.ConditionTrue {
		return bad(v1alpha1.ReasonPodsNotReady, "%s: the pods of Deployment %s cannot be made: %s%s", c.Reason, d.Name, c.Message, meanwhile(d))
	}
	if d.Spec.Paused && d.Spec.Replicas != nil && d.Status.UpdatedReplicas < *d.Spec.Replicas {
		return bad(v1alpha1.ReasonPodsNotReady, "the rollout of Deployment %s is paused: kubectl -n %s rollout resume deployment/%s%s",
			d.Name, bot.Namespace, d.Name, meanwhile(d))
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
