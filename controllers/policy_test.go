package controllers_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// The sample of a policy that ties domains to namespaces does so.
func TestDomainPolicy(t *testing.T) {
	policy := filepath.Join("..", "config", "policy")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "policy-", Annotations: map[string]string{"wechatbot.dev/domains": "bots.example.com, winter.example.org"},
	}}
	if err := admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, namespace: namespace.Name}
	try := func(name, domain string) error {
		bot := sample(t, "minimal")
		bot.Namespace, bot.Name, bot.Spec.Domain = w.namespace, name, domain
		return admin.Create(t.Context(), bot)
	}
	before := "made-before.example.net"
	if err := try("before", before); err != nil {
		t.Fatal(err)
	}
	if _, err := controlPlane.Kubectl(t.Context(), "", "apply", "-k", policy); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := controlPlane.Kubectl(context.Background(), "", "delete", "-k", policy); err != nil {
			t.Error(err)
		}
		eventually(t, func() error { // until the API server has forgotten it: other tests make bots too
			bot := sample(t, "minimal")
			bot.Namespace, bot.Name, bot.Spec.Domain = w.namespace, "after", "winter.example.com"
			return admin.Create(context.Background(), bot, client.DryRunAll)
		})
	})
	n := 0
	eventually(t, func() error { // until the API server keeps to it
		n++
		err := try(fmt.Sprintf("refused-%d", n), "winter.example.com")
		return unless(err != nil && strings.Contains(err.Error(), "may not use winter.example.com; they may use bots.example.com, winter.example.org"), err)
	})
	for name, domain := range map[string]string{"itself": "bots.example.com", "below": "a.b.bots.example.com", "second": "winter.example.org"} {
		if err := try(name, domain); err != nil {
			t.Errorf("%s: %v", domain, err)
		}
	}
	if err := try("suffix", "robots.example.com"); err == nil {
		t.Error("a domain that only ends alike is allowed")
	}
	w.bot = named(w, new(v1alpha1.WechatBot), "before")
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 7 }) // fails the test if it is refused
	bot := named(w, new(v1alpha1.WechatBot), "before")
	w.get(bot)
	bot.Spec.Domain = "taken.example.com"
	if err := admin.Update(t.Context(), bot); err == nil {
		t.Error("a domain was edited onto one that is not allowed")
	}
}
