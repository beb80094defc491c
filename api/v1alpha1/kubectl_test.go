package v1alpha1_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSamplesAreAccepted(t *testing.T) {
	namespace := controlPlane.Namespace(t, "samples")
	for _, file := range repositoryFiles(t, "config/samples/*.yaml") {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			manifest, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out, err := controlPlane.Kubectl(t.Context(), string(manifest), "apply", "-n", namespace, "-f", "-", "--dry-run=server", "--validate=strict")
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`^((wechatbot\.wechatbot\.dev|horizontalpodautoscaler\.autoscaling)/[a-z]+ created \(server dry run\)\n)+$`).MatchString(out) {
				t.Errorf("kubectl apply says %q", out)
			}
		})
	}
}

// TestExplainIsTheManual pins the tree of fields, and what is said of the fields a newcomer asks for first.
func TestExplainIsTheManual(t *testing.T) {
	for _, c := range []struct {
		golden string
		args   []string
	}{
		{"explain/recursive.txt", []string{"wechatbot", "--recursive"}},
		{"explain/spec.txt", []string{"wechatbot.spec"}},
		{"explain/reply.txt", []string{"wechatbot.spec.reply"}},
		{"explain/texts.txt", []string{"wechatbot.spec.reply.texts"}},
		{"explain/status.txt", []string{"wbot.status"}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			t.Parallel()
			out, err := controlPlane.Kubectl(t.Context(), "", append([]string{"explain"}, c.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, c.golden, out)
		})
	}
}

func TestColumns(t *testing.T) {
	b := newBots(t)
	stored := b.mustCreate(t, `{}`)
	b.mustCreate(t, `metadata: {name: fresh}`)
	if _, err := b.UpdateStatus(t.Context(), changed(t, stored, `
status:
  url: https://bot.example.com/wechat
  replicas: 1
  readyReplicas: 1
  dify: {appName: Winter}
  summary: 1/1 replicas serve
  conditions:
  - {type: Available, status: "True", reason: PodsReady, message: not shown, lastTransitionTime: "2026-01-02T03:04:05Z"}
  - {type: Connected, status: "False", reason: NoPushYet, message: not shown, lastTransitionTime: "2026-01-02T03:04:05Z"}
  - {type: Ready, status: "True", reason: Serving, message: 1/1 replicas serve, lastTransitionTime: "2026-01-02T03:04:05Z"}
`), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"narrow", []string{"get", "wbot"}, `
NAME     READY   CONNECTED   REASON    URL                              AGE   STATUS
fresh                                                                   0s    
winter   True    False       Serving   https://bot.example.com/wechat   0s    1/1 replicas serve
`},
		{"wide", []string{"get", "wechatbots", "-o", "wide"}, `
NAME     READY   CONNECTED   REASON    URL                              AGE   REPLICAS   SESSION     DIFY     STATUS
fresh                                                                   0s               ConfigMap            
winter   True    False       Serving   https://bot.example.com/wechat   0s    1          ConfigMap   Winter   1/1 replicas serve
`},
		{"by category", []string{"get", "wechat", "-o", "name"}, `
wechatbot.wechatbot.dev/fresh
wechatbot.wechatbot.dev/winter
`},
		{"among all", []string{"get", "all", "-o", "name"}, `
wechatbot.wechatbot.dev/fresh
wechatbot.wechatbot.dev/winter
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := controlPlane.Kubectl(t.Context(), "", append(c.args, "-n", b.namespace)...)
			if err != nil {
				t.Fatal(err)
			}
			if got := "\n" + regexp.MustCompile(` \d+s( |\n)`).ReplaceAllString(out, " 0s$1"); got != c.want {
				t.Errorf("got:%s\nwant:%s", strings.ReplaceAll(got, " ", "·"), strings.ReplaceAll(c.want, " ", "·"))
			}
		})
	}
}
