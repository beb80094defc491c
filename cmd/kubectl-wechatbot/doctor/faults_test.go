package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/inspect"
)

// seeded is one fault with all that it shows itself by: in conditions, in the servers' own words, at the URL.
type seeded struct {
	conditions  map[string]string // by type: the reason
	server      func(*inspect.Server)
	facts       func(*inspect.Facts)
	handler     http.HandlerFunc
	certificate func(*testing.T, *site) tls.Certificate
	lookup      func(context.Context, string) ([]string, error)
	dial        error
	line        string // the one that says what to do
	says        string
}

func difyError(kind string) func(*inspect.Server) {
	return func(s *inspect.Server) { s.Status.Dify.LastError = kind }
}

func account(code int) func(*inspect.Server) {
	return func(s *inspect.Server) {
		s.Status.Account = &serverstatus.Account{LastErrors: []serverstatus.CallError{{API: "/cgi-bin/stable_token", Errcode: code}}}
	}
}

func answers(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func seededFaults() map[string]seeded {
	private := func(t *testing.T, _ *site) tls.Certificate {
		t.Helper()
		of := newAuthority(t, "Another's", nil)
		return of.leaf(t, "another.example.com", time.Hour, of.certificate)
	}
	return map[string]seeded{
		"another Token in the console": {
			conditions: map[string]string{v1alpha1.ConditionConnected: v1alpha1.ReasonSignatureMismatch},
			server:     func(s *inspect.Server) { s.Status.Pushes.WrongSignature = 9 }, line: "pushes", says: v1alpha1.ReasonSignatureMismatch,
		},
		"another AES key in the console": {
			conditions: map[string]string{v1alpha1.ConditionConnected: v1alpha1.ReasonDecryptionFailed},
			server:     func(s *inspect.Server) { s.Status.Pushes.Undecryptable = 9 }, line: "pushes", says: v1alpha1.ReasonDecryptionFailed,
		},
		"the address is not listed": {
			conditions: map[string]string{v1alpha1.ConditionAccountReady: v1alpha1.ReasonIPNotWhitelisted}, server: account(40164),
			line: "wechat api", says: v1alpha1.ReasonIPNotWhitelisted,
		},
		"the AppSecret is refused": {
			conditions: map[string]string{v1alpha1.ConditionAccountReady: v1alpha1.ReasonAppSecretRejected}, server: account(40125),
			line: "wechat api", says: v1alpha1.ReasonAppSecretRejected,
		},
		"the menu is rejected": {
			conditions: map[string]string{v1alpha1.ConditionMenuPublished: v1alpha1.ReasonRejected}, server: account(40018),
			line: "menu", says: v1alpha1.ReasonRejected,
		},
		"Dify redirects": {
			conditions: map[string]string{v1alpha1.ConditionDifyReachable: v1alpha1.ReasonUnreachable}, server: difyError("badAnswer"),
			line: "dify", says: v1alpha1.ReasonUnreachable,
		},
		"Dify refuses the key": {
			conditions: map[string]string{v1alpha1.ConditionDifyReachable: v1alpha1.ReasonUnauthorized}, server: difyError("unauthorized"),
			line: "dify", says: v1alpha1.ReasonUnauthorized,
		},
		"Dify is away": {
			conditions: map[string]string{v1alpha1.ConditionDifyReachable: v1alpha1.ReasonUnreachable}, server: difyError("unreachable"),
			line: "dify", says: v1alpha1.ReasonUnreachable,
		},
		"Redis is away": {
			conditions: map[string]string{v1alpha1.ConditionSessionStoreReady: v1alpha1.ReasonRedisUnreachable},
			server:     func(s *inspect.Server) { s.Status.Store = serverstatus.Store{Error: "dial tcp"} },
			line:       "session store", says: v1alpha1.ReasonRedisUnreachable,
		},
		"no pods are ready": {
			conditions: map[string]string{v1alpha1.ConditionAvailable: v1alpha1.ReasonPodsNotReady}, handler: answers(503, "no backend"),
			server: func(s *inspect.Server) { *s = inspect.Server{Pod: s.Pod, Problem: "ImagePullBackOff"} },
			facts: func(f *inspect.Facts) {
				f.Bot.Status.Conditions = append(f.Bot.Status.Conditions, metav1.Condition{
					Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPodsNotReady, Message: "message of Available",
				})
			},
			line: "pods", says: v1alpha1.ReasonPodsNotReady,
		},
		"the domain has no address": {
			lookup: func(context.Context, string) ([]string, error) {
				return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
			},
			dial: &net.DNSError{Err: "no such host", IsNotFound: true}, line: "dns", says: "has no address",
		},
		"the domain leads elsewhere": {
			lookup:      func(context.Context, string) ([]string, error) { return []string{"198.51.100.9"}, nil },
			certificate: private, handler: answers(404, "<html>"), line: "dns", says: "point its DNS record to 203.0.113.7",
		},
		"port 443 is closed": {dial: errors.New("connection refused"), line: "tls", says: "port 443 open"},
		"no push yet": {
			conditions: map[string]string{v1alpha1.ConditionConnected: v1alpha1.ReasonNoPushYet}, line: "pushes", says: v1alpha1.ReasonNoPushYet,
		},
		"the domain leads elsewhere, so that no push came": {
			conditions: map[string]string{v1alpha1.ConditionConnected: v1alpha1.ReasonNoPushYet},
			lookup:     func(context.Context, string) ([]string, error) { return []string{"198.51.100.9"}, nil },
			dial:       errors.New("connection refused"), line: "dns", says: "point its DNS record to 203.0.113.7",
		},
		"a certificate without its chain, so that no push came": {
			conditions: map[string]string{v1alpha1.ConditionConnected: v1alpha1.ReasonNoPushYet},
			certificate: func(t *testing.T, s *site) tls.Certificate {
				t.Helper()
				return s.between.leaf(t, domain, 1000*time.Hour)
			}, line: "tls", says: "fullchain.pem",
		},
		"a certificate without its chain": {certificate: func(t *testing.T, s *site) tls.Certificate {
			t.Helper()
			return s.between.leaf(t, domain, 1000*time.Hour)
		}, line: "tls", says: "fullchain.pem"},
		"an expired certificate": {certificate: func(t *testing.T, s *site) tls.Certificate {
			t.Helper()
			return s.between.leaf(t, domain, -time.Hour, s.between.certificate)
		}, conditions: map[string]string{}, line: "tls", says: "out of date"},
		"another name's certificate": {certificate: func(t *testing.T, s *site) tls.Certificate {
			t.Helper()
			return s.between.leaf(t, "another.example.com", 1000*time.Hour, s.between.certificate)
		}, line: "tls", says: "not for " + domain},
		"nothing at the path":         {handler: answers(404, "404"), line: "url", says: "is not found"},
		"a web page at the path":      {handler: answers(200, "<html>"), line: "url", says: "something else answers"},
		"a redirect before the path":  {handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusMovedPermanently) }, line: "url", says: "redirects"},
		"a proxy without the Service": {handler: answers(502, "no"), line: "url", says: "does not reach them"},
	}
}

