package desired

import (
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/applyconfiguration/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// HTTPRoute leads the domain to the Service where a Gateway is used; the certificate is the listener's.
func HTTPRoute(bot *v1alpha1.WechatBot) *gatewayv1.HTTPRouteApplyConfiguration {
	spec := gatewayv1.HTTPRouteSpec().WithHostnames(gateway.Hostname(bot.Spec.Domain))
	for _, parent := range bot.Spec.Gateway.ParentRefs {
		ref := gatewayv1.ParentReference().
			WithGroup(gateway.GroupName).WithKind(gateway.Kind(parentKind(parent))).WithName(gateway.ObjectName(parent.Name))
		if parent.Namespace != "" {
			ref.WithNamespace(gateway.Namespace(parent.Namespace))
		}
		if parent.SectionName != "" {
			ref.WithSectionName(gateway.SectionName(parent.SectionName))
		}
		if parent.Port != 0 {
			ref.WithPort(parent.Port)
		}
		spec.WithParentRefs(ref)
	}
	rule := gatewayv1.HTTPRouteRule().WithBackendRefs(gatewayv1.HTTPBackendRef().
		WithGroup("").WithKind("Service").WithName(gateway.ObjectName(bot.Name)).WithPort(servicePort))
	for _, path := range paths(bot) {
		rule.WithMatches(gatewayv1.HTTPRouteMatch().
			WithPath(gatewayv1.HTTPPathMatch().WithType(gateway.PathMatchExact).WithValue(path)))
	}
	if path := PagePath(bot); path != "" {
		rule.WithMatches(gatewayv1.HTTPRouteMatch().
			WithPath(gatewayv1.HTTPPathMatch().WithType(gateway.PathMatchPathPrefix).WithValue(path)))
	}
	return gatewayv1.HTTPRoute(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithSpec(spec.WithRules(rule))
}

func parentKind(parent v1alpha1.ParentRef) v1alpha1.ParentKind {
	if parent.Kind == "" {
		return v1alpha1.ParentGateway
	}
	return parent.Kind
}
