package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// crd is a CustomResourceDefinition, which is carried as it is: this module's types are older than some of its fields.
type crd struct{ unstructured.Unstructured }

func (c crd) kind() string {
	kind, _, _ := unstructured.NestedString(c.Object, "spec", "names", "kind")
	return kind
}

// storage gives the version that objects are stored in.
func (c crd) storage() (name string, schema map[string]any, err error) {
	versions, _, _ := unstructured.NestedSlice(c.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		if stored, _ := version["storage"].(bool); !stored {
			continue
		}
		name, _ = version["name"].(string)
		schema, _, err = unstructured.NestedMap(version, "schema", "openAPIV3Schema")
		return name, schema, err
	}
	return "", nil, fmt.Errorf("the CRD %s stores no version", c.GetName())
}

// description says what the catalog shows of the kind, in the CRD's own words.
func (p *product) description() (v1alpha1.CRDDescription, error) {
	version, schema, err := p.crd.storage()
	if err != nil {
		return v1alpha1.CRDDescription{}, err
	}
	resources, err := p.children()
	if err != nil {
		return v1alpha1.CRDDescription{}, err
	}
	about, _ := schema["description"].(string)
	d := v1alpha1.CRDDescription{
		Name: p.crd.GetName(), Version: version, Kind: p.crd.kind(), DisplayName: p.crd.kind(), Description: inOneLine(about), Resources: resources,
	}
	for _, f := range fields(schema, "spec") {
		d.SpecDescriptors = append(d.SpecDescriptors, v1alpha1.SpecDescriptor{
			Path: f.name, DisplayName: displayName(f.name), Description: f.description, XDescriptors: f.widget(),
		})
	}
	for _, f := range fields(schema, "status") {
		d.StatusDescriptors = append(d.StatusDescriptors, v1alpha1.StatusDescriptor{
			Path: f.name, DisplayName: displayName(f.name), Description: f.description, XDescriptors: f.widget(),
		})
	}
	return d, nil
}

type field struct{ name, kind, description string }

// fields gives the fields of the spec or the status that have a description, sorted.
func fields(schema map[string]any, part string) []field {
	properties, _, _ := unstructured.NestedMap(schema, "properties", part, "properties")
	var all []field
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property, _ := properties[name].(map[string]any)
		kind, _ := property["type"].(string)
		if description, _ := property["description"].(string); description != "" {
			all = append(all, field{name, kind, inOneLine(description)})
		}
	}
	return all
}

// widget says how OpenShift's console shows a field that is not plain text.
func (f field) widget() []string {
	switch {
	case f.kind == "boolean":
		return []string{"urn:alm:descriptor:com.tectonic.ui:booleanSwitch"}
	case f.name == "replicas":
		return []string{"urn:alm:descriptor:com.tectonic.ui:podCount"}
	case f.name == "conditions":
		return []string{"urn:alm:descriptor:io.kubernetes.conditions"}
	case f.name == "url":
		return []string{"urn:alm:descriptor:org.w3:link"}
	}
	return nil
}

// displayName makes "Token Secret Ref" of tokenSecretRef.
func displayName(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case i == 0:
			r = unicode.ToUpper(r)
		case unicode.IsUpper(r) && unicode.IsLower(rune(name[i-1])):
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func inOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// children are the kinds that the operator may create, which are those it makes for a bot.
func (p *product) children() ([]v1alpha1.APIResourceReference, error) {
	var all []v1alpha1.APIResourceReference
	for _, rule := range p.clusterWide {
		r, _ := rule.(map[string]any)
		verbs, _, _ := unstructured.NestedStringSlice(r, "verbs")
		groups, _, _ := unstructured.NestedStringSlice(r, "apiGroups")
		resources, _, _ := unstructured.NestedStringSlice(r, "resources")
		if !slices.Contains(verbs, "create") {
			continue
		}
		for _, group := range groups {
			for _, resource := range resources {
				child, ok := kinds[group+"/"+resource]
				if !ok {
					return nil, fmt.Errorf("the operator may create %s of the group %q: say in kinds whether a bot has them", resource, group)
				}
				if child.Kind != "" {
					all = append(all, child)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b v1alpha1.APIResourceReference) int { return cmp.Compare(a.Kind, b.Kind) })
	return slices.Compact(all), nil
}

// kinds are what the operator may create: the kinds that a bot has, and what is of no interest to its user.
var kinds = map[string]v1alpha1.APIResourceReference{
	"/configmaps":                        {Kind: "ConfigMap", Version: "v1"},
	"/secrets":                           {Kind: "Secret", Version: "v1"},
	"/serviceaccounts":                   {Kind: "ServiceAccount", Version: "v1"},
	"/services":                          {Kind: "Service", Version: "v1"},
	"apps/deployments":                   {Kind: "Deployment", Version: "v1"},
	"apps/statefulsets":                  {Kind: "StatefulSet", Version: "v1"},
	"authentication.k8s.io/tokenreviews": {}, // of who reads metrics
	"authorization.k8s.io/subjectaccessreviews": {},
	"events.k8s.io/events":                      {},
	"gateway.networking.k8s.io/httproutes":      {Kind: "HTTPRoute", Version: "v1"},
	"networking.k8s.io/ingresses":               {Kind: "Ingress", Version: "v1"},
	"networking.k8s.io/networkpolicies":         {Kind: "NetworkPolicy", Version: "v1"},
	"policy/poddisruptionbudgets":               {Kind: "PodDisruptionBudget", Version: "v1"},
	"rbac.authorization.k8s.io/rolebindings":    {Kind: "RoleBinding", Version: "v1"},
	"rbac.authorization.k8s.io/roles":           {Kind: "Role", Version: "v1"},
}
