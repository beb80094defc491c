package controllers_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// owned lists the kinds and names of what the bot controls in its namespace.
func (w *world) owned() []string {
	w.t.Helper()
	var all []string
	for kind, list := range map[string]client.ObjectList{
		"ServiceAccount": &corev1.ServiceAccountList{}, "Role": &rbacv1.RoleList{}, "RoleBinding": &rbacv1.RoleBindingList{},
		"ConfigMap": &corev1.ConfigMapList{}, "Deployment": &appsv1.DeploymentList{}, "Service": &corev1.ServiceList{},
		"Ingress": &networkingv1.IngressList{}, "NetworkPolicy": &networkingv1.NetworkPolicyList{},
		"PodDisruptionBudget": &policyv1.PodDisruptionBudgetList{}, "StatefulSet": &appsv1.StatefulSetList{}, "Secret": &corev1.SecretList{},
	} {
		if err := admin.List(w.t.Context(), list, client.InNamespace(w.namespace)); err != nil {
			w.t.Fatal(err)
		}
		for _, o := range objects(w.t, list) {
			if metav1.IsControlledBy(o, w.bot) {
				all = append(all, kind+"/"+configHash.ReplaceAllString(o.GetName(), ""))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all) // of a configuration of before that is kept
}

// configHash is the end of the name of a ConfigMap with a configuration.
var configHash = regexp.MustCompile("-[0-9a-f]{10}$")

// futureConfig is the name that the ConfigMap with the configuration will have of a bot that create is to make.
func (w *world) futureConfig() string {
	w.t.Helper()
	bot := sample(w.t, "minimal")
	bot.Namespace = w.namespace
	config := desired.Config(bot)
	return naming.Config(bot, config.StartHash())
}

// config is the ConfigMap with the configuration that the bot's servers are to start with.
func (w *world) config() *corev1.ConfigMap {
	w.t.Helper()
	w.get(w.bot)
	config := desired.Config(w.bot)
	return named(w, new(corev1.ConfigMap), naming.Config(w.bot, config.StartHash()))
}

var minimalChildren = []string{
	"ConfigMap/winter-config", "ConfigMap/winter-sessions-0", "ConfigMap/winter-sessions-1", "ConfigMap/winter-sessions-2",
	"ConfigMap/winter-sessions-3", "ConfigMap/winter-sessions-4", "ConfigMap/winter-sessions-5", "ConfigMap/winter-sessions-6",
	"ConfigMap/winter-sessions-7", "Deployment/winter", "Ingress/winter",
	"Role/winter-sessions", "RoleBinding/winter-sessions", "Service/winter", "ServiceAccount/winter",
}

func TestTheMinimalObjectIsEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := sharedOperator(t)
	w.create()
	w.serve()
	if got := w.owned(); !slices.Equal(got, minimalChildren) {
		t.Errorf("children are %v", got)
	}
	w.get(w.bot)
	status := w.bot.Status
	if status.URL != "https://"+w.bot.Spec.Domain+"/wechat" || status.Replicas != 1 || status.ReadyReplicas != 1 ||
		status.Selector != "app.kubernetes.io/component=server,app.kubernetes.io/instance=winter,app.kubernetes.io/name=wechatbot" ||
		status.Dify != (v1alpha1.DifyStatus{AppName: "Winter", Mode: "chat", Version: "1.13.3"}) {
		t.Errorf("the status is %+v", status)
	}
	if want := fmt.Sprintf("1/1 replicas serve https://%s/wechat", w.bot.Spec.Domain); describeReady(w.bot) != want {
		t.Errorf("Ready says %q, want %q", describeReady(w.bot), want)
	}
	w.expectEvent(corev1.EventTypeNormal, v1alpha1.ReasonServing)
	for _, child := range []string{"serviceaccounts", "services", "configmaps", "deployments", "ingresses", "roles", "rolebindings"} {
		want := 1
		if child == "configmaps" {
			want = 1 + serverconfig.SessionObjects
		}
		if n := op.calls.matching(http.MethodPatch, "/namespaces/"+w.namespace+"/"+child+"/"); n != want {
			t.Errorf("%d writes of %s, want %d", n, child, want)
		}
	}
}

func describeReady(bot *v1alpha1.WechatBot) string {
	for _, c := range bot.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Message
		}
	}
	return ""
}

func objects(t testing.TB, list client.ObjectList) []client.Object {
	t.Helper()
	items, err := meta.ExtractList(list)
	if err != nil {
		t.Fatal(err)
	}
	var all []client.Object
	for _, item := range items {
		o, ok := item.(client.Object)
		if !ok {
			t.Fatalf("%T is no object", item)
		}
		all = append(all, o)
	}
	return all
}
