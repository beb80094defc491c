package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/botsim"
	"github.com/wechatbot/wechatbot-operator/test/envtest"
)

var (
	plane      *envtest.ControlPlane
	admin      client.Client
	kubeconfig string
	node       *kubelet
)

// asPlugin makes this test binary be the plugin.
const asPlugin = "WECHATBOT_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	klog.SetLogger(logr.Discard())
	ctrl.SetLogger(logr.Discard())
	os.Exit(envtest.Main(func(c *envtest.ControlPlane) (int, error) {
		plane = c
		if err := prepare(); err != nil {
			return 1, err
		}
		code := m.Run()
		node.server.Close()
		return code, os.Remove(kubeconfig)
	}))
}

// prepare makes a client, a kubeconfig, a node, and the roles of users.
func prepare() (err error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	if admin, err = client.New(plane.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	file, err := os.CreateTemp("", "kubeconfig-")
	if err != nil {
		return err
	}
	kubeconfig = file.Name()
	if err := file.Close(); err != nil {
		return err
	}
	c := clientcmdapi.NewConfig()
	c.Clusters["test"] = &clientcmdapi.Cluster{Server: plane.Config.Host, CertificateAuthorityData: plane.Config.CAData}
	c.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: plane.Config.CertData, ClientKeyData: plane.Config.KeyData}
	c.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	c.CurrentContext = "test"
	if err := clientcmd.WriteToFile(*c, kubeconfig); err != nil {
		return err
	}
	if _, err := plane.Kubectl(context.Background(), "", "apply", "--server-side", "-k", filepath.Join("..", "..", "config", "default")); err != nil {
		return err
	}
	node, err = newKubelet()
	return err
}

// kubelet is the node of the tests' pods. It forwards ports as kubelets do.
type kubelet struct {
	server *httptest.Server

	mu   sync.Mutex
	pods map[string]map[int32]string // by namespace/name and port: the address of what listens there
}

// listens has something listen in a pod; "" is nothing.
func (k *kubelet) listens(pod string, port int32, address string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pods[pod] == nil {
		k.pods[pod] = map[int32]string{}
	}
	k.pods[pod][port] = address
}

func newKubelet() (*kubelet, error) {
	k := &kubelet{pods: map[string]map[int32]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/containerLogs/{namespace}/{pod}/server", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "{\"msg\":\"first of %s\"}\n{\"msg\":\"second\\u001b\",\"follower\":\"f1\",\"tail\":%q}\n", r.PathValue("pod"), r.URL.Query().Get("tailLines"))
	})
	mux.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, k, r.PathValue("namespace")+"/"+r.PathValue("pod"), "", options, time.Minute, time.Minute, portforward.SupportedProtocols)
	})
	k.server = httptest.NewUnstartedServer(mux)
	k.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	k.server.StartTLS()
	host, port, err := net.SplitHostPort(k.server.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
	if err := admin.Create(context.Background(), object); err != nil {
		return nil, err
	}
	object.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	object.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(number)
	return k, admin.Status().Update(context.Background(), object)
}

// PortForward joins a stream with what listens in a pod.
func (k *kubelet) PortForward(ctx context.Context, pod, _ string, port int32, stream io.ReadWriteCloser) error {
	k.mu.Lock()
	address := k.pods[pod][port]
	k.mu.Unlock()
	if address == "" {
		return fmt.Errorf("nothing listens at port %d of pod %s", port, pod)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(conn, stream); done <- struct{}{} }()
	go func() { _, _ = io.Copy(stream, conn); done <- struct{}{} }()
	<-done
	return errors.Join(conn.Close(), stream.Close())
}

