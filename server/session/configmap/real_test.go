package configmap

import (
	"crypto/rand"
	"errors"
	"flag"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// patient is how long is waited for what has to happen on the real API server.
const patient = time.Minute

func core(t testing.TB) typedv1.CoreV1Interface {
	t.Helper()
	client, err := typedv1.NewForConfigAndClient(plane.Config, admin)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// create creates the empty ConfigMaps of a store, as the operator does.
func create(t testing.TB, namespace, name string) {
	t.Helper()
	for _, n := range Names(name) {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: n}}
		if _, err := core(t).ConfigMaps(namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// administrator is a client of the real API server that may do everything.
func administrator() *kubeapi.Client {
	return &kubeapi.Client{URL: plane.Config.Host, HTTP: admin}
}

// onPlane opens a store on the real API server.
func onPlane(t testing.TB, namespace string) *Store {
	t.Helper()
	return open(t, Options{API: administrator(), Namespace: namespace, Name: "s", Interval: hurried}, sessionOptions())
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patient)
	for !holds() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("still not so after %v: %s", patient, what)
		}
	}
}

func TestSuiteOnAPIServer(t *testing.T) {
	// The model's thousands of calls are made in the bubble; here they would take minutes.
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if err := checks.Value.Set("3"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checks.Value.Set(before) }) // it was good before
	namespace := plane.Namespace(t, "suite")
	sessiontest.RunBrief(t, sessiontest.Harness{
		Open: func(t testing.TB, o session.Options) session.Store {
			name := strings.ToLower(rand.Text())
			create(t, namespace, name)
			s := open(t, Options{API: administrator(), Namespace: namespace, Name: name, Interval: hurried}, o)
			eventually(t, "the store is ready", func() bool { return s.Ping(t.Context()) == nil })
			return s
		},
		Reopen: func(_ testing.TB, s session.Store, _ session.Options) session.Store { return s },
	})
}

func TestPredecessorOnAPIServer(t *testing.T) {
	namespace := plane.Namespace(t, "predecessor")
	create(t, namespace, "s")
	old := onPlane(t, namespace)
	finish(t, old, begin(t, old, true, "alice", "1"), "answer")
	running := begin(t, old, true, "alice", "2")
	next := onPlane(t, namespace)
	l, err := nextOf(next, t.Context(), limits)
	if err != nil || l.Turn.Key != running.Turn.Key {
		t.Fatalf("Next: %+v, %v", l, err)
	}
	finish(t, next, l, "the next one's")
	if _, err := old.Begin(t.Context(), session.Question{Key: session.Key{Follower: "alice", ID: "3"}}, true, limits); !errors.Is(err, ErrSuperseded) {
		t.Errorf("Begin: %v", err)
	}
	wantSuperseded(t, old, running)
	closeStore(t, next)
	got := look(t, onPlane(t, namespace), "alice").Turns
	if len(got) != 2 || got[0].Answer.Markdown != "answer" || got[1].Answer.Markdown != "the next one's" {
		t.Errorf("turns %+v", got)
	}
}

// A ConfigMap as full as the store makes it is taken by the API server.
func TestFullShardOnAPIServer(t *testing.T) {
	namespace := plane.Namespace(t, "full")
	create(t, namespace, "s")
	s := onPlane(t, namespace)
	r := mathrand.New(mathrand.NewPCG(1, 2))
	full := false
	for asked := 0; !full; {
		asked++
		if asked > 20 {
			t.Fatal("it is never full")
		}
		q := session.Question{Key: session.Key{Follower: "alice", ID: strconv.Itoa(asked)}, Text: noise(r, 300_000)}
		_, err := s.Begin(t.Context(), q, false, session.Limits{Queue: 100, Open: 100})
		full = err != nil && strings.Contains(err.Error(), "is full of open questions")
	}
	object, err := core(t).ConfigMaps(namespace).Get(t.Context(), s.port.shardOf("alice").name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	for _, block := range object.BinaryData {
		stored += len(block)
	}
	if stored < maxShard*8/10 || stored > maxShard {
		t.Errorf("%d bytes stored", stored)
	}
}

// A Role that names the ConfigMaps, with get and patch, is all a pod needs; and it gets nothing else.
func TestRoleIsEnough(t *testing.T) {
	namespace := plane.Namespace(t, "role")
	create(t, namespace, "s")
	create(t, namespace, "other")
	manifest := `
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: bot}
rules:
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [` + strings.Join(Names("s"), ", ") + `]
  verbs: [get, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bot}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: bot}
subjects: [{kind: ServiceAccount, name: bot}]
`
	if _, err := plane.Kubectl(t.Context(), manifest, "apply", "-n", namespace, "-f", "-"); err != nil {
		t.Fatal(err)
	}
	client, err := kubeapi.InCluster(asPod(t, namespace))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.HTTP.CloseIdleConnections)
	s := open(t, Options{API: client, Namespace: namespace, Name: "s"}, sessionOptions())
	eventually(t, "the Role has taken effect", func() bool { return s.Ping(t.Context()) == nil })
	finish(t, s, begin(t, s, true, "alice", "1"), "answer")
	closeStore(t, s)

	s = open(t, Options{API: client, Namespace: namespace, Name: "other"}, sessionOptions())
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "forbidden") || !strings.Contains(err.Error(), "other-") {
		t.Errorf("another bot's sessions: %v", err)
	}
}

