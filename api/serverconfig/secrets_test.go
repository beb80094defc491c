package serverconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const (
	aesKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	token  = "winter7token"
	apiKey = "app-0123456789abcdef"
)

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadSecretsReadsEveryFile(t *testing.T) {
	dir := folder(t, map[string]string{
		"token": token + "\n", "dify-api-key": apiKey + "\r\n", "encoding-aes-key": aesKey, "app-secret": "s1",
		"redis-username": "u", "redis-password": " p w \n\n", "redis-ca.crt": "pem\n",
		"redis-sentinel-username": "su", "redis-sentinel-password": "sp\n",
		"tracing-headers": "X-Scope-OrgID: bots\nAuthorization: Bearer x\n",
	})
	got, err := LoadSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Secrets{
		Token: token, DifyAPIKey: apiKey, EncodingAESKey: aesKey, AppSecret: "s1",
		RedisUsername: "u", RedisPassword: " p w \n", RedisCA: []byte("pem"),
		RedisSentinelUsername: "su", RedisSentinelPassword: "sp", TracingHeaders: "X-Scope-OrgID: bots\nAuthorization: Bearer x",
	}
	if d := cmp.Diff(want, got, cmp.Transformer("Reveal", Secret.Reveal)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestLoadSecretsReadsOneGeneration(t *testing.T) {
	dir := folder(t, map[string]string{"token": "left over", "dify-api-key": "left over"})
	generation := filepath.Join(dir, "..2026_11_22")
	if err := os.Mkdir(generation, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"token": token, "dify-api-key": apiKey} {
		if err := os.WriteFile(filepath.Join(generation, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("..2026_11_22", filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	got, err := LoadSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Token != token || got.DifyAPIKey != apiKey {
		t.Error("the secrets are not those of the generation that ..data names")
	}
}

func TestLoadSecretsRefuses(t *testing.T) {
	good := map[string]string{"token": token, "dify-api-key": apiKey}
	tests := map[string]struct {
		change  map[string]string // "-" removes the file
		want    string            // DIR stands for the folder
		missing bool
	}{
		"no token":       {map[string]string{"token": "-"}, "secret file token is missing in DIR: put the secret there (file does not exist)", true},
		"no API key":     {map[string]string{"dify-api-key": "-"}, "secret file dify-api-key is missing in DIR: put the secret there (file does not exist)", true},
		"empty token":    {map[string]string{"token": "\n"}, "secret file token in DIR is empty: put the secret there, or remove the file", false},
		"empty AES key":  {map[string]string{"encoding-aes-key": ""}, "secret file encoding-aes-key in DIR is empty: put the secret there, or remove the file", false},
		"large password": {map[string]string{"redis-password": strings.Repeat("x", MaxSecretBytes+1)}, "secret file redis-password: DIR/redis-password is larger than 65536 bytes", false},
		"large CA":       {map[string]string{"redis-ca.crt": strings.Repeat("x", MaxSecretBytes+1)}, "secret file redis-ca.crt: DIR/redis-ca.crt is larger than 65536 bytes", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			files := maps.Clone(good)
			for file, content := range tt.change {
				files[file] = content
				if content == "-" {
					delete(files, file)
				}
			}
			dir := folder(t, files)
			got, err := LoadSecrets(dir)
			if want := strings.ReplaceAll(tt.want, "DIR", dir); message(err) != want {
				t.Errorf("message\n  got  %v\n  want %s", err, want)
			}
			if errors.Is(err, fs.ErrNotExist) != tt.missing {
				t.Errorf("errors.Is(err, fs.ErrNotExist) is %v, want %v", !tt.missing, tt.missing)
			}
			if d := cmp.Diff(Secrets{}, got); d != "" {
				t.Error("refused files gave secrets")
			}
		})
	}
	t.Run("folder instead of a file", func(t *testing.T) {
		dir := folder(t, map[string]string{"dify-api-key": apiKey})
		if err := os.Mkdir(filepath.Join(dir, "token"), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := LoadSecrets(dir)
		if want := "secret file token: " + dir + "/token is not a regular file"; message(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Config, *Secrets)
		want   string
	}{
		"least":                   {func(*Config, *Secrets) {}, ""},
		"secure mode":             {func(c *Config, s *Secrets) { s.EncodingAESKey, c.WeChat.AppID = aesKey, "wx0123456789abcdef" }, ""},
		"CA":                      {func(_ *Config, s *Secrets) { s.RedisCA = []byte(certificate) }, ""},
		"wrong field":             {func(c *Config, _ *Secrets) { c.Bot = "" }, "bot: is missing: give the bot's namespace/name, such as bots/winter"},
		"no token":                {func(_ *Config, s *Secrets) { s.Token = "" }, "token: must be the 3 to 32 letters and digits typed into WeChat's console as Token"},
		"long token":              {func(_ *Config, s *Secrets) { s.Token = Secret(strings.Repeat("x", 33)) }, "token: must be the 3 to 32 letters and digits typed into WeChat's console as Token"},
		"token with a space":      {func(_ *Config, s *Secrets) { s.Token = "win ter" }, "token: must be the 3 to 32 letters and digits typed into WeChat's console as Token"},
		"no API key":              {func(_ *Config, s *Secrets) { s.DifyAPIKey = "" }, "dify-api-key: must be the app's API key, such as app-…, without spaces"},
		"API key of two lines":    {func(_ *Config, s *Secrets) { s.DifyAPIKey = "app-1\napp-2" }, "dify-api-key: must be the app's API key, such as app-…, without spaces"},
		"short AES key":           {func(_ *Config, s *Secrets) { s.EncodingAESKey = Secret(aesKey[1:]) }, "encoding-aes-key: must be the 43 letters and digits that WeChat's console shows as EncodingAESKey"},
		"AES key not of base64":   {func(_ *Config, s *Secrets) { s.EncodingAESKey = Secret("!" + aesKey[1:]) }, "encoding-aes-key: must be the 43 letters and digits that WeChat's console shows as EncodingAESKey"},
		"AES key with a newline":  {func(_ *Config, s *Secrets) { s.EncodingAESKey = Secret("\n" + aesKey[1:]) }, "encoding-aes-key: must be the 43 letters and digits that WeChat's console shows as EncodingAESKey"},
		"AES key without AppID":   {func(_ *Config, s *Secrets) { s.EncodingAESKey = aesKey }, "wechat.appID: is missing: it is needed with the secret file encoding-aes-key"},
		"AppSecret with a space":  {func(_ *Config, s *Secrets) { s.AppSecret = "a b" }, "app-secret: must hold no spaces: copy AppSecret from WeChat's console"},
		"AppSecret without AppID": {func(_ *Config, s *Secrets) { s.AppSecret = "a" }, "wechat.appID: is missing: it is needed with the secret file app-secret"},
		"menu": {func(c *Config, s *Secrets) {
			c.WeChat.AppID, c.Menu, s.AppSecret = "wx1", []MenuButton{{MenuItem: MenuItem{Name: "a", Reply: "b"}}}, "a"
		}, ""},
		"menu without AppID": {func(c *Config, _ *Secrets) { c.Menu = []MenuButton{{MenuItem: MenuItem{Name: "a", Reply: "b"}}} }, "wechat.appID: is missing: menu is published through WeChat's API, which needs it"},
		"menu without AppSecret": {func(c *Config, _ *Secrets) {
			c.WeChat.AppID, c.Menu = "wx1", []MenuButton{{MenuItem: MenuItem{Name: "a", Reply: "b"}}}
		}, "app-secret: is missing: menu is published through WeChat's API, put the account's AppSecret into this secret file"},
		"CA that is none":        {func(_ *Config, s *Secrets) { s.RedisCA = []byte("x") }, "redis-ca.crt: holds no PEM certificate"},
		"password may be a poem": {func(_ *Config, s *Secrets) { s.RedisPassword = "密 码" }, ""},
		"AES key's spare last bits": {func(c *Config, s *Secrets) {
			s.EncodingAESKey, c.WeChat.AppID = Secret(aesKey[:42]+"H"), "wx0123456789abcdef"
		}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, s := parse(t, minimal), Secrets{Token: token, DifyAPIKey: apiKey}
			tt.change(&c, &s)
			if got := message(Validate(c, s)); got != tt.want {
				t.Errorf("message\n  got  %s\n  want %s", got, tt.want)
			}
		})
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	const hidden = "hunter2hunter2"
	s := Secrets{Token: hidden}
	var text, logs bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%t"} {
		fmt.Fprintf(&text, verb+"\n", s.Token)
		fmt.Fprintf(&text, verb+"\n", s)
		fmt.Fprintf(&text, verb+"\n", &s)
		fmt.Fprintf(&text, verb+"\n", []Secret{hidden})
	}
	fmt.Fprintln(&text, s.Token, s.Token.String(), s.Token.GoString(), fmt.Errorf("x: %v", s.Token))
	slog.New(slog.NewTextHandler(&logs, nil)).Info("x", "secret", s.Token, "all", s)
	slog.New(slog.NewJSONHandler(&logs, nil)).Info("x", "secret", s.Token, "all", s)
	asJSON, err := json.Marshal([]any{s.Token, s})
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for name, shown := range map[string]string{"fmt": text.String(), "slog": logs.String(), "JSON": string(asJSON), "YAML": string(asYAML)} {
		for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), fmt.Sprintf("%d", []byte(hidden)[:4])} {
			if strings.Contains(shown, form) {
				t.Errorf("%s shows the secret", name)
			}
		}
		if !strings.Contains(shown, "[redacted]") {
			t.Errorf("%s does not say that something is redacted", name)
		}
	}
	if s.Token.Reveal() != hidden {
		t.Error("Reveal does not give the secret")
	}
	if got := Secret("").String(); got != "" {
		t.Errorf("an empty secret shows as %q", got)
	}
}
