package desired_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

const (
	issuerKey        = "cert-manager.io/issuer"
	clusterIssuerKey = "cert-manager.io/cluster-issuer"
)

// cert-manager overwrites the Secret of an Ingress that names an issuer, private key included. So the operator's default
// goes to nothing that a user has brought.
func TestIssuer_DefaultYields(t *testing.T) {
	defaults := desired.Operator{Image: "a", Issuer: &v1alpha1.IssuerRef{Kind: v1alpha1.ClusterIssuer, Name: "acme"}}
	own := &v1alpha1.IssuerRef{Name: "own", Kind: v1alpha1.NamespacedIssuer}
	annotated := func(annotations ...string) *v1alpha1.Ingress {
		i := &v1alpha1.Ingress{Annotations: map[string]string{}}
		for at := 0; at < len(annotations); at += 2 {
			i.Annotations[annotations[at]] = annotations[at+1]
		}
		return i
	}
	for name, c := range map[string]struct {
		ingress *v1alpha1.Ingress
		foreign bool
		want    map[string]string // of cert-manager's annotations
		secret  string            // empty for an Ingress that names none
	}{
		"nothing said":                {nil, false, map[string]string{clusterIssuerKey: "acme"}, "winter-tls"},
		"a Secret that is not its":    {nil, true, nil, "winter-tls"},
		"one's own Secret":            {&v1alpha1.Ingress{TLS: v1alpha1.IngressTLS{SecretName: "bought"}}, false, nil, "bought"},
		"one's own issuer":            {&v1alpha1.Ingress{TLS: v1alpha1.IngressTLS{IssuerRef: own}}, false, map[string]string{issuerKey: "own"}, "winter-tls"},
		"one's own Secret and issuer": {&v1alpha1.Ingress{TLS: v1alpha1.IngressTLS{SecretName: "own-tls", IssuerRef: own}}, true, map[string]string{issuerKey: "own"}, "own-tls"},
		"an Issuer's annotation":      {annotated(issuerKey, "team-ca"), false, map[string]string{issuerKey: "team-ca"}, "winter-tls"},
		"a ClusterIssuer's":           {annotated(clusterIssuerKey, "corporate"), false, map[string]string{clusterIssuerKey: "corporate"}, "winter-tls"},
		"an external issuer's":        {annotated(issuerKey, "pca", "cert-manager.io/issuer-kind", "AWSPCAIssuer"), false, map[string]string{issuerKey: "pca"}, "winter-tls"},
		"the annotation of ACME":      {annotated("kubernetes.io/tls-acme", "true"), false, nil, "winter-tls"},
		"an unrelated annotation":     {annotated("a", "b"), false, map[string]string{clusterIssuerKey: "acme"}, "winter-tls"},
		"a certificate elsewhere":     {&v1alpha1.Ingress{TLS: v1alpha1.IngressTLS{Mode: v1alpha1.TLSExternal}}, false, nil, ""},
		"mode Secret":                 {&v1alpha1.Ingress{TLS: v1alpha1.IngressTLS{Mode: v1alpha1.TLSSecret}}, false, map[string]string{clusterIssuerKey: "acme"}, "winter-tls"},
		// cert-manager refuses an Ingress with both.
		"issuerRef beside another's annotation": {&v1alpha1.Ingress{
			Annotations: map[string]string{clusterIssuerKey: "corporate"}, TLS: v1alpha1.IngressTLS{IssuerRef: own},
		}, false, map[string]string{issuerKey: "own"}, "winter-tls"},
	} {
		t.Run(name, func(t *testing.T) {
			bot := sample(t, "minimal")
			bot.Name, bot.Spec.Ingress = "winter", c.ingress
			ingress := desired.Ingress(bot, defaults, desired.Surroundings{ForeignCertificate: c.foreign})
			got := map[string]string{}
			for key, value := range ingress.Annotations {
				if sets.New(issuerKey, clusterIssuerKey).Has(key) {
					got[key] = value
				}
			}
			if len(got) != len(c.want) || len(c.want) > 0 && !cmp.Equal(got, c.want) {
				t.Errorf("the Ingress asks %v, want %v", got, c.want)
			}
			tls := ingress.Spec.TLS[0]
			if tls.Hosts[0] != bot.Spec.Domain || (tls.SecretName == nil) != (c.secret == "") || tls.SecretName != nil && *tls.SecretName != c.secret {
				t.Errorf("its TLS is %+v, want Secret %q", tls, c.secret)
			}
		})
	}
}

func TestIngressClass(t *testing.T) {
	flag := desired.Operator{IngressClass: "edge"}
	named := &v1alpha1.Ingress{ClassName: "own"}
	annotated := &v1alpha1.Ingress{Annotations: map[string]string{"kubernetes.io/ingress.class": "old"}}
	for name, c := range map[string]struct {
		ingress  *v1alpha1.Ingress
		operator desired.Operator
		around   desired.Surroundings
		want     string
	}{
		"the bot's":                    {named, flag, desired.Surroundings{DefaultClass: "public"}, "own"},
		"the operator's":               {nil, flag, desired.Surroundings{DefaultClass: "public"}, "edge"},
		"the cluster's":                {nil, desired.Operator{}, desired.Surroundings{DefaultClass: "public", LiveClass: "own"}, "public"},
		"that of before, with none":    {nil, desired.Operator{}, desired.Surroundings{LiveClass: "own"}, "own"},
		"none at all":                  {nil, desired.Operator{}, desired.Surroundings{}, ""},
		"the annotation of before":     {annotated, flag, desired.Surroundings{DefaultClass: "public", LiveClass: "own"}, ""},
		"a name beside the annotation": {&v1alpha1.Ingress{ClassName: "own", Annotations: annotated.Annotations}, flag, desired.Surroundings{}, "own"},
	} {
		bot := sample(t, "minimal")
		bot.Spec.Ingress = c.ingress
		if got := desired.IngressClass(bot, c.operator, c.around); got != c.want {
			t.Errorf("%s: the class is %q, want %q", name, got, c.want)
		}
	}
}
