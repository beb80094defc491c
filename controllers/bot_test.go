package controllers_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const difyKey = "app-0123456789"

// world is a namespace with what a bot needs: a Secret, a Dify, an IngressClass.
type world struct {
	t         testing.TB
	namespace string
	difyURL   string
	bot       *v1alpha1.WechatBot
}

// newWorld makes a namespace that enforces the restricted Pod Security Standard, a Dify with one app, and Secret
// winter.
func newWorld(t testing.TB) *world {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "bots-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, namespace: namespace.Name}
	w.difyURL = newDify(t, difysim.Options{Key: difyKey, AppName: "Winter"})
	w.secret("winter", map[string]string{"token": "wintertoken", "dify-key": difyKey})
	return w
}

func newDify(t testing.TB, o difysim.Options) string {
	t.Helper()
	sim := difysim.New(o)
	server := httptest.NewServer(sim)
	t.Cleanup(func() { server.Close(); sim.Close() })
	return server.URL + "/v1"
}

// sample reads an object of config/samples.
func sample(t testing.TB, name string) *v1alpha1.WechatBot {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "config", "samples", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	bot := new(v1alpha1.WechatBot)
	if err := yaml.UnmarshalStrict(content, bot); err != nil {
		t.Fatal(err)
	}
	return bot
}

// create makes the minimal sample's bot in the world, changed, with a domain of its own. It is gone when the test is.
func (w *world) create(change ...func(*v1alpha1.WechatBot)) *v1alpha1.WechatBot {
	w.t.Helper()
	bot := sample(w.t, "minimal")
	bot.Namespace, bot.Spec.Domain, bot.Spec.Dify.BaseURL = w.namespace, w.namespace+".example.com", w.difyURL
	for _, c := range change {
		c(bot)
	}
	if err := admin.Create(w.t.Context(), bot); err != nil {
		w.t.Fatalf("creating the bot: %v", err)
	}
	w.t.Cleanup(func() {
		gone := &v1alpha1.WechatBot{ObjectMeta: metav1.ObjectMeta{Name: bot.Name, Namespace: bot.Namespace}}
		if err := client.IgnoreNotFound(admin.Delete(context.Background(), gone)); err != nil {
			w.t.Errorf("deleting the bot: %v", err)
		}
	})
	w.bot = bot
	return bot
}

func (w *world) secret(name string, data map[string]string) {
	w.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace}, StringData: data}
	err := admin.Create(w.t.Context(), secret)
	if client.IgnoreAlreadyExists(err) != nil {
		w.t.Fatal(err)
	}
	if err != nil {
		w.patch(secret, func() {
			secret.Data, secret.StringData = nil, data
		})
	}
}

// patch changes an object as it is now.
func (w *world) patch(o client.Object, change func()) {
	w.t.Helper()
	w.get(o)
	before, _ := o.DeepCopyObject().(client.Object)
	change()
	if err := admin.Patch(w.t.Context(), o, client.MergeFrom(before)); err != nil {
		w.t.Fatalf("changing %T: %v", o, err)
	}
}

// edit changes the bot's spec.
func (w *world) edit(change func(*v1alpha1.WechatBotSpec)) {
	w.t.Helper()
	w.patch(w.bot, func() { change(&w.bot.Spec) })
}

func (w *world) get(o client.Object) {
	w.t.Helper()
	if err := admin.Get(w.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		w.t.Fatalf("reading %T: %v", o, err)
	}
}

// named sets an object's name in the world, for reading.
func named[O client.Object](w *world, o O, name string) O {
	o.SetNamespace(w.namespace)
	o.SetName(name)
	return o
}

// roll does what a Deployment's controller and the nodes would: all pods run.
func (w *world) roll() {
	w.t.Helper()
	eventually(w.t, func() error {
		d := named(w, new(appsv1.Deployment), w.bot.Name)
		if err := admin.Get(w.t.Context(), client.ObjectKeyFromObject(d), d); err != nil {
			return err
		}
		if n := w.bot.Spec.DesiredReplicas(); *d.Spec.Replicas != n {
			return fmt.Errorf("the Deployment wants %d replicas, not %d", *d.Spec.Replicas, n)
		}
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: *d.Spec.Replicas, UpdatedReplicas: *d.Spec.Replicas,
			ReadyReplicas: *d.Spec.Replicas, AvailableReplicas: *d.Spec.Replicas,
		}
		return admin.Status().Update(w.t.Context(), d)
	})
}

