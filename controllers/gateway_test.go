package controllers_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// The Gateway API is installed while the operator runs; a bot goes from an Ingress to a Gateway and back.
func TestTheGatewayAPIIsFoundWhenItAppears(t *testing.T) {
	w := newWorld(t)
	startOperator(t, quick())
	w.create()
	w.serve()
	w.edit(func(s *v1alpha1.WechatBotSpec) {
		s.Gateway = &v1alpha1.Gateway{ParentRefs: []v1alpha1.ParentRef{{Name: "public", Namespace: "infra", SectionName: "https"}}}
	})
	says(t, w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonGatewayAPIMissing), "install it")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonGatewayAPIMissing)
	installGatewayAPI(t)

	says(t, w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonRouteNotAccepted), "Gateway infra/public")
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(w.bot), new(networkingv1.Ingress)); !apierrors.IsNotFound(err) {
		t.Errorf("the Ingress is still there: %v", err)
	}
	route := named(w, new(gatewayv1.HTTPRoute), "winter")
	w.get(route)
	if !metav1.IsControlledBy(route, w.bot) || string(route.Spec.Hostnames[0]) != w.bot.Spec.Domain ||
		*route.Spec.Rules[0].Matches[0].Path.Value != "/wechat" || string(*route.Spec.ParentRefs[0].SectionName) != "https" {
		t.Errorf("the HTTPRoute is %+v", route.Spec)
	}
	applied := sample(t, "gateway")
	applied.Namespace = w.namespace
	if err := admin.Create(t.Context(), applied); err != nil {
		t.Fatal(err)
	}
	says(t, w.expectOf(applied, v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonRouteNotAccepted), "Gateway infra/public")
	w.get(named(w, new(gatewayv1.HTTPRoute), "gateway"))

	resolved := isTrue
	answer := func(accepted metav1.ConditionStatus, reason, message string) {
		w.get(route)
		condition := func(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
			return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: route.Generation, LastTransitionTime: metav1.Now()}
		}
		route.Status.Parents = []gatewayv1.RouteParentStatus{{
			ParentRef: route.Spec.ParentRefs[0], ControllerName: "example.com/gateway",
			Conditions: []metav1.Condition{condition("Accepted", accepted, reason), condition("ResolvedRefs", resolved, "ResolvedRefs")},
		}}
		if err := admin.Status().Update(t.Context(), route); err != nil {
			t.Fatal(err)
		}
	}
	answer(isFalse, "NotAllowedByListeners", "the listener allows routes of its own namespace only")
	eventually(t, func() error {
		message := w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonRouteNotAccepted)
		return unless(strings.Contains(message, "NotAllowedByListeners: the listener allows"), message)
	})
	resolved = isFalse
	answer(isTrue, "Accepted", "the Service is not known yet")
	eventually(t, func() error {
		message := w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonRouteNotAccepted)
		return unless(strings.Contains(message, "the Service is not known yet"), message)
	})
	resolved = isTrue
	answer(isTrue, "Accepted", "")
	w.expect(v1alpha1.ConditionExposed, isTrue, v1alpha1.ReasonRouteAccepted)
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)

	// Gateways accept a route to a listener without TLS as well.
	infra := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "infra"}}
	if err := client.IgnoreAlreadyExists(admin.Create(t.Context(), infra)); err != nil {
		t.Fatal(err)
	}
	plain := gatewayv1.Listener{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}
	elsewhere := gatewayv1.Listener{
		Name: "https", Port: 443, Protocol: gatewayv1.HTTPSProtocolType, Hostname: new(gatewayv1.Hostname("*.example.net")),
		TLS: &gatewayv1.ListenerTLSConfig{CertificateRefs: []gatewayv1.SecretObjectReference{{Name: "wildcard"}}},
	}
	public := &gatewayv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Name: "public", Namespace: "infra"},
		Spec:       gatewayv1.GatewaySpec{GatewayClassName: "any", Listeners: []gatewayv1.Listener{plain, elsewhere}},
	}
	if err := admin.Create(t.Context(), public); err != nil {
		t.Fatal(err)
	}
	w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"look": "again"} })
	says(t, w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonNoTLSListener), "Gateway infra/public", w.bot.Spec.Domain, "HTTPS")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonNoTLSListener)
	w.patch(public, func() { public.Spec.Listeners[1].Hostname = new(gatewayv1.Hostname("*.example.com")) })
	w.expect(v1alpha1.ConditionExposed, isTrue, v1alpha1.ReasonRouteAccepted)

	if err := admin.Delete(t.Context(), route); err != nil {
		t.Fatal(err)
	}
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonRouteNotAccepted)
	w.get(route)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Gateway = nil })
	w.serve()
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(route), route); !apierrors.IsNotFound(err) {
		t.Errorf("the HTTPRoute is still there: %v", err)
	}
}

// installGatewayAPI installs the CRDs that the operator reads from the module that the operator is built with.
func installGatewayAPI(t *testing.T) {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"gateways", "listenersets", "httproutes"} {
		crd := filepath.Join(strings.TrimSpace(string(dir)), "config", "crd", "standard", "gateway.networking.k8s.io_"+kind+".yaml")
		if _, err := controlPlane.Kubectl(t.Context(), "", "apply", "--server-side", "-f", crd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := controlPlane.Kubectl(context.Background(), "", "delete", "-f", crd); err != nil {
				t.Error(err)
			}
		})
	}
}
