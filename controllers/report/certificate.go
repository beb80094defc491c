package report

import (
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/observe"
)

// certificateReady applies where the operator knows the certificate's Secret. A certificate is not to blame for a
// domain that another bot has.
func certificateReady(bot *v1alpha1.WechatBot, state *observe.State) *finding {
	c := &state.Certificate
	switch {
	case c.Secret == "":
		return nil
	case c.Leaf == nil && c.Problem != "":
		return bad(v1alpha1.ReasonCertificateMalformed, "Secret %q has no usable certificate for %s: %s: replace it (kubectl create secret tls)%s",
			c.Secret, bot.Spec.Domain, c.Problem, whyNoIssuer(c))
	case c.Leaf == nil && c.Issuer != nil:
		return bad(v1alpha1.ReasonCertificatePending, "%s", undelivered(bot, c))
	case c.Leaf == nil:
		return bad(v1alpha1.ReasonCertificatePending, "Secret %q with the certificate of %s does not exist: create it (kubectl create secret tls), name an "+
			"issuer (spec.ingress.tls.issuerRef), or say that the ingress controller has the certificate (spec.ingress.tls.mode: External)",
			c.Secret, bot.Spec.Domain)
	case c.Leaf.VerifyHostname(bot.Spec.Domain) != nil:
		return bad(v1alpha1.ReasonCertificateMismatch, "the certificate in Secret %q does not cover %s: replace it, or correct "+
			"spec.ingress.tls.secretName%s", c.Secret, bot.Spec.Domain, whyNoIssuer(c))
	case state.Now.After(c.Leaf.NotAfter):
		return bad(v1alpha1.ReasonCertificateExpired, "the certificate in Secret %q expired on %s: renew it%s", c.Secret, day(c.Leaf.NotAfter), whyNoIssuer(c))
	case state.Now.Before(c.Leaf.NotBefore):
		return bad(v1alpha1.ReasonCertificatePending, "the certificate in Secret %q is not valid before %s", c.Secret, c.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return good(v1alpha1.ReasonCertificateValid, "the certificate in Secret %q covers %s until %s%s", c.Secret, bot.Spec.Domain, day(c.Leaf.NotAfter), whyNoIssuer(c))
}

// undelivered says who was asked for a certificate that is not there, and how far cert-manager is.
func undelivered(bot *v1alpha1.WechatBot, c *observe.Certificate) string {
	issuer := v1alpha1.NamespacedIssuer
	if c.Issuer.Kind != "" {
		issuer = c.Issuer.Kind
	}
	message := fmt.Sprintf("%s %q (%s) was asked for the certificate of %s and has not delivered it: kubectl describe certificate %s",
		issuer, c.Issuer.Name, c.Issuer.Field, bot.Spec.Domain, c.Secret)
	if c.Progress != "" {
		message += "; cert-manager says: " + c.Progress
	}
	return message
}

// whyNoIssuer says that the operator's default issuer keeps away from a Secret that is somebody's.
func whyNoIssuer(c *observe.Certificate) string {
	if !c.DefaultYields {
		return ""
	}
	return "; cert-manager did not make this Secret, so the operator's --default-issuer is not asked to renew it: delete the Secret to have it asked, " +
		"or name it in spec.ingress.tls.secretName"
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
