package controllers_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// dryRun is the bot as a server-side apply of the manifest would leave it.
func (w *world) dryRun(manifest, manager string) map[string]any {
	w.t.Helper()
	out, err := controlPlane.Kubectl(w.t.Context(), manifest, "apply", "--server-side", "--dry-run=server", "--field-manager="+manager, "--show-managed-fields",
		"-n", w.namespace, "-o", "json", "-f", "-")
	if err != nil {
		w.t.Fatal(err)
	}
	object := map[string]any{}
	if err := json.Unmarshal([]byte(out), &object); err != nil {
		w.t.Fatal(err)
	}
	return applied(object)
}

// applied is an object without what is not applied: its status, and whose that is.
func applied(object map[string]any) map[string]any {
	delete(object, "status")
	metadata, _ := object["metadata"].(map[string]any)
	delete(metadata, "resourceVersion")
	managers, _ := metadata["managedFields"].([]any)
	metadata["managedFields"] = slices.DeleteFunc(managers, func(one any) bool {
		manager, _ := one.(map[string]any)
		return manager["subresource"] == "status"
	})
	return object
}

// live is the bot as it is.
func (w *world) live() map[string]any {
	w.t.Helper()
	out, err := controlPlane.Kubectl(w.t.Context(), "", "get", "wechatbot", w.bot.Name, "-n", w.namespace, "-o", "json", "--show-managed-fields")
	if err != nil {
		w.t.Fatal(err)
	}
	object := map[string]any{}
	if err := json.Unmarshal([]byte(out), &object); err != nil {
		w.t.Fatal(err)
	}
	return applied(object)
}

// What is applied from Git, by the kustomization of config/gitops, is what is there: the difference stays empty after the operator
// has worked on it, a second apply writes nothing, and another manager that applies the same makes no new generation and has
// nothing written.
func TestGitOps_NothingDiffers(t *testing.T) {
	t.Parallel()
	op := sharedOperator(t)
	w := newWorld(t)
	manifests, err := controlPlane.Kubectl(t.Context(), "", "kustomize", filepath.Join("..", "config", "gitops"))
	if err != nil {
		t.Fatal(err)
	}
	manifests = strings.NewReplacer("namespace: bots", "namespace: "+w.namespace, "winter.example.com", w.namespace+".example.com",
		"dify:\n", "dify:\n    baseURL: "+w.difyURL+"\n",
		base64.StdEncoding.EncodeToString([]byte("app-replace-me")), base64.StdEncoding.EncodeToString([]byte(difyKey))).Replace(manifests)
	var manifest string // the bot's
	for document := range strings.SplitSeq(manifests, "---\n") {
		if strings.Contains(document, "kind: WechatBot") {
			manifest = document
		}
	}
	const flux, other = "kustomize-controller", "another-manager"
	apply := func(what, manager string) {
		t.Helper()
		if _, err := controlPlane.Kubectl(t.Context(), what, "apply", "--server-side", "--field-manager="+manager, "-n", w.namespace, "-f", "-"); err != nil {
			t.Fatal(err)
		}
	}
	apply(manifests, flux)
	w.bot = named(w, new(v1alpha1.WechatBot), "winter")
	w.caughtUp()
	w.serve()
	before := w.live()
	for range 2 {
		if diff := cmp.Diff(before, w.dryRun(manifest, flux)); diff != "" {
			t.Errorf("what is in Git differs from what is there:\n%s", diff)
		}
		apply(manifests, flux)
	}
	if diff := cmp.Diff(before, w.live()); diff != "" {
		t.Errorf("a second apply has changed:\n%s", diff)
	}

	written := func() int { // but statuses
		return op.calls.matching(http.MethodPatch, w.namespace) - op.calls.matching(http.MethodPatch, w.namespace, "/status")
	}
	writes := written()
	apply(manifest, other)
	after := w.live()
	if diff := cmp.Diff(before["spec"], after["spec"]); diff != "" {
		t.Errorf("another manager has changed the spec:\n%s", diff)
	}
	generation := func(o map[string]any) int64 { return (&unstructured.Unstructured{Object: o}).GetGeneration() }
	if generation(before) != generation(after) {
		t.Errorf("another manager has made generation %v of %v", generation(after), generation(before))
	}
	w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"example.com/look": "now"} }) // has the operator look
	w.caughtUp()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	if n := written(); n != writes {
		t.Errorf("the operator has written %d times since", n-writes)
	}
}
