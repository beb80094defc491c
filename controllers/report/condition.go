package report

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
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

func available(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	d := state.Children.Deployment
	if d == nil {
		return bad(v1alpha1.ReasonPodsNotReady, "the Deployment %s is not there yet", bot.Name)
	}
	if observe.RolledOut(d) {
		if state.RolloutWaits {
			return good(v1alpha1.ReasonPodsReady, "every replica of the Deployment %s serves; they are replaced by those of the operator's "+
				"version when other bots' have been (--rollout-concurrency)", d.Name)
		}
		return good(v1alpha1.ReasonPodsReady, "every replica of the Deployment %s serves", d.Name)
	}
	if c := deploymentCondition(d, appsv1.DeploymentReplicaFailure); c != nil && c.Status == corev1.ConditionTrue {
		return bad(v1alpha1.ReasonPodsNotReady, "the pods of Deployment %s cannot be made: %s", d.Name, c.Message)
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

func exposed(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	switch {
	case state.ConflictingBot != nil:
		return bad(v1alpha1.ReasonDomainConflict, "the older WechatBot %s has %s: change spec.domain or spec.path",
			state.ConflictingBot, desired.URL(bot))
	case bot.Spec.Gateway != nil:
		return routed(bot, state)
	case !desired.HasIngress(bot):
		return good(v1alpha1.ReasonExternallyManaged, "spec.ingress.enabled is false: route %s to Service %s, port 80", desired.URL(bot), bot.Name)
	case state.Class == observe.ClassMissing:
		return bad(v1alpha1.ReasonIngressClassNotFound, "there is no IngressClass of the name that spec.ingress.className or the "+
			"operator's --default-ingress-class gives: see kubectl get ingressclasses")
	}
	if i := state.Children.Ingress; i != nil {
		for _, address := range i.Status.LoadBalancer.Ingress {
			if at := max(address.Hostname, address.IP); at != "" {
				return good(v1alpha1.ReasonAddressAssigned, "the Ingress has the address %s: the DNS record of %s must point there", at, bot.Spec.Domain)
			}
		}
	}
	if state.Class == observe.NoDefaultClass {
		return bad(v1alpha1.ReasonIngressClassNotFound, "the cluster has no default IngressClass: set spec.ingress.className (see "+
			"kubectl get ingressclasses), or install an ingress controller")
	}
	return bad(v1alpha1.ReasonAddressPending, "the ingress controller has not given the Ingress an address yet")
}

// routed asks every parent of the spec: one that never answers may not exist.
func routed(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	if !state.GatewayAPI {
		return bad(v1alpha1.ReasonGatewayAPIMissing, "the cluster has no Gateway API (HTTPRoute, v1): install it and a controller, "+
			"or use spec.ingress")
	}
	route := state.Children.HTTPRoute
	for _, parent := range bot.Spec.Gateway.ParentRefs {
		status := parentStatus(route, parent, bot.Namespace)
		if status == nil {
			return bad(v1alpha1.ReasonRouteNotAccepted, "%s has not answered: check spec.gateway.parentRefs, and that its controller runs", parentName(parent))
		}
		for _, condition := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
			c := meta.FindStatusCondition(status.Conditions, string(condition))
			if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration < route.Generation {
				return bad(v1alpha1.ReasonRouteNotAccepted, "%s", refusal(parent, string(condition), c))
			}
		}
	}
	return good(v1alpha1.ReasonRouteAccepted, "every parent accepted the HTTPRoute %s", bot.Name)
}

func refusal(parent v1alpha1.ParentRef, condition string, c *metav1.Condition) string {
	if c == nil || c.Status == metav1.ConditionTrue {
		return parentName(parent) + " has not yet said whether the HTTPRoute is " + condition
	}
	return fmt.Sprintf("%s: %s: %s", parentName(parent), c.Reason, c.Message)
}

func parentName(parent v1alpha1.ParentRef) string {
	name := "Gateway "
	if parent.Kind != "" {
		name = string(parent.Kind) + " "
	}
	if parent.Namespace != "" {
		name += parent.Namespace + "/"
	}
	return name + parent.Name
}

func parentStatus(route *gatewayv1.HTTPRoute, parent v1alpha1.ParentRef, namespace string) *gatewayv1.RouteParentStatus {
	if route == nil {
		return nil
	}
	for i := range route.Status.Parents {
		ref := &route.Status.Parents[i].ParentRef
		if string(ref.Name) == parent.Name && value(ref.Namespace, namespace) == value(&parent.Namespace, namespace) &&
			value(ref.Kind, "Gateway") == value(&parent.Kind, "Gateway") &&
			value(ref.SectionName, "") == parent.SectionName && (ref.Port == nil && parent.Port == 0 || ref.Port != nil && *ref.Port == parent.Port) {
			return &route.Status.Parents[i]
		}
	}
	return nil
}

func value[T ~string](p *T, otherwise string) string {
	if p == nil || *p == "" {
		return otherwise
	}
	return string(*p)
}

// certificateReady applies where the operator knows the certificate's Secret. A certificate is not to blame for a
// domain that another bot has.
func certificateReady(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	c := &state.Certificate
	switch {
	case c.Secret == "":
		return nil
	case c.Leaf == nil:
		return bad(v1alpha1.ReasonCertificatePending, "Secret %q (kubernetes.io/tls) with the certificate of %s is not there: "+
			"wait for the issuer, set spec.ingress.tls.issuerRef, or create it (kubectl create secret tls)", c.Secret, bot.Spec.Domain)
	case c.Leaf.VerifyHostname(bot.Spec.Domain) != nil:
		return bad(v1alpha1.ReasonCertificateMismatch, "the certificate in Secret %q does not cover %s: replace it, or correct "+
			"spec.ingress.tls.secretName", c.Secret, bot.Spec.Domain)
	case state.Now.After(c.Leaf.NotAfter):
		return bad(v1alpha1.ReasonCertificateExpired, "the certificate in Secret %q expired on %s: renew it", c.Secret, day(c.Leaf.NotAfter))
	case state.Now.Before(c.Leaf.NotBefore):
		return bad(v1alpha1.ReasonCertificatePending, "the certificate in Secret %q is not valid before %s", c.Secret, c.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return good(v1alpha1.ReasonCertificateValid, "the certificate in Secret %q covers %s until %s", c.Secret, bot.Spec.Domain, day(c.Leaf.NotAfter))
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
