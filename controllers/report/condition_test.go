package report_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
	"github.com/wechatbot/wechatbot-operator/controllers/report"
	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// expect fails unless a condition says something of a bot and its state.
func expect(t *testing.T, bot *v1alpha1.WechatBot, state *observe.State, condition, reason, part string) {
	t.Helper()
	c := meta.FindStatusCondition(report.Status(bot, state, nil).Conditions, condition)
	switch {
	case c == nil && reason == "":
	case c == nil || c.Reason != reason || !strings.Contains(c.Message, part):
		t.Errorf("%s is %+v, want %s with %q", condition, c, reason, part)
	}
}

func TestDifyReachable(t *testing.T) {
	for kind, want := range map[dify.Kind]string{
		dify.Unauthorized: v1alpha1.ReasonUnauthorized, dify.Forbidden: v1alpha1.ReasonUnauthorized,
		dify.WrongAppMode: v1alpha1.ReasonWrongAppMode, dify.AppUnavailable: v1alpha1.ReasonUnreachable,
		dify.NotFound: v1alpha1.ReasonUnreachable, dify.BadResponse: v1alpha1.ReasonUnreachable,
		dify.Server: v1alpha1.ReasonUnreachable, dify.RateLimited: v1alpha1.ReasonUnreachable,
		dify.FirstEventTimeout: v1alpha1.ReasonUnreachable, dify.Interrupted: v1alpha1.ReasonUnreachable,
	} {
		state := healthy(func(s *observe.State) { s.Dify = observe.Dify{Asked: true, Err: &dify.Error{Op: "info", Kind: kind}} })
		expect(t, winter(), state, v1alpha1.ConditionDifyReachable, want, "")
		if kind == dify.AppUnavailable {
			expect(t, winter(), state, v1alpha1.ConditionDifyReachable, want, "publish")
		}
	}
	old := healthy(func(s *observe.State) { s.Dify.App = v1alpha1.DifyStatus{} })
	expect(t, winter(), old, v1alpha1.ConditionDifyReachable, v1alpha1.ReasonAuthorized, "accepted the API key")
	unasked := healthy(func(s *observe.State) { s.Dify = observe.Dify{} })
	expect(t, winter(), unasked, v1alpha1.ConditionDifyReachable, v1alpha1.ReasonNotChecked, "has not answered yet")
	unasked.Secrets = []observe.SecretProblem{{Reason: v1alpha1.ReasonSecretNotFound, Ref: desired.SecretRef{File: desired.FileDifyAPIKey}}}
	expect(t, winter(), unasked, v1alpha1.ConditionDifyReachable, v1alpha1.ReasonNotChecked, "as soon as there is an API key")
	lacking := healthy(func(s *observe.State) { s.Dify.Missing = []string{"a", "b"} })
	expect(t, winter(), lacking, v1alpha1.ConditionDifyReachable, v1alpha1.ReasonInputsMissing, "a, b")
	odd := healthy(func(s *observe.State) {
		s.Dify = observe.Dify{Asked: true, Err: errors.New("dify: the base URL has no host")}
	})
	expect(t, winter(), odd, v1alpha1.ConditionDifyReachable, v1alpha1.ReasonUnreachable, "spec.dify.baseURL: the base URL has no host")
}

// A failure of Dify takes a bot down that never had an app, and none that had.
func TestDifyTakesNoServingBotDown(t *testing.T) {
	bot := winter()
	down := healthy(func(s *observe.State) { s.Dify = observe.Dify{Asked: true, Err: &dify.Error{Kind: dify.Unreachable}} })
	expect(t, bot, down, v1alpha1.ConditionReady, v1alpha1.ReasonUnreachable, "")
	bot.Status = report.Status(bot, healthy(), nil)
	expect(t, bot, down, v1alpha1.ConditionReady, v1alpha1.ReasonServing, "")
	bot.Status = report.Status(bot, healthy(func(s *observe.State) { s.Children.Deployment.Status.UpdatedReplicas = 0 }), nil)
	expect(t, bot, down, v1alpha1.ConditionReady, v1alpha1.ReasonServing, "")
}

