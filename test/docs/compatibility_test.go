package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// docs/compatibility.md says what is tested: what go.mod has.
func TestTheTestedVersionsAreThoseOfGoMod(t *testing.T) {
	module, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(repository, "docs", "compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	for row, version := range map[string]string{
		"Kubernetes": `k8s\.io/api v0\.(\S+)`, "Gateway API": `sigs\.k8s\.io/gateway-api v(\S+)`, "Go, to build": `(?m)^go (\d+\.\d+)`,
	} {
		m := regexp.MustCompile(version).FindStringSubmatch(string(module))
		if m == nil {
			t.Fatalf("go.mod has no %s", version)
		}
		want := m[1]
		if row == "Kubernetes" {
			want = "1." + want
		}
		if !regexp.MustCompile(`(?m)^\| ` + row + ` \|[^|]*\b` + regexp.QuoteMeta(want) + `\b`).Match(page) {
			t.Errorf("docs/compatibility.md does not say that %s %s is tested", row, want)
		}
	}
}

// The oldest Kubernetes that the charts take is the one that `make compat` tests with, and what the pages name.
func TestTheOldestKubernetesIsTested(t *testing.T) {
	oldest := onlyMatch(t, "hack/cluster/oldest/go.mod", `k8s\.io/kubernetes v(\S+)`)
	staging := onlyMatch(t, "hack/cluster/oldest/go.mod", `k8s\.io/apiserver => k8s\.io/apiserver v0\.(\S+)`)
	if "1."+staging != oldest {
		t.Errorf("hack/cluster/oldest builds Kubernetes %s from the libraries of 1.%s", oldest, staging)
	}
	for _, chart := range []string{"wechatbot-operator", "wechatbot"} {
		if taken := onlyMatch(t, "charts/"+chart+"/Chart.yaml", `(?m)^kubeVersion: ">=(\S+)-0"$`); taken != oldest {
			t.Errorf("chart %s takes Kubernetes from %s on, hack/cluster/oldest builds %s", chart, taken, oldest)
		}
	}
	if row := onlyMatch(t, "docs/compatibility.md", `(?m)^\| Kubernetes \| (\S+),`); row != oldest {
		t.Errorf("docs/compatibility.md says that %s is tested, not %s", row, oldest)
	}
	minor := regexp.MustCompile(`\.\d+$`).ReplaceAllString(oldest, "")
	if before := onlyMatch(t, "docs/install.md", `The charts refuse Kubernetes before (\d+\.\d+):`); before != minor {
		t.Errorf("docs/install.md says that Kubernetes before %s is refused, not %s", before, minor)
	}
}

// onlyMatch gives what a file of the repository has in the place of a pattern's group, which is there once.
func onlyMatch(t *testing.T, path, pattern string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(content), -1)
	if len(found) != 1 {
		t.Fatalf("%s has %d times %s, want 1", path, len(found), pattern)
	}
	return found[0][1]
}
