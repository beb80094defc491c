package desired

import (
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

const (
	configFile = "config.yaml"
	configDir  = "/etc/wechatbot/config"
	secretsDir = "/etc/wechatbot/secrets"
)

// Config is the configuration file of a bot's webhook server. There are no secrets in it.
func Config(bot *v1alpha1.WechatBot) serverconfig.Config {
	spec := &bot.Spec
	c := serverconfig.Default()
	c.Bot = bot.Namespace + "/" + bot.Name
	c.Listen, c.AdminListen = ":8080", fmt.Sprintf(":%d", AdminPort)
	c.SecretsDir = secretsDir
	set(&c.Path, spec.Path)

	c.WeChat.AppID = spec.WeChat.AppID
	c.WeChat.OriginalID = spec.WeChat.OriginalID
	c.WeChat.AllowPlain = spec.WeChat.AllowPlain
	c.WeChat.VerificationFiles = texts(spec.WeChat.VerificationFiles)

	set(&c.Dify.BaseURL, spec.Dify.BaseURL)
	c.Dify.FilesURL = spec.Dify.FilesURL
	c.Dify.Inputs = texts(spec.Dify.Inputs)
	set(&c.Dify.Timeout, duration(spec.Dify.Timeout.Duration))
	set(&c.Dify.IdleTimeout, duration(spec.Dify.IdleTimeout.Duration))

	set(&c.Reply.Mode, string(spec.Reply.Mode))
	if push := spec.Reply.Push; push != nil && push.MaxSends != nil {
		c.Reply.Push.MaxSends = int(*push.MaxSends)
	}
	set(&c.Reply.Voice, string(spec.Reply.Voice))
	set(&c.Reply.Deadline, duration(spec.Reply.Deadline.Duration))
	if spec.Reply.HoldsPerMinute != nil {
		c.Reply.HoldsPerMinute = int(*spec.Reply.HoldsPerMinute)
	}
	set(&c.Reply.Language, string(spec.Reply.Language))
	set(&c.Reply.TimeZone, spec.Reply.TimeZone)
	if len(spec.Reply.ContinueWords) > 0 {
		c.Reply.ContinueWords = nil
		for _, word := range spec.Reply.ContinueWords {
			c.Reply.ContinueWords = append(c.Reply.ContinueWords, string(word))
		}
	}
	if label := spec.Reply.AILabel; label != nil {
		c.Reply.AILabel = *label
	}
	c.Reply.Sources = spec.Reply.Sources
	if suggestions := spec.Reply.Suggestions; suggestions != nil {
		c.Reply.Suggestions = *suggestions
	}
	c.Reply.Notice, c.Reply.Feedback = spec.Reply.Notice, spec.Reply.Feedback
	if page := spec.Reply.Page; page != nil {
		c.Reply.Page.Enabled = page.Enabled
		if page.Enabled { // a server of before that has no pages knows no domain either, and would not start
			c.Domain = spec.Domain
		}
		set(&c.Reply.Page.TTL, duration(page.TTL.Duration))
	}
	c.Reply.Texts = texts(spec.Reply.Texts)

	set(&c.Limits.Questions, int(spec.Limits.Questions))
	set(&c.Limits.Window, duration(spec.Limits.Window.Duration))
	set(&c.Limits.Concurrency, int(spec.Limits.Concurrency))
	if tokens := spec.Limits.Tokens; tokens != nil {
		c.Limits.Tokens = serverconfig.Tokens{Follower: tokens.Follower, Bot: tokens.Bot}
	}

	c.Session = session(bot, c.Session)
	if tracing := spec.Tracing; tracing != nil {
		c.Tracing.Endpoint = tracing.Endpoint
		set(&c.Tracing.SamplingPercent, int(tracing.SamplingPercent))
	}
	c.Handover = handover(spec.Handover)
	c.Keywords = keywords(spec.Keywords)
	c.Menu = menu(spec.Menu)
	set(&c.MenuPolicy, serverconfig.MenuPolicy(spec.MenuPolicy))
	return c
}

func session(bot *v1alpha1.WechatBot, s serverconfig.Session) serverconfig.Session {
	spec := &bot.Spec.Session
	set(&s.IdleTimeout, duration(spec.IdleTimeout.Duration))
	set(&s.History, int(spec.History))
	switch spec.Store() {
	case v1alpha1.StoreConfigMap:
		s.Type = serverconfig.SessionConfigMap
		s.ConfigMap = *sessionStore(bot)
	case v1alpha1.StoreManagedRedis:
		s.Type = serverconfig.SessionRedis
		s.Redis = serverconfig.Redis{Mode: serverconfig.RedisStandalone, Addresses: []string{redisAddress(bot)}}
	case v1alpha1.StoreExternalRedis:
		s.Type = serverconfig.SessionRedis
		s.Redis = externalRedis(external(bot))
	}
	return s
}

func handover(spec *v1alpha1.Handover) (h serverconfig.Handover) {
	if spec == nil {
		return h
	}
	for _, word := range spec.Words {
		h.Words = append(h.Words, string(word))
	}
	if len(h.Words) == 0 { // an object that bypassed the CRD's defaults
		h.Words = []string{"人工", "转人工"}
	}
	h.Offline = spec.Offline
	return h
}

// external is the Redis of the user's that the spec describes; empty if it bypassed the CRD's rules and does not.
func external(bot *v1alpha1.WechatBot) *v1alpha1.ExternalRedis {
	if r := bot.Spec.Session.Redis; r != nil && r.External != nil {
		return r.External
	}
	return &v1alpha1.ExternalRedis{}
}

func externalRedis(spec *v1alpha1.ExternalRedis) serverconfig.Redis {
	r := serverconfig.Redis{
		Mode: serverconfig.RedisStandalone, MasterName: spec.MasterName, Database: int(spec.Database),
		TLS: serverconfig.RedisTLS{Enabled: spec.TLS.Enabled, InsecureSkipVerify: spec.TLS.InsecureSkipVerify},
	}
	set(&r.Mode, serverconfig.RedisMode(spec.Mode))
	for _, address := range spec.Addresses {
		r.Addresses = append(r.Addresses, string(address))
	}
	return r
}

// set leaves the default where the spec says nothing: only an object that bypassed the CRD's defaults does.
func set[T comparable](field *T, value T) {
	var nothing T
	if value != nothing {
		*field = value
	}
}

func duration(d time.Duration) serverconfig.Duration { return serverconfig.Duration(d) }

func texts[T ~string](m map[string]T) map[string]string {
	if len(m) == 0 {
		return nil
	}
	plain := make(map[string]string, len(m))
	for key, value := range m {
		plain[key] = string(value)
	}
	return plain
}