// world is a namespace with a bot.
type world struct {
	t         *testing.T
	namespace string
	bot       *v1alpha1.WechatBot
	webhook   http.Handler // of its servers
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, namespace: plane.Namespace(t, "bots")}
	w.must(admin.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "winter", Namespace: w.namespace}, StringData: map[string]string{"token": "wintertoken", "key": "app-0123456789"},
	}))
	w.bot = &v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{Name: "winter", Namespace: w.namespace},
		Spec: v1alpha1.WechatBotSpec{
			Domain: w.namespace + ".invalid", TokenSecretRef: v1alpha1.SecretKeyRef{Name: "winter", Key: "token"},
			Dify: v1alpha1.Dify{APIKeySecretRef: v1alpha1.SecretKeyRef{Name: "winter", Key: "key"}},
		},
	}
	w.must(admin.Create(t.Context(), w.bot))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// reports does what the operator does.
func (w *world) reports(conditions ...metav1.Condition) {
	w.t.Helper()
	w.must(admin.Get(w.t.Context(), client.ObjectKeyFromObject(w.bot), w.bot))
	w.bot.Status.ObservedGeneration, w.bot.Status.Conditions = w.bot.Generation, nil
	for _, c := range conditions {
		c.LastTransitionTime, c.ObservedGeneration = metav1.Now(), w.bot.Generation
		w.bot.Status.Conditions = append(w.bot.Status.Conditions, c)
	}
	w.must(admin.Status().Update(w.t.Context(), w.bot))
}

func condition(kind, status, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: message}
}

// server runs a pod that says something of itself.
func (w *world) server(name string, status *serverstatus.Status) {
	w.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status" {
			_ = json.NewEncoder(rw).Encode(status)
			return
		}
		w.webhook.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(server.Close)
	for _, port := range []int32{8080, 9090} {
		node.listens(w.namespace+"/"+name, port, server.Listener.Addr().String())
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace, Labels: naming.Labels(w.bot, naming.Server)},
		Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: naming.ServerContainer, Image: "example.com/server:1"}}},
	}
	w.must(admin.Create(w.t.Context(), pod))
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.9.0.1", PodIPs: []corev1.PodIP{{IP: "10.9.0.1"}}, ContainerStatuses: []corev1.ContainerStatus{{
		Name: naming.ServerContainer, Image: "example.com/server:1", Ready: true, RestartCount: 2, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}}
	w.must(admin.Status().Update(w.t.Context(), pod))
}

// viewer is a user who may view the namespace, and no more.
func (w *world) viewer() string {
	w.t.Helper()
	user := "viewer-" + w.namespace
	for _, role := range []string{"system:aggregate-to-view", "wechatbot-view"} { // no controller sums them up here
		w.must(admin.Create(w.t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "view-", Namespace: w.namespace},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: user, APIGroup: rbacv1.GroupName}},
			RoleRef:    rbacv1.RoleRef{Kind: "ClusterRole", Name: role, APIGroup: rbacv1.GroupName},
		}))
	}
	return user
}

// allow lets a user do one thing more in the namespace.
func (w *world) allow(user, resource, verb string) {
	w.t.Helper()
	w.must(admin.Create(w.t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "more", Namespace: w.namespace},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{resource}, Verbs: []string{verb}}},
	}))
	w.must(admin.Create(w.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "more", Namespace: w.namespace},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: user, APIGroup: rbacv1.GroupName}},
		RoleRef:    rbacv1.RoleRef{Kind: "Role", Name: "more", APIGroup: rbacv1.GroupName},
	}))
}

type result struct {
	code     int
	out, err string
}

// run runs the plugin in the namespace.
func (w *world) run(in string, env map[string]string, args ...string) result {
	w.t.Helper()
	var out, errs bytes.Buffer
	t := terminal{in: strings.NewReader(in), out: &out, err: &errs, env: func(name string) string { return env[name] }}
	code := t.run(w.t.Context(), append(args, "--kubeconfig", kubeconfig, "-n", w.namespace))
	return result{code, out.String(), errs.String()}
}

// wants checks the exit code and what is said.
func (r result) wants(t *testing.T, code int, parts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, part := range parts {
		if !strings.Contains(r.out+r.err, part) {
			t.Errorf("it does not say %q:\n%s%s", part, r.out, r.err)
		}
	}
}

