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

// redisPolicy lets the bot's servers in, and nothing out. (The kubelet runs the probes in the container.)
func redisPolicy(bot *v1alpha1.WechatBot) *networkingv1.NetworkPolicyApplyConfiguration {
	return networkingv1.NetworkPolicy(naming.ManagedRedis(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithOwnerReferences(owner(bot)).
		WithSpec(networkingv1.NetworkPolicySpec().
			WithPodSelector(metav1.LabelSelector().WithMatchLabels(naming.RedisSelector(bot))).
			WithPolicyTypes(networking.PolicyTypeIngress, networking.PolicyTypeEgress).
			WithIngress(networkingv1.NetworkPolicyIngressRule().
				WithFrom(networkingv1.NetworkPolicyPeer().
					WithPodSelector(metav1.LabelSelector().WithMatchLabels(naming.Selector(bot)))).
				WithPorts(networkingv1.NetworkPolicyPort().
					WithProtocol(core.ProtocolTCP).WithPort(intstr.FromString(portRedis)))))
}
