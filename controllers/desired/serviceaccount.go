package desired

import (
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// ServiceAccount is what the server's pods run as. Only pods that write the ConfigMap store get its token.
func ServiceAccount(bot *v1alpha1.WechatBot) *corev1.ServiceAccountApplyConfiguration {
	return corev1.ServiceAccount(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithAutomountServiceAccountToken(false)
}
