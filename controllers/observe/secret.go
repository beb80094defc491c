package observe

import (
	"bytes"
	"context"
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
	var key serverconfig.Secret
	var ca []byte
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
		switch {
		case problem != nil:
			s.Secrets = append(s.Secrets, *problem)
		case ref.File == desired.FileDifyAPIKey:
			key = serverconfig.Secret(content)
		case ref.File == desired.FileDifyCA:
			ca = content
		}
	}
	if desired.HasIngress(bot) && desired.CertificateSecret(bot) != "" {
		found, err := secret(desired.CertificateSecret(bot))
		if err != nil {
			return err
		}
		s.Certificate = readCertificate(desired.CertificateSecret(bot), found)
		if s.Certificate.Issuer = desired.CertificateIssuer(bot, o.Operator, s.Certificate.Foreign); s.Certificate.Issuer != nil && s.Certificate.Leaf == nil {
			s.Certificate.Progress = o.issuerSays(ctx, bot, s.Certificate.Secret)
		}
		s.Certificate.DefaultYields = s.Certificate.Foreign && s.Certificate.Issuer == nil && desired.CertificateIssuer(bot, o.Operator, false) != nil
	}
	if o.Dify == nil {
		s.Dify = Dify{Off: true}
		return nil
	}
	if bot.Spec.Dify.CASecretRef != nil && ca == nil {
		key = "" // nothing is asked without the authority
	}
	s.Dify = o.Dify.Look(bot, key, ca)
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
	case desired.FileTracingHeaders:
		secrets.TracingHeaders = serverconfig.Secret(content)
	case desired.FileRedisCA:
		secrets.RedisCA = content
	case desired.FileDifyCA:
		secrets.DifyCA = content
	}
	if wrong, ok := errors.AsType[*serverconfig.Error](secrets.Check(&config)); ok {
		return wrong.Problem
	}
	return ""
}
