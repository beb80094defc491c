package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const repository = "../.."

const changelog = `# Changelog

## [Unreleased]

### Added

- Something new.
  [docs/a.md](docs/a.md).

### Security

- **A hole** is closed, see [the advisory](https://example.com/1).

## [1.1.0] - 2026-12-01

A word about the release.

### Fixed

- Links [b](docs/b.md#c) and
  [c](https://example.com/c).
- A second one.

## [1.0.0-rc.1]

### Changed

- A candidate.
`

func TestChangesOf(t *testing.T) {
	const home = "https://example.com/repo"
	unreleased := []change{
		{"added", "Something new. docs/a.md.", []link{{"docs/a.md", home + "/blob/v1.2.0-rc.1/docs/a.md"}}},
		{"security", "A hole is closed, see the advisory.", []link{{"the advisory", "https://example.com/1"}}},
	}
	for name, c := range map[string]struct {
		changelog, version string
		want               []change
		fault              string
	}{
		"a release": {changelog, "v1.1.0", []change{
			{"fixed", "Links b and c.", []link{{"b", home + "/blob/v1.1.0/docs/b.md#c"}, {"c", "https://example.com/c"}}},
			{"fixed", "A second one.", nil},
		}, ""},
		"a pre-release":                   {changelog, "v1.2.0-rc.1", unreleased, ""},
		"a pre-release with a section":    {changelog, "v1.0.0-rc.1", []change{{"changed", "A candidate.", nil}}, ""},
		"a release without a section":     {changelog, "v1.2.0", nil, "no section [1.2.0]"},
		"a version that begins another's": {changelog, "v1.1", nil, "no section [1.1]"},
		"nothing at all":                  {"", "v1.2.0-dev", nil, "no section [1.2.0-dev] or [Unreleased]"},
		"nothing yet":                     {"## [Unreleased]\n\n## [1.1.0]\n\n### Added\n\n- x\n", "v1.2.0-dev", nil, ""},
		"a heading nobody knows":          {"## [1.1.0]\n\n### News\n\n- x\n", "v1.1.0", nil, `"News" is not one of`},
		"text between entries":            {"## [1.1.0]\n\n### Added\n\nText.\n", "v1.1.0", nil, "neither an entry"},
		"a list in a list":                {"## [1.1.0]\n\n### Added\n\n- x\n  - y\n", "v1.1.0", nil, "neither an entry"},
		"the rest of what has not begun":  {"## [1.1.0]\n\n### Added\n\n  x\n", "v1.1.0", nil, "neither an entry"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := changesOf(c.changelog, c.version, home)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Fatalf("got %v, want an error with %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Every section of the changelog can be shown, and no entry is lost.
func TestChangesOf_ThisRepository(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repository, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for line := range strings.SplitSeq(string(content), "\n") {
		heading, ok := strings.CutPrefix(line, "## [")
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(heading, "]")
		version := "v" + name
		if name == "Unreleased" {
			version = "v999.0.0-dev"
		}
		changes, err := changesOf(string(content), version, "https://example.com")
		if err != nil {
			t.Error(err)
		}
		for _, c := range changes {
			if strings.Contains(c.Description, "](") || strings.Contains(c.Description, "**") {
				t.Errorf("%s: there is Markdown in %q", name, c.Description)
			}
		}
		shown += len(changes)
	}
	if entries := strings.Count(string(content), "\n- "); shown != entries || shown == 0 {
		t.Errorf("%d entries are shown, the changelog has %d", shown, entries)
	}
}

func TestAdd(t *testing.T) {
	const before = "name: a # a comment\nannotations:\n  artifacthub.io/license: MIT\n"
	added := map[string]string{"changes": "- kind: added\n  description: 'a: b # c'\n", "prerelease": "true"}
	got, err := add([]byte(before), added)
	if err != nil {
		t.Fatal(err)
	}
	if want := before + "  artifacthub.io/changes: |\n    - kind: added\n      description: 'a: b # c'\n  artifacthub.io/prerelease: \"true\"\n"; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for name, text := range map[string]string{
		"no annotations":       "name: a\n",
		"annotations not last": "annotations:\n  a: b\nname: a\n",
		"it has one already":   before + "  artifacthub.io/prerelease: \"false\"\n",
		"other indentation":    "annotations:\n    a: b\n",
		"a list comes last":    "annotations:\n  a: b\nsources:\n- a\n",
	} {
		if got, err := add([]byte(text), added); err == nil {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

// Charts have annotations of what they have, and of nothing else.
func TestAnnotate_ThisRepository(t *testing.T) {
	for name, want := range map[string][]string{
		"wechatbot-operator": {"changes", "containsSecurityUpdates", "crds", "crdsExamples", "images", "prerelease"},
		"wechatbot":          {"changes", "containsSecurityUpdates", "prerelease"},
	} {
		t.Run(name, func(t *testing.T) {
			from, folder := filepath.Join(repository, "charts", name), t.TempDir()
			if err := os.CopyFS(folder, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
			before := annotations(t, folder)
			if err := annotate(repository, folder, []string{"linux/amd64"}); err != nil {
				t.Fatal(err)
			}
			after := annotations(t, folder)
			var added []string
			for key, value := range after {
				if _, ok := before[key]; !ok {
					added = append(added, strings.TrimPrefix(key, prefix))
				} else if before[key] != value {
					t.Errorf("%s was changed", key)
				}
			}
			slices.Sort(added)
			if !slices.Equal(added, want) {
				t.Errorf("got %v, want %v", added, want)
			}
			if err := annotate(repository, folder, nil); err == nil {
				t.Error("they were put in twice")
			}
		})
	}
}

func annotations(t *testing.T, folder string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c chart
	if err := yaml.Unmarshal(content, &c); err != nil {
		t.Fatal(err)
	}
	return c.Annotations
}

func TestImages_FixedTag(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "values.yaml"), []byte("image: {repository: a, tag: v1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := (chart{folder: folder}).images(nil); err == nil {
		t.Errorf("got %v", got)
	}
}
