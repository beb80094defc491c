// Command chartannotations writes what Artifact Hub shows of a chart into its Chart.yaml, as far as it depends on the
// release: changes, CRDs with examples, images. hack/chart.sh runs it on the charts that it is about to package, when
// they say the release's version and image. The annotations are those of
// https://artifacthub.io/docs/topics/annotations/helm/.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

const prefix = "artifacthub.io/"

func main() {
	root := flag.String("root", ".", "the repository, for CHANGELOG.md and config/samples")
	platforms := flag.String("platforms", "linux/amd64 linux/arm64", "platforms of the image")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(), "usage: chartannotations [-root FOLDER] [-platforms PLATFORMS] CHART...")
		flag.PrintDefaults()
	}
	flag.Parse()
	for _, chart := range flag.Args() {
		if err := annotate(*root, chart, strings.Fields(*platforms)); err != nil {
			fmt.Fprintf(os.Stderr, "chartannotations: %s: %v\n", chart, err)
			os.Exit(1)
		}
	}
}

// chart is what is read of a chart.
type chart struct {
	Name        string            `json:"name"`
	AppVersion  string            `json:"appVersion"`
	Home        string            `json:"home"`
	Annotations map[string]string `json:"annotations"`

	folder string
}

type image struct {
	Name      string   `json:"name"`
	Image     string   `json:"image"`
	Platforms []string `json:"platforms"`
}

type crd struct {
	Kind        string `json:"kind"`
	Version     string `json:"version"`
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
	Description string `json:"description"`
}

func annotate(root, folder string, platforms []string) error {
	path := filepath.Join(folder, "Chart.yaml")
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the chart: %w", err)
	}
	c := chart{folder: folder}
	if err := yaml.Unmarshal(content, &c); err != nil {
		return fmt.Errorf("reading the chart: %w", err)
	}
	added, err := c.annotations(root, platforms)
	if err != nil {
		return err
	}
	if content, err = add(content, added); err != nil {
		return err
	}
	if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // it is to be published
		return fmt.Errorf("writing the chart: %w", err)
	}
	return nil
}

// annotations gives those that depend on the release. What a chart does not have, it has no annotation of.
func (c chart) annotations(root string, platforms []string) (map[string]string, error) {
	changelog, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return nil, fmt.Errorf("reading what has changed: %w", err)
	}
	changes, err := changesOf(string(changelog), c.AppVersion, c.Home)
	if err != nil {
		return nil, fmt.Errorf("CHANGELOG.md: %w", err)
	}
	crds, kinds, err := c.crds()
	if err != nil {
		return nil, err
	}
	examples, err := samples(filepath.Join(root, "config", "samples"), kinds)
	if err != nil {
		return nil, err
	}
	images, err := c.images(platforms)
	if err != nil {
		return nil, err
	}
	security := slices.ContainsFunc(changes, func(ch change) bool { return ch.Kind == "security" })
	all := map[string]string{
		"prerelease":              strconv.FormatBool(strings.Contains(c.AppVersion, "-")),
		"containsSecurityUpdates": strconv.FormatBool(security),
	}
	for name, list := range map[string]any{"changes": changes, "crds": crds, "crdsExamples": examples, "images": images} {
		text, err := yaml.Marshal(list)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
		if s := string(text); s != "[]\n" && s != "null\n" {
			all[name] = s
		}
	}
	return all, nil
}

// crds gives the CRD of the chart, if it installs one.
func (c chart) crds() (list []crd, kinds []string, err error) {
	content, err := os.ReadFile(filepath.Join(c.folder, "files", "crd.yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("reading the CRD: %w", err)
	}
	var definition struct {
		Metadata struct{ Name string }
		Spec     struct {
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Served bool
				Schema struct{ OpenAPIV3Schema struct{ Description string } }
			}
		}
	}
	if err := yaml.Unmarshal(content, &definition); err != nil {
		return nil, nil, fmt.Errorf("reading the CRD: %w", err)
	}
	kind := definition.Spec.Names.Kind
	for _, v := range definition.Spec.Versions {
		if v.Served {
			about := strings.Join(strings.Fields(v.Schema.OpenAPIV3Schema.Description), " ")
			list = append(list, crd{kind, v.Name, definition.Metadata.Name, kind, about})
		}
	}
	if kind == "" || len(list) == 0 {
		return nil, nil, errors.New("files/crd.yaml is no CRD with a version that is served")
	}
	return list, []string{kind}, nil
}

// images gives the image of the chart, if it has one among its values.
func (c chart) images(platforms []string) ([]image, error) {
	content, err := os.ReadFile(filepath.Join(c.folder, "values.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the values: %w", err)
	}
	var values struct {
		Image struct{ Repository, Tag, Digest string }
	}
	if err := yaml.Unmarshal(content, &values); err != nil {
		return nil, fmt.Errorf("reading the values: %w", err)
	}
	v := values.Image
	if v.Repository == "" {
		return nil, nil
	}
	if v.Tag != "" || v.Digest != "" {
		return nil, errors.New("values.yaml fixes a tag or digest of the image: a release's is its appVersion")
	}
	return []image{{c.Name, v.Repository + ":" + c.AppVersion, platforms}}, nil
}

// samples gives the samples of these kinds, in the order in which their kustomization lists them.
func samples(folder string, kinds []string) ([]map[string]any, error) {
	content, err := os.ReadFile(filepath.Join(folder, "kustomization.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading which samples there are: %w", err)
	}
	var list struct{ Resources []string }
	if err := yaml.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("reading which samples there are: %w", err)
	}
	var all []map[string]any
	for _, name := range list.Resources {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, fmt.Errorf("reading a sample: %w", err)
		}
		for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
			var object map[string]any
			if err := yaml.Unmarshal(document, &object); err != nil {
				return nil, fmt.Errorf("reading the sample %s: %w", name, err)
			}
			if kind, _ := object["kind"].(string); slices.Contains(kinds, kind) {
				all = append(all, object)
			}
		}
	}
	return all, nil
}

// add puts annotations at the end of a Chart.yaml, where its own are, and leaves the rest of its text alone.
func add(content []byte, annotations map[string]string) ([]byte, error) {
	var before, after struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := yaml.Unmarshal(content, &before); err != nil {
		return nil, fmt.Errorf("reading the annotations: %w", err)
	}
	var text strings.Builder
	text.WriteString(strings.TrimRight(string(content), "\n") + "\n")
	want := maps.Clone(before.Annotations)
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[name]
		if block, ok := strings.CutSuffix(value, "\n"); ok {
			text.WriteString("  " + prefix + name + ": |\n    " + strings.ReplaceAll(block, "\n", "\n    ") + "\n")
		} else {
			text.WriteString("  " + prefix + name + ": " + strconv.Quote(value) + "\n")
		}
		if _, ok := want[prefix+name]; ok || want == nil {
			return nil, fmt.Errorf("the chart has no annotations, or %s%s already", prefix, name)
		}
		want[prefix+name] = value
	}
	if err := yaml.UnmarshalStrict([]byte(text.String()), &map[string]any{}); err != nil {
		return nil, fmt.Errorf("the annotations are not the last thing in Chart.yaml: %w", err)
	}
	if err := yaml.Unmarshal([]byte(text.String()), &after); err != nil {
		return nil, fmt.Errorf("reading what was written: %w", err)
	}
	if !maps.Equal(after.Annotations, want) {
		return nil, errors.New("the annotations are not the last thing in Chart.yaml")
	}
	return []byte(text.String()), nil
}
