package observe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// Certificate is what the Secret of an Ingress holds.
type Certificate struct {
	// Secret is its name; empty if the operator does not know where the certificate is.
	Secret string
	// Leaf is the certificate, nil if there is none that can be used.
	Leaf *x509.Certificate
	// Problem is what is wrong with the content of the Secret, without quoting it; empty if there is no Secret.
	Problem string
	// Foreign: there is a Secret, and cert-manager did not make it for this bot.
	Foreign bool
	// Issuer is who is asked for the certificate, nil for nobody.
	Issuer *desired.Issuer
	// DefaultYields: the operator's default issuer is not asked, since the Secret is somebody's.
	DefaultYields bool
	// Progress is what cert-manager says of a certificate that is not there yet, if it can be read.
	Progress string
}

// annotationCertificate is on every Secret that cert-manager writes: the name of its Certificate, which is the Secret's
// where the Certificate comes of an Ingress.
const annotationCertificate = "cert-manager.io/certificate-name"

// readCertificate reads a kubernetes.io/tls Secret as a server would use it.
func readCertificate(name string, secret *corev1.Secret) Certificate {
	c := Certificate{Secret: name}
	if secret == nil {
		return c
	}
	c.Foreign = secret.Annotations[annotationCertificate] != name
	chain, key := secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		c.Problem = certificateProblem(chain, key)
		return c
	}
	c.Leaf = pair.Leaf
	return c
}

// certificateProblem says what is wrong with a pair that crypto/tls does not take.
func certificateProblem(chain, key []byte) string {
	if len(chain) == 0 {
		return corev1.TLSCertKey + " is missing"
	}
	leaf := firstBlock(chain, func(kind string) bool { return kind == "CERTIFICATE" })
	if leaf == nil {
		return corev1.TLSCertKey + " is not a certificate in PEM form"
	}
	if _, err := x509.ParseCertificate(leaf); err != nil {
		return corev1.TLSCertKey + " holds a certificate that cannot be read"
	}
	if len(key) == 0 {
		return corev1.TLSPrivateKeyKey + " is missing"
	}
	if firstBlock(key, func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") }) == nil {
		return corev1.TLSPrivateKeyKey + " is not a private key in PEM form"
	}
	return corev1.TLSPrivateKeyKey + " is not the private key of the first certificate in " + corev1.TLSCertKey
}

func firstBlock(content []byte, wanted func(kind string) bool) []byte {
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			return nil
		}
		if wanted(block.Type) {
			return block.Bytes
		}
	}
}

// issuerSays gives cert-manager's own word about a Certificate that is not ready. Where cert-manager is not installed,
// or may not be read, nothing is known.
func (o *Observer) issuerSays(ctx context.Context, bot *v1alpha1.WechatBot, name string) string {
	certificate := &unstructured.Unstructured{}
	certificate.SetGroupVersionKind(schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: "Certificate"})
	if o.Live.Get(ctx, types.NamespacedName{Namespace: bot.Namespace, Name: name}, certificate) != nil {
		return ""
	}
	conditions, _, _ := unstructured.NestedSlice(certificate.Object, "status", "conditions")
	says := ""
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		message, _ := condition["message"].(string)
		switch {
		case condition["type"] == "Issuing" && condition["status"] == "False" && message != "": // a failed attempt
			return message
		case condition["type"] == "Ready" && condition["status"] == "False":
			says = message
		}
	}
	return says
}
