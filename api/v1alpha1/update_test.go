package v1alpha1_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const overRedis = `session: {type: Redis, redis: {external: {addresses: ["redis:6379"]}}}`

const (
	overManaged = `session: {type: Redis, redis: {managed: {storage: 2Gi, storageClassName: fast}}}`
	classStays  = `storageClassName cannot be changed, as the volume is there: set it back; to move, set session.redis.external or make another bot`
)

func TestUpdates(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to string // changes to the minimal object, and to what is stored
		want     string // how it is refused; empty when it is accepted
	}{
		{"another domain", `{}`, `spec: {domain: other.example.com}`, ``},
		{"from ConfigMaps to Redis with more replicas", `{}`, `spec: {replicas: 3, ` + overRedis + `}`, ``},
		{
			"from Redis to ConfigMaps with its description left", `spec: {` + overRedis + `}`, `spec: {session: {type: ConfigMap}}`,
			`spec.session.redis: Forbidden: session.redis is used with session.type Redis only: set session.type to Redis, or remove session.redis`,
		},
		{
			"from Redis to ConfigMaps with its replicas left", `spec: {replicas: 2, ` + overRedis + `}`, `spec: {session: null}`,
			`spec.replicas: Invalid value: more than one replica needs a session store that replicas can share: set session.type to Redis (and session.redis), or keep replicas at 1`,
		},
		{"from Redis to ConfigMaps", `spec: {replicas: 2, ` + overRedis + `}`, `spec: {replicas: 1, session: null}`, ``},
		{"from ConfigMaps to a managed Redis", `{}`, `spec: {replicas: 3, session: {type: Redis, redis: {managed: {}}}}`, ``},
		{"from a managed Redis to another", `spec: {` + overManaged + `}`, `spec: {session: {redis: {managed: null, external: {addresses: ["a:6379"]}}}}`, ``},
		{"from a managed Redis to ConfigMaps", `spec: {` + overManaged + `}`, `spec: {session: null}`, ``},
		{"more storage", `spec: {` + overManaged + `}`, `spec: {session: {redis: {managed: {storage: 3Gi}}}}`, ``},
		{"the same storage in other words", `spec: {` + overManaged + `}`, `spec: {session: {redis: {managed: {storage: 2048Mi}}}}`, ``},
		{
			"another StorageClass", `spec: {` + overManaged + `}`, `spec: {session: {redis: {managed: {storageClassName: slow}}}}`,
			`spec.session.redis.managed.storageClassName: Forbidden: ` + classStays,
		},
		{
			"no StorageClass any more", `spec: {` + overManaged + `}`, `spec: {session: {redis: {managed: {storageClassName: null}}}}`,
			`spec.session.redis.managed.storageClassName: Forbidden: ` + classStays,
		},
		{"from Ingress to gateway", `spec: {ingress: {}}`, `spec: {ingress: null, gateway: {parentRefs: [{name: public}]}}`, ``},
		{
			"gateway beside the Ingress", `spec: {ingress: {}}`, `spec: {gateway: {parentRefs: [{name: public}]}}`,
			`spec.gateway: Invalid value: set ingress or gateway, not both: remove one of them`,
		},
		{
			"key of secure mode without AppID", `spec: {wechat: {originalID: gh_0123456789ab}}`,
			`spec: {wechat: {encodingAESKeySecretRef: {name: winter, key: aes}}}`,
			`spec.wechat.appID: Required value: secure mode needs the account's AppID to decrypt and encrypt: set wechat.appID beside wechat.encodingAESKeySecretRef`,
		},
		{"suspended", `{}`, `spec: {suspend: true}`, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBots(t)
			stored := b.mustCreate(t, c.from)
			updated, err := b.update(t.Context(), changed(t, stored, c.to))
			if diff := otherThan(t, c.want, err); diff != "" {
				t.Fatalf("refusal (-want +got):\n%s", diff)
			}
			if err == nil && updated.GetGeneration() != stored.GetGeneration()+1 {
				t.Errorf("generation went from %d to %d", stored.GetGeneration(), updated.GetGeneration())
			}
		})
	}
}

