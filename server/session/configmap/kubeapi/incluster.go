package kubeapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ServiceAccountDir is where Kubernetes mounts a pod's token and the API server's CA.
const ServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// tokenAge is how long a token is used without looking at its file again. The kubelet replaces it long before it
// expires.
const tokenAge = time.Minute

// InCluster returns a client with the rights of the pod's ServiceAccount, whose files are in dir.
func InCluster(dir string) (*Client, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("looking for the API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, as they are in a pod")
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("reading the API server's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("reading the API server's CA: %s has no certificate", filepath.Join(dir, "ca.crt"))
	}
	t := &token{path: filepath.Join(dir, "token"), next: &http.Transport{
		// No proxy: it is for what is outside the cluster.
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 3 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
		// A connection that has died in silence is noticed by pings, not by every request's timeout.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}}
	if _, err := t.read(time.Now()); err != nil {
		return nil, err
	}
	return &Client{URL: "https://" + net.JoinHostPort(host, port), HTTP: &http.Client{Transport: t}}, nil
}

// token puts the ServiceAccount's token on requests.
type token struct {
	path string
	next http.RoundTripper

	mu     sync.Mutex
	header string
	fresh  time.Time // until when it is used as it is
}

func (t *token) RoundTrip(r *http.Request) (*http.Response, error) {
	header, err := t.read(time.Now())
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", header)
	res, err := t.next.RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusUnauthorized {
		t.forget()
	}
	return res, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (t *token) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (t *token) read(now time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.fresh) {
		return t.header, nil
	}
	content, err := os.ReadFile(t.path)
	if err != nil {
		return "", fmt.Errorf("reading the ServiceAccount's token: %w", err)
	}
	value := strings.TrimSpace(string(content))
	if value == "" {
		return "", fmt.Errorf("reading the ServiceAccount's token: %s is empty", t.path)
	}
	t.header, t.fresh = "Bearer "+value, now.Add(tokenAge)
	return t.header, nil
}

// forget has the file looked at again for the next request.
func (t *token) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fresh = time.Time{}
}
