package serverconfig

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Names of the files in the secrets' folder.
const (
	fileToken          = "token"
	fileDifyAPIKey     = "dify-api-key"
	fileEncodingAESKey = "encoding-aes-key"
	fileAppSecret      = "app-secret"
	fileRedisUsername  = "redis-username"
	fileRedisPassword  = "redis-password"
	fileRedisCA        = "redis-ca.crt"
	fileDifyCA         = "dify-ca.crt"
	fileTracingHeaders = "tracing-headers"

	fileRedisSentinelUsername = "redis-sentinel-username"
	fileRedisSentinelPassword = "redis-sentinel-password"
)

// MaxSecretBytes bounds a secret file.
const MaxSecretBytes = 64 << 10

// Secrets are the contents of the secret files.
type Secrets struct {
	Token          Secret // file token: the Token typed into WeChat's console. Required
	DifyAPIKey     Secret // file dify-api-key. Required
	EncodingAESKey Secret // file encoding-aes-key: turns on secure mode
	AppSecret      Secret // file app-secret: for WeChat's server API
	RedisUsername  Secret // file redis-username
	RedisPassword  Secret // file redis-password
	RedisCA        []byte // file redis-ca.crt: PEM certificates Redis is checked against
	DifyCA         []byte // file dify-ca.crt: PEM certificates Dify is checked against, beside the system's
	TracingHeaders Secret // file tracing-headers: see TracingHeaders

	RedisSentinelUsername Secret // file redis-sentinel-username: the sentinels' own
	RedisSentinelPassword Secret // file redis-sentinel-password: the sentinels' own; read at the start only
}

// LoadSecrets reads the secret files of dir. One trailing newline of a file is not part of its secret. A file that is
// missing though it is required, empty, or larger than MaxSecretBytes is an error that names the file, never its
// content. An empty optional file is refused too: an empty encoding-aes-key would turn encryption off unseen.
//
// In a folder that Kubernetes projected, all files are read from one generation of it.
func LoadSecrets(dir string) (Secrets, error) {
	if generation, err := filepath.EvalSymlinks(filepath.Join(dir, "..data")); err == nil {
		dir = generation
	}
	var s Secrets
	for _, file := range []struct {
		name     string
		into     *Secret
		required bool
	}{
		{fileToken, &s.Token, true},
		{fileDifyAPIKey, &s.DifyAPIKey, true},
		{fileEncodingAESKey, &s.EncodingAESKey, false},
		{fileAppSecret, &s.AppSecret, false},
		{fileTracingHeaders, &s.TracingHeaders, false},
		{fileRedisUsername, &s.RedisUsername, false},
		{fileRedisPassword, &s.RedisPassword, false},
		{fileRedisSentinelUsername, &s.RedisSentinelUsername, false},
		{fileRedisSentinelPassword, &s.RedisSentinelPassword, false},
	} {
		content, err := readSecret(dir, file.name, file.required)
		if err != nil {
			return Secrets{}, err
		}
		*file.into = Secret(content)
	}
	for name, into := range map[string]*[]byte{fileRedisCA: &s.RedisCA, fileDifyCA: &s.DifyCA} {
		var err error
		if *into, err = readSecret(dir, name, false); err != nil {
			return Secrets{}, err
		}
	}
	return s, nil
}

func readSecret(dir, name string, required bool) ([]byte, error) {
	content, err := readFile(filepath.Join(dir, name), MaxSecretBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !required:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("secret file %s is missing in %s: put the secret there (%w)", name, dir, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("secret file %s: %w", name, err)
	}
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	if len(content) == 0 {
		return nil, fmt.Errorf("secret file %s in %s is empty: put the secret there, or remove the file", name, dir)
	}
	return content, nil
}

// Validate checks c, and that s holds what c needs in a form that can be used. Its error is an *Error whose Field is a
// field of the file or the name of a secret file; no secret is in it.
func Validate(c Config, s Secrets) error {
	if err := c.Check(); err != nil {
		return err
	}
	return s.Check(&c)
}

// Check says what is wrong with s for a c that is in order, as Validate does.
func (s *Secrets) Check(c *Config) error {
	switch {
	case len(s.Token) < 3 || len(s.Token) > 32 || !visible(s.Token):
		return wrong(fileToken, "must be the 3 to 32 letters and digits typed into WeChat's console as Token")
	case s.DifyAPIKey == "" || !visible(s.DifyAPIKey):
		return wrong(fileDifyAPIKey, "must be the app's API key, such as app-…, without spaces")
	case s.EncodingAESKey != "" && !isAESKey(s.EncodingAESKey):
		return wrong(fileEncodingAESKey, "must be the 43 letters and digits that WeChat's console shows as EncodingAESKey")
	case s.EncodingAESKey != "" && c.WeChat.AppID == "":
		return wrong("wechat.appID", "is missing: it is needed with the secret file %s", fileEncodingAESKey)
	case s.AppSecret != "" && !visible(s.AppSecret):
		return wrong(fileAppSecret, "must hold no spaces: copy AppSecret from WeChat's console")
	case s.AppSecret != "" && c.WeChat.AppID == "":
		return wrong("wechat.appID", "is missing: it is needed with the secret file %s", fileAppSecret)
	case s.AppSecret == "" && c.Reply.Mode == ReplyModeCustomerService:
		return wrong(fileAppSecret, "is missing: reply.mode %s uses WeChat's API, put the account's AppSecret into this secret file", ReplyModeCustomerService)
	case s.AppSecret == "" && len(c.Handover.Words) > 0:
		return wrong(fileAppSecret, "is missing: handover asks WeChat's API who is online, put the account's AppSecret into this secret file")
	case s.AppSecret == "" && len(c.Menu) > 0:
		return wrong(fileAppSecret, "is missing: menu is published through WeChat's API, put the account's AppSecret into this secret file")
	case len(s.RedisCA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(s.RedisCA):
		return wrong(fileRedisCA, "holds no PEM certificate")
	case len(s.DifyCA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(s.DifyCA):
		return wrong(fileDifyCA, "holds no PEM certificate")
	}
	_, err := TracingHeaders(s.TracingHeaders)
	return err
}

// visible tells whether all of s is printable ASCII without spaces, as it must be to travel in a header or a form.
func visible(s Secret) bool {
	return !strings.ContainsFunc(s.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' })
}

// isAESKey tells whether s is 43 characters of base64: 32 bytes without the last "=". Two bits of the last character
// are of no meaning and may be anything.
func isAESKey(s Secret) bool {
	_, err := base64.RawStdEncoding.DecodeString(s.Reveal())
	return err == nil && len(s) == 43 && !strings.ContainsAny(s.Reveal(), "\r\n")
}
