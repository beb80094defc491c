package observe

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// SecretProblem is a referenced Secret key that cannot be used.
type SecretProblem struct {
	// Reason is one of SecretsResolved's.
	Reason string
	// Ref is who refers to what.
	Ref desired.SecretRef
	// Wrong says what is wrong with the content, without quoting it; empty for the other reasons.
	Wrong string
}

// Certificate is what the Secret of an Ingress holds.
type Certificate struct {
	// Secret is its name; empty if the operator does not know where the certificate is.
	Secret string
	// Leaf is the certificate, nil if there is none that can be read.
	Leaf *x509.Certificate
}

// secrets reads each referenced Secret once, live. The API key is handed to the prober, nothing else leaves.
func (o *Observer) secrets(ctx context.Context, bot *v1alpha1.WechatBot, s *State) error {
	read := map[string]*corev1.Secret{}
	secret := func(name string) (*corev1.Secret, error) {
		if found, ok := read[name]; ok {
			return found, nil
		}
		found := new(corev1.Secret)
		err := o.Live.Get(ctx, types.NamespacedName{Namespace: bot.Namespace, Name: name}, found)
		switch {
		case apierrors.IsNotFound(err):
			found = nil
		case err != nil:
			return nil, fmt.Errorf("reading Secret %s: %w", name, err)
		}
		read[name] = found
		return found, nil
	}
	var apiKey serverconfig.Secret
	for _, ref := range desired.SecretRefs(bot) {
		found, err := secret(ref.Name)
		if err != nil {
			return err
		}
		if ref.Generated {
			if found == nil {
				continue // it is about to be made
			}
			s.Children.Password = &corev1.Secret{ObjectMeta: found.ObjectMeta}
		}
		content, problem := resolve(found, ref)
		if problem != nil {
			s.Secrets = append(s.Secrets, *problem)
		} else if ref.File == desired.FileDifyAPIKey {
			apiKey = serverconfig.Secret(content)
		}
	}
	if desired.HasIngress(bot) {
		s.Certificate.Secret = desired.CertificateSecret(bot)
		found, err := secret(s.Certificate.Secret)
		if err != nil {
			return err
		}
		s.Certificate.Leaf = certificate(found)
	}
	if o.Dify == nil {
		s.Dify = Dify{Off: true}
		return nil
	}
	s.Dify = o.Dify.Look(target(bot), apiKey)
	return nil
}

// resolve gives the content of a referenced key as the server reads it, or what is wrong with it.
func resolve(secret *corev1.Secret, ref desired.SecretRef) ([]byte, *SecretProblem) {
	if secret == nil {
		return nil, &SecretProblem{Reason: v1alpha1.ReasonSecretNotFound, Ref: ref}
	}
	content, ok := secret.Data[ref.Key]
	if !ok {
		return nil, &SecretProblem{Reason: v1alpha1.ReasonSecretKeyMissing, Ref: ref}
	}
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	if wrong := malformed(ref.File, content); wrong != "" {
		return nil, &SecretProblem{Reason: v1alpha1.ReasonSecretMalformed, Ref: ref, Wrong: wrong}
	}
	return content, nil
}

// malformed asks the server's own check about one secret among otherwise good ones.
func malformed(file string, content []byte) string {
	switch {
	case len(content) == 0:
		return "is empty"
	case len(content) > serverconfig.MaxSecretBytes:
		return "is too large"
	}
	config := serverconfig.Default()
	config.Bot, config.SecretsDir, config.WeChat.AppID = "a/b", "secrets", "wx"
	secrets := serverconfig.Secrets{Token: "token", DifyAPIKey: "app-key"}
	switch file {
	case desired.FileToken:
		secrets.Token = serverconfig.Secret(content)
	case desired.FileDifyAPIKey:
		secrets.DifyAPIKey = serverconfig.Secret(content)
	case desired.FileEncodingAESKey:
		secrets.EncodingAESKey = serverconfig.Secret(content)
	case desired.FileAppSecret:
		secrets.AppSecret = serverconfig.Secret(content)
	case desired.FileRedisCA:
		secrets.RedisCA = content
	}
	if wrong, ok := errors.AsType[*serverconfig.Error](serverconfig.Validate(config, secrets)); ok {
		return wrong.Problem
	}
	return ""
}

// certificate reads the leaf of a kubernetes.io/tls Secret. The key must fit, as it does where a server uses it.
func certificate(secret *corev1.Secret) *x509.Certificate {
	if secret == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil
	}
	return pair.Leaf
}
