package desired

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// DefaultRedisImage is the image of a managed Redis where neither the bot nor the operator's flag names one.
const DefaultRedisImage = "docker.io/library/redis:7.4-alpine"

const (
	portRedis      = "redis"
	redisPort      = 6379
	redisFile      = "redis.conf"
	redisDir       = "/etc/redis"
	redisSecretDir = "/etc/redis-secret"
	redisDataDir   = "/data"
	// redisUser is the user and group of that name in the official image; any other image's files are readable by it too.
	redisUser = 999
	// prober is the Redis user that the probes are: it may ping and nothing else, so that it needs no password.
	prober = "probe"
)

// managedRedis adds the Redis of the bot's own.
func (c *Children) managedRedis(bot *v1alpha1.WechatBot, operator Operator, around Surroundings) error {
	spec := bot.Spec.Session.Redis.Managed
	storage := redisStorage(spec)
	if storage.Cmp(around.Volume) < 0 {
		return &InvalidError{v1alpha1.ReasonInvalidSpec, fmt.Sprintf("spec.session.redis.managed.storage: %s is less than the volume "+
			"(PersistentVolumeClaim %s) has, and no volume can shrink: set it to %s or more", storage.String(), naming.RedisClaim(bot), around.Volume.String())}
	}
	conf := redisConf(spec)
	redis, err := redisStatefulSet(bot, operator, around, conf)
	if err != nil {
		return err
	}
	c.Password = redisSecret(bot)
	c.RedisConfig = redisConfig(bot, conf)
	c.RedisService = redisService(bot)
	c.RedisPolicy = redisPolicy(bot)
	c.Redis = redis
	c.RedisVolume = storage
	if err := schedule(c.Redis.Spec.Template.Spec, spec); err != nil {
		return err
	}
	hash, err := templateHash(c.Redis.Spec.Template)
	if err != nil {
		return err
	}
	c.Redis.WithAnnotations(map[string]string{AnnotationTemplate: hash})
	return nil
}

func redisStorage(spec *v1alpha1.ManagedRedis) resource.Quantity {
	if spec.Storage.IsZero() {
		return resource.MustParse("1Gi")
	}
	return spec.Storage
}

func redisAddress(bot *v1alpha1.WechatBot) string {
	return fmt.Sprintf("%s:%d", naming.ManagedRedis(bot), redisPort)
}
