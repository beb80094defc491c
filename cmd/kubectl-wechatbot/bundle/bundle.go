// Package bundle makes one archive of what was found of a bot, for whoever helps its owner. What may be secret or private is
// taken out of every file: values of the pod template's environment and of the app's variables, the bot's own texts, the
// contents of its Secrets as far as they are known, and whatever looks like an openid. It knows no cluster.
package bundle

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

const redacted = "[redacted]"

// Bundle is an archive that is being written. The first error stays; Close gives it.
type Bundle struct {
	zip     *gzip.Writer
	tar     *tar.Writer
	folder  string
	at      time.Time
	secrets []string
	err     error
}

// New begins an archive, all files of which are in a folder. Secrets are texts that must be in no file.
func New(w io.Writer, folder string, at time.Time, secrets []string) *Bundle {
	zip := gzip.NewWriter(w)
	return &Bundle{zip: zip, tar: tar.NewWriter(zip), folder: folder, at: at, secrets: secrets}
}

// openid is what WeChat calls a follower: o, and 27 letters, digits, - and _.
var openid = regexp.MustCompile(`\bo[0-9A-Za-z_-]{27}\b`)

func (b *Bundle) scrub(text string) string {
	for _, secret := range b.secrets {
		if len(secret) >= 3 { // a shorter one is no secret, and would be found in every word
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	return openid.ReplaceAllString(text, "[openid]")
}

// Text adds a file.
func (b *Bundle) Text(name, content string) {
	if b.err != nil {
		return
	}
	content = b.scrub(content)
	b.err = b.tar.WriteHeader(&tar.Header{
		Name: path.Join(b.folder, name), Mode: 0o600, Size: int64(len(content)), ModTime: b.at, Typeflag: tar.TypeReg,
	})
	if b.err == nil {
		_, b.err = io.WriteString(b.tar, content)
	}
}

// YAML adds a file with an object in it.
func (b *Bundle) YAML(name string, object any) {
	content, err := yaml.Marshal(object)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.Text(name, string(content))
}

// Close ends the archive.
func (b *Bundle) Close() error {
	for _, err := range []error{b.tar.Close(), b.zip.Close()} {
		if b.err == nil {
			b.err = err
		}
	}
	if b.err != nil {
		return fmt.Errorf("writing the archive: %w", b.err)
	}
	return nil
}

var userinfo = regexp.MustCompile(`//[^/@]*@`)

// Bot is a bot without what its author may not want to show.
func Bot(bot *v1alpha1.WechatBot) *v1alpha1.WechatBot {
	shown := bot.DeepCopy()
	shown.ManagedFields, shown.Annotations = nil, nil // kubectl apply keeps the whole object in an annotation
	spec := &shown.Spec
	for name := range spec.Dify.Inputs {
		spec.Dify.Inputs[name] = redacted
	}
	for name := range spec.WeChat.VerificationFiles {
		spec.WeChat.VerificationFiles[name] = redacted
	}
	for name := range spec.Reply.Texts {
		spec.Reply.Texts[name] = redacted
	}
	spec.Dify.BaseURL = userinfo.ReplaceAllString(spec.Dify.BaseURL, "//"+redacted+"@")
	if spec.PodTemplate != nil {
		spec.PodTemplate = template(spec.PodTemplate)
	}
	return shown
}

// template is a pod template whose values are left out wherever somebody might have written a secret. One that cannot be
// read is left out whole.
func template(raw *runtime.RawExtension) *runtime.RawExtension {
	var content any
	if json.Unmarshal(raw.Raw, &content) != nil {
		return &runtime.RawExtension{Raw: []byte(`"` + redacted + `"`)}
	}
	hide(content, "")
	encoded, err := json.Marshal(content)
	if err != nil {
		return &runtime.RawExtension{Raw: []byte(`"` + redacted + `"`)}
	}
	return &runtime.RawExtension{Raw: encoded}
}

// hide takes out the values of variables, and the words of commands.
func hide(content any, below string) {
	switch c := content.(type) {
	case map[string]any:
		for key, value := range c {
			if _, text := value.(string); text && (key == "value" || below == "annotations") {
				c[key] = redacted
				continue
			}
			hide(value, key)
		}
	case []any:
		for i, value := range c {
			if _, text := value.(string); text && (below == "args" || below == "command") {
				c[i] = redacted
				continue
			}
			hide(value, below)
		}
	}
}
