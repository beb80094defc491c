package controllers_test

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const (
	isTrue    = metav1.ConditionTrue
	isFalse   = metav1.ConditionFalse
	isUnknown = metav1.ConditionUnknown
)

// says fails unless a message holds what helps.
func says(t *testing.T, message string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(message, part) {
			t.Errorf("%q does not say %q", message, part)
		}
	}
}

// Every reason that a user can meet is provoked and cured, on one running operator.
func TestEveryReasonIsProvokedAndCured(t *testing.T) {
	t.Parallel()
	op := sharedOperator(t)
	for name, test := range map[string]func(*testing.T, *world, *operator){
		"a Secret is missing, then its key, then malformed": secretReasons,
		"Dify refuses the key":                              difyReasons,
		"the app of the key cannot chat, or wants inputs":   appReasons,
		"two bots have one domain":                          domainReasons,
		"there is no such IngressClass":                     classReasons,
		"the certificate":                                   certificateReasons,
		"the pods":                                          podReasons,
		"the Redis":                                         redisReasons,
		"the pod template":                                  podTemplateReasons,
		"a name is taken":                                   nameReasons,
		"the configuration":                                 configReasons,
		"suspended":                                         suspendReasons,
		"stopped":                                           stopReasons,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t), op)
		})
	}
}

func secretReasons(t *testing.T, w *world, _ *operator) {
	w.create(func(b *v1alpha1.WechatBot) {
		b.Spec.TokenSecretRef = v1alpha1.SecretKeyRef{Name: "later", Key: "token"}
		b.Spec.WeChat.AppID = "wx0123456789abcdef"
		b.Spec.WeChat.EncodingAESKeySecretRef = &v1alpha1.SecretKeyRef{Name: "later", Key: "aes"}
	})
	says(t, w.expect(v1alpha1.ConditionSecretsResolved, isFalse, v1alpha1.ReasonSecretNotFound),
		"spec.tokenSecretRef", `Secret "later"`, w.namespace, `"token"`)
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonSecretNotFound)
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonSecretNotFound)
	w.secret("later", map[string]string{"token": "x"})
	says(t, w.expect(v1alpha1.ConditionSecretsResolved, isFalse, v1alpha1.ReasonSecretMalformed), "spec.tokenSecretRef", "3 to 32")
	w.secret("later", map[string]string{"token": "goodtoken"})
	says(t, w.expect(v1alpha1.ConditionSecretsResolved, isFalse, v1alpha1.ReasonSecretKeyMissing), "encodingAESKeySecretRef", `"aes"`)
	w.secret("later", map[string]string{"token": "goodtoken", "aes": "short"})
	message := w.expect(v1alpha1.ConditionSecretsResolved, isFalse, v1alpha1.ReasonSecretMalformed)
	says(t, message, "43 letters and digits")
	if strings.Contains(message, "short") {
		t.Errorf("%q quotes the secret", message)
	}
	w.secret("later", map[string]string{"token": "goodtoken", "aes": strings.Repeat("a", 43)})
	w.expect(v1alpha1.ConditionSecretsResolved, isTrue, v1alpha1.ReasonResolved)
	w.serve()
}

func difyReasons(t *testing.T, w *world, _ *operator) {
	w.secret("winter", map[string]string{"token": "wintertoken", "dify-key": "app-wrong"})
	w.create()
	says(t, w.expect(v1alpha1.ConditionDifyReachable, isFalse, v1alpha1.ReasonUnauthorized), "spec.dify.apiKeySecretRef", w.difyURL)
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonUnauthorized)
	w.secret("winter", map[string]string{"token": "wintertoken", "dify-key": difyKey})
	says(t, w.expect(v1alpha1.ConditionDifyReachable, isTrue, v1alpha1.ReasonAuthorized), "Winter")
	w.serve()

	// A new address has to prove itself.
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Dify.BaseURL = "http://127.0.0.1:1/v1" })
	says(t, w.expect(v1alpha1.ConditionDifyReachable, isFalse, v1alpha1.ReasonUnreachable), "connection refused", "http://127.0.0.1:1/v1")
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonUnreachable)
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonUnreachable)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Dify.BaseURL = w.difyURL })
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)

	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Dify.APIKeySecretRef.Key = "other" })
	w.expect(v1alpha1.ConditionDifyReachable, isUnknown, v1alpha1.ReasonNotChecked)
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonSecretKeyMissing)
}

