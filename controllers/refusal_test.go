package controllers_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// refuser is an admission webhook for what one namespace updates or creates of some resources.
type refuser struct {
	name   string
	server *httptest.Server
	// answer is what it says; nil lets everything pass.
	answer atomic.Pointer[metav1.Status]
}

// newRefuser has the API server ask a webhook; the test waits until it does.
func newRefuser(t *testing.T, w *world, group, resource string) *refuser {
	t.Helper()
	r := &refuser{name: "check." + w.namespace + ".example.com"}
	r.server = httptest.NewTLSServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
	only := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}}
	hook := &registrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Webhooks: []registrationv1.ValidatingWebhook{{
			Name: r.name, NamespaceSelector: only, AdmissionReviewVersions: []string{"v1"},
			FailurePolicy: new(registrationv1.Fail), SideEffects: new(registrationv1.SideEffectClassNone), TimeoutSeconds: new(int32(2)),
			ClientConfig: registrationv1.WebhookClientConfig{URL: new(r.server.URL), CABundle: authority},
			Rules: []registrationv1.RuleWithOperations{{
				Operations: []registrationv1.OperationType{registrationv1.Create, registrationv1.Update},
				Rule:       registrationv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: []string{resource}},
			}},
		}},
	}
	if err := admin.Create(t.Context(), hook); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.Background(), hook); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *refuser) serve(w http.ResponseWriter, request *http.Request) {
	review := new(admissionv1.AdmissionReview)
	if err := json.NewDecoder(request.Body).Decode(review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status := r.answer.Load()
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: status == nil, Result: status}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

// A webhook need not give a reason or a code with its refusal; Kyverno gives none. What it says is told all the same.
func TestApplyFailed_WebhookRefusesWithoutReason(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	r := newRefuser(t, w, "", "services")
	r.answer.Store(&metav1.Status{Status: metav1.StatusFailure, Message: "Services need the label team"})
	w.create()
	w.expectMessage(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonApplyFailed, "Service winter", r.name, "Services need the label team")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonApplyFailed)
	r.answer.Store(nil)
	w.serve()
}

// A webhook that is away lets nothing pass. Its name is what a platform team needs.
func TestApplyFailed_WebhookIsAway(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	r := newRefuser(t, w, "apps", "deployments")
	r.server.Close()
	w.create()
	message := w.expectMessage(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonApplyFailed, "Deployment winter", `admission webhook "`+r.name+`" cannot be reached`)
	if strings.Contains(message, "127.0.0.1") {
		t.Errorf("%q has an address", message)
	}
}

// A configuration that somebody has made immutable is made anew as the message says.
func TestImmutableConfig(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	config := w.config()
	w.patch(config, func() { config.Immutable = new(true) })
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Limits.Questions = 7 })
	message := w.expectMessage(v1alpha1.ConditionStalled, isTrue, v1alpha1.ReasonApplyFailed, "ConfigMap "+config.Name, "immutable", "kubectl ")
	_, command, _ := strings.Cut(message, "kubectl ")
	command, _, _ = strings.Cut(command, ";")
	if out, err := controlPlane.Kubectl(t.Context(), "", strings.Fields(command)...); err != nil {
		t.Fatalf("kubectl %s: %s: %v", command, out, err)
	}
	w.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}
