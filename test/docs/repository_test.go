package docs_test

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/test/docs"
)

const repository = "../.."

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	all := docs.Read(t, repository)
	anchors := map[string][]string{}
	for _, p := range all {
		anchors[p.Path] = p.Anchors
	}
	for _, p := range all {
		for _, l := range p.Links {
			if problem := broken(p, l.Target, anchors); problem != "" {
				t.Errorf("%s:%d: %s: %s", p.Path, l.Line, l.Target, problem)
			}
		}
	}
}

// broken says what is wrong with a link. What is elsewhere is not asked: tests do without the network.
func broken(p docs.Page, target string, anchors map[string][]string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return err.Error()
	case u.Scheme == "https" && u.Host != "":
		return ""
	case u.Scheme != "" || u.Host != "":
		return "a link elsewhere must be https"
	}
	to := p.Path
	if u.Path != "" {
		to = path.Join(path.Dir(p.Path), u.Path)
		if _, err := os.Stat(filepath.Join(repository, filepath.FromSlash(to))); err != nil || strings.HasPrefix(to, "..") {
			return "there is no such file"
		}
	}
	if u.Fragment != "" && !slices.Contains(anchors[to], u.Fragment) {
		return "the page has no such anchor"
	}
	return ""
}

// Every page below docs can be found from its index, and the index from the README.
func TestEveryPageIsInTheIndex(t *testing.T) {
	linked := map[string][]string{}
	var all []string
	for _, p := range docs.Read(t, repository) {
		all = append(all, p.Path)
		for _, l := range p.Links {
			target, _, _ := strings.Cut(l.Target, "#")
			linked[p.Path] = append(linked[p.Path], path.Join(path.Dir(p.Path), target))
		}
	}
	for _, page := range all {
		if path.Dir(page) == "docs" && page != "docs/README.md" && !slices.Contains(linked["docs/README.md"], page) {
			t.Errorf("docs/README.md does not link to %s", page)
		}
	}
	if !slices.Contains(linked["README.md"], "docs") && !slices.Contains(linked["README.md"], "docs/README.md") {
		t.Error("README.md does not link to docs/README.md")
	}
}

func TestEveryConsoleBlockSaysWhetherItIsRun(t *testing.T) {
	for _, p := range docs.Read(t, repository) {
		for _, b := range p.Blocks {
			at := fmt.Sprintf("%s:%d", p.Path, b.Line)
			switch {
			case slices.Contains([]string{"sh", "bash", "shell"}, b.Language):
				t.Errorf("%s: commands are in console blocks, behind \"$ \"", at)
			case b.Language == "console" && len(b.Commands()) == 0:
				t.Errorf("%s: there is no command behind \"$ \"", at)
			case b.Language == "console" && b.Run == docs.Unmarked:
				t.Errorf("%s: say whether it is run: <!-- run: e2e -->, <!-- run: local --> or <!-- run: no, WHY -->", at)
			case b.Language != "console" && b.Run != docs.Unmarked:
				t.Errorf("%s: there is nothing to run", at)
			}
		}
	}
}

// Variables are set by the page itself, or are those that every run gives.
func TestEveryVariableIsSet(t *testing.T) {
	used, set := regexp.MustCompile(`\$\{?([A-Z][A-Z0-9_]*)`), regexp.MustCompile(`\b([A-Z][A-Z0-9_]*)=`)
	names := docs.Given()
	for _, example := range docs.Examples() {
		names = append(names, example.Variable)
	}
	for _, p := range docs.Read(t, repository) {
		known := slices.Clone(names)
		for _, b := range p.Blocks {
			for _, c := range b.Commands() {
				for _, m := range set.FindAllStringSubmatch(c.Text, -1) {
					known = append(known, m[1])
				}
				for _, m := range used.FindAllStringSubmatch(c.Text, -1) {
					if !slices.Contains(known, m[1]) {
						t.Errorf("%s:%d: $%s is not set", p.Path, c.Line, m[1])
					}
				}
			}
		}
	}
}

// The index tells readers what stands for their own values: the same as Examples.
func TestTheIndexListsTheExamples(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repository, "docs", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, e := range docs.Examples() {
		want = append(want, "| `"+e.Text+"` | "+e.Meaning+" | `"+e.Variable+"` |")
	}
	for line := range strings.Lines(string(content)) {
		if regexp.MustCompile("\\| `[A-Z_]+` \\|$").MatchString(strings.TrimSpace(line)) {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/README.md has another table of examples (-want +got):\n%s", diff)
	}
}
