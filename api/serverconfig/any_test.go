package serverconfig

import (
	"strings"
	"time"

	"pgregory.net/rapid"
)

// anyConfig draws a complete configuration from the whole range of each field.
func anyConfig(t *rapid.T) Config {
	pick := func(name string, values ...string) string { return rapid.SampledFrom(values).Draw(t, name) }
	number := func(name string, least, most int) int { return rapid.IntRange(least, most).Draw(t, name) }
	duration := func(name string, least, most time.Duration) Duration {
		return Duration(rapid.Int64Range(int64(least), int64(most)).Draw(t, name))
	}
	texts := func(name string, keys *rapid.Generator[string], values *rapid.Generator[string]) map[string]string {
		m := rapid.MapOfN(keys, values, 0, 4).Draw(t, name)
		if len(m) == 0 {
			return nil
		}
		return m
	}
	c := Config{
		Bot:         rapid.StringMatching(`[a-z0-9]{1,9}/[a-z]([-a-z0-9]{0,9}[a-z0-9])?`).Draw(t, "bot"),
		Listen:      pick("listen", ":8080", "127.0.0.1:0", "[::1]:80", "localhost:65535"),
		AdminListen: pick("adminListen", ":9090", "10.0.0.1:1"),
		Path:        rapid.StringMatching(`/[A-Za-z0-9_~-]{1,20}(/[A-Za-z0-9_~-]{1,9})?`).Draw(t, "path"),
		SecretsDir:  rapid.StringN(1, 20, -1).Filter(isPrintable).Draw(t, "secretsDir"),
		WeChat: WeChat{
			AppID: pick("appID", "", "wx0123456789abcdef"), OriginalID: pick("originalID", "", "gh_1", "007"),
			AllowPlain: rapid.Bool().Draw(t, "allowPlain"), APIBaseURL: pick("api", "http://10.0.0.1:3128", "https://a/b"),
			PictureHosts:      rapid.SliceOfN(rapid.SampledFrom([]string{"qpic.cn", "a.b-c.example", "http://127.0.0.1:80"}), 1, 4).Draw(t, "pictureHosts"),
			VerificationFiles: texts("files", rapid.StringMatching(`MP_verify_[0-9A-Za-z]{16}\.txt`), rapid.StringMatching(`[0-9a-z]{1,16}`)),
		},
		Dify: Dify{
			BaseURL:  pick("dify", "https://api.dify.ai/v1", "http://dify.dify:80/"),
			FilesURL: pick("filesURL", "", "http://files:5001"),
			Inputs:   texts("inputs", rapid.StringN(1, 9, -1).Filter(isPrintable), rapid.String().Filter(isPrintable)),
			Timeout:  duration("timeout", time.Second, time.Hour), IdleTimeout: duration("idle", time.Second, time.Hour),
		},
		Reply: Reply{
			Page: Page{TTL: duration("pageTTL", time.Minute, 720*time.Hour)},
			Mode: pick("mode", ReplyModePassive, ReplyModeCustomerService), Push: Push{number("sends", 1, 5)}, Deadline: duration("deadline", time.Second, 4800*time.Millisecond),
			ContinueWords:  rapid.SliceOfN(rapid.StringMatching(`[1-9一-龟]{1,9}`), 1, 8).Draw(t, "continueWords"),
			HoldsPerMinute: number("holds", 0, 1e6), Language: pick("language", LanguageChinese, LanguageEnglish), TimeZone: pick("timeZone", "UTC", "Asia/Shanghai", "Etc/GMT+8"),
			Texts: texts("texts", rapid.SampledFrom(TextKeys), rapid.StringN(1, 100, -1).Filter(func(s string) bool {
				return isPrintable(s) && strings.TrimSpace(s) != ""
			})),
		},
		Tracing: Tracing{
			Endpoint:        rapid.SampledFrom([]string{"", "http://otel-collector:4318", "https://traces.example.com/api/otel"}).Draw(t, "endpoint"),
			SamplingPercent: number("samplingPercent", 1, 100),
		},
		Limits: Limits{Questions: number("questions", 1, 10000), Window: duration("window", time.Second, 24*time.Hour), Concurrency: number("concurrency", 1, 10000)},
		Session: Session{
			Type:        rapid.SampledFrom([]SessionType{SessionMemory, SessionConfigMap, SessionRedis}).Draw(t, "type"),
			IdleTimeout: duration("sessionIdle", time.Minute, 8760*time.Hour), History: number("history", 1, 200),
		},
	}
	c.Limits.Tokens = Tokens{Follower: rapid.Int64Range(0, MaxTokens).Draw(t, "follower"), Bot: rapid.Int64Range(0, MaxTokens).Draw(t, "tokens")}
	c.Domain = pick("domain", "", "bot.example.com", "localhost:8443")
	c.Reply.Page.Enabled = c.Domain != "" && rapid.Bool().Draw(t, "page")
	if c.Reply.Voice = VoiceNever; c.Reply.Mode == ReplyModeCustomerService {
		c.Reply.Voice = pick("voice", VoiceNever, VoiceForVoice)
	}
	for range number("keywords", 0, 3) {
		k := Keyword{
			Words: rapid.SliceOfN(rapid.StringMatching(`[a-z一-龟][0-9]{1,9}`), 1, 3).Draw(t, "words"),
			Match: rapid.SampledFrom([]KeywordMatch{"", MatchExact, MatchPrefix, MatchContains}).Draw(t, "match"),
		}
		*rapid.SampledFrom([]*string{&k.Question, &k.Reply}).Draw(t, "does") = rapid.StringMatching(`[a-z一-龟]{1,9}`).Draw(t, "text")
		c.Keywords = append(c.Keywords, k)
	}
	c.Reply.Feedback = rapid.Bool().Draw(t, "feedback")
	c.Reply.Suggestions = rapid.Bool().Draw(t, "suggestions")
	c.Reply.Sources = rapid.Bool().Draw(t, "sources")
	c.Reply.Notice = pick("notice", "", "备案号\n模型")
	c.Reply.AILabel = pick("label", "", "AI", labelChinese)
	c.MenuPolicy = rapid.SampledFrom([]MenuPolicy{MenuReport, MenuEnforce}).Draw(t, "menuPolicy")
	if c.WeChat.AppID != "" {
		c.Menu = anyMenu(t)
	}
	c.complete()
	return c
}
