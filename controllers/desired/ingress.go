package desired

import (
	"maps"

	networking "k8s.io/api/networking/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// HasIngress tells whether the operator makes the bot's Ingress.
func HasIngress(bot *v1alpha1.WechatBot) bool {
	ingress := bot.Spec.Ingress
	return bot.Spec.Gateway == nil && (ingress == nil || ingress.Enabled == nil || *ingress.Enabled)
}

// Ingress leads the domain to the Service, with TLS. It has no annotation that only one controller understands.
func Ingress(bot *v1alpha1.WechatBot, operator Operator, around Surroundings) *networkingv1.IngressApplyConfiguration {
	rule := networkingv1.HTTPIngressRuleValue()
	lead := func(path string, how networking.PathType) {
		rule.WithPaths(networkingv1.HTTPIngressPath().
			WithPath(path).WithPathType(how).
			WithBackend(networkingv1.IngressBackend().WithService(networkingv1.IngressServiceBackend().
				WithName(bot.Name).WithPort(networkingv1.ServiceBackendPort().WithNumber(servicePort)))))
	}
	for _, path := range paths(bot) {
		lead(path, networking.PathTypeExact)
	}
	if path := PagePath(bot); path != "" {
		lead(path, networking.PathTypePrefix)
	}
	tls := networkingv1.IngressTLS().WithHosts(bot.Spec.Domain)
	if secret := CertificateSecret(bot); secret != "" {
		tls.WithSecretName(secret)
	}
	spec := networkingv1.IngressSpec().
		WithTLS(tls).
		WithRules(networkingv1.IngressRule().WithHost(bot.Spec.Domain).WithHTTP(rule))
	if class := IngressClass(bot, operator, around); class != "" {
		spec.WithIngressClassName(class)
	}
	ingress := networkingv1.Ingress(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithSpec(spec)
	if annotations := annotations(bot, operator, around); len(annotations) > 0 {
		ingress.WithAnnotations(annotations)
	}
	return ingress
}

func annotations(bot *v1alpha1.WechatBot, operator Operator, around Surroundings) map[string]string {
	all := map[string]string{}
	if bot.Spec.Ingress != nil {
		maps.Copy(all, bot.Spec.Ingress.Annotations)
	}
	issuer := CertificateIssuer(bot, operator, around.ForeignCertificate)
	if issuer == nil || issuer.Field == fieldAnnotations {
		return all
	}
	delete(all, annotationIssuer)
	delete(all, annotationClusterIssuer)
	if issuer.Kind == v1alpha1.ClusterIssuer {
		all[annotationClusterIssuer] = issuer.Name
	} else {
		all[annotationIssuer] = issuer.Name
	}
	return all
}

// annotationIngressClass is how a class was named before spec.ingressClassName. The API server takes no new Ingress
// with both.
const annotationIngressClass = "kubernetes.io/ingress.class"

// NamedIngressClass is the class that the bot or the operator's flag names for the bot's Ingress, and where; empty if
// neither does.
func NamedIngressClass(bot *v1alpha1.WechatBot, operator Operator) (name, field string) {
	if bot.Spec.Ingress != nil && bot.Spec.Ingress.ClassName != "" {
		return bot.Spec.Ingress.ClassName, "spec.ingress.className"
	}
	if operator.IngressClass == "" || HasClassAnnotation(bot) {
		return "", ""
	}
	return operator.IngressClass, "the operator's --default-ingress-class"
}

// HasClassAnnotation tells whether the bot names the class by the annotation of before. No default applies then.
func HasClassAnnotation(bot *v1alpha1.WechatBot) bool {
	return bot.Spec.Ingress != nil && bot.Spec.Ingress.Annotations[annotationIngressClass] != ""
}

// IngressClass is the class of a bot's Ingress. The cluster's default is written out: the API server gives it to a new
// Ingress only, so that one whose class is taken away would be left without. While no default is known, the Ingress
// keeps the class that it has: followers would be cut off.
func IngressClass(bot *v1alpha1.WechatBot, operator Operator, around Surroundings) string {
	class, _ := NamedIngressClass(bot, operator)
	if class == "" && !HasClassAnnotation(bot) {
		set(&class, around.LiveClass)
		set(&class, around.DefaultClass)
	}
	return class
}
