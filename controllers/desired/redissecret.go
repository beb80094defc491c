package desired

import (
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// Keys of the Secret of a managed Redis: the password as the webhook servers read it, and as redis.conf includes it.
const (
	KeyRedisPassword = "password"
	KeyRedisAuth     = "auth.conf"
)

func password(bot *v1alpha1.WechatBot) *v1alpha1.SecretKeyRef {
	return &v1alpha1.SecretKeyRef{Name: naming.ManagedRedis(bot), Key: KeyRedisPassword}
}

func redisSecret(bot *v1alpha1.WechatBot) *corev1.SecretApplyConfiguration {
	return corev1.Secret(naming.ManagedRedis(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithOwnerReferences(owner(bot))
}
