package docs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// kustomize is told of every field of a bot that names a Secret.
func TestKustomizeKnowsEverySecretReference(t *testing.T) {
	var crd apiextensionsv1.CustomResourceDefinition
	readYAML(t, "config/crd/bases/wechatbot.dev_wechatbots.yaml", &crd)
	var want []string
	secretNames(crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"], "spec", &want)

	var config struct {
		NameReference []struct {
			FieldSpecs []struct{ Kind, Path string }
		}
	}
	readYAML(t, "config/gitops/kustomizeconfig.yaml", &config)
	var got []string
	for _, field := range config.NameReference[0].FieldSpecs {
		if field.Kind != "WechatBot" {
			t.Errorf("%s is of a %s", field.Path, field.Kind)
		}
		got = append(got, field.Path)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config/gitops/kustomizeconfig.yaml does not have the Secrets of the CRD (-CRD +file):\n%s", diff)
	}
}

// secretNames collects the paths of fields that hold a Secret's name.
func secretNames(schema apiextensionsv1.JSONSchemaProps, path string, into *[]string) {
	for name, property := range schema.Properties {
		at := path + "/" + name
		switch {
		case strings.HasSuffix(name, "SecretRef"), name == "imagePullSecrets":
			*into = append(*into, at+"/name")
		case name == "secretName":
			*into = append(*into, at)
		default:
			secretNames(property, at, into)
		}
	}
}
