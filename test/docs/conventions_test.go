package docs_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// field is one of the CRD's schema.
type field struct {
	path, name string
	schema     map[string]any
}

// fields gives all fields below a schema: a.b, a.b[] of a list, a.b{} of a map.
func fields(path string, schema map[string]any) (all []field) {
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		below, _ := properties[name].(map[string]any)
		at := strings.TrimPrefix(path+"."+name, ".")
		all = append(all, field{at, name, below})
		all = append(all, fields(at, below)...)
	}
	for key, suffix := range map[string]string{"items": "[]", "additionalProperties": "{}"} {
		if below, ok := schema[key].(map[string]any); ok {
			all = append(all, field{path + suffix, "", below})
			all = append(all, fields(path+suffix, below)...)
		}
	}
	return all
}

var (
	lowerCamelCase = regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)
	camelCase      = regexp.MustCompile(`^[A-Z][a-zA-Z0-9]*$`)
	// Words that are written in one case: appID, not appId.
	initialism = regexp.MustCompile(`(Id|Url|Uri|Tls|Ttl|Api|Ca|Ai|Pvc|Ip|Dns|Http|Json|Cpu)([A-Z].*)?$`)
)

// deviations are where the API departs from the Kubernetes API conventions on purpose: docs/api-policy.md says why of each. One
// that is not listed is an accident; one that is listed and is none any more is old.
var deviations = map[string][]string{
	// A boolean cannot become a third thing.
	"boolean": {
		"spec.ingress.enabled", "spec.keywords[].handover", "spec.menu[].handover", "spec.menu[].items[].handover", "spec.networkPolicy.enabled", "spec.reply.feedback",
		"spec.reply.page.enabled", "spec.reply.sources", "spec.reply.suggestions", "spec.session.redis.external.tls.enabled",
		"spec.session.redis.external.tls.insecureSkipVerify", "spec.session.redis.managed.deletePVC", "spec.suspend", "spec.wechat.allowPlain",
	},
	// Values of others, not words of ours.
	"enum": {
		"spec.keywords[].command", "spec.menu[].command", "spec.menu[].items[].command", "spec.reply.language",
	},
	// Lists of named objects are preferred.
	"map": {
		"spec.dify.inputs", "spec.ingress.annotations", "spec.reply.texts", "spec.resources.limits", "spec.resources.requests",
		"spec.session.redis.managed.nodeSelector", "spec.session.redis.managed.resources.limits",
		"spec.session.redis.managed.resources.requests", "spec.wechat.verificationFiles",
	},
	// Integers with the unit in the name are preferred.
	"duration": {
		"spec.dify.idleTimeout", "spec.dify.timeout", "spec.limits.window", "spec.reply.deadline", "spec.reply.page.ttl", "spec.session.idleTimeout",
	},
}

// crdSchema is the schema of the CRD's one version.
func crdSchema(t *testing.T) map[string]any {
	t.Helper()
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				}
			}
		}
	}
	readYAML(t, "config/crd/bases/wechatbot.dev_wechatbots.yaml", &crd)
	if len(crd.Spec.Versions) != 1 {
		t.Fatalf("the CRD has %d versions: docs/api-policy.md says that their schemas are equal", len(crd.Spec.Versions))
	}
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// What every field of the CRD keeps of the Kubernetes API conventions, and where it departs from them on purpose.
func TestFields_KeepTheConventions(t *testing.T) {
	found := map[string][]string{}
	note := func(deviation, path string) { found[deviation] = append(found[deviation], path) }
	all := fields("", crdSchema(t))
	if len(all) < 80 {
		t.Fatalf("only %d fields found", len(all))
	}
	for _, f := range all {
		if !strings.HasPrefix(f.path, "spec.") && !strings.HasPrefix(f.path, "status.") {
			continue
		}
		if f.name != "" && (!lowerCamelCase.MatchString(f.name) || initialism.MatchString(f.name)) {
			t.Errorf("%s: names are lowerCamelCase, with initialisms in one case", f.path)
		}
		reference := strings.HasSuffix(f.name, "Ref") || strings.HasSuffix(f.name, "Refs")
		switch f.schema["type"] {
		case "boolean":
			note("boolean", f.path)
		case "number":
			t.Errorf("%s: a floating point number does not survive every client", f.path)
		case "integer":
			if format := f.schema["format"]; format != "int32" && format != "int64" {
				t.Errorf("%s: the size of an integer is int32 or int64, not %v", f.path, format)
			}
		case "array":
			if kind, _ := f.schema["x-kubernetes-list-type"].(string); kind == "" {
				t.Errorf("%s: x-kubernetes-list-type says how two managers share the list", f.path)
			}
			if !strings.HasSuffix(f.name, "s") && f.name != "menu" && f.name != "" {
				t.Errorf("%s: a list's name is a plural", f.path)
			}
		case "object":
			if _, isMap := f.schema["additionalProperties"]; isMap {
				note("map", f.path)
			}
		}
		if reference && f.schema["type"] == "string" {
			t.Errorf("%s: a reference is an object, or its name ends in Name", f.path)
		}
		if rules := fmt.Sprint(f.schema["x-kubernetes-validations"]); strings.Contains(rules, "duration(self)") {
			note("duration", f.path)
		}
		for _, value := range asList(f.schema["enum"]) {
			if word, isText := value.(string); isText && !camelCase.MatchString(word) {
				note("enum", f.path)
				break
			}
		}
		if f.name != "" && f.schema["description"] == nil {
			t.Errorf("%s: it has no description", f.path)
		}
	}
	for deviation, want := range deviations {
		paths := found[deviation]
		slices.Sort(paths)
		if !slices.Equal(paths, want) {
			t.Errorf("%s: found %v, docs/api-policy.md and this test name %v", deviation, paths, want)
		}
	}
}

func asList(value any) []any {
	list, _ := value.([]any)
	return list
}

// docs/api-policy.md names each deviation, so that the review is read where the next field is thought of.
func TestDeviations_AreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(repository, "docs", "api-policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, paths := range deviations {
		for _, path := range paths {
			name := strings.TrimPrefix(path, "spec.")
			name = strings.ReplaceAll(strings.ReplaceAll(name, "[]", ""), "menu.items.", "menu.")
			name = strings.Replace(name, "managed.resources.", "resources.", 1)
			name = strings.TrimPrefix(name, "session.redis.")
			name = strings.TrimSuffix(strings.TrimSuffix(name, ".limits"), ".requests")
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/api-policy.md does not have `%s`", name)
			}
		}
	}
}
