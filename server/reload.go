package server

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
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
	unknown []string // fields that a newer operator has written
	hash    string   // of the configuration's file
}

// load reads the configuration at path, and the secrets from the folder that it names; or from another one, because
// secretsDir is a field that a running server does not change.
func load(path, secretsDir string, byOperator bool) (files, error) {
	read := serverconfig.Load
	if byOperator {
		read = serverconfig.LoadByOperator
	}
	file, err := read(path)
	if err != nil {
		return files{}, err
	}
	f := files{config: file.Config, unknown: file.Unknown, hash: file.Hash}
	if f.secrets, err = serverconfig.LoadSecrets(cmp.Or(secretsDir, f.config.SecretsDir)); err != nil {
		return f, err
	}
	return f, serverconfig.Validate(f.config, f.secrets)
}

// loadAgain is load for a server that runs: a configuration that has not changed is the one in force, which is not parsed and
// judged again.
func (s *Server) loadAgain() (files, error) {
	if !serverconfig.Unchanged(s.options.ConfigPath, s.files.hash) {
		return load(s.options.ConfigPath, s.config.SecretsDir, s.options.ConfigByOperator)
	}
	f := s.files
	var err error
	if f.secrets, err = serverconfig.LoadSecrets(s.config.SecretsDir); err != nil || reflect.DeepEqual(f.secrets, s.files.secrets) {
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
	f, err := s.loadAgain()
	if err == nil {
		s.tellUnknown(f.unknown)
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
	var changed []string
	if f.hash != s.files.hash {
		changed = f.config.Diff(&s.files.config)
	}
	rotated := !reflect.DeepEqual(f.secrets, s.files.secrets)
	if len(changed) == 0 && !rotated && !s.rotation.due(now) {
		s.files = f // with other comments, perhaps
		s.hash.Store(&f.hash)
		return nil
	}
	rotation := s.rotation.next(s.files, f, now)
	account, err := rotation.account(f)
	if err != nil {
		return err
	}
	pages, err := pageSettings(f, s.config.Path)
	if err != nil {
		return err
	}
	if err := s.media.configure(f); err != nil {
		return err
	}
	if err := s.dify.configure(f); err != nil {
		return err
	}
	if err := s.configureAccount(f); err != nil {
		return err
	}
	s.rotation = rotation
	s.tracing.configure(f)
	s.hash.Store(&f.hash)
	s.rendering.Store(new(RenderOptions(f.config)))
	s.page.Configure(pages)
	s.engine.Configure(Settings(f.config))
	s.budget.configure(f.config.Limits.Tokens)
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

// tellUnknown counts the fields that a newer operator has written and this server does not know, and logs them when they
// change.
func (s *Server) tellUnknown(fields []string) {
	s.metrics.unknownFields.Set(float64(len(fields)))
	if len(fields) > 0 && !slices.Equal(s.unknown, fields) {
		s.options.Log.Warn("The configuration has fields that this version does not know: they are of no effect", "fields", strings.Join(fields, ", "))
	}
	s.unknown = fields
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

// difySwitch is the Dify client of the configuration that is in force. Address, key and authorities change in one step. A
// call goes on with the client that began it.
type difySwitch struct {
	current   atomic.Pointer[dify.Client]
	target    dify.Target       // of current, without key and authorities
	ca        []byte            // its authorities, as the file has them
	options   dify.Options      // of current, without the transport
	transport http.RoundTripper // nil but in tests
	last      lastDifyError
}

var _ turn.Dify = (*difySwitch)(nil)

// spareConnections are for the short calls beside the turns.
const spareConnections = 16

func newDifySwitch(f files) (*difySwitch, error) {
	d := new(difySwitch)
	err := d.configure(f)
	return d, err
}

// configure puts another client in force, which shares the connections of the one before if only the key has changed.
func (d *difySwitch) configure(f files) error {
	c, key := f.config.Dify, f.secrets.DifyAPIKey.Reveal()
	target := dify.Target{BaseURL: c.BaseURL}
	o := dify.Options{
		UserAgent: "wechatbot-server", MaxConns: f.config.Limits.Concurrency + spareConnections,
		IdleTimeout: time.Duration(c.IdleTimeout), FirstEventTimeout: time.Duration(c.IdleTimeout),
	}
	old := d.current.Load()
	client := old
	if old == nil || target != d.target || o != d.options || !bytes.Equal(f.secrets.DifyCA, d.ca) {
		var err error
		if client, err = d.make(target, f.secrets.DifyCA, o); err != nil {
			return err
		}
	}
	keyed, err := client.WithKey(key)
	if err != nil {
		return fmt.Errorf("dify-api-key: %w", err)
	}
	d.current.Store(keyed)
	d.target, d.ca, d.options = target, f.secrets.DifyCA, o
	if old != nil && client != old {
		old.CloseIdleConnections()
	}
	return nil
}

// make makes a client, without a key.
func (d *difySwitch) make(target dify.Target, ca []byte, o dify.Options) (*dify.Client, error) {
	var err error
	if len(ca) > 0 {
		if target.CA, err = dify.CertPool(ca); err != nil {
			return nil, fmt.Errorf("dify-ca.crt: %w", err)
		}
	}
	o.Transport = d.transport
	c, err := dify.New(target, o)
	if err != nil {
		return nil, fmt.Errorf("dify.baseURL: %w", err)
	}
	return c, nil
}

func (d *difySwitch) Chat(ctx context.Context, r dify.ChatRequest, onUpdate func(dify.Update)) (dify.Answer, error) {
	a, err := d.current.Load().Chat(ctx, r, onUpdate)
	d.last.note(err)
	return a, err
}

func (d *difySwitch) Stop(ctx context.Context, taskID, user string) error {
	return d.current.Load().Stop(ctx, taskID, user)
}

func (d *difySwitch) Await(ctx context.Context, r dify.Run) (dify.Answer, error) {
	a, err := d.current.Load().Await(ctx, r)
	d.last.note(err)
	return a, err
}

func (d *difySwitch) DeleteConversations(ctx context.Context, user string) (int, error) {
	return d.current.Load().DeleteConversations(ctx, user)
}

func (d *difySwitch) DeleteConversation(ctx context.Context, id, user string) error {
	return d.current.Load().DeleteConversation(ctx, id, user)
}

func (d *difySwitch) UploadPicture(ctx context.Context, user, contentType string, content []byte) (string, error) {
	return d.current.Load().UploadPicture(ctx, user, contentType, content)
}

func (d *difySwitch) TextToAudio(ctx context.Context, user, text string, limit int) ([]byte, error) {
	return d.current.Load().TextToAudio(ctx, user, text, limit)
}

func (d *difySwitch) AudioToText(ctx context.Context, user, contentType string, content []byte) (string, error) {
	return d.current.Load().AudioToText(ctx, user, contentType, content)
}

func (d *difySwitch) Parameters(ctx context.Context) (dify.Parameters, error) {
	p, err := d.current.Load().Parameters(ctx)
	if err != nil { // settings can be had while questions fail
		d.last.note(err)
	}
	return p, err
}
