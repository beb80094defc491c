//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// onePodRolls: a bot with sessions in ConfigMaps, and so one pod, is rolled again and again while followers chat, also
// before the rollout before is over, and is given an image that is not there. No push is lost.
func (c *cluster) onePodRolls(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-rolling"))
	b.start(t)
	b.reachable(t)
	chat := b.chat(t, 8)
	chat.answered(t, 8)
	roll := func() {
		c.kubectl(t, "--namespace", b.namespace, "rollout", "restart", "deployment/"+b.name)
		c.kubectl(t, "--namespace", b.namespace, "rollout", "status", "deployment/"+b.name, "--timeout=60s")
	}
	const rolls = 5
	var longest time.Duration
	for range rolls {
		began, old := time.Now(), b.pods(t, "server")[0].Name
		roll()
		c.kubectl(t, "--namespace", b.namespace, "wait", "--for=delete", "pod/"+old, "--timeout=60s")
		longest = max(longest, time.Since(began))
		chat.more(t, 8)
	}
	for range rolls { // each new pod is ready while the ones before it still stop
		roll()
	}
	chat.more(t, 16)
	lives := b.lives(t)
	b.set(t, "localhost/wechatbot-operator:not-there", "image")
	applied := b.apply(t)
	await(t, readyWithin, "the bot says what is wrong with its image", func() (bool, string, error) {
		live, err := b.get(t.Context())
		if err != nil {
			return false, "", err
		}
		ready := meta.FindStatusCondition(live.Status.Conditions, v1alpha1.ConditionReady)
		return strings.Contains(ready.Message, "image") && strings.Contains(ready.Message, "1/1 replicas serve"), ready.Reason + ": " + ready.Message, nil
	})
	told := time.Since(applied)
	chat.more(t, 16)
	b.manifest.Object["spec"].(map[string]any)["image"] = c.image.String()
	b.apply(t)
	b.ready(t)
	if now := b.lives(t); now != lives {
		t.Errorf("the pod was not left alone while its successor could not start: %s, then %s", lives, now)
	}
	return fmt.Sprintf("%d rollouts, the longest %s, and as many on each other's heels; an image that is not there was told after %s, and the old pod served on; %s",
		rolls, seconds(longest), seconds(told), chat.finish(t))
}