func (r result) lacks(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(r.out+r.err, part) {
			t.Errorf("it says %q:\n%s%s", part, r.out, r.err)
		}
	}
}

var ready = condition("Ready", "True", "Serving", "1/1 replicas serve")

func TestStatus(t *testing.T) {
	w := newWorld(t)
	w.run("", nil, "status", "winter").wants(t, 0, "the operator has not looked at this bot yet", "none runs", "check that it runs")
	w.reports(ready, condition("Connected", "False", "SignatureMismatch", "make the Tokens\x1b[31m the same"))
	w.server("winter-1", &serverstatus.Status{
		APIVersion: "v1", Version: "v1.2.3", Store: serverstatus.Store{OK: true}, Pushes: serverstatus.Pushes{Authentic: 5, WrongSignature: 7},
		Account: &serverstatus.Account{
			LastErrors: []serverstatus.CallError{{API: "/cgi-bin/stable_token", Errcode: 40164}}, Addresses: []string{"203.0.113.7"},
			Menu: &serverstatus.Menu{State: serverstatus.MenuDrifted},
		},
		Budget: &serverstatus.Budget{Follower: 500, Bot: 2000, Used: new(int64(1650)), Until: "2026-11-28T16:00:00Z"},
	})
	r := w.run("", nil, "status", "winter")
	r.wants(t, 0, "ok     Ready", "wrong  Connected  SignatureMismatch", "winter-1  true   2         v1.2.3", "errcode 40164", "203.0.113.7", "menu: Drifted",
		"used today     1650 of 2000 (82 %)  until 2026-11-28T16:00:00Z", "each follower  at most 500 a day",
		"Next\n  SignatureMismatch: make the Tokens [31m the same")
	r.lacks(t, "\x1b", "wintertoken")

	r = w.run("", nil, "status", "winter", "--as", w.viewer())
	r.wants(t, 0, "ok     Ready", "winter-1  true   2         you may not forward ports to it", "SignatureMismatch")
	r.lacks(t, "v1.2.3")
	w.run("", nil, "status", "summer").wants(t, failed, "there is no WechatBot summer in namespace "+w.namespace)
	w.run("", nil, "status", "winter", "--as", "stranger").wants(t, failed, "forbidden")
	w.run("", nil, "status").wants(t, failed, "accepts 1 arg")
}

func TestDoctor(t *testing.T) {
	w := newWorld(t)
	w.reports(ready, condition("Connected", "True", "PushesArrive", "WeChat's pushes arrive"))
	w.server("winter-1", &serverstatus.Status{APIVersion: "v1", Version: "v1.2.3", Store: serverstatus.Store{OK: true}})
	site := httptest.NewUnstartedServer(http.NotFoundHandler())
	site.Config.ErrorLog = nil
	site.StartTLS()
	t.Cleanup(site.Close)
	connect := "--connect=" + site.Listener.Addr().String()
	r := w.run("", nil, "doctor", "winter", connect)
	r.wants(t, found, "ok     operator", "ok     pushes           WeChat's pushes arrive", "ok     server winter-1  version v1.2.3",
		"wrong  tls", "wrong  url", "is not found")
	r.lacks(t, "wintertoken")
	r = w.run("", nil, "doctor", "winter", connect, "--as", w.viewer())
	r.wants(t, found, "ok     operator", "?      servers", "create pods/portforward", "is not found")
	w.run("", nil, "doctor", "summer").wants(t, failed, "there is no WechatBot summer")
	w.run("", nil, "doctor", "winter", "--trust", "/nowhere").wants(t, failed, "--trust")
}

