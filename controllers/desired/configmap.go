package desired

import (
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// ConfigMap holds the server's configuration file. The kubelet brings a change of it into the running pods.
func ConfigMap(bot *v1alpha1.WechatBot, config serverconfig.Config, startHash string) *corev1.ConfigMapApplyConfiguration {
	return corev1.ConfigMap(naming.Config(bot, startHash), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithOwnerReferences(owner(bot)).
		WithData(map[string]string{configFile: string(serverconfig.Marshal(config))})
}

// Sessions are the ConfigMaps that the server keeps conversations in. Their content is the server's.
func Sessions(bot *v1alpha1.WechatBot) (s [serverconfig.SessionObjects]*corev1.ConfigMapApplyConfiguration) {
	labels := naming.Labels(bot, naming.Sessions)
	for i, name := range sessionStore(bot).Objects() {
		s[i] = corev1.ConfigMap(name, bot.Namespace).
			WithLabels(labels).
			WithOwnerReferences(owner(bot))
	}
	return s
}

func sessionStore(bot *v1alpha1.WechatBot) *serverconfig.ConfigMap {
	return &serverconfig.ConfigMap{Namespace: bot.Namespace, Name: naming.SessionStore(bot)}
}
