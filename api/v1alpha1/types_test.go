package v1alpha1_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// canonical writes the durations of a spec in Go's way (60s as 1m0s), so that two spellings of one spec compare equal.
func canonical(value any) any {
	switch value := value.(type) {
	case map[string]any:
		made := make(map[string]any, len(value))
		for key, v := range value {
			made[key] = canonical(v)
		}

		return made
	case string:
		if d, err := time.ParseDuration(value); err == nil {
			return d.String()
		}
	}

	return value
}

func TestAddToScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for kind, object := range map[string]runtime.Object{"WechatBot": &v1alpha1.WechatBot{}, "WechatBotList": &v1alpha1.WechatBotList{}} {
		made, err := scheme.New(v1alpha1.SchemeGroupVersion.WithKind(kind))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(object, made); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
}

// full gives an object with every field set, the status too.
func full(t *testing.T) *v1alpha1.WechatBot {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var bot v1alpha1.WechatBot
	if err := yaml.UnmarshalStrict(manifest, &bot); err != nil {
		t.Fatal(err)
	}

	return &bot
}

func TestDeepCopySharesNothing(t *testing.T) {
	bot := full(t)
	list := &v1alpha1.WechatBotList{Items: []v1alpha1.WechatBot{*bot}}
	copied, ok := list.DeepCopyObject().(*v1alpha1.WechatBotList)
	if !ok {
		t.Fatal("the copy of a list is not a list")
	}
	if diff := cmp.Diff(list, copied); diff != "" {
		t.Fatalf("the copy differs (-list +copy):\n%s", diff)
	}
	other := copied.Items[0]
	other.Annotations["a"] = "changed"
	other.Spec.WeChat.EncodingAESKeySecretRef.Key = "changed"
	other.Spec.WeChat.VerificationFiles["MP_verify_AbCdEfGhIjKlMnOp.txt"] = "changed"
	other.Spec.Dify.Inputs["city"] = "changed"
	*other.Spec.Reply.HoldsPerMinute = 1
	other.Spec.Reply.Texts["help"] = "changed"
	other.Spec.Session.Redis.External.Addresses[0] = "changed:1"
	other.Spec.Session.Redis.External.TLS.CASecretRef.Key = "changed"
	other.Spec.Session.Redis.Managed.Storage.Sub(resource.MustParse("1Gi"))
	clear(other.Spec.Session.Redis.Managed.Resources.Limits)
	*other.Spec.Ingress.Enabled = false
	other.Spec.Ingress.Annotations["a"] = "changed"
	other.Spec.Ingress.TLS.IssuerRef.Name = "changed"
	other.Spec.Gateway.ParentRefs[0].Name = "changed"
	other.Spec.ImagePullSecrets[0].Name = "changed"
	clear(other.Spec.Resources.Limits)
	other.Spec.PodTemplate.Raw[0] = '!'
	other.Status.Conditions[0].Type = "changed"
	if diff := cmp.Diff(full(t), bot); diff != "" {
		t.Errorf("a change of the copy changed the original (-before +after):\n%s", diff)
	}
}

// TestFullHasEveryField keeps testdata/full.yaml, and the tests that use it, complete.
func TestFullHasEveryField(t *testing.T) {
	schema := crd(t)
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(full(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"spec", "status"} {
		properties, _, _ := unstructured.NestedMap(schema, "properties", part)
		everyField(t, part, properties, object[part])
	}
}

func everyField(t *testing.T, path string, schema map[string]any, value any) {
	t.Helper()
	if items, ok := schema["items"].(map[string]any); ok {
		list, _ := value.([]any)
		if len(list) == 0 {
			t.Errorf("%s is empty", path)

			return
		}
		everyField(t, path+"[0]", items, list[0])

		return
	}
	properties, _ := schema["properties"].(map[string]any)
	below, _ := value.(map[string]any)
	for name, property := range properties {
		at := path + "." + name
		switch v, found := below[name]; {
		case strings.HasPrefix(at, "spec.resources.claims"), at == "status.conditions[0].observedGeneration":
		case !found:
			t.Errorf("%s is not set", at)
		default:
			everyField(t, at, asMap(t, property), v)
		}
	}
}

// TestEveryFieldIsDocumented: the comments are the manual, so each has one, and its default and bounds are in it.
func TestEveryFieldIsDocumented(t *testing.T) {
	documented(t, "spec", asMap(t, asMap(t, crd(t)["properties"])["spec"]))
}

func documented(t *testing.T, path string, schema map[string]any) {
	t.Helper()
	written, _ := schema["description"].(string)
	description := strings.Join(strings.Fields(written), " ")
	if strings.HasPrefix(path, "spec.resources.") {
		return // Kubernetes' own words
	}
	if description == "" {
		t.Errorf("%s has no description", path)
	}
	name := path[strings.LastIndex(path, ".")+1:]
	if !strings.HasPrefix(description, name+" ") && !strings.HasPrefix(path, "spec.imagePullSecrets.") && !strings.HasSuffix(path, "]") {
		t.Errorf("the description of %s does not begin with its name: %q", path, description)
	}
	if value, _ := schema["default"].(string); value != "" && !strings.Contains(description, "Default "+value) {
		t.Errorf("the description of %s does not tell the default %q: %q", path, value, description)
	}
	properties, _ := schema["properties"].(map[string]any)
	if items, ok := schema["items"].(map[string]any); ok {
		properties, _ = items["properties"].(map[string]any)
	}
	for name, property := range properties {
		documented(t, path+"."+name, asMap(t, property))
	}
}

func asMap(t *testing.T, value any) map[string]any {
	t.Helper()
	made, ok := value.(map[string]any)
	if !ok {
		t.Fatalf("not an object: %v", value)
	}

	return made
}

// crd gives the schema of the generated CRD.
func crd(t *testing.T) map[string]any {
	t.Helper()
	versions, _, err := unstructured.NestedSlice(parse(t, crdManifest(t)).Object, "spec", "versions")
	if err != nil || len(versions) != 1 {
		t.Fatalf("the CRD has %d versions: %v", len(versions), err)
	}
	schema, _, err := unstructured.NestedMap(asMap(t, versions[0]), "schema", "openAPIV3Schema")
	if err != nil {
		t.Fatal(err)
	}

	return schema
}

func crdManifest(t *testing.T) string {
	t.Helper()
	manifest, err := os.ReadFile(repositoryFiles(t, "config/crd/bases/*.yaml")[0])
	if err != nil {
		t.Fatal(err)
	}

	return string(manifest)
}

// TestCRDIsSmall: kubectl apply keeps a copy in an annotation, every API server and client that discovers it in memory.
func TestCRDIsSmall(t *testing.T) {
	stored, err := json.Marshal(parse(t, crdManifest(t)).Object)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored) > 48<<10 {
		t.Errorf("the CRD is %d bytes of JSON, more than 48 KiB", len(stored))
	}
}

