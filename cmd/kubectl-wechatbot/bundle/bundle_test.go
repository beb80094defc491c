package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

func read(t *testing.T, archive io.Reader) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
}

func TestBundle_HoldsNothingSecret(t *testing.T) {
	const token, follower, short = "wintertoken", "oLVPpjqs9BhvzwPj5A-vTYAX3GLc", "ok"
	var archive bytes.Buffer
	b := New(&archive, "winter", time.Unix(0, 0), []string{token, short})
	b.Text("logs/winter-1.log", "the Token is "+token+", the follower "+follower+", ok")
	b.YAML("servers/winter-1.yaml", map[string]string{"note": follower})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	files := read(t, &archive)
	if got := files["winter/logs/winter-1.log"]; got != "the Token is [redacted], the follower [openid], ok" {
		t.Errorf("the log is %q", got)
	}
	if got := files["winter/servers/winter-1.yaml"]; got != "note: [openid]\n" {
		t.Errorf("the status is %q", got)
	}
}

func TestBot(t *testing.T) {
	bot := &v1alpha1.WechatBot{
		ObjectMeta: metav1.ObjectMeta{
			Name: "winter", Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "private1"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		},
		Spec: v1alpha1.WechatBotSpec{Domain: "bot.example.com"},
	}
	bot.Spec.Dify.BaseURL = "https://me:private2@dify.example.com/v1"
	bot.Spec.Dify.Inputs = map[string]v1alpha1.InputValue{"city": "private3"}
	bot.Spec.WeChat.VerificationFiles = map[string]v1alpha1.VerificationFile{"MP_verify_x.txt": "private4"}
	bot.Spec.Reply.Texts = map[string]v1alpha1.ReplyText{"welcome": "private5"}
	bot.Spec.PodTemplate = &runtime.RawExtension{Raw: []byte(`{"metadata": {"annotations": {"note": "private6"}, "labels": {"team": "a"}}, "spec": {"containers":
		[{"name": "server", "image": "example.com/x", "env": [{"name": "HTTPS_PROXY", "value": "http://u:private7@proxy"}], "args": ["--key=private8"]}]}}`)}
	before := bot.DeepCopy()
	text, err := yaml.Marshal(Bot(bot))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "private") {
		t.Errorf("it holds what is private:\n%s", text)
	}
	for _, kept := range []string{"bot.example.com", "dify.example.com", "city:", "MP_verify_x.txt", "welcome:", "HTTPS_PROXY", "example.com/x", "team: a"} {
		if !strings.Contains(string(text), kept) {
			t.Errorf("it lacks %s:\n%s", kept, text)
		}
	}
	if bot.Spec.Dify.Inputs["city"] != before.Spec.Dify.Inputs["city"] || !bytes.Equal(bot.Spec.PodTemplate.Raw, before.Spec.PodTemplate.Raw) {
		t.Error("the object itself was changed")
	}
	broken := Bot(&v1alpha1.WechatBot{Spec: v1alpha1.WechatBotSpec{PodTemplate: &runtime.RawExtension{Raw: []byte("private {")}}})
	if string(broken.Spec.PodTemplate.Raw) != `"[redacted]"` {
		t.Errorf("a broken template is %s", broken.Spec.PodTemplate.Raw)
	}
}
