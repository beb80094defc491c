package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

func exposed(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	switch {
	case state.ConflictingBot != nil:
		return addressConflict(bot, state)
	case bot.Spec.Gateway != nil:
		return routed(bot, state)
	case !desired.HasIngress(bot):
		return good(v1alpha1.ReasonExternallyManaged, "spec.ingress.enabled is false: route %s to Service %s, port 80", desired.URL(bot), bot.Name)
	case state.Class == observe.ClassMissing:
		return bad(v1alpha1.ReasonIngressClassNotFound, "IngressClass %q (%s) does not exist; %s", state.Classes.Name, state.Classes.Field, otherClasses(state))
	case state.Class == observe.NoDefaultClass:
		return bad(v1alpha1.ReasonIngressClassNotFound, "the cluster has no default IngressClass: set spec.ingress.className; %s%s",
			otherClasses(state), keptClass(state))
	}
	if i := state.Children.Ingress; i != nil {
		if led := observe.Led(i); !slices.Contains(led, desired.URL(bot)) {
			return bad(v1alpha1.ReasonAddressPending, "the Ingress %s does not lead %s to the bot yet%s", i.Name, desired.URL(bot), still(led))
		}
		for _, address := range i.Status.LoadBalancer.Ingress {
			if at := max(address.Hostname, address.IP); at != "" {
				return good(v1alpha1.ReasonAddressAssigned, "the Ingress has the address %s: the DNS record of %s must point there", at, bot.Spec.Domain)
			}
		}
	}
	class := cmp.Or(state.Classes.Name, state.Classes.Default)
	switch {
	case class == "":
		return bad(v1alpha1.ReasonAddressPending, "the ingress controller has not given the Ingress an address yet")
	case state.Classes.Controller == "":
		return bad(v1alpha1.ReasonAddressPending, "the controller of IngressClass %q has not given the Ingress an address yet: does it run?", class)
	}
	return bad(v1alpha1.ReasonAddressPending, "the controller of IngressClass %q (%s) has not given the Ingress an address yet: does it run?",
		class, state.Classes.Controller)
}

// still says where followers reach the bot instead; the webhook's address is the first.
func still(led []string) string {
	if len(led) == 0 {
		return ""
	}
	return "; meanwhile it leads " + led[0]
}

// addressConflict names the other bot only to those who may see it.
func addressConflict(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	other := "a WechatBot of another namespace"
	if state.ConflictingBot.Namespace == bot.Namespace {
		other = fmt.Sprintf("WechatBot %q", state.ConflictingBot.Name)
	}
	if state.ConflictMoves {
		return bad(v1alpha1.ReasonDomainConflict, "%s moves away from %s, but its Ingress or HTTPRoute still leads there: its conditions say what keeps it",
			other, desired.URL(bot))
	}
	return bad(v1alpha1.ReasonDomainConflict, "%s has %s and keeps it: change spec.domain or spec.path", other, desired.URL(bot))
}

func otherClasses(state *observe.State) string {
	const most = 5
	names := state.Classes.Others
	switch {
	case len(names) == 0:
		return "there are none: install an ingress controller"
	case len(names) > most:
		return fmt.Sprintf("there are: %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return "there are: " + strings.Join(names, ", ")
}

// keptClass says which class the Ingress has where none is asked for and none is the default.
func keptClass(state *observe.State) string {
	i := state.Children.Ingress
	if i == nil || i.Spec.IngressClassName == nil {
		return ""
	}
	return fmt.Sprintf("; meanwhile the Ingress keeps class %q", *i.Spec.IngressClassName)
}

// routed asks every parent of the spec: one that never answers may not exist.
func routed(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	if state.GatewayProblem != nil {
		return bad(v1alpha1.ReasonGatewayAPIMissing, "the operator cannot list HTTPRoutes (%s): give it the rights that its role has, or use spec.ingress",
			stable(state.GatewayProblem))
	}
	if !state.GatewayAPI {
		return bad(v1alpha1.ReasonGatewayAPIMissing, "the cluster has no Gateway API (HTTPRoute, v1): install it and a controller, "+
			"or use spec.ingress")
	}
	route := state.Children.HTTPRoute
	if route != nil {
		if led := observe.Led(route); !slices.Contains(led, desired.URL(bot)) {
			return bad(v1alpha1.ReasonRouteNotAccepted, "the HTTPRoute %s does not lead %s to the bot yet%s", route.Name, desired.URL(bot), still(led))
		}
	}
	for _, parent := range bot.Spec.Gateway.ParentRefs {
		status := parentStatus(route, parent, bot.Namespace)
		if status == nil {
			return bad(v1alpha1.ReasonRouteNotAccepted, "%s has not answered: check spec.gateway.parentRefs, and that its controller runs", parentName(parent))
		}
		for _, condition := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
			c := meta.FindStatusCondition(status.Conditions, string(condition))
			if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration < route.Generation {
				return bad(v1alpha1.ReasonRouteNotAccepted, "%s", refusal(bot, parent, string(condition), c))
			}
		}
	}
	if state.TLSListener == observe.ListenerMissing {
		return bad(v1alpha1.ReasonNoTLSListener, "no listener of %s that serves %s speaks TLS, so that %s is not answered: add one of protocol HTTPS "+
			"with a certificate for the domain, or name it in spec.gateway.parentRefs", parentNames(bot), bot.Spec.Domain, desired.URL(bot))
	}
	return good(v1alpha1.ReasonRouteAccepted, "every parent accepted the HTTPRoute %s", bot.Name)
}

// refusal is what a parent says against the route; many controllers leave the message empty.
func refusal(bot *v1alpha1.WechatBot, parent v1alpha1.ParentRef, condition string, c *metav1.Condition) string {
	if c == nil || c.Status == metav1.ConditionTrue {
		return parentName(parent) + " has not yet said whether the HTTPRoute is " + condition
	}
	what := "it does not say more"
	switch gatewayv1.RouteConditionReason(c.Reason) {
	case gatewayv1.RouteReasonNoMatchingListenerHostname:
		what = "no listener's hostname fits " + bot.Spec.Domain
	case gatewayv1.RouteReasonNotAllowedByListeners:
		what = "its listeners (allowedRoutes) allow no routes from namespace " + bot.Namespace
	case gatewayv1.RouteReasonNoMatchingParent:
		what = "it has no listener as spec.gateway.parentRefs names it"
	default:
	}
	return fmt.Sprintf("%s: %s: %s", parentName(parent), c.Reason, cmp.Or(c.Message, what))
}

func parentNames(bot *v1alpha1.WechatBot) string {
	var names []string
	for _, parent := range bot.Spec.Gateway.ParentRefs {
		names = append(names, parentName(parent))
	}
	return strings.Join(names, ", ")
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
