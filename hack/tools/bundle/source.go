package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/blang/semver/v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// icon is the one mark that the project has.
const icon = "test/demo/web/favicon.svg"

// product is all that the bundle says.
type product struct {
	installation
	chart    chart
	version  semver.Version
	created  time.Time
	about    string // in Markdown
	examples []map[string]any
	icon     string // base64 of an SVG
}

// chart is what is read of the operator's Chart.yaml.
type chart struct {
	Name        string            `json:"name"`
	Description string            `json:"description"`
	KubeVersion string            `json:"kubeVersion"`
	Home        string            `json:"home"`
	Keywords    []string          `json:"keywords"`
	Annotations map[string]string `json:"annotations"`
}

func read(o options) (*product, error) {
	p := &product{created: o.created}
	var err error
	if p.version, err = semver.Parse(strings.TrimPrefix(o.version, "v")); err != nil || !strings.HasPrefix(o.version, "v") {
		return nil, fmt.Errorf("the version %s is not one like v0.1.0", o.version)
	}
	objects, err := readObjects(o.manifests)
	if err != nil {
		return nil, err
	}
	if p.installation, err = sortOut(objects); err != nil {
		return nil, fmt.Errorf("%s: %w", o.manifests, err)
	}
	content, err := os.ReadFile(filepath.Join(o.root, "charts", "wechatbot-operator", "Chart.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the chart: %w", err)
	}
	if err := sigsyaml.Unmarshal(content, &p.chart); err != nil {
		return nil, fmt.Errorf("reading the chart: %w", err)
	}
	if p.examples, err = readSamples(filepath.Join(o.root, "config", "samples"), p.crd.kind()); err != nil {
		return nil, err
	}
	if content, err = os.ReadFile(filepath.Join(o.root, "README.md")); err != nil {
		return nil, fmt.Errorf("reading what the product is: %w", err)
	}
	if p.about, err = firstParagraph(string(content)); err != nil {
		return nil, fmt.Errorf("README.md: %w", err)
	}
	if content, err = os.ReadFile(filepath.Join(o.root, filepath.FromSlash(icon))); err != nil {
		return nil, fmt.Errorf("reading the icon: %w", err)
	}
	p.icon = base64.StdEncoding.EncodeToString(content)
	return p, nil
}

// readObjects reads a file of manifests.
func readObjects(path string) ([]unstructured.Unstructured, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading manifests: %w", err)
	}
	var objects []unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		var u unstructured.Unstructured
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if len(u.Object) > 0 {
			objects = append(objects, u)
		}
	}
}

// readSamples gives the samples of a kind, in the order in which their kustomization lists them.
func readSamples(folder, kind string) ([]map[string]any, error) {
	content, err := os.ReadFile(filepath.Join(folder, "kustomization.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading which samples there are: %w", err)
	}
	var list struct {
		Resources []string `json:"resources"`
	}
	if err := sigsyaml.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("reading which samples there are: %w", err)
	}
	var samples []map[string]any
	for _, name := range list.Resources {
		objects, err := readObjects(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		for _, object := range objects {
			if object.GetKind() == kind {
				samples = append(samples, object.Object)
			}
		}
	}
	return samples, nil
}

// firstParagraph gives what stands below the title. Relative links would lead nowhere in a catalog.
func firstParagraph(markdown string) (string, error) {
	parts := strings.SplitN(strings.ReplaceAll(markdown, "\r\n", "\n"), "\n\n", 3)
	if len(parts) < 3 || !strings.HasPrefix(parts[0], "# ") || strings.ContainsAny(parts[1][:min(1, len(parts[1]))], "#!|`<-") || parts[1] == "" {
		return "", errors.New("it does not begin with a title and a paragraph")
	}
	for _, rest := range strings.Split(parts[1], "](")[1:] {
		if !strings.HasPrefix(rest, "https://") {
			return "", fmt.Errorf("its first paragraph has a relative link: %s", rest)
		}
	}
	return strings.Join(strings.Fields(parts[1]), " "), nil
}
