//go:build charts

package charts_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func valuesOf(t *testing.T, chart string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
		t.Fatalf("%s/ci has %d values, want at least 3", chart, len(files))
	}
	named := map[string]string{}
	for _, file := range files {
		named[strings.TrimSuffix(filepath.Base(file), "-values.yaml")] = file
	}
	return named
}

func TestTheAPIServerTakesEveryRendering(t *testing.T) {
	for _, chart := range []string{operatorChart, botChart} {
		for name, values := range valuesOf(t, chart) {
			t.Run(filepath.Base(chart)+"/"+name, func(t *testing.T) {
				if err := accepted(t, render(t, "release", namespace, chart, values)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The charts are refused where the CRD would not work as it should: that is what hack/cluster/oldest builds, and no older.
func TestCharts_OldestKubernetes(t *testing.T) {
	for _, chart := range []string{operatorChart, botChart} {
		for version, taken := range map[string]bool{
			"v1.30.99": false, "v1.31.0": true, "v1.31.0-gke.100": true, "v1.31.14-eks-a1b2c3": true, "v1.37.1": true,
		} {
			t.Run(filepath.Base(chart)+"/"+version, func(t *testing.T) {
				_, err := tryTool(t, "helm", "template", "release", chart, "--namespace", namespace, "--kube-version", version,
					"--values", valuesOf(t, chart)[map[string]string{operatorChart: "default", botChart: "minimal"}[chart]])
				if taken && err != nil {
					t.Error(err)
				}
				if !taken && (err == nil || !strings.Contains(err.Error(), "requires kubeVersion")) {
					t.Errorf("got %v, want a refusal that names kubeVersion", err)
				}
			})
		}
	}
}

// A value that is null, as a parent chart or --set writes it, is as if it were not there.
func TestOperatorChart_NullValuesRender(t *testing.T) {
	content, err := os.ReadFile(operatorChart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	var walk func(values map[string]any, path string)
	walk = func(values map[string]any, path string) {
		for name, value := range values {
			field := strings.TrimPrefix(path+"."+name, ".")
			if _, err := tryTool(t, "helm", "template", "release", operatorChart, "--namespace", namespace, "--set", field+"=null"); err != nil {
				t.Errorf("%s is null: %v", field, err)
			}
			if below, ok := value.(map[string]any); ok {
				walk(below, field)
			}
		}
	}
	walk(values, "")
}

// What the test above trusts in: the API server refuses what is not restricted, unknown or out of bounds.
func TestTheAPIServerRefusesWhatIsWrong(t *testing.T) {
	operator, bot := render(t, "release", namespace, operatorChart), render(t, "release", namespace, botChart, botChart+"/ci/minimal-values.yaml")
	for name, c := range map[string]struct{ manifests, old, instead, want string }{
		"a pod that may be root":    {operator, "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"},
		"an unknown field":          {operator, "terminationGracePeriodSeconds:", "terminationGracePeriod:", "terminationGracePeriod"},
		"a field no bot has":        {bot, "domain:", "domian:", "domian"},
		"a domain that is none":     {bot, "domain: bot.example.com", "domain: https://bot", "DNS name"},
		"a version that is unknown": {operator, "policy/v1\n", "policy/v1beta1\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.want == "" {
				c.manifests = render(t, "release", namespace, operatorChart, "--set=podDisruptionBudget.enabled=true")
			}
			changed := strings.ReplaceAll(c.manifests, c.old, c.instead)
			if changed == c.manifests {
				t.Fatalf("there is no %q", c.old)
			}
			if err := accepted(t, changed); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// Any spec can be given as values: those of the samples come out as they are.
func TestABotOfTheChartIsThatOfTheSamples(t *testing.T) {
	samples, err := filepath.Glob(root + "/config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range samples {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sample := new(unstructured.Unstructured)
		if err := yaml.Unmarshal(content, &sample.Object); err != nil {
			t.Fatal(err)
		}
		if sample.GetKind() != "WechatBot" {
			continue
		}
		found++
		t.Run(filepath.Base(file), func(t *testing.T) {
			values, err := json.Marshal(map[string]any{"spec": sample.Object["spec"]})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(path, values, 0o600); err != nil {
				t.Fatal(err)
			}
			manifests := render(t, sample.GetName(), "bots", botChart, path)
			if err := accepted(t, manifests); err != nil {
				t.Error(err)
			}
			made := objects(t, manifests)
			if len(made) != 1 || made[0].GetName() != sample.GetName() {
				t.Fatalf("the chart made %d objects, the first is %s", len(made), made[0].GetName())
			}
			if diff := cmp.Diff(sample.Object["spec"], made[0].Object["spec"]); diff != "" {
				t.Error(diff)
			}
		})
	}
	if found < 5 {
		t.Errorf("config/samples has %d bots", found)
	}
}

// values.yaml documents every value, the schema knows every value, and neither has more than the other.
func TestValuesAndSchemaAgree(t *testing.T) {
	for _, chart := range []string{operatorChart, botChart} {
		var values, schema map[string]any
		for file, into := range map[string]any{"values.yaml": &values, "values.schema.json": &schema} {
			content, err := os.ReadFile(filepath.Join(chart, file))
			if err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(content, into); err != nil {
				t.Fatal(err)
			}
		}
		definitions, _ := schema["definitions"].(map[string]any)
		agree(t, filepath.Base(chart), values, schema, definitions)
	}
}

func agree(t *testing.T, path string, values, schema, definitions map[string]any) {
	t.Helper()
	if more, ok := schema["additionalProperties"].(bool); !ok || more {
		t.Errorf("%s: the schema takes unknown values", path)
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if _, ok := values[name]; !ok && name != "global" {
			t.Errorf("%s.%s is in the schema but not in values.yaml", path, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		property, ok := properties[name].(map[string]any)
		if !ok {
			t.Errorf("%s.%s is in values.yaml but not in the schema", path, name)
			continue
		}
		if ref, ok := property["$ref"].(string); ok {
			property, _ = definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
		}
		// What is Kubernetes' own is checked by the API server, and a bot's spec is documented in docs/api.md.
		_, ours := property["properties"]
		if value, ok := values[name].(map[string]any); ok && ours && len(value) > 0 {
			agree(t, path+"."+name, value, property, definitions)
		}
	}
}
