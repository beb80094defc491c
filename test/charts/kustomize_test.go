//go:build charts

package charts_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Whichever way the operator is installed, it may do the same and runs the same.
func TestHelmAndKustomizeInstallTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		kustomization, namespace string
		values                   []string
	}{
		"the whole cluster": {"default", "wechatbot-system", nil},
		"one namespace": {"namespaced", "wechatbot", []string{
			"--set=watchNamespaces={wechatbot}", "--set=clusterResources=false", "--set=metrics.enabled=false",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			manifests := tool(t, "kustomize", "build", root+"/config/"+c.kustomization)
			if err := accepted(t, manifests); err != nil {
				t.Error(err)
			}
			kustomized := objects(t, manifests)
			helmed := objects(t, render(t, "wechatbot-operator", c.namespace, operatorChart, c.values...))
			if diff := gocmp.Diff(rights(t, kustomized), rights(t, helmed)); diff != "" {
				t.Errorf("rights (- kustomize, + helm):\n%s", diff)
			}
			if diff := gocmp.Diff(pod(t, kustomized), pod(t, helmed)); diff != "" {
				t.Errorf("pod (- kustomize, + helm):\n%s", diff)
			}
		})
	}
}

// binding is what an account may do by one binding.
type binding struct {
	Kind, Namespace string
	Rules           []rbacv1.PolicyRule
}

// rights gives all that the operator's account may do, apart from names.
func rights(t *testing.T, all []*unstructured.Unstructured) []binding {
	t.Helper()
	account := deployment(t, all).Spec.Template.Spec.ServiceAccountName
	rules := map[string][]rbacv1.PolicyRule{}
	for _, object := range all {
		if kind := object.GetKind(); kind == "Role" || kind == "ClusterRole" {
			var role rbacv1.Role
			convert(t, object, &role)
			rules[kind+"/"+object.GetNamespace()+"/"+object.GetName()] = role.Rules
		}
	}
	var bindings []binding
	for _, object := range all {
		if kind := object.GetKind(); kind != "RoleBinding" && kind != "ClusterRoleBinding" {
			continue
		}
		var bound rbacv1.RoleBinding
		convert(t, object, &bound)
		if len(bound.Subjects) != 1 || bound.Subjects[0].Name != account {
			continue // the account of `helm test`
		}
		of := rules[bound.RoleRef.Kind+"/"+object.GetNamespace()+"/"+bound.RoleRef.Name]
		if len(of) == 0 {
			t.Errorf("%s %s binds a role without rules: %s", object.GetKind(), object.GetName(), bound.RoleRef.Name)
		}
		bindings = append(bindings, binding{object.GetKind(), object.GetNamespace(), of})
	}
	slices.SortFunc(bindings, func(a, b binding) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(len(a.Rules), len(b.Rules)))
	})
	if len(bindings) < 2 {
		t.Errorf("the account %s has %d bindings", account, len(bindings))
	}
	return bindings
}

// pod gives the operator's pod, apart from names and from what says the same in another way.
func pod(t *testing.T, all []*unstructured.Unstructured) corev1.PodSpec {
	t.Helper()
	spec := deployment(t, all).Spec.Template.Spec
	spec.ServiceAccountName = ""
	c := &spec.Containers[0]
	image := c.Image
	c.Image, c.ImagePullPolicy = "", ""
	serverImage := ""
	c.Env = slices.DeleteFunc(c.Env, func(e corev1.EnvVar) bool {
		if e.Name == "SERVER_IMAGE" {
			serverImage = e.Value
		}
		return e.Name == "SERVER_IMAGE" || e.Name == "POD_NAMESPACE"
	})
	for i, arg := range c.Args {
		arg = strings.ReplaceAll(arg, "$(SERVER_IMAGE)", serverImage)
		switch arg {
		case "--server-image=" + image:
			arg = "--server-image=the operator's"
		case "--watch-namespaces=$(POD_NAMESPACE)":
			arg = "--watch-namespaces=" + deployment(t, all).Namespace
		case "--concurrency=8", "--rollout-concurrency=10", "--log-level=info", "--log-format=json":
			arg = "" // the defaults of the flags
		}
		c.Args[i] = arg
	}
	c.Args = slices.DeleteFunc(c.Args, func(arg string) bool { return arg == "" })
	slices.Sort(c.Args)
	return spec
}

func deployment(t *testing.T, all []*unstructured.Unstructured) appsv1.Deployment {
	t.Helper()
	var d appsv1.Deployment
	i := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Deployment" })
	if i < 0 {
		t.Fatal("there is no Deployment")
	}
	convert(t, all[i], &d)
	return d
}

func convert(t *testing.T, from *unstructured.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, into); err != nil {
		t.Fatal(err)
	}
}
