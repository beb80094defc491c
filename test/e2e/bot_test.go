//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const readyWithin = 3 * time.Minute // from kubectl apply, on a machine that has much else to do

// bot is one WechatBot, and the account that its followers know.
type bot struct {
	*cluster
	namespace, name string
	token           string
	appSecret       string // of an account whose API the bot may call
	aesKey          string // of an account whose pushes are encrypted
	manifest        unstructured.Unstructured
}

// sample is the minimal sample, with a domain and a Dify that are there.
func (c *cluster) sample(t *testing.T, namespace string) *bot {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.root, "config", "samples", "minimal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bot{cluster: c, namespace: namespace, token: "e2eFirstToken"}
	if err := yaml.Unmarshal(content, &b.manifest.Object); err != nil {
		t.Fatal(err)
	}
	b.name = b.manifest.GetName()
	b.set(t, fmt.Sprintf("%s-%s.example.test", namespace, b.name), "domain")
	b.set(t, difyURL, "dify", "baseURL")
	return b
}

// chatty is the minimal sample as a crowd needs it: with texts that it recognizes, and without a limit that it reaches.
func (c *cluster) chatty(t *testing.T, namespace string) *bot {
	t.Helper()
	b := c.sample(t, namespace)
	texts := map[string]any{}
	for key, text := range crowd.Texts() {
		texts[key] = text
	}
	b.set(t, texts, "reply", "texts")
	b.set(t, int64(10000), "limits", "questions")
	return b
}

// set sets a field of the spec.
func (b *bot) set(t *testing.T, value any, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(b.manifest.Object, value, append([]string{"spec"}, path...)...); err != nil {
		t.Fatal(err)
	}
}

// secret makes or changes the bot's Secret.
func (b *bot) secret(t *testing.T) {
	t.Helper()
	data := map[string]any{"token": b.token, "dify-key": "app-e2eDifyKey"}
	for key, value := range map[string]string{"app-secret": b.appSecret, "encoding-aes-key": b.aesKey} {
		if value != "" {
			data[key] = value
		}
	}
	b.cluster.apply(t, b.namespace, string(encode(t, map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": b.name}, "stringData": data,
	})))
}

// apply applies the object, and gives the time of it.
func (b *bot) apply(t *testing.T) time.Time {
	t.Helper()
	manifest, err := yaml.Marshal(b.manifest.Object)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.cluster.apply(t, b.namespace, string(manifest))
	return began
}

// start applies Secret and object and waits until the bot is ready. It gives the time from the one to the other.
func (b *bot) start(t *testing.T) time.Duration {
	t.Helper()
	b.secret(t)
	began := b.apply(t)
	b.ready(t)
	return time.Since(began)
}

// ready waits for Ready of the present generation.
func (b *bot) ready(t *testing.T) {
	t.Helper()
	await(t, readyWithin, b.namespace+"/"+b.name+" is Ready", func() (bool, string, error) {
		live, err := b.get(t.Context())
		if err != nil {
			return false, "", err
		}
		ready := meta.FindStatusCondition(live.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil {
			return false, "the operator has not said a word", nil
		}
		return ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == live.Generation, ready.Reason + ": " + ready.Message, nil
	})
}

// condition waits until a condition is this, of the present generation; with any reason if none is given.
func (b *bot) condition(t *testing.T, kind string, status metav1.ConditionStatus, reason string) time.Duration {
	t.Helper()
	return await(t, told, fmt.Sprintf("%s of %s is %s: %s", kind, b.name, status, reason), func() (bool, string, error) {
		live, err := b.get(t.Context())
		if err != nil {
			return false, "", err
		}
		c := meta.FindStatusCondition(live.Status.Conditions, kind)
		if c == nil {
			return false, "the operator has not said a word", nil
		}
		return c.Status == status && (reason == "" || c.Reason == reason) && c.ObservedGeneration == live.Generation, fmt.Sprintf("%s: %s: %s", c.Status, c.Reason, c.Message), nil
	})
}

func (b *bot) get(ctx context.Context) (*v1alpha1.WechatBot, error) {
	live := new(v1alpha1.WechatBot)
	return live, b.client.Get(ctx, client.ObjectKey{Namespace: b.namespace, Name: b.name}, live)
}

func (b *bot) domain() string {
	domain, _, _ := unstructured.NestedString(b.manifest.Object, "spec", "domain")
	return domain
}

// platform is WeChat, pushing to the bot's URL through the ingress controller. The certificate has to be the bot's.
func (b *bot) platform(t *testing.T, o wechatsim.Options) *wechatsim.Platform {
	t.Helper()
	o.Connect, o.RootCAs = b.connect, b.authority
	p, err := wechatsim.New(wechatsim.Account{URL: "https://" + b.domain() + "/wechat", Token: b.token, AppID: appID, AppSecret: b.appSecret}, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reachable waits until the console would take the URL: an ingress controller takes a moment to serve a new certificate
// and route.
func (b *bot) reachable(t *testing.T) time.Duration {
	t.Helper()
	p := b.platform(t, wechatsim.Options{})
	return await(t, readyWithin, "the URL of "+b.namespace+"/"+b.name+" is verified", func() (bool, string, error) {
		err := p.VerifyURL(t.Context())
		return err == nil, "", err
	})
}

// selector selects the pods of a component of the bot.
func (b *bot) selector(component string) client.MatchingLabels {
	return client.MatchingLabels{"app.kubernetes.io/instance": b.name, "app.kubernetes.io/component": component}
}

// pods are those of a component that are not about to end, by name.
func (b *bot) pods(t *testing.T, component string) []core.Pod {
	t.Helper()
	var all core.PodList
	if err := b.client.List(t.Context(), &all, client.InNamespace(b.namespace), b.selector(component)); err != nil {
		t.Fatal(err)
	}
	pods := slices.DeleteFunc(all.Items, func(p core.Pod) bool { return p.DeletionTimestamp != nil })
	slices.SortFunc(pods, func(a, b core.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods
}

// lives tells the pods of the servers and how often each was started, to see whether one was.
func (b *bot) lives(t *testing.T) string {
	t.Helper()
	var all []string
	for _, p := range b.pods(t, "server") {
		restarts := int32(0)
		for _, s := range p.Status.ContainerStatuses {
			restarts += s.RestartCount
		}
		all = append(all, fmt.Sprintf("%s/%d", p.UID, restarts))
	}
	return strings.Join(all, " ")
}
