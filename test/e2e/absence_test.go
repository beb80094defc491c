//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// deployment is the operator's.
const deployment = "deployment/" + release

// withoutOperator: bots serve while there is no operator, and one that comes back writes nothing.
func (c *cluster) withoutOperator(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-absence"))
	b.start(t)
	b.reachable(t)
	c.kubectl(t, "--namespace", system, "scale", deployment, "--replicas=0")
	c.kubectl(t, "--namespace", system, "wait", "--for=delete", "pod", "--selector=app.kubernetes.io/name="+release, "--timeout=60s")
	chat := b.chat(t, 6)
	chat.answered(t, 20)
	o := chat.finish(t)

	before := b.versions(t)
	began := time.Now()
	c.kubectl(t, "--namespace", system, "scale", deployment, "--replicas=1")
	// A new bot is the last in its queue: when it is Ready, the operator has looked at the others.
	late := c.sample(t, b.namespace)
	late.name = "late"
	late.manifest.SetName(late.name)
	late.set(t, "late-"+b.domain(), "domain")
	late.apply(t)
	back := await(t, readyWithin, "the operator is at work", func() (bool, string, error) {
		live, err := late.get(t.Context())
		if err != nil {
			return false, "", err
		}
		return live.Status.ObservedGeneration > 0, "nothing is said of the new bot", nil
	})
	if after := b.versions(t); after != before {
		t.Errorf("the operator has written:\n%s\nbefore:\n%s", after, before)
	}
	return fmt.Sprintf("no operator: %s; back, and at work after %s: no write to the bot or its %d objects",
		o, seconds(min(back, time.Since(began))), strings.Count(before, "\n"))
}

// kinds are those of all objects of a bot that the operator writes.
const kinds = "wechatbots,deployments,services,ingresses,httproutes,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,statefulsets"

// versions are the generations of the bot and its objects, and what the operator has written when. The servers write their
// conversations, the cluster status and endpoints: these do not count.
func (b *bot) versions(t *testing.T) string {
	t.Helper()
	out := b.kubectl(t, "--namespace", b.namespace, "get", kinds, "--selector=app.kubernetes.io/instance="+b.name, "--show-managed-fields",
		"-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.generation} {.metadata.managedFields[?(@.manager=="wechatbot-operator")].time}{"\n"}{end}`)
	return out + b.kubectl(t, "--namespace", b.namespace, "get", "wechatbot", b.name, "-o", "jsonpath={.metadata.resourceVersion}")
}
