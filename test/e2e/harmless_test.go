//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// says waits until a condition of the bot has a reason and a message that holds the part, and gives the message.
func (b *bot) says(t *testing.T, condition, reason, part string) string {
	t.Helper()
	message := ""
	await(t, 2*readyWithin, fmt.Sprintf("%s/%s says %s", b.namespace, b.name, reason), func() (bool, string, error) {
		live, err := b.get(t.Context())
		if err != nil {
			return false, "", err
		}
		c := meta.FindStatusCondition(live.Status.Conditions, condition)
		if c == nil {
			return false, condition + " is missing", nil
		}
		message = c.Message
		return c.Reason == reason && strings.Contains(message, part) && c.ObservedGeneration == live.Generation, c.Reason + ": " + message, nil
	})
	return message
}

// deleteLater deletes what belongs to the cluster when the test ends.
func (c *cluster) deleteLater(t *testing.T, kinds, name string) {
	t.Cleanup(func() {
		if _, err := c.run(context.Background(), "", "kubectl", "delete", kinds, name); err != nil {
			t.Error(err)
		}
	})
}

// usersCertificate: certificates that users bring stay byte for byte, also when the operator is given a default issuer
// while their bots serve.
func (c *cluster) usersCertificate(t *testing.T) string {
	namespace := c.namespace(t, "e2e-certificate")
	named, unnamed := c.chatty(t, namespace), c.chatty(t, namespace)
	named.rename(t, "named")
	unnamed.rename(t, "unnamed")
	c.apply(t, namespace, fmt.Sprintf("{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: source}, spec: {secretName: source, "+
		"dnsNames: [%s, %s], issuerRef: {kind: ClusterIssuer, name: %s}}}", named.domain(), unnamed.domain(), c.caIssuer))
	c.kubectl(t, "--namespace", namespace, "wait", "--for=condition=Ready", "certificate/source", "--timeout=120s")
	source := c.content(t, namespace, "source")
	for _, name := range []string{"bought", "unnamed-tls"} {
		own := &core.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Type: core.SecretTypeTLS, Data: source}
		if err := c.client.Create(t.Context(), own); err != nil {
			t.Fatal(err)
		}
	}
	named.set(t, "bought", "ingress", "tls", "secretName")
	c.install(t, chart, c.image, "defaultIssuer=")
	for _, b := range []*bot{named, unnamed} {
		b.start(t)
		b.reachable(t)
	}
	c.install(t, chart, c.image)
	asked := c.chatty(t, namespace) // the issuer is at work when this one has its certificate
	asked.rename(t, "asked")
	took := asked.start(t)
	unnamed.says(t, v1alpha1.ConditionCertificateReady, v1alpha1.ReasonCertificateValid, "cert-manager did not make this Secret")
	for _, name := range []string{"bought", "unnamed-tls"} {
		if now := c.content(t, namespace, name); !maps.EqualFunc(now, source, bytes.Equal) {
			t.Errorf("Secret %s of a user was overwritten", name)
		}
	}
	for _, b := range []*bot{named, unnamed} {
		chat := b.chat(t, 3)
		chat.answered(t, 6)
		chat.finish(t)
	}
	return fmt.Sprintf("two Secrets of users are as they were after helm upgrade --set defaultIssuer; a bot without one had its certificate after %s", seconds(took))
}

func (c *cluster) content(t *testing.T, namespace, name string) map[string][]byte {
	t.Helper()
	secret := new(core.Secret)
	if err := c.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, secret); err != nil {
		t.Fatal(err)
	}
	data := maps.Clone(secret.Data)
	delete(data, "ca.crt")
	return data
}

// liveDomain: an older bot is edited onto the domain of one that serves. Its followers notice nothing.
func (c *cluster) liveDomain(t *testing.T) string {
	older := c.sample(t, c.namespace(t, "e2e-older"))
	older.start(t)
	b := c.chatty(t, c.namespace(t, "e2e-live-domain"))
	b.start(t)
	b.reachable(t)
	before := b.ingressNow(t)
	chat := b.chat(t, 6)
	chat.answered(t, 8)
	older.set(t, b.domain(), "domain")
	older.apply(t)
	message := older.says(t, v1alpha1.ConditionExposed, v1alpha1.ReasonDomainConflict, "keeps it")
	if strings.Contains(strings.ReplaceAll(message, b.domain(), ""), b.namespace) {
		t.Errorf("%q names a bot of another namespace", message)
	}
	chat.more(t, 20)
	o := chat.finish(t)
	b.ready(t)
	if now := b.ingressNow(t); now.UID != before.UID || now.Generation != before.Generation {
		t.Error("the Ingress of the bot that serves was touched")
	}
	return fmt.Sprintf("the older bot says DomainConflict; %s", o)
}

