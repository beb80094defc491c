package controllers_test

import (
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers"
)

// may asks the API server what config/ allows an account, as kubectl auth can-i does. A resource is written
// resource.group/name:subresource, of which only the first is needed.
func may(t *testing.T, account, verb, what, namespace string) bool {
	t.Helper()
	what, subresource, _ := strings.Cut(what, ":")
	what, name, _ := strings.Cut(what, "/")
	resource, group, _ := strings.Cut(what, ".")
	if verb != "impersonate" { // what is impersonated is nothing that the API server keeps
		if _, err := admin.RESTMapper().ResourceFor(schema.GroupVersionResource{Group: group, Resource: resource}); err != nil {
			t.Fatalf("a right on what does not exist: %v", err)
		}
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: account, Groups: []string{"system:serviceaccounts", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource, Name: name,
		},
	}}
	if err := admin.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func TestWhatTheOperatorMayAndMayNot(t *testing.T) {
	for _, c := range []struct {
		verb, resource, namespace string
		cluster, namespaced       bool
	}{
		{"get", "secrets", "wechatbot", true, true},
		{"get", "secrets", "default", true, false},
		{"list", "secrets", "wechatbot", false, false},
		{"watch", "secrets", "wechatbot", false, false},
		{"create", "secrets", "wechatbot", true, true},
		{"create", "secrets", "default", true, false},
		{"update", "secrets", "wechatbot", false, false},
		{"patch", "secrets", "wechatbot", false, false},
		{"delete", "secrets", "wechatbot", false, false},
		{"patch", "deployments.apps", "wechatbot", true, true},
		{"patch", "deployments.apps", "default", true, false},
		{"patch", "statefulsets.apps", "wechatbot", true, true},
		{"patch", "persistentvolumeclaims", "wechatbot", true, true},
		{"create", "persistentvolumeclaims", "wechatbot", false, false},
		{"delete", "persistentvolumeclaims", "wechatbot", false, false},
		{"list", "pods", "default", true, false},
		{"create", "pods", "default", false, false},
		{"create", "pods:exec", "default", false, false},
		{"patch", "wechatbots.wechatbot.dev", "wechatbot", false, false},
		{"delete", "wechatbots.wechatbot.dev", "wechatbot", false, false},
		{"patch", "wechatbots.wechatbot.dev:status", "wechatbot", true, true},
		{"create", "roles.rbac.authorization.k8s.io", "wechatbot", true, true},
		{"escalate", "roles.rbac.authorization.k8s.io", "wechatbot", false, false},
		{"bind", "roles.rbac.authorization.k8s.io", "wechatbot", false, false},
		{"create", "clusterroles.rbac.authorization.k8s.io", "", false, false},
		{"create", "clusterrolebindings.rbac.authorization.k8s.io", "", false, false},
		{"list", "ingressclasses.networking.k8s.io", "", true, false},
		{"list", "nodes", "", false, false},
		{"list", "namespaces", "", false, false},
		{"impersonate", "users", "", false, false},
		{"create", "serviceaccounts:token", "default", false, false},
		{"create", "events.events.k8s.io", "wechatbot", true, true},
		{"create", "tokenreviews.authentication.k8s.io", "", true, false},
		{"update", "leases.coordination.k8s.io/wechatbot-operator", "wechatbot-system", true, false},
		{"update", "leases.coordination.k8s.io/another", "wechatbot-system", false, false},
	} {
		if got := may(t, clusterAccount, c.verb, c.resource, c.namespace); got != c.cluster {
			t.Errorf("the operator of the cluster may %s %s in %q: %v", c.verb, c.resource, c.namespace, got)
		}
		if got := may(t, namespacedAccount, c.verb, c.resource, c.namespace); got != c.namespaced {
			t.Errorf("the operator of a namespace may %s %s in %q: %v", c.verb, c.resource, c.namespace, got)
		}
	}
}

// With --watch-namespaces, rights in these namespaces are enough, and others' bots are not touched.
func TestAnOperatorOfOneNamespace(t *testing.T) {
	op := startOperator(t, quick(), func(c *rest.Config, m *controllers.ManagerOptions) {
		c.Impersonate.UserName = namespacedAccount
		m.Namespaces = []string{"wechatbot"}
	})
	elsewhere := newWorld(t)
	elsewhere.create()
	w := &world{t: t, namespace: "wechatbot", difyURL: elsewhere.difyURL}
	w.secret("winter", map[string]string{"token": "wintertoken", "dify-key": difyKey})
	w.create(func(b *v1alpha1.WechatBot) { b.Spec.Ingress = &v1alpha1.Ingress{ClassName: "unknown-to-it"} })
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)
	w.serve()
	w.expectEvent("Normal", v1alpha1.ReasonServing)
	if got := elsewhere.owned(); len(got) > 0 {
		t.Errorf("it made %v in a namespace that it does not watch", got)
	}
	if n := op.calls.matching("GET", elsewhere.namespace); n > 0 {
		t.Errorf("it read %d times in a namespace that it does not watch", n)
	}
}