func appReasons(t *testing.T, w *world, _ *operator) {
	workflow := newApp(t, "workflow", "")
	w.create(func(b *v1alpha1.WechatBot) { b.Spec.Dify.BaseURL = workflow })
	says(t, w.expect(v1alpha1.ConditionDifyReachable, isFalse, v1alpha1.ReasonWrongAppMode), "workflow", "chat app")
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Dify.BaseURL = newApp(t, "advanced-chat", "city") })
	says(t, w.expect(v1alpha1.ConditionDifyReachable, isFalse, v1alpha1.ReasonInputsMissing), "city", "spec.dify.inputs")
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Dify.Inputs = map[string]v1alpha1.InputValue{"city": "Beijing"} })
	w.expect(v1alpha1.ConditionDifyReachable, isTrue, v1alpha1.ReasonAuthorized)
}

// Whoever serves a domain keeps it; between two that do not, the older.
func domainReasons(t *testing.T, w *world, _ *operator) {
	older := w.create()
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)
	other := &world{t: t, namespace: controlPlane.Namespace(t, "conflicting"), difyURL: newDify(t, difysim.Options{Key: difyKey})}
	other.secret("winter", map[string]string{"token": "wintertoken", "dify-key": difyKey})
	younger := other.create(func(b *v1alpha1.WechatBot) { b.Name, b.Spec.Domain = "spring", older.Spec.Domain })
	message := other.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict)
	says(t, message, "a WechatBot of another namespace has https://"+older.Spec.Domain, "spec.domain")
	if strings.Contains(message, w.namespace+"/") || strings.Contains(message, "winter") {
		t.Errorf("%q names a bot of another namespace", message)
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(younger), &networkingv1.Ingress{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the younger bot has an Ingress: %v", err)
	}
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)

	// The older moves away: the younger serves from then on, and the older does not get the domain back.
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = "elsewhere." + older.Spec.Domain })
	other.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)
	other.serve()
	w.roll()
	served := named(other, new(networkingv1.Ingress), younger.Name)
	other.get(served)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Domain = younger.Spec.Domain })
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict)
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonDomainConflict)
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonDomainConflict)
	other.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	now := named(other, new(networkingv1.Ingress), younger.Name)
	other.get(now)
	if now.UID != served.UID || now.Generation != served.Generation {
		t.Errorf("the Ingress of the bot that serves was touched: generation %d, then %d", served.Generation, now.Generation)
	}

	// Nor while the one that serves has no address for a moment, as when the ingress controller restarts.
	other.withoutAddress()
	other.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)
	w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"look": "again"} })
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict)
	other.address()
	other.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)

	// Of the same namespace the other bot is named.
	third := sample(t, "minimal")
	third.Namespace, third.Name, third.Spec.Domain = other.namespace, "autumn", younger.Spec.Domain
	if err := admin.Create(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	says(t, other.expectOf(third, v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonDomainConflict), `WechatBot "spring" has`)
	if err := admin.Delete(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), younger); err != nil {
		t.Fatal(err)
	}
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)
	w.address()
	w.expect(v1alpha1.ConditionExposed, isTrue, v1alpha1.ReasonAddressAssigned)
}

// withoutAddress does what a restarting ingress controller may.
func (w *world) withoutAddress() {
	w.t.Helper()
	i := named(w, new(networkingv1.Ingress), w.bot.Name)
	w.get(i)
	i.Status.LoadBalancer.Ingress = nil
	if err := admin.Status().Update(w.t.Context(), i); err != nil {
		w.t.Fatal(err)
	}
}