func (b *bot) ingressNow(t *testing.T) *networking.Ingress {
	t.Helper()
	i := new(networking.Ingress)
	if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: b.name}, i); err != nil {
		t.Fatal(err)
	}
	return i
}

// restored: everything of a bot is saved, deleted, and put back as backup tools do, without owner references and before
// the bot itself. The bot takes it over, and can be changed.
func (c *cluster) restored(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-restore"))
	b.start(t)
	b.reachable(t)
	saved := b.save(t)
	c.kubectl(t, "--namespace", b.namespace, "delete", "wechatbot", b.name, "--cascade=foreground")
	await(t, 2*readyWithin, "the bot's objects are gone", func() (bool, string, error) {
		left := c.kubectl(t, "--namespace", b.namespace, "get", kinds+",pods", "--selector=app.kubernetes.io/instance="+b.name, "-o", "name")
		return left == "", left, nil
	})
	for _, o := range saved {
		if err := c.client.Create(t.Context(), o); err != nil {
			t.Fatalf("restoring %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	began := b.apply(t)
	b.ready(t)
	took := time.Since(began)
	b.reachable(t)
	chat := b.chat(t, 6)
	chat.answered(t, 8)
	b.set(t, "/elsewhere", "path")
	b.apply(t)
	await(t, readyWithin, "the Ingress follows the bot again", func() (bool, string, error) {
		path := b.ingressNow(t).Spec.Rules[0].HTTP.Paths[0].Path
		return path == "/elsewhere", path, nil
	})
	b.set(t, "/wechat", "path")
	b.apply(t)
	b.ready(t)
	b.reachable(t)
	chat.end()
	<-chat.ended
	for _, o := range saved {
		if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		if owner := metav1.GetControllerOf(o); owner == nil || owner.Kind != "WechatBot" {
			t.Errorf("%s %s has no owner", o.GetKind(), o.GetName())
		}
	}
	return fmt.Sprintf("%d objects were taken over, Ready %s after the bot was there", len(saved), seconds(took))
}

// save gives the bot's objects as a backup tool would create them again.
func (b *bot) save(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	out := b.kubectl(t, "--namespace", b.namespace, "get", strings.TrimPrefix(kinds, "wechatbots,"), "--selector=app.kubernetes.io/instance="+b.name, "-o", "json")
	var list unstructured.UnstructuredList
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	saved := make([]*unstructured.Unstructured, 0, len(list.Items))
	for i := range list.Items {
		o := &list.Items[i]
		for _, path := range [][]string{
			{"status"}, {"spec", "clusterIP"}, {"spec", "clusterIPs"}, {"metadata", "uid"}, {"metadata", "resourceVersion"}, {"metadata", "generation"},
			{"metadata", "creationTimestamp"}, {"metadata", "ownerReferences"}, {"metadata", "managedFields"},
		} {
			unstructured.RemoveNestedField(o.Object, path...)
		}
		saved = append(saved, o)
	}
	return saved
}

// classThereAndBack: the class of the Ingress is named, taken away, changed to one that nobody takes, and taken away
// again. Followers are cut off only while nobody takes it, and the bot says so.
func (c *cluster) classThereAndBack(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-class"))
	b.start(t)
	b.reachable(t)
	class := b.ingressNow(t).Spec.IngressClassName
	if class == nil {
		t.Fatal("the default class is not written into the Ingress")
	}
	chat := b.chat(t, 6)
	chat.answered(t, 6)
	b.set(t, *class, "ingress", "className")
	b.apply(t)
	b.ready(t)
	chat.more(t, 6)
	delete(b.manifest.Object["spec"].(map[string]any), "ingress")
	b.apply(t)
	b.ready(t)
	chat.more(t, 6)
	o := chat.finish(t)

	nobody := &networking.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "e2e-nobody"}, Spec: networking.IngressClassSpec{Controller: "example.com/nobody"}}
	if err := c.client.Create(t.Context(), nobody); err != nil {
		t.Fatal(err)
	}
	c.deleteLater(t, "ingressclass", nobody.Name)
	b.set(t, nobody.Name, "ingress", "className")
	b.apply(t)
	b.says(t, v1alpha1.ConditionExposed, v1alpha1.ReasonAddressPending, `"e2e-nobody" (example.com/nobody)`)
	delete(b.manifest.Object["spec"].(map[string]any), "ingress")
	began := b.apply(t)
	b.ready(t)
	b.reachable(t)
	return fmt.Sprintf("there and back: %s; from a class that nobody takes back and reachable after %s", o, seconds(time.Since(began)))
}

// autoscalerOfDeployment: an autoscaler that targets the Deployment is named, and gets no pods without end.
func (c *cluster) autoscalerOfDeployment(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-autoscaler"))
	b.start(t)
	b.reachable(t)
	chat := b.chat(t, 6)
	chat.answered(t, 6)
	c.apply(t, b.namespace, fmt.Sprintf(`
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: %[1]s}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %[1]s}
  minReplicas: 3
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
`, b.name))
	message := b.says(t, v1alpha1.ConditionReady, v1alpha1.ReasonFieldsOverridden, "must target the WechatBot")
	if !strings.Contains(message, "spec.replicas") || !strings.Contains(message, "(scale)") {
		t.Errorf("%q does not say who changes what", message)
	}
	generation := b.generation(t)
	chat.more(t, 30) // half a minute
	grown := b.generation(t) - generation
	if grown > 8 {
		t.Errorf("the Deployment was written %d times while %d questions were answered", grown, 30)
	}
	c.kubectl(t, "--namespace", b.namespace, "delete", "hpa", b.name)
	back := await(t, 4*time.Minute, "the bot is well again", func() (bool, string, error) {
		live, err := b.get(t.Context())
		if err != nil {
			return false, "", err
		}
		ready := meta.FindStatusCondition(live.Status.Conditions, v1alpha1.ConditionReady)
		return ready.Status == metav1.ConditionTrue, ready.Reason + ": " + ready.Message, nil
	})
	return fmt.Sprintf("named; the Deployment changed %d times meanwhile; Ready %s after the autoscaler went: %s", grown, seconds(back), chat.finish(t))
}

func (b *bot) generation(t *testing.T) int64 {
	t.Helper()
	d := new(apps.Deployment)
	if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: b.name}, d); err != nil {
		t.Fatal(err)
	}
	return d.Generation
}

