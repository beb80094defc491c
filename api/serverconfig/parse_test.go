package serverconfig

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

const minimal = "bot: bots/winter\nsecretsDir: /secrets\n"

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func parse(t *testing.T, file string) Config {
	t.Helper()
	c, err := Parse([]byte(file))
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, file)
	}
	return c
}

func TestDocumentedFileIsTheDefault(t *testing.T) {
	file := read(t, "documented.yaml")
	want := Default()
	want.Bot, want.SecretsDir = "bots/winter", "./secrets"
	want.Session.ConfigMap = ConfigMap{Namespace: "bots", Name: "winter-sessions"}
	want.Session.Redis = Redis{Mode: RedisStandalone, Addresses: []string{"127.0.0.1:6379"}}
	if d := cmp.Diff(want, parse(t, string(file))); d != "" {
		t.Errorf("documented file (-default +parsed):\n%s", d)
	}

	var tree map[string]any
	if err := yaml.Unmarshal(file, &tree); err != nil {
		t.Fatal(err)
	}
	requireEveryField(t, reflect.TypeFor[Config](), tree, "")
}

// requireEveryField fails for each field that the documented file leaves out.
func requireEveryField(t *testing.T, typ reflect.Type, tree map[string]any, path string) {
	t.Helper()
	for field := range typ.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, ok := tree[name]
		if !ok {
			t.Errorf("the documented file says nothing of %s", child(path, name))
		}
		if field.Type.Kind() == reflect.Struct {
			below, _ := value.(map[string]any)
			requireEveryField(t, field.Type, below, child(path, name))
		}
	}
}