// TestDefaultsAreTheServers: a bot behaves the same with and without the operator.
func TestDefaultsAreTheServers(t *testing.T) {
	var bot v1alpha1.WechatBot
	manifest, err := os.ReadFile(filepath.Join("testdata", "defaulted", "minimal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(manifest, &bot); err != nil {
		t.Fatal(err)
	}
	spec := bot.Spec
	got := serverconfig.Default()
	got.Path = spec.Path
	got.Dify.BaseURL = spec.Dify.BaseURL
	got.Dify.Timeout = serverconfig.Duration(spec.Dify.Timeout.Duration)
	got.Dify.IdleTimeout = serverconfig.Duration(spec.Dify.IdleTimeout.Duration)
	got.Reply.Deadline = serverconfig.Duration(spec.Reply.Deadline.Duration)
	got.Reply.HoldsPerMinute = int(*spec.Reply.HoldsPerMinute)
	got.Reply.Language = string(spec.Reply.Language)
	got.Limits.Questions = int(spec.Limits.Questions)
	got.Limits.Window = serverconfig.Duration(spec.Limits.Window.Duration)
	got.Limits.Concurrency = int(spec.Limits.Concurrency)
	got.Session.IdleTimeout = serverconfig.Duration(spec.Session.IdleTimeout.Duration)
	got.Session.History = int(spec.Session.History)
	if diff := cmp.Diff(serverconfig.Default(), got); diff != "" {
		t.Errorf("the CRD's defaults are not the server's (-server +CRD):\n%s", diff)
	}
}

// TestTextsAreTheServers: the CRD's list of texts is the server's, and each is documented.
func TestTextsAreTheServers(t *testing.T) {
	b := newBots(t)
	every := map[string]any{}
	texts, _, _ := unstructured.NestedMap(crd(t), "properties", "spec", "properties", "reply", "properties", "texts")
	for _, key := range serverconfig.TextKeys {
		every[key] = "text"
		if description, _ := texts["description"].(string); !strings.Contains(description, "\n"+key+" (") && !strings.Contains(description, " "+key+" (") {
			t.Errorf("the description of reply.texts does not tell what %s is for", key)
		}
	}
	bot := parse(t, minimal)
	if err := unstructured.SetNestedMap(bot.Object, every, "spec", "reply", "texts"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.create(t.Context(), bot); err != nil {
		t.Errorf("a bot with every text of the server's is refused: %v", err)
	}
}

// TestDeepCopyOfEveryType: the parts of an object can be copied by themselves, nil too.
func TestDeepCopyOfEveryType(t *testing.T) {
	bot := full(t)
	if bot.DeepCopyObject() == nil {
		t.Error("an object has no copy")
	}
	seen := map[reflect.Type]bool{}
	copyParts(t, reflect.ValueOf(bot), seen)
	copyParts(t, reflect.ValueOf(&v1alpha1.WechatBotList{Items: []v1alpha1.WechatBot{*bot}}), seen)
	if len(seen) < 20 {
		t.Errorf("only %d types were copied", len(seen))
	}
}

func copyParts(t *testing.T, value reflect.Value, seen map[reflect.Type]bool) {
	t.Helper()
	switch value.Kind() {
	case reflect.Pointer:
		if !value.IsNil() {
			copyParts(t, value.Elem(), seen)
		}
	case reflect.Slice:
		for i := range value.Len() {
			copyParts(t, value.Index(i), seen)
		}
	case reflect.Struct:
		if value.Type().PkgPath() != reflect.TypeFor[v1alpha1.WechatBot]().PkgPath() {
			return
		}
		seen[value.Type()] = true
		made := value.Addr().MethodByName("DeepCopy").Call(nil)[0]
		if diff := cmp.Diff(value.Addr().Interface(), made.Interface()); diff != "" || made.Pointer() == value.Addr().Pointer() {
			t.Errorf("copy of %s (-original +copy):\n%s", value.Type(), diff)
		}
		if none := reflect.Zero(value.Addr().Type()).MethodByName("DeepCopy").Call(nil)[0]; !none.IsNil() {
			t.Errorf("the copy of no %s is one", value.Type())
		}
		for _, field := range value.Fields() {
			copyParts(t, field, seen)
		}
	default:
	}
}
