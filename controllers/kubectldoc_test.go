package controllers_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

type replacement struct {
	found *regexp.Regexp
	shown string
}

var (
	// volatile is what differs from run to run in kubectl's output, and what the documentation has instead.
	volatile = []replacement{
		{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "2026-11-22T12:00:00Z"},
		{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "11111111-2222-3333-4444-555555555555"},
		{regexp.MustCompile(`Resource Version: +\d+`), "Resource Version:    1"},
		{regexp.MustCompile(`http://127\.0\.0\.1:\d+/v1`), "http://dify.example.com/v1"},
		{regexp.MustCompile(`10\.0\.\d+\.\d+`), "10.0.12.34"},
		{regexp.MustCompile(`until \d{4}-\d\d-\d\d`), "until 2027-02-20"},
	}
	// uncompared is what may differ between the documentation and kubectl's output: ages, and the width of columns.
	uncompared = []replacement{
		{regexp.MustCompile(`\b\d+s\b`), "5s"},
		{regexp.MustCompile(` {2,}`), "  "},
		{regexp.MustCompile(`(?m) +$`), ""},
	}
)

func replace(s string, all []replacement) string {
	for _, r := range all {
		s = r.found.ReplaceAllString(s, r.shown)
	}
	return s
}

// docs/kubectl.md shows what kubectl prints. With -update it is written anew.
func TestTheDocumentationShowsWhatKubectlPrints(t *testing.T) {
	path := filepath.Join("..", "docs", "kubectl.md")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bots"}}); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, namespace: "bots", difyURL: newDify(t, difysim.Options{Key: difyKey, AppName: "Winter"})}
	startOperator(t, quick())
	w.create(func(b *v1alpha1.WechatBot) { b.Spec.Domain = "bot.example.com" })
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonSecretNotFound)
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonSecretNotFound)

	var written strings.Builder
	for block := range strings.SplitAfterSeq(string(doc), "```console\n") {
		console, after, isConsole := strings.Cut(block, "```\n")
		if !isConsole || written.Len() == 0 {
			written.WriteString(block)
			continue
		}
		for line := range strings.Lines(console) {
			command, isCommand := strings.CutPrefix(strings.TrimSpace(line), "$ kubectl ")
			if !isCommand {
				continue
			}
			if strings.Contains(command, " wait ") {
				w.secret("winter", map[string]string{"token": "wintertoken", "dify-key": difyKey})
				w.serve()
				w.server("winter-6d4f9c7b8-x2x7k")
				w.expect(v1alpha1.ConditionConnected, isFalse, v1alpha1.ReasonNoPushYet)
			}
			out, err := controlPlane.Kubectl(t.Context(), "", strings.Fields(command)...)
			if err != nil {
				_, message, _ := strings.Cut(err.Error(), "exit status 1: ")
				out += message
			}
			written.WriteString("$ kubectl " + command + "\n" + strings.TrimSpace(replace(out, volatile)) + "\n")
		}
		written.WriteString("```\n" + after)
	}
	if *update {
		if err := os.WriteFile(path, []byte(written.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	compared := func(s string) string { return controlPlane.Comparable(t, replace(s, uncompared)) }
	if diff := cmp.Diff(compared(string(doc)), compared(written.String())); diff != "" {
		t.Errorf("differs from %s; if that is meant: go test ./controllers -run Documentation -update (-want +got):\n%s", path, diff)
	}
}
