package desired_test

import (
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

func managed(b *v1alpha1.WechatBot) {
	b.Spec.Session = v1alpha1.Session{Type: v1alpha1.SessionRedis, Redis: &v1alpha1.Redis{Managed: &v1alpha1.ManagedRedis{}}}
}

func external(b *v1alpha1.WechatBot) {
	b.Spec.Session = v1alpha1.Session{Type: v1alpha1.SessionRedis, Redis: &v1alpha1.Redis{
		External: &v1alpha1.ExternalRedis{Addresses: []v1alpha1.RedisAddress{"redis:6379"}},
	}}
}

// No server loses its store.
func TestStoresAreSwitchedInASafeOrder(t *testing.T) {
	configMaps := func(*v1alpha1.WechatBot) {}
	const before, wanted, another = "before", "wanted", "another" // whose template the Deployment has
	for name, c := range map[string]struct {
		to       func(*v1alpha1.WechatBot)
		around   desired.Surroundings
		template string
		retained desired.RetainedStores
	}{
		"a new bot":                    {configMaps, desired.Surroundings{}, "", desired.RetainedStores{}},
		"a new bot with Redis":         {managed, desired.Surroundings{}, "", desired.RetainedStores{}},
		"ConfigMaps, at rest":          {configMaps, around(complete, configMapsThere), wanted, desired.RetainedStores{}},
		"ConfigMaps, another rollout":  {configMaps, around(complete, configMapsThere), before, desired.RetainedStores{}},
		"from ConfigMaps":              {managed, around(complete, configMapsThere), before, desired.RetainedStores{ConfigMaps: true}},
		"from ConfigMaps, going on":    {managed, around(configMapsThere, redisThere), wanted, desired.RetainedStores{ConfigMaps: true}},
		"from ConfigMaps, done":        {managed, around(complete, configMapsThere, redisThere), wanted, desired.RetainedStores{}},
		"to ConfigMaps":                {configMaps, around(complete, redisThere), before, desired.RetainedStores{Redis: true}},
		"to ConfigMaps, going on":      {configMaps, around(configMapsThere, redisThere), wanted, desired.RetainedStores{Redis: true}},
		"to ConfigMaps, done":          {configMaps, around(complete, configMapsThere, redisThere), wanted, desired.RetainedStores{}},
		"to ConfigMaps, changed again": {configMaps, around(configMapsThere, redisThere), another, desired.RetainedStores{Redis: true}},
		"done and changed at once":     {configMaps, around(complete, configMapsThere), another, desired.RetainedStores{}},
		"back to ConfigMaps":           {configMaps, around(configMapsThere, redisThere), before, desired.RetainedStores{Redis: true}},
		"from managed to external":     {external, around(complete, redisThere), before, desired.RetainedStores{Redis: true}},
		"and done":                     {external, around(complete, redisThere), wanted, desired.RetainedStores{}},
		"from external to managed":     {managed, around(complete), before, desired.RetainedStores{}},
	} {
		t.Run(name, func(t *testing.T) {
			bot := sample(t, "minimal")
			c.to(bot)
			config := desired.Config(bot)
			c.around.Rollout.Config = c.template
			if c.template == wanted {
				c.around.Rollout.Config = config.StartHash()
			}
			children, err := desired.All(bot, operator, c.around)
			if err != nil {
				t.Fatal(err)
			}
			if children.RetainedStores != c.retained {
				t.Errorf("left alone are %+v, want %+v", children.RetainedStores, c.retained)
			}
			if (children.Sessions[0] != nil) != (bot.Spec.Session.Store() == v1alpha1.StoreConfigMap) ||
				(children.Redis != nil) != (bot.Spec.Session.Store() == v1alpha1.StoreManagedRedis) {
				t.Error("the wanted store is not wanted, or another is")
			}
		})
	}
}

func around(all ...func(*desired.Surroundings)) desired.Surroundings {
	var s desired.Surroundings
	for _, one := range all {
		one(&s)
	}
	return s
}

func complete(s *desired.Surroundings)        { s.Rollout.Complete = true }
func configMapsThere(s *desired.Surroundings) { s.ConfigMaps = true }
func redisThere(s *desired.Surroundings)      { s.Redis = true }

func TestAVolumeIsAsItWasMade(t *testing.T) {
	bot := sample(t, "minimal")
	managed(bot)
	bot.Spec.Session.Redis.Managed.Storage = resource.MustParse("3Gi")
	made := &core.PersistentVolumeClaim{
		ObjectMeta: meta.ObjectMeta{Name: "data", Annotations: map[string]string{"backup.example.com/volume": "daily"}},
		Spec: core.PersistentVolumeClaimSpec{
			StorageClassName: new("fast"), VolumeAttributesClassName: new("gold"),
			Resources: core.VolumeResourceRequirements{Requests: core.ResourceList{core.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	children, err := desired.All(bot, operator, desired.Surroundings{Redis: true, Claim: made, Volume: resource.MustParse("2Gi")})
	if err != nil {
		t.Fatal(err)
	}
	if got := children.Redis.Spec.VolumeClaimTemplates[0]; got.Annotations["backup.example.com/volume"] != "daily" || *got.Spec.VolumeAttributesClassName != "gold" {
		t.Errorf("what somebody has added to the claim is lost: %+v", got)
	}
	claim := children.Redis.Spec.VolumeClaimTemplates[0].Spec
	if got := claim.Resources.Requests.Storage().String(); got != "1Gi" || *claim.StorageClassName != "fast" || children.RedisVolume.String() != "3Gi" {
		t.Errorf("the StatefulSet claims %s of %s, the volume is to have %s", got, *claim.StorageClassName, children.RedisVolume.String())
	}
	_, err = desired.All(bot, operator, desired.Surroundings{Volume: resource.MustParse("4Gi")})
	if err == nil || !strings.Contains(err.Error(), "set it to 4Gi or more") {
		t.Errorf("a volume that would shrink gives %v", err)
	}
}

// A volume stays when its bot goes. A tool that tracks by the instance's label would take it for its own.
func TestRetainedVolume_LooksLikeNobodyElses(t *testing.T) {
	bot := sample(t, "minimal")
	managed(bot)
	children, err := desired.All(bot, operator, desired.Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	labels := children.Redis.Spec.VolumeClaimTemplates[0].Labels
	if labels["app.kubernetes.io/instance"] != "" || labels["wechatbot.dev/bot"] != bot.Name || labels["app.kubernetes.io/managed-by"] == "" {
		t.Errorf("the volume of a managed Redis is labelled %v", labels)
	}
	made := map[string]string{"app.kubernetes.io/instance": bot.Name} // by release 0.1.0
	children, err = desired.All(bot, operator, desired.Surroundings{Redis: true, Claim: &core.PersistentVolumeClaim{ObjectMeta: meta.ObjectMeta{Labels: made}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := children.Redis.Spec.VolumeClaimTemplates[0].Labels; len(got) != 1 || got["app.kubernetes.io/instance"] == "" {
		t.Errorf("the claim of a StatefulSet that is there changes to %v, which the API server refuses", got)
	}
}

func TestTheImageOfRedis(t *testing.T) {
	bot := sample(t, "minimal")
	managed(bot)
	image := func(o desired.Operator) string {
		children, err := desired.All(bot, o, desired.Surroundings{})
		if err != nil {
			t.Fatal(err)
		}
		return *children.Redis.Spec.Template.Spec.Containers[0].Image
	}
	if got := image(desired.Operator{}); got != desired.DefaultRedisImage {
		t.Errorf("by default it is %s", got)
	}
	if got := image(desired.Operator{RedisImage: "mirror/redis"}); got != "mirror/redis" {
		t.Errorf("by the operator's flag it is %s", got)
	}
	bot.Spec.Session.Redis.Managed.Image = "own/redis"
	if got := image(desired.Operator{RedisImage: "mirror/redis"}); got != "own/redis" {
		t.Errorf("by the bot it is %s", got)
	}
}
