package serverconfig

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // images have no files of time zones
	"unicode"
	"unicode/utf8"
)

const (
	// MaxVerificationFileBytes bounds the content of a verification file; WeChat's hold 16 characters.
	MaxVerificationFileBytes = 1024
	// MaxPictureHosts bounds wechat.pictureHosts.
	MaxPictureHosts = 16
	// MaxInputNameBytes bounds the name of a variable in dify.inputs; YAML itself ends keys at 1,024 characters.
	MaxInputNameBytes = 256
)

const addressesAreWhat = "must be host:port or :port, such as 127.0.0.1:8080"

// Check says what is wrong with c, as Parse would, or nil. It does not look at the secrets: Validate does.
func (c *Config) Check() error {
	if err := c.checkCharacters(); err != nil {
		return err
	}
	for _, check := range []func() error{c.checkServer, c.WeChat.check, c.Dify.check, c.Reply.check, c.Limits.check, c.Session.check, c.Tracing.check, c.checkHandover, c.checkKeywords, c.checkMenu} {
		if err := check(); err != nil {
			return err
		}
	}
	if _, taken := c.WeChat.VerificationFiles[strings.TrimPrefix(c.Path, "/")]; taken {
		return wrong("path", "%s is also the name of a verification file: choose another path", c.Path)
	}
	return nil
}

