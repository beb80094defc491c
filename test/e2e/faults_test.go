//go:build e2e

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const faultsNamespace = "e2e-faults"

// fault is a bot with one thing that is wrong, which the doctor has to name.
type fault struct {
	*bot
	between *authority // that signs, and is not trusted by itself

	seed      func(t *testing.T, f *fault)                     // before the bot is applied
	console   func(t *testing.T, f *fault) *wechatsim.Platform // that pushes; nil: WeChat does not get through
	connected string                                           // reason of Connected; empty if it is True

	condition, reason string // that tells of the fault, if Connected does not

	wrong string   // the line of the doctor that says what to do
	says  []string // what it says
}

func faults() []*fault {
	right := func(t *testing.T, f *fault) *wechatsim.Platform {
		t.Helper()
		return f.platform(t, wechatsim.Options{Deliveries: 1})
	}
	return []*fault{
		{
			bot: &bot{name: "wrong-token"}, console: wrongToken, connected: v1alpha1.ReasonSignatureMismatch,
			wrong: "pushes", says: []string{v1alpha1.ReasonSignatureMismatch, `key "token" of Secret "wrong-token"`},
		},
		{
			bot: &bot{name: "wrong-key"}, seed: secure, console: wrongKey, connected: v1alpha1.ReasonDecryptionFailed,
			wrong: "pushes", says: []string{v1alpha1.ReasonDecryptionFailed, `Secret "wrong-key"`},
		},
		{
			bot: &bot{name: "not-listed"}, seed: notListed, console: right, condition: v1alpha1.ConditionAccountReady, reason: v1alpha1.ReasonIPNotWhitelisted,
			wrong: "wechat api", says: []string{v1alpha1.ReasonIPNotWhitelisted, natAddress},
		},
		{
			bot: &bot{name: "redirected"}, seed: redirected, console: right, condition: v1alpha1.ConditionDifyReachable, reason: v1alpha1.ReasonUnreachable,
			wrong: "dify", says: []string{"redirects", "correct spec.dify.baseURL"},
		},
		{
			bot: &bot{name: "no-chain"}, seed: withoutChain, connected: v1alpha1.ReasonNoPushYet,
			wrong: "tls", says: []string{"CN=Between", "fullchain.pem"},
		},
		{
			bot: &bot{name: "elsewhere"}, connected: v1alpha1.ReasonNoPushYet,
			wrong: "dns", says: []string{elsewhere, "point its DNS record to"},
		},
	}
}

const (
	natAddress = "198.51.100.23" // that WeChat sees calls from
	elsewhere  = "198.51.100.9"  // where a domain leads to, and nothing is
)

// faulty: six bots with a fault each. kubectl get and kubectl wechatbot doctor say which, as the documentation shows it.
func (c *cluster) faulty(t *testing.T) string {
	namespace := c.namespace(t, faultsNamespace)
	all := faults()
	domains := make([]string, len(all))
	for i, f := range all {
		name := f.name
		f.bot = c.sample(t, namespace)
		f.rename(t, name)
		f.set(t, "all-tls", "ingress", "tls", "secretName")
		domains[i] = f.domain()
	}
	c.apply(t, namespace, fmt.Sprintf("{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: all}, spec: {secretName: all-tls, "+
		"dnsNames: [%s], issuerRef: {kind: ClusterIssuer, name: %s}}}", strings.Join(domains, ", "), c.caIssuer))
	c.kubectl(t, "--namespace", namespace, "wait", "--for=condition=Ready", "certificate/all", "--timeout=120s")
	root := newAuthority(t, "Root", nil)
	between := newAuthority(t, "Between", root)
	u := c.user(t, namespace, "team", "admin")
	c.outside(t, string(root.pem()), map[string]string{domains[len(domains)-1]: elsewhere}, u)
	for _, f := range all {
		f.between = between
		if f.seed != nil {
			f.seed(t, f)
		}
		f.secret(t)
		f.apply(t)
	}
	for _, f := range all {
		f.push(t)
	}
	for _, f := range all {
		f.known(t)
	}
	var longest time.Duration
	for _, f := range all {
		longest = max(longest, f.examined(t, u))
	}
	u.document(t)
	return fmt.Sprintf("%d faults, each named by its line of doctor; the longest took %s", len(all), seconds(longest))
}