// Each fault is named by its line alone, although it shows in several places: what follows from it refers to that line.
func TestExamine_SeededFaults(t *testing.T) {
	for name, c := range seededFaults() {
		t.Run(name, func(t *testing.T) {
			handler, certificate := c.handler, c.certificate
			if handler == nil {
				handler = webhook
			}
			s := newSite(t, handler, func(s *site) tls.Certificate {
				if certificate != nil {
					return certificate(t, s)
				}
				return s.between.leaf(t, domain, 1000*time.Hour, s.between.certificate)
			})
			f := healthy()
			for condition, reason := range c.conditions {
				set(f, condition, metav1.ConditionFalse, reason, "message of "+condition)
			}
			if c.server != nil {
				c.server(&f.Servers[0])
			}
			if c.facts != nil {
				c.facts(f)
			}
			if c.lookup != nil {
				s.outside.LookupHost = c.lookup
			}
			if c.dial != nil {
				s.outside.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, c.dial }
			}
			var wrongs []string
			for _, finding := range Examine(t.Context(), f, s.outside) {
				switch {
				case finding.Verdict == Wrong:
					wrongs = append(wrongs, finding.Check)
					if !strings.Contains(finding.What, c.says) {
						t.Errorf("%s says %q, want %q in it", finding.Check, finding.What, c.says)
					}
				case finding.Verdict == Unknown && !strings.HasPrefix(finding.What, "see "+c.line+", first; now: "):
					t.Errorf("%s is not known, and does not refer to %s: %s", finding.Check, c.line, finding.What)
				}
			}
			if strings.Join(wrongs, ",") != c.line {
				t.Errorf("wrong are %v, want %s alone", wrongs, c.line)
			}
		})
	}
}

// What doctor takes for a healthy bot beside the API server's answers: go test -bench Healthy. The goal of all is 5 s.
func BenchmarkExamine_Healthy(b *testing.B) {
	s := newSite(b, webhook, func(s *site) tls.Certificate { return s.between.leaf(b, domain, 1000*time.Hour, s.between.certificate) })
	f := healthy()
	for b.Loop() {
		if all := Examine(b.Context(), f, s.outside); AnyWrong(all) {
			b.Fatal(all)
		}
	}
}
