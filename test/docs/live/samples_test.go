package live_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/test/docs"
)

// documents reads a file's objects.
func documents(t *testing.T, file string) (all []unstructured.Unstructured) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(string(text), -1) {
		var object unstructured.Unstructured
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, object)
	}
	return all
}

// The samples for what others make are accepted by their own CRDs, field by field.
func TestSamplesForOthers_AreAccepted(t *testing.T) {
	crds := filepath.Join(repository, "testdata", "crds")
	for _, crd := range []string{"keda.sh_scaledobjects.yaml", "kustomize.toolkit.fluxcd.io_kustomizations.yaml", "source.toolkit.fluxcd.io_gitrepositories.yaml"} {
		content, err := os.ReadFile(filepath.Join(crds, crd))
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"apply", "--server-side", "-f", "-"}, {"wait", "--for=condition=Established", "--timeout=60s", "-f", "-"}} {
			if _, err := controlPlane.Kubectl(t.Context(), string(content), args...); err != nil {
				t.Fatalf("%s: %v", crd, err)
			}
		}
	}
	for _, file := range []string{"config/keda/crowd.yaml", "config/gitops/flux.yaml"} {
		objects := documents(t, file)
		namespace := controlPlane.Namespace(t, "samples")
		for i := range objects {
			accept(t, file, namespace, &objects[i])
		}
	}
}

// KEDA scales the bot of the same file, by metrics that exist, with settings that its scaler knows (prometheus_scaler.go): KEDA
// itself ignores others.
func TestKEDA_ScalesByMetricsThatExist(t *testing.T) {
	objects := documents(t, "config/keda/crowd.yaml")
	exported, err := docs.Metrics(filepath.Join(repository, "docs", "monitoring.md"), "server")
	if err != nil {
		t.Fatal(err)
	}
	bot, scaled := objects[0], objects[1]
	target, _, _ := unstructured.NestedStringMap(scaled.Object, "spec", "scaleTargetRef")
	if target["kind"] != bot.GetKind() || target["apiVersion"] != bot.GetAPIVersion() || target["name"] != bot.GetName() {
		t.Errorf("KEDA scales %v, the bot is %s", target, bot.GetName())
	}
	if _, fixed, _ := unstructured.NestedFieldNoCopy(bot.Object, "spec", "replicas"); fixed {
		t.Error("the bot has replicas: each kubectl apply would set them back")
	}
	triggers, _, _ := unstructured.NestedSlice(scaled.Object, "spec", "triggers")
	if len(triggers) == 0 {
		t.Fatal("no triggers")
	}
	for _, one := range triggers {
		trigger, _ := one.(map[string]any)
		metadata, _, err := unstructured.NestedStringMap(trigger, "metadata")
		if err != nil || trigger["type"] != "prometheus" {
			t.Fatalf("%v: %v", trigger, err)
		}
		for key := range metadata {
			if !slices.Contains([]string{"serverAddress", "query", "threshold", "activationThreshold"}, key) {
				t.Errorf("KEDA's scaler knows no %s", key)
			}
		}
		series := regexp.MustCompile(`(wechatbot_[a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(metadata["query"], -1)
		if len(series) == 0 {
			t.Errorf("the query %s is of no metric", metadata["query"])
		}
		for _, one := range series {
			if _, known := exported[one[1]]; !known || !strings.Contains(one[2], `app_kubernetes_io_instance="`+bot.GetName()+`"`) {
				t.Errorf("%s is not of the bot's metrics", one[0])
			}
		}
	}
}