var wrongLine = regexp.MustCompile(`(?m)^ {2}wrong {2}(\S+(?: \S+)*?) {2,}(.*)$`)

// push pushes to the bot as the console has it.
func (f *fault) push(t *testing.T) {
	t.Helper()
	if f.console == nil {
		f.ready(t)
		return
	}
	f.reachable(t)
	follower := f.console(t, f).Follower("")
	for range 6 {
		if _, err := follower.Send(t.Context(), "你好"); err != nil {
			t.Fatal(err)
		}
	}
}

// known waits until the conditions tell of the fault.
func (f *fault) known(t *testing.T) {
	t.Helper()
	if f.connected != "" {
		f.bot.condition(t, v1alpha1.ConditionConnected, metav1.ConditionFalse, f.connected)
		return
	}
	f.bot.condition(t, v1alpha1.ConditionConnected, metav1.ConditionTrue, "")
	f.bot.condition(t, f.condition, metav1.ConditionFalse, f.reason)
}

// examined has the doctor name the fault, and nothing else.
func (f *fault) examined(t *testing.T, u *user) time.Duration {
	t.Helper()
	doctor := u.doctor(t, f.name)
	wrongs := wrongLine.FindAllStringSubmatch(doctor.out, -1)
	if doctor.code != 1 || len(wrongs) != 1 || wrongs[0][1] != f.wrong ||
		slices.ContainsFunc(f.says, func(part string) bool { return !strings.Contains(wrongs[0][2], part) }) {
		t.Errorf("of %s the doctor does not say, with the code 1, that %s is wrong alone, and %q; but with %d:\n%s%s", f.name, f.wrong, f.says, doctor.code, doctor.out, doctor.err)
	}
	return doctor.took
}

// wrongToken: the console has another Token.
func wrongToken(t *testing.T, f *fault) *wechatsim.Platform {
	t.Helper()
	console := *f.bot
	console.token = "e2eTokenOfTheConsole"
	return console.platform(t, wechatsim.Options{Deliveries: 1})
}

func secure(t *testing.T, f *fault) {
	t.Helper()
	f.aesKey = strings.Repeat("a", 42) + "A"
	f.set(t, map[string]any{"appID": appID, "encodingAESKeySecretRef": map[string]any{"name": f.name, "key": "encoding-aes-key"}}, "wechat")
}

// wrongKey: the console has another EncodingAESKey.
func wrongKey(t *testing.T, f *fault) *wechatsim.Platform {
	t.Helper()
	p, err := wechatsim.New(wechatsim.Account{
		URL: "https://" + f.domain() + "/wechat", Token: f.token, AppID: appID, Mode: wechatsim.Secure, EncodingAESKey: strings.Repeat("b", 42) + "A",
	}, wechatsim.Options{Connect: f.connect, RootCAs: f.authority, Deliveries: 1})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// notListed: the account's IP list lacks the address that the pods call from.
func notListed(t *testing.T, f *fault) {
	t.Helper()
	f.appSecret = "e2eNotListed0123456789abcdefabcdef"
	p := f.platform(t, wechatsim.Options{})
	p.SetIPList([]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")})
	p.SeeFrom(netip.MustParseAddr(natAddress))
	f.callsWeChat(t, p.API())
	f.set(t, "CustomerService", "reply", "mode")
}

// redirected: what is before Dify redirects.
func redirected(t *testing.T, f *fault) {
	t.Helper()
	f.set(t, strings.TrimSuffix(difyURL, "/v1")+"/redirected/v1", "dify", "baseURL")
}

// withoutChain: the Secret has the domain's certificate alone.
func withoutChain(t *testing.T, f *fault) {
	t.Helper()
	certificate, key := f.between.leaf(t, f.domain())
	secret := &core.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "no-chain-tls", Namespace: f.namespace}, Type: core.SecretTypeTLS,
		Data: map[string][]byte{core.TLSCertKey: certificate, core.TLSPrivateKeyKey: key},
	}
	if err := f.client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	f.set(t, "no-chain-tls", "ingress", "tls", "secretName")
}

