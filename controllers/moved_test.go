package controllers_test

import (
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// A refused Ingress still leads the domain of before to the bot: the new one is not exposed, and others may have it.
func TestExposed_IngressOfAnotherDomain(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	r := newRefuser(t, w, "networking.k8s.io", "ingresses")
	r.answer.Store(&metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "the host is taken"})
	before := w.bot.Spec.Domain
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = "moved." + before })
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonApplyFailed)
	says(t, w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending), before, "moved."+before)
	r.answer.Store(nil)
	w.certificate("winter-tls", w.bot.Spec.Domain, time.Now().Add(90*24*time.Hour))
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}