func classReasons(t *testing.T, w *world, _ *operator) {
	edge := "edge-" + w.namespace
	w.create(func(b *v1alpha1.WechatBot) { b.Spec.Ingress = &v1alpha1.Ingress{ClassName: edge} })
	says(t, w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonIngressClassNotFound),
		`IngressClass "`+edge+`" (spec.ingress.className) does not exist; there are: `, "public")
	class := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: edge}, Spec: networkingv1.IngressClassSpec{Controller: "example.com/edge"}}
	if err := admin.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	says(t, w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending), `"`+edge+`" (example.com/edge)`, "does it run?")
	w.address()
	says(t, w.expect(v1alpha1.ConditionExposed, isTrue, v1alpha1.ReasonAddressAssigned), "203.0.113.7")

	// The class is taken away again. The API server gives a default to new Ingresses only, so the operator writes it. And
	// the address is that of the class before: it says nothing of the default's controller.
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Ingress = nil })
	says(t, w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending), `"public"`)
	w.expectClass("public")
	w.address()
	w.expect(v1alpha1.ConditionExposed, isTrue, v1alpha1.ReasonAddressAssigned)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Ingress = &v1alpha1.Ingress{ClassName: "public"} }) // no change
	w.expect(v1alpha1.ConditionExposed, isTrue, v1alpha1.ReasonAddressAssigned)

	// A class that no controller takes.
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Ingress = &v1alpha1.Ingress{ClassName: edge} })
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)
	w.expectClass(edge)

	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Ingress = &v1alpha1.Ingress{Enabled: new(false)} })
	says(t, w.expect(v1alpha1.ConditionExposed, isTrue, v1alpha1.ReasonExternallyManaged), "Service winter")
	w.lacks(v1alpha1.ConditionCertificateReady)
}

func (w *world) expectClass(class string) {
	w.t.Helper()
	i := named(w, new(networkingv1.Ingress), w.bot.Name)
	w.get(i)
	if i.Spec.IngressClassName == nil || *i.Spec.IngressClassName != class {
		w.t.Errorf("the Ingress has class %v, want %q", i.Spec.IngressClassName, class)
	}
}

// lacks fails if a condition applies.
func (w *world) lacks(condition string) {
	w.t.Helper()
	w.get(w.bot)
	if c := meta.FindStatusCondition(w.bot.Status.Conditions, condition); c != nil {
		w.t.Errorf("there is a condition %s: %v", condition, c)
	}
}

func certificateReasons(t *testing.T, w *world, _ *operator) {
	w.create()
	says(t, w.expect(v1alpha1.ConditionCertificateReady, isFalse, v1alpha1.ReasonCertificatePending), "winter-tls", "issuerRef", "mode: External")
	w.secret("winter-tls", map[string]string{corev1.TLSCertKey: "garbage", corev1.TLSPrivateKeyKey: "garbage"})
	says(t, w.expect(v1alpha1.ConditionCertificateReady, isFalse, v1alpha1.ReasonCertificateMalformed), "winter-tls", "tls.crt is not a certificate in PEM form")
	w.certificate("winter-tls", w.bot.Spec.Domain, time.Now().Add(time.Hour))
	w.expect(v1alpha1.ConditionCertificateReady, isTrue, v1alpha1.ReasonCertificateValid)
	w.certificate("another", w.bot.Spec.Domain, time.Now().Add(time.Hour))
	foreign := named(w, new(corev1.Secret), "another")
	w.get(foreign)
	w.patch(named(w, new(corev1.Secret), "winter-tls"), func() {})
	mixed := named(w, new(corev1.Secret), "winter-tls")
	w.patch(mixed, func() { mixed.Data[corev1.TLSPrivateKeyKey] = foreign.Data[corev1.TLSPrivateKeyKey] })
	w.patch(w.bot, func() { w.bot.Annotations = map[string]string{"look": "again"} })
	says(t, w.expect(v1alpha1.ConditionCertificateReady, isFalse, v1alpha1.ReasonCertificateMalformed), "tls.key is not the private key of the first certificate in tls.crt")
	w.certificate("winter-tls", "elsewhere.example.com", time.Now().Add(time.Hour))
	says(t, w.expect(v1alpha1.ConditionCertificateReady, isFalse, v1alpha1.ReasonCertificateMismatch), w.bot.Spec.Domain)
	w.certificate("winter-tls", w.bot.Spec.Domain, time.Now().Add(-time.Hour))
	says(t, w.expect(v1alpha1.ConditionCertificateReady, isFalse, v1alpha1.ReasonCertificateExpired), "expired on")
	end := time.Now().Add(30 * 24 * time.Hour)
	w.certificate("winter-tls", w.bot.Spec.Domain, end)
	says(t, w.expect(v1alpha1.ConditionCertificateReady, isTrue, v1alpha1.ReasonCertificateValid), end.UTC().Format(time.DateOnly))

	// The ingress controller has it: nothing is known of it, and nothing is claimed.
	w.edit(func(s *v1alpha1.WechatBotSpec) {
		s.Ingress = &v1alpha1.Ingress{TLS: v1alpha1.IngressTLS{Mode: v1alpha1.TLSExternal}}
	})
	w.roll()
	w.address()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	w.lacks(v1alpha1.ConditionCertificateReady)
	i := named(w, new(networkingv1.Ingress), "winter")
	w.get(i)
	if len(i.Spec.TLS) != 1 || i.Spec.TLS[0].SecretName != "" || i.Spec.TLS[0].Hosts[0] != w.bot.Spec.Domain {
		t.Errorf("the Ingress' TLS is %+v", i.Spec.TLS)
	}
}

