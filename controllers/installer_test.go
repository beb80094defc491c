package controllers_test

import (
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/controllers"
)

// A namespace's administrator can give the operator its rights there, once a cluster's administrator has granted the role
// wechatbot-installer; without it Kubernetes refuses.
func TestInstaller_NamespaceAdminGrantsRights(t *testing.T) {
	t.Parallel()
	if _, err := controlPlane.Kubectl(t.Context(), "", "apply", "--server-side", "-k", filepath.Join("..", "config", "installer")); err != nil {
		t.Fatal(err)
	}
	installer := new(rbacv1.ClusterRole)
	if err := admin.Get(t.Context(), client.ObjectKey{Name: "wechatbot-installer"}, installer); err != nil {
		t.Fatal(err)
	}
	namespace := controlPlane.Namespace(t, "team")
	const jane = "jane"
	// The role admin as far as it matters here: Kubernetes' own is put together by a controller that does not run here.
	administers := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "administers-roles"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"get", "create", "patch"},
	}}}
	if err := admin.Create(t.Context(), administers); err != nil {
		t.Fatal(err)
	}
	bind(t, namespace, administers.Name, jane)
	access := rest.CopyConfig(controlPlane.Config)
	access.Impersonate = rest.ImpersonationConfig{UserName: jane, Groups: []string{"system:authenticated"}}
	hers, err := client.New(access, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	operators := func() *rbacv1.Role {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "wechatbot-operator"}, Rules: installer.Rules}
	}
	if err := hers.Create(t.Context(), operators()); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "escalat") && !strings.Contains(err.Error(), "attempting to grant") {
		t.Errorf("without the grant: %v", err)
	}
	bind(t, namespace, "wechatbot-installer", jane)
	eventually(t, func() error { return hers.Create(t.Context(), operators()) })
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "wechatbot-operator"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "wechatbot-operator"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "wechatbot-operator", Namespace: namespace}},
	}
	if err := hers.Create(t.Context(), binding); err != nil {
		t.Errorf("giving the rights to the operator: %v", err)
	}
	elsewhere := operators()
	elsewhere.Namespace = controlPlane.Namespace(t, "other")
	if err := hers.Create(t.Context(), elsewhere); !apierrors.IsForbidden(err) {
		t.Errorf("in another namespace: %v", err)
	}
}

func bind(t *testing.T, namespace, role, user string) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user + "-" + role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if err := admin.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
}
