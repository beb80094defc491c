package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/serverlocal"
	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/doctor"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

var update = flag.Bool("update", false, "write docs/kubectl-wechatbot.md anew")

// volatile is what differs from run to run.
var volatile = []struct {
	found *regexp.Regexp
	shown string
}{
	{regexp.MustCompile(`\b[A-Z2-7]{26}\b`), "HZ4DXDPE6N3MBTKVQXYW2LU7AC"},
	{regexp.MustCompile(`in \d+(\.\d+)?(ms|s)\b`), "in 12ms"},
	{regexp.MustCompile(`until \d{4}-\d\d-\d\d`), "until 2027-02-20"},
}

// docs/kubectl-wechatbot.md shows what the plugin prints. With -update it is written anew.
func TestTheDocumentationShowsWhatThePluginPrints(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "kubectl-wechatbot.md")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, namespace: "bots", bot: &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Name: "winter", Namespace: "bots"}}}
	w.must(admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bots"}}))
	outside := w.site()
	operated := make(chan struct{})
	go func() { // the operator's part, while create waits
		defer close(operated)
		w.operate()
	}()
	var written strings.Builder
	for block := range strings.SplitAfterSeq(string(doc), "```console\n") {
		console, after, isConsole := strings.Cut(block, "```\n")
		line, _, _ := strings.Cut(console, "\n")
		env, args, isPlugin := strings.Cut(strings.TrimPrefix(line, "$ "), "kubectl wechatbot -n bots ")
		if !isConsole || written.Len() == 0 || !isPlugin {
			written.WriteString(block)
			continue
		}
		if strings.HasPrefix(args, "doctor") {
			<-operated
			w.reports(healthy("False", "SignatureMismatch", `what comes is not signed with the bot's Token: that of WeChat's console (服务器配置) must be the one in `+
				`key "token" of Secret "winter" (spec.tokenSecretRef)`)...)
		}
		var out bytes.Buffer
		key, value, _ := strings.Cut(strings.TrimSpace(env), "=")
		terminal{in: strings.NewReader(""), out: &out, err: &out, outside: outside, env: func(name string) string {
			if name == key {
				return value
			}
			return ""
		}}.run(t.Context(), append(strings.Fields(args), "-n", "bots", "--kubeconfig", kubeconfig))
		shown := out.String()
		for _, v := range volatile {
			shown = v.found.ReplaceAllString(shown, v.shown)
		}
		written.WriteString(line + "\n" + strings.TrimRight(shown, "\n") + "\n```\n" + after)
	}
	if *update {
		w.must(os.WriteFile(path, []byte(written.String()), 0o600))
		return
	}
	if diff := cmp.Diff(string(doc), written.String()); diff != "" {
		t.Errorf("differs from %s; if that is meant: go test ./cmd/kubectl-wechatbot -run Documentation -update (-want +got):\n%s", path, diff)
	}
}

// healthy are the conditions of a bot that is well, but for what WeChat pushes.
func healthy(status, reason, message string) []metav1.Condition {
	return []metav1.Condition{
		condition("Ready", "True", "Serving", "1/1 replicas serve https://bot.example.com/wechat"),
		condition("SecretsResolved", "True", "Resolved", "every referenced Secret and key is there and well-formed"),
		condition("DifyReachable", "True", "Authorized", `Dify accepted the API key of app "Winter"`),
		condition("SessionStoreReady", "True", "StoreReady", "ConfigMaps winter-sessions-0 to winter-sessions-7 keep the conversations"),
		condition("Available", "True", "PodsReady", "every replica of the Deployment winter serves"),
		condition("Exposed", "True", "AddressAssigned", "the Ingress has the address 203.0.113.7: the DNS record of bot.example.com must point there"),
		condition("Connected", status, reason, message),
	}
}

// operate does what the operator and a node do for a new bot.
func (w *world) operate() {
	deadline := time.Now().Add(time.Minute)
	for admin.Get(w.t.Context(), client.ObjectKeyFromObject(w.bot), w.bot) != nil {
		if time.Now().After(deadline) {
			w.t.Error("no bot was made")
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	w.server("winter-6d4f9c7b8-x2x7k", &serverstatus.Status{
		APIVersion: "v1", Version: "v0.2.0", Store: serverstatus.Store{OK: true}, Pushes: serverstatus.Pushes{WrongSignature: 6},
	})
	node.listens("bots/winter-6d4f9c7b8-x2x7k", serverlocal.Port, w.remembers())
	i := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "winter", Namespace: "bots"}}
	i.Spec.DefaultBackend = &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "winter", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	if err := admin.Create(w.t.Context(), i); err != nil {
		w.t.Error(err)
		return
	}
	i.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "203.0.113.7"}}
	if err := admin.Status().Update(w.t.Context(), i); err != nil {
		w.t.Error(err)
		return
	}
	w.reports(healthy("False", "NoPushYet", "WeChat has pushed nothing yet: paste https://bot.example.com/wechat into its console (服务器配置), with the Token of "+
		`Secret "winter", switch it on, and write to the account`)...)
}

// remembers is the loopback of a server that knows two followers.
func (w *world) remembers() (address string) {
	now := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var answer any = serverlocal.Done{APIVersion: "v1", Changed: true}
		if r.Method == http.MethodGet {
			answer = serverlocal.Sessions{APIVersion: "v1", Sessions: []serverlocal.Session{
				{Alias: "5f3c0d9a71", LastActive: now.Add(-12*time.Minute - 30*time.Second), Turns: 3, Bytes: 5200, Open: []serverlocal.Turn{
					{Message: "c09a1f44e2", State: "answering", Since: now.Add(-12*time.Minute - 30*time.Second)},
				}},
				{Alias: "b7720e18cd", LastActive: now.Add(-5*time.Hour - 30*time.Second), Turns: 5, Undelivered: 1, Bytes: 14100, Open: []serverlocal.Turn{}},
			}}
		}
		_ = json.NewEncoder(rw).Encode(answer)
	}))
	w.t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// site is what answers at bot.example.com, which is a webhook server with the Secret's Token.
func (w *world) site() *doctor.Outside {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var secret corev1.Secret
		q := r.URL.Query()
		err := admin.Get(r.Context(), client.ObjectKeyFromObject(w.bot), &secret)
		if err != nil || q.Get("signature") != wechat.Sign(string(secret.Data["token"]), q.Get("timestamp"), q.Get("nonce")) {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = rw.Write([]byte(q.Get("echostr")))
	}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	w.t.Cleanup(server.Close)
	// The test server's certificate is for example.com and its subdomains of one level: that of the page is one.
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &doctor.Outside{
		LookupHost: func(context.Context, string) ([]string, error) { return []string{"203.0.113.7"}, nil },
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
		Roots: roots, Now: time.Now,
	}
}
