package desired

import (
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// redisService has an address that stays: the servers' connections fail at once while the pod is away, and no resolver
// remembers an old one.
func redisService(bot *v1alpha1.WechatBot) *corev1.ServiceApplyConfiguration {
	return corev1.Service(naming.ManagedRedis(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithOwnerReferences(owner(bot)).
		WithSpec(corev1.ServiceSpec().
			WithType(core.ServiceTypeClusterIP).
			WithSelector(naming.RedisSelector(bot)).
			WithPorts(corev1.ServicePort().
				WithName(portRedis).WithProtocol(core.ProtocolTCP).
				WithPort(redisPort).WithTargetPort(intstr.FromString(portRedis))))
}