func TestCreate(t *testing.T) {
	w := newWorld(t)
	key := map[string]string{"WECHATBOT_DIFY_KEY": "app-secretkey"}
	r := w.run("", key, "create", "summer", "--domain", "summer.example.com", "--wait=0", "--secure", "--app-id=wx0123456789abcdef",
		"--issuer=ClusterIssuer/letsencrypt", "--ingress-class=traefik", "--dify-url=http://dify.example.com/v1", "--english")
	r.wants(t, 0, "made Secret summer and WechatBot summer", "https://summer.example.com/wechat", "安全模式", "EncodingAESKey")
	r.lacks(t, "app-secretkey")
	var secret corev1.Secret
	var bot v1alpha1.WechatBot
	at := client.ObjectKey{Namespace: w.namespace, Name: "summer"}
	w.must(admin.Get(t.Context(), at, &secret))
	w.must(admin.Get(t.Context(), at, &bot))
	if string(secret.Data["dify-key"]) != "app-secretkey" || len(secret.Data["encoding-aes-key"]) != 43 || !strings.Contains(r.out, string(secret.Data["token"])) {
		t.Errorf("the Secret has %d keys", len(secret.Data))
	}
	if bot.Spec.WeChat.EncodingAESKeySecretRef == nil || bot.Spec.Ingress.ClassName != "traefik" || bot.Spec.Ingress.TLS.IssuerRef.Name != "letsencrypt" ||
		bot.Spec.Dify.BaseURL != "http://dify.example.com/v1" || bot.Spec.Reply.Language != "en" {
		t.Errorf("the bot is %+v", bot.Spec)
	}
	w.run("", key, "create", "summer", "--domain", "summer.example.com").wants(t, failed, "summer is there already")

	// Neither is made if one cannot be.
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"a domain that is none":     {[]string{"create", "spring", "--domain", "https://x"}, "domain must be a DNS name"},
		"no domain":                 {[]string{"create", "spring"}, "--domain is missing"},
		"secure without an AppID":   {[]string{"create", "spring", "--domain", "spring.example.com", "--secure"}, "--app-id is missing"},
		"another output":            {[]string{"create", "spring", "--domain", "spring.example.com", "-o", "json"}, "only yaml"},
		"an issuer that is none":    {[]string{"create", "spring", "--domain", "spring.example.com", "--issuer", "x/y"}, "neither NAME nor"},
		"a user who may only view":  {[]string{"create", "spring", "--domain", "spring.example.com", "--as", w.viewer()}, "forbidden"},
		"the Secret's name is used": {[]string{"create", "taken", "--domain", "taken.example.com"}, "Secret taken is there already"},
	} {
		if name == "the Secret's name is used" {
			w.must(admin.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "taken", Namespace: w.namespace}}))
		}
		t.Run(name, func(t *testing.T) { w.run("", key, c.args...).wants(t, failed, c.says) })
	}
	var secrets corev1.SecretList
	var bots v1alpha1.WechatBotList
	w.must(admin.List(t.Context(), &secrets, client.InNamespace(w.namespace)))
	w.must(admin.List(t.Context(), &bots, client.InNamespace(w.namespace)))
	if len(secrets.Items) != 3 || len(bots.Items) != 2 {
		t.Errorf("%d Secrets and %d bots are there", len(secrets.Items), len(bots.Items))
	}
	w.run("", nil, "create", "spring", "--domain", "spring.example.com").wants(t, failed, "WECHATBOT_DIFY_KEY")
}

// What is written is what is made, and the API server takes it.
func TestCreate_YAML(t *testing.T) {
	w := newWorld(t)
	r := w.run("autumn.example.com\napp-typed\n", map[string]string{"WECHATBOT_APP_SECRET": "secretsecret"}, "create", "autumn", "--ask", "-o", "yaml",
		"--app-id=wx0123456789abcdef", "--wechat-token=mytoken")
	r.wants(t, 0)
	_, written, _ := strings.Cut(r.out, "app-…): ")
	if _, err := plane.Kubectl(t.Context(), written, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v of:\n%s", err, written)
	}
	documents := strings.Split(written, "---\n")
	var bot v1alpha1.WechatBot
	if err := yaml.UnmarshalStrict([]byte(documents[1]), &bot); err != nil {
		t.Fatal(err)
	}
	if bot.Spec.Domain != "autumn.example.com" || bot.Spec.WeChat.AppSecretRef == nil || !strings.Contains(documents[0], "dify-key: app-typed") ||
		!strings.Contains(documents[0], "token: mytoken") {
		t.Errorf("written:\n%s", written)
	}
}

