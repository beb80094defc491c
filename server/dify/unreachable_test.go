package dify_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// quietServer is a test server that does not report what its clients do wrong.
func quietServer(t *testing.T, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(srv)
	t.Cleanup(srv.Close)
	return srv
}

// certificate makes one that signs itself.
func certificate(t *testing.T, host string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// raw is a server that says something to everybody and hangs up.
func raw(t *testing.T, says string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, says)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestWhyDifyCannotBeReached(t *testing.T) {
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-24*time.Hour)
	serveTLS := func(c *tls.Config) func(*httptest.Server) {
		return func(srv *httptest.Server) {
			srv.TLS = c
			srv.StartTLS()
		}
	}
	own := certificate(t, "127.0.0.1", tomorrow)
	late := certificate(t, "127.0.0.1", yesterday)
	other := certificate(t, "other.example.com", tomorrow)
	trust := func(cs ...tls.Certificate) *x509.CertPool {
		pool := x509.NewCertPool()
		for _, c := range cs {
			pool.AddCert(c.Leaf)
		}
		return pool
	}
	plain := quietServer(t, (*httptest.Server).Start)
	secure := quietServer(t, serveTLS(&tls.Config{Certificates: []tls.Certificate{own}}))
	expired := quietServer(t, serveTLS(&tls.Config{Certificates: []tls.Certificate{late}}))
	mismatch := quietServer(t, serveTLS(&tls.Config{Certificates: []tls.Certificate{other}}))
	old := quietServer(t, serveTLS(&tls.Config{Certificates: []tls.Certificate{own}, MaxVersion: tls.VersionTLS11}))
	for name, c := range map[string]struct {
		url     string
		ca      *x509.CertPool
		kind    dify.Kind
		retries int
		says    string
	}{
		"nothing listens":                 {url: "http://" + closedPort(t), kind: dify.ConnectionRefused, retries: many, says: "refused"},
		"nothing listens, TLS":            {url: "https://" + closedPort(t), kind: dify.ConnectionRefused, retries: many, says: "refused"},
		"no such host":                    {url: "http://dify.invalid", kind: dify.NoSuchHost, says: "no such host"},
		"no such host, TLS":               {url: "https://dify.invalid", kind: dify.NoSuchHost, says: "no such host"},
		"self-signed":                     {url: secure.URL, kind: dify.UnknownAuthority, says: "unknown authority"},
		"signed by another authority":     {url: secure.URL, ca: trust(late), kind: dify.UnknownAuthority, says: "unknown authority"},
		"expired":                         {url: expired.URL, ca: trust(late), kind: dify.BadCertificate, says: "expired"},
		"another host's":                  {url: mismatch.URL, ca: trust(other), kind: dify.BadCertificate, says: "127.0.0.1"},
		"https on an http port":           {url: strings.Replace(plain.URL, "http:", "https:", 1), kind: dify.NoTLS, says: "TLS"},
		"https on a port of another kind": {url: "https://" + raw(t, "220 mail.example.com ESMTP\r\n"), kind: dify.NoTLS, says: "TLS"},
		"http on an https port":           {url: strings.Replace(secure.URL, "https:", "http:", 1), kind: dify.TLSRequired},
		"http on a TLS port":              {url: "http://" + raw(t, "\x15\x03\x01\x00\x02\x02\x16"), kind: dify.TLSRequired},
		"an old TLS":                      {url: old.URL, ca: trust(own), kind: dify.TLSFailed, says: "version"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := dify.New(dify.Target{BaseURL: c.url, Key: secret, CA: c.ca}, dify.Options{ConnectTimeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.CloseIdleConnections)
			_, chat := client.Chat(t.Context(), ask(), nil)
			_, info := client.Info(t.Context())
			for op, err := range map[string]error{"chat": chat, "info": info} {
				e, ok := errors.AsType[*dify.Error](err)
				if !ok || e.Kind != c.kind || !e.Kind.Unreachable() || retriesOf(e) != c.retries || e.Effects != dify.NoEffects || e.DropConversation() {
					t.Fatalf("%s: error %v, %d retries, effects %d; want %s, %d", op, err, retriesOf(e), e.Effects, c.kind, c.retries)
				}
				if want := dify.Misconfigured; c.retries == 0 && e.Class() != want {
					t.Errorf("%s: class %d, want %d", op, e.Class(), want)
				}
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %q does not tell why: %q", op, err, c.says)
				}
			}
		})
	}
}

func TestConnectionsThatFailOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		kind    dify.Kind
		retries int
	}{
		"DNS fails for now":      {&net.DNSError{Err: "server misbehaving", Name: "x", IsTemporary: true}, dify.Unreachable, many},
		"DNS does not answer":    {&net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}, dify.Unreachable, many},
		"the name is not there":  {&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}, dify.NoSuchHost, 0},
		"the host is silent":     {&net.OpError{Op: "dial", Err: &timeoutError{}}, dify.ConnectTimeout, many},
		"the deadline":           {&net.OpError{Op: "dial", Err: context.DeadlineExceeded}, dify.ConnectTimeout, many},
		"no route":               {&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, dify.Unreachable, many},
		"no network":             {&net.OpError{Op: "dial", Err: syscall.ENETUNREACH}, dify.Unreachable, many},
		"the proxy refuses":      {&net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED}, dify.ConnectionRefused, many},
		"reset while connecting": {&net.OpError{Op: "dial", Err: syscall.ECONNRESET}, dify.Unreachable, many},
		"a client certificate":   {&net.OpError{Op: "remote error", Err: tls.AlertError(116)}, dify.TLSFailed, 0},
	} {
		_, err := clientOf(t, func(*http.Request) (*http.Response, error) { return nil, c.err }).Chat(t.Context(), ask(), nil)
		e, ok := errors.AsType[*dify.Error](err)
		if !ok || e.Kind != c.kind || retriesOf(e) != c.retries || !errors.Is(err, c.err) {
			t.Errorf("%s: error %v, want kind %s, %d retries", name, err, c.kind, c.retries)
		}
	}
}

type timeoutError struct{}

func (*timeoutError) Error() string   { return "i/o timeout" }
func (*timeoutError) Timeout() bool   { return true }
func (*timeoutError) Temporary() bool { return true }

func TestAPrivateAuthority(t *testing.T) {
	own := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	srv := httptest.NewUnstartedServer(serve(t, "responses/1.13.3/info.200.json"))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	srv.StartTLS()
	defer srv.Close()
	pool, err := dify.CertPool(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := dify.New(dify.Target{BaseURL: srv.URL, Key: secret, CA: pool}, dify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	if i, err := c.Info(t.Context()); err != nil || i.Mode != "chat" {
		t.Errorf("%+v, %v", i, err)
	}
	for _, file := range []string{"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := dify.CertPool([]byte(file)); err == nil {
			t.Errorf("%q is taken for certificates", file)
		}
	}
}
