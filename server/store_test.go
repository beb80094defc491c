package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
)

// nowhere is an address at which no Redis answers; a store tells nobody until it is asked for something.
const nowhere = "127.0.0.1:1"

func TestRedisPassword_ReplacedWhileRunning(t *testing.T) {
	p := newPlace(t, minimal+"session: {type: Redis, redis: {addresses: ["+nowhere+"]}}\n")
	p.write(t, "secrets/redis-password", "first password")
	s := p.server(t)
	t.Cleanup(func() {
		if err := s.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	p.write(t, "secrets/redis-password", "second password")
	p.look(t, s, 0)
	if got := s.secrets.Load().RedisPassword.Reveal(); got != "second password" {
		t.Errorf("the store would use %q", got)
	}
	if p.lines("password\"") != 0 || p.lines("Applied") != 1 {
		t.Errorf("the log says %s", p.log)
	}
}

func TestStoresThatCannotBeOpenedAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		want   string
	}{
		"ConfigMap outside of a pod": {"session: {type: ConfigMap}\n", "session.type: ConfigMap needs a pod's ServiceAccount"},
		"a store nobody knows":       {"session: {type: Postgres}\n", `session.type: "Postgres" is not offered`},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, minimal+c.config)
			if _, err := New(p.options()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, c.want)
			}
		})
	}
	unknown := stores{}
	if _, _, err := unknown.open(serverconfig.Config{Session: serverconfig.Session{Type: "Postgres"}}); err == nil {
		t.Error("a store was made of an unknown type")
	}
}

// A server that cannot listen leaves nothing behind of the store that it has opened already.
func TestStoreIsClosedWhenTheStartFails(t *testing.T) {
	p := newPlace(t, strings.Replace(minimal, "listen: 127.0.0.1:0\nadmin", "listen: 192.0.2.1:0\nadmin", 1)+
		"session: {type: Redis, redis: {addresses: ["+nowhere+"]}}\n")
	if _, err := New(p.options()); err == nil || !strings.HasPrefix(err.Error(), "listen: ") {
		t.Errorf("got %v, want the address", err)
	} // that no goroutine is left is what TestMain sees
}

func TestRedisTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, c := range map[string]struct {
		config             serverconfig.RedisTLS
		ca                 []byte
		on, own, unchecked bool
		fails              bool
	}{
		"off":               {ca: ca},
		"the system's CAs":  {config: serverconfig.RedisTLS{Enabled: true}, on: true},
		"a CA of one's own": {config: serverconfig.RedisTLS{Enabled: true}, ca: ca, on: true, own: true},
		"unchecked":         {config: serverconfig.RedisTLS{Enabled: true, InsecureSkipVerify: true}, on: true, unchecked: true},
		"no certificate":    {config: serverconfig.RedisTLS{Enabled: true}, ca: []byte("none"), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := stores{registry: prometheus.NewRegistry(), secrets: func() serverconfig.Secrets { return serverconfig.Secrets{RedisCA: c.ca} }}
			got, err := s.redisTLS(c.config)
			if (err != nil) != c.fails || (got != nil) != c.on {
				t.Fatalf("got %v, %v", got, err)
			}
			if got != nil && ((got.RootCAs != nil) != c.own || got.InsecureSkipVerify != c.unchecked) {
				t.Errorf("own CA %v, unchecked %v", got.RootCAs != nil, got.InsecureSkipVerify)
			}
		})
	}
}
