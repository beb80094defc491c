package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/operator-framework/api/pkg/lib/version"
	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// provider is whose the product is, as LICENSE says.
const provider = "The WechatBot Operator Authors"

func (p *product) name() string { return p.chart.Name + ".v" + p.version.String() }

// serviceVersion gives the ClusterServiceVersion. What is the cluster's own (the pod, the rules) is put in as it is:
// this module's types of it are older than the product's.
func (p *product) serviceVersion() (map[string]any, error) {
	if p.image() == "" {
		return nil, errors.New("the Deployment has no image")
	}
	annotations, err := p.annotations()
	if err != nil {
		return nil, err
	}
	spec, err := p.spec()
	if err != nil {
		return nil, err
	}
	csv := v1alpha1.ClusterServiceVersion{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.ClusterServiceVersionAPIVersion, Kind: v1alpha1.ClusterServiceVersionKind},
		ObjectMeta: metav1.ObjectMeta{Name: p.name(), Annotations: annotations},
		Spec:       spec,
	}
	content, err := json.Marshal(csv)
	if err != nil {
		return nil, fmt.Errorf("making the ClusterServiceVersion: %w", err)
	}
	var object map[string]any
	if err := json.Unmarshal(content, &object); err != nil {
		return nil, fmt.Errorf("making the ClusterServiceVersion: %w", err)
	}
	for _, empty := range [][]string{{"status"}, {"metadata", "creationTimestamp"}, {"spec", "apiservicedefinitions"}, {"spec", "cleanup"}} {
		unstructured.RemoveNestedField(object, empty...)
	}
	if err := unstructured.SetNestedMap(object, p.install(), "spec", "install"); err != nil {
		return nil, fmt.Errorf("making the ClusterServiceVersion: %w", err)
	}
	return object, nil
}

func (p *product) spec() (v1alpha1.ClusterServiceVersionSpec, error) {
	minKube, err := p.chart.minKubeVersion()
	if err != nil {
		return v1alpha1.ClusterServiceVersionSpec{}, err
	}
	owned, err := p.description()
	if err != nil {
		return v1alpha1.ClusterServiceVersionSpec{}, err
	}
	var links []v1alpha1.AppLink
	if err := sigsyaml.Unmarshal([]byte(p.chart.Annotations["artifacthub.io/links"]), &links); err != nil {
		return v1alpha1.ClusterServiceVersionSpec{}, fmt.Errorf("the chart's links: %w", err)
	}
	return v1alpha1.ClusterServiceVersionSpec{
		DisplayName:    "WechatBot",
		Description:    p.about,
		Version:        version.OperatorVersion{Version: p.version},
		Maturity:       maturity(p.version),
		MinKubeVersion: minKube,
		Keywords:       p.chart.Keywords,
		Links:          links,
		Provider:       v1alpha1.AppLink{Name: provider, URL: p.chart.Home},
		Icon:           []v1alpha1.Icon{{Data: p.icon, MediaType: "image/svg+xml"}},
		InstallModes: []v1alpha1.InstallMode{ // config/default works in the whole cluster
			{Type: v1alpha1.InstallModeTypeOwnNamespace, Supported: false},
			{Type: v1alpha1.InstallModeTypeSingleNamespace, Supported: false},
			{Type: v1alpha1.InstallModeTypeMultiNamespace, Supported: false},
			{Type: v1alpha1.InstallModeTypeAllNamespaces, Supported: true},
		},
		CustomResourceDefinitions: v1alpha1.CustomResourceDefinitions{Owned: []v1alpha1.CRDDescription{owned}},
	}, nil
}

// install says what OLM makes in the operator's namespace, and the rights of the operator's account.
func (p *product) install() map[string]any {
	spec, _, _ := unstructured.NestedMap(p.deployment.Object, "spec")
	deployment := map[string]any{"name": p.deployment.GetName(), "spec": spec}
	if labels, ok, _ := unstructured.NestedMap(p.deployment.Object, "metadata", "labels"); ok {
		deployment["label"] = labels
	}
	strategy := map[string]any{"deployments": []any{deployment}}
	for part, rules := range map[string][]any{"permissions": p.namespaced, "clusterPermissions": p.clusterWide} {
		if len(rules) > 0 {
			strategy[part] = []any{map[string]any{"serviceAccountName": p.account, "rules": rules}}
		}
	}
	return map[string]any{"strategy": v1alpha1.InstallStrategyNameDeployment, "spec": strategy}
}

func (p *product) annotations() (map[string]string, error) {
	examples, err := json.MarshalIndent(p.examples, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the examples: %w", err)
	}
	namespace := p.namespace.DeepCopy()
	namespace.SetLabels(withoutPartOf(namespace.GetLabels()))
	template, err := json.Marshal(namespace.Object)
	if err != nil {
		return nil, fmt.Errorf("writing the namespace: %w", err)
	}
	return map[string]string{
		"alm-examples":   string(examples),
		"capabilities":   p.chart.Annotations["artifacthub.io/operatorCapabilities"],
		"categories":     "AI/Machine Learning",
		"certified":      "false",
		"containerImage": p.image(),
		"createdAt":      p.created.Format(time.RFC3339),
		"description":    p.chart.Description,
		"repository":     p.chart.Home,
		"support":        p.chart.Home + "/issues",
		// Any earlier version can be upgraded to this one, as with Helm.
		v1alpha1.SkipRangeAnnotationKey: "<" + p.version.String(),
		// The namespace's labels hold its pods to the restricted Pod Security Standard.
		"operatorframework.io/suggested-namespace":          namespace.GetName(),
		"operatorframework.io/suggested-namespace-template": string(template),
	}, nil
}

// withoutPartOf leaves out the label that kustomize gives everything: the namespace is not the product's.
func withoutPartOf(labels map[string]string) map[string]string {
	delete(labels, "app.kubernetes.io/part-of")
	return labels
}

var oldestKube = regexp.MustCompile(`^>=(\d+\.\d+\.\d+)(-0)?$`)

func (c chart) minKubeVersion() (string, error) {
	match := oldestKube.FindStringSubmatch(c.KubeVersion)
	if match == nil {
		return "", fmt.Errorf("the chart's kubeVersion %q is not one like >=1.31.0-0", c.KubeVersion)
	}
	return match[1], nil
}