func TestMinimalFileIsComplete(t *testing.T) {
	want := Default()
	want.Bot, want.SecretsDir = "bots/winter", "/secrets"
	if d := cmp.Diff(want, parse(t, minimal)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestStoreSectionIsCompleted(t *testing.T) {
	tests := map[string]struct {
		session string
		want    Session
	}{
		"ConfigMap after the bot": {
			"{type: ConfigMap}",
			Session{Type: SessionConfigMap, ConfigMap: ConfigMap{Namespace: "bots", Name: "winter-sessions"}},
		},
		"ConfigMap of its own name": {
			"{type: ConfigMap, configMap: {name: other}}",
			Session{Type: SessionConfigMap, ConfigMap: ConfigMap{Namespace: "bots", Name: "other"}},
		},
		"local Redis": {
			"{type: Redis}",
			Session{Type: SessionRedis, Redis: Redis{Mode: RedisStandalone, Addresses: []string{"127.0.0.1:6379"}}},
		},
		"Redis with sentinels": {
			"{type: Redis, redis: {mode: Sentinel, addresses: ['a:26379', '[::1]:26379'], masterName: m, database: 3, tls: {enabled: true}}}",
			Session{Type: SessionRedis, Redis: Redis{
				Mode: RedisSentinel, Addresses: []string{"a:26379", "[::1]:26379"}, MasterName: "m", Database: 3,
				TLS: RedisTLS{Enabled: true},
			}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.want.IdleTimeout, tt.want.History = Duration(24*time.Hour), 20
			if d := cmp.Diff(tt.want, parse(t, minimal+"session: "+tt.session+"\n").Session); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestNullIsLeftOut(t *testing.T) {
	got := parse(t, minimal+"listen: null\nwechat:\nreply: {texts: ~, deadline: null}\ndify: {inputs: {}}\n")
	if d := cmp.Diff(parse(t, minimal), got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("长", MaxTextBytes/3+1)
	tests := []struct{ name, file, want string }{
		{"empty file", "", "bot: is missing: give the bot's namespace/name, such as bots/winter"},
		{"list", "- a\n", "the file is a list, it must be a mapping of fields"},
		{"scalar", "hello", "the file is a text, it must be a mapping of fields"},
		{"broken YAML", "bot: [", "not valid YAML: line 1: did not find expected node content"},
		{"repeated field", minimal + "bot: a/b\n", `not valid YAML: line 3: key "bot" already set in map`},
		{"not a number", minimal + "limits: {questions: .nan}", "not valid YAML: json: unsupported value: NaN"},
		{"two documents", minimal + "---\nbot: a/b\n", "the file holds more than one YAML document: keep one"},
		{"two documents by end mark", minimal + "...\nbot: a/b\n", "the file holds more than one YAML document: keep one"},
		{"document on the marker's line", "--- {}\n---\nbot: a/b\n", "the file holds more than one YAML document: keep one"},
		{"huge", "#" + strings.Repeat("x", MaxFileBytes), "the file is larger than 1048576 bytes"},

		{"unknown field", minimal + "tokn: x\n", "tokn: unknown field: correct its name, or remove it"},
		{"unknown nested field", minimal + "dify: {baseUrl: http://a}\n", "dify.baseUrl: unknown field: correct its name, or remove it"},
		{"unknown deep field", minimal + "session: {redis: {tls: {on: true}}}\n", "session.redis.tls.true: unknown field: correct its name, or remove it"},
		{"odd field name", minimal + `"a b` + strings.Repeat("c", 99) + `": 1`, `a b` + strings.Repeat("c", 61) + `…: unknown field: correct its name, or remove it`},
		{"number as text", "bot: 7\nsecretsDir: /s\n", "bot: is a number, must be a text: put it in quotes"},
		{"mapping as text", "bot: {a: b}\nsecretsDir: /s\n", "bot: is a mapping, must be a text"},
		{"text as mapping", minimal + "wechat: wx1\n", "wechat: is a text, must be a mapping of fields"},
		{"text as bool", minimal + "wechat: {allowPlain: 'yes'}\n", "wechat.allowPlain: is a text, must be true or false"},
		{"text as number", minimal + "limits: {questions: '20'}\n", "limits.questions: is a text, must be a whole number of at most nine digits"},
		{"fraction", minimal + "limits: {questions: 2.5}\n", "limits.questions: is 2.5, must be a whole number of at most nine digits"},
		{"number too large", minimal + "limits: {questions: 99999999999}\n", "limits.questions: 99999999999 is out of range: give 1 to 10000"},
		{"duration without unit", minimal + "reply: {deadline: 4500}\n", "reply.deadline: is a number, must be a duration: a number and its unit, such as 4500ms, 60s or 5m"},
		{"duration in words", minimal + "dify: {timeout: 5 minutes}\n", `dify.timeout: is "5 minutes", must be a duration: a number and its unit, such as 4500ms, 60s or 5m`},
		{"bool as input", minimal + "dify: {inputs: {vip: true}}\n", "dify.inputs: is true or false, must be a text: put it in quotes"},
		{"null as input", minimal + "dify: {inputs: {vip: }}\n", "dify.inputs.vip: is empty, must be a text"},
		{"list as inputs", minimal + "dify: {inputs: [a]}\n", "dify.inputs: is a list, must be a mapping of texts"},
		{"text as addresses", minimal + "session: {redis: {addresses: 'a:1'}}\n", "session.redis.addresses: is a text, must be a list of texts"},
		{"number as address", minimal + "session: {redis: {addresses: ['a:1', 6379]}}\n", "session.redis.addresses: is a number, must be a text: put it in quotes"},

		{"no bot", "secretsDir: /s\n", "bot: is missing: give the bot's namespace/name, such as bots/winter"},
		{"bot without namespace", "bot: winter\nsecretsDir: /s\n", `bot: "winter" is not namespace/name: use lower-case letters, digits and hyphens, such as bots/winter`},
		{"no secretsDir", "bot: a/b\n", "secretsDir: is missing: give the folder with the files token and dify-api-key"},
		{"listen without port", minimal + "listen: localhost\n", `listen: "localhost" must be host:port or :port, such as 127.0.0.1:8080`},
		{"listen with spaces", minimal + "listen: 'a b:80'\n", `listen: "a b:80" must be host:port or :port, such as 127.0.0.1:8080`},
		{"listen port", minimal + "listen: ':70000'\n", `listen: ":70000" has no port between 1 and 65535`},
		{"control character", minimal + "path: \"/\\u0085\"\n", "path: holds a control character or is not UTF-8: remove it"},
		{"control character in a text", minimal + "reply: {texts: {help: \"\\x7f\"}}\n", "reply.texts.help: holds a control character or is not UTF-8: remove it"},
		{"control character in an address", minimal + "session: {redis: {addresses: [\"\\e\"]}}\n", "session.redis.addresses[0]: holds a control character or is not UTF-8: remove it"},
		{"adminListen", minimal + "adminListen: 'x'\n", `adminListen: "x" must be host:port or :port, such as 127.0.0.1:8080`},
		{"one address for both", minimal + "listen: ':80'\nadminListen: ':80'\n", "adminListen: is the same as listen: metrics must not be served to the internet, give it another port"},
		{"path with a domain", minimal + "path: https://a/wechat\n", `path: "https://a/wechat" must start with a slash and hold no domain, such as /wechat`},
		{"path with a wildcard", minimal + "path: '/{x}'\n", `path: "/{x}" may hold letters, digits and / . _ ~ - only, 256 at most`},
		{"unclean path", minimal + "path: /a/../b/\n", `path: "/a/../b/" is not clean: write /b`},
		{"path of a verification file", minimal + "path: /MP_verify_abcdefgh01234567.txt\nwechat: {verificationFiles: {MP_verify_abcdefgh01234567.txt: x}}\n", "path: /MP_verify_abcdefgh01234567.txt is also the name of a verification file: choose another path"},

		{"appID", minimal + "wechat: {appID: 'wx 1'}\n", `wechat.appID: "wx 1" is not an AppID: copy it from WeChat's console, it looks like wx0123456789abcdef`},
		{"originalID", minimal + "wechat: {originalID: gh/1}\n", `wechat.originalID: "gh/1" is not an account's original ID: copy it from WeChat's console, it looks like gh_3f1c9a7e52b0`},
		{"apiBaseURL", minimal + "wechat: {apiBaseURL: api.weixin.qq.com}\n", "wechat.apiBaseURL: must be an http or https address, such as https://api.weixin.qq.com"},
		{"verification file name", minimal + "wechat: {verificationFiles: {a.html: x}}\n", `wechat.verificationFiles["a.html"]: is not the name of a verification file: use the name WeChat gave it, MP_verify_, 16 letters or digits, .txt`},
		{"empty verification file", minimal + "wechat: {verificationFiles: {MP_verify_abcdefgh01234567.txt: ''}}\n", `wechat.verificationFiles["MP_verify_abcdefgh01234567.txt"]: is empty: copy the content of the file that WeChat gave`},
		{"large verification file", minimal + "wechat: {verificationFiles: {MP_verify_abcdefgh01234567.txt: " + strings.Repeat("x", 1025) + "}}\n", `wechat.verificationFiles["MP_verify_abcdefgh01234567.txt"]: has 1025 bytes, at most 1024 are allowed`},
		{"baseURL scheme", minimal + "dify: {baseURL: ftp://a}\n", "dify.baseURL: must be an http or https address, such as https://api.dify.ai/v1"},
		{"baseURL without host", minimal + "dify: {baseURL: 'https:///v1'}\n", "dify.baseURL: must be an http or https address, such as https://api.dify.ai/v1"},
		{"baseURL with a password", minimal + "dify: {baseURL: 'https://u:p@a/v1'}\n", "dify.baseURL: must hold no user, query or fragment: write it as in https://api.dify.ai/v1"},
		{"baseURL with port 0", minimal + "dify: {baseURL: 'https://a:0/v1'}\n", "dify.baseURL: must have a port between 1 and 65535, or none, as in https://api.dify.ai/v1"},
		{"baseURL with a port that is none", minimal + "dify: {baseURL: 'http://[::1]:65536/v1'}\n", "dify.baseURL: must have a port between 1 and 65535, or none, as in https://api.dify.ai/v1"},
		{"baseURL with a query", minimal + "dify: {baseURL: 'https://a/v1?'}\n", "dify.baseURL: must hold no user, query or fragment: write it as in https://api.dify.ai/v1"},
		{"input without name", minimal + "dify: {inputs: {'': x}}\n", `dify.inputs[""]: has a name of 0 bytes: give the name of the app's variable, 1 to 256 bytes`},
		{"input with a long name", minimal + "dify: {inputs: {" + strings.Repeat("n", 257) + ": x}}\n", `dify.inputs["` + strings.Repeat("n", 64) + `…"]: has a name of 257 bytes: give the name of the app's variable, 1 to 256 bytes`},
		{"timeout", minimal + "dify: {timeout: 2h}\n", "dify.timeout: 2h is out of range: give 1s to 1h"},
		{"dify.idleTimeout", minimal + "dify: {idleTimeout: 0s}\n", "dify.idleTimeout: 0s is out of range: give 1s to 1h"},

		{"mode", minimal + "reply: {mode: Push}\n", `reply.mode: "Push" is not offered: use Passive or CustomerService`},
		{"sends", minimal + "reply: {push: {maxSends: 6}}\n", "reply.push.maxSends: 6 is out of range: give 1 to 5"},
		{"long label of AI", minimal + "reply: {aiLabel: " + long[:123] + "}\n", "reply.aiLabel: has 123 bytes, at most 120 are allowed (a Chinese character has 3)"},
		{"label of two lines", minimal + "reply: {aiLabel: \"a\\nb\"}\n", `reply.aiLabel: "a\nb": write it in one line, without blanks around it; empty is none`},
		{"long notice", minimal + "reply: {notice: " + long[:303] + "}\n", "reply.notice: has 303 bytes, at most 300 are allowed (a Chinese character has 3)"},
		{"notice with blanks", minimal + "reply: {notice: ' a'}\n", "reply.notice: has blanks around it: remove them"},
		{"domain", minimal + "domain: https://bot.example.com\n", `domain: "https://bot.example.com" is not a domain: write it in lower case, without https:// and path, such as bot.example.com`},
		{"page without a domain", minimal + "reply: {page: {enabled: true}}\n", "domain: is missing: reply.page.enabled needs the domain that followers reach the server at by https, such as bot.example.com"},
		{"page's ttl", minimal + "reply: {page: {ttl: 59s}}\n", "reply.page.ttl: 59s is out of range: give 1m to 720h"},
		{"deadline too long", minimal + "reply: {deadline: 4801ms}\n", "reply.deadline: 4801ms is out of range: give 1s to 4800ms"},
		{"deadline too short", minimal + "reply: {deadline: 999ms}\n", "reply.deadline: 999ms is out of range: give 1s to 4800ms"},
		{"holdsPerMinute", minimal + "reply: {holdsPerMinute: -1}\n", "reply.holdsPerMinute: -1 is less than 0: 0 never holds a delivery"},
		{"language", minimal + "reply: {language: fr}\n", `reply.language: "fr" is not offered: use zh-CN or en`},
		{"time zone that there is not", minimal + "reply: {timeZone: Mars/Olympus}\n", `reply.timeZone: "Mars/Olympus" is not the name of a time zone: use one of the IANA's, such as Asia/Shanghai or UTC`},
		{"time zone of the machine", minimal + "reply: {timeZone: Local}\n", `reply.timeZone: "Local" is not the name of a time zone: use one of the IANA's, such as Asia/Shanghai or UTC`},
		{"no time zone", minimal + "reply: {timeZone: ''}\n", `reply.timeZone: "" is not the name of a time zone: use one of the IANA's, such as Asia/Shanghai or UTC`},
		{"tokens of a follower", minimal + "limits: {tokens: {follower: -1}}\n", "limits.tokens.follower: -1 is out of range: give 1 to 1000000000000 tokens a day, or leave it out for no limit"},
		{"tokens of the bot", minimal + "limits: {tokens: {bot: 1000000000001}}\n", "limits.tokens.bot: 1000000000001 is out of range: give 1 to 1000000000000 tokens a day, or leave it out for no limit"},
		{"unknown text", minimal + "reply: {texts: {hello: x}}\n", "reply.texts.hello: unknown text; known: welcome, help, waiting, queued, busy, tooManyOpen, cleared, stopped, nothingToStop, unsupported, failed, quotaExceeded, rateLimited, budgetSpent, timedOut, misconfigured, filtered, tooLong, paused, nothingYet, sent, emptyAnswer, continue, orReply, fullAnswer, retry, cutShort, thanks, sources, suggested, choose, formInputs, formAnswered, formExpired, pictureKept, askPicture, pictureTooLarge, pictureUnreadable, pictureLost, pictureRefused, voice, voiceUnclear, aboutLink, aboutPlace, awaitingHuman, backToBot, botAgain, toHuman"},
		{"empty text", minimal + "reply: {texts: {help: ' '}}\n", "reply.texts.help: is empty: leave it out to get the built-in text"},
		{"long text", minimal + "reply: {texts: {help: " + long + "}}\n", "reply.texts.help: has 603 bytes, at most 600 are allowed (a Chinese character has 3)"},
		{"long label", minimal + "reply: {texts: {continue: " + long[:63] + "}}\n", "reply.texts.continue: has 63 bytes, at most 60 are allowed (a Chinese character has 3)"},
		{"keyword without words", minimal + "keywords: [{reply: x}]\n", "keywords[0].words: 0 words: give 1 to 20"},
		{"keyword that is a command", minimal + "keywords: [{words: [a, /b], reply: x}]\n", `keywords[0].words[1]: "/b" begins with a slash, as commands do: choose another word`},
		{"keyword that continues", minimal + "keywords: [{words: ['1'], reply: x}]\n", `keywords[0].words[0]: "1" is one of reply.continueWords, which come first: choose another word`},
		{"keyword with blanks", minimal + "keywords: [{words: [' a'], reply: x}]\n", `keywords[0].words[0]: " a": a word has 1 to 60 bytes in one line, and no blanks around it`},
		{"keyword that does nothing", minimal + "keywords: [{words: [a]}]\n", "keywords[0]: does nothing: give one of question, reply, command and handover"},
		{"keyword that does two things", minimal + "keywords: [{words: [a], reply: x, command: /help}]\n", "keywords[0]: has reply and command: give one of question, reply, command and handover"},
		{"keyword that hands over to nobody", minimal + "keywords: [{words: [a], handover: true}]\n", "handover.words: is missing: keywords[0].handover hands over, give the words that ask for a person, such as 人工"},
		{"keyword with another command", minimal + "keywords: [{words: [a], command: /retry}]\n", `keywords[0].command: "/retry" is not offered: use /help, /stop, /clear`},
		{"keyword's match", minimal + "keywords: [{words: [a], match: Regex, reply: x}]\n", `keywords[0].match: "Regex" is not offered: use Exact, Prefix or Contains`},
		{"control character in a keyword", minimal + "keywords: [{words: [\"\\e\"], reply: x}]\n", "keywords[0].words[0]: holds a control character or is not UTF-8: remove it"},
		{"questions", minimal + "limits: {questions: 0}\n", "limits.questions: 0 is out of range: give 1 to 10000"},
		{"window", minimal + "limits: {window: 25h}\n", "limits.window: 25h is out of range: give 1s to 24h"},
		{"concurrency", minimal + "limits: {concurrency: 10001}\n", "limits.concurrency: 10001 is out of range: give 1 to 10000"},

		{"session type", minimal + "session: {type: redis}\n", `session.type: "redis" is not offered: use Memory, ConfigMap or Redis`},
		{"session.idleTimeout", minimal + "session: {idleTimeout: 1s}\n", "session.idleTimeout: 1s is out of range: give 1m to 8760h"},
		{"history", minimal + "session: {history: 201}\n", "session.history: 201 is out of range: give 1 to 200"},
		{"ConfigMap namespace", minimal + "session: {type: ConfigMap, configMap: {namespace: A}}\n", `session.configMap.namespace: "A" is not a Kubernetes name: use lower-case letters, digits, hyphens and dots`},
		{"ConfigMap name", minimal + "session: {type: ConfigMap, configMap: {name: a/b}}\n", `session.configMap.name: "a/b" is not a Kubernetes name: use lower-case letters, digits, hyphens and dots`},
		{"Redis mode", minimal + "session: {type: Redis, redis: {mode: Single}}\n", `session.redis.mode: "Single" is not offered: use Standalone, Sentinel or Cluster`},
		{"Redis address", minimal + "session: {type: Redis, redis: {addresses: [redis]}}\n", `session.redis.addresses[0]: "redis" must be host:port or :port, such as 127.0.0.1:8080`},
		{"Redis address without host", minimal + "session: {type: Redis, redis: {addresses: [':6379']}}\n", `session.redis.addresses[0]: ":6379" has no host`},
		{"Redis address without port", minimal + "session: {type: Redis, redis: {addresses: ['a:0']}}\n", `session.redis.addresses[0]: "a:0" has no port between 1 and 65535`},
		{"two standalone Redis", minimal + "session: {type: Redis, redis: {addresses: ['a:1', 'b:1']}}\n", "session.redis.addresses: has 2 addresses, Standalone uses one: set session.redis.mode to Sentinel or Cluster"},
		{"sentinel without master", minimal + "session: {type: Redis, redis: {mode: Sentinel}}\n", "session.redis.masterName: is missing: give the name the sentinels know the master by"},
		{"master without sentinel", minimal + "session: {type: Redis, redis: {masterName: m}}\n", "session.redis.masterName: is only used with mode Sentinel: leave it out"},
		{"database of a cluster", minimal + "session: {type: Redis, redis: {mode: Cluster, database: 1}}\n", "session.redis.database: must be 0 with mode Cluster"},
		{"database", minimal + "session: {type: Redis, redis: {database: -1}}\n", "session.redis.database: -1 is out of range: give 0 to 65535"},
		{"unchecked without TLS", minimal + "session: {type: Redis, redis: {tls: {insecureSkipVerify: true}}}\n", "session.redis.tls.insecureSkipVerify: is only used with tls.enabled: true"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse([]byte(tt.file))
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("error %v, want an *Error", err)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("message\n  got  %s\n  want %s", got, tt.want)
			}
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("message has more than one line: %q", err)
			}
			if d := cmp.Diff(Config{}, c); d != "" {
				t.Errorf("a refused file gave a configuration:\n%s", d)
			}
		})
	}
}

func TestOneDocumentMayBeMarked(t *testing.T) {
	for _, file := range []string{
		"---\n" + minimal, "# about\n---\n" + minimal + "...\n", "%YAML 1.1\n---\n" + minimal, minimal + "---\n# the end\n",
	} {
		parse(t, file)
	}
}

func TestCheckFindsWhatParseCannotMeet(t *testing.T) {
	c := parse(t, minimal)
	c.Session = Session{Type: SessionRedis, IdleTimeout: Duration(time.Hour), History: 1, Redis: Redis{Mode: RedisCluster}}
	if got, want := message(c.Check()), "session.redis.addresses: is missing: give at least one host:port"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c = parse(t, minimal)
	c.Reply.Texts = map[string]string{TextHelp: "\xff"}
	if got, want := message(c.Check()), "reply.texts.help: holds a control character or is not UTF-8: remove it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}

	t.Run("relative secretsDir starts at the file", func(t *testing.T) {
		c, err := Load(write("relative.yaml", "bot: a/b\nsecretsDir: ./secrets\n"))
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, "secrets"); c.Config.SecretsDir != want {
			t.Errorf("secretsDir %s, want %s", c.Config.SecretsDir, want)
		}
	})
	t.Run("absolute secretsDir stays", func(t *testing.T) {
		c, err := Load(write("absolute.yaml", minimal))
		if err != nil {
			t.Fatal(err)
		}
		if c.Config.SecretsDir != "/secrets" || c.Hash != Hash([]byte(minimal)) {
			t.Errorf("secretsDir %s, want /secrets; hash %s", c.Config.SecretsDir, c.Hash)
		}
	})
	t.Run("a file is unchanged until a byte of it is another", func(t *testing.T) {
		path := write("again.yaml", minimal)
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !Unchanged(path, c.Hash) {
			t.Error("an untouched file has changed")
		}
		write("again.yaml", minimal+"#")
		if Unchanged(path, c.Hash) {
			t.Error("a comment more is no change")
		}
		if Unchanged(path+"x", c.Hash) {
			t.Error("a missing file is unchanged")
		}
	})
	t.Run("wrong file is named", func(t *testing.T) {
		path := write("wrong.yaml", "secretsDir: x\n")
		_, err := Load(path)
		want := "configuration " + path + ": bot: is missing: give the bot's namespace/name, such as bots/winter"
		if message(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("missing file", func(t *testing.T) {
		path := filepath.Join(dir, "nowhere.yaml")
		_, err := Load(path)
		if want := "read configuration: stat " + path + ": no such file or directory"; message(err) != want || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("folder", func(t *testing.T) {
		_, err := Load(dir)
		if want := "read configuration: " + dir + " is not a regular file"; message(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("large file", func(t *testing.T) {
		path := write("large.yaml", strings.Repeat("#", MaxFileBytes+1))
		_, err := Load(path)
		if want := "read configuration: " + path + " is larger than 1048576 bytes"; message(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestMarshalIsTheGoldenFile(t *testing.T) {
	c := parse(t, minimal+`
wechat: {appID: wx0123456789abcdef, verificationFiles: {MP_verify_abcdefgh01234567.txt: abcdefgh01234567}}
dify: {inputs: {b: "2", a: "1"}}
reply: {texts: {help: "line 1\nline 2", busy: 忙}}
session: {type: Redis, redis: {addresses: ['redis:6379'], tls: {enabled: true}}}
`)
	if d := cmp.Diff(string(read(t, "marshalled.yaml")), string(Marshal(c))); d != "" {
		t.Errorf("(-golden +got):\n%s", d)
	}
}

// A server of the release before refuses a field that it does not know. So what is as it is by default is not written,
// whatever fields come to a section: today's file is all that there would be of tomorrow's.
func TestNothingIsWrittenThatSaysNothing(t *testing.T) {
	for name, file := range map[string]string{
		"minimal": minimal,
		"Redis":   minimal + "session: {type: Redis, redis: {addresses: ['redis:6379']}}\n",
		"plain":   minimal + "session: {type: ConfigMap}\n",
	} {
		written := string(Marshal(parse(t, file)))
		for line := range strings.Lines(written) {
			_, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if slices.Contains([]string{"false", "0", `""`, "null", "[]", "{}"}, strings.TrimSpace(value)) {
				t.Errorf("%s: %s", name, line)
			}
		}
		var tree map[string]any
		if err := yaml.Unmarshal([]byte(written), &tree); err != nil {
			t.Fatal(err)
		}
		for _, untouched := range []string{"wechat", "dify", "reply", "limits", "listen", "path"} {
			if tree[untouched] != nil {
				t.Errorf("%s: %s is written: %v", name, untouched, tree[untouched])
			}
		}
	}
}

// What a newer operator writes is named and left out; what is wrong in any other way is still refused.
func TestAFileOfANewerOperator(t *testing.T) {
	file := minimal + "new: 1\ndify: {newer: {a: b}, inputs: {city: x}}\nreply: {texts: {newText: hello, help: h}}\nsession: {type: Redis, redis: {tls: {latest: true}}}\n"
	c, unknown, err := ParseByOperator([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(unknown)
	if want := []string{"dify.newer", "new", "reply.texts.newText", "session.redis.tls.latest"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown are %v, want %v", unknown, want)
	}
	want := parse(t, minimal+"dify: {inputs: {city: x}}\nreply: {texts: {help: h}}\nsession: {type: Redis}\n")
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, wrong := range []string{"new: 1\n", minimal + "reply: {deadline: 1h}\n", minimal + "limits: {questions: many}\n", minimal + "bot: a/b\n"} {
		if _, _, err := ParseByOperator([]byte(wrong)); err == nil {
			t.Errorf("taken: %s", wrong)
		}
	}
	for _, typo := range []string{"Bot: a/b\n", "DIFY: {}\n", "dify: {baseurl: http://a}\n"} {
		if _, unknown, _ := ParseByOperator([]byte(minimal + typo)); len(unknown) != 1 {
			t.Errorf("%q: unknown are %v", typo, unknown)
		}
	}
}

func TestMarshalledConfigParsesToItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyConfig(t)
		file := Marshal(c)
		back, err := Parse(file)
		if err != nil {
			t.Fatalf("Parse: %v\n%s", err, file)
		}
		if d := cmp.Diff(c, back); d != "" {
			t.Fatalf("(-written +read):\n%s", d)
		}
		if again := Marshal(back); !bytes.Equal(file, again) {
			t.Fatalf("second encoding differs\n%s\n%s", file, again)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(minimal + "session: {type: Redis, redis: {mode: Cluster, addresses: ['a:1']}}"))
	f.Add([]byte("a: &a [1]\nb: *a\n<<: {c: d}\n"))
	f.Add([]byte("bot: !!binary aGk=\n? [1, 2]\n: x"))
	f.Add([]byte("reply: {deadline: 1e3, texts: {help: |\n  x\n  }}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := Parse(file)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok || strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("error %q is no *Error of one line", err)
			}
			return
		}
		written := Marshal(c)
		back, err := Parse(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if d := cmp.Diff(c, back); d != "" {
			t.Fatalf("(-read +read again):\n%s", d)
		}
	})
}