func podReasons(t *testing.T, w *world, _ *operator) {
	w.create()
	w.expect(v1alpha1.ConditionAvailable, isFalse, v1alpha1.ReasonPodsNotReady)
	pod := named(w, &corev1.Pod{}, "winter-abcde")
	pod.Labels = naming.Labels(w.bot, naming.Server)
	pod.Spec.Containers = []corev1.Container{{Name: "server", Image: "nowhere/image", SecurityContext: &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), RunAsNonRoot: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}}}
	if err := admin.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "server", Image: "nowhere/image", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}},
	}}
	if err := admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		message := w.expect(v1alpha1.ConditionAvailable, isFalse, v1alpha1.ReasonPodsNotReady)
		return unless(strings.Contains(message, "ImagePullBackOff") && strings.Contains(message, "nowhere/image"), message)
	})
	d := named(w, &appsv1.Deployment{}, "winter")
	w.get(d)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UnavailableReplicas: 1, Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"},
	}}
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.expect(v1alpha1.ConditionAvailable, isFalse, v1alpha1.ReasonProgressDeadlineExceeded)
	w.roll()
	w.expect(v1alpha1.ConditionAvailable, isTrue, v1alpha1.ReasonPodsReady)
}

func redisReasons(t *testing.T, w *world, _ *operator) {
	w.create(func(b *v1alpha1.WechatBot) {
		b.Spec.Session = v1alpha1.Session{Type: v1alpha1.SessionRedis, Redis: &v1alpha1.Redis{
			External: &v1alpha1.ExternalRedis{Addresses: []v1alpha1.RedisAddress{"redis.example.com:6379"}},
		}}
	})
	w.expect(v1alpha1.ConditionSessionStoreReady, isUnknown, v1alpha1.ReasonStorePending)
	d := named(w, &appsv1.Deployment{}, "winter")
	w.get(d)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UnavailableReplicas: 1, Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"},
	}}
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	says(t, w.expect(v1alpha1.ConditionSessionStoreReady, isFalse, v1alpha1.ReasonRedisUnreachable), "spec.session.redis", "kubectl logs")
	w.serve()
	w.expect(v1alpha1.ConditionSessionStoreReady, isTrue, v1alpha1.ReasonStoreReady)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Session = v1alpha1.Session{} })
	w.expect(v1alpha1.ConditionSessionStoreReady, isFalse, v1alpha1.ReasonStoreSwitching)
	w.roll()
	says(t, w.expect(v1alpha1.ConditionSessionStoreReady, isTrue, v1alpha1.ReasonStoreReady), "winter-sessions")
}

