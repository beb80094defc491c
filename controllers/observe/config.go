package observe

import (
	"context"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// configs finds the ConfigMap with the servers' configuration, and those of before that no ReplicaSet uses any more.
func (o *Observer) configs(ctx context.Context, r childReader, bot *v1alpha1.WechatBot, c *Children) error {
	config := desired.Config(bot)
	current := naming.Config(bot, config.StartHash())
	if err := get(ctx, r, bot, current, &c.Config); err != nil {
		return err
	}
	var all corev1.ConfigMapList
	err := o.Cache.List(ctx, &all, client.InNamespace(bot.Namespace), owned(bot, naming.Server), client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err != nil {
		return fmt.Errorf("listing the configurations: %w", err)
	}
	var old []*corev1.ConfigMap
	for i := range all.Items {
		if all.Items[i].Name != current {
			old = append(old, &all.Items[i])
		}
	}
	if len(old) == 0 || c.Deployment == nil || !RolledOut(c.Deployment) {
		return nil // servers may still be started with one of before
	}
	used, err := o.replicaSets.of(ctx, o.Live, c.Deployment)
	if err != nil {
		return err
	}
	for _, one := range old {
		if !used[one.Name] {
			c.UnusedConfigs = append(c.UnusedConfigs, one)
		}
	}
	return nil
}

// usedConfigs remembers which ConfigMaps the ReplicaSets of Deployments mount. These change with their Deployment only.
type usedConfigs struct {
	mu    sync.Mutex
	known map[types.NamespacedName]usedBy
}

type usedBy struct {
	version string // of the Deployment
	configs map[string]bool
}

// of reads the ReplicaSets live: no more than this is wanted of them, and they are many.
func (u *usedConfigs) of(ctx context.Context, live client.Reader, d *appsv1.Deployment) (map[string]bool, error) {
	name := client.ObjectKeyFromObject(d)
	u.mu.Lock()
	known, ok := u.known[name]
	u.mu.Unlock()
	if ok && known.version == d.ResourceVersion {
		return known.configs, nil
	}
	var sets appsv1.ReplicaSetList
	if err := live.List(ctx, &sets, client.InNamespace(d.Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels)); err != nil {
		return nil, fmt.Errorf("listing the ReplicaSets: %w", err)
	}
	configs := map[string]bool{}
	mounted(configs, &d.Spec.Template)
	for i := range sets.Items {
		mounted(configs, &sets.Items[i].Spec.Template)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.known == nil {
		u.known = map[types.NamespacedName]usedBy{}
	}
	u.known[name] = usedBy{d.ResourceVersion, configs}
	return configs, nil
}

func mounted(configs map[string]bool, template *corev1.PodTemplateSpec) {
	for _, volume := range template.Spec.Volumes {
		if volume.ConfigMap != nil {
			configs[volume.ConfigMap.Name] = true
		}
	}
}

// forget drops what is known of a Deployment that is gone.
func (u *usedConfigs) forget(name types.NamespacedName) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.known, name)
}
