package desired

import (
	"fmt"

	corev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// redisConf is the configuration file of a managed Redis 6.2 or newer. A write is on the volume a second later; a Redis that is
// full refuses writes instead of forgetting followers; the password is in a file of its own.
func redisConf(spec *v1alpha1.ManagedRedis) string {
	conf := `bind * -::*
port 6379
protected-mode no
databases 1
dir ` + redisDataDir + `
save ""
appendonly yes
appendfsync everysec
auto-aof-rewrite-min-size 16mb
maxmemory-policy noeviction
`
	limits := redisResources().Limits
	if spec.Resources != nil {
		limits = spec.Resources.Limits
	}
	// What is left is for the process that rewrites the log, and for what Redis' allocator cannot use.
	if limit := limits.Memory().Value(); limit > 0 {
		conf += fmt.Sprintf("maxmemory %d\n", limit/4*3)
	}
	return conf + "user " + prober + " on nopass resetkeys resetchannels -@all +ping\n" +
		"include " + redisSecretDir + "/" + KeyRedisAuth + "\n"
}

func redisConfig(bot *v1alpha1.WechatBot, conf string) *corev1.ConfigMapApplyConfiguration {
	return corev1.ConfigMap(naming.ManagedRedis(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithOwnerReferences(owner(bot)).
		WithData(map[string]string{redisFile: conf})
}
