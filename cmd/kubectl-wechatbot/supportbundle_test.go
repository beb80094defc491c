package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
)

func TestSupportBundle(t *testing.T) {
	w := newWorld(t)
	w.reports(ready, condition("Connected", "False", "SignatureMismatch", "the Token wintertoken is wrong"))
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
	for _, secret := range []string{"wintertoken", "app-0123456789"} {
		if strings.Contains(string(out), secret) {
			t.Errorf("the archive holds %q", secret)
		}
	}
	w.run("", nil, "support-bundle", "winter", "-f", file).wants(t, failed, "file exists")
	w.run("", nil, "support-bundle", "winter", "-f", file+"2", "--as", w.viewer()).wants(t, 0, "wrote")
}
