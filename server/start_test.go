package server

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestBrokenFilesAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		spoil  func(t *testing.T, p *place)
		want   string // what the one message says
	}{
		"no file":               {minimal, func(t *testing.T, p *place) { p.remove(t, "bot.yaml") }, "bot.yaml: no such file"},
		"no YAML":               {"bot: [", nil, "not valid YAML"},
		"a typo":                {minimal + "reply: {deadlin: 4s}\n", nil, "reply.deadlin: unknown field"},
		"a wrong type":          {minimal + "limits: {concurrency: many}\n", nil, "limits.concurrency: is a text"},
		"out of range":          {minimal + "reply: {deadline: 5s}\n", nil, "reply.deadline: 5s is out of range"},
		"no bot":                {"secretsDir: secrets\n", nil, "bot: is missing"},
		"no folder of secrets":  {strings.Replace(minimal, "secretsDir: secrets", "secretsDir: nowhere", 1), nil, "secret file token is missing in"},
		"no token":              {minimal, func(t *testing.T, p *place) { p.remove(t, "secrets/token") }, "secret file token is missing"},
		"an empty token":        {minimal, func(t *testing.T, p *place) { p.write(t, "secrets/token", "\n") }, "secret file token"},
		"a token that is none":  {minimal, func(t *testing.T, p *place) { p.write(t, "secrets/token", "to ken") }, "token: must be the 3 to 32"},
		"no key of Dify's":      {minimal, func(t *testing.T, p *place) { p.remove(t, "secrets/dify-api-key") }, "secret file dify-api-key is missing"},
		"a malformed AES key":   {minimal + "wechat: {appID: wx1}\n", func(t *testing.T, p *place) { p.write(t, "secrets/encoding-aes-key", "short") }, "encoding-aes-key: must be the 43"},
		"an AES key, no AppID":  {minimal, func(t *testing.T, p *place) { p.write(t, "secrets/encoding-aes-key", aesKey) }, "wechat.appID: is missing"},
		"a bad address":         {strings.Replace(minimal, "listen: 127.0.0.1:0", "listen: nowhere", 1), nil, "listen: \"nowhere\""},
		"a host of another":     {strings.Replace(minimal, "listen: 127.0.0.1:0", "listen: 192.0.2.1:0", 1), nil, "listen: listen tcp 192.0.2.1:0"},
		"another's admin host":  {strings.Replace(minimal, "adminListen: 127.0.0.1:0", "adminListen: 192.0.2.1:0", 1), nil, "adminListen: listen tcp 192.0.2.1:0"},
		"an address of Dify's":  {minimal + "dify: {baseURL: ftp://dify}\n", nil, "dify.baseURL: must be an http or https address"},
		"an endpoint of Dify's": {minimal + "dify: {baseURL: http://dify/v1/chat-messages}\n", nil, "dify.baseURL: the base URL must end at /v1, without /chat-messages"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c.config)
			if c.spoil != nil {
				c.spoil(t, p)
			}
			s, err := New(p.options())
			if err == nil {
				t.Fatalf("a server listens at %s", s.Addr())
			}
			message := err.Error()
			if !strings.Contains(message, c.want) || strings.Contains(message, "\n") {
				t.Errorf("the error is %q, want one line with %q", message, c.want)
			}
			for _, secret := range []string{token, difyKey, aesKey} {
				if strings.Contains(message, secret) {
					t.Errorf("the error tells a secret: %q", message)
				}
			}
			if p.log.String() != "" {
				t.Errorf("logged %s, want the error alone", p.log)
			}
		})
	}
}

func TestPortInUseIsNamed(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, field := range []string{"listen", "adminListen"} {
		p := newPlace(t, strings.Replace(minimal, field+": 127.0.0.1:0", field+": "+taken.Addr().String(), 1))
		if _, err := New(p.options()); err == nil || !strings.HasPrefix(err.Error(), field+": ") || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s: got %v, want the field and the cause", field, err)
		}
	}
}

// A server finds its secrets beside its file wherever it was started from, and shares nothing with others.
func TestServersListenSideBySide(t *testing.T) {
	a, b := newPlace(t, minimal).server(t), newPlace(t, minimal).server(t)
	if a.Addr().String() == b.Addr().String() || a.Addr().String() == a.AdminAddr().String() {
		t.Errorf("addresses %s, %s, %s are not different", a.Addr(), b.Addr(), a.AdminAddr())
	}
	if !filepath.IsAbs(a.config.SecretsDir) {
		t.Errorf("the secrets' folder is %s, want an absolute path", a.config.SecretsDir)
	}
}

// A listener that breaks ends the server with the reason.
func TestServingFails(t *testing.T) {
	s := newPlace(t, minimal).server(t)
	if err := s.admin.Close(); err != nil {
		t.Fatal(err)
	}
	err := s.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "serving "+s.AdminAddr().String()) {
		t.Errorf("got %v, want the listener that does not serve", err)
	}
}