func TestExposed(t *testing.T) {
	ingress := func(b *v1alpha1.WechatBot) { b.Spec.Ingress = nil }
	with := func(class observe.Class, address ...networkingv1.IngressLoadBalancerIngress) *observe.State {
		return healthy(func(s *observe.State) {
			s.Class = class
			s.Children.Ingress = &networkingv1.Ingress{Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: address}}}
		})
	}
	host := networkingv1.IngressLoadBalancerIngress{Hostname: "lb.example.com"}
	expect(t, winter(), healthy(), v1alpha1.ConditionExposed, v1alpha1.ReasonExternallyManaged, "Service winter")
	expect(t, winter(ingress), with(observe.ClassFound), v1alpha1.ConditionExposed, v1alpha1.ReasonAddressPending, "")
	expect(t, winter(ingress), with(observe.ClassFound, host), v1alpha1.ConditionExposed, v1alpha1.ReasonAddressAssigned, "lb.example.com")
	expect(t, winter(ingress), with(observe.NoDefaultClass, host), v1alpha1.ConditionExposed, v1alpha1.ReasonIngressClassNotFound, "no default")
	expect(t, winter(ingress), with(observe.NoDefaultClass), v1alpha1.ConditionExposed, v1alpha1.ReasonIngressClassNotFound, "no default")
	expect(t, winter(ingress), with(observe.ClassMissing, host), v1alpha1.ConditionExposed, v1alpha1.ReasonIngressClassNotFound, "install an ingress controller")
	kept := with(observe.NoDefaultClass, host)
	kept.Children.Ingress.Spec.IngressClassName, kept.Classes.Others = new("edge"), []string{"edge", "inner"}
	expect(t, winter(ingress), kept, v1alpha1.ConditionExposed, v1alpha1.ReasonIngressClassNotFound, `there are: edge, inner; meanwhile the Ingress keeps class "edge"`)
	conflicting := healthy(func(s *observe.State) { s.ConflictingBot = &types.NamespacedName{Namespace: "a", Name: "b"} })
	expect(t, winter(), conflicting, v1alpha1.ConditionExposed, v1alpha1.ReasonDomainConflict, "a WechatBot of another namespace")
	conflicting.ConflictingBot.Namespace = winter().Namespace
	expect(t, winter(), conflicting, v1alpha1.ConditionExposed, v1alpha1.ReasonDomainConflict, `WechatBot "b"`)
}

func TestRouted(t *testing.T) {
	parent := v1alpha1.ParentRef{Name: "public", Namespace: "infra", Kind: v1alpha1.ParentListenerSet, Port: 443}
	bot := winter(func(b *v1alpha1.WechatBot) {
		b.Spec.Gateway = &v1alpha1.Gateway{ParentRefs: []v1alpha1.ParentRef{parent}}
	})
	condition := func(kind string, status metav1.ConditionStatus, generation int64) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: "Why", Message: "because", ObservedGeneration: generation}
	}
	route := func(name string, conditions ...metav1.Condition) *observe.State {
		return healthy(func(s *observe.State) {
			s.GatewayAPI = true
			s.Children.HTTPRoute = &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
			s.Children.HTTPRoute.Status.Parents = []gatewayv1.RouteParentStatus{{
				ParentRef: gatewayv1.ParentReference{
					Name: gatewayv1.ObjectName(name), Namespace: new(gatewayv1.Namespace("infra")),
					Kind: new(gatewayv1.Kind("ListenerSet")), Port: new(gatewayv1.PortNumber(443)),
				},
				Conditions: conditions,
			}}
		})
	}
	accepted, resolved := condition("Accepted", metav1.ConditionTrue, 2), condition("ResolvedRefs", metav1.ConditionTrue, 2)
	expect(t, bot, healthy(), v1alpha1.ConditionExposed, v1alpha1.ReasonGatewayAPIMissing, "HTTPRoute")
	expect(t, bot, healthy(func(s *observe.State) { s.GatewayAPI = true }), v1alpha1.ConditionExposed, v1alpha1.ReasonRouteNotAccepted, "ListenerSet infra/public has not answered")
	expect(t, bot, route("other", accepted, resolved), v1alpha1.ConditionExposed, v1alpha1.ReasonRouteNotAccepted, "has not answered")
	expect(t, bot, route("public", accepted), v1alpha1.ConditionExposed, v1alpha1.ReasonRouteNotAccepted, "has not yet said")
	expect(t, bot, route("public", condition("Accepted", metav1.ConditionTrue, 1), resolved), v1alpha1.ConditionExposed, v1alpha1.ReasonRouteNotAccepted, "has not yet said")
	expect(t, bot, route("public", accepted, condition("ResolvedRefs", metav1.ConditionFalse, 2)), v1alpha1.ConditionExposed, v1alpha1.ReasonRouteNotAccepted, "Why: because")
	expect(t, bot, route("public", accepted, resolved), v1alpha1.ConditionExposed, v1alpha1.ReasonRouteAccepted, "every parent")
	plain := route("public", accepted, resolved)
	plain.TLSListener = observe.ListenerMissing
	expect(t, bot, plain, v1alpha1.ConditionExposed, v1alpha1.ReasonNoTLSListener, "no listener of ListenerSet infra/public")
	silent := condition("Accepted", metav1.ConditionFalse, 2)
	silent.Reason, silent.Message = "NoMatchingListenerHostname", ""
	expect(t, bot, route("public", silent, resolved), v1alpha1.ConditionExposed, v1alpha1.ReasonRouteNotAccepted, "no listener's hostname fits "+bot.Spec.Domain)
}

