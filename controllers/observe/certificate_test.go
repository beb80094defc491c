package observe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pair makes a certificate and its key, in PEM form.
func pair(t *testing.T) (chain, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"bot.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

func TestReadCertificate(t *testing.T) {
	chain, key := pair(t)
	_, another := pair(t)
	broken := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	for name, c := range map[string]struct{ chain, key, problem string }{
		"a pair":                  {chain, key, ""},
		"a chain":                 {chain + chain, key, ""},
		"nothing":                 {"", "", "tls.crt is missing"},
		"garbage":                 {"garbage", key, "tls.crt is not a certificate in PEM form"},
		"a key for a certificate": {key, key, "tls.crt is not a certificate in PEM form"},
		"a broken certificate":    {broken, key, "tls.crt holds a certificate that cannot be read"},
		"no key":                  {chain, "", "tls.key is missing"},
		"a certificate for a key": {chain, chain, "tls.key is not a private key in PEM form"},
		"another's key":           {chain, another, "tls.key is not the private key of the first certificate in tls.crt"},
	} {
		got := readCertificate("winter-tls", &corev1.Secret{Data: map[string][]byte{"tls.crt": []byte(c.chain), "tls.key": []byte(c.key)}})
		if got.Problem != c.problem || (got.Leaf == nil) != (c.problem != "") {
			t.Errorf("%s: problem %q, want %q", name, got.Problem, c.problem)
		}
		if strings.Contains(got.Problem, "garbage") {
			t.Errorf("%s: the content is quoted", name)
		}
	}
	if got := readCertificate("winter-tls", nil); got.Leaf != nil || got.Problem != "" || got.Foreign {
		t.Errorf("no Secret is %+v", got)
	}
	for certificate, foreign := range map[string]bool{"": true, "wildcard": true, "winter-tls": false} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationCertificate: certificate}}}
		if got := readCertificate("winter-tls", secret); got.Foreign != foreign {
			t.Errorf("a Secret of Certificate %q is foreign: %t", certificate, got.Foreign)
		}
	}
}
