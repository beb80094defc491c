package docs_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wechatbot/wechatbot-operator/test/docs"
)

// What pages say of make exists: targets and variables.
func TestEveryMakeTargetExists(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	find := func(pattern string) (names []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(content), -1) {
			names = append(names, m[1])
		}
		return names
	}
	targets, variables := find(`(?m)^([a-z][a-z0-9-]*):`), find(`\b([A-Z][A-Z_]+)\b`)
	tools, err := filepath.Glob(filepath.Join(repository, "hack", "tools", "*"))
	if err != nil || len(tools) == 0 {
		t.Fatalf("tools: %v, %v", tools, err)
	}
	for _, tool := range tools { // the rule bin/% makes each
		targets = append(targets, "bin/"+filepath.Base(tool))
	}
	quoted := regexp.MustCompile(`"[^"]*"`)
	used := regexp.MustCompile(`^(?:[A-Z_]+=\S+ )*make((?: +[^ #&;|]+)*)`)
	for _, p := range docs.Read(t, repository) {
		for at, texts := range p.Code() {
			for _, text := range texts {
				m := used.FindStringSubmatch(quoted.ReplaceAllString(text, ""))
				if m == nil {
					continue
				}
				for word := range strings.FieldsSeq(m[1]) {
					variable, _, sets := strings.Cut(word, "=")
					switch {
					case sets && !slices.Contains(variables, variable) && !strings.HasPrefix(variable, "DIFY_"):
						t.Errorf("%s: the Makefile knows no %s", at, variable)
					case !sets && !slices.Contains(targets, word):
						t.Errorf("%s: the Makefile has no target %s", at, word)
					}
				}
			}
		}
	}
}

var flagDefined = regexp.MustCompile(`\.[A-Z][A-Za-z0-9]*VarP?\(&?[\w.]+, "([a-z0-9-]+)"`)

// ourFlags are those of a command of this repository, as the sources in these folders of cmd define them.
func ourFlags(t *testing.T, folders ...string) []string {
	t.Helper()
	var files []string
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(repository, "cmd", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	names := []string{"help"}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range flagDefined.FindAllStringSubmatch(string(content), -1) {
			names = append(names, m[1])
		}
	}
	if len(names) < 3 {
		t.Fatalf("cmd/%s defines only %v", folders[0], names)
	}
	return names
}

// Flags that a page names alone, in a code span, are of a command of ours. Those of kubectl's are package
// live's.
func TestEveryFlagExists(t *testing.T) {
	byCommand := map[string][]string{
		"server": ourFlags(t, "server", "logging"), "manager": ourFlags(t, "manager", "logging"), "chat": ourFlags(t, "chat"),
		"kubectl wechatbot": append(ourFlags(t, "kubectl-wechatbot"), "kubeconfig", "context", "namespace", "as"),
	}
	ours := slices.Concat(slices.Collect(maps.Values(byCommand))...)
	called := regexp.MustCompile(`^(?:go run \./cmd/|bin/|/)(server|manager|chat)\b(.*)`)
	for _, p := range docs.Read(t, repository) {
		for at, texts := range p.Code() {
			for _, text := range texts {
				known, source, rest := ours, "none of our commands", text
				if m := called.FindStringSubmatch(text); m != nil {
					known, source, rest = byCommand[m[1]], m[1]+" not", m[2]
				} else if words, isPlugin := strings.CutPrefix(text, "kubectl wechatbot"); isPlugin {
					known, source, rest = byCommand["kubectl wechatbot"], "kubectl wechatbot not", words
				} else if !strings.HasPrefix(text, "--") {
					continue
				}
				for _, flag := range docs.Flags(rest) {
					if !slices.Contains(known, flag) {
						t.Errorf("%s: %s has --%s (%s)", at, source, flag, text)
					}
				}
			}
		}
	}
}