func TestCertificateReady(t *testing.T) {
	with := func(domain string, from, until time.Time) *observe.State {
		return healthy(func(s *observe.State) {
			s.Certificate = observe.Certificate{Secret: "cert", Leaf: &x509.Certificate{DNSNames: []string{domain}, NotBefore: from, NotAfter: until}}
		})
	}
	const condition = v1alpha1.ConditionCertificateReady
	day := 24 * time.Hour
	expect(t, winter(), healthy(), condition, "", "")
	expect(t, winter(), healthy(func(s *observe.State) { s.Certificate.Secret = "cert" }), condition, v1alpha1.ReasonCertificatePending, `"cert"`)
	expect(t, winter(), with("*.example.com", now.Add(-day), now.Add(day)), condition, v1alpha1.ReasonCertificateValid, "until 2026-11-23")
	expect(t, winter(), with("example.com", now.Add(-day), now.Add(day)), condition, v1alpha1.ReasonCertificateMismatch, "bot.example.com")
	expect(t, winter(), with("*.example.com", now.Add(-day), now.Add(-time.Second)), condition, v1alpha1.ReasonCertificateExpired, "2026-11-22")
	expect(t, winter(), with("*.example.com", now.Add(day), now.Add(2*day)), condition, v1alpha1.ReasonCertificatePending, "not valid before")
	valid := with("*.example.com", now.Add(-day), now.Add(20*time.Second))
	status := report.Status(winter(), valid, nil)
	if got := report.Recheck(report.DefaultWaits(), winter(), &status, valid); got != 21*time.Second {
		t.Errorf("a certificate that ends in 20 s is looked at again in %s", got)
	}
}

func TestTheStoreIsJudgedByTheServers(t *testing.T) {
	redis := func(b *v1alpha1.WechatBot) { b.Spec.Session.Type = v1alpha1.SessionRedis }
	const condition = v1alpha1.ConditionSessionStoreReady
	expect(t, winter(redis), healthy(), condition, v1alpha1.ReasonStoreReady, "")
	stuck := healthy(func(s *observe.State) {
		s.Children.Deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"},
		}}
	})
	expect(t, winter(redis), stuck, condition, v1alpha1.ReasonRedisUnreachable, "kubectl logs deploy/winter")
	stuck.PodProblem = "ImagePullBackOff: x"
	expect(t, winter(redis), stuck, condition, v1alpha1.ReasonStorePending, "")
	expect(t, winter(redis), stuck, v1alpha1.ConditionAvailable, v1alpha1.ReasonProgressDeadlineExceeded, "ImagePullBackOff")
}

func TestSuspendedKeepsTheRest(t *testing.T) {
	bot := winter()
	bot.Status = report.Status(bot, healthy(func(s *observe.State) { s.Children.Sessions[0] = nil }), nil)
	bot.Generation++
	status := report.Suspended(bot)
	for _, c := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if meta.FindStatusCondition(status.Conditions, c) != nil {
			t.Errorf("%s stays", c)
		}
	}
	if status.ObservedGeneration != bot.Generation || !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionSuspended) ||
		meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAvailable).ObservedGeneration == bot.Generation {
		t.Errorf("the status is %+v", status)
	}
}

func TestALongMessageIsCut(t *testing.T) {
	state := healthy(func(s *observe.State) {
		s.Children.Deployment.Status.AvailableReplicas = 0
		s.PodProblem = strings.Repeat("好", 900)
	})
	c := meta.FindStatusCondition(report.Status(winter(), state, nil).Conditions, v1alpha1.ConditionAvailable)
	if len(c.Message) > 1024 || !strings.HasSuffix(c.Message, "好…") {
		t.Errorf("the message has %d bytes and ends in %q", len(c.Message), c.Message[len(c.Message)-12:])
	}
}
