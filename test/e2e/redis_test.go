//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// redisBot has three replicas and a Redis that the operator made.
func (c *cluster) redisBot(t *testing.T, namespace string, deletePVC bool) *bot {
	t.Helper()
	b := c.chatty(t, namespace)
	b.set(t, int64(3), "replicas")
	b.set(t, map[string]any{
		"type":  "Redis",
		"redis": map[string]any{"managed": map[string]any{"storage": "128Mi", "deletePVC": deletePVC}},
	}, "session")
	b.set(t, true, "networkPolicy", "enabled")
	return b
}

// managedRedis: servers and Redis go away in the middle of turns, and the answers still come, none twice.
func (c *cluster) managedRedis(t *testing.T) string {
	b := c.redisBot(t, c.namespace(t, "e2e-redis"), false)
	took := b.start(t)
	b.reachable(t)
	chat := b.chat(t, 12)
	chat.answered(t, 20)

	chat.kill(t, b) // SIGKILL
	b.recovered(t, 3)
	chat.more(t, 20)
	polite := b.answering(t, chat) // SIGTERM, with its grace
	c.kubectl(t, "--namespace", b.namespace, "delete", "pod", polite.Name, "--wait=false")
	b.recovered(t, 3)
	chat.more(t, 20)

	redis := b.pods(t, "redis")
	if len(redis) != 1 {
		t.Fatalf("%d pods of Redis", len(redis))
	}
	from := time.Now()
	c.kubectl(t, "--namespace", b.namespace, "delete", "pod", redis[0].Name, "--wait=false")
	b.podReplaced(t, redis[0])
	chat.away = append(chat.away, window{from, time.Now()})
	b.ready(t)
	chat.more(t, 20)
	o := chat.finish(t)
	b.policies(t, 2)
	return fmt.Sprintf("Ready after %s; a pod killed, one deleted, Redis' pod deleted (%s away): %s", seconds(took),
		seconds(chat.away[0].to.Sub(chat.away[0].from)), o)
}

// redisAway: a Redis is away for a minute while followers ask through the Ingress. Each gets a line every time, and none
// the platform's fault.
func (c *cluster) redisAway(t *testing.T) string {
	b := c.redisBot(t, c.namespace(t, "e2e-redis-away"), true)
	b.start(t)
	b.reachable(t)
	chat := b.chat(t, 12)
	chat.answered(t, 20)
	scale := func(replicas string) {
		c.kubectl(t, "--namespace", b.namespace, "scale", "statefulset/"+b.name+"-redis", "--replicas="+replicas)
	}
	// The operator would bring it back.
	b.set(t, true, "suspend")
	b.apply(t)
	await(t, readyWithin, "the operator leaves the bot alone", func() (bool, string, error) {
		live, err := b.get(t.Context())
		if err != nil {
			return false, "", err
		}
		return live.Status.ObservedGeneration == live.Generation, strconv.FormatInt(live.Status.ObservedGeneration, 10), nil
	})
	from := time.Now()
	scale("0")
	before := chat.platform.Stats().Answered
	await(t, 2*time.Minute, "a minute without Redis is over", func() (bool, string, error) {
		return time.Since(from) >= time.Minute, "", nil
	})
	told := chat.platform.Stats().Answered - before
	scale("1")
	b.set(t, false, "suspend")
	b.apply(t)
	b.ready(t)
	chat.away = append(chat.away, window{from, time.Now()})
	chat.more(t, 20)
	o := chat.finish(t)
	if o.toasts > 0 {
		t.Errorf("%d fault toasts", o.toasts)
	}
	if told == 0 {
		t.Error("nobody was told anything while Redis was away")
	}
	return fmt.Sprintf("Redis %s away, %d replies meanwhile: %s", seconds(chat.away[0].to.Sub(from)), told, o)
}

// answering gives a pod that Dify is answering a question of the chat to at this moment.
func (b *bot) answering(t *testing.T, chat *chat) core.Pod {
	t.Helper()
	var found core.Pod
	await(t, readyWithin, "a pod is in the middle of a turn", func() (bool, string, error) {
		pods := b.pods(t, "server")
		for _, call := range b.calls(t) {
			if call.Outcome != difysim.Running {
				continue
			}
			for _, p := range pods {
				if p.Status.PodIP == call.From {
					found = p
					return true, "", nil
				}
			}
		}
		return false, fmt.Sprintf("%d replies so far", chat.platform.Stats().Answered), nil
	})
	return found
}

// kill kills a pod that is in the middle of a turn.
func (c *chat) kill(t *testing.T, b *bot) {
	t.Helper()
	victim := b.answering(t, c)
	d := death{address: victim.Status.PodIP, window: window{from: time.Now()}}
	b.kubectl(t, "--namespace", b.namespace, "delete", "pod", victim.Name, "--grace-period=0", "--force")
	d.to = time.Now().Add(settle)
	c.killed = append(c.killed, d)
}

// more waits for so many replies from now on.
func (c *chat) more(t *testing.T, n int) {
	t.Helper()
	c.answered(t, c.platform.Stats().Answered+n)
}

// recovered waits until so many servers are ready.
func (b *bot) recovered(t *testing.T, replicas int) {
	t.Helper()
	await(t, readyWithin, "all servers are back", func() (bool, string, error) {
		ready := 0
		for _, p := range b.pods(t, "server") {
			if podReady(&p) {
				ready++
			}
		}
		return ready == replicas, fmt.Sprintf("%d of %d are ready", ready, replicas), nil
	})
}

func podReady(p *core.Pod) bool {
	for _, condition := range p.Status.Conditions {
		if condition.Type == core.PodReady {
			return condition.Status == core.ConditionTrue
		}
	}
	return false
}

// podReplaced waits until another pod of this name is ready.
func (b *bot) podReplaced(t *testing.T, old core.Pod) {
	t.Helper()
	await(t, readyWithin, "another pod "+old.Name+" is ready", func() (bool, string, error) {
		var now core.Pod
		err := b.client.Get(t.Context(), client.ObjectKeyFromObject(&old), &now)
		if apierrors.IsNotFound(err) {
			return false, "there is none", nil
		}
		if err != nil {
			return false, "", err
		}
		return now.UID != old.UID && podReady(&now), string(now.Status.Phase), nil
	})
}

// policies checks that the NetworkPolicies are there: nothing here enforces them.
func (b *bot) policies(t *testing.T, want int) {
	t.Helper()
	var all networking.NetworkPolicyList
	if err := b.client.List(t.Context(), &all, client.InNamespace(b.namespace)); err != nil {
		t.Fatal(err)
	}
	if len(all.Items) != want {
		t.Errorf("%d NetworkPolicies, want %d", len(all.Items), want)
	}
}
