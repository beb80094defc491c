//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/server/page"
	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// official is a bot of three replicas on Redis with all that an Official Account can have: a menu, and pages of whole answers.
type official struct {
	*bot
	platform   *wechatsim.Platform
	publishing chan struct{} // WeChat is given a menu
	admin      *user
	viewer     *user // who may view, and no more
	asked      int   // questions so far
}

// menuAndPages: the life of such a bot, of which its platform team knows what kubectl wechatbot says.
func (c *cluster) menuAndPages(t *testing.T) string {
	b := c.redisBot(t, c.namespace(t, "e2e-official"), true)
	b.appSecret = "e2eOfficialSecret0123456789abcdef"
	o := &official{bot: b, platform: b.platform(t, wechatsim.Options{}), publishing: make(chan struct{}, 8)}
	b.callsWeChat(t, o.noticed(o.platform.API()))
	b.set(t, map[string]any{"enabled": true}, "reply", "page")
	b.set(t, []any{
		map[string]any{"name": "官网", "url": "https://example.com/"},
		map[string]any{"name": "帮助", "command": "/help"},
		map[string]any{"name": "咖啡", "items": []any{
			map[string]any{"name": "今天喝什么", "question": "推荐一款咖啡"},
			map[string]any{"name": "营业时间", "reply": "每天 8:00 到 22:00"},
		}},
	}, "menu")
	o.admin, o.viewer = c.user(t, b.namespace, "team", "admin"), c.user(t, b.namespace, "viewer", "view")
	var shown []string
	for _, part := range []struct {
		name string
		run  func(*testing.T) string
	}{
		{"the menu is published once", o.menu},
		{"the page through the Ingress", o.page},
		{"the plugin", o.plugin},
		{"with the rights to view", o.viewed},
		{"the menu is changed by hand", o.drift},
		{"without pages", o.withoutPages},
	} {
		if !t.Run(strings.ReplaceAll(part.name, " ", "-"), func(t *testing.T) { shown = append(shown, part.run(t)) }) {
			break
		}
	}
	if v := o.platform.Violations(); len(v) > 0 {
		t.Errorf("rules of WeChat's broken: %v", v)
	}
	return strings.Join(shown, "; ")
}

// noticed tells of menus before WeChat takes them.
func (o *official) noticed(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == wechatsim.CreateMenuPath {
			o.publishing <- struct{}{}
		}
		api.ServeHTTP(w, r)
	})
}

// menu: the replica with the account's duty is killed while it publishes the menu, and another one does it.
func (o *official) menu(t *testing.T) string {
	executioner := o.executioner(t)
	o.platform.Order(wechatsim.Order{API: wechatsim.CreateMenuPath, Times: 1, Delay: time.Minute}) // longer than anybody waits
	o.secret(t)
	o.apply(t)
	select {
	case <-o.publishing:
	case <-time.After(readyWithin):
		t.Fatal("nobody publishes the menu")
	}
	first := o.onDuty(t)
	executioner(first)
	killed := time.Now()
	if menu, _ := o.platform.Menu(); len(menu) > 0 {
		t.Fatal("the menu was published before the pod was killed")
	}
	o.isPublished(t)
	published := time.Since(killed)
	o.recovered(t, 3)
	o.ready(t)
	o.reachable(t)
	told := o.condition(t, v1alpha1.ConditionMenuPublished, metav1.ConditionTrue, v1alpha1.ReasonPublished)

	if second := o.onDuty(t); second.UID == first.UID {
		t.Errorf("%s is said to be killed, and has the duty", first.Name)
	}
	said := 0
	for _, p := range o.pods(t, "server") {
		said += strings.Count(o.kubectl(t, "--namespace", o.namespace, "logs", p.Name, "--container=server"), "Published the menu")
	}
	if calls, codes := o.platform.Calls(wechatsim.CreateMenuPath); calls != 2 || codes[0] != 1 || said != 1 {
		t.Errorf("the menu was published by %d calls with the outcomes %v, and %d logs say so", calls, codes, said)
	}
	f := o.platform.Follower("")
	for item, want := range map[string]string{"营业时间": "每天 8:00 到 22:00", "今天喝什么": "推荐一款咖啡"} {
		if x, err := f.TapMenu(t.Context(), "咖啡", item); err != nil || !strings.Contains(x.Text, want) {
			t.Errorf("a tap on %s is answered with %+v, %v", item, x, err)
		}
	}
	if x, err := f.TapMenu(t.Context(), "帮助"); err != nil || x.Outcome != wechatsim.Replied {
		t.Errorf("a tap on 帮助 is answered with %+v, %v", x, err)
	}
	return fmt.Sprintf("the pod with the duty killed while it published: the menu is there %s later, by another pod, MenuPublished within %s more",
		seconds(published), seconds(told))
}

