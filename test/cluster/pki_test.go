package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func TestServersAreKnownByTheirAddresses(t *testing.T) {
	dir := keys(t)
	for file, host := range map[string]string{
		"apiserver": apiServiceIP, "kubelet": nodeIP, "pebble": nodeIP,
	} {
		leaf, roots := certificate(t, dir, file, "ca")
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s for %s: %v", file, host, err)
		}
	}
}

func TestUsersOfTheAPI(t *testing.T) {
	dir := keys(t)
	for file, want := range map[string]string{
		"admin": "admin/system:masters", "node": "system:node:node1/system:nodes", "proxy": "system:kube-proxy/",
	} {
		leaf, roots := certificate(t, dir, file, "ca")
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if got := leaf.Subject.CommonName + "/" + strings.Join(leaf.Subject.Organization, ","); got != want {
			t.Errorf("%s is of %s, want %s", file, got, want)
		}
	}
	// The API server believes what this authority signs about anyone: it is not the one of users.
	leaf, users := certificate(t, dir, "front-client", "ca")
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: users, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("the aggregator's certificate is one of a user")
	}
}

func TestKubeconfigOfTheMachine(t *testing.T) {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(keys(t), "machine.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:1" {
		t.Errorf("host %s", config.Host)
	}
	if _, err := tls.X509KeyPair(config.CertData, config.KeyData); err != nil {
		t.Error(err)
	}
}

func TestKeysCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writePKI(filepath.Join(file, "pki"), "127.0.0.1:1"); err == nil {
		t.Error("no error")
	}
	a := newAuthority(filepath.Join(file, "pki"), "ca")
	a.server("server", nodeIP)
	a.kubeconfig("user", "user", "127.0.0.1:1")
	if a.err == nil || !strings.Contains(a.err.Error(), "writing a certificate or key") {
		t.Errorf("error %v: want the first one", a.err)
	}
}

func keys(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	if err := writePKI(dir, "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func certificate(t *testing.T, dir, name, authority string) (*x509.Certificate, *x509.CertPool) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(dir, authority+".crt"))
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("authority %s: %v", authority, err)
	}
	return pair.Leaf, roots
}
