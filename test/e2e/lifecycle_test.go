//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/previous"
)

// uninstalled: helm uninstall leaves the CRD and the bots, which serve on; deleted bots take all they had with them but a
// Redis' volume, unless they said so.
func (c *cluster) uninstalled(t *testing.T) string {
	namespace := c.namespace(t, "e2e-uninstall")
	keeps := c.redisBot(t, namespace, false)
	keeps.start(t)
	drops := c.redisBot(t, namespace, true)
	drops.rename(t, "drops")
	drops.start(t)
	keeps.reachable(t)
	c.uninstall(t)
	chat := keeps.chat(t, 6)
	chat.answered(t, 20)
	o := chat.finish(t)
	c.kubectl(t, "get", "crd", "wechatbots.wechatbot.dev")

	c.kubectl(t, "--namespace", namespace, "delete", "wechatbots", "--all")
	took := await(t, readyWithin, "what the bots had is gone", func() (bool, string, error) {
		left := c.kubectl(t, "--namespace", namespace, "get", kinds+",pods,persistentvolumeclaims",
			"--selector=app.kubernetes.io/managed-by=wechatbot-operator", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {end}`)
		left = strings.TrimSpace(left)
		return strings.HasPrefix(left, "PersistentVolumeClaim/") && strings.Count(left, "/") == 1 && strings.Contains(left, "winter"), left, nil
	})
	return fmt.Sprintf("after helm uninstall: %s; bots deleted: their objects gone after %s, the volume of the one without deletePVC stays", o, seconds(took))
}

// rename gives a bot another name and domain, and a Secret of that name.
func (b *bot) rename(t *testing.T, name string) {
	t.Helper()
	b.name = name
	b.manifest.SetName(name)
	b.set(t, fmt.Sprintf("%s-%s.example.test", b.namespace, name), "domain")
	b.set(t, name, "tokenSecretRef", "name")
	b.set(t, name, "dify", "apiKeySecretRef", "name")
}

// upgraded: helm upgrade from the previous release, its chart and its code. That release's sessions are not read, so the
// followers come to their ends before; then they chat while this release's servers roll, and nothing is lost, however
// the sessions are kept.
func (c *cluster) upgraded(t *testing.T) string {
	c.install(t, c.oldChart, c.oldImage)
	namespace := c.namespace(t, "e2e-upgrade")
	single := c.chatty(t, namespace)
	single.forPrevious(t)
	single.start(t)
	many := c.redisBot(t, namespace, true)
	many.forPrevious(t)
	many.rename(t, "many")
	many.start(t)
	bots := []*bot{single, many}
	shown := []string{fmt.Sprintf("from %s, after %s", c.oldImage.tag, finished(t, c.chats(t, bots)))}
	began := time.Now()
	c.install(t, chart, c.newImage)
	shown = append(shown, "helm upgrade --wait "+seconds(time.Since(began)))
	for _, b := range bots {
		b.rolled(t, c.newImage)
		shown = append(shown, fmt.Sprintf("%s rolled after %s", b.name, seconds(time.Since(began))))
	}
	after := c.chats(t, bots)
	for i, b := range bots {
		b.set(t, c.image.String(), "image")
		b.apply(t)
		b.rolled(t, c.image)
		after[i].more(t, 12)
	}
	shown = append(shown, "rolled again under chat: "+finished(t, after))
	c.uninstall(t)
	return strings.Join(shown, "; ")
}

// chats begins a chat with each bot, and waits for some answers.
func (c *cluster) chats(t *testing.T, bots []*bot) (all []*chat) {
	t.Helper()
	for _, b := range bots {
		b.reachable(t)
		all = append(all, b.chat(t, 6))
	}
	for _, chat := range all {
		chat.answered(t, 12)
	}
	return all
}

func finished(t *testing.T, chats []*chat) string {
	t.Helper()
	shown := make([]string, len(chats))
	for i, chat := range chats {
		shown[i] = chat.finish(t).String()
	}
	return strings.Join(shown, ", and ")
}

// pinned: a bot keeps the previous release's servers under this operator. They start, take a change while they run, and
// start anew with another one.
func (c *cluster) pinned(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-pinned"))
	b.forPrevious(t)
	b.set(t, c.oldImage.String(), "image")
	took := b.start(t)
	b.reachable(t)
	chat := b.chat(t, 6)
	chat.answered(t, 12)
	b.set(t, int64(1000), "limits", "concurrency") // taken in place
	b.apply(t)
	b.ready(t)
	chat.more(t, 12)
	lives := b.lives(t)
	b.set(t, int64(7), "session", "history") // taken at the start
	b.apply(t)
	b.rolled(t, c.oldImage)
	chat.more(t, 12)
	if now := b.lives(t); now == lives {
		t.Errorf("the servers were not replaced: %s", now)
	}
	return fmt.Sprintf("Ready after %s with %s; a change in place, a rollout: %s", seconds(took), c.oldImage.tag, chat.finish(t))
}

// forPrevious leaves only texts that the previous release knows.
func (b *bot) forPrevious(t *testing.T) {
	t.Helper()
	texts := map[string]any{}
	for _, key := range previous.Texts {
		texts[key] = crowd.Texts()[key]
	}
	b.set(t, texts, "reply", "texts")
}

// rolled waits until all servers have the image, and no other is left.
func (b *bot) rolled(t *testing.T, img image) {
	t.Helper()
	await(t, 2*time.Minute, b.name+" has rolled", func() (bool, string, error) {
		var d apps.Deployment
		if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: b.name}, &d); err != nil {
			return false, "", err
		}
		state := fmt.Sprintf("image %s, %+v", d.Spec.Template.Spec.Containers[0].Image, d.Status)
		return d.Spec.Template.Spec.Containers[0].Image == img.String() && d.Status.ObservedGeneration == d.Generation &&
			d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.AvailableReplicas == *d.Spec.Replicas && d.Status.Replicas == *d.Spec.Replicas, state, nil
	})
}

// namespaced: the administrator of one team's namespace installs an operator there. It has rights in this namespace and
// nowhere else, and touches nothing elsewhere.
func (c *cluster) namespaced(t *testing.T) string {
	ours, theirs := c.namespace(t, "e2e-team-a"), c.namespace(t, "e2e-team-b")
	// What a cluster's administrator does once.
	c.kubectl(t, "apply", "--server-side", "-k", "config/installer")
	for _, role := range []string{"admin", "wechatbot-installer"} {
		c.kubectl(t, "--namespace", ours, "create", "rolebinding", "jane-"+role, "--clusterrole="+role, "--user=jane")
	}
	c.helm(t, "install", release, chart, "--kube-as-user", "jane", "--kube-as-group", "system:authenticated", "--namespace", ours,
		"--wait", "--timeout", "2m", "--set", "image.repository="+c.image.repository, "--set-string", "image.tag="+c.image.tag,
		"--set", "defaultIssuer=ClusterIssuer/"+c.issuer, "--set", "watchNamespaces={"+ours+"}", "--set", "clusterResources=false")
	foreign := c.chatty(t, theirs)
	foreign.secret(t)
	foreign.apply(t)
	b := c.chatty(t, ours)
	took := b.start(t)
	b.reachable(t)
	chat := b.chat(t, 6)
	chat.answered(t, 12)
	o := chat.finish(t)
	as := fmt.Sprintf("--as=system:serviceaccount:%s:%s", ours, release)
	for _, what := range []string{"get secrets", "list configmaps", "watch wechatbots", "create deployments", "patch services", "delete ingresses", "list pods"} {
		words := strings.Fields(what)
		for namespace, want := range map[string]string{ours: "yes", theirs: "no"} {
			out, err := c.run(t.Context(), "", "kubectl", "auth", "can-i", words[0], words[1], "--namespace", namespace, as)
			if got := strings.TrimSpace(out); got != want {
				t.Errorf("may the operator %s in %s: %s (%v), want %s", what, namespace, got, err, want)
			}
		}
	}
	live, err := foreign.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if live.Status.ObservedGeneration != 0 || len(live.Status.Conditions) != 0 {
		t.Errorf("the other team's bot has a status: %+v", live.Status)
	}
	var pods core.PodList
	if err := c.client.List(t.Context(), &pods, client.InNamespace(theirs)); err != nil || len(pods.Items) > 0 {
		t.Errorf("pods in the other team's namespace: %v, %v", pods.Items, err)
	}
	if left := c.kubectl(t, "--namespace", theirs, "get", kinds, "--selector=app.kubernetes.io/managed-by=wechatbot-operator", "-o", "name"); left != "" {
		t.Errorf("objects in the other team's namespace: %s", left)
	}
	c.helm(t, "uninstall", release, "--kube-as-user", "jane", "--kube-as-group", "system:authenticated", "--namespace", ours, "--wait", "--timeout", "2m")
	return fmt.Sprintf("installed as the namespace's administrator; Ready after %s: %s; no rights and nothing written in the other namespace", seconds(took), o)
}
