package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/operator-framework/api/crds"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// accepted says what an API server with OLM's own CRD of ClusterServiceVersions has against one: OLM's validators look at
// some fields, and pass over those that nobody knows, which the API server would drop.
func accepted(csv *unstructured.Unstructured) error {
	props, err := olmSchema(csv.GroupVersionKind().Version)
	if err != nil {
		return err
	}
	validator, _, err := validation.NewSchemaValidator(&apiextensions.CustomResourceValidation{OpenAPIV3Schema: props})
	if err != nil {
		return fmt.Errorf("reading OLM's schema: %w", err)
	}
	structural, err := schema.NewStructural(props)
	if err != nil {
		return fmt.Errorf("reading OLM's schema: %w", err)
	}
	var found []error
	for _, e := range validation.ValidateCustomResource(nil, filled(csv.Object), validator) {
		found = append(found, e)
	}
	pruned := csv.DeepCopy()
	pruning.Prune(pruned.Object, structural, true)
	for _, field := range missing("", csv.Object, pruned.Object) {
		found = append(found, fmt.Errorf("OLM's schema has no %s", field))
	}
	return errors.Join(found...)
}

// filled gives a value with a blank in place of each empty text (such as the group of Pods): built with today's Go, the
// validator of Kubernetes 1.20 takes them for null.
func filled(value any) any {
	switch v := value.(type) {
	case string:
		if v == "" {
			return " "
		}
	case map[string]any:
		all := make(map[string]any, len(v))
		for key, below := range v {
			all[key] = filled(below)
		}
		return all
	case []any:
		all := make([]any, 0, len(v))
		for _, below := range v {
			all = append(all, filled(below))
		}
		return all
	}
	return value
}

func olmSchema(version string) (*apiextensions.JSONSchemaProps, error) {
	for _, v := range crds.ClusterServiceVersion().Spec.Versions {
		if v.Name != version {
			continue
		}
		var props apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &props, nil); err != nil {
			return nil, fmt.Errorf("reading OLM's schema: %w", err)
		}
		return &props, nil
	}
	return nil, fmt.Errorf("OLM has no version %q of a ClusterServiceVersion", version)
}

// missing gives the paths of what was dropped from a value, sorted.
func missing(path string, before, after any) (paths []string) {
	switch b := before.(type) {
	case map[string]any:
		a, _ := after.(map[string]any)
		for key, value := range b {
			if left, ok := a[key]; ok {
				paths = append(paths, missing(path+"."+key, value, left)...)
			} else {
				paths = append(paths, path+"."+key)
			}
		}
	case []any:
		a, _ := after.([]any)
		for i, value := range b {
			if i >= len(a) {
				return append(paths, path)
			}
			paths = append(paths, missing(fmt.Sprintf("%s[%d]", path, i), value, a[i])...)
		}
	default:
		if !reflect.DeepEqual(before, after) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