// asPod makes this process look like a pod of the ServiceAccount bot, and returns the folder of its files.
func asPod(t *testing.T, namespace string) string {
	t.Helper()
	token, err := core(t).ServiceAccounts(namespace).CreateToken(t.Context(), "bot", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"token": []byte(token.Status.Token + "\n"), "ca.crt": plane.Config.CAData} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(plane.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	return dir
}

// counter counts the requests that change something.
type counter struct {
	next    http.RoundTripper
	patches chan struct{}
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPatch {
		c.patches <- struct{}{}
	}
	return c.next.RoundTrip(r)
}

// The API server is killed in the middle of a conversation and started again.
func TestAPIServerIsRestarted(t *testing.T) {
	namespace := plane.Namespace(t, "restart")
	create(t, namespace, "s")
	s := onPlane(t, namespace)
	running := begin(t, s, true, "alice", "1")
	if err := plane.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	q := session.Question{Key: session.Key{Follower: "alice", ID: "2"}, Text: "question"}
	if b, err := s.Begin(t.Context(), q, true, limits); err == nil {
		t.Errorf("Begin without an API server: %+v", b)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("ready without an API server")
	}
	finish(t, s, running, "answer")
	if turn, err := sessiontest.Await(t.Context(), s, running.Turn.Key, time.Minute); err != nil || turn.Answer.Markdown != "answer" {
		t.Errorf("Await: %+v, %v", turn, err)
	}
	if err := plane.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store is ready", func() bool { return s.Ping(t.Context()) == nil })
	if b, err := s.Begin(t.Context(), q, true, limits); err != nil || b.Verdict != session.Started {
		t.Errorf("Begin: %+v, %v", b, err)
	}
	drop(s)
	got := look(t, onPlane(t, namespace), "alice").Turns
	if len(got) != 2 || got[0].Answer.Markdown != "answer" || got[1].State.Over() {
		t.Errorf("turns %+v", got)
	}
}

// A process is killed while it accepts questions, again and again: none is lost.
func TestKilledOnAPIServer(t *testing.T) {
	namespace := plane.Namespace(t, "killed")
	create(t, namespace, "s")
	accepted := map[session.Key]bool{}
	for round := range 3 {
		patches := make(chan struct{}, 10_000)
		s := open(t, Options{
			API:       &kubeapi.Client{URL: plane.Config.Host, HTTP: &http.Client{Transport: &counter{admin.Transport, patches}}},
			Namespace: namespace, Name: "s", Interval: hurried,
		}, sessionOptions())
		var killed atomic.Bool
		done := make(chan []session.Key)
		for w := range 8 {
			go func() {
				var mine []session.Key
				for i := 0; !killed.Load(); i++ {
					k := session.Key{Follower: "follower" + string(rune('a'+w)), ID: strings.Repeat("i", 1+i+100*round)}
					b, err := s.Begin(t.Context(), session.Question{Key: k, Text: "question"}, false, session.Limits{Queue: 10_000, Open: 10_000})
					if err == nil && b.Verdict == session.Started {
						mine = append(mine, k)
					}
				}
				done <- mine
			}()
		}
		for range 100 {
			<-patches
		}
		drop(s) // while they call
		killed.Store(true)
		for range 8 {
			for _, k := range <-done {
				accepted[k] = true
			}
		}
	}
	s := onPlane(t, namespace)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for k := range accepted {
		if turn, err := s.Turn(t.Context(), k); err != nil || turn.Question != "question" {
			t.Errorf("%v is lost: %+v, %v", k, turn, err)
		}
	}
	if len(accepted) < 50 {
		t.Errorf("only %d questions were accepted", len(accepted))
	}
}

// The rolling update of a pod, on the real thing.
func TestHandsOverOnAPIServer(t *testing.T) {
	namespace := plane.Namespace(t, "handover")
	create(t, namespace, "s")
	old := onPlane(t, namespace)
	running := begin(t, old, true, "alice", "1")
	next := open(t, Options{API: administrator(), Namespace: namespace, Name: "s", Identity: "next-pod", Interval: hurried}, sessionOptions())
	standing(t, next)
	finish(t, old, running, "answer")
	closeStore(t, old)
	begin(t, next, true, "alice", "2")
	if got := look(t, next, "alice").Turns; len(got) != 2 || got[0].Answer.Markdown != "answer" {
		t.Errorf("turns %+v", got)
	}
}
