package desired_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// whole are fields of the spec that are taken as one: their insides are Kubernetes' own, or depend on each other.
var whole = []string{"imagePullSecrets", "podTemplate", "resources", "menu", "keywords"}

// fields gives the paths of the leaves of a schema.
func fields(schema *apiextensionsv1.JSONSchemaProps, path string) (all []string) {
	switch {
	case slices.Contains(whole, path):
	case len(schema.Properties) > 0:
		for name := range schema.Properties {
			property := schema.Properties[name]
			all = append(all, fields(&property, strings.TrimPrefix(path+"."+name, "."))...)
		}
		return all
	case schema.Items != nil:
		return fields(schema.Items.Schema, path+".0")
	}
	return []string{path}
}

// specFields are all fields that a WechatBot's spec can have.
func specFields(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "wechatbot.dev_wechatbots.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	crd := new(apiextensionsv1.CustomResourceDefinition)
	if err := yaml.UnmarshalStrict(content, crd); err != nil {
		t.Fatal(err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	all := fields(&spec, "")
	slices.Sort(all)
	return all
}

// set puts a value at a path of maps and lists.
func set(tree any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if i, err := strconv.Atoi(path[0]); err == nil {
		list, _ := tree.([]any)
		for len(list) <= i {
			list = append(list, nil)
		}
		list[i] = set(list[i], path[1:], value)
		return list
	}
	object, ok := tree.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	object[path[0]] = set(object[path[0]], path[1:], value)
	return object
}

// changed gives the bot with a field of the spec set.
func changed(t *testing.T, bot *v1alpha1.WechatBot, field, value string) *v1alpha1.WechatBot {
	t.Helper()
	var to any
	var tree map[string]any
	content, err := json.Marshal(bot)
	if err == nil {
		err = json.Unmarshal(content, &tree)
	}
	if err == nil {
		err = yaml.Unmarshal([]byte(value), &to)
	}
	if err == nil {
		tree["spec"] = set(tree["spec"], strings.Split(field, "."), to)
		content, err = json.Marshal(tree)
	}
	result := new(v1alpha1.WechatBot)
	if err == nil {
		err = yaml.UnmarshalStrict(content, result)
	}
	if err != nil {
		t.Fatal(err)
	}
	return result
}

var hashes = regexp.MustCompile(`(-config-[0-9a-f]{10}\b)|(\n *wechatbot.dev/template: [0-9a-f]{32}\b)`)

// places are the values of all the bot's children, by object and path. The server's configuration counts as an object.
func places(t *testing.T, bot *v1alpha1.WechatBot) map[string]string {
	t.Helper()
	children, err := desired.All(bot, operator, desired.Surroundings{GatewayAPI: true})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	// What only says by hashes that something else differs.
	plain := hashes.ReplaceAllString(manifest(t, children), "")
	for document := range strings.SplitSeq(plain, "---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		if len(object) == 0 {
			continue
		}
		kind := fmt.Sprint(object["kind"])
		if data, ok := object["data"].(map[string]any); ok && data["config.yaml"] != nil {
			var config any
			if err := yaml.Unmarshal([]byte(fmt.Sprint(data["config.yaml"])), &config); err != nil {
				t.Fatal(err)
			}
			flatten(all, "config", config)
			delete(object, "data")
		}
		name := reflect.ValueOf(object["metadata"]).MapIndex(reflect.ValueOf("name"))
		flatten(all, kind+" "+fmt.Sprint(name), object)
	}
	return all
}

func flatten(all map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			flatten(all, path+" "+key, value)
		}
	case []any:
		for i, value := range v {
			flatten(all, path+" "+strconv.Itoa(i), value)
		}
	default:
		all[path] = fmt.Sprint(v)
	}
}

// differences are the places whose values differ; an object that comes or goes counts once.
func differences(before, after map[string]string) []string {
	objects := func(places map[string]string) map[string]bool {
		found := map[string]bool{}
		for place := range places {
			found[object(place)] = true
		}
		return found
	}
	was, is := objects(before), objects(after)
	found := map[string]bool{}
	compare := func(place string) {
		o := object(place)
		switch {
		case before[place] == after[place]:
		case !was[o]:
			found["+ "+o] = true
		case !is[o]:
			found["- "+o] = true
		default:
			found[place] = true
		}
	}
	for place := range before {
		compare(place)
	}
	for place := range after {
		compare(place)
	}
	all := []string{}
	for place := range found {
		all = append(all, place)
	}
	slices.Sort(all)
	return all
}

func object(place string) string {
	kind, rest, _ := strings.Cut(place, " ")
	if kind == "config" {
		return kind
	}
	name, _, _ := strings.Cut(rest, " ")
	return kind + " " + name
}

// Each field of the spec reaches the places that are written here, and no others: a field without a row fails, and so
// does a row that is not a field.
func TestEveryFieldReachesItsPlace(t *testing.T) {
	rows := fieldRows()
	var known []string
	for _, row := range rows {
		known = append(known, row.field)
		t.Run(row.field, func(t *testing.T) {
			bot := sample(t, row.sample)
			before, after := places(t, bot), places(t, changed(t, bot, row.field, row.value))
			got := differences(before, after)
			if diff := cmp.Diff(strings.Split(row.reaches, "\n"), got); diff != "" && (row.reaches != "" || len(got) > 0) {
				t.Errorf("it reaches other places (-want +got):\n%s", diff)
			}
			if row.holds == "" {
				return
			}
			for _, place := range got {
				if after[place] == row.holds {
					return
				}
			}
			t.Errorf("no place holds %q", row.holds)
		})
	}
	slices.Sort(known)
	if diff := cmp.Diff(specFields(t), slices.Compact(known)); diff != "" {
		t.Errorf("the fields of the schema and the rows of this test differ (-schema +rows):\n%s", diff)
	}
}
