package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
	sigsyaml "sigs.k8s.io/yaml"
)

// The keys of a bundle's annotations, which are its image's labels too (OLM's "registry+v1" format).
const (
	annotation     = "operators.operatorframework.io.bundle."
	channels       = annotation + "channels.v1"
	defaultChannel = annotation + "channel.default.v1"
)

const (
	preview = "preview"
	stable  = "stable"
)

// channel gives the channel of this version: a minor version before 1.0.0 may break, and so may a pre-release.
func (p *product) channel() string {
	if len(p.version.Pre) > 0 {
		return preview
	}
	return settled(p.version)
}

// settled gives the channel that the package's users follow if they choose none.
func settled(v semver.Version) string {
	if v.Major == 0 {
		return preview
	}
	return stable
}

func maturity(v semver.Version) string {
	if v.Major == 0 || len(v.Pre) > 0 {
		return "alpha"
	}
	return "stable"
}

// labels are the annotations of metadata/annotations.yaml and the labels of the image.
func (p *product) labels() map[string]string {
	return map[string]string{
		annotation + "mediatype.v1": "registry+v1",
		annotation + "manifests.v1": "manifests/",
		annotation + "metadata.v1":  "metadata/",
		annotation + "package.v1":   p.chart.Name,
		channels:                    p.channel(),
		defaultChannel:              settled(p.version),
	}
}

func (p *product) dockerfile() []byte {
	var b strings.Builder
	b.WriteString("# The bundle's image holds files for OLM; nothing in it is run. Its context is this folder.\nFROM scratch\n")
	labels := p.labels()
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, "LABEL %s=%s\n", key, labels[key])
	}
	b.WriteString("COPY manifests /manifests/\nCOPY metadata /metadata/\n")
	return []byte(b.String())
}

// files gives all files of the bundle by their paths.
func (p *product) files() (map[string][]byte, error) {
	csv, err := p.serviceVersion()
	if err != nil {
		return nil, err
	}
	contents := map[string]any{
		"manifests/" + p.chart.Name + ".clusterserviceversion.yaml": csv,
		"manifests/" + p.crd.GetName() + ".crd.yaml":                p.crd.Object,
		"metadata/annotations.yaml":                                 map[string]any{"annotations": p.labels()},
	}
	for _, object := range p.manifests {
		name := fmt.Sprintf("manifests/%s.%s.yaml", object.GetName(), strings.ToLower(object.GetKind()))
		if contents[name] != nil {
			return nil, fmt.Errorf("two objects are %s", name)
		}
		contents[name] = object.Object
	}
	files := map[string][]byte{"bundle.Dockerfile": p.dockerfile()}
	for name, content := range contents {
		if files[name], err = sigsyaml.Marshal(content); err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return files, nil
}
