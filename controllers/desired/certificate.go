package desired

import (
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// cert-manager reads these of an Ingress; nothing of it needs to be installed for them to be set.
const (
	annotationIssuer        = "cert-manager.io/issuer"
	annotationClusterIssuer = "cert-manager.io/cluster-issuer"
	annotationTLSACME       = "kubernetes.io/tls-acme" // cert-manager's own default issuer
)

const fieldAnnotations = "spec.ingress.annotations"

// CertificateSecret is the Secret with the certificate of a bot's Ingress; empty if the certificate is not in one.
func CertificateSecret(bot *v1alpha1.WechatBot) string {
	secret := naming.Certificate(bot)
	if bot.Spec.Ingress != nil {
		if bot.Spec.Ingress.TLS.Mode == v1alpha1.TLSExternal {
			return ""
		}
		set(&secret, bot.Spec.Ingress.TLS.SecretName)
	}
	return secret
}

// Issuer is the cert-manager issuer that is asked for a certificate.
type Issuer struct {
	v1alpha1.IssuerRef

	// Field is where it is named.
	Field string
}

// CertificateIssuer is who is asked for the certificate of a bot's Ingress, nil for nobody. What the bot says goes
// first. The operator's default is for bots that say nothing: cert-manager overwrites the Secret that it is pointed at,
// private key included, so it is never pointed at one that the bot names, nor (foreign) at one that it did not make.
func CertificateIssuer(bot *v1alpha1.WechatBot, operator Operator, foreign bool) *Issuer {
	if ingress := bot.Spec.Ingress; ingress != nil {
		tls := &ingress.TLS
		if tls.IssuerRef != nil {
			return &Issuer{*tls.IssuerRef, "spec.ingress.tls.issuerRef"}
		}
		if name := ingress.Annotations[annotationIssuer]; name != "" {
			return &Issuer{v1alpha1.IssuerRef{Name: name, Kind: v1alpha1.NamespacedIssuer}, fieldAnnotations}
		}
		if name := ingress.Annotations[annotationClusterIssuer]; name != "" {
			return &Issuer{v1alpha1.IssuerRef{Name: name, Kind: v1alpha1.ClusterIssuer}, fieldAnnotations}
		}
		if tls.Mode == v1alpha1.TLSExternal || tls.SecretName != "" || ingress.Annotations[annotationTLSACME] != "" {
			return nil
		}
	}
	if foreign || operator.Issuer == nil {
		return nil
	}
	return &Issuer{*operator.Issuer, "the operator's --default-issuer"}
}
