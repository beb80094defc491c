package desired

import (
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// servicePort is the port that the way in leads to.
const servicePort = 80

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
