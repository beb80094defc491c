package controllers_test

import (
	"net/http"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// refusal is the answer of an admission webhook that lets no Ingress or HTTPRoute be changed.
func refusal() *metav1.Status {
	return &metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "the host is taken"}
}

// refusedToMove is a bot that serves, whose Ingress nobody may change, and whose domain has been edited; and the domain of before.
func refusedToMove(t *testing.T) (w *world, r *refuser, before string) {
	t.Helper()
	w = newWorld(t)
	w.create()
	w.serve()
	r = newRefuser(t, w, "networking.k8s.io", "ingresses")
	r.answer.Store(refusal())
	before = w.bot.Spec.Domain
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = "moved." + before })
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonApplyFailed)
	return w, r, before
}

// A refused Ingress still leads the domain of before to the bot: the new one is not exposed, and nobody else gets the one of
// before until the Ingress is changed.
func TestExposed_IngressOfAnotherDomain(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w, r, before := refusedToMove(t)
	says(t, w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending), before, "moved."+before)

	other := newWorld(t)
	other.create(func(b *v1alpha1.WechatBot) { b.Spec.Domain = before })
	says(t, other.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict), "a WechatBot of another namespace moves away from https://"+before)
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(other.bot), new(networkingv1.Ingress)); !apierrors.IsNotFound(err) {
		t.Errorf("the other bot has an Ingress: %v", err)
	}
	neighbour := &world{t: t, namespace: w.namespace, difyURL: w.difyURL}
	neighbour.create(func(b *v1alpha1.WechatBot) { b.Name, b.Spec.Domain = "spring", before })
	says(t, neighbour.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict), `WechatBot "winter" moves away`)
	if err := admin.Delete(t.Context(), neighbour.bot); err != nil {
		t.Fatal(err)
	}

	r.answer.Store(nil)
	w.certificate("winter-tls", w.bot.Spec.Domain, time.Now().Add(90*24*time.Hour))
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	other.serve()
}

// A bot whose move is refused may stay: nobody has taken its domain meanwhile.
func TestExposed_RefusedMoveIsTakenBack(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w, _, before := refusedToMove(t)
	other := newWorld(t)
	other.create(func(b *v1alpha1.WechatBot) { b.Spec.Domain = before })
	other.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = before })
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	says(t, other.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict), "keeps it")
}

// Bots that exchange their domains do not wait for each other for ever.
func TestExposed_DomainsAreExchanged(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	first, second := newWorld(t), newWorld(t)
	for _, w := range []*world{first, second} {
		w.create()
		w.serve()
	}
	domains := [2]string{first.bot.Spec.Domain, second.bot.Spec.Domain}
	first.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = domains[1] })
	second.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = domains[0] })
	for _, w := range []*world{first, second} {
		eventually(t, func() error {
			i := named(w, new(networkingv1.Ingress), w.bot.Name)
			if err := admin.Get(t.Context(), client.ObjectKeyFromObject(i), i); err != nil {
				return err
			}
			return unless(i.Spec.Rules[0].Host == w.bot.Spec.Domain, i.Spec.Rules[0].Host)
		})
		w.serve()
	}
}

// An HTTPRoute holds its domain as an Ingress does, against a bot with an Ingress too.
func TestExposed_HTTPRouteOfAnotherDomain(t *testing.T) {
	installGatewayAPI(t)
	startOperator(t, quick())
	w := newWorld(t)
	w.create(func(b *v1alpha1.WechatBot) {
		b.Spec.Gateway = &v1alpha1.Gateway{ParentRefs: []v1alpha1.ParentRef{{Name: "public"}}}
	})
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonRouteNotAccepted)
	r := newRefuser(t, w, "gateway.networking.k8s.io", "httproutes")
	r.answer.Store(refusal())
	before := w.bot.Spec.Domain
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = "moved." + before })
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonApplyFailed)
	other := newWorld(t)
	other.create(func(b *v1alpha1.WechatBot) { b.Spec.Domain = before })
	says(t, other.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict), "moves away from "+desired.URL(other.bot))
	r.answer.Store(nil)
	other.serve()
	route := named(w, new(gatewayv1.HTTPRoute), w.bot.Name)
	w.get(route)
	if got := string(route.Spec.Hostnames[0]); got != w.bot.Spec.Domain {
		t.Errorf("the HTTPRoute leads %s", got)
	}
}
