package main

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// carried are the kinds that OLM makes of a bundle's manifests as they are, beside CRDs. It knows more; each has its own
// conditions, so one is added here when config/default has it.
var carried = []string{"ClusterRole", "ClusterRoleBinding", "ConfigMap", "Role", "RoleBinding", "Service", "ServiceAccount"}

// installation is what config/default has, sorted by what OLM does with it.
type installation struct {
	namespace   unstructured.Unstructured // suggested: who installs an operator chooses where
	crd         crd
	deployment  unstructured.Unstructured // OLM makes it of the ClusterServiceVersion,
	account     string                    // with its ServiceAccount,
	namespaced  []any                     // and the rules that this has in the namespaces of bots,
	clusterWide []any                     // or in the cluster.
	manifests   []unstructured.Unstructured
}

func sortOut(objects []unstructured.Unstructured) (installation, error) {
	var i installation
	var rest []unstructured.Unstructured
	once := map[string]int{"Namespace": 0, "CustomResourceDefinition": 0, "Deployment": 0}
	for _, object := range objects {
		kind := object.GetKind()
		if _, ok := once[kind]; ok {
			once[kind]++
		}
		switch kind {
		case "Namespace":
			i.namespace = object
		case "CustomResourceDefinition":
			i.crd = crd{object}
		case "Deployment":
			i.deployment = object
		default:
			rest = append(rest, object)
		}
	}
	for kind, n := range once {
		if n != 1 {
			return i, fmt.Errorf("there are %d objects of the kind %s, want 1", n, kind)
		}
	}
	i.account, _, _ = unstructured.NestedString(i.deployment.Object, "spec", "template", "spec", "serviceAccountName")
	if i.account == "" {
		return i, errors.New("the Deployment names no ServiceAccount")
	}
	err := i.divide(rest)
	return i, err
}

// divide takes the operator's account and its rights out of the objects: OLM makes them of the ClusterServiceVersion.
// All else is carried as it is.
func (i *installation) divide(objects []unstructured.Unstructured) error {
	var bound []string
	for _, object := range objects {
		if !i.bindsAccount(object) {
			continue
		}
		kind, _, _ := unstructured.NestedString(object.Object, "roleRef", "kind")
		name, _, _ := unstructured.NestedString(object.Object, "roleRef", "name")
		rules, err := rulesOf(objects, kind, name)
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		bound = append(bound, kind+"/"+name, object.GetKind()+"/"+object.GetName())
		if object.GetKind() == "ClusterRoleBinding" {
			i.clusterWide = append(i.clusterWide, rules...)
		} else {
			i.namespaced = append(i.namespaced, rules...)
		}
	}
	for _, object := range objects {
		kind, name := object.GetKind(), object.GetName()
		switch {
		case kind == "ServiceAccount" && name == i.account, slices.Contains(bound, kind+"/"+name):
		case !slices.Contains(carried, kind):
			return fmt.Errorf("OLM makes no %s of a bundle (%s)", kind, name)
		default:
			object.SetNamespace("") // OLM puts it where the operator is
			i.manifests = append(i.manifests, object)
		}
	}
	return nil
}

// bindsAccount says whether an object binds a role to the operator's account and to nobody else.
func (i *installation) bindsAccount(object unstructured.Unstructured) bool {
	if kind := object.GetKind(); kind != "RoleBinding" && kind != "ClusterRoleBinding" {
		return false
	}
	subjects, _, _ := unstructured.NestedSlice(object.Object, "subjects")
	return len(subjects) > 0 && !slices.ContainsFunc(subjects, func(subject any) bool {
		s, ok := subject.(map[string]any)
		return !ok || s["kind"] != "ServiceAccount" || s["name"] != i.account
	})
}

func rulesOf(objects []unstructured.Unstructured, kind, name string) ([]any, error) {
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			rules, _, err := unstructured.NestedSlice(object.Object, "rules")
			if err != nil || len(rules) == 0 {
				return nil, fmt.Errorf("the %s %s has no rules", kind, name)
			}
			return rules, nil
		}
	}
	return nil, fmt.Errorf("there is no %s %s", kind, name)
}

// image is the operator's, which is the bots' too.
func (i *installation) image() string {
	containers, _, _ := unstructured.NestedSlice(i.deployment.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		if container, ok := c.(map[string]any); ok {
			if image, ok := container["image"].(string); ok {
				return image
			}
		}
	}
	return ""
}
