package server

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/webhook"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// files is what a server is configured by, as read at one moment.
type files struct {
	config  serverconfig.Config
	secrets serverconfig.Secrets
}

// load reads the configuration at path, and the secrets from the folder that it names; or from another one, because
// secretsDir is a field that a running server does not change.
func load(path, secretsDir string) (files, error) {
	var f files
	var err error
	if f.config, err = serverconfig.Load(path); err != nil {
		return f, err
	}
	if f.secrets, err = serverconfig.LoadSecrets(cmp.Or(secretsDir, f.config.SecretsDir)); err != nil {
		return f, err
	}
	return f, serverconfig.Validate(f.config, f.secrets)
}

// reload looks at the files until ctx ends. Mounted ones are replaced as a whole behind a symbolic link, for which
// looking again is the one way that works on every file system; they are small and cached.
func (s *Server) reload(ctx context.Context) {
	tick := time.NewTicker(s.options.ReloadEvery)
	defer tick.Stop()
	var refused string
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			refused = s.look(now, refused)
		}
	}
}

// look applies what has changed and returns the problem of files that were refused, to report it once.
func (s *Server) look(now time.Time, refused string) string {
	f, err := load(s.options.ConfigPath, s.config.SecretsDir)
	if err == nil {
		err = s.apply(f, now)
	}
	if err == nil {
		s.metrics.configValid.Set(1)
		if refused != "" {
			s.options.Log.Info("The configuration is valid again and in force")
		}
		return ""
	}
	s.metrics.configValid.Set(0)
	if err.Error() != refused {
		s.options.Log.Error("Refused a changed configuration, the old one stays", "error", err)
		s.metrics.reloads.WithLabelValues("refused").Inc()
	}
	return err.Error()
}

// apply takes what can be taken in place. It changes all or nothing.
func (s *Server) apply(f files, now time.Time) error {
	changed := f.config.Diff(&s.files.config)
	rotated := !reflect.DeepEqual(f.secrets, s.files.secrets)
	if len(changed) == 0 && !rotated && !s.rotation.due(now) {
		return nil
	}
	rotation := s.rotation.next(s.files, f, now)
	account, err := rotation.account(f)
	if err != nil {
		return err
	}
	if err := s.dify.configure(f); err != nil {
		return err
	}
	s.rotation = rotation
	s.engine.Configure(Settings(f.config))
	s.handler.Configure(webhook.Bot{Account: account, VerificationFiles: f.config.WeChat.VerificationFiles})
	if fields := f.config.RestartNeeded(&s.config); len(fields) > 0 {
		s.options.Log.Warn("Changed fields wait for the next start", "fields", strings.Join(fields, ", "))
	}
	if len(changed) > 0 || rotated {
		s.options.Log.Info("Applied a changed configuration", "fields", strings.Join(changed, ", "), "secrets", rotated)
		s.metrics.reloads.WithLabelValues("applied").Inc()
	}
	s.files = f
	s.secrets.Store(&f.secrets)
	return nil
}

// rotationGrace is how long an old token or EncodingAESKey is accepted beside the new one: the console and the Secret
// are never changed in the same second, and deliveries under way are repeated as they were.
const rotationGrace = 10 * time.Minute

// rotation remembers the secrets of WeChat's that were replaced lately.
type rotation struct {
	tokens, keys []old
}

type old struct {
	secret serverconfig.Secret
	until  time.Time
}

// next is the rotation after a change of files.
func (r rotation) next(before, after files, now time.Time) rotation {
	return rotation{
		tokens: replaced(r.tokens, before.secrets.Token, after.secrets.Token, now),
		keys:   replaced(r.keys, before.secrets.EncodingAESKey, after.secrets.EncodingAESKey, now),
	}
}

func replaced(olds []old, before, after serverconfig.Secret, now time.Time) []old {
	kept := slices.DeleteFunc(slices.Clone(olds), func(o old) bool { return !o.until.After(now) || o.secret == after })
	if before != after && before.Reveal() != "" && after.Reveal() != "" {
		kept = append(kept, old{before, now.Add(rotationGrace)})
	}
	return kept
}

// due tells whether an old secret's time is over.
func (r rotation) due(now time.Time) bool {
	over := func(o old) bool { return !o.until.After(now) }
	return slices.ContainsFunc(r.tokens, over) || slices.ContainsFunc(r.keys, over)
}

// account is the account that the files describe, old secrets included.
func (r rotation) account(f files) (*wechat.Account, error) {
	with := func(current serverconfig.Secret, olds []old) []string {
		if current.Reveal() == "" {
			return nil
		}
		secrets := []string{current.Reveal()}
		for _, o := range olds {
			secrets = append(secrets, o.secret.Reveal())
		}
		return secrets
	}
	a, err := wechat.NewAccount(wechat.Options{
		Tokens: with(f.secrets.Token, r.tokens), EncodingAESKeys: with(f.secrets.EncodingAESKey, r.keys),
		AppID: f.config.WeChat.AppID, OriginalID: f.config.WeChat.OriginalID, AllowPlain: f.config.WeChat.AllowPlain,
	})
	if err != nil {
		return nil, fmt.Errorf("wechat: %w", err)
	}
	return a, nil
}

// difySwitch is the Dify client of the configuration that is in force. A call goes on with the client that began it.
type difySwitch struct {
	current atomic.Pointer[dify.Client]
	made    dify.Options
	key     atomic.Pointer[serverconfig.Secret]
}

var _ turn.Dify = (*difySwitch)(nil)

// spareConnections are for the short calls beside the turns.
const spareConnections = 16

func newDifySwitch(f files) (*difySwitch, error) {
	d := new(difySwitch)
	err := d.configure(f)
	return d, err
}

func (d *difySwitch) configure(f files) error {
	c := f.config.Dify
	o := dify.Options{
		BaseURL: c.BaseURL, UserAgent: "wechatbot-server", MaxConns: f.config.Limits.Concurrency + spareConnections,
		IdleTimeout: time.Duration(c.IdleTimeout), FirstEventTimeout: time.Duration(c.IdleTimeout),
	}
	if o != d.made {
		client, err := dify.New(func() string { return d.key.Load().Reveal() }, o)
		if err != nil {
			return fmt.Errorf("dify.baseURL: %w", err)
		}
		if old := d.current.Swap(client); old != nil {
			old.CloseIdleConnections()
		}
		d.made = o
	}
	d.key.Store(&f.secrets.DifyAPIKey)
	return nil
}

func (d *difySwitch) Chat(ctx context.Context, r dify.ChatRequest, onUpdate func(dify.Update)) (dify.Answer, error) {
	return d.current.Load().Chat(ctx, r, onUpdate)
}

func (d *difySwitch) Stop(ctx context.Context, taskID, user string) error {
	return d.current.Load().Stop(ctx, taskID, user)
}

func (d *difySwitch) Messages(ctx context.Context, conversationID, user string, limit int) ([]dify.Message, error) {
	return d.current.Load().Messages(ctx, conversationID, user, limit)
}

func (d *difySwitch) Info(ctx context.Context) (dify.Info, error) {
	return d.current.Load().Info(ctx)
}

func (d *difySwitch) DeleteConversation(ctx context.Context, id, user string) error {
	return d.current.Load().DeleteConversation(ctx, id, user)
}

func (d *difySwitch) Parameters(ctx context.Context) (dify.Parameters, error) {
	return d.current.Load().Parameters(ctx)
}
