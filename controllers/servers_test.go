package controllers_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// addresses of the loopback that are taken.
var addresses atomic.Int32

// webhookServer is a pod of the bot with a webhook server that says what it is told to.
type webhookServer struct {
	w      *world
	object *corev1.Pod
	polls  atomic.Int64

	mu      sync.Mutex
	status  serverstatus.Status
	handler http.HandlerFunc // instead, if any
	server  *httptest.Server
}

// server runs one, which is ready and lacks nothing.
func (w *world) server(name string) *webhookServer {
	w.t.Helper()
	n := addresses.Add(1)
	ip := fmt.Sprintf("127.9.%d.%d", n/250, n%250+1)
	p := &webhookServer{w: w, status: serverstatus.Status{APIVersion: serverstatus.APIVersion, Version: "v1.0.0", Store: serverstatus.Store{OK: true}}}
	p.listen(ip)
	p.object = named(w, &corev1.Pod{}, name)
	p.object.Labels = naming.Labels(w.bot, naming.Server)
	p.object.Spec.Containers = []corev1.Container{{Name: naming.ServerContainer, Image: managerImage, SecurityContext: &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), RunAsNonRoot: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}}}
	if err := admin.Create(w.t.Context(), p.object); err != nil {
		w.t.Fatal(err)
	}
	p.object.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: naming.ServerContainer, Image: managerImage, Ready: true, Started: new(true),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		}},
	}
	if err := admin.Status().Update(w.t.Context(), p.object); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (p *webhookServer) listen(ip string) {
	p.w.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(p.w.t.Context(), "tcp", fmt.Sprintf("%s:%d", ip, adminPort))
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.server = httptest.NewUnstartedServer(p)
	_ = p.server.Listener.Close()
	p.server.Listener = l
	p.server.Start()
	p.w.t.Cleanup(p.server.Close)
}

func (p *webhookServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.polls.Add(1)
	p.mu.Lock()
	handler := p.handler
	status, err := json.Marshal(p.status) // here, as it points at what a test changes
	p.mu.Unlock()
	if handler != nil {
		handler(w, r)
		return
	}
	if r.Method != http.MethodGet || r.URL.Path != "/status" {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(status)
}

// says changes what the server says.
func (p *webhookServer) says(change func(*serverstatus.Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handler = nil
	change(&p.status)
}

// fails says that calls of WeChat's API have failed.
func (p *webhookServer) fails(api string, code int, addresses ...string) {
	p.says(func(s *serverstatus.Status) {
		s.Account.LastErrors, s.Account.Addresses = []serverstatus.CallError{{API: api, Errcode: code}}, addresses
	})
}

func (p *webhookServer) answers(handler http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handler = handler
}

// polled waits until the operator has looked several times.
func (p *webhookServer) polled() {
	p.w.t.Helper()
	before := p.polls.Load()
	eventually(p.w.t, func() error { return unless(p.polls.Load() >= before+3, p.polls.Load()-before) })
}

func (w *world) condition(condition string) *metav1.Condition {
	w.t.Helper()
	w.get(w.bot)
	return meta.FindStatusCondition(w.bot.Status.Conditions, condition)
}

// withAccount is a bot that uses WeChat's API.
func (w *world) withAccount() {
	w.t.Helper()
	w.secret("winter", map[string]string{"token": "wintertoken", "dify-key": difyKey, "app-secret": "0123456789abcdef0123456789abcdef"})
	w.create(func(b *v1alpha1.WechatBot) {
		b.Spec.WeChat.AppID = "wx0123456789abcdef"
		b.Spec.WeChat.AppSecretRef = &v1alpha1.SecretKeyRef{Name: "winter", Key: "app-secret"}
		b.Spec.Menu = []v1alpha1.MenuButton{{Name: "Help", MenuAction: v1alpha1.MenuAction{Command: "/help"}}}
	})
	w.serve()
}

// What the servers say of WeChat's side is in conditions, which say what to do, and in events.
func TestServers_Connected(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	w.expect(v1alpha1.ConditionConnected, isUnknown, v1alpha1.ReasonNotChecked)
	for _, absent := range []string{v1alpha1.ConditionAccountReady, v1alpha1.ConditionMenuPublished} {
		if c := w.condition(absent); c != nil {
			t.Errorf("without an AppSecret and a menu there is %v", c)
		}
	}
	p := w.server("winter-1")
	says(t, w.expect(v1alpha1.ConditionConnected, isFalse, v1alpha1.ReasonNoPushYet), "paste https://"+w.bot.Spec.Domain+"/wechat", `Secret "winter"`)
	w.expectEventNote(corev1.EventTypeNormal, v1alpha1.ReasonNoPushYet, "paste https://")
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	w.get(w.bot)
	if !strings.HasPrefix(w.bot.Status.Summary, "NoPushYet: WeChat has pushed nothing yet: paste https://") {
		t.Errorf("kubectl get says %q", w.bot.Status.Summary)
	}

	p.says(func(s *serverstatus.Status) { s.Pushes.WrongSignature = 1 })
	says(t, w.expect(v1alpha1.ConditionConnected, isFalse, v1alpha1.ReasonSignatureMismatch), "spec.tokenSecretRef", `key "token" of Secret "winter"`)
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonSignatureMismatch)

	p.says(func(s *serverstatus.Status) { s.Pushes.Authentic = 1 })
	w.expect(v1alpha1.ConditionConnected, isTrue, v1alpha1.ReasonPushesArrive)
	w.expectEvent(corev1.EventTypeNormal, v1alpha1.ReasonPushesArrive)
	w.get(w.bot)
	if !strings.Contains(w.bot.Status.Summary, "replicas serve") {
		t.Errorf("kubectl get says %q", w.bot.Status.Summary)
	}

	// Anybody may send a wrong signature; WeChat delivers a message three times.
	p.says(func(s *serverstatus.Status) { s.Pushes.WrongSignature += 2 })
	p.polled()
	w.expect(v1alpha1.ConditionConnected, isTrue, v1alpha1.ReasonPushesArrive)
	p.says(func(s *serverstatus.Status) { s.Pushes.WrongSignature++ })
	w.expect(v1alpha1.ConditionConnected, isFalse, v1alpha1.ReasonSignatureMismatch)

	p.says(func(s *serverstatus.Status) { s.Pushes.Undecryptable = 1 })
	says(t, w.expect(v1alpha1.ConditionConnected, isFalse, v1alpha1.ReasonDecryptionFailed), "明文模式", "spec.wechat.encodingAESKeySecretRef")
	w.secret("winter", map[string]string{"token": "wintertoken", "dify-key": difyKey, "aes": strings.Repeat("a", 43)})
	w.edit(func(s *v1alpha1.WechatBotSpec) {
		s.WeChat.AppID, s.WeChat.EncodingAESKeySecretRef = "wx0123456789abcdef", &v1alpha1.SecretKeyRef{Name: "winter", Key: "aes"}
	})
	says(t, w.expect(v1alpha1.ConditionConnected, isFalse, v1alpha1.ReasonDecryptionFailed), `key "aes" of Secret "winter"`, "spec.wechat.appID")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonDecryptionFailed)
}

