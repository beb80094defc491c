package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

func TestSupportBundle(t *testing.T) {
	w := newWorld(t)
	w.must(admin.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "traces", Namespace: w.namespace},
		StringData: map[string]string{"headers": "X-Scope-OrgID: ourbots\nAuthorization: Bearer hunter2\n"},
	}))
	w.bot.Spec.Tracing = &v1alpha1.Tracing{
		Endpoint: "http://collector:4318", HeadersSecretRef: &v1alpha1.SecretKeyRef{Name: "traces", Key: "headers"},
	}
	w.must(admin.Update(t.Context(), w.bot))
	w.reports(ready, condition("Connected", "False", "SignatureMismatch", "the Token wintertoken is wrong, as is Bearer hunter2"))
	w.server("winter-1", &serverstatus.Status{APIVersion: "v1", Version: "v1.2.3", Store: serverstatus.Store{OK: true}})
	file := filepath.Join(t.TempDir(), "bundle.tar.gz")
	w.run("", nil, "support-bundle", "winter", "-f", file).wants(t, 0, "wrote "+file)
	out, err := exec.CommandContext(t.Context(), "tar", "-xzOf", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"domain: " + w.namespace + ".invalid", "SignatureMismatch", "version: v1.2.3", "first of winter-1", "podIP: 10.9.0.1"} {
		if !strings.Contains(string(out), part) {
			t.Errorf("the archive lacks %q:\n%s", part, out)
		}
	}
	for _, secret := range []string{"wintertoken", "app-0123456789", "hunter2"} {
		if strings.Contains(string(out), secret) {
			t.Errorf("the archive holds %q", secret)
		}
	}
	w.run("", nil, "support-bundle", "winter", "-f", file).wants(t, failed, "file exists")
	w.run("", nil, "support-bundle", "winter", "-f", file+"2", "--as", w.viewer()).wants(t, 0, "wrote")
}
