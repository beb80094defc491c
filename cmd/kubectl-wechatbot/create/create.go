// Package create makes a new bot's objects of what a user says: the Secret with its keys, and the WechatBot. It makes the
// Token and the EncodingAESKey, and says what to type into WeChat's console. It knows no cluster.
package create

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// Wishes are what a user says of a new bot.
type Wishes struct {
	Name, Namespace string
	// Domain and Path are the URL's; an empty Path is the default.
	Domain, Path string
	// DifyURL is Dify's API; empty is that of Dify's cloud. DifyKey is the app's key.
	DifyURL, DifyKey string
	// Token is the account's; one is made if it is empty.
	Token string
	// Secure turns secure mode on; an EncodingAESKey is made.
	Secure bool
	// AppID and AppSecret are the account's; the secret is for WeChat's API.
	AppID, AppSecret string
	// IngressClass and Issuer are those of the Ingress; empty leaves them to the operator.
	IngressClass, Issuer string
	// English has the bot's own texts in English.
	English bool
}

// The keys of the Secret.
const (
	keyToken     = "token"
	keyDify      = "dify-key"
	keyAES       = "encoding-aes-key"
	keyAppSecret = "app-secret"
)

// Bot is what is to be made.
type Bot struct {
	Secret *corev1.Secret
	Bot    *v1alpha1.WechatBot
}

// New makes the objects. Its errors name what is missing, as flags.
func New(w Wishes) (*Bot, error) {
	switch {
	case w.Domain == "":
		return nil, errors.New("--domain is missing: give the public DNS name of the bot, such as bot.example.com")
	case w.DifyKey == "":
		return nil, errors.New("the app's key is missing: give it in WECHATBOT_DIFY_KEY or --dify-key (Dify → the app → API Access)")
	case w.AppID == "" && (w.Secure || w.AppSecret != ""):
		return nil, errors.New("--app-id is missing: secure mode and WeChat's API need the account's AppID (公众平台 → 设置与开发 → 开发接口管理)")
	}
	if w.Token == "" {
		w.Token = rand.Text() // letters and digits, 26
	}
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: w.Name, Namespace: w.Namespace},
		StringData: map[string]string{keyToken: w.Token, keyDify: w.DifyKey},
	}
	ref := func(key string) v1alpha1.SecretKeyRef { return v1alpha1.SecretKeyRef{Name: w.Name, Key: key} }
	bot := &v1alpha1.WechatBot{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "WechatBot"},
		ObjectMeta: metav1.ObjectMeta{Name: w.Name, Namespace: w.Namespace},
		Spec: v1alpha1.WechatBotSpec{
			Domain: w.Domain, Path: w.Path, TokenSecretRef: ref(keyToken),
			Dify: v1alpha1.Dify{BaseURL: w.DifyURL, APIKeySecretRef: ref(keyDify)},
		},
	}
	bot.Spec.WeChat.AppID = w.AppID
	if w.Secure {
		secret.StringData[keyAES] = aesKey()
		bot.Spec.WeChat.EncodingAESKeySecretRef = new(ref(keyAES))
	}
	if w.AppSecret != "" {
		secret.StringData[keyAppSecret] = w.AppSecret
		bot.Spec.WeChat.AppSecretRef = new(ref(keyAppSecret))
	}
	if w.English {
		bot.Spec.Reply.Language = v1alpha1.LanguageEnglish
	}
	return &Bot{secret, bot}, w.exposed(bot)
}

func (w *Wishes) exposed(bot *v1alpha1.WechatBot) error {
	if w.IngressClass == "" && w.Issuer == "" {
		return nil
	}
	bot.Spec.Ingress = &v1alpha1.Ingress{ClassName: w.IngressClass}
	if w.Issuer == "" {
		return nil
	}
	kind, name, ok := strings.Cut(w.Issuer, "/")
	if !ok {
		kind, name = string(v1alpha1.NamespacedIssuer), w.Issuer
	}
	if name == "" || kind != string(v1alpha1.NamespacedIssuer) && kind != string(v1alpha1.ClusterIssuer) {
		return fmt.Errorf("--issuer: %q is neither NAME nor ClusterIssuer/NAME", w.Issuer)
	}
	bot.Spec.Ingress.TLS.IssuerRef = &v1alpha1.IssuerRef{Kind: v1alpha1.IssuerKind(kind), Name: name}
	return nil
}

// aesKey makes an EncodingAESKey: 43 letters and digits that are 32 bytes in Base64 without its end.
func aesKey() string {
	for {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		if text := base64.RawStdEncoding.EncodeToString(key); !strings.ContainsAny(text, "+/") {
			return text
		}
	}
}

// YAML writes both objects as kubectl apply takes them.
func (b *Bot) YAML(w io.Writer) error {
	for i, object := range []any{b.Secret, b.Bot} {
		text, err := yaml.Marshal(object)
		if err != nil {
			return fmt.Errorf("encoding the objects: %w", err)
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := w.Write(text); err != nil {
			return fmt.Errorf("writing the objects: %w", err)
		}
	}
	return nil
}

// Console says what to type into WeChat's console.
func (b *Bot) Console(w io.Writer) error {
	mode, key := "明文模式", ""
	if aes := b.Secret.StringData[keyAES]; aes != "" {
		mode, key = "安全模式", fmt.Sprintf("  EncodingAESKey          %s\n", aes)
	}
	_, err := fmt.Fprintf(w, `Type into WeChat's console (公众平台 → 设置与开发 → 开发接口管理 → 服务器配置), then switch it on (启用):
  服务器地址 (URL)        %s
  令牌 (Token)            %s
%s  消息加解密方式          %s
  数据格式                XML
`, desired.URL(b.Bot), b.Secret.StringData[keyToken], key, mode)
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}