func TestStatusIsASubresource(t *testing.T) {
	b := newBots(t)
	stored := b.mustCreate(t, `status: {url: "https://forged.example.com"}`)
	if status, found := stored.Object["status"]; found {
		t.Errorf("a user could write the status: %v", status)
	}
	_, err := b.UpdateStatus(t.Context(), changed(t, stored, `
spec: {domain: other.example.com}
status: {url: "https://bot.example.com/wechat", conditions: [{type: Ready, status: "Perhaps", reason: Serving, message: "", lastTransitionTime: "2026-01-02T03:04:05Z"}]}
`), metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
	want := `[status.conditions[0].status: Unsupported value: "Perhaps": supported values: "True", "False", "Unknown"` + unchecked
	if diff := otherThan(t, want, err); diff != "" {
		t.Errorf("a malformed condition (-want +got):\n%s", diff)
	}
	updated, err := b.UpdateStatus(t.Context(), changed(t, stored, `
spec: {domain: other.example.com}
status: {url: "https://bot.example.com/wechat"}
`), metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
	if domain, _, _ := unstructured.NestedString(updated.Object, "spec", "domain"); domain != "bot.example.com" {
		t.Errorf("a write of the status changed the domain to %q", domain)
	}
	if updated.GetGeneration() != stored.GetGeneration() {
		t.Error("a write of the status changed the generation")
	}
}

func TestScaleObeysTheSessionStore(t *testing.T) {
	scale := func(b bots, replicas string) (*unstructured.Unstructured, error) {
		return b.Patch(t.Context(), "winter", types.MergePatchType, []byte(`{"spec":{"replicas":`+replicas+`}}`), metav1.PatchOptions{}, "scale")
	}

	overConfigMaps := newBots(t)
	overConfigMaps.mustCreate(t, `{}`)
	_, err := scale(overConfigMaps, "2")
	want := `spec.replicas: Invalid value: more than one replica needs a session store that replicas can share: set session.type to Redis (and session.redis), or keep replicas at 1`
	if diff := otherThan(t, want, err); diff != "" {
		t.Errorf("scaling over ConfigMaps (-want +got):\n%s", diff)
	}
	_, err = controlPlane.Kubectl(t.Context(), "", "scale", "-n", overConfigMaps.namespace, "wbot/winter", "--replicas=2")
	if err == nil || !strings.Contains(controlPlane.Comparable(t, err.Error()), controlPlane.Comparable(t, want)) {
		t.Errorf("kubectl scale over ConfigMaps = %v", err)
	}

	b := newBots(t)
	stored := b.mustCreate(t, "spec: {"+overRedis+"}")
	if _, err := b.UpdateStatus(t.Context(), changed(t, stored, `status: {replicas: 1, selector: app.kubernetes.io/instance=winter}`), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	scaled, err := scale(b, "3")
	if err != nil {
		t.Fatalf("scaling over Redis: %v", err)
	}
	if diff := cmp.Diff(map[string]any{"replicas": int64(3)}, scaled.Object["spec"]); diff != "" {
		t.Errorf("spec of the scale (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"replicas": int64(1), "selector": "app.kubernetes.io/instance=winter"}, scaled.Object["status"]); diff != "" {
		t.Errorf("status of the scale, as a HorizontalPodAutoscaler reads it (-want +got):\n%s", diff)
	}
	if stopped, err := scale(b, "0"); err != nil || len(stopped.Object["spec"].(map[string]any)) > 0 && stopped.Object["spec"].(map[string]any)["replicas"] != int64(0) {
		t.Errorf("scaling to nothing: %v, %v", stopped, err)
	}
}

func TestDomainIsASelectableField(t *testing.T) {
	b := newBots(t)
	for name, domain := range map[string]string{"a": "one.example.com", "b": "two.example.com", "c": "one.example.com"} {
		b.mustCreate(t, "metadata: {name: "+name+"}\nspec: {domain: "+domain+"}")
	}
	list, err := b.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.domain=one.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, bot := range list.Items {
		names = append(names, bot.GetName())
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"a", "c"}, names); diff != "" {
		t.Errorf("bots of the domain (-want +got):\n%s", diff)
	}
	if _, err := b.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.path=/wechat"}); err == nil {
		t.Error("a field that is not selectable was selected by")
	}
}
