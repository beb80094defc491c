package v1alpha1_test

import (
	"context"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// controlPlane is the API server that every test of the package uses, each in a namespace of its own.
var controlPlane *envtest.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(envtest.Main(func(c *envtest.ControlPlane) (int, error) {
		controlPlane = c
		return m.Run(), nil
	}))
}

// minimal is the object that the documentation promises to be enough.
const minimal = `
apiVersion: wechatbot.dev/v1alpha1
kind: WechatBot
metadata: {name: winter}
spec:
  domain: bot.example.com
  tokenSecretRef: {name: winter, key: token}
  dify:
    apiKeySecretRef: {name: winter, key: dify-key}
`

// bots is access to the WechatBots of a new namespace, as users have it: without Go types, strictly validated.
type bots struct {
	dynamic.ResourceInterface

	namespace string
}

func newBots(t *testing.T) bots {
	t.Helper()
	client, err := dynamic.NewForConfig(controlPlane.Config)
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	namespace := controlPlane.Namespace(t, "api")

	return bots{client.Resource(v1alpha1.SchemeGroupVersion.WithResource("wechatbots")).Namespace(namespace), namespace}
}

func (b bots) create(ctx context.Context, bot *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return b.Create(ctx, bot, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
}

func (b bots) update(ctx context.Context, bot *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return b.Update(ctx, bot, metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
}

// mustCreate creates the minimal object with a change.
func (b bots) mustCreate(t *testing.T, change string) *unstructured.Unstructured {
	t.Helper()
	bot, err := b.create(t.Context(), changed(t, parse(t, minimal), change))
	if err != nil {
		t.Fatalf("creating the object to start from: %v", err)
	}

	return bot
}

func parse(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
		t.Fatalf("parsing %q: %v", manifest, err)
	}

	return &unstructured.Unstructured{Object: object}
}

// changed gives a copy of bot with a change merged in, in which null removes a field (RFC 7386).
func changed(t *testing.T, bot *unstructured.Unstructured, change string) *unstructured.Unstructured {
	t.Helper()

	return &unstructured.Unstructured{Object: merge(bot.Object, parse(t, change).Object)}
}

func merge(into, change map[string]any) map[string]any {
	merged := maps.Clone(into)
	if merged == nil {
		merged = map[string]any{}
	}
	for key, value := range change {
		switch value := value.(type) {
		case nil:
			delete(merged, key)
		case map[string]any:
			below, _ := merged[key].(map[string]any)
			merged[key] = merge(below, value)
		default:
			merged[key] = value
		}
	}

	return merged
}

var alwaysTheSame = regexp.MustCompile(`^WechatBot\.wechatbot\.dev "[^"]*" is invalid: `)

// refusal is what the API server says of an object, without the part that is always the same.
func refusal(err error) string {
	if err == nil {
		return ""
	}

	return alwaysTheSame.ReplaceAllString(err.Error(), "")
}

// otherThan compares what the API server says of an object with the words that are wanted, and gives the difference.
func otherThan(t *testing.T, want string, err error) string {
	t.Helper()

	return cmp.Diff(controlPlane.Comparable(t, want), controlPlane.Comparable(t, refusal(err)))
}

// golden compares got with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("differs from %s; if that is meant: go test ./api/v1alpha1 -update (-want +got):\n%s", path, diff)
	}
}

// repositoryFiles gives the files of the repository that match a pattern.
func repositoryFiles(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}

	return files
}
