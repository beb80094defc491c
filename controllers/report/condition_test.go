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
	for kind, want := range map[dify.Kind]struct{ reason, cause string }{
		dify.Unauthorized:      {v1alpha1.ReasonUnauthorized, "spec.dify.apiKeySecretRef"},
		dify.Forbidden:         {v1alpha1.ReasonUnauthorized, "switched off"},
		dify.WrongAppMode:      {v1alpha1.ReasonWrongAppMode, "chat app"},
		dify.AppUnavailable:    {v1alpha1.ReasonUnreachable, "publish"},
		dify.NotFound:          {v1alpha1.ReasonUnreachable, "not Dify's service API"},
		dify.BadResponse:       {v1alpha1.ReasonUnreachable, "not Dify's service API"},
		dify.HTMLResponse:      {v1alpha1.ReasonUnreachable, "web page"},
		dify.Redirected:        {v1alpha1.ReasonUnreachable, "redirects"},
		dify.Server:            {v1alpha1.ReasonUnreachable, "5xx"},
		dify.RateLimited:       {v1alpha1.ReasonUnreachable, "429"},
		dify.Interrupted:       {v1alpha1.ReasonUnreachable, "closes connections"},
		dify.NoSuchHost:        {v1alpha1.ReasonUnreachable, "no such host"},
		dify.ConnectionRefused: {v1alpha1.ReasonUnreachable, "connection refused"},
		dify.ConnectTimeout:    {v1alpha1.ReasonUnreachable, "no connection in 10 s"},
		dify.FirstEventTimeout: {v1alpha1.ReasonUnreachable, "no answer in 10 s"},
		dify.UnknownAuthority:  {v1alpha1.ReasonUnreachable, "certificate is signed by unknown authority. Set spec.dify.caSecretRef"},
		dify.BadCertificate:    {v1alpha1.ReasonUnreachable, "expired, or is for another host"},
		dify.NoTLS:             {v1alpha1.ReasonUnreachable, "speaks no TLS"},
		dify.TLSRequired:       {v1alpha1.ReasonUnreachable, "speaks TLS only"},
		dify.TLSFailed:         {v1alpha1.ReasonUnreachable, "TLS handshake"},
		dify.Unreachable:       {v1alpha1.ReasonUnreachable, "does not answer"},
	} {
		state := healthy(func(s *observe.State) { s.Dify = observe.Dify{Asked: true, Err: &dify.Error{Op: "info", Kind: kind}} })
		expect(t, winter(), state, v1alpha1.ConditionDifyReachable, want.reason, want.cause)
		expect(t, winter(), state, v1alpha1.ConditionDifyReachable, want.reason, "https://dify.example.com/v1")
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

// A Dify that answered this address and key before takes no bot down when it fails; a new address or key has to prove
// itself.
func TestReady_WhileDifyFails(t *testing.T) {
	failing := func(d observe.Dify) *observe.State {
		d.Asked, d.Err = true, &dify.Error{Kind: dify.Unreachable}
		return healthy(func(s *observe.State) { s.Dify = d })
	}
	served := winter()
	served.Status = report.Status(served, healthy(), nil)
	rolling := winter()
	rolling.Status = report.Status(served, healthy(func(s *observe.State) { s.Children.Deployment.Status.UpdatedReplicas = 0 }), nil)
	edited := served.DeepCopy()
	edited.Generation++
	unasked := served.DeepCopy()
	unasked.Status = report.Status(served, healthy(func(s *observe.State) { s.Dify = observe.Dify{Changed: true} }), nil)
	refused := served.DeepCopy()
	refused.Status = report.Status(served, failing(observe.Dify{Changed: true}), nil)
	for name, c := range map[string]struct {
		bot    *v1alpha1.WechatBot
		state  *observe.State
		reason string
	}{
		"a new bot":                                {winter(), failing(observe.Dify{}), v1alpha1.ReasonUnreachable},
		"a serving bot":                            {served, failing(observe.Dify{Confirmed: true}), v1alpha1.ReasonServing},
		"after a start of the operator":            {served, failing(observe.Dify{}), v1alpha1.ReasonServing},
		"after a start, in a rollout of before":    {rolling, failing(observe.Dify{}), v1alpha1.ReasonServing},
		"another field was edited":                 {edited, failing(observe.Dify{Confirmed: true}), v1alpha1.ReasonServing},
		"edited while no operator ran":             {edited, failing(observe.Dify{}), v1alpha1.ReasonUnreachable},
		"edited while no operator ran, unasked":    {edited, healthy(func(s *observe.State) { s.Dify = observe.Dify{} }), v1alpha1.ReasonNotChecked},
		"a new key, unasked":                       {served, healthy(func(s *observe.State) { s.Dify = observe.Dify{Changed: true} }), v1alpha1.ReasonNotChecked},
		"a new key fails":                          {unasked, failing(observe.Dify{Changed: true}), v1alpha1.ReasonUnreachable},
		"a new key fails at once":                  {served, failing(observe.Dify{Changed: true}), v1alpha1.ReasonUnreachable},
		"a new key fails, and the operator starts": {refused, failing(observe.Dify{}), v1alpha1.ReasonUnreachable},
	} {
		status := report.Status(c.bot, c.state, nil)
		got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
		if got.Reason != c.reason {
			t.Errorf("%s: Ready is %s %s, want %s", name, got.Status, got.Reason, c.reason)
		}
	}
}

func TestAwaitDify(t *testing.T) {
	at := func(pending time.Duration) *observe.State {
		return healthy(func(s *observe.State) { s.Dify = observe.Dify{Pending: now.Add(-pending)} })
	}
	served := winter()
	served.Status = report.Status(served, healthy(), nil)
	for name, c := range map[string]struct {
		bot   *v1alpha1.WechatBot
		state *observe.State
		want  time.Duration
	}{
		"just asked":       {winter(), at(0), 500 * time.Millisecond},
		"asked a while":    {winter(), at(400 * time.Millisecond), 100 * time.Millisecond},
		"asked too long":   {winter(), at(time.Minute), 0},
		"answered":         {winter(), healthy(), 0},
		"no key":           {winter(), healthy(func(s *observe.State) { s.Dify = observe.Dify{Changed: true} }), 0},
		"known of before":  {served, at(0), 0},
		"nobody is asking": {winter(), healthy(func(s *observe.State) { s.Dify = observe.Dify{Off: true} }), 0},
	} {
		if got := report.AwaitDify(c.bot, c.state); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// rule leads an address to a bot.
func rule(host, path string) networkingv1.IngressRule {
	paths := &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: path}}}
	return networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: paths}}
}

