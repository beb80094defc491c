package desired

import (
	"maps"
	"slices"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"
	policyv1 "k8s.io/client-go/applyconfigurations/policy/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/applyconfiguration/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

const (
	servicePort = 80
	// cert-manager reads these of an Ingress; nothing of it needs to be installed for them to be set.
	annotationIssuer        = "cert-manager.io/issuer"
	annotationClusterIssuer = "cert-manager.io/cluster-issuer"
)

// Service is what the way in leads to. The admin port is not on it: metrics are scraped from the pods.
func Service(bot *v1alpha1.WechatBot) *corev1.ServiceApplyConfiguration {
	return corev1.Service(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithSpec(corev1.ServiceSpec().
			WithType(core.ServiceTypeClusterIP).
			WithSelector(naming.Selector(bot)).
			WithPorts(corev1.ServicePort().
				WithName("http").WithProtocol(core.ProtocolTCP).
				WithPort(servicePort).WithTargetPort(intstr.FromString(portWebhook))))
}

// HasIngress tells whether the operator makes the bot's Ingress.
func HasIngress(bot *v1alpha1.WechatBot) bool {
	ingress := bot.Spec.Ingress
	return bot.Spec.Gateway == nil && (ingress == nil || ingress.Enabled == nil || *ingress.Enabled)
}

// URL is the address to paste into WeChat's console.
func URL(bot *v1alpha1.WechatBot) string { return "https://" + bot.Spec.Domain + webhookPath(bot) }

func webhookPath(bot *v1alpha1.WechatBot) string {
	path := serverconfig.Default().Path
	set(&path, bot.Spec.Path)
	return path
}

// paths are what the server answers at the domain: the webhook, and the files at the root that WeChat looks for.
func paths(bot *v1alpha1.WechatBot) []string {
	all := []string{webhookPath(bot)}
	for _, file := range slices.Sorted(maps.Keys(bot.Spec.WeChat.VerificationFiles)) {
		all = append(all, "/"+file)
	}
	return all
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

// Route leads the domain to the Service where a Gateway is used; the certificate is the listener's.
func Route(bot *v1alpha1.WechatBot) *gatewayv1.HTTPRouteApplyConfiguration {
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

// Budget lets a drain of nodes take one replica at a time.
func Budget(bot *v1alpha1.WechatBot) *policyv1.PodDisruptionBudgetApplyConfiguration {
	return policyv1.PodDisruptionBudget(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithSpec(policyv1.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithSelector(metav1.LabelSelector().WithMatchLabels(naming.Selector(bot))))
}

// NetworkPolicy leaves two ways to the pods: to the webhook from anywhere, as an ingress controller may come from the
// nodes' own addresses, and to health and metrics from the cluster's pods. (The kubelet's probes are let through by
// the network plugins.) Answers need a way out to Dify, which may be anywhere.
func NetworkPolicy(bot *v1alpha1.WechatBot) *networkingv1.NetworkPolicyApplyConfiguration {
	port := func(name string) *networkingv1.NetworkPolicyPortApplyConfiguration {
		return networkingv1.NetworkPolicyPort().WithProtocol(core.ProtocolTCP).WithPort(intstr.FromString(name))
	}
	return networkingv1.NetworkPolicy(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithSpec(networkingv1.NetworkPolicySpec().
			WithPodSelector(metav1.LabelSelector().WithMatchLabels(naming.Selector(bot))).
			WithPolicyTypes(networking.PolicyTypeIngress).
			WithIngress(
				networkingv1.NetworkPolicyIngressRule().WithPorts(port(portWebhook)),
				networkingv1.NetworkPolicyIngressRule().WithPorts(port(portAdmin)).
					WithFrom(networkingv1.NetworkPolicyPeer().WithNamespaceSelector(metav1.LabelSelector()))))
}
