package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/inspect"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

const (
	domain = "bot.example.com"
	token  = "wintertoken"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string, parent *authority) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	signer, signedBy := a.key, template
	if parent != nil {
		signer, signedBy = parent.key, parent.certificate
	}
	a.certificate = sign(t, template, signedBy, &a.key.PublicKey, signer)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key *ecdsa.PublicKey, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leaf is a domain's certificate; chain are the certificates that are sent after it.
func (a *authority) leaf(t testing.TB, host string, ends time.Duration, chain ...*x509.Certificate) tls.Certificate {
	t.Helper()
	key := newKey(t)
	c := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(ends),
	}, a.certificate, &key.PublicKey, a.key)
	pair := tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair
}

// site is what answers at the domain.
type site struct {
	root, between *authority
	outside       Outside
}

func webhook(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path != "/wechat" || q.Get("signature") != wechat.Sign(token, q.Get("timestamp"), q.Get("nonce")) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	_, _ = io.WriteString(w, q.Get("echostr"))
}

func newSite(t testing.TB, handler http.HandlerFunc, certificate func(*site) tls.Certificate) *site {
	t.Helper()
	s := &site{root: newAuthority(t, "Root", nil)}
	s.between = newAuthority(t, "Between", s.root)
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(s)}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.root.certificate)
	s.outside = Outside{
		LookupHost: func(context.Context, string) ([]string, error) { return []string{"203.0.113.7"}, nil },
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != domain+":443" {
				return nil, fmt.Errorf("dialled %s", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
		Roots: roots, Now: time.Now,
	}
	return s
}

// healthy is a bot that lacks nothing.
func healthy() *inspect.Facts {
	bot := &v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{Name: "winter", Namespace: "bots", Generation: 2},
		Spec:       v1alpha1.WechatBotSpec{Domain: domain},
	}
	bot.Status.ObservedGeneration = 2
	for _, c := range append([]string{v1alpha1.ConditionReady}, operatorsConditions()...) {
		bot.Status.Conditions = append(bot.Status.Conditions, metav1.Condition{Type: c, Status: metav1.ConditionTrue, Reason: "Good", Message: "fine"})
	}
	return &inspect.Facts{
		Bot: bot, Addresses: []string{"203.0.113.7"}, Token: token,
		Servers: []inspect.Server{{Pod: "winter-1", Ready: true, Status: &serverstatus.Status{Version: "v1.0.0", Store: serverstatus.Store{OK: true}}}},
	}
}

func operatorsConditions() (all []string) {
	for _, one := range conditions {
		all = append(all, one.condition)
	}
	return all
}

func set(f *inspect.Facts, condition string, status metav1.ConditionStatus, reason, message string) {
	for i := range f.Bot.Status.Conditions {
		if c := &f.Bot.Status.Conditions[i]; c.Type == condition {
			c.Status, c.Reason, c.Message = status, reason, message
		}
	}
}