// isPublished waits until followers have the menu of the spec.
func (o *official) isPublished(t *testing.T) {
	t.Helper()
	await(t, readyWithin, "followers have the menu", func() (bool, string, error) {
		menu, byAPI := o.platform.Menu()
		shown := outline(menu)
		return byAPI && shown == "官网 view https://example.com/, 帮助 click, 咖啡 [今天喝什么 click, 营业时间 click]", shown, nil
	})
}

// outline is a menu without the keys that the bot gives its items.
func outline(menu []wechatsim.Button) string {
	var all []string
	for _, b := range menu {
		what := strings.TrimSpace(b.Type + " " + b.URL)
		if len(b.Items) > 0 {
			what = "[" + outline(b.Items) + "]"
		}
		all = append(all, b.Name+" "+what)
	}
	return strings.Join(all, ", ")
}

// executioner gives what kills a pod's processes at once and for good: they have no chance to give anything back.
func (c *cluster) executioner(t *testing.T) func(core.Pod) {
	t.Helper()
	namespace := c.namespace(t, "e2e-node")
	c.kubectl(t, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
	c.apply(t, namespace, string(encode(t, map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "node"},
		"spec": map[string]any{
			"hostPID": true, "terminationGracePeriodSeconds": 0,
			"containers": []any{map[string]any{
				"name": "shell", "image": c.redisImage, "imagePullPolicy": "IfNotPresent", "command": []any{"sh", "-c", "while :; do sleep 60; done"},
				"securityContext": map[string]any{"privileged": true, "runAsUser": 0},
			}},
		},
	})))
	c.kubectl(t, "--namespace", namespace, "wait", "--for=condition=Ready", "pod/node", "--timeout=60s")
	const kill = `killed=0
for process in /proc/[0-9]*; do
  if grep -q -e "$1" -e "$2" "$process/cgroup" 2>/dev/null && [ "$(cat "$process/comm")" != pause ]; then
    kill -KILL "${process#/proc/}" && killed=$((killed + 1))
  fi
done
[ $killed -gt 0 ]`
	return func(p core.Pod) {
		uid := string(p.UID) // systemd writes it with underscores
		c.kubectl(t, "--namespace", namespace, "exec", "node", "--", "sh", "-c", kill, "sh", uid, strings.ReplaceAll(uid, "-", "_"))
		c.kubectl(t, "--namespace", p.Namespace, "delete", "pod", p.Name, "--grace-period=0", "--force")
	}
}

// onDuty waits for a pod that does what is done once for the account.
func (b *bot) onDuty(t *testing.T) (holder core.Pod) {
	t.Helper()
	await(t, readyWithin, "a pod has the account's duty", func() (bool, string, error) {
		for _, p := range b.pods(t, "server") {
			if metrics, err := b.metricsOf(t, p); err == nil && strings.Contains(metrics, "\nwechatbot_account_duty 1\n") {
				holder = p
				return true, "", nil
			}
		}
		return false, "none has", nil
	})
	return holder
}

// metricsOf are those of one pod.
func (b *bot) metricsOf(t *testing.T, p core.Pod) (string, error) {
	t.Helper()
	return b.run(t.Context(), "", "kubectl", "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:9090/proxy/metrics", p.Namespace, p.Name))
}

// sentences is how long the answers are whose pages are read.
const sentences = 120