func TestServers_AccountReady(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.withAccount()
	p := w.server("winter-1")
	eventually(t, func() error {
		message := w.expect(v1alpha1.ConditionAccountReady, isUnknown, v1alpha1.ReasonNotChecked)
		return unless(strings.Contains(message, "have not read the AppSecret"), message)
	})
	p.says(func(s *serverstatus.Status) { s.Account = &serverstatus.Account{} })
	w.expect(v1alpha1.ConditionAccountReady, isTrue, v1alpha1.ReasonAccountUsable)
	const token, send = "/cgi-bin/stable_token", "/cgi-bin/message/custom/send"
	for _, c := range []struct {
		api       string
		code      int
		addresses []string
		reason    string
		parts     []string
	}{
		{token, 40013, nil, v1alpha1.ReasonAppSecretRejected, []string{"wx0123456789abcdef", "spec.wechat.appID"}},
		{token, 40125, nil, v1alpha1.ReasonAppSecretRejected, []string{"errcode 40125", `key "app-secret" of Secret "winter"`}},
		{token, 40001, nil, v1alpha1.ReasonAppSecretRejected, []string{"errcode 40001"}},
		{token, 40243, nil, v1alpha1.ReasonAppSecretFrozen, []string{"unfreeze"}},
		{token, 40164, []string{"203.0.113.9", "203.0.113.7"}, v1alpha1.ReasonIPNotWhitelisted, []string{"add 203.0.113.7, 203.0.113.9", "IP白名单"}},
		{token, 89503, nil, v1alpha1.ReasonIPNotWhitelisted, []string{"administrator", "errcode 89503"}},
		{token, 0, nil, v1alpha1.ReasonUnreachable, []string{"api.weixin.qq.com"}},
		{send, 45009, nil, v1alpha1.ReasonQuotaExhausted, []string{"errcode 45009", "Beijing"}},
		{send, 48004, nil, v1alpha1.ReasonNotEntitled, []string{"limited", "errcode 48004"}},
	} {
		p.fails(c.api, c.code, c.addresses...)
		eventually(t, func() error {
			message := w.expect(v1alpha1.ConditionAccountReady, isFalse, c.reason)
			return unless(strings.Contains(message, c.parts[0]), message)
		})
		says(t, w.condition(v1alpha1.ConditionAccountReady).Message, c.parts...)
		w.expectEvent(corev1.EventTypeWarning, c.reason)
	}
	// What is no reason to call the account unusable.
	for _, c := range []struct {
		api  string
		code int
	}{{send, 0}, {send, 40001}, {send, 45015}, {send, -1}, {"/cgi-bin/media/upload", 48001}} {
		p.fails(c.api, c.code)
		p.polled()
		w.expect(v1alpha1.ConditionAccountReady, isTrue, v1alpha1.ReasonAccountUsable)
	}
	// That it may not send matters to a bot that is to send.
	p.says(func(s *serverstatus.Status) { s.Account.Capabilities.CustomerService = serverstatus.No })
	p.polled()
	w.expect(v1alpha1.ConditionAccountReady, isTrue, v1alpha1.ReasonAccountUsable)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Reply.Mode = v1alpha1.ReplyCustomerService })
	says(t, w.expect(v1alpha1.ConditionAccountReady, isFalse, v1alpha1.ReasonNotEntitled), "spec.reply.mode", "Passive")
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}