// Each fault is named by one line, and by no other.
func TestExamine_NamesEachFault(t *testing.T) {
	certified := func(issue func(*testing.T, *site) tls.Certificate) func(*testing.T) func(*site) tls.Certificate {
		return func(t *testing.T) func(*site) tls.Certificate {
			t.Helper()
			return func(s *site) tls.Certificate { return issue(t, s) }
		}
	}
	good := certified(func(t *testing.T, s *site) tls.Certificate {
		t.Helper()
		return s.between.leaf(t, domain, 1000*time.Hour, s.between.certificate)
	})
	condition := func(condition, reason, message string) func(*inspect.Facts) {
		return func(f *inspect.Facts) { set(f, condition, metav1.ConditionFalse, reason, message) }
	}
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods/portforward"}, "winter-1", errors.New(`User "eve" cannot create`))
	for name, c := range map[string]struct {
		facts       func(*inspect.Facts)
		handler     http.HandlerFunc
		certificate func(*testing.T) func(*site) tls.Certificate
		outside     func(*Outside)
		check       string // the one that is not ok; empty if all are
		verdict     Verdict
		parts       []string
	}{
		"nothing":              {},
		"the operator is away": {facts: func(f *inspect.Facts) { f.Bot.Status.Conditions = nil }, check: "operator", verdict: Wrong, parts: []string{"check that it runs", "namespace bots"}},
		"the operator stopped": {facts: func(f *inspect.Facts) { f.Bot.Generation++ }, check: "operator", verdict: Wrong, parts: []string{"latest change"}},
		"the bot is deleted": {facts: func(f *inspect.Facts) {
			f.Bot.Generation++
			f.Bot.DeletionTimestamp, f.Bot.Finalizers = new(metav1.Now()), []string{"example.com/archive"}
		}, check: "operator", verdict: Wrong, parts: []string{"is being deleted", "example.com/archive"}},
		"the bot is stopped": {facts: func(f *inspect.Facts) {
			set(f, v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonStopped, "spec.replicas is 0")
			f.Servers = nil
		}, check: "pods", verdict: Unknown, parts: []string{"spec.replicas is 0"}},
		"a Secret":        {facts: condition(v1alpha1.ConditionSecretsResolved, "SecretNotFound", "make it"), check: "secrets", verdict: Wrong, parts: []string{"SecretNotFound: make it"}},
		"Dify":            {facts: condition(v1alpha1.ConditionDifyReachable, "Unauthorized", "key"), check: "dify", verdict: Wrong, parts: []string{"Unauthorized"}},
		"the store":       {facts: condition(v1alpha1.ConditionSessionStoreReady, "RedisUnreachable", "x"), check: "session store", verdict: Wrong, parts: []string{"RedisUnreachable"}},
		"the pods":        {facts: condition(v1alpha1.ConditionAvailable, "PodsNotReady", "x"), check: "pods", verdict: Wrong, parts: []string{"PodsNotReady"}},
		"the Ingress":     {facts: condition(v1alpha1.ConditionExposed, "AddressPending", "x"), check: "ingress", verdict: Wrong, parts: []string{"AddressPending"}},
		"the wrong Token": {facts: condition(v1alpha1.ConditionConnected, "SignatureMismatch", "x"), check: "pushes", verdict: Wrong, parts: []string{"SignatureMismatch"}},
		"the wrong key":   {facts: condition(v1alpha1.ConditionConnected, "DecryptionFailed", "x"), check: "pushes", verdict: Wrong, parts: []string{"DecryptionFailed"}},
		"the IP list":     {facts: condition(v1alpha1.ConditionAccountReady, "IPNotWhitelisted", "add 1.2.3.4"), check: "wechat api", verdict: Wrong, parts: []string{"add 1.2.3.4"}},
		"the menu":        {facts: condition(v1alpha1.ConditionMenuPublished, "Rejected", "x"), check: "menu", verdict: Wrong, parts: []string{"Rejected"}},
		"the operator cannot reach the servers": {
			facts: func(f *inspect.Facts) {
				set(f, v1alpha1.ConditionConnected, metav1.ConditionUnknown, "ServersUnreachable", "policy")
			},
			check: "pushes", verdict: Unknown, parts: []string{"policy"},
		},
		"a name is taken": {facts: func(f *inspect.Facts) {
			f.Bot.Status.Conditions = append(f.Bot.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: "NameConflict", Message: "label it"})
		}, check: "objects", verdict: Wrong, parts: []string{"NameConflict: label it"}},
		"a pod does not start": {facts: func(f *inspect.Facts) { f.Servers[0] = inspect.Server{Pod: "winter-1", Problem: "ImagePullBackOff: x"} },
			check: "server winter-1", verdict: Wrong, parts: []string{"ImagePullBackOff"}},
		"a server's store": {facts: func(f *inspect.Facts) { f.Servers[0].Status.Store = serverstatus.Store{Error: "dial tcp"} },
			check: "server winter-1", verdict: Wrong, parts: []string{"dial tcp"}},
		"a server's Dify": {facts: func(f *inspect.Facts) { f.Servers[0].Status.Dify.LastError = "quota" }, check: "server winter-1", verdict: Wrong, parts: []string{"quota"}},
		"no right to forward": {facts: func(f *inspect.Facts) { f.Servers[0].Status, f.Servers[0].Err = nil, fmt.Errorf("x: %w", forbidden) },
			check: "servers", verdict: Unknown, parts: []string{"create pods/portforward"}},
		"no right to see pods": {facts: func(f *inspect.Facts) { f.ServersErr = forbidden }, check: "servers", verdict: Unknown, parts: []string{"forbidden"}},

		"no DNS record": {outside: func(o *Outside) {
			o.LookupHost = func(context.Context, string) ([]string, error) {
				return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
			}
		}, check: "dns", verdict: Wrong, parts: []string{"make its DNS record to 203.0.113.7"}},
		"no DNS here": {outside: func(o *Outside) {
			o.LookupHost = func(context.Context, string) ([]string, error) {
				return nil, &net.DNSError{Err: "timeout", IsTimeout: true}
			}
		}, check: "dns", verdict: Unknown, parts: []string{"cannot be looked up here"}},
		"DNS leads elsewhere": {facts: func(f *inspect.Facts) { f.Addresses = []string{"198.51.100.1"} }, check: "dns", verdict: Wrong, parts: []string{"point its DNS record to 198.51.100.1"}},
		"the Ingress has a private address": {facts: func(f *inspect.Facts) { f.Addresses = []string{"10.1.2.3"} }, check: "dns", verdict: Unknown,
			parts: []string{"private"}},

		"the chain is not whole": {certificate: certified(func(t *testing.T, s *site) tls.Certificate {
			t.Helper()
			return s.between.leaf(t, domain, 1000*time.Hour)
		}),
			check: "tls", verdict: Wrong, parts: []string{`"CN=Between" is missing`, "fullchain.pem"}},
		"the certificate has ended": {certificate: certified(func(t *testing.T, s *site) tls.Certificate {
			t.Helper()
			return s.between.leaf(t, domain, -time.Hour, s.between.certificate)
		}), check: "tls", verdict: Wrong, parts: []string{"out of date"}},
		"the certificate is another's": {certificate: certified(func(t *testing.T, s *site) tls.Certificate {
			t.Helper()
			return s.between.leaf(t, "other.example.com", 1000*time.Hour, s.between.certificate)
		}), check: "tls", verdict: Wrong, parts: []string{"for other.example.com, not for " + domain}},
		"the authority is private": {certificate: certified(func(t *testing.T, _ *site) tls.Certificate {
			t.Helper()
			private := newAuthority(t, "Private", nil)
			return private.leaf(t, domain, 1000*time.Hour, private.certificate)
		}), check: "tls", verdict: Wrong, parts: []string{`"CN=Private"`, "not a public one"}},
		"the certificate is self-signed": {certificate: certified(func(t *testing.T, _ *site) tls.Certificate {
			t.Helper()
			key := newKey(t)
			template := &x509.Certificate{
				SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: domain}, DNSNames: []string{domain},
				NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
			}
			return tls.Certificate{Certificate: [][]byte{sign(t, template, template, &key.PublicKey, key).Raw}, PrivateKey: key}
		}), check: "tls", verdict: Wrong, parts: []string{"self-signed"}},

		"a redirect": {handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://www.example.com/", http.StatusFound)
		},
			check: "url", verdict: Wrong, parts: []string{"redirects to", "www.example.com"}},
		"nothing at the path":       {handler: status(404, "no"), check: "url", verdict: Wrong, parts: []string{"not found", "Service winter"}},
		"the proxy has no backend":  {handler: status(502, "no"), check: "url", verdict: Wrong, parts: []string{"502", "Service winter"}},
		"another server's Token":    {handler: status(403, "no"), check: "url", verdict: Wrong, parts: []string{"refuses what is signed"}},
		"something else answers":    {handler: status(200, "<html>"), check: "url", verdict: Wrong, parts: []string{"something else answers"}},
		"a proxy adds to the echo":  {handler: func(w http.ResponseWriter, r *http.Request) { webhook(w, r); _, _ = io.WriteString(w, "\n<!-- -->") }, check: "url", verdict: Wrong, parts: []string{"more than the echo"}},
		"it hangs up":               {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, check: "url", verdict: Wrong, parts: []string{"gives no answer"}},
		"the Token may not be read": {facts: func(f *inspect.Facts) { f.Token, f.TokenErr = "", forbidden }, check: "url", verdict: Unknown, parts: []string{"refuses what is not signed"}},
	} {
		t.Run(name, func(t *testing.T) {
			handler, certificate := c.handler, c.certificate
			if handler == nil {
				handler = webhook
			}
			if certificate == nil {
				certificate = good
			}
			s := newSite(t, handler, certificate(t))
			f := healthy()
			if c.facts != nil {
				c.facts(f)
			}
			if c.outside != nil {
				c.outside(&s.outside)
			}
			named := 0
			for _, finding := range Examine(t.Context(), f, s.outside) {
				if strings.Contains(finding.What, token) {
					t.Errorf("%s quotes the Token: %s", finding.Check, finding.What)
				}
				switch {
				case finding.Check == c.check:
					named++
					if finding.Verdict != c.verdict {
						t.Errorf("%s is %q: %s", finding.Check, finding.Verdict, finding.What)
					}
					for _, part := range c.parts {
						if !strings.Contains(finding.What, part) {
							t.Errorf("%q does not say %q", finding.What, part)
						}
					}
				case finding.Verdict != OK:
					t.Errorf("%s is %q: %s", finding.Check, finding.Verdict, finding.What)
				}
			}
			if c.check != "" && named != 1 {
				t.Errorf("%s is named %d times", c.check, named)
			}
		})
	}
}