func TestExposed(t *testing.T) {
	ingress := func(b *v1alpha1.WechatBot) { b.Spec.Ingress = nil }
	with := func(class observe.Class, address ...networkingv1.IngressLoadBalancerIngress) *observe.State {
		return healthy(func(s *observe.State) {
			s.Class = class
			s.Children.Ingress = &networkingv1.Ingress{
				Spec:   networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule("bot.example.com", "/wechat")}},
				Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: address}},
			}
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
	for _, other := range []networkingv1.IngressRule{rule("old.example.com", "/wechat"), rule("bot.example.com", "/old"), {Host: "bot.example.com"}} {
		refused := with(observe.ClassFound, host)
		refused.Children.Ingress.Spec.Rules = []networkingv1.IngressRule{other}
		expect(t, winter(ingress), refused, v1alpha1.ConditionExposed, v1alpha1.ReasonAddressPending, "does not lead https://bot.example.com/wechat to the bot yet")
	}
	conflicting := healthy(func(s *observe.State) { s.ConflictingBot = &types.NamespacedName{Namespace: "a", Name: "b"} })
	expect(t, winter(), conflicting, v1alpha1.ConditionExposed, v1alpha1.ReasonDomainConflict, "a WechatBot of another namespace")
	conflicting.ConflictingBot.Namespace = winter().Namespace
	expect(t, winter(), conflicting, v1alpha1.ConditionExposed, v1alpha1.ReasonDomainConflict, `WechatBot "b"`)
	conflicting.ConflictMoves = true
	expect(t, winter(), conflicting, v1alpha1.ConditionExposed, v1alpha1.ReasonDomainConflict, `WechatBot "b" moves away from https://`)
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
			s.Children.HTTPRoute = &gatewayv1.HTTPRoute{
				ObjectMeta: metav1.ObjectMeta{Generation: 2},
				Spec: gatewayv1.HTTPRouteSpec{
					Hostnames: []gatewayv1.Hostname{"bot.example.com"},
					Rules:     []gatewayv1.HTTPRouteRule{{Matches: []gatewayv1.HTTPRouteMatch{{Path: &gatewayv1.HTTPPathMatch{Value: new("/wechat")}}}}},
				},
			}
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
	refused := route("public", accepted, resolved)
	refused.Children.HTTPRoute.Spec.Hostnames[0] = "old.example.com"
	expect(t, bot, refused, v1alpha1.ConditionExposed, v1alpha1.ReasonRouteNotAccepted, "yet; meanwhile it leads https://old.example.com/wechat")
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

// A rollout that somebody has paused does not go on by itself.
func TestAvailable_Paused(t *testing.T) {
	paused := healthy(func(s *observe.State) {
		s.Children.Deployment.Spec.Paused = true
		s.Children.Deployment.Status.UpdatedReplicas = 0
	})
	expect(t, winter(), paused, v1alpha1.ConditionAvailable, v1alpha1.ReasonPodsNotReady,
		"is paused: kubectl -n bots rollout resume deployment/winter; meanwhile 1/1 replicas serve")
	paused.Children.Deployment.Status.UpdatedReplicas = 1 // there is nothing to roll
	expect(t, winter(), paused, v1alpha1.ConditionAvailable, v1alpha1.ReasonPodsReady, "")
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
	for _, one := range []string{"a", "é", "好", "👍"} {
		for before := range 4 { // wherever the cut comes
			state := healthy(func(s *observe.State) {
				s.Children.Deployment.Status.AvailableReplicas = 0
				s.PodProblem = strings.Repeat("-", before) + strings.Repeat(one, 1100)
			})
			c := meta.FindStatusCondition(report.Status(winter(), state, nil).Conditions, v1alpha1.ConditionAvailable)
			if len(c.Message) > 1024 || len(c.Message) < 1018 || !strings.HasSuffix(c.Message, one+"…") {
				t.Errorf("%d and %s: the message has %d bytes and ends in %q", before, one, len(c.Message), c.Message[len(c.Message)-12:])
			}
		}
	}
}
