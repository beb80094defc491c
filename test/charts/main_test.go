//go:build charts

// Package charts_test holds what helm and kustomize make of this repository to a real API server: every rendering is
// applied with strict validation, as a dry run, into namespaces of the restricted Pod Security Standard.
// `make charts-test` runs it; it needs bin/helm, bin/kustomize and bin/controlplane.
package charts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

const (
	root          = "../.."
	operatorChart = root + "/charts/wechatbot-operator"
	botChart      = root + "/charts/wechatbot"
	namespace     = "wechatbot-system"
)

var controlPlane *envtest.ControlPlane

// kubernetes is the control plane's version, which the charts are rendered for.
var kubernetes string

func TestMain(m *testing.M) {
	os.Exit(envtest.Main(func(c *envtest.ControlPlane) (int, error) {
		controlPlane = c
		if err := errors.Join(askVersion(), prepare()); err != nil {
			return 1, err
		}
		return m.Run(), nil
	}))
}

func askVersion() error {
	answer, err := controlPlane.Kubectl(context.Background(), "", "get", "--raw", "/version")
	if err != nil {
		return err
	}
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal([]byte(answer), &version); err != nil {
		return fmt.Errorf("reading the version of the API server: %w", err)
	}
	kubernetes = version.GitVersion
	return nil
}

// prepare makes what the charts' objects need to be there.
func prepare() error {
	crds := filepath.Join(root, "testdata", "crds")
	if _, err := controlPlane.Kubectl(context.Background(), "", "apply", "--server-side", "-f", crds); err != nil {
		return err
	}
	if _, err := controlPlane.Kubectl(context.Background(), "", "wait", "--for=condition=Established", "-f", crds); err != nil {
		return err
	}
	for _, name := range []string{namespace, "team-b", "bots", "wechatbot"} {
		manifest := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": %q, "labels": {
			"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}}}`, name)
		if _, err := controlPlane.Kubectl(context.Background(), manifest, "apply", "-f", "-"); err != nil {
			return err
		}
	}
	return nil
}

// tool runs one of the pinned tools and gives what it prints.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := tryTool(t, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryTool(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin", name), args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// render gives what a chart makes of values, which are files or --set flags.
func render(t *testing.T, release, namespace, chart string, values ...string) string {
	t.Helper()
	args := []string{"template", release, chart, "--namespace", namespace, "--kube-version", kubernetes}
	for _, v := range values {
		if !strings.HasPrefix(v, "--") {
			args = append(args, "--values")
		}
		args = append(args, v)
	}
	return tool(t, "helm", args...)
}

// objects parses manifests.
func objects(t *testing.T, manifests string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for document := range strings.SplitSeq("\n"+manifests, "\n---") {
		object := new(unstructured.Unstructured)
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if len(object.Object) > 0 {
			all = append(all, object)
		}
	}
	if len(all) == 0 {
		t.Fatal("there are no objects")
	}
	return all
}

// accepted says whether the API server takes the manifests, without a warning. They name their namespaces themselves.
func accepted(t *testing.T, manifests string) error {
	t.Helper()
	_, err := controlPlane.Kubectl(t.Context(), manifests, "apply", "--server-side", "--dry-run=server", "--validate=strict",
		"--force-conflicts", "--warnings-as-errors", "-f", "-")
	return err
}
