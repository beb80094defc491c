package main

import (
	"strings"
	"testing"

	"github.com/blang/semver/v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func TestChannels(t *testing.T) {
	for text, want := range map[string][3]string{ // channel, default channel, maturity
		"0.1.0":      {"preview", "preview", "alpha"},
		"0.2.0-rc.1": {"preview", "preview", "alpha"},
		"1.0.0-rc.1": {"preview", "stable", "alpha"},
		"1.0.0":      {"stable", "stable", "stable"},
		"2.3.4":      {"stable", "stable", "stable"},
	} {
		p := product{version: semver.MustParse(text)}
		if got := [3]string{p.channel(), settled(p.version), maturity(p.version)}; got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func objects(t *testing.T, manifests string) []unstructured.Unstructured {
	t.Helper()
	var all []unstructured.Unstructured
	for document := range strings.SplitSeq(manifests, "---\n") {
		var u unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// Each kind of object has its place in a bundle; what has none is not lost without a word.
func TestSortOut(t *testing.T) {
	const needed = `{kind: Namespace, metadata: {name: system}}
---
{kind: CustomResourceDefinition, metadata: {name: bots.example.com}}
---
{kind: Deployment, metadata: {name: manager}, spec: {template: {spec: {serviceAccountName: manager, containers: [{image: a:1}]}}}}
---
{kind: ServiceAccount, metadata: {name: manager, namespace: system}}
`
	const role = `---
{kind: ClusterRole, metadata: {name: some}, rules: [{verbs: [get]}]}
`
	for name, c := range map[string]struct {
		manifests                        string
		clusterWide, namespaced, carried int
		fault                            string
	}{
		"no rights":       {needed, 0, 0, 0, ""},
		"a role unbound":  {needed + role, 0, 0, 1, ""},
		"bound":           {needed + role + "---\n{kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {kind: ClusterRole, name: some}, subjects: [{kind: ServiceAccount, name: manager}]}\n", 1, 0, 0, ""},
		"in a namespace":  {needed + role + "---\n{kind: RoleBinding, metadata: {name: b}, roleRef: {kind: ClusterRole, name: some}, subjects: [{kind: ServiceAccount, name: manager}]}\n", 0, 1, 0, ""},
		"to somebody too": {needed + role + "---\n{kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {kind: ClusterRole, name: some}, subjects: [{kind: ServiceAccount, name: manager}, {kind: User, name: manager}]}\n", 0, 0, 2, ""},
		"another account": {needed + "---\n{kind: ServiceAccount, metadata: {name: other}}\n", 0, 0, 1, ""},
		"an unknown role": {needed + "---\n{kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {kind: ClusterRole, name: some}, subjects: [{kind: ServiceAccount, name: manager}]}\n", 0, 0, 0, "there is no ClusterRole some"},
		"no rules":        {needed + "---\n{kind: ClusterRole, metadata: {name: some}}\n---\n{kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {kind: ClusterRole, name: some}, subjects: [{kind: ServiceAccount, name: manager}]}\n", 0, 0, 0, "has no rules"},
		"of no place":     {needed + "---\n{kind: StatefulSet, metadata: {name: s}}\n", 0, 0, 0, "OLM makes no StatefulSet"},
		"two Deployments": {needed + "---\n{kind: Deployment, metadata: {name: s}}\n", 0, 0, 0, "there are 2 objects of the kind Deployment"},
		"no namespace":    {strings.Replace(needed, "kind: Namespace", "kind: ConfigMap", 1), 0, 0, 0, "there are 0 objects of the kind Namespace"},
		"no account":      {strings.Replace(needed, "serviceAccountName", "serviceAccount", 1), 0, 0, 0, "names no ServiceAccount"},
	} {
		t.Run(name, func(t *testing.T) {
			i, err := sortOut(objects(t, c.manifests))
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Fatalf("got %v, want an error with %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(i.clusterWide) != c.clusterWide || len(i.namespaced) != c.namespaced || len(i.manifests) != c.carried {
				t.Errorf("got the rights %v and %v, and the objects %v", i.clusterWide, i.namespaced, i.manifests)
			}
			for _, object := range i.manifests {
				if object.GetNamespace() != "" {
					t.Errorf("%s is bound to the namespace %s", object.GetName(), object.GetNamespace())
				}
			}
		})
	}
}

func TestFirstParagraph(t *testing.T) {
	for text, want := range map[string]string{
		"# Title\n\nOne\ntwo.\n\nThree.":                       "One two.",
		"# Title\n\nA [link](https://example.com).\n\nMore.":   "A [link](https://example.com).",
		"# Title\n\nA [link](docs/a.md).\n\nMore.":             "",
		"# Title\n\n![a picture](https://example.com)\n\nMore": "",
		"No title.\n\nText.\n\nMore.":                          "",
		"# Title\n\n\n\nBlank.":                                "",
		"# Title\n\nThe end.":                                  "",
	} {
		if got, err := firstParagraph(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

func TestDisplayName(t *testing.T) {
	for name, want := range map[string]string{"domain": "Domain", "tokenSecretRef": "Token Secret Ref", "baseURL": "Base URL", "url": "Url"} {
		if got := displayName(name); got != want {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// A right to make something new is refused until somebody says whether a bot has it.
func TestChildren_UnknownKind(t *testing.T) {
	rule := func(verb string) []any {
		return []any{map[string]any{"apiGroups": []any{"batch"}, "resources": []any{"jobs"}, "verbs": []any{verb}}}
	}
	p := product{installation: installation{clusterWide: rule("create")}}
	if _, err := p.children(); err == nil || !strings.Contains(err.Error(), "jobs") {
		t.Errorf("got %v", err)
	}
	p.clusterWide = rule("get")
	if got, err := p.children(); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestMinKubeVersion(t *testing.T) {
	for constraint, want := range map[string]string{">=1.31.0-0": "1.31.0", ">=1.31.0": "1.31.0", "1.31": "", "": "", ">=1.31.0 <2": ""} {
		if got, err := (chart{KubeVersion: constraint}).minKubeVersion(); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", constraint, got, err)
		}
	}
}
