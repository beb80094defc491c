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
	// Generated: the operator makes the Secret.
	Generated bool
}

// The server's names of the secret files (docs/server.md).
const (
	FileToken          = "token"
	FileDifyAPIKey     = "dify-api-key"
	FileDifyCA         = "dify-ca.crt"
	FileEncodingAESKey = "encoding-aes-key"
	FileAppSecret      = "app-secret"
	FileTracingHeaders = "tracing-headers"
	FileRedisUsername  = "redis-username"
	FileRedisPassword  = "redis-password"
	FileRedisCA        = "redis-ca.crt"

	FileRedisSentinelUsername = "redis-sentinel-username"
	FileRedisSentinelPassword = "redis-sentinel-password"
)

// SecretRefs are the Secret keys that a bot refers to, in the spec's order.
func SecretRefs(bot *v1alpha1.WechatBot) []SecretRef {
	refs := []SecretRef{
		{bot.Spec.TokenSecretRef, "tokenSecretRef", FileToken, false},
		{bot.Spec.Dify.APIKeySecretRef, "dify.apiKeySecretRef", FileDifyAPIKey, false},
	}
	optional := func(ref *v1alpha1.SecretKeyRef, field, file string) {
		if ref != nil {
			refs = append(refs, SecretRef{*ref, field, file, false})
		}
	}
	optional(bot.Spec.Dify.CASecretRef, "dify.caSecretRef", FileDifyCA)
	optional(bot.Spec.WeChat.EncodingAESKeySecretRef, "wechat.encodingAESKeySecretRef", FileEncodingAESKey)
	optional(bot.Spec.WeChat.AppSecretRef, "wechat.appSecretRef", FileAppSecret)
	switch bot.Spec.Session.Store() {
	case v1alpha1.StoreConfigMap:
	case v1alpha1.StoreManagedRedis:
		refs = append(refs, SecretRef{*password(bot), "session.redis.managed", FileRedisPassword, true})
	case v1alpha1.StoreExternalRedis:
		redis := external(bot)
		optional(redis.UsernameSecretRef, "session.redis.external.usernameSecretRef", FileRedisUsername)
		optional(redis.PasswordSecretRef, "session.redis.external.passwordSecretRef", FileRedisPassword)
		optional(redis.SentinelUsernameSecretRef, "session.redis.external.sentinelUsernameSecretRef", FileRedisSentinelUsername)
		optional(redis.SentinelPasswordSecretRef, "session.redis.external.sentinelPasswordSecretRef", FileRedisSentinelPassword)
		optional(redis.TLS.CASecretRef, "session.redis.external.tls.caSecretRef", FileRedisCA)
	}
	if tracing := bot.Spec.Tracing; tracing != nil {
		optional(tracing.HeadersSecretRef, "tracing.headersSecretRef", FileTracingHeaders)
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
