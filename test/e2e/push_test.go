//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/test/e2e/relay"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const (
	appID      = "wx0000000000000e2e"
	weChatHost = "api.weixin.qq.com"
	// told is how long it takes until the operator has asked the servers how they are, and has said it.
	told = 3 * time.Minute
)

// rotatedAppSecret: the AppSecret of a bot that pushes late answers is reset in WeChat's console while followers chat. They have their
// answers all the same, by asking for them; when the Secret has the new one, the bot pushes again, and nothing was restarted.
func (c *cluster) rotatedAppSecret(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-push"))
	b.appSecret = "e2eFirstAppSecret0123456789abcdef"
	p := b.platform(t, wechatsim.Options{})
	b.callsWeChat(t, p.API())
	b.set(t, "CustomerService", "reply", "mode")
	b.start(t)
	b.reachable(t)
	b.account(t, metav1.ConditionTrue, v1alpha1.ReasonAccountUsable)
	lives := b.lives(t)
	chat := b.chatOn(t, p, 12, true)
	chat.sent(t, 8)

	b.appSecret = "e2eSecondAppSecret0123456789abcde"
	p.SetSecret(b.appSecret)
	p.KillToken()
	rejected := b.account(t, metav1.ConditionFalse, v1alpha1.ReasonAppSecretRejected)
	chat.more(t, 4) // and what no reply carries is fetched
	b.secret(t)
	usable := b.account(t, metav1.ConditionTrue, v1alpha1.ReasonAccountUsable)
	chat.sent(t, 8)
	o := chat.finish(t)
	if now := b.lives(t); now != lives {
		t.Errorf("pods were restarted: %s, then %s", lives, now)
	}
	if v := p.Violations(); len(v) > 0 {
		t.Errorf("rules of WeChat's broken: %v", v)
	}
	calls, codes := p.Calls(wechatsim.SendPath)
	return fmt.Sprintf("%s %s after the reset, %s %s after kubectl apply of the Secret, no pod was restarted; %d of %d sends taken: %s",
		v1alpha1.ReasonAppSecretRejected, seconds(rejected), v1alpha1.ReasonAccountUsable, seconds(usable), codes[0], calls, o)
}

// callsWeChat has the bot call a WeChat that is this one.
func (b *bot) callsWeChat(t *testing.T, api http.Handler) {
	t.Helper()
	address, authority := b.serveWeChat(t, api)
	b.cluster.apply(t, b.namespace, string(encode(t, map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "wechat-ca"}, "data": map[string]any{"ca.crt": authority},
	})))
	b.set(t, map[string]any{"appID": appID, "appSecretRef": map[string]any{"name": b.name, "key": "app-secret"}}, "wechat")
	b.set(t, map[string]any{"spec": map[string]any{
		"hostAliases": []any{map[string]any{"ip": address, "hostnames": []any{weChatHost}}},
		"containers": []any{map[string]any{
			"name":         "server",
			"env":          []any{map[string]any{"name": "SSL_CERT_FILE", "value": "/etc/wechat/ca.crt"}},
			"volumeMounts": []any{map[string]any{"name": "wechat-ca", "mountPath": "/etc/wechat", "readOnly": true}},
		}},
		"volumes": []any{map[string]any{"name": "wechat-ca", "configMap": map[string]any{"name": "wechat-ca"}}},
	}}, "podTemplate")
}

func encode(t *testing.T, object any) []byte {
	t.Helper()
	manifest, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return manifest
}

// serveWeChat serves WeChat's API in the cluster, and gives its address there and the authority that has signed its certificate.
// Connections come by a relay in Dify's pod: the cluster may not reach this machine.
func (c *cluster) serveWeChat(t *testing.T, h http.Handler) (address, authority string) {
	t.Helper()
	port := strconv.Itoa(8443 + int(c.relays.Add(1)))
	service := "wechat-" + port
	c.apply(t, difyNamespace, fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {selector: {app: dify}, ports: [{port: 443, targetPort: %s}]}}",
		service, port))
	address = strings.TrimSpace(c.kubectl(t, "--namespace", difyNamespace, "get", "service", service, "-o", "jsonpath={.spec.clusterIP}"))
	signer := newAuthority(t, "WeChat's", nil)
	certificate, err := tls.X509KeyPair(signer.leaf(t, weChatHost))
	if err != nil {
		t.Fatal(err)
	}

	command := exec.Command("kubectl", "--namespace", difyNamespace, "exec", "--stdin", "deployment/dify", "--", "/dify", "relay", port) //nolint:noctx // it ends with its input
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	listener := tls.NewListener(relay.Listen(out, in), &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() {
		_ = in.Close()
		<-served
		_ = server.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	})
	return address, string(signer.pem())
}

// account waits until AccountReady says this.
func (b *bot) account(t *testing.T, want metav1.ConditionStatus, reason string) time.Duration {
	t.Helper()
	return b.condition(t, v1alpha1.ConditionAccountReady, want, reason)
}

// sent waits for so many messages that WeChat has taken from now on.
func (c *chat) sent(t *testing.T, n int) {
	t.Helper()
	taken := func() int {
		_, codes := c.platform.Calls(wechatsim.SendPath)
		return codes[0]
	}
	before := taken()
	await(t, 3*time.Minute, fmt.Sprintf("%d messages are pushed", n), func() (bool, string, error) {
		now := taken() - before
		return now >= n, fmt.Sprintf("%d so far", now), nil
	})
}
