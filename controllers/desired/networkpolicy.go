package desired

import (
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

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