// Of what the documentation shows, volatile differs from run to run, and has there what is beside it; uncompared may differ: ages, the
// width of columns, and how a network says that nobody is there.
var (
	volatile = map[*regexp.Regexp]string{
		regexp.MustCompile(`-[0-9a-f]{8,10}-[0-9a-z]{5}\b`): "-6d4f9c7b8-x2x7k",
		regexp.MustCompile(`in \d+(\.\d+)?(ms|s)\b`):        "in 12ms",
		regexp.MustCompile(`until \d{4}-\d\d-\d\d`):         "until 2027-02-20",
	}
	uncompared = map[*regexp.Regexp]string{
		regexp.MustCompile(`dial tcp \S+: connect: no route to host|none in 5s`): "nobody is there",
		regexp.MustCompile(`\b(\d+m)?\d+[ms] `):                                  "90s ",
		regexp.MustCompile(` {2,}`):                                              "  ",
		regexp.MustCompile(`(?m) +$`):                                            "",
	}
)

func replaced(s string, all map[*regexp.Regexp]string) string {
	for found, shown := range all {
		s = found.ReplaceAllString(s, shown)
	}
	return s
}

const notOK = " | grep -v '^  ok'"

// document compares docs/kubectl-wechatbot.md with what the commands about these bots print. With UPDATE=1 it writes it anew.
func (u *user) document(t *testing.T) {
	t.Helper()
	path := filepath.Join(u.root, "docs", "kubectl-wechatbot.md")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var written strings.Builder
	commands := 0
	for block := range strings.SplitAfterSeq(string(doc), "```console\n") {
		console, after, isConsole := strings.Cut(block, "```\n")
		if !isConsole || written.Len() == 0 || !strings.Contains(console, "-n "+faultsNamespace+" ") {
			written.WriteString(block)
			continue
		}
		for line := range strings.Lines(console) {
			command, isCommand := strings.CutPrefix(strings.TrimSpace(line), "$ kubectl ")
			if !isCommand {
				continue
			}
			commands++
			written.WriteString("$ kubectl " + command + "\n" + replaced(u.shown(t, command), volatile))
		}
		written.WriteString("```\n" + after)
	}
	if commands == 0 {
		t.Errorf("%s shows nothing of these bots", path)
	}
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(written.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, got := replaced(string(doc), uncompared), replaced(written.String(), uncompared)
	for i, line := range strings.Split(want, "\n") {
		if now := strings.Split(got, "\n"); i >= len(now) || now[i] != line {
			t.Errorf("%s differs from its line %d on; if that is meant: make e2e RUN='the-chart|six-faults' UPDATE=1\ndocumented: %s\nprinted:    %s",
				path, i+1, line, strings.Join(now[min(i, len(now)):min(i+1, len(now))], ""))
			return
		}
	}
}

// shown is what a command of the documentation prints.
func (u *user) shown(t *testing.T, command string) string {
	t.Helper()
	if bot, isDoctor := strings.CutPrefix(command, "wechatbot -n "+faultsNamespace+" doctor "); isDoctor {
		all := strings.SplitAfter(u.doctor(t, strings.TrimSuffix(bot, notOK)).out, "\n")
		return strings.Join(slices.DeleteFunc(all, func(line string) bool { return strings.HasPrefix(line, "  ok") }), "")
	}
	p := u.print(t, append(strings.Fields(command), "--kubeconfig="+u.kubeconfig)...)
	return p.out + p.err
}
