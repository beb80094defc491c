//go:build charts

package charts_test

import (
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The shapes are those of https://artifacthub.io/docs/topics/annotations/helm/; a field that is not there is refused.
type (
	hubLink   struct{ Name, URL string }
	hubChange struct {
		Kind, Description string
		Links             []hubLink
	}
	hubImage struct {
		Name, Image string
		Whitelisted bool
		Platforms   []string
	}
	hubCRD struct{ Kind, Version, Name, DisplayName, Description string }
)

var hubWords = map[string][]string{
	"category": {"ai-machine-learning", "database", "integration-delivery", "monitoring-logging", "networking", "security", "storage", "streaming-messaging"},
	// Of a chart that is an operator.
	"operatorCapabilities": {"Basic Install", "Seamless Upgrades", "Full Lifecycle", "Deep Insights", "Auto Pilot"},
	"license":              {"Apache-2.0"},
}

// packaged packages a chart as hack/chart.sh does, and gives the archive and its annotations.
func packaged(t *testing.T, chart string) (archive string, annotations map[string]string) {
	t.Helper()
	folder, out := filepath.Join(t.TempDir(), filepath.Base(chart)), t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	edit(t, folder+"/Chart.yaml", `(?m)^version: .*`, "version: 9.8.7-rc.1", `(?m)^appVersion: .*`, "appVersion: v9.8.7-rc.1")
	edit(t, folder+"/values.yaml", `(?m)^  repository: .*`, "  repository: registry.example.com/wechatbot-operator")
	command := exec.CommandContext(t.Context(), "go", "run", "./hack/chartannotations", folder)
	command.Dir = root
	if printed, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	tool(t, "helm", "package", folder, "--destination", out)
	archive = filepath.Join(out, filepath.Base(chart)+"-9.8.7-rc.1.tgz")
	var metadata struct{ Annotations map[string]string }
	decode(t, "Chart.yaml", tool(t, "helm", "show", "chart", archive), &metadata)
	return archive, metadata.Annotations
}

// edit replaces patterns in a file that has them, as release.sh's sed does; the charts' other file may not.
func edit(t *testing.T, path string, pairs ...string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		content = regexp.MustCompile(pairs[i]).ReplaceAll(content, []byte(pairs[i+1]))
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func decode(t *testing.T, what, text string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v\n%s", what, err, text)
	}
}

func TestArtifactHub_AnnotationsHaveTheDocumentedShape(t *testing.T) {
	for _, chart := range []string{operatorChart, botChart} {
		t.Run(filepath.Base(chart), func(t *testing.T) {
			_, annotations := packaged(t, chart)
			for _, name := range slices.Sorted(maps.Keys(annotations)) {
				if problem := misshapen(strings.TrimPrefix(name, "artifacthub.io/"), annotations[name]); problem != "" {
					t.Errorf("%s: %s:\n%s", name, problem, annotations[name])
				}
			}
			for _, name := range []string{"category", "changes", "license", "links", "prerelease"} {
				if annotations["artifacthub.io/"+name] == "" {
					t.Errorf("there is no artifacthub.io/%s", name)
				}
			}
		})
	}
}

// What the test above trusts in.
func TestArtifactHub_MisshapenAnnotations(t *testing.T) {
	for name, text := range map[string]string{
		"changes":                 "- kind: new\n  description: a\n",
		"containsSecurityUpdates": "no",
		"crds":                    "- kind: A\n  version: v1\n  name: a\n  displayName: A\n",
		"crdsExamples":            "- kind: A\n",
		"images":                  "- name: a\n  image: a/b\n",
		"license":                 "Apache",
		"links":                   "- name: a\n  url: docs/a.md\n",
		"operatorCapabilities":    "Upgrades",
		"prerelease":              "",
		"link":                    "- name: a\n  url: https://example.com\n",
	} {
		if misshapen(name, text) == "" {
			t.Errorf("%s: nothing is wrong with\n%s", name, text)
		}
	}
	for name, text := range map[string]string{
		"changes": "- kind: added\n  descriptions: a\n", "images": "image: a:b\n", "links": "- https://example.com\n",
	} {
		if misshapen(name, text) == "" {
			t.Errorf("%s: nothing is wrong with\n%s", name, text)
		}
	}
}

// misshapen says what is wrong with the value of an annotation.
func misshapen(name, text string) string {
	switch name {
	case "changes":
		return eachOf(text, func(c hubChange) bool {
			kinds := []string{"added", "changed", "deprecated", "removed", "fixed", "security"}
			return slices.Contains(kinds, c.Kind) && c.Description != "" && !slices.ContainsFunc(c.Links, func(l hubLink) bool { return !l.complete() })
		})
	case "crds":
		return eachOf(text, func(c hubCRD) bool {
			return c.Kind != "" && c.Version != "" && c.Name != "" && c.DisplayName != "" && c.Description != ""
		})
	case "crdsExamples":
		return eachOf(text, func(object map[string]any) bool {
			return object["kind"] != nil && object["apiVersion"] != nil && object["spec"] != nil
		})
	case "images":
		return eachOf(text, func(i hubImage) bool {
			return i.Name != "" && strings.Contains(filepath.Base(i.Image), ":") && len(i.Platforms) > 0
		})
	case "links":
		return eachOf(text, hubLink.complete)
	case "operator", "prerelease", "containsSecurityUpdates":
		if _, err := strconv.ParseBool(text); err != nil {
			return err.Error()
		}
	default:
		if !slices.Contains(hubWords[name], text) {
			return "this is no value of it, or no annotation"
		}
	}
	return ""
}

func (l hubLink) complete() bool {
	u, err := url.Parse(l.URL)
	return l.Name != "" && err == nil && u.Scheme == "https" && u.Host != ""
}

// eachOf says what is wrong with a list.
func eachOf[T any](text string, right func(T) bool) string {
	var list []T
	if err := yaml.UnmarshalStrict([]byte(text), &list); err != nil {
		return err.Error()
	}
	if len(list) == 0 {
		return "nothing is in it"
	}
	for i, element := range list {
		if !right(element) {
			return "number " + strconv.Itoa(i) + " lacks something, or has what may not be there"
		}
	}
	return ""
}

// What the annotations say of a chart is what it renders: CRDs, images, and examples that the API server takes.
func TestArtifactHub_AnnotationsSayWhatIsRendered(t *testing.T) {
	for _, chart := range []string{operatorChart, botChart} {
		t.Run(filepath.Base(chart), func(t *testing.T) {
			archive, annotations := packaged(t, chart)
			values := []string{"--set=metrics.enabled=true"}
			if chart == botChart {
				values = []string{chart + "/ci/minimal-values.yaml"}
			}
			var images, crds []string
			for _, object := range objects(t, render(t, "release", namespace, archive, values...)) {
				images = append(images, imagesIn(object.Object)...)
				if object.GetKind() == "CustomResourceDefinition" {
					crds = append(crds, servedBy(object)...)
				}
			}
			var named []hubImage
			decode(t, "images", annotations["artifacthub.io/images"], &named)
			var described []hubCRD
			decode(t, "crds", annotations["artifacthub.io/crds"], &described)
			var saidImages, saidCRDs []string
			for _, i := range named {
				saidImages = append(saidImages, i.Image)
			}
			for _, c := range described {
				saidCRDs = append(saidCRDs, c.Name+" "+c.Version+" "+c.Kind)
			}
			if diff := cmp.Diff(sorted(images), sorted(saidImages)); diff != "" {
				t.Errorf("images (- rendered, + said):\n%s", diff)
			}
			if diff := cmp.Diff(sorted(crds), sorted(saidCRDs)); diff != "" {
				t.Errorf("CRDs (- rendered, + said):\n%s", diff)
			}
			var examples []unstructured.Unstructured
			var list []map[string]any
			decode(t, "examples", annotations["artifacthub.io/crdsExamples"], &list)
			for _, object := range list {
				example := unstructured.Unstructured{Object: object}
				example.SetNamespace("bots")
				examples = append(examples, example)
				manifest, err := yaml.Marshal(example.Object)
				if err != nil {
					t.Fatal(err)
				}
				if err := accepted(t, string(manifest)); err != nil {
					t.Errorf("the example %s: %v", example.GetName(), err)
				}
			}
			if (len(examples) > 0) != (len(crds) > 0) {
				t.Errorf("there are %d examples of %d CRDs", len(examples), len(crds))
			}
		})
	}
}

// imagesIn gives all images of containers in an object.
func imagesIn(value any) (images []string) {
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			if image, ok := below.(string); ok && key == "image" {
				images = append(images, image)
			}
			images = append(images, imagesIn(below)...)
		}
	case []any:
		for _, below := range v {
			images = append(images, imagesIn(below)...)
		}
	}
	return images
}

func servedBy(object *unstructured.Unstructured) (names []string) {
	kind, _, _ := unstructured.NestedString(object.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(object.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		if served, _, _ := unstructured.NestedBool(version, "served"); served {
			name, _, _ := unstructured.NestedString(version, "name")
			names = append(names, object.GetName()+" "+name+" "+kind)
		}
	}
	return names
}

func sorted(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