func podTemplateReasons(t *testing.T, w *world, _ *operator) {
	w.create(func(b *v1alpha1.WechatBot) { b.Spec.PodTemplate = raw(`{"spec": {"nodeSelectr": {"a": "b"}}}`) })
	says(t, w.expect(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonInvalidPodTemplate), "spec.podTemplate", "nodeSelectr")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonInvalidPodTemplate)
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.PodTemplate = raw(`{"spec": {"priority": "high"}}`) })
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonInvalidPodTemplate)
	w.edit(func(s *v1alpha1.WechatBotSpec) {
		s.PodTemplate = raw(`{"spec": {"containers": [{"name": "server", "$patch": "delete"}]}}`)
	})
	says(t, w.expect(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonInvalidPodTemplate), "container named server")
	w.edit(func(s *v1alpha1.WechatBotSpec) {
		s.PodTemplate = raw(`{"metadata": {"labels": {"app.kubernetes.io/instance": "x"}}}`)
	})
	says(t, w.expect(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonInvalidPodTemplate), "the label app.kubernetes.io/instance, which is reserved")
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.PodTemplate = raw(`{"spec": {"nodeSelector": {"disk": "ssd"}}}`) })
	w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonPodsNotReady)
	d := named(w, &appsv1.Deployment{}, "winter")
	w.get(d)
	if d.Spec.Template.Spec.NodeSelector["disk"] != "ssd" {
		t.Errorf("the template has the node selector %v", d.Spec.Template.Spec.NodeSelector)
	}
}

func nameReasons(t *testing.T, w *world, _ *operator) {
	taken := named(w, &corev1.Service{}, "winter")
	taken.Spec = corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1234}}, Selector: map[string]string{"app": "mine"}}
	if err := admin.Create(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	w.create()
	says(t, w.expect(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonNameConflict), "service/winter")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonNameConflict)
	now := named(w, &corev1.Service{}, "winter")
	w.get(now)
	if now.ResourceVersion != taken.ResourceVersion {
		t.Errorf("the foreign Service was changed: %v", now)
	}
	if err := admin.Delete(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	w.serve()
	if got := w.owned(); len(got) != len(minimalChildren) {
		t.Errorf("children are %v", got)
	}
}

func configReasons(t *testing.T, w *world, _ *operator) {
	w.create(func(b *v1alpha1.WechatBot) { b.Spec.Dify.Inputs = map[string]v1alpha1.InputValue{"city": "bell\a"} })
	says(t, w.expect(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonInvalidSpec), "spec.dify.inputs.city", "control character")
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Dify.Inputs = nil })
	w.serve()
}

func suspendReasons(t *testing.T, w *world, _ *operator) {
	w.create()
	w.serve()
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Suspend, s.Limits.Questions = true, 7 })
	w.expect(v1alpha1.ConditionSuspended, isTrue, v1alpha1.ReasonSuspended)
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonSuspended)
	w.expectEvent(corev1.EventTypeNormal, v1alpha1.ReasonSuspended)
	config := w.config()
	w.get(config)
	if strings.Contains(config.Data["config.yaml"], "questions: 7") {
		t.Error("a suspended bot was changed")
	}
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Suspend = false })
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
	w.get(config)
	says(t, config.Data["config.yaml"], "questions: 7")
}

// A bot that is stopped is as it was asked to be, whatever else is wrong with it.
func stopReasons(t *testing.T, w *world, _ *operator) {
	w.create()
	w.serve()
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Replicas = new(int32(0)) })
	says(t, w.expect(v1alpha1.ConditionAvailable, isFalse, v1alpha1.ReasonPodsNotReady), "to end")
	w.roll()
	says(t, w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonStopped), "spec.replicas is 0", "no answer")
	w.expect(v1alpha1.ConditionAvailable, isTrue, v1alpha1.ReasonStopped)
	w.expectEvent(corev1.EventTypeNormal, v1alpha1.ReasonStopped)
	d := named(w, &appsv1.Deployment{}, "winter")
	w.get(d)
	if *d.Spec.Replicas != 0 {
		t.Errorf("the Deployment wants %d replicas", *d.Spec.Replicas)
	}
	w.withoutAddress()
	w.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonStopped)
	w.address()
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Replicas = nil })
	w.roll()
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}
