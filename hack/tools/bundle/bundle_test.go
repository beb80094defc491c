package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	root    = "../../.."
	release = "v1.2.3"
	image   = "registry.example.com/wechatbot-operator"
	csvFile = "manifests/wechatbot-operator.clusterserviceversion.yaml"
	crdFile = "manifests/wechatbots.wechatbot.dev.crd.yaml"
)

// generate runs hack/bundle.sh, which needs bin/kustomize and bin/bundle.
func generate(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "bundle")
	command := exec.CommandContext(t.Context(), root+"/hack/bundle.sh")
	command.Env = append(os.Environ(), "VERSION="+release, "IMAGE="+image, "OUT="+out, "SOURCE_DATE_EPOCH=1700000000")
	if printed, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	return out
}

func readYAML(t *testing.T, path string) map[string]any {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := sigsyaml.Unmarshal(content, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// only gives the only element of a list.
func only(t *testing.T, object map[string]any, path ...string) map[string]any {
	t.Helper()
	elements, _, _ := unstructured.NestedSlice(object, path...)
	if len(elements) != 1 {
		t.Fatalf("%v has %d elements, want 1", path, len(elements))
	}
	element, ok := elements[0].(map[string]any)
	if !ok {
		t.Fatalf("%v has the element %v", path, elements[0])
	}
	return element
}

// nested gives what is at a path of names, or nil.
func nested(object map[string]any, path ...string) any {
	found, _, _ := unstructured.NestedFieldNoCopy(object, path...)
	return found
}

func TestBundle_IsValid(t *testing.T) {
	out := generate(t)
	warnings, err := validate(out)
	if err != nil {
		t.Error(err)
	}
	for _, w := range warnings {
		t.Errorf("cure it, or say here why it stays: %s", w)
	}
	csv := readYAML(t, filepath.Join(out, csvFile))
	if name := nested(csv, "metadata", "name"); name != "wechatbot-operator.v1.2.3" {
		t.Errorf("the version is called %v", name)
	}
	content, err := json.Marshal(nested(csv, "spec", "install"))
	if err != nil {
		t.Fatal(err)
	}
	// The operator's container, and the image that it gives bots.
	if n := strings.Count(string(content), `"`+image+":"+release+`"`); n != 2 {
		t.Errorf("the image %s:%s is named %d times, want 2:\n%s", image, release, n, content)
	}
}

// What OLM installs is what kustomize does: the pod, and all that the operator's account may do.
func TestBundle_InstallsConfigDefault(t *testing.T) {
	out := generate(t)
	rendered, err := exec.CommandContext(t.Context(), root+"/bin/kustomize", "build", root+"/config/default").Output()
	if err != nil {
		t.Fatal(err)
	}
	manifests := filepath.Join(t.TempDir(), "default.yaml")
	text := strings.ReplaceAll(string(rendered), "wechatbot-operator:latest", image+":"+release)
	if err := os.WriteFile(manifests, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	objects, err := readObjects(manifests)
	if err != nil {
		t.Fatal(err)
	}
	csv := readYAML(t, filepath.Join(out, csvFile))
	rules := map[string]int{}
	for _, object := range objects {
		switch file := filepath.Join(out, "manifests", object.GetName()+"."+strings.ToLower(object.GetKind())+".yaml"); object.GetKind() {
		case "Deployment":
			equal(t, "the pods", only(t, csv, "spec", "install", "spec", "deployments")["spec"], object.Object["spec"])
		case "CustomResourceDefinition":
			equal(t, "the CRD", readYAML(t, filepath.Join(out, crdFile)), object.Object)
		case "ClusterRoleBinding", "RoleBinding":
			kind, _, _ := unstructured.NestedString(object.Object, "roleRef", "kind")
			name, _, _ := unstructured.NestedString(object.Object, "roleRef", "name")
			of, err := rulesOf(objects, kind, name)
			if err != nil {
				t.Fatal(err)
			}
			rules[object.GetKind()] += len(of)
		case "Service":
			if made := readYAML(t, file); nested(made, "metadata", "namespace") != nil {
				t.Errorf("%s is bound to a namespace", file)
			} else {
				equal(t, file, made["spec"], object.Object["spec"])
			}
		case "ClusterRole":
			if strings.HasPrefix(object.GetName(), "wechatbot-manager") || object.GetName() == "wechatbot-metrics-auth" {
				continue // bound to the operator's account
			}
			equal(t, file, readYAML(t, file), object.Object)
		}
	}
	for binding, part := range map[string]string{"ClusterRoleBinding": "clusterPermissions", "RoleBinding": "permissions"} {
		granted, _, _ := unstructured.NestedSlice(only(t, csv, "spec", "install", "spec", part), "rules")
		if len(granted) != rules[binding] || len(granted) == 0 {
			t.Errorf("%s have %d rules, config/default gives %d", part, len(granted), rules[binding])
		}
	}
}

// equal compares by what is written: numbers that were read from YAML have other types than those of JSON.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	var texts [2]string
	for i, value := range []any{got, want} {
		content, err := sigsyaml.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(content)
	}
	if texts[0] != texts[1] {
		t.Errorf("%s is\n%s\nwant\n%s", what, texts[0], texts[1])
	}
}

func TestBundle_ExamplesAreTheSamples(t *testing.T) {
	csv := readYAML(t, filepath.Join(generate(t), csvFile))
	text, _ := nested(csv, "metadata", "annotations", "alm-examples").(string)
	var examples []map[string]any
	if err := json.Unmarshal([]byte(text), &examples); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(root + "/config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, file := range files {
		objects, err := readObjects(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range objects {
			if object.GetKind() == "WechatBot" {
				want = append(want, object.GetName())
			}
		}
	}
	for _, example := range examples {
		name, _, _ := unstructured.NestedString(example, "metadata", "name")
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("the examples are %v, config/samples has %v", got, want)
	}
}

func TestBundle_SameInputsGiveSameFiles(t *testing.T) {
	a, b := generate(t), generate(t)
	if out, err := exec.CommandContext(t.Context(), "diff", "-r", a, b).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What the test of a valid bundle trusts in: broken ones fail, or are warned of.
func TestValidate_BrokenBundles(t *testing.T) {
	valid := generate(t)
	replace := func(file, old, instead string) func(*testing.T, string) {
		return func(t *testing.T, folder string) {
			t.Helper()
			path := filepath.Join(folder, file)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(content), old, instead, 1)
			if changed == string(content) {
				t.Fatalf("%s has no %q", file, old)
			}
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(file string) func(*testing.T, string) {
		return func(t *testing.T, folder string) {
			t.Helper()
			if err := os.Remove(filepath.Join(folder, file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	const metadata = "metadata/annotations.yaml"
	for name, c := range map[string]struct {
		breakIt       func(*testing.T, string)
		fault, warned string
	}{
		"no CRD":                   {remove(crdFile), `owned CRD "wechatbot.dev/v1alpha1, Kind=WechatBot" not found`, ""},
		"no CSV":                   {remove(csvFile), "unable to find a csv", ""},
		"no metadata":              {remove(metadata), "loading the metadata", ""},
		"no package":               {replace(metadata, "bundle.package.v1", "bundle.packaged.v1"), "name no package", ""},
		"another owned version":    {replace(csvFile, "      version: v1alpha1\n", "      version: v1beta1\n"), `owned CRD "wechatbot.dev/v1beta1, Kind=WechatBot" not found`, ""},
		"an example of no kind":    {replace(csvFile, `"kind": "WechatBot"`, `"kind": "WechatBat"`), "example must have a provided API", ""},
		"a name with blanks":       {replace(csvFile, "  name: wechatbot-operator.v1.2.3", "  name: wechatbot operator"), "metadata.name", ""},
		"no install modes":         {replace(csvFile, "  installModes:", "  installMode:"), "install modes not found", ""},
		"no mode that works":       {replace(csvFile, "  - supported: true\n", "  - supported: false\n"), "none of InstallModeTypes are supported", ""},
		"no provider":              {replace(csvFile, "    name: "+provider, "    nome: "+provider), "Provider.Name", ""},
		"a field of no pod":        {replace(csvFile, "enableServiceLinks: false", "enableServiceLink: false"), "OLM's schema has no .spec.install.spec.deployments[0].spec.template.spec.enableServiceLink", ""},
		"a port that is text":      {replace(csvFile, "containerPort: 8081", "containerPort: health"), "containerPort", ""},
		"a level nobody knows":     {replace(csvFile, "capabilities: Seamless Upgrades", "capabilities: Upgrades"), "capabilities level", ""},
		"a CRD of another group":   {replace(crdFile, "  group: wechatbot.dev", "  group: wechatbots.dev"), "wechatbots.wechatbot.dev", ""},
		"too large":                {replace(csvFile, "  description: 'Puts", "  description: '"+strings.Repeat("very ", limit/5)+"Puts"), "OLM can unpack", ""},
		"no icon":                  {replace(csvFile, "  icon:", "  icons:"), "no .spec.icons", "csv.Spec.Icon not specified"},
		"a channel of some name":   {replace(metadata, "channels.v1: stable", "channels.v1: main"), "", "recommended naming convention"},
		"no oldest Kubernetes":     {replace(csvFile, "minKubeVersion", "minKubernetesVersion"), "no .spec.minKubernetesVersion", "minKubeVersion"},
		"no examples":              {replace(csvFile, "alm-examples", "examples"), "", "example annotations not found"},
		"rights on disruptions":    {replace("manifests/wechatbot-edit.clusterrole.yaml", "- apiGroups:\n  - wechatbot.dev\n  resources:\n  - wechatbots\n  verbs:", "- apiGroups:\n  - policy\n  resources:\n  - poddisruptionbudgets\n  verbs:"), "", "poddisruptionbudgets"},
		"what was valid, is still": {func(*testing.T, string) {}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.CopyFS(folder, os.DirFS(valid)); err != nil {
				t.Fatal(err)
			}
			c.breakIt(t, folder)
			warnings, err := validate(folder)
			if (c.fault == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("got the error %v, want one with %q", err, c.fault)
			}
			if all := strings.Join(warnings, "\n"); !strings.Contains(all, c.warned) || c.fault == "" && c.warned == "" && all != "" {
				t.Errorf("got the warnings %q, want one with %q", all, c.warned)
			}
		})
	}
}

func TestRun_RefusesVersions(t *testing.T) {
	for _, text := range []string{"", "1.2.3", "v1.2", "9c0b687", "v01.2.3", "vv1.2.3"} {
		err := run(options{root: root, manifests: "none.yaml", version: text, out: t.TempDir()}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "version") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