func TestCreate_Waits(t *testing.T) {
	w := newWorld(t)
	done := make(chan result, 1)
	go func() {
		done <- w.run("", map[string]string{"WECHATBOT_DIFY_KEY": "app-1"}, "create", "summer", "--domain", "summer.example.com", "--wait=1m")
	}()
	w.bot = &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Name: "summer", Namespace: w.namespace}}
	deadline := time.Now().Add(time.Minute)
	for admin.Get(t.Context(), client.ObjectKeyFromObject(w.bot), w.bot) != nil {
		if time.Now().After(deadline) {
			t.Fatal("no bot was made")
		}
		<-time.After(20 * time.Millisecond)
	}
	w.reports(condition("Ready", "False", "PodsNotReady", "waiting for the pods"))
	w.reports(ready)
	select {
	case r := <-done:
		r.wants(t, 0, "Serving: 1/1 replicas serve", "https://summer.example.com/wechat", "明文模式")
	case <-time.After(time.Minute):
		t.Fatal("it still waits")
	}
	r := w.run("", map[string]string{"WECHATBOT_DIFY_KEY": "app-1"}, "create", "autumn", "--domain", "autumn.example.com", "--wait=50ms")
	r.wants(t, 0, "it is not ready after 50ms: kubectl wechatbot doctor autumn", "https://autumn.example.com/wechat")
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	w.run("", nil, "logs", "winter").wants(t, failed, "has no pods in namespace "+w.namespace)
	w.server("winter-1", nil)
	w.server("winter-2", nil)
	r := w.run("", nil, "logs", "winter", "--tail=7")
	r.wants(t, 0, `winter-1 {"msg":"first of winter-1"}`, `winter-2 {"msg":"first of winter-2"}`, `"tail":"7"`)
	r = w.run("", nil, "logs", "winter", "--only=f1", "--as", w.viewer())
	r.wants(t, 0, "winter-1 {", "winter-2 {", "second")
	r.lacks(t, "first")
	w.run("", nil, "logs", "winter", "--as=stranger").wants(t, failed, "forbidden")
}

func TestChat(t *testing.T) {
	w := newWorld(t)
	var bot *botsim.Bot
	bot = botsim.New(t, wechat.Options{Tokens: []string{"wintertoken"}}, func(rw http.ResponseWriter, _ *http.Request, push *wechat.Push) {
		bot.Reply(rw, push, wechat.Text{Content: "you said " + push.Content})
	})
	w.webhook = bot
	w.run("", nil, "chat", "winter", "--port-forward", "--message=hi").wants(t, failed, "no pod of the bot is ready")
	w.server("winter-1", nil)
	w.run("", nil, "chat", "winter", "--port-forward", "--message=hi").wants(t, 0, "delivery 1: answered", "you said hi")
	w.run("hello\n", nil, "chat", "winter", "--port-forward").wants(t, 0, "The URL is verified (plain mode)", "you said hello")
	w.run("", nil, "chat", "winter", "--port-forward", "--message=hi", "--wechat-token=another").wants(t, failed, "The signature was refused")
	w.run("", nil, "chat", "winter", "--message=hi", "--as", w.viewer()).wants(t, failed, "Secret winter", "forbidden", "--wechat-token")
	w.run("", nil, "chat", "winter", "--message=hi").wants(t, failed, "The host name has no address")
	w.run("", nil, "chat", "summer").wants(t, failed, "there is no WechatBot summer")
}
