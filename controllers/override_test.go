package controllers_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// relabel has a webhook of the cluster's write its own managed-by into everything of one namespace. An admission policy
// would do the same, but not before Kubernetes 1.36.
func relabel(t *testing.T, namespace string) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(admitRelabelled))
	t.Cleanup(server.Close)
	webhook := &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "relabel-" + namespace},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "relabel.example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: new(admissionv1.SideEffectClassNone),
			ClientConfig: admissionv1.WebhookClientConfig{
				URL: new(server.URL), CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule: admissionv1.Rule{
					APIGroups: []string{"", "apps", "networking.k8s.io", "policy", "rbac.authorization.k8s.io"}, APIVersions: []string{"*"},
					Resources: []string{"serviceaccounts", "configmaps", "services", "deployments", "ingresses", "networkpolicies", "poddisruptionbudgets", "roles", "rolebindings"},
				},
			}},
		}},
	}
	if err := admin.Create(t.Context(), webhook); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.Background(), webhook); err != nil {
			t.Error(err)
		}
	})
	eventually(t, func() error { // until the API server keeps to it
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "probe-"}}
		if err := admin.Create(t.Context(), probe, client.DryRunAll); err != nil {
			return err
		}
		return unless(probe.Labels["app.kubernetes.io/managed-by"] == "platform", probe.Labels)
	})
}

// admitRelabelled allows every object, as one that the platform manages.
func admitRelabelled(w http.ResponseWriter, r *http.Request) {
	var review reviewv1.AdmissionReview
	var object metav1.PartialObjectMetadata
	err := json.NewDecoder(r.Body).Decode(&review)
	if err == nil {
		err = json.Unmarshal(review.Request.Object.Raw, &object)
	}
	labels := map[string]string{}
	maps.Copy(labels, object.Labels)
	labels["app.kubernetes.io/managed-by"] = "platform"
	patch, failed := json.Marshal([]map[string]any{{"op": "add", "path": "/metadata/labels", "value": labels}})
	if err := errors.Join(err, failed); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Response = &reviewv1.AdmissionResponse{
		UID: review.Request.UID, Allowed: true, Patch: patch, PatchType: new(reviewv1.PatchTypeJSONPatch),
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review) // the API server says what it misses
}

// A webhook takes every child out of the operator's caches. No other bot waits for that, each child is written
// a few times and no more, the bot runs, and what it no longer wants still goes.
func TestRelabelling_HoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	relabel(t, w.namespace)
	options := quick()
	options.Concurrency = 1
	op := startOperator(t, options)
	w.create()
	message := w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonFieldsOverridden)
	says(t, message, "an admission policy or webhook changes metadata.labels[app.kubernetes.io/managed-by]", "more objects")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonFieldsOverridden)
	w.roll()
	w.address()
	w.expectMessage(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonFieldsOverridden, "meanwhile 1/1 replicas serve")

	start := time.Now()
	other := newWorld(t)
	other.create()
	other.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonAddressPending)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("another bot waited for %s", took)
	}
	op.calls.reset()
	n := op.calls.matching(http.MethodGet, "/namespaces/"+w.namespace+"/deployments/winter")
	eventually(t, func() error { // a few passes more
		return unless(op.calls.matching(http.MethodGet, "/namespaces/"+w.namespace+"/deployments/winter") > n+3, "too few passes")
	})
	if writes := op.calls.writes("/namespaces/" + w.namespace + "/"); len(writes) > 0 {
		t.Errorf("it goes on writing: %v", writes)
	}
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Ingress = &v1alpha1.Ingress{Enabled: new(false)} })
	eventually(t, func() error {
		err := admin.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "winter"}, new(networkingv1.Ingress))
		return unless(apierrors.IsNotFound(err), err)
	})

	// An operator that was away when the spec changed finds it too.
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Ingress = nil })
	eventually(t, func() error {
		return admin.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "winter"}, new(networkingv1.Ingress))
	})
	op.stop()
	w.edit(func(s *v1alpha1.WechatBotSpec) { s.Ingress = &v1alpha1.Ingress{Enabled: new(false)} })
	startOperator(t, quick())
	eventually(t, func() error {
		err := admin.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "winter"}, new(networkingv1.Ingress))
		return unless(apierrors.IsNotFound(err), err)
	})
}

// An autoscaler of the Deployment and the operator want different numbers.
func TestFightingWriter_IsNamedAndSlowsWrites(t *testing.T) {
	t.Parallel()
	sharedOperator(t)
	w := newWorld(t)
	w.create()
	w.serve()
	d := named(w, new(appsv1.Deployment), "winter")
	ctx, cancel := context.WithCancel(t.Context())
	autoscaler := make(chan error, 1)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				autoscaler <- nil
				return
			case <-tick.C:
			}
			scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 5}}
			now := named(w, new(appsv1.Deployment), "winter")
			err := admin.Get(ctx, client.ObjectKeyFromObject(now), now)
			if err == nil && *now.Spec.Replicas != 5 {
				err = admin.SubResource("scale").Update(ctx, now, client.WithSubResourceBody(scale), client.FieldOwner("autoscaler"))
			}
			if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
				autoscaler <- fmt.Errorf("scaling: %w", err)
				return
			}
		}
	}()
	message := w.expect(v1alpha1.ConditionReady, isFalse, v1alpha1.ReasonFieldsOverridden)
	says(t, message, "autoscaler (scale) keeps changing spec.replicas of Deployment winter", "must target the WechatBot", "kind WechatBot, name winter")
	w.expectEvent(corev1.EventTypeWarning, v1alpha1.ReasonFieldsOverridden)
	w.get(d)
	before := d.Generation
	quiet := time.NewTimer(8 * time.Second) // less than the delay before the next correction
	<-quiet.C
	w.get(d)
	if d.Generation > before+2 {
		t.Errorf("writes do not slow down: %d generations in 8 s", d.Generation-before)
	}
	if *d.Spec.Replicas != 5 {
		t.Errorf("there are %d replicas in between", *d.Spec.Replicas)
	}
	cancel()
	if err := <-autoscaler; err != nil {
		t.Error(err)
	}

	// Edits of a person are corrected as ever, at once and in silence.
	other := newWorld(t)
	other.create()
	other.serve()
	service := named(other, new(corev1.Service), "winter")
	other.patch(service, func() { service.Spec.Selector = map[string]string{"app": "mine"} })
	eventually(t, func() error {
		other.get(service)
		return unless(service.Spec.Selector["app"] == "" && len(service.Spec.Selector) == 3, service.Spec.Selector)
	})
	other.expect(v1alpha1.ConditionReady, isTrue, v1alpha1.ReasonServing)
}

// HTTPRoutes that cannot be listed are the affair of bots that ask for them.
func TestHTTPRoutesThatCannotBeListed(t *testing.T) {
	w := newWorld(t)
	installGatewayAPI(t)
	op := startOperator(t, quick())
	hang := errors.New("forbidden here")
	op.calls.fail(func(r *http.Request) error {
		if strings.Contains(r.URL.Path, "/httproutes") {
			return hang
		}
		return nil
	})
	w.create()
	w.serve()
	asking := newWorld(t)
	asking.create(func(b *v1alpha1.WechatBot) {
		b.Spec.Gateway = &v1alpha1.Gateway{ParentRefs: []v1alpha1.ParentRef{{Name: "public"}}}
	})
	says(t, asking.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonGatewayAPIMissing), "cannot list HTTPRoutes")
	op.calls.fail(nil)
	says(t, asking.expect(v1alpha1.ConditionExposed, isFalse, v1alpha1.ReasonRouteNotAccepted), "Gateway public")
}
