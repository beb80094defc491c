package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	interfaces "github.com/operator-framework/api/pkg/validation/interfaces"
	sigsyaml "sigs.k8s.io/yaml"
)

// limit is what OLM can unpack: it puts the manifests in a ConfigMap, which holds 1 MiB.
const limit = 1 << 20

// validate has operator-framework's validators judge the bundle in a folder, as it is on disk.
func validate(folder string) (warnings []string, err error) {
	bundle, err := load(folder)
	if err != nil {
		return nil, err
	}
	validators := interfaces.Validators{
		validation.ClusterServiceVersionValidator,
		validation.CustomResourceDefinitionValidator,
		validation.BundleValidator,
		validation.OperatorHubValidator,
		validation.ObjectValidator,
	}
	var found []error
	for _, result := range validators.Validate(bundle.ObjectsToValidate()...) {
		for _, e := range result.Errors {
			found = append(found, fmt.Errorf("%s: %w", result.Name, e))
		}
		for _, w := range result.Warnings {
			warnings = append(warnings, fmt.Sprintf("%s: %v", result.Name, w))
		}
	}
	for _, object := range bundle.Objects {
		if object.GetKind() == bundle.CSV.Kind {
			found = append(found, accepted(object))
		}
	}
	return warnings, errors.Join(append(found, small(folder))...)
}

// load reads a bundle. operator-framework's loader knows nothing of the metadata, by which the channels are judged.
func load(folder string) (*manifests.Bundle, error) {
	bundle, err := manifests.GetBundleFromDir(filepath.Join(folder, "manifests"))
	if err != nil {
		return nil, fmt.Errorf("loading the bundle: %w", err)
	}
	content, err := os.ReadFile(filepath.Join(folder, "metadata", "annotations.yaml"))
	if err != nil {
		return nil, fmt.Errorf("loading the metadata: %w", err)
	}
	var metadata struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := sigsyaml.UnmarshalStrict(content, &metadata); err != nil {
		return nil, fmt.Errorf("loading the metadata: %w", err)
	}
	bundle.Package = metadata.Annotations[annotation+"package.v1"]
	bundle.Channels = strings.Split(metadata.Annotations[channels], ",")
	bundle.DefaultChannel = metadata.Annotations[defaultChannel]
	if bundle.Package == "" || bundle.Channels[0] == "" || bundle.DefaultChannel == "" {
		return nil, errors.New("the metadata name no package, no channel or no default channel")
	}
	return bundle, nil
}

func small(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "manifests", "*"))
	if err != nil {
		return fmt.Errorf("measuring the bundle: %w", err)
	}
	total := int64(0)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return fmt.Errorf("measuring the bundle: %w", err)
		}
		total += info.Size()
	}
	if total > limit {
		return fmt.Errorf("the manifests have %d bytes, OLM can unpack %d", total, limit)
	}
	return nil
}
