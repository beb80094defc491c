//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// chartInstalled: helm waits for the operator, and the chart's own test passes.
func (c *cluster) chartInstalled(t *testing.T) string {
	began := time.Now()
	c.install(t, chart, c.image)
	installed := time.Since(began)
	began = time.Now()
	c.helm(t, "test", release, "--namespace", system, "--timeout", "2m")
	return fmt.Sprintf("helm install --wait %s, helm test %s", seconds(installed), seconds(time.Since(began)))
}

// minimalSample: the object of config/samples becomes a bot, with a certificate, within a minute.
func (c *cluster) minimalSample(t *testing.T) string {
	b := c.sample(t, c.namespace(t, "e2e-minimal"))
	took := b.start(t)
	served := b.reachable(t)
	return fmt.Sprintf("Ready %s after kubectl apply, with a certificate of the ACME issuer; the console takes the URL %s later", seconds(took), seconds(served))
}

// ingress: followers chat through the Ingress; every question is answered, and Dify was asked once for each.
func (c *cluster) ingress(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-ingress"))
	b.start(t)
	b.reachable(t)
	chat := b.chat(t, 10)
	chat.answered(t, 60)
	return chat.finish(t).String()
}

// gatewayAndBack: a bot goes from Ingress to HTTPRoute and back while followers chat. No push is lost, no pod restarts.
func (c *cluster) gatewayAndBack(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-gateway"))
	b.start(t)
	b.reachable(t)
	lives := b.lives(t)
	place := strings.Split(c.gateway, "/")
	chat := b.chat(t, 6)
	chat.answered(t, 12)
	var shown []string
	for _, route := range []bool{true, false} {
		name := "Ingress again"
		if route {
			name = "HTTPRoute"
			b.set(t, []any{map[string]any{"namespace": place[0], "name": place[1], "sectionName": place[2]}}, "gateway", "parentRefs")
		} else {
			delete(b.manifest.Object["spec"].(map[string]any), "gateway")
		}
		began := b.apply(t)
		b.ready(t)
		shown = append(shown, fmt.Sprintf("%s Ready after %s", name, seconds(time.Since(began))))
		b.onlyWayIn(t, route)
		b.reachable(t)
		chat.more(t, 20)
	}
	shown = append(shown, chat.finish(t).String())
	if now := b.lives(t); now != lives {
		t.Errorf("pods were restarted: %s, then %s", lives, now)
	}
	return strings.Join(shown, ", ")
}

// onlyWayIn waits until there is an HTTPRoute and no Ingress, or the other way round.
func (b *bot) onlyWayIn(t *testing.T, route bool) {
	t.Helper()
	key := client.ObjectKey{Namespace: b.namespace, Name: b.name}
	await(t, readyWithin, "only one way in is left", func() (bool, string, error) {
		noRoute := b.client.Get(t.Context(), key, new(gatewayv1.HTTPRoute))
		noIngress := b.client.Get(t.Context(), key, new(networking.Ingress))
		there, gone := noRoute, noIngress
		if !route {
			there, gone = gone, there
		}
		return there == nil && apierrors.IsNotFound(gone), fmt.Sprintf("HTTPRoute: %v, Ingress: %v", noRoute, noIngress), nil
	})
}

// firstAnswer measures ten times how long it takes from kubectl apply to the first answered push through the Ingress. The
// certificate is there already: how long an issuer takes is its own affair.
func (c *cluster) firstAnswer(t *testing.T) string {
	namespace := c.namespace(t, "e2e-first")
	const bots = 10
	names := make([]string, bots)
	for i := range names {
		names[i] = fmt.Sprintf("e2e-first-bot-%d.example.test", i)
	}
	c.apply(t, namespace, fmt.Sprintf("{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: all}, spec: {secretName: all-tls, "+
		"dnsNames: [%s], issuerRef: {kind: ClusterIssuer, name: %s}}}", strings.Join(names, ", "), c.caIssuer))
	c.kubectl(t, "--namespace", namespace, "wait", "--for=condition=Ready", "certificate/all", "--timeout=120s")
	var answers, created []time.Duration
	for i := range bots {
		b := c.sample(t, namespace)
		b.name = fmt.Sprintf("bot-%d", i)
		b.manifest.SetName(b.name)
		b.set(t, names[i], "domain")
		b.set(t, b.name, "tokenSecretRef", "name")
		b.set(t, b.name, "dify", "apiKeySecretRef", "name")
		b.set(t, "all-tls", "ingress", "tls", "secretName")
		b.secret(t)
		pod := b.firstPod(t)
		applied := b.apply(t)
		f := b.platform(t, wechatsim.Options{Deliveries: 1}).Follower("")
		await(t, readyWithin, "the first answer of "+b.name, func() (bool, string, error) {
			x, err := f.Send(t.Context(), "你好")
			if err != nil {
				return false, "", err
			}
			return x.Outcome == wechatsim.Replied, string(x.Outcome), nil
		})
		answers = append(answers, time.Since(applied))
		created = append(created, (<-pod).Sub(applied))
		c.kubectl(t, "--namespace", namespace, "delete", "wechatbot", b.name, "--wait=false")
	}
	slices.Sort(answers)
	slices.Sort(created)
	return fmt.Sprintf("apply to first answered push, p50 / max of %d: %s / %s; of it until the pod was created: %s / %s",
		bots, seconds(answers[bots/2]), seconds(answers[bots-1]), milliseconds(created[bots/2]), milliseconds(created[bots-1]))
}

// firstPod gives the time at which the bot's first pod was there.
func (b *bot) firstPod(t *testing.T) <-chan time.Time {
	t.Helper()
	w, err := b.client.Watch(t.Context(), new(core.PodList), client.InNamespace(b.namespace), b.selector("server"))
	if err != nil {
		t.Fatal(err)
	}
	created := make(chan time.Time, 1)
	go func() {
		defer w.Stop()
		if _, ok := <-w.ResultChan(); ok {
			created <- time.Now()
		}
		close(created)
	}()
	return created
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