// address does what an ingress controller would.
func (w *world) address() {
	w.t.Helper()
	eventually(w.t, func() error {
		i := named(w, new(networkingv1.Ingress), w.bot.Name)
		if err := admin.Get(w.t.Context(), client.ObjectKeyFromObject(i), i); err != nil {
			return err
		}
		i.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "203.0.113.7"}}
		return admin.Status().Update(w.t.Context(), i)
	})
}

// certificate does what an issuer would.
func (w *world) certificate(name, domain string, notAfter time.Time) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: domain}, DNSNames: []string{domain},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.secret(name, map[string]string{
		corev1.TLSCertKey:       string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		corev1.TLSPrivateKeyKey: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	})
}

// serve makes everything that a cluster adds, so that the bot becomes ready.
func (w *world) serve() {
	w.t.Helper()
	w.reach()
	w.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonServing)
}

// reach lets everything be done that others do for a bot but its Redis.
func (w *world) reach() {
	w.t.Helper()
	w.certificate(desired.CertificateSecret(w.bot), w.bot.Spec.Domain, time.Now().Add(90*24*time.Hour))
	w.roll()
	w.address()
}

// expect waits until a condition of the bot says something, at the bot's generation, checks all of them, and gives its
// message.
func (w *world) expect(condition string, status metav1.ConditionStatus, reason string) string {
	w.t.Helper()
	return w.expectOf(w.bot, condition, status, reason)
}

func (w *world) expectOf(bot *v1alpha1.WechatBot, condition string, status metav1.ConditionStatus, reason string) string {
	w.t.Helper()
	now := new(v1alpha1.WechatBot)
	var c *metav1.Condition
	eventually(w.t, func() error {
		if err := admin.Get(w.t.Context(), client.ObjectKeyFromObject(bot), now); err != nil {
			return err
		}
		c = meta.FindStatusCondition(now.Status.Conditions, condition)
		if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != now.Generation {
			return fmt.Errorf("%s is not %s (%s) at generation %d: %s", condition, status, reason, now.Generation, describe(now))
		}
		return nil
	})
	checkConditions(w.t, now)
	return c.Message
}

func describe(bot *v1alpha1.WechatBot) string {
	var all strings.Builder
	for _, c := range bot.Status.Conditions {
		fmt.Fprintf(&all, "\n  %s=%s %s@%d: %s", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.Message)
	}
	return all.String()
}

// expectEvent waits for an event about the bot.
func (w *world) expectEvent(kind, reason string) {
	w.t.Helper()
	eventually(w.t, func() error {
		var events eventsv1.EventList
		if err := admin.List(w.t.Context(), &events, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.Name == w.bot.Name && e.Reason == reason && e.Type == kind {
				return nil
			}
		}
		return fmt.Errorf("no %s event %s among %d", kind, reason, len(events.Items))
	})
}

// newApp is a Dify whose one app is of a mode that difysim does not imitate, or requires a variable.
func newApp(t testing.TB, mode, variable string) string {
	t.Helper()
	form := "[]"
	if variable != "" {
		form = fmt.Sprintf(`[{"text-input": {"variable": %q, "label": "x", "required": true}}]`, variable)
	}
	mux := http.NewServeMux()
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		}
	}
	mux.HandleFunc("GET /v1/info", answer(fmt.Sprintf(`{"name": "App", "mode": %q}`, mode)))
	mux.HandleFunc("GET /v1/parameters", answer(fmt.Sprintf(`{"user_input_form": %s}`, form)))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func raw(json string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(json)} }

// unless is an error with what is there instead, unless it is fine.
func unless(fine bool, instead any) error {
	if fine {
		return nil
	}
	return fmt.Errorf("it is %v", instead)
}