// ask asks for a long answer that takes so long, and gives the follower's exchange and the address of the page.
func (o *official) ask(t *testing.T, f *wechatsim.Follower, takes time.Duration) (q *crowd.Question, address string) {
	t.Helper()
	o.asked++
	q = &crowd.Question{ID: fmt.Sprintf("P%04d", o.asked), Plan: crowd.Plan{FirstText: takes / 2, Total: takes, Sentences: sentences}}
	x, err := f.Send(t.Context(), q.Text())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(x.Links, func(l wechatsim.Link) bool { return strings.HasPrefix(l.URL, "https://"+o.domain()+"/a/") })
	if i < 0 {
		t.Fatalf("the reply has no link to a page: %s, %+v", x.Outcome, x.Links)
	}
	return q, x.Links[i].URL
}

// read gets an address by its domain through the Ingress, over TLS that is verified.
func (b *bot) read(t *testing.T, address string) (status int, header http.Header, body string) {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true, // each read may go to another pod
		TLSClientConfig:   &tls.Config{RootCAs: b.authority, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, b.connect)
		},
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(content)
}

// page: the whole of a long answer is read by the link that the follower gets, from every replica; by another address nothing is.
func (o *official) page(t *testing.T) string {
	if paths := o.paths(t); paths != "/wechat /a/" {
		t.Errorf("the Ingress has the paths %s", paths)
	}
	f := o.platform.Follower("")
	q, address := o.ask(t, f, time.Second)
	var took []time.Duration
	served := map[string]bool{}
	await(t, readyWithin, "all three replicas have shown the page", func() (bool, string, error) {
		began := time.Now()
		status, header, body := o.read(t, address)
		took = append(took, time.Since(began))
		if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/html") || header.Get("Content-Security-Policy") == "" {
			t.Fatalf("the page: %d, %v", status, header)
		}
		for n := range sentences {
			if mark := fmt.Sprintf("〔%s·1·%d〕", q.ID, n+1); strings.Count(body, mark) != 1 {
				t.Fatalf("sentence %d is on the page %d times", n+1, strings.Count(body, mark))
			}
		}
		if strings.Contains(body+address, f.OpenID()) {
			t.Fatal("the page or its address has the follower's openid")
		}
		for _, p := range o.pods(t, "server") {
			metrics, err := o.metricsOf(t, p)
			if err != nil {
				return false, "", err
			}
			served[p.Name] = served[p.Name] || !strings.Contains(metrics, "\nwechatbot_page_requests_total{result=\"shown\"} 0\n")
			if !served[p.Name] {
				return false, fmt.Sprintf("%d reads, and %s has shown none", len(took), p.Name), nil
			}
		}
		return true, "", nil
	})
	wrong := o.wrongAddresses(t, address)
	slices.Sort(took)
	return fmt.Sprintf("%d sentences read %d times from 3 replicas, p50 %s; %d forged and foreign addresses: 404", sentences, len(took), milliseconds(took[len(took)/2]), wrong)
}

// wrongAddresses reads addresses that were not made by this bot.
func (o *official) wrongAddresses(t *testing.T, address string) int {
	t.Helper()
	token := address[strings.LastIndex(address, "/")+1:]
	base := strings.TrimSuffix(address, token)
	middle := len(token) / 2
	other := byte('A')
	if token[middle] == other {
		other = 'B'
	}
	foreign := page.New(page.Options{}, page.Settings{
		Enabled: true, Domain: o.domain(), Path: "/a/", Key: page.NewKey("another bot's", "secrets"), TTL: time.Hour,
	}).Address("oSomebody", "1", time.Now())
	all := map[string]string{
		"a letter changed": base + token[:middle] + string(other) + token[middle+1:], "cut": address[:len(address)-1], "longer": address + "A",
		"another bot's": foreign, "none": base,
	}
	gone := ""
	for name, wrong := range all {
		status, _, body := o.read(t, wrong)
		if status != http.StatusNotFound {
			t.Errorf("%s: %d", name, status)
		}
		if gone == "" {
			gone = body
		}
		if body != gone || strings.Contains(body, "〔") {
			t.Errorf("%s: another 404 than that of other addresses", name)
		}
	}
	return len(all)
}