func TestServers_MenuPublished(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.withAccount()
	p, other := w.server("winter-1"), w.server("winter-2")
	w.expect(v1alpha1.ConditionMenuPublished, isUnknown, v1alpha1.ReasonNotChecked)
	other.says(func(s *serverstatus.Status) { s.Account = &serverstatus.Account{} })
	for _, c := range []struct {
		menu   *serverstatus.Menu
		status metav1.ConditionStatus
		reason string
		parts  []string
	}{
		{&serverstatus.Menu{State: serverstatus.MenuRejected, Errcode: 40018}, isFalse, v1alpha1.ReasonRejected, []string{"errcode 40018", "name of a button"}},
		{&serverstatus.Menu{State: serverstatus.MenuRejected, Errcode: 65301}, isFalse, v1alpha1.ReasonRejected, []string{"errcode 65301", "个性化菜单"}},
		{&serverstatus.Menu{State: serverstatus.MenuNotEntitled, Errcode: 48001}, isFalse, v1alpha1.ReasonNotEntitled, []string{"links", "/help"}},
		{&serverstatus.Menu{State: serverstatus.MenuPublished}, isTrue, v1alpha1.ReasonPublished, []string{"followers see"}},
		{&serverstatus.Menu{State: serverstatus.MenuDrifted}, isFalse, v1alpha1.ReasonDrifted, []string{"menuPolicy: Enforce"}},
		{nil, isFalse, v1alpha1.ReasonDrifted, []string{"menuPolicy: Enforce"}}, // the duty goes to another server
	} {
		p.says(func(s *serverstatus.Status) { s.Account = &serverstatus.Account{Menu: c.menu} })
		p.polled()
		eventually(t, func() error {
			message := w.expect(v1alpha1.ConditionMenuPublished, c.status, c.reason)
			return unless(strings.Contains(message, c.parts[0]), message)
		})
		says(t, w.condition(v1alpha1.ConditionMenuPublished).Message, c.parts...)
	}
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonRejected)
	w.expectEvent(corev1.EventTypeNormal, v1alpha1.ReasonPublished)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Menu = nil })
	eventually(t, func() error {
		c := w.condition(v1alpha1.ConditionMenuPublished)
		return unless(c == nil, c)
	})
}

// The servers know best how their store is.
func TestServers_SessionStore(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	p := w.server("winter-1")
	w.expect(v1alpha1.ConditionConnected, isFalse, v1alpha1.ReasonNoPushYet)
	w.expect(v1alpha1.ConditionSessionStoreReady, isTrue, v1alpha1.ReasonStoreReady)
	p.says(func(s *serverstatus.Status) {
		s.Store = serverstatus.Store{Error: `configmaps "winter-sessions-0" is forbidden`}
	})
	says(t, w.expect(v1alpha1.ConditionSessionStoreReady, isFalse, v1alpha1.ReasonStoreUnavailable), "is forbidden")
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonStoreUnavailable)
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonStoreUnavailable)
	p.says(func(s *serverstatus.Status) { s.Store = serverstatus.Store{OK: true} })
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)

	redis := newWorld(t)
	redis.create(func(b *v1alpha1.WechatBot) {
		b.Spec.Session = v1alpha1.Session{Type: v1alpha1.SessionRedis, Redis: &v1alpha1.Redis{
			External: &v1alpha1.ExternalRedis{Addresses: []v1alpha1.RedisAddress{"redis.example.com:6379"}},
		}}
	})
	redis.serve()
	redis.server("winter-1").says(func(s *serverstatus.Status) {
		s.Store = serverstatus.Store{Error: "dial tcp 10.0.0.1:43210->203.0.113.4:6379: i/o timeout"}
	})
	says(t, redis.expect(v1alpha1.ConditionSessionStoreReady, isFalse, v1alpha1.ReasonRedisUnreachable), "dial tcp 203.0.113.4:6379: i/o timeout", "addresses")
}

