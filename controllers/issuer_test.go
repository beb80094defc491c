package controllers_test

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

const clusterIssuer = "cert-manager.io/cluster-issuer"

// An operator is told a default issuer while bots run with certificates of their users. cert-manager, were it pointed at
// their Secrets, would overwrite them.
func TestDefaultIssuer_UsersCertificatesStay(t *testing.T) {
	mine := newWorld(t)
	options := quick()
	options.Operator.Issuer = &v1alpha1.IssuerRef{Kind: v1alpha1.ClusterIssuer, Name: "letsencrypt"}
	before := startOperator(t, quick())
	mine.create()
	mine.serve() // with a Secret winter-tls that no cert-manager made
	bought := newWorld(t)
	bought.create(func(b *v1alpha1.WechatBot) {
		b.Spec.Ingress = &v1alpha1.Ingress{TLS: v1alpha1.IngressTLS{SecretName: "bought"}}
	})
	bought.serve()
	before.stop()

	startOperator(t, options)
	asked := newWorld(t)
	asked.create()
	says(t, asked.expect(v1alpha1.ConditionCertificateReady, isFalse, v1alpha1.ReasonCertificatePending),
		`ClusterIssuer "letsencrypt" (the operator's --default-issuer) was asked`, "kubectl describe certificate winter-tls")
	asked.expectIssuer("letsencrypt")
	mine.expectMessage(v1alpha1.ConditionCertificateReady, isTrue, v1alpha1.ReasonCertificateValid, "until", "cert-manager did not make this Secret", "--default-issuer")
	mine.expectIssuer("")
	bought.patch(bought.bot, func() { bought.bot.Annotations = map[string]string{"look": "again"} })
	bought.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 7 })
	bought.expect(v1alpha1.ConditionCertificateReady, isTrue, v1alpha1.ReasonCertificateValid)
	bought.expectIssuer("")

	// What cert-manager makes is cert-manager's, and is renewed.
	asked.certificate("winter-tls", asked.bot.Spec.Domain, time.Now().Add(time.Hour))
	secret := named(asked, new(corev1.Secret), "winter-tls")
	asked.patch(secret, func() {
		secret.Annotations = maps.Clone(secret.Annotations)
		if secret.Annotations == nil {
			secret.Annotations = map[string]string{}
		}
		secret.Annotations["cert-manager.io/certificate-name"] = "winter-tls"
	})
	asked.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 7 })
	asked.expect(v1alpha1.ConditionCertificateReady, isTrue, v1alpha1.ReasonCertificateValid)
	asked.expectIssuer("letsencrypt")

	// Somebody's own Secret in the default's place: the operator lets go of it.
	asked.patch(secret, func() { secret.Annotations["cert-manager.io/certificate-name"] = "wildcard" })
	asked.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 8 })
	asked.expectMessage(v1alpha1.ConditionCertificateReady, isTrue, v1alpha1.ReasonCertificateValid, "cert-manager did not make this Secret")
	asked.expectIssuer("")
}

func (w *world) expectIssuer(want string) {
	w.t.Helper()
	eventually(w.t, func() error {
		i := named(w, new(networkingv1.Ingress), w.bot.Name)
		w.get(i)
		return unless(i.Annotations[clusterIssuer] == want, i.Annotations)
	})
}