// paths are those that the Ingress leads to the bot.
func (b *bot) paths(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(b.kubectl(t, "--namespace", b.namespace, "get", "ingress", b.name, "-o", "jsonpath={.spec.rules[*].http.paths[*].path}"))
}

// plugin: what the platform team sees of a bot that is well, and does to followers' sessions, over the kubelet's port-forward.
func (o *official) plugin(t *testing.T) string {
	u := o.admin
	o.outside(t, "", nil, u, o.viewer)
	for _, kind := range []string{v1alpha1.ConditionConnected, v1alpha1.ConditionAccountReady, v1alpha1.ConditionMenuPublished} {
		o.condition(t, kind, metav1.ConditionTrue, "")
	}
	status := u.plugin(t, "status", o.name)
	status.says(t, 0, "https://"+o.domain()+"/wechat", "menu: Published", "nothing: kubectl wechatbot doctor winter")
	for _, p := range o.pods(t, "server") {
		status.says(t, 0, p.Name+"  true")
	}
	doctor := u.doctor(t, o.name)
	doctor.says(t, 0, "everything is as it should be", o.domain()+" leads to the Ingress", "answers WeChat's check")
	if doctor.took > 5*time.Second {
		t.Errorf("doctor took %s", seconds(doctor.took))
	}
	u.plugin(t, "menu", "diff", o.name).says(t, 0, "WeChat shows the menu as it is configured")

	f := o.platform.Follower("")
	var address string
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, address = o.ask(t, f, 7*time.Second)
	}()
	alias, listed := u.answering(t, o.name)
	<-asked
	if address == "" {
		return ""
	}
	if strings.Contains(listed.out, f.OpenID()) || strings.Contains(listed.out, "号订单") {
		t.Error("the list has an openid or a text")
	}
	if status, _, _ := o.read(t, address); status != http.StatusOK {
		t.Errorf("the page before clear: %d", status)
	}
	cleared := u.plugin(t, "sessions", "clear", o.name, alias)
	cleared.says(t, 0, "cleared "+alias)
	if status, _, _ := o.read(t, address); status != http.StatusNotFound {
		t.Errorf("the page after clear: %d", status)
	}
	stopped := o.stopped(t, u)
	return fmt.Sprintf("doctor %s, status %s, sessions %s, clear %s, stop %s", seconds(doctor.took), seconds(status.took), seconds(listed.took),
		seconds(cleared.took), seconds(stopped))
}

var answeringRow = regexp.MustCompile(`(?m)^ {2}([0-9a-f]{10}) .* answering \S+ \([0-9a-f]+\)$`)

// answering waits for the follower whose question is being answered, and gives the alias.
func (u *user) answering(t *testing.T, bot string) (alias string, listed printed) {
	t.Helper()
	await(t, time.Minute, "a question is being answered", func() (bool, string, error) {
		listed = u.plugin(t, "sessions", bot, "--open")
		rows := answeringRow.FindAllStringSubmatch(listed.out, -1)
		if len(rows) != 1 {
			return false, listed.out + listed.err, nil
		}
		alias = rows[0][1]
		return true, "", nil
	})
	return alias, listed
}

// stopped ends the question of a follower, who is told so, and Dify's answer to it.
func (o *official) stopped(t *testing.T, u *user) time.Duration {
	t.Helper()
	f := o.platform.Follower("")
	ended := make(chan *wechatsim.Exchange, 1)
	o.asked++
	q := &crowd.Question{ID: fmt.Sprintf("P%04d", o.asked), Plan: crowd.Plan{FirstText: 100 * time.Millisecond, Total: time.Minute, Sentences: sentences}}
	go func() {
		x, _ := f.Send(t.Context(), q.Text())
		ended <- x
	}()
	alias, _ := u.answering(t, o.name)
	stop := u.plugin(t, "sessions", "stop", o.name, alias)
	stop.says(t, 0, "stopped the question of "+alias)
	if x := <-ended; x == nil || !strings.Contains(x.Text, "[[stopped]]") {
		t.Errorf("the follower's question ended with %+v", x)
	}
	await(t, time.Minute, "Dify has stopped answering the question", func() (bool, string, error) {
		calls := o.calls(t)
		i := slices.IndexFunc(calls, func(c difysim.Call) bool { return strings.Contains(c.Query, q.ID) })
		if i < 0 {
			return false, "it was not asked", nil
		}
		return calls[i].Outcome == difysim.Stopped, string(calls[i].Outcome), nil
	})
	u.plugin(t, "sessions", "stop", o.name, alias).says(t, 0, "no question is open of "+alias)
	return stop.took
}

