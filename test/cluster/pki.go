package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// lifetime of every certificate: a test cluster does not live that long.
const lifetime = 365 * 24 * time.Hour

// authority signs certificates, and writes what it signs below a folder. Its first error stays in err, and it does
// nothing more after it.
type authority struct {
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	err  error
}

// newAuthority makes a certificate authority, and writes NAME.crt and NAME.key below dir.
func newAuthority(dir, name string) *authority {
	a := &authority{dir: dir}
	a.cert = a.template(pkix.Name{CommonName: name})
	a.cert.IsCA, a.cert.BasicConstraintsValid = true, true
	a.cert.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	a.key = a.writeNewKey(name)
	a.cert = a.sign(name, a.cert, a.key)
	return a
}

// server issues NAME.crt and NAME.key for the names and addresses that a server is reached by.
func (a *authority) server(name string, hosts ...string) {
	template := a.template(pkix.Name{CommonName: name})
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	a.sign(name, template, a.writeNewKey(name))
}

// client issues NAME.crt and NAME.key for a user of the API, who may be in a group.
func (a *authority) client(name, user string, groups ...string) {
	template := a.template(pkix.Name{CommonName: user, Organization: groups})
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	a.sign(name, template, a.writeNewKey(name))
}

// kubeconfig writes NAME.kubeconfig: how the user with the certificate USER reaches the API server at an address.
func (a *authority) kubeconfig(name, user, address string) {
	config := api.NewConfig()
	config.Clusters["cluster"] = &api.Cluster{Server: "https://" + address, CertificateAuthorityData: a.read("ca.crt")}
	config.AuthInfos[user] = &api.AuthInfo{
		ClientCertificateData: a.read(user + ".crt"), ClientKeyData: a.read(user + ".key"),
	}
	config.Contexts["wechatbot-test"] = &api.Context{Cluster: "cluster", AuthInfo: user}
	config.CurrentContext = "wechatbot-test"
	if a.err == nil {
		a.fail("writing a kubeconfig", clientcmd.WriteToFile(*config, filepath.Join(a.dir, name+".kubeconfig")))
	}
}

func (a *authority) template(subject pkix.Name) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	a.fail("choosing a serial number", err)
	now := time.Now()
	return &x509.Certificate{
		Subject: subject, SerialNumber: serial, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func (a *authority) sign(name string, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	if a.err != nil {
		return nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	a.fail("signing "+name, err)
	a.write(name+".crt", "CERTIFICATE", der)
	cert, err := x509.ParseCertificate(der)
	a.fail("reading "+name, err)
	return cert
}

func (a *authority) writeNewKey(name string) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.fail("making the key of "+name, err)
	der, err := x509.MarshalECPrivateKey(key)
	a.fail("encoding the key of "+name, err)
	a.write(name+".key", "EC PRIVATE KEY", der)
	return key
}

// writePublicKey writes NAME.pub.
func (a *authority) writePublicKey(name string, key *ecdsa.PrivateKey) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	a.fail("encoding the public key of "+name, err)
	a.write(name+".pub", "PUBLIC KEY", der)
}

func (a *authority) read(file string) []byte {
	data, err := os.ReadFile(filepath.Join(a.dir, file))
	a.fail("reading back a certificate", err)
	return data
}

func (a *authority) write(file, kind string, der []byte) {
	if a.err == nil {
		a.fail("writing a certificate or key",
			os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
}

func (a *authority) fail(doing string, err error) {
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("%s: %w", doing, err)
	}
}

// writePKI makes all keys, certificates and kubeconfigs of a cluster below dir. For the machine, whose kubeconfig is
// machine.kubeconfig, the API server is at the address given.
func writePKI(dir, apiAddress string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder for keys: %w", err)
	}
	ca := newAuthority(dir, "ca")
	ca.writePublicKey("sa", ca.writeNewKey("sa"))
	ca.server("apiserver", "127.0.0.1", "localhost", nodeIP, apiServiceIP, "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	ca.server("kubelet", nodeIP, nodeName)
	ca.server("pebble", nodeIP, "127.0.0.1")
	ca.client("kubelet-client", "apiserver-kubelet-client", "system:masters")
	ca.client("admin", "admin", "system:masters")
	ca.client("controller-manager", "system:kube-controller-manager")
	ca.client("scheduler", "system:kube-scheduler")
	ca.client("node", "system:node:"+nodeName, "system:nodes")
	ca.client("proxy", "system:kube-proxy")
	ca.kubeconfig("machine", "admin", apiAddress)
	for _, user := range []string{"admin", "controller-manager", "scheduler", "node", "proxy"} {
		ca.kubeconfig(user, user, apiEndpoint)
	}
	front := newAuthority(dir, "front-ca")
	front.client("front-client", "front-proxy-client")
	return errors.Join(ca.err, front.err)
}
