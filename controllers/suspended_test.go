package controllers_test

import (
	"testing"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// A suspended bot is left as it is: it keeps the address that it serves, whatever its spec says meanwhile, and takes none.
func TestSuspended_KeepsWhatItServes(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	suspended := w.create()
	served, wanted := suspended.Spec.Domain, "wanted."+suspended.Spec.Domain
	w.serve()
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Suspend = true })
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonSuspended)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = wanted })
	w.caughtUp()

	other := &world{t: t, namespace: w.namespace, difyURL: w.difyURL}
	other.create(func(b *v1alpha1.WechatBot) { b.Name, b.Spec.Domain = "spring", served })
	says(t, other.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict), `WechatBot "winter"`, served)
	other.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = wanted })
	other.serve()

	// Who is woken finds it taken, and what it served is free.
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Suspend = false })
	says(t, w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict), `WechatBot "spring"`, wanted)
	other.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	third := &world{t: t, namespace: w.namespace, difyURL: w.difyURL}
	third.create(func(b *v1alpha1.WechatBot) { b.Name, b.Spec.Domain = "autumn", served })
	third.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)
}
