// Package live_test holds the pages to what needs a control plane: objects are applied, kubectl is asked for its flags, and
// what is marked local is run. All else of the pages is package docs'.
package live_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/test/docs"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

const repository = "../../.."

// controlPlane is the API server that the objects of the pages are applied to.
var controlPlane *envtest.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(envtest.Main(func(c *envtest.ControlPlane) (int, error) {
		controlPlane = c
		return m.Run(), nil
	}))
}

// Objects are as a user would apply them: known fields only, accepted by the API server.
func TestEveryObjectIsAccepted(t *testing.T) {
	namespace := controlPlane.Namespace(t, "docs")
	bots := 0
	for _, p := range docs.Read(t, repository) {
		for _, b := range p.Blocks {
			if b.Language != "yaml" {
				continue
			}
			for i, document := range regexp.MustCompile(`(?m)^---$`).Split(b.Text, -1) {
				at := fmt.Sprintf("%s:%d: document %d", p.Path, b.Line, i+1)
				var object unstructured.Unstructured
				if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
					t.Errorf("%s: %v", at, err)
					continue
				}
				if known(&object) {
					accept(t, at, namespace, &object)
				}
				if object.GetKind() == "WechatBot" {
					bots++
				}
			}
		}
	}
	if bots < 3 {
		t.Errorf("only %d bots found", bots)
	}
}

// known tells whether the control plane of the tests serves the kind. The others need a controller's CRDs.
func known(object *unstructured.Unstructured) bool {
	group := object.GroupVersionKind().Group
	return object.GetKind() != "" && (!strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io") && group != "gateway.networking.k8s.io" ||
		group == v1alpha1.SchemeGroupVersion.Group)
}

func accept(t *testing.T, at, namespace string, object *unstructured.Unstructured) {
	t.Helper()
	if object.GetKind() == "WechatBot" {
		content, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(content, new(v1alpha1.WechatBot)); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	object.SetNamespace(namespace)
	content, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := controlPlane.Kubectl(t.Context(), string(content), "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"); err != nil {
		t.Errorf("%s: %v", at, err)
	}
}

// Flags of kubectl's are there where a page calls it.
func TestEveryFlagOfKubectlExists(t *testing.T) {
	kubectl, calls := kubectlFlags(t), 0
	for _, p := range docs.Read(t, repository) {
		for at, texts := range p.Code() {
			for _, text := range texts {
				words, isKubectl := strings.CutPrefix(text, "kubectl ")
				if !isKubectl || strings.HasPrefix(words, "krew ") || strings.HasPrefix(words, "wechatbot") { // plugins
					continue
				}
				words, _, _ = strings.Cut(words, " | ")
				known := kubectl(words)
				calls++
				for _, flag := range docs.Flags(words) {
					if !slices.Contains(known, flag) {
						t.Errorf("%s: kubectl has no --%s there (%s)", at, flag, text)
					}
				}
			}
		}
	}
	if calls < 10 {
		t.Errorf("only %d calls of kubectl found", calls)
	}
}

// kubectlFlags gives a function that tells the flags of a call of kubectl.
func kubectlFlags(t *testing.T) func(call string) []string {
	t.Helper()
	ask := func(arguments ...string) []string {
		out, err := controlPlane.Kubectl(t.Context(), "", arguments...)
		if err != nil {
			t.Fatal(err)
		}
		return docs.Flags(out)
	}
	options := append(ask("options"), "help")
	known := map[string][]string{}
	return func(call string) []string {
		words := subcommand(call)
		if known[words] == nil {
			known[words] = slices.Concat(ask(append(strings.Fields(words), "--help")...), options)
		}
		return known[words]
	}
}

// nested are kubectl's commands that have commands.
var nested = []string{"auth", "certificate", "config", "create", "rollout", "set", "top"}

// subcommand is what kubectl is asked to do: "get", "create secret generic".
func subcommand(call string) string {
	var words []string
	skip := false
	for word := range strings.FieldsSeq(call) {
		switch {
		case skip:
			skip = false
		case len(words) == 0 && (word == "-n" || word == "--namespace"):
			skip = true
		case strings.HasPrefix(word, "-"):
			if len(words) > 0 {
				return strings.Join(words, " ")
			}
		default:
			words = append(words, word)
			deeper := len(words) == 1 && slices.Contains(nested, word) || len(words) == 2 && words[0] == "create" && word == "secret"
			if !deeper {
				return strings.Join(words, " ")
			}
		}
	}
	return strings.Join(words, " ")
}

// What is marked local is run here: it needs the repository, its tools, and no cluster.
func TestLocalCommandsWork(t *testing.T) {
	dir, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, p := range docs.Read(t, repository) {
		if !slices.ContainsFunc(p.Blocks, func(b docs.Block) bool { return b.Run == docs.Local }) {
			continue
		}
		ran++
		var out strings.Builder
		env := append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+filepath.Join(dir, "bin", "controlplane")+":"+os.Getenv("PATH"))
		err := docs.Run{Marks: []docs.Mark{docs.Local}, Dir: dir, Env: env, Out: &out}.Page(t.Context(), p)
		if err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
	}
	if ran == 0 {
		t.Error("nothing is marked local")
	}
}
