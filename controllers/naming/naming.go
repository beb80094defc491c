// Package naming says how the objects that make up a bot are called and labelled. Names and labels are an interface:
// people select by them, and the selector of a Deployment can never change.
package naming

import "github.com/wechatbot/wechatbot-operator/api/v1alpha1"

const (
	// FieldOwner is the operator's name in managedFields.
	FieldOwner = "wechatbot-operator"
	// ServerContainer is the webhook server's container, which podTemplate may change by this name.
	ServerContainer = "server"
	// RedisContainer is the container of a managed Redis.
	RedisContainer = "redis"

	// LabelName and the other labels are on every object that the operator makes.
	LabelName = "app.kubernetes.io/name"
	// LabelInstance has the bot's name.
	LabelInstance = "app.kubernetes.io/instance"
	// LabelComponent is Server, Sessions or Redis.
	LabelComponent = "app.kubernetes.io/component"
	// LabelManagedBy is ManagedBy.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// LabelPartOf is the same everywhere.
	LabelPartOf = "app.kubernetes.io/part-of"

	// LabelBot has the bot's name on what outlives the bot. LabelInstance must not be there: GitOps tools take what has it, and no
	// owner, for theirs, and prune it.
	LabelBot = "wechatbot.dev/bot"

	// ManagedBy is the value of LabelManagedBy: the operator's caches hold what has it, and nothing else.
	ManagedBy = "wechatbot-operator"
	// Server is the LabelComponent of what serves.
	Server = "server"
	// Sessions is the LabelComponent of what keeps conversations.
	Sessions = "sessions"
	// Redis is the LabelComponent of a managed Redis.
	Redis = "redis"

	name = "wechatbot"
)

// Labels are those of an object of a bot's component.
func Labels(bot *v1alpha1.WechatBot, component string) map[string]string {
	return map[string]string{
		LabelName: name, LabelInstance: bot.Name, LabelComponent: component,
		LabelManagedBy: ManagedBy, LabelPartOf: name,
	}
}

// RetainedLabels are those of an object that outlives the bot.
func RetainedLabels(bot *v1alpha1.WechatBot, component string) map[string]string {
	labels := Labels(bot, component)
	delete(labels, LabelInstance)
	labels[LabelBot] = bot.Name
	return labels
}

// BotOf is the name of the bot that an object with these labels belongs to.
func BotOf(labels map[string]string) string {
	if name := labels[LabelBot]; name != "" {
		return name
	}
	return labels[LabelInstance]
}

// Selector selects the pods of a bot's webhook server. It never changes.
func Selector(bot *v1alpha1.WechatBot) map[string]string {
	return map[string]string{LabelName: name, LabelInstance: bot.Name, LabelComponent: Server}
}

// Config is the name of the ConfigMap with the server's configuration file, by the hash of what a server takes at its
// start only: servers that are being replaced keep the one that they were started with. All objects without a name of
// their own are called as the bot.
func Config(bot *v1alpha1.WechatBot, startHash string) string {
	return bot.Name + "-config-" + startHash[:min(len(startHash), 10)]
}

// SessionStore is the name of the ConfigMap that holds conversations, and of the Role and RoleBinding that let the
// server write it.
func SessionStore(bot *v1alpha1.WechatBot) string { return bot.Name + "-sessions" }

// RedisSelector selects the pod of a bot's managed Redis. It never changes.
func RedisSelector(bot *v1alpha1.WechatBot) map[string]string {
	return map[string]string{LabelName: name, LabelInstance: bot.Name, LabelComponent: Redis}
}

// ManagedRedis is the name of everything of a managed Redis but its volume.
func ManagedRedis(bot *v1alpha1.WechatBot) string { return bot.Name + "-redis" }

// RedisVolume is the name of the volume in the StatefulSet of a managed Redis.
const RedisVolume = "data"

// RedisClaim is the name of the PersistentVolumeClaim of a managed Redis: the StatefulSet's controller makes it.
func RedisClaim(bot *v1alpha1.WechatBot) string { return RedisVolume + "-" + ManagedRedis(bot) + "-0" }

// Certificate is the name of the Secret with the domain's certificate, if the spec does not say.
func Certificate(bot *v1alpha1.WechatBot) string { return bot.Name + "-tls" }