func TestExamine_NoConnection(t *testing.T) {
	o := Outside{
		LookupHost: func(context.Context, string) ([]string, error) { return []string{"203.0.113.7"}, nil }, Now: time.Now,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") },
	}
	all := Examine(t.Context(), healthy(), o)
	if !AnyWrong(all) {
		t.Fatal("nothing is wrong")
	}
	for _, f := range all {
		if (f.Check == "tls") != (f.Verdict == Wrong) || (f.Check == "url") != (f.Verdict == Unknown) {
			t.Errorf("%s is %q: %s", f.Check, f.Verdict, f.What)
		}
	}
}

// A bot that was asked to be stopped has no fault, though nothing answers at its URL.
func TestExamine_StoppedBotHasNoFault(t *testing.T) {
	away := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	s := newSite(t, away, func(s *site) tls.Certificate { return s.between.leaf(t, domain, time.Hour, s.between.certificate) })
	f := healthy()
	set(f, v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonStopped, "no webhook server runs, as spec.replicas is 0")
	f.Servers = nil
	all := Examine(t.Context(), f, s.outside)
	if AnyWrong(all) {
		t.Errorf("something is wrong: %+v", all)
	}
	for _, f := range all {
		if (f.Check == "url" || f.Check == "pods") != (f.Verdict == Unknown) {
			t.Errorf("%s is %q: %s", f.Check, f.Verdict, f.What)
		}
	}
}