// checkCharacters refuses texts that YAML cannot carry and no log, header or WeChat reply can show.
func (c *Config) checkCharacters() error {
	if encoded := encode(c); isPrintable(encoded) && !strings.Contains(encoded, `\`) {
		return nil // nothing was escaped, so all texts are in it as they are
	}
	for i, texts := range []map[string]string{c.WeChat.VerificationFiles, c.Dify.Inputs, c.Reply.Texts} {
		for _, key := range slices.Sorted(maps.Keys(texts)) {
			if !isPrintable(key) || !isPrintable(texts[key]) {
				return unprintable(child(freeform[i], key))
			}
		}
	}
	var inLists error
	look := func(field, text string) {
		if inLists == nil && !isPrintable(text) {
			inLists = unprintable(field)
		}
	}
	c.keywordTexts(look)
	c.menuTexts(look)
	if inLists != nil {
		return inLists
	}
	for i, address := range c.Session.Redis.Addresses {
		if !isPrintable(address) {
			return unprintable("session.redis.addresses[" + strconv.Itoa(i) + "]")
		}
	}
	for _, l := range leaves(c) {
		if text, ok := l.text(); ok && !isPrintable(text) {
			return unprintable(l.field)
		}
	}
	return nil
}

func unprintable(path string) error {
	return wrong(path, "holds a control character or is not UTF-8: remove it")
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' || r == '\uFEFF' || r == '\uFFFE' || r == '\uFFFF'
	})
}

func (c *Config) checkServer() error {
	switch {
	case c.Bot == "":
		return wrong("bot", "is missing: give the bot's namespace/name, such as bots/winter")
	case !botPattern.matches(c.Bot):
		return wrong("bot", "%q is not namespace/name: use lower-case letters, digits and hyphens, such as bots/winter", c.Bot)
	}
	if err := checkAddress("listen", c.Listen, false); err != nil {
		return err
	}
	if err := checkAddress("adminListen", c.AdminListen, false); err != nil {
		return err
	}
	if c.AdminListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		return wrong("adminListen", "is the same as listen: metrics must not be served to the internet, give it another port")
	}
	if err := checkPath(c.Path); err != nil {
		return err
	}
	switch {
	case c.Domain != "" && !domainPattern.matches(c.Domain):
		return wrong("domain", "%q is not a domain: write it in lower case, without https:// and path, such as bot.example.com", c.Domain)
	case c.Domain == "" && c.Reply.Page.Enabled:
		return wrong("domain", "is missing: reply.page.enabled needs the domain that followers reach the server at by https, such as bot.example.com")
	}
	if c.SecretsDir == "" {
		return wrong("secretsDir", "is missing: give the folder with the files %s and %s", fileToken, fileDifyAPIKey)
	}
	return nil
}

func checkPath(p string) error {
	switch {
	case !strings.HasPrefix(p, "/"):
		return wrong("path", "%q must start with a slash and hold no domain, such as /wechat", p)
	case !pathPattern.matches(p):
		return wrong("path", "%q may hold letters, digits and / . _ ~ - only, 256 at most", p)
	case path.Clean(p) != p:
		return wrong("path", "%q is not clean: write %s", p, path.Clean(p))
	}
	return nil
}

func checkAddress(field, address string, needHost bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.ContainsAny(host, " /\t\r\n") {
		return wrong(field, "%q %s", address, addressesAreWhat)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || (needHost && n == 0) {
		return wrong(field, "%q has no port between 1 and 65535", address)
	}
	if needHost && host == "" {
		return wrong(field, "%q has no host", address)
	}
	return nil
}

func checkURL(field, address, example string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return wrong(field, "must be an http or https address, such as %s", example)
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return wrong(field, "must hold no user, query or fragment: write it as in %s", example)
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || n == 0) {
		return wrong(field, "must have a port between 1 and 65535, or none, as in %s", example)
	}
	return nil
}

func (w *WeChat) check() error {
	switch {
	case w.AppID != "" && !accountPattern.matches(w.AppID):
		return wrong("wechat.appID", "%q is not an AppID: copy it from WeChat's console, it looks like wx0123456789abcdef", w.AppID)
	case w.OriginalID != "" && !accountPattern.matches(w.OriginalID):
		return wrong("wechat.originalID", "%q is not an account's original ID: copy it from WeChat's console, it looks like gh_3f1c9a7e52b0", w.OriginalID)
	}
	if err := checkURL("wechat.apiBaseURL", w.APIBaseURL, "https://api.weixin.qq.com"); err != nil {
		return err
	}
	if n := len(w.PictureHosts); n < 1 || n > MaxPictureHosts {
		return wrong("wechat.pictureHosts", "has %d hosts: give 1 to %d, or leave it out for WeChat's own", n, MaxPictureHosts)
	}
	for i, host := range w.PictureHosts {
		if !isPictureHost(host) {
			return wrong(fmt.Sprintf("wechat.pictureHosts[%d]", i), "%q is neither a public host such as qpic.cn nor an origin such as http://127.0.0.1:8080", host)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.VerificationFiles)) {
		field, content := child("wechat.verificationFiles", name), w.VerificationFiles[name]
		switch {
		case !verifyPattern.matches(name):
			return wrong(field, "is not the name of a verification file: use the name WeChat gave it, MP_verify_, 16 letters or digits, .txt")
		case content == "":
			return wrong(field, "is empty: copy the content of the file that WeChat gave")
		case len(content) > MaxVerificationFileBytes:
			return wrong(field, "has %d bytes, at most %d are allowed", len(content), MaxVerificationFileBytes)
		}
	}
	return nil
}

// isPictureHost tells whether it is the name of a public host, or an origin.
func isPictureHost(host string) bool {
	if strings.Contains(host, "://") {
		return checkURL("", host, "") == nil
	}
	return hostPattern.matches(host)
}

func (d *Dify) check() error {
	if err := checkURL("dify.baseURL", d.BaseURL, "https://api.dify.ai/v1"); err != nil {
		return err
	}
	if d.FilesURL != "" {
		if err := checkURL("dify.filesURL", d.FilesURL, "https://files.example.com"); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Inputs)) {
		if name == "" || len(name) > MaxInputNameBytes {
			return wrong(child("dify.inputs", name), "has a name of %d bytes: give the name of the app's variable, 1 to %d bytes", len(name), MaxInputNameBytes)
		}
	}
	if err := checkDuration("dify.timeout", d.Timeout, time.Second, time.Hour); err != nil {
		return err
	}
	return checkDuration("dify.idleTimeout", d.IdleTimeout, time.Second, time.Hour)
}

func (r *Reply) check() error {
	if r.Mode != ReplyModePassive && r.Mode != ReplyModeCustomerService {
		return wrong("reply.mode", "%q is not offered: use %s or %s", r.Mode, ReplyModePassive, ReplyModeCustomerService)
	}
	switch {
	case r.Voice != VoiceNever && r.Voice != VoiceForVoice:
		return wrong("reply.voice", "%q is not offered: use %s or %s", r.Voice, VoiceNever, VoiceForVoice)
	case r.Voice == VoiceForVoice && r.Mode != ReplyModeCustomerService:
		return wrong("reply.voice", "%s needs reply.mode %s: a reply has room for the text only", VoiceForVoice, ReplyModeCustomerService)
	}
	if err := checkCount("reply.push.maxSends", r.Push.MaxSends, 1, 5); err != nil {
		return err
	}
	if err := checkDuration("reply.page.ttl", r.Page.TTL, time.Minute, 720*time.Hour); err != nil {
		return err
	}
	if err := checkDuration("reply.deadline", r.Deadline, time.Second, 4800*time.Millisecond); err != nil {
		return err
	}
	switch {
	case r.HoldsPerMinute < 0:
		return wrong("reply.holdsPerMinute", "%d is less than 0: 0 never holds a delivery", r.HoldsPerMinute)
	case r.Language != LanguageChinese && r.Language != LanguageEnglish:
		return wrong("reply.language", "%q is not offered: use %s or %s", r.Language, LanguageChinese, LanguageEnglish)
	}
	if _, ok := zoneOf(r.TimeZone); !ok {
		return wrong("reply.timeZone", "%q is not the name of a time zone: use one of the IANA's, such as Asia/Shanghai or UTC", r.TimeZone)
	}
	switch label := r.AILabelText(); {
	case len(label) > MaxNoteBytes:
		return wrong("reply.aiLabel", "has %d bytes, at most %d are allowed (a Chinese character has 3)", len(label), MaxNoteBytes)
	case label != strings.TrimSpace(label), strings.ContainsAny(label, "\r\n"):
		return wrong("reply.aiLabel", "%q: write it in one line, without blanks around it; empty is none", label)
	case len(r.Notice) > MaxNoticeBytes:
		return wrong("reply.notice", "has %d bytes, at most %d are allowed (a Chinese character has 3)", len(r.Notice), MaxNoticeBytes)
	case r.Notice != strings.TrimSpace(r.Notice):
		return wrong("reply.notice", "has blanks around it: remove them")
	}
	if n := len(r.ContinueWords); n < 1 || n > maxContinueWords {
		return wrong("reply.continueWords", "%d words: give 1 to %d", n, maxContinueWords)
	}
	for i, word := range r.ContinueWords {
		if err := checkWord(fmt.Sprintf("reply.continueWords[%d]", i), word); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.Texts)) {
		if err := checkText(child("reply.texts", key), key, r.Texts[key]); err != nil {
			return err
		}
	}
	return nil
}

// checkWord checks what a follower types to get something.
func checkWord(field, word string) error {
	if word != strings.TrimSpace(word) || word == "" || len(word) > 30 || strings.HasPrefix(word, "/") || !utf8.ValidString(word) {
		return wrong(field, "%q: a word has 1 to 30 bytes, no slash in front and no blanks around it", word)
	}
	return nil
}

// maxContinueWords bounds reply.continueWords.
const maxContinueWords = 8

func checkText(field, key, text string) error {
	switch {
	case !slices.Contains(TextKeys, key):
		return wrong(field, "unknown text; known: %s", strings.Join(TextKeys, ", "))
	case strings.TrimSpace(text) == "":
		return wrong(field, "is empty: leave it out to get the built-in text")
	case len(text) > maxBytes(key):
		return wrong(field, "has %d bytes, at most %d are allowed (a Chinese character has 3)", len(text), maxBytes(key))
	}
	return nil
}

func (l *Limits) check() error {
	if err := checkCount("limits.questions", l.Questions, 1, 10000); err != nil {
		return err
	}
	if err := checkDuration("limits.window", l.Window, time.Second, 24*time.Hour); err != nil {
		return err
	}
	if err := checkCount("limits.concurrency", l.Concurrency, 1, 10000); err != nil {
		return err
	}
	return l.Tokens.check()
}

func (t *Tokens) check() error {
	for _, b := range []struct {
		field  string
		tokens int64
	}{{"limits.tokens.follower", t.Follower}, {"limits.tokens.bot", t.Bot}} {
		if b.tokens < 0 || b.tokens > MaxTokens {
			return wrong(b.field, "%d is out of range: give 1 to %d tokens a day, or leave it out for no limit", b.tokens, int64(MaxTokens))
		}
	}
	return nil
}

func (s *Session) check() error {
	switch s.Type {
	case SessionMemory, SessionConfigMap, SessionRedis:
	default:
		return wrong("session.type", "%q is not offered: use %s, %s or %s", string(s.Type), SessionMemory, SessionConfigMap, SessionRedis)
	}
	if err := checkDuration("session.idleTimeout", s.IdleTimeout, time.Minute, 8760*time.Hour); err != nil {
		return err
	}
	if err := checkCount("session.history", s.History, 1, 200); err != nil {
		return err
	}
	switch s.Type {
	case SessionConfigMap:
		return s.ConfigMap.check()
	case SessionRedis:
		return s.Redis.check()
	case SessionMemory:
	}
	return nil
}

func (m *ConfigMap) check() error {
	for _, part := range []struct{ field, value string }{
		{"session.configMap.namespace", m.Namespace}, {"session.configMap.name", m.Name},
	} {
		if !namePattern.matches(part.value) {
			return wrong(part.field, "%q is not a Kubernetes name: use lower-case letters, digits, hyphens and dots", part.value)
		}
	}
	return nil
}

func (r *Redis) check() error {
	switch r.Mode {
	case RedisStandalone, RedisSentinel, RedisCluster:
	default:
		return wrong("session.redis.mode", "%q is not offered: use %s, %s or %s", string(r.Mode), RedisStandalone, RedisSentinel, RedisCluster)
	}
	if len(r.Addresses) == 0 {
		return wrong("session.redis.addresses", "is missing: give at least one host:port")
	}
	for i, address := range r.Addresses {
		if err := checkAddress("session.redis.addresses["+strconv.Itoa(i)+"]", address, true); err != nil {
			return err
		}
	}
	switch {
	case r.Mode == RedisStandalone && len(r.Addresses) > 1:
		return wrong("session.redis.addresses", "has %d addresses, %s uses one: set session.redis.mode to %s or %s", len(r.Addresses), RedisStandalone, RedisSentinel, RedisCluster)
	case r.Mode == RedisSentinel && r.MasterName == "":
		return wrong("session.redis.masterName", "is missing: give the name the sentinels know the master by")
	case r.Mode != RedisSentinel && r.MasterName != "":
		return wrong("session.redis.masterName", "is only used with mode %s: leave it out", RedisSentinel)
	case r.Mode == RedisCluster && r.Database != 0:
		return wrong("session.redis.database", "must be 0 with mode %s", RedisCluster)
	case r.TLS.InsecureSkipVerify && !r.TLS.Enabled:
		return wrong("session.redis.tls.insecureSkipVerify", "is only used with tls.enabled: true")
	}
	return checkCount("session.redis.database", r.Database, 0, 65535)
}

func checkDuration(field string, d Duration, least, most time.Duration) error {
	if time.Duration(d) < least || time.Duration(d) > most {
		return wrong(field, "%s is out of range: give %s to %s", d, Duration(least), Duration(most))
	}
	return nil
}

func checkCount(field string, n, least, most int) error {
	if n < least || n > most {
		return wrong(field, "%d is out of range: give %d to %d", n, least, most)
	}
	return nil
}
