package desired

import (
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// SecretRef is one key of a Secret of the bot's namespace that the webhook server needs.
type SecretRef struct {
	v1alpha1.SecretKeyRef

	// Field of the spec that names it.
	Field string
	// File is the name that the server reads it by.
	File string
}

// The server's names of the secret files (docs/server.md).
const (
	FileToken          = "token"
	FileDifyAPIKey     = "dify-api-key"
	FileEncodingAESKey = "encoding-aes-key"
	FileRedisUsername  = "redis-username"
	FileRedisPassword  = "redis-password"
	FileRedisCA        = "redis-ca.crt"
)

// SecretRefs are the Secret keys that a bot refers to, in the spec's order.
func SecretRefs(bot *v1alpha1.WechatBot) []SecretRef {
	refs := []SecretRef{
		{bot.Spec.TokenSecretRef, "tokenSecretRef", FileToken},
		{bot.Spec.Dify.APIKeySecretRef, "dify.apiKeySecretRef", FileDifyAPIKey},
	}
	optional := func(ref *v1alpha1.SecretKeyRef, field, file string) {
		if ref != nil {
			refs = append(refs, SecretRef{*ref, field, file})
		}
	}
	optional(bot.Spec.WeChat.EncodingAESKeySecretRef, "wechat.encodingAESKeySecretRef", FileEncodingAESKey)
	if redis := bot.Spec.Session.Redis; bot.Spec.Session.Type == v1alpha1.SessionRedis && redis != nil && redis.External != nil {
		optional(redis.External.UsernameSecretRef, "session.redis.external.usernameSecretRef", FileRedisUsername)
		optional(redis.External.PasswordSecretRef, "session.redis.external.passwordSecretRef", FileRedisPassword)
		optional(redis.External.TLS.CASecretRef, "session.redis.external.tls.caSecretRef", FileRedisCA)
	}
	return refs
}

// secretFiles brings exactly the referenced keys into the pod, under the names that the server reads them by. The
// kubelet replaces the files when a Secret changes.
func secretFiles(bot *v1alpha1.WechatBot) *corev1.ProjectedVolumeSourceApplyConfiguration {
	v := corev1.ProjectedVolumeSource().WithDefaultMode(0o444)
	for _, ref := range SecretRefs(bot) {
		v.WithSources(corev1.VolumeProjection().WithSecret(corev1.SecretProjection().
			WithName(ref.Name).
			WithItems(corev1.KeyToPath().WithKey(ref.Key).WithPath(ref.File))))
	}
	return v
}