// relabelling: an admission policy writes its own managed-by into all objects of a namespace. The bot there says so, and
// bots elsewhere are made as fast as ever.
func (c *cluster) relabelling(t *testing.T) string {
	b := c.chatty(t, c.namespace(t, "e2e-relabel"))
	c.apply(t, "default", fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: e2e-relabel}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}
    resourceRules:
    - {apiGroups: ["", apps, networking.k8s.io], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [deployments, services, configmaps, ingresses]}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: 'Object{metadata: Object.metadata{labels: {"app.kubernetes.io/managed-by": "platform"}}}'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: e2e-relabel}
spec: {policyName: e2e-relabel}
`, b.namespace))
	c.deleteLater(t, "mutatingadmissionpolicybinding,mutatingadmissionpolicy", "e2e-relabel")
	await(t, readyWithin, "the policy is in force", func() (bool, string, error) {
		out, err := c.run(t.Context(), "", "kubectl", "--namespace", b.namespace, "create", "configmap", "probe", "--dry-run=server", "-o", "jsonpath={.metadata.labels}")
		return strings.Contains(out, "platform"), out, err
	})
	b.secret(t)
	b.apply(t)
	b.says(t, v1alpha1.ConditionReady, v1alpha1.ReasonFieldsOverridden, "app.kubernetes.io/managed-by")
	b.reachable(t)
	chat := b.chat(t, 3)
	chat.answered(t, 6)
	o := chat.finish(t)
	other := c.sample(t, c.namespace(t, "e2e-beside"))
	return fmt.Sprintf("it is said, and followers are answered: %s; a bot beside it Ready after %s", o, seconds(other.start(t)))
}
