package desired

import (
	"maps"

	networking "k8s.io/api/networking/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// cert-manager reads these of an Ingress; nothing of it needs to be installed for them to be set.
const (
	annotationIssuer        = "cert-manager.io/issuer"
	annotationClusterIssuer = "cert-manager.io/cluster-issuer"
)

// HasIngress tells whether the operator makes the bot's Ingress.
func HasIngress(bot *v1alpha1.WechatBot) bool {
	ingress := bot.Spec.Ingress
	return bot.Spec.Gateway == nil && (ingress == nil || ingress.Enabled == nil || *ingress.Enabled)
}

// Ingress leads the domain to the Service, with TLS. It has no annotation that only one controller understands.
func Ingress(bot *v1alpha1.WechatBot, operator Operator) *networkingv1.IngressApplyConfiguration {
	rule := networkingv1.HTTPIngressRuleValue()
	for _, path := range paths(bot) {
		rule.WithPaths(networkingv1.HTTPIngressPath().
			WithPath(path).WithPathType(networking.PathTypeExact).
			WithBackend(networkingv1.IngressBackend().WithService(networkingv1.IngressServiceBackend().
				WithName(bot.Name).WithPort(networkingv1.ServiceBackendPort().WithNumber(servicePort)))))
	}
	spec := networkingv1.IngressSpec().
		WithTLS(networkingv1.IngressTLS().WithHosts(bot.Spec.Domain).WithSecretName(CertificateSecret(bot))).
		WithRules(networkingv1.IngressRule().WithHost(bot.Spec.Domain).WithHTTP(rule))
	if class := IngressClass(bot, operator); class != "" {
		spec.WithIngressClassName(class)
	}
	ingress := networkingv1.Ingress(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithSpec(spec)
	if annotations := annotations(bot, operator); len(annotations) > 0 {
		ingress.WithAnnotations(annotations)
	}
	return ingress
}

func annotations(bot *v1alpha1.WechatBot, operator Operator) map[string]string {
	all := map[string]string{}
	issuer := operator.Issuer
	if bot.Spec.Ingress != nil {
		maps.Copy(all, bot.Spec.Ingress.Annotations)
		if bot.Spec.Ingress.TLS.IssuerRef != nil {
			issuer = bot.Spec.Ingress.TLS.IssuerRef
		}
	}
	switch {
	case issuer == nil:
	case issuer.Kind == v1alpha1.ClusterIssuer:
		all[annotationClusterIssuer] = issuer.Name
	default:
		all[annotationIssuer] = issuer.Name
	}
	return all
}

// IngressClass is the class of a bot's Ingress; empty leaves it to the cluster's default.
func IngressClass(bot *v1alpha1.WechatBot, operator Operator) string {
	class := operator.IngressClass
	if bot.Spec.Ingress != nil {
		set(&class, bot.Spec.Ingress.ClassName)
	}
	return class
}

// CertificateSecret is the Secret with the certificate of a bot's Ingress.
func CertificateSecret(bot *v1alpha1.WechatBot) string {
	secret := naming.Certificate(bot)
	if bot.Spec.Ingress != nil {
		set(&secret, bot.Spec.Ingress.TLS.SecretName)
	}
	return secret
}