// viewed: who may view the namespace sees what that right reaches, and is told what the rest takes.
func (o *official) viewed(t *testing.T) string {
	v := o.viewer
	const forward = "you may not forward ports to pods of namespace e2e-official"
	v.plugin(t, "status", o.name).says(t, 0, "Connected", "you may not forward ports to it")
	v.doctor(t, o.name).says(t, 0, forward, "whether it takes the Token is not known", "nothing wrong was found; 2 of")
	v.plugin(t, "logs", o.name).says(t, 0, `"msg"`)
	for _, args := range [][]string{{"sessions", o.name}, {"sessions", "clear", o.name, "0123456789"}, {"sessions", "stop", o.name, "0123456789"}, {"menu", "diff", o.name}} {
		v.plugin(t, args...).says(t, 2, "error: "+forward+": it takes the right to create pods/portforward")
	}
	v.plugin(t, "chat", o.name, "--message", "你好").says(t, 2, "Secret")
	v.plugin(t, "create", "another", "--domain", "another.example.test").says(t, 2, "forbidden")
	return "view alone: status, doctor and logs; the rest is refused with what it takes"
}

// drift: a menu that somebody has made in the console is told and stays. The look that finds it is that of the pod that takes the
// duty over: the next one of this pod is up to ten minutes away.
func (o *official) drift(t *testing.T) string {
	byHand := []wechatsim.Button{{Name: "官网", Type: "view", URL: "https://example.com/"}, {Name: "抽奖", Type: "view", URL: "https://example.com/lottery"}}
	o.platform.SetConsoleMenu(byHand)
	before, _ := o.platform.Calls(wechatsim.CreateMenuPath)
	o.admin.plugin(t, "menu", "diff", o.name).says(t, 1, "- 抽奖", "+ 帮助", "  官网")
	began := time.Now()
	holder := o.onDuty(t)
	o.kubectl(t, "--namespace", o.namespace, "delete", "pod", holder.Name, "--wait=false")
	o.condition(t, v1alpha1.ConditionMenuPublished, metav1.ConditionFalse, v1alpha1.ReasonDrifted)
	told := time.Since(began)
	after, _ := o.platform.Calls(wechatsim.CreateMenuPath)
	if menu, byAPI := o.platform.Menu(); byAPI || outline(menu) != outline(byHand) || after != before {
		t.Errorf("followers have the menu %s, after %d calls", outline(menu), after-before)
	}
	return fmt.Sprintf("a menu made by hand is told %s after the duty went to another pod", seconds(told))
}

// withoutPages: the Ingress leads only what is switched on to the bot.
func (o *official) withoutPages(t *testing.T) string {
	f := o.platform.Follower("")
	_, address := o.ask(t, f, time.Second)
	if status, _, _ := o.read(t, address); status != http.StatusOK {
		t.Fatalf("the page: %d", status)
	}
	o.set(t, map[string]any{"enabled": false}, "reply", "page")
	began := o.apply(t)
	await(t, readyWithin, "the Ingress has no path for pages", func() (bool, string, error) {
		paths := o.paths(t)
		return paths == "/wechat", paths, nil
	})
	await(t, readyWithin, "the page's address leads nowhere", func() (bool, string, error) {
		status, header, _ := o.read(t, address)
		return status == http.StatusNotFound && header.Get("Content-Security-Policy") == "", http.StatusText(status), nil // it is the ingress controller's
	})
	return fmt.Sprintf("without pages the path is gone %s after kubectl apply", seconds(time.Since(began)))
}
