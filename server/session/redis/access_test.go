//go:build redis

package redis

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
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// with returns credentials that can be replaced.
func with(user string, password *atomic.Value) func(context.Context) (string, string, error) {
	return func(context.Context) (string, string, error) {
		p, _ := password.Load().(string)
		return user, p, nil
	}
}

func setPassword(t *testing.T, c *goredis.Client, user, password string) {
	t.Helper()
	args := []any{"ACL", "SETUSER", user, "on", "resetpass", ">" + password,
		"resetkeys", "~wechatbot:*", "resetchannels", "&wechatbot:*", "-@all", "+@read", "+@write", "+@scripting", "+@pubsub",
		"+@connection", "+publish", "+time"}
	if err := c.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

// The password of an ACL user with no more rights than are needed is replaced while turns run.
func TestPasswordRotates(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	admin := s.client()
	setPassword(t, admin, "bot", "old")
	var password atomic.Value
	password.Store("old")
	at := s.standalone()
	at.Credentials = with("bot", &password)
	stores := pair(t, at, shortLeases())
	c := converse(t, stores, func() {
		setPassword(t, admin, "bot", "new")
		for _, st := range stores {
			if err := st.Ping(t.Context()); err != nil {
				t.Errorf("connections made with the old password do not go on: %v", err)
			}
		}
		password.Store("new")
		for _, kind := range []string{"normal", "pubsub"} { // all but the one that says so
			if err := admin.ClientKillByFilter(t.Context(), "TYPE", kind).Err(); err != nil {
				t.Error(err)
			}
		}
	})
	c.wantOnce()
	if err := stores[0].Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAccessIsExplained(t *testing.T) {
	t.Parallel()
	open, closed := startServer(t), startServer(t, "--requirepass", "secret")
	admin := goredis.NewClient(&goredis.Options{Addr: closed.addr(), Password: "secret"})
	defer func() { _ = admin.Close() }()
	for user, rights := range map[string][]any{
		"otherkeys":  {"~other:*", "allchannels", "+@all"},
		"nochannels": {"~wechatbot:*", "resetchannels", "+@all"},
		"notime":     {"~wechatbot:*", "&wechatbot:*", "+@all", "-time"},
		"noscripts":  {"~wechatbot:*", "&wechatbot:*", "+@all", "-@scripting"},
		"readonly":   {"~wechatbot:*", "&wechatbot:*", "+@read", "+@connection", "+@pubsub", "+@scripting", "+time"},
	} {
		if err := admin.Do(t.Context(), append([]any{"ACL", "SETUSER", user, "on", ">secret"}, rights...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	var wrong, right atomic.Value
	wrong.Store("wr0ng-w0rd")
	right.Store("secret")
	unreadable := errors.New("no such file")
	for name, tt := range map[string]struct {
		at          *server
		credentials func(context.Context) (string, string, error)
		want        string
	}{
		"right":             {closed, with("", &right), ""},
		"wrong password":    {closed, with("", &wrong), "the user name or password is wrong"},
		"no password":       {closed, nil, "Redis wants a password"},
		"other keys":        {closed, with("otherkeys", &right), "the Redis user must be allowed"},
		"no channels":       {closed, with("nochannels", &right), "the Redis user must be allowed"},
		"no clock":          {closed, with("notime", &right), "the Redis user must be allowed"},
		"no scripts":        {closed, with("noscripts", &right), "the Redis user must be allowed"},
		"only reading":      {closed, with("readonly", &right), "the Redis user must be allowed"},
		"unwanted password": {open, with("", &wrong), ""},
		"unreadable": {closed, func(context.Context) (string, string, error) {
			return "", "", unreadable
		}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			at := tt.at.standalone()
			at.Credentials = tt.credentials
			err := openStore(t, newBot(), at, options()).Ping(t.Context())
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "wr0ng-w0rd") {
				t.Errorf("Ping: %v; want %q and no password", err, tt.want)
			}
		})
	}
}

// Sentinels have a user and a password of their own, which are not those of the Redis behind them.
func TestSentinelsHaveAPasswordOfTheirOwn(t *testing.T) {
	t.Parallel()
	at, _, _ := startSentinel(t)
	guard := goredis.NewClient(&goredis.Options{Addr: at.Addresses[0]})
	defer func() { _ = guard.Close() }()
	for _, args := range [][]any{
		{"ACL", "SETUSER", "bots", "on", ">s3ntinel-w0rd", "allchannels", "+@all"},
		{"ACL", "SETUSER", "default", "off"},
	} {
		if err := guard.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	right := at
	right.SentinelUser, right.SentinelPassword = "bots", "s3ntinel-w0rd"
	c := converse(t, pair(t, right, options()), func() {})
	c.wantOnce()

	wrong := at
	wrong.SentinelUser, wrong.SentinelPassword = "bots", "wr0ng-w0rd"
	for want, refused := range map[string]Server{
		"the sentinels want a password": at, "the sentinels' user name or password is wrong": wrong,
	} {
		err := openStore(t, newBot(), refused, options()).Ping(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wr0ng-w0rd") {
			t.Errorf("Ping: %v; want %q and no password", err, want)
		}
	}
}

func TestFullMemoryIsExplained(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
	store := openStore(t, newBot(), s.standalone(), options())
	text := strings.Repeat("字", 50_000)
	var err error
	for i := range 100 {
		q := session.Question{Key: session.Key{Follower: "alice", ID: strconv.Itoa(i)}, Text: text}
		if _, err = store.Begin(t.Context(), q, false, limits); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "raise maxmemory") {
		t.Fatalf("Begin: %v", err)
	}
	// What frees memory is done all the same, and nothing is half there.
	if _, err := store.Clear(t.Context(), session.Key{Follower: "alice", ID: "clear"}); err != nil {
		t.Errorf("Clear: %v", err)
	}
	if have, err := store.Get(t.Context(), "alice"); err != nil || len(have.Turns) != 0 {
		t.Errorf("session %+v, %v", have, err)
	}
	eventually(t, "there is room again", func() bool { return store.Ping(t.Context()) == nil })
}

// certificate writes a key and a certificate that vouches for itself.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		text := pem.EncodeToMemory(block)
		pool.AppendCertsFromPEM(text)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pool := certificate(t, dir)
	port := freePort(t)
	startServer(t, "--tls-port", strconv.Itoa(port), "--tls-auth-clients", "no",
		"--tls-cert-file", filepath.Join(dir, "tls.crt"), "--tls-key-file", filepath.Join(dir, "tls.key"))
	at := Server{
		Mode: Standalone, Addresses: []string{"127.0.0.1:" + strconv.Itoa(port)},
		TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	stores := pair(t, at, options())
	eventually(t, "subscribed", stores[1].port.listening.Load)
	lease, got := waiting(t, stores)
	finish(t, stores[0], lease)
	receive(t, got)

	at.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if err := openStore(t, newBot(), at, options()).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}