// What cannot be known is Unknown, with the reason, and Ready does not depend on it.
func TestServers_CannotBeAsked(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.withAccount()
	p := w.server("winter-1")
	p.says(func(s *serverstatus.Status) { s.Pushes.Authentic, s.Account = 1, &serverstatus.Account{} })
	w.expect(v1alpha1.ConditionAccountReady, isTrue, v1alpha1.ReasonAccountUsable)
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		reason  string
		part    string
	}{
		"a server of before": {http.NotFound, v1alpha1.ReasonStatusNotServed, "spec.image"},
		"something else": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
			v1alpha1.ReasonStatusNotServed, "no status that this operator can read"},
	} {
		p.answers(c.handler)
		for _, condition := range []string{v1alpha1.ConditionConnected, v1alpha1.ConditionAccountReady, v1alpha1.ConditionMenuPublished} {
			eventually(t, func() error {
				message := w.expect(condition, isUnknown, c.reason)
				return unless(strings.Contains(message, c.part), name+": "+message)
			})
		}
		w.expectEvent(corev1.EventTypeWarning, c.reason)
	}
	p.says(func(*serverstatus.Status) {})
	w.expect(v1alpha1.ConditionConnected, isTrue, v1alpha1.ReasonPushesArrive)
	p.server.Close()
	says(t, w.expect(v1alpha1.ConditionConnected, isUnknown, v1alpha1.ReasonServersUnreachable), "port 9090", "refuses connections")
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	p.listen(p.object.Status.PodIP)
	w.expect(v1alpha1.ConditionConnected, isTrue, v1alpha1.ReasonPushesArrive)

	// Nobody is asked any more: nothing stays that is wrong, or may be by now.
	p.says(func(s *serverstatus.Status) {
		s.Account.LastErrors = []serverstatus.CallError{{API: "/cgi-bin/stable_token", Errcode: 40243}}
	})
	w.expect(v1alpha1.ConditionAccountReady, isFalse, v1alpha1.ReasonAppSecretFrozen)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Suspend = true })
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonSuspended)
	if c := w.condition(v1alpha1.ConditionAccountReady); c != nil {
		t.Errorf("of a suspended bot's account it says %v", c)
	}
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Suspend = false })
	w.expect(v1alpha1.ConditionAccountReady, isFalse, v1alpha1.ReasonAppSecretFrozen)
}

// Polls that find nothing new write nothing, also after a start of the operator, and their rate is bounded.
func TestServers_NothingNewWritesNothing(t *testing.T) {
	o := quick()
	first := startOperator(t, o)
	w := newWorld(t)
	w.withAccount()
	p := w.server("winter-1")
	p.says(func(s *serverstatus.Status) {
		s.Pushes, s.Account = serverstatus.Pushes{WrongSignature: 3}, &serverstatus.Account{Addresses: []string{"203.0.113.7"}}
	})
	p.fails("/cgi-bin/stable_token", 40164, "203.0.113.7")
	w.expect(v1alpha1.ConditionConnected, isFalse, v1alpha1.ReasonSignatureMismatch)
	w.expect(v1alpha1.ConditionAccountReady, isFalse, v1alpha1.ReasonIPNotWhitelisted)
	p.polled()
	first.calls.reset()
	polls, began := p.polls.Load(), time.Now()
	p.polled()
	p.polled()
	if rate := float64(p.polls.Load()-polls) / time.Since(began).Seconds(); rate > 1.3/o.PollEvery.Seconds() {
		t.Errorf("the server is polled %.1f times a second, every %s is asked for", rate, o.PollEvery)
	}
	if writes := first.calls.writes(w.namespace); len(writes) > 0 {
		t.Errorf("polls that find nothing new write %v", writes)
	}
	first.stop()
	second := startOperator(t, o)
	p.polled()
	second.stop()
	if writes := second.calls.writes(w.namespace); len(writes) > 0 {
		t.Errorf("an operator that starts writes %v", writes)
	}
}

// An operator that is told not to asks no server, and says nothing of what only servers know.
func TestServers_AreNotAsked(t *testing.T) {
	o := quick()
	o.WithoutServers = true
	startOperator(t, o)
	w := newWorld(t)
	w.withAccount()
	p := w.server("winter-1")
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 7 })
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	for _, condition := range []string{v1alpha1.ConditionConnected, v1alpha1.ConditionAccountReady, v1alpha1.ConditionMenuPublished} {
		if c := w.condition(condition); c != nil {
			t.Errorf("it says %v", c)
		}
	}
	if n := p.polls.Load(); n > 0 {
		t.Errorf("the server was asked %d times", n)
	}
}
