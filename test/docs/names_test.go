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

	"github.com/wechatbot/wechatbot-operator/test/docs"
)

// code gives all that a page shows as code, with where it is.
func code(p docs.Page) map[string][]string {
	all := map[string][]string{}
	add := func(line int, text string) {
		at := fmt.Sprintf("%s:%d", p.Path, line)
		all[at] = append(all[at], text)
	}
	for _, s := range p.Spans {
		add(s.Line, s.Text)
	}
	for _, b := range p.Blocks {
		for _, c := range b.Commands() {
			add(c.Line, strings.ReplaceAll(c.Text, "\\\n", " "))
		}
	}
	return all
}

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
	quoted := regexp.MustCompile(`"[^"]*"`)
	used := regexp.MustCompile(`^(?:[A-Z_]+=\S+ )*make((?: +[^ #&;|]+)*)`)
	for _, p := range pages(t) {
		for at, texts := range code(p) {
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

var flagName = regexp.MustCompile(`(?:^|[\s,])--([a-z][a-z0-9-]*)`)

func flags(help string) (names []string) {
	for _, m := range flagName.FindAllStringSubmatch(help, -1) {
		names = append(names, m[1])
	}
	return names
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

// Flags that a page names alone, in a code span, are of a command of ours. Those of kubectl's are checked where kubectl is
// called.
func TestEveryFlagExists(t *testing.T) {
	byCommand := map[string][]string{
		"server": ourFlags(t, "server", "logging"), "manager": ourFlags(t, "manager", "logging"), "chat": ourFlags(t, "chat"),
		"kubectl wechatbot": append(ourFlags(t, "kubectl-wechatbot"), "kubeconfig", "context", "namespace", "as"),
	}
	ours := slices.Concat(slices.Collect(maps.Values(byCommand))...)
	called := regexp.MustCompile(`^(?:go run \./cmd/|bin/|/)(server|manager|chat)\b(.*)`)
	kubectl := kubectlFlags(t)
	for _, p := range pages(t) {
		for at, texts := range code(p) {
			for _, text := range texts {
				known, source, rest := ours, "none of our commands", text
				if m := called.FindStringSubmatch(text); m != nil {
					known, source, rest = byCommand[m[1]], m[1]+" not", m[2]
				} else if words, isPlugin := strings.CutPrefix(text, "kubectl wechatbot"); isPlugin {
					known, source, rest = byCommand["kubectl wechatbot"], "kubectl wechatbot not", words
				} else if strings.HasPrefix(text, "kubectl krew ") {
					continue // another plugin's
				} else if words, isKubectl := strings.CutPrefix(text, "kubectl "); isKubectl {
					words, _, _ = strings.Cut(words, " | ")
					known, source, rest = kubectl(words), "kubectl not there", words
				} else if !strings.HasPrefix(text, "--") {
					continue
				}
				for _, m := range flagName.FindAllStringSubmatch(rest, -1) {
					if !slices.Contains(known, m[1]) {
						t.Errorf("%s: %s has --%s (%s)", at, source, m[1], text)
					}
				}
			}
		}
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
		return flags(out)
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
