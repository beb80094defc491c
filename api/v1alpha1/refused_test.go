package v1alpha1_test

import (
	"strings"
	"testing"
)

// unchecked is what the API server adds when it could not evaluate the rules for an error of the schema.
const unchecked = ", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; " +
	"correct the existing errors to complete validation]"

// TestRefusedObjectsSayWhatToDo pins the exact words a user reads for an object that the API server refuses.
func TestRefusedObjectsSayWhatToDo(t *testing.T) {
	external := func(fields string) string {
		return "spec: {session: {type: Redis, redis: {external: {" + fields + "}}}}"
	}
	redis := func(fields string) string { return "spec: {session: {type: Redis, redis: {" + fields + "}}}" }
	menu := func(buttons string) string {
		return "spec: {wechat: {appID: wx0123456789abcdef, appSecretRef: {name: w, key: s}}, menu: [" + buttons + "]}"
	}
	managed := func(fields string) string { return redis("managed: {" + fields + "}") }
	for _, c := range []struct {
		name   string
		change string // to the minimal object
		want   string
	}{
		{"name starts with a digit", `metadata: {name: 1winter}`, `<nil>: Invalid value: metadata.name must start with a letter, end with a letter or digit, hold only a-z, 0-9 and -, and have at most 52 characters: the names of the Service and of the other objects are made from it`},
		{"name has a dot", `metadata: {name: winter.bot}`, `<nil>: Invalid value: metadata.name must start with a letter, end with a letter or digit, hold only a-z, 0-9 and -, and have at most 52 characters: the names of the Service and of the other objects are made from it`},
		{"name of 53 characters", `metadata: {name: ` + strings.Repeat("n", 53) + `}`, `<nil>: Invalid value: metadata.name must start with a letter, end with a letter or digit, hold only a-z, 0-9 and -, and have at most 52 characters: the names of the Service and of the other objects are made from it`},
		{"no spec", `spec: null`, `[spec: Required value` + unchecked},
		{"unknown field", `spec: {domian: bot.example.com}`, `WechatBot in version "v1alpha1" cannot be handled as a WechatBot: strict decoding error: unknown field "spec.domian"`},
		{"field of a later release", `spec: {later: {}}`, `WechatBot in version "v1alpha1" cannot be handled as a WechatBot: strict decoding error: unknown field "spec.later"`},
		{"plain token", `spec: {token: secret}`, `WechatBot in version "v1alpha1" cannot be handled as a WechatBot: strict decoding error: unknown field "spec.token"`},

		{"no domain", `spec: {domain: null}`, `[spec.domain: Required value` + unchecked},
		{"empty domain", `spec: {domain: ""}`, `spec.domain: Invalid value: "": domain must be a DNS name like bot.example.com: lower case, no https://, port, path, wildcard, IP address, underscore or dot at the end; IDN as xn--...`},
		{"domain is a URL", `spec: {domain: "https://bot.example.com"}`, `spec.domain: Invalid value: "https://bot.example.com": domain must be a DNS name like bot.example.com: lower case, no https://, port, path, wildcard, IP address, underscore or dot at the end; IDN as xn--...`},
		{"domain in upper case", `spec: {domain: Bot.example.com}`, `spec.domain: Invalid value: "Bot.example.com": domain must be a DNS name like bot.example.com: lower case, no https://, port, path, wildcard, IP address, underscore or dot at the end; IDN as xn--...`},
		{"domain with a port", `spec: {domain: "bot.example.com:443"}`, `spec.domain: Invalid value: "bot.example.com:443": domain must be a DNS name like bot.example.com: lower case, no https://, port, path, wildcard, IP address, underscore or dot at the end; IDN as xn--...`},
		{"domain with a wildcard", `spec: {domain: "*.example.com"}`, `spec.domain: Invalid value: "*.example.com": domain must be a DNS name like bot.example.com: lower case, no https://, port, path, wildcard, IP address, underscore or dot at the end; IDN as xn--...`},
		{"domain is an IP address", `spec: {domain: 192.0.2.1}`, `spec.domain: Invalid value: "192.0.2.1": domain must be a DNS name like bot.example.com: lower case, no https://, port, path, wildcard, IP address, underscore or dot at the end; IDN as xn--...`},
		{"domain of one label", `spec: {domain: bot}`, `spec.domain: Invalid value: "bot": domain must be a DNS name like bot.example.com: lower case, no https://, port, path, wildcard, IP address, underscore or dot at the end; IDN as xn--...`},
		{"domain with a label of 64 characters", `spec: {domain: ` + strings.Repeat("a", 64) + `.example.com}`, `spec.domain: Invalid value: "` + strings.Repeat("a", 64) + `.example.com": domain must be a DNS name like bot.example.com: lower case, no https://, port, path, wildcard, IP address, underscore or dot at the end; IDN as xn--...`},
		{"domain of 254 characters", `spec: {domain: ` + strings.Repeat("a.", 125) + `comm}`, `[spec.domain: Too long: may not be more than 253 bytes` + unchecked},
		{"domain is a number", `spec: {domain: 5}`, `[spec.domain: Invalid value: "integer": spec.domain in body must be of type string: "integer"` + unchecked},

		{"relative path", `spec: {path: wechat}`, `spec.path: Invalid value: "wechat": path must be an absolute path like /wechat: segments of letters, digits and - . _ ~ that do not start with a dot, no trailing slash, no query`},
		{"path with a trailing slash", `spec: {path: /wechat/}`, `spec.path: Invalid value: "/wechat/": path must be an absolute path like /wechat: segments of letters, digits and - . _ ~ that do not start with a dot, no trailing slash, no query`},
		{"path that climbs", `spec: {path: /a/../b}`, `spec.path: Invalid value: "/a/../b": path must be an absolute path like /wechat: segments of letters, digits and - . _ ~ that do not start with a dot, no trailing slash, no query`},
		{"path with a query", `spec: {path: "/wechat?bot=1"}`, `spec.path: Invalid value: "/wechat?bot=1": path must be an absolute path like /wechat: segments of letters, digits and - . _ ~ that do not start with a dot, no trailing slash, no query`},
		{"path of a verification file", `spec: {path: /MP_verify_AbCdEfGhIjKlMnOp.txt}`, `spec.path: Invalid value: "/MP_verify_AbCdEfGhIjKlMnOp.txt": path must not be that of a verification file: choose another one, like /wechat`},
		{"path of 257 characters", `spec: {path: /` + strings.Repeat("p", 256) + `}`, `[spec.path: Too long: may not be more than 256 bytes` + unchecked},

		{"no token", `spec: {tokenSecretRef: null}`, `[spec.tokenSecretRef: Required value` + unchecked},
		{"token without key", `spec: {tokenSecretRef: {key: null}}`, `[spec.tokenSecretRef.key: Required value` + unchecked},
		{"token without name", `spec: {tokenSecretRef: {name: null}}`, `[spec.tokenSecretRef.name: Required value` + unchecked},
		{"secret of another namespace", `spec: {tokenSecretRef: {namespace: other}}`, `WechatBot in version "v1alpha1" cannot be handled as a WechatBot: strict decoding error: unknown field "spec.tokenSecretRef.namespace"`},
		{"secret name with a slash", `spec: {tokenSecretRef: {name: other/winter}}`, `spec.tokenSecretRef: Invalid value: not a Secret's name and key: a name has a-z, 0-9, - and .; a key has letters, digits, -, _ and .`},
		{"secret key that climbs", `spec: {tokenSecretRef: {key: ../token}}`, `spec.tokenSecretRef: Invalid value: not a Secret's name and key: a name has a-z, 0-9, - and .; a key has letters, digits, -, _ and .`},
		{"empty secret key", `spec: {tokenSecretRef: {key: ""}}`, `spec.tokenSecretRef: Invalid value: not a Secret's name and key: a name has a-z, 0-9, - and .; a key has letters, digits, -, _ and .`},

		{"secure mode without AppID", `spec: {wechat: {encodingAESKeySecretRef: {name: winter, key: aes}}}`, `spec.wechat.appID: Required value: secure mode needs the account's AppID to decrypt and encrypt: set wechat.appID beside wechat.encodingAESKeySecretRef`},
		{"AppID of another kind", `spec: {wechat: {appID: ww0123456789abcdef}}`, `spec.wechat.appID: Invalid value: "ww0123456789abcdef": appID must be the account's AppID: wx and 16 letters or digits`},
		{"original ID that is a WeChat name", `spec: {wechat: {originalID: winterbot}}`, `spec.wechat.originalID: Invalid value: "winterbot": originalID must be the account's original ID: gh_ and letters or digits`},
		{"verification file of another name", `spec: {wechat: {verificationFiles: {index.html: hello}}}`, `spec.wechat.verificationFiles: Invalid value: verificationFiles must be named as WeChat names them: MP_verify_, 16 letters or digits, .txt`},
		{"empty verification file", `spec: {wechat: {verificationFiles: {MP_verify_AbCdEfGhIjKlMnOp.txt: ""}}}`, `spec.wechat.verificationFiles.MP_verify_AbCdEfGhIjKlMnOp.txt: Invalid value: "": spec.wechat.verificationFiles.MP_verify_AbCdEfGhIjKlMnOp.txt in body should be at least 1 chars long`},

		{"time zone that there is not", `spec: {reply: {timeZone: Mars/Olympus}}`, `spec.reply.timeZone: Invalid value: "string": unknown time zone Mars/Olympus evaluating rule: timeZone must be the IANA name of a time zone, like Asia/Shanghai or UTC`},
		{"time zone of the machine", `spec: {reply: {timeZone: Local}}`, `spec.reply.timeZone: Invalid value: "Local": timeZone must be the IANA name of a time zone, like Asia/Shanghai or UTC`},
		{"time zone as an offset", `spec: {reply: {timeZone: "+08:00"}}`, `spec.reply.timeZone: Invalid value: "+08:00": timeZone must be the IANA name of a time zone, like Asia/Shanghai or UTC`},
		{"tokens of nobody", `spec: {limits: {tokens: {}}}`, `spec.limits.tokens: Invalid value: 0: spec.limits.tokens in body should have at least 1 properties`},
		{"a budget of none", `spec: {limits: {tokens: {bot: 0}}}`, `spec.limits.tokens.bot: Invalid value: 0: spec.limits.tokens.bot in body should be greater than or equal to 1`},
		{"more tokens than there are", `spec: {limits: {tokens: {follower: 1000000000001}}}`, `spec.limits.tokens.follower: Invalid value: 1000000000001: spec.limits.tokens.follower in body should be less than or equal to 1000000000000`},
		{"traces to nowhere", `spec: {tracing: {samplingPercent: 5}}`, `[spec.tracing.endpoint: Required value` + unchecked},
		{"traces over gRPC", `spec: {tracing: {endpoint: "http://collector:4317"}}`, `spec.tracing.endpoint: Invalid value: "http://collector:4317": port 4317 is OTLP over gRPC: give the port of OTLP over HTTP, usually 4318`},
		{"traces to no address", `spec: {tracing: {endpoint: "collector:4318"}}`, `spec.tracing.endpoint: Invalid value: "collector:4318": endpoint must be an http:// or https:// URL like http://otel-collector.observability:4318, without user, query or fragment`},
		{"traces of no turn", `spec: {tracing: {endpoint: "http://collector:4318", samplingPercent: 0}}`, `spec.tracing.samplingPercent: Invalid value: 0: spec.tracing.samplingPercent in body should be greater than or equal to 1`},
		{"AppSecret without AppID", `spec: {wechat: {appSecretRef: {name: w, key: s}}}`, `spec.wechat.appID: Required value: WeChat's API needs the account's AppID: set wechat.appID beside wechat.appSecretRef`},
		{"menu without AppSecret", `spec: {menu: [{name: a, reply: b}]}`, `spec.menu: Invalid value: the menu is published through WeChat's API: set wechat.appSecretRef and wechat.appID`},
		{"handover without AppSecret", `spec: {handover: {words: [human]}}`, `spec.handover: Invalid value: WeChat's API is asked who is online: set wechat.appSecretRef and wechat.appID`},
		{"handover by the menu alone", menu("{name: a, handover: true}"), `spec.handover: Invalid value: the menu hands over: set handover, {} is enough`},
		{"handover that is not wanted", menu("{name: a, handover: false}"), `[spec.handover: Invalid value: the menu hands over: set handover, {} is enough, spec.menu[0].handover: Invalid value: false: set handover to true, or leave it out]`},
		{"handover by a continue word", `spec: {wechat: {appID: wx0123456789abcdef, appSecretRef: {name: w, key: s}}, handover: {words: ["1"]}}`, `spec.handover.words: Invalid value: a word of handover.words is one of reply.continueWords: choose another`},
		{"handover by a command", `spec: {wechat: {appID: wx0123456789abcdef, appSecretRef: {name: w, key: s}}, handover: {words: [/human]}}`, `spec.handover.words[0]: Invalid value: "/human": a word has 1 to 30 bytes, no slash in front and no blanks around it`},
		{"handover with a blank text", `spec: {wechat: {appID: wx0123456789abcdef, appSecretRef: {name: w, key: s}}, handover: {offline: " "}}`, `spec.handover.offline: Invalid value: " ": the text must not be blank and have at most 2000 bytes (a Chinese character has 3)`},
		{"menu policy", `spec: {menuPolicy: Replace}`, `[spec.menuPolicy: Unsupported value: "Replace": supported values: "Report", "Enforce"` + unchecked},
		{"four buttons", menu("{name: a, reply: x}, {name: b, reply: x}, {name: c, reply: x}, {name: d, reply: x}"), `[spec.menu: Too many: 4: must have at most 3 items` + unchecked},
		{"button with a long name", menu("{name: 一二三四五六, reply: x}"), `spec.menu[0].name: Invalid value: "一二三四五六": a button's name has at most 16 bytes (a Chinese character has 3) and no slash in front`},
		{"button named as a command", menu("{name: /help, reply: x}"), `spec.menu[0].name: Invalid value: "/help": a button's name has at most 16 bytes (a Chinese character has 3) and no slash in front`},
		{"button that does nothing", menu("{name: a}"), `spec.menu[0]: Invalid value: give exactly one of items, url, question, reply, command, miniProgram and handover`},
		{"button that does two things", menu("{name: a, reply: x, url: 'https://a'}"), `spec.menu[0]: Invalid value: give exactly one of items, url, question, reply, command, miniProgram and handover`},
		{"button with items that does something", menu("{name: a, reply: x, items: [{name: b, reply: x}]}"), `spec.menu[0]: Invalid value: give exactly one of items, url, question, reply, command, miniProgram and handover`},
		{"item with a long name", menu("{name: a, items: [{name: " + strings.Repeat("长", 21) + ", reply: x}]}"), `spec.menu[0].items[0].name: Invalid value: "` + strings.Repeat("长", 21) + `": an item's name has at most 60 bytes (a Chinese character has 3) and no slash in front`},
		{"item that does nothing", menu("{name: a, items: [{name: b}]}"), `spec.menu[0].items[0]: Invalid value: give exactly one of url, question, reply, command, miniProgram and handover`},
		{"long question", menu("{name: a, question: " + strings.Repeat("问", 201) + "}"), `spec.menu[0].question: Invalid value: "` + strings.Repeat("问", 201) + `": a question has at most 600 bytes (a Chinese character has 3)`},
		{"long reply", menu("{name: a, reply: " + strings.Repeat("答", 667) + "}"), `spec.menu[0].reply: Invalid value: "` + strings.Repeat("答", 667) + `": a reply has at most 2000 bytes (a Chinese character has 3)`},
		{"address that is none", menu("{name: a, url: example.com}"), `spec.menu[0].url: Invalid value: "example.com": must be like https://example.com/`},
		{"command that is none", menu("{name: a, command: /retry}"), `[spec.menu[0].command: Unsupported value: "/retry": supported values: "/help", "/stop", "/clear"` + unchecked},

		{"no dify", `spec: {dify: null}`, `[spec.dify: Required value` + unchecked},
		{"no API key", `spec: {dify: {apiKeySecretRef: null}}`, `[spec.dify.apiKeySecretRef: Required value` + unchecked},
		{"base URL without scheme", `spec: {dify: {baseURL: api.dify.ai/v1}}`, `spec.dify.baseURL: Invalid value: "api.dify.ai/v1": baseURL must be an http:// or https:// URL like https://api.dify.ai/v1, without user, query or fragment: the key belongs in apiKeySecretRef`},
		{"base URL of another scheme", `spec: {dify: {baseURL: "ftp://api.dify.ai/v1"}}`, `spec.dify.baseURL: Invalid value: "ftp://api.dify.ai/v1": baseURL must be an http:// or https:// URL like https://api.dify.ai/v1, without user, query or fragment: the key belongs in apiKeySecretRef`},
		{"base URL with a key in it", `spec: {dify: {baseURL: "https://app-key@api.dify.ai/v1"}}`, `spec.dify.baseURL: Invalid value: "https://app-key@api.dify.ai/v1": baseURL must be an http:// or https:// URL like https://api.dify.ai/v1, without user, query or fragment: the key belongs in apiKeySecretRef`},
		{"base URL with a query", `spec: {dify: {baseURL: "https://api.dify.ai/v1?key=x"}}`, `spec.dify.baseURL: Invalid value: "https://api.dify.ai/v1?key=x": baseURL must be an http:// or https:// URL like https://api.dify.ai/v1, without user, query or fragment: the key belongs in apiKeySecretRef`},
		{"inputs that are not strings", `spec: {dify: {inputs: {age: 5}}}`, `[spec.dify.inputs.age: Invalid value: "integer": spec.dify.inputs.age in body must be of type string: "integer"` + unchecked},
		{"input without a name", `spec: {dify: {inputs: {"": x}}}`, `spec.dify.inputs: Invalid value: an input needs the name of one of the app's variables: remove the one without`},
		{"timeout that is no duration", `spec: {dify: {timeout: soon}}`, `spec.dify.timeout: Invalid value: "soon": timeout must be a duration from 1s to 1h, like 5m or 90s`},
		{"timeout without unit", `spec: {dify: {timeout: "300"}}`, `spec.dify.timeout: Invalid value: "300": timeout must be a duration from 1s to 1h, like 5m or 90s`},
		{"timeout as a number", `spec: {dify: {timeout: 300}}`, `[spec.dify.timeout: Invalid value: "integer": spec.dify.timeout in body must be of type string: "integer"` + unchecked},
		{"negative timeout", `spec: {dify: {timeout: -5m}}`, `spec.dify.timeout: Invalid value: "-5m": timeout must be a duration from 1s to 1h, like 5m or 90s`},
		{"timeout in days", `spec: {dify: {timeout: 1d}}`, `spec.dify.timeout: Invalid value: "1d": timeout must be a duration from 1s to 1h, like 5m or 90s`},
		{"timeout over an hour", `spec: {dify: {timeout: 1h1s}}`, `spec.dify.timeout: Invalid value: "1h1s": timeout must be a duration from 1s to 1h, like 5m or 90s`},
		{"timeout below a second", `spec: {dify: {timeout: 999ms}}`, `spec.dify.timeout: Invalid value: "999ms": timeout must be a duration from 1s to 1h, like 5m or 90s`},
		{"timeout that overflows", `spec: {dify: {timeout: 999999h999999h1h}}`, `spec.dify.timeout: Invalid value: "999999h999999h1h": timeout must be a duration from 1s to 1h, like 5m or 90s`},
		{"timeout of 17 characters", `spec: {dify: {timeout: 1m1m1m1m1m1m1m1ms}}`, `[spec.dify.timeout: Too long: may not be more than 16 bytes` + unchecked},
		{"idle timeout over an hour", `spec: {dify: {idleTimeout: 2h}}`, `spec.dify.idleTimeout: Invalid value: "2h": idleTimeout must be a duration from 1s to 1h, like 60s`},

		{"keyword that does nothing", `spec: {keywords: [{words: [a]}]}`, `spec.keywords[0]: Invalid value: give exactly one of question, reply, command and handover`},
		{"keyword that does two things", `spec: {keywords: [{words: [a], reply: b, command: /help}]}`, `spec.keywords[0]: Invalid value: give exactly one of question, reply, command and handover`},
		{"keyword that hands over to nobody", `spec: {keywords: [{words: [a], handover: true}]}`, `spec.handover: Invalid value: a keyword hands over: set handover, {} is enough`},
		{"keyword that does not hand over", `spec: {wechat: {appID: wx0123456789abcdef, appSecretRef: {name: w, key: s}}, handover: {}, keywords: [{words: [a], handover: false}]}`, `spec.keywords[0].handover: Invalid value: false: set handover to true, or leave it out`},
		{"keyword that is a command", `spec: {keywords: [{words: [/a], reply: b}]}`, `spec.keywords[0].words[0]: Invalid value: "/a": a word has 1 to 60 bytes in one line, no slash in front and no blanks around it`},
		{"keyword with a blank behind", `spec: {keywords: [{words: ["a "], reply: b}]}`, `spec.keywords[0].words[0]: Invalid value: "a ": a word has 1 to 60 bytes in one line, no slash in front and no blanks around it`},
		{"label of AI that is long", `spec: {reply: {aiLabel: ` + strings.Repeat("字", 41) + `}}`, `spec.reply.aiLabel: Invalid value: "` + strings.Repeat("字", 41) + `": aiLabel has at most 120 bytes (a Chinese character has 3) in one line and no blanks around it`},
		{"notice with a blank", `spec: {reply: {notice: "a "}}`, `spec.reply.notice: Invalid value: "a ": notice has at most 300 bytes (a Chinese character has 3) and no blanks around it`},
		{"page for less than a minute", `spec: {reply: {page: {enabled: true, ttl: 59s}}}`, `spec.reply.page.ttl: Invalid value: "59s": ttl must be a duration from 1m to 720h, like 24h`},
		{"deadline past WeChat's patience", `spec: {reply: {deadline: 5s}}`, `spec.reply.deadline: Invalid value: "5s": deadline must be a duration from 1s to 4800ms, like 4500ms: WeChat hangs up after 5s`},
		{"deadline below a second", `spec: {reply: {deadline: 500ms}}`, `spec.reply.deadline: Invalid value: "500ms": deadline must be a duration from 1s to 4800ms, like 4500ms: WeChat hangs up after 5s`},
		{"negative holds", `spec: {reply: {holdsPerMinute: -1}}`, `spec.reply.holdsPerMinute: Invalid value: -1: spec.reply.holdsPerMinute in body should be greater than or equal to 0`},
		{"another language", `spec: {reply: {language: fr}}`, `[spec.reply.language: Unsupported value: "fr": supported values: "zh-CN", "en"` + unchecked},
		{"unknown text", `spec: {reply: {texts: {hello: hi}}}`, "spec.reply.texts: Invalid value: unknown text: `kubectl explain wechatbot.spec.reply.texts` lists the texts there are"},
		{"blank text", `spec: {reply: {texts: {welcome: " \u3000\v\u0085\n"}}}`, `spec.reply.texts[welcome]: Invalid value: " \u3000\v\u0085\n": a text must not be blank and have at most 600 bytes (a Chinese character has 3): shorten it, or leave it out to get the built-in text`},
		{"text of 201 Chinese characters", `spec: {reply: {texts: {welcome: ` + strings.Repeat("好", 201) + `}}}`, `spec.reply.texts[welcome]: Invalid value: "` + strings.Repeat("好", 201) + `": a text must not be blank and have at most 600 bytes (a Chinese character has 3): shorten it, or leave it out to get the built-in text`},
		{"reply mode without an AppSecret", `spec: {reply: {mode: CustomerService}}`, `spec.reply.mode: Invalid value: answers are pushed through WeChat's API: set wechat.appSecretRef and wechat.appID`},
		{"voice without pushes", `spec: {reply: {voice: ForVoice}}`, `spec.reply.voice: Invalid value: a reply has room for the text only: set mode to CustomerService`},
		{"files' address that is none", `spec: {dify: {filesURL: "files:5001"}}`, `spec.dify.filesURL: Invalid value: "files:5001": filesURL must be an http:// or https:// URL like https://files.example.com, without user, query or fragment`},
		{"reply mode of a later release", `spec: {reply: {mode: Push}}`, `[spec.reply.mode: Unsupported value: "Push": supported values: "Passive", "CustomerService", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]`},

		{"no questions", `spec: {limits: {questions: 0}}`, `spec.limits.questions: Invalid value: 0: spec.limits.questions in body should be greater than or equal to 1`},
		{"window over a day", `spec: {limits: {window: 25h}}`, `spec.limits.window: Invalid value: "25h": window must be a duration from 1s to 24h, like 10m`},
		{"no concurrency", `spec: {limits: {concurrency: 0}}`, `spec.limits.concurrency: Invalid value: 0: spec.limits.concurrency in body should be greater than or equal to 1`},

		{"another session store", `spec: {session: {type: Memory}}`, `[spec.session.type: Unsupported value: "Memory": supported values: "ConfigMap", "Redis"` + unchecked},
		{"history over the bound", `spec: {session: {history: 201}}`, `spec.session.history: Invalid value: 201: spec.session.history in body should be less than or equal to 200`},
		{"sessions that end too soon", `spec: {session: {idleTimeout: 59s}}`, `spec.session.idleTimeout: Invalid value: "59s": idleTimeout must be a duration from 1m to 8760h, like 24h`},
		{"Redis that is not described", `spec: {session: {type: Redis}}`, `spec.session.redis: Required value: session.type Redis needs a Redis: set session.redis.managed to {} to have one made, or session.redis.external.addresses to yours`},
		{"Redis described but not used", `spec: {session: {redis: {external: {addresses: ["redis:6379"]}}}}`, `spec.session.redis: Forbidden: session.redis is used with session.type Redis only: set session.type to Redis, or remove session.redis`},
		{"Redis that is neither", redis(``), `spec.session.redis: Invalid value: set exactly one of managed (the operator makes a Redis; managed: {} will do) and external (a Redis that you run)`},
		{"Redis that is both", redis(`managed: {}, external: {addresses: ["a:6379"]}`), `spec.session.redis: Invalid value: set exactly one of managed (the operator makes a Redis; managed: {} will do) and external (a Redis that you run)`},
		{"managed Redis without a session type", `spec: {session: {redis: {managed: {}}}}`, `spec.session.redis: Forbidden: session.redis is used with session.type Redis only: set session.type to Redis, or remove session.redis`},
		{"managed Redis on next to no storage", managed(`storage: 100Mi`), `spec.session.redis.managed.storage: Invalid value: "100Mi": storage must be at least 128Mi, like 1Gi`},
		{"managed Redis of a class with a space", managed(`storageClassName: "fast ssd"`), `spec.session.redis.managed.storageClassName: Invalid value: "fast ssd": storageClassName must be the name of a StorageClass: a-z, 0-9, - and .`},
		{"managed Redis of an image with a scheme", managed(`image: "redis 7"`), `spec.session.redis.managed.image: Invalid value: "redis 7": image must be an image reference like docker.io/library/redis:7.4-alpine, without a scheme or spaces`},
		{"managed Redis of a bot with a long name", `metadata: {name: ` + strings.Repeat("n", 47) + `}
spec: {session: {type: Redis, redis: {managed: {}}}}`, `<nil>: Invalid value: with session.redis.managed, metadata.name must have at most 46 characters, as Kubernetes labels the Redis' pods with more than the name: use a shorter name, or session.redis.external`},
		{"Redis without addresses", external(`addresses: []`), `spec.session.redis.external.addresses: Invalid value: 0: spec.session.redis.external.addresses in body should have at least 1 items`},
		{"Redis address that is a URL", external(`addresses: ["redis://redis:6379"]`), `spec.session.redis.external.addresses[0]: Invalid value: "redis://redis:6379": an address must be host:port like redis.example.com:6379, without redis:// and without a user or password`},
		{"Redis address without port", external(`addresses: [redis]`), `spec.session.redis.external.addresses[0]: Invalid value: "redis": an address must be host:port like redis.example.com:6379, without redis:// and without a user or password`},
		{"Redis address with an impossible port", external(`addresses: ["redis:65536"]`), `spec.session.redis.external.addresses[0]: Invalid value: "redis:65536": an address must be host:port like redis.example.com:6379, without redis:// and without a user or password`},
		{"standalone Redis with two addresses", external(`addresses: ["a:6379", "b:6379"]`), `spec.session.redis.external.addresses: Invalid value: mode Standalone has one address: give one, or set mode to Sentinel or Cluster`},
		{"Sentinel without master name", external(`mode: Sentinel, addresses: ["a:26379"]`), `spec.session.redis.external.masterName: Required value: mode Sentinel needs masterName, the name that the Sentinels know the master by`},
		{"master name without Sentinel", external(`addresses: ["a:6379"], masterName: mymaster`), `spec.session.redis.external.masterName: Forbidden: masterName is used with mode Sentinel only: set mode to Sentinel, or remove masterName`},
		{"Cluster with a database", external(`mode: Cluster, addresses: ["a:6379"], database: 1`), `spec.session.redis.external.database: Invalid value: a Redis Cluster has database 0 only: remove database`},
		{"Redis user without password", external(`addresses: ["a:6379"], usernameSecretRef: {name: r, key: user}`), `spec.session.redis.external.passwordSecretRef: Required value: a Redis user needs a password: set passwordSecretRef beside usernameSecretRef`},
		{"Redis CA without TLS", external(`addresses: ["a:6379"], tls: {caSecretRef: {name: r, key: ca}}`), `spec.session.redis.external.tls.enabled: Invalid value: tls is not enabled: set tls.enabled to true, or remove caSecretRef and insecureSkipVerify`},
		{"Sentinel user without password", external(`mode: Sentinel, masterName: m, addresses: ["a:26379"], sentinelUsernameSecretRef: {name: r, key: user}`), `spec.session.redis.external.sentinelPasswordSecretRef: Required value: a Sentinel's user needs a password: set sentinelPasswordSecretRef beside sentinelUsernameSecretRef`},
		{"Sentinel password without Sentinel", external(`addresses: ["a:6379"], sentinelPasswordSecretRef: {name: r, key: p}`), `spec.session.redis.external.sentinelPasswordSecretRef: Forbidden: sentinelPasswordSecretRef is used with mode Sentinel only: set mode to Sentinel, or remove it (the Redis' own password is passwordSecretRef)`},
		{"another Redis mode", external(`mode: Ring, addresses: ["a:6379"]`), `[spec.session.redis.external.mode: Unsupported value: "Ring": supported values: "Standalone", "Sentinel", "Cluster"` + unchecked},

		{"fewer than no replicas", `spec: {replicas: -1}`, `[spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0, .spec.replicas: Invalid value: -1: should be a non-negative integer]`},
		{"101 replicas", `spec: {replicas: 101, session: {type: Redis, redis: {external: {addresses: ["a:6379"]}}}}`, `spec.replicas: Invalid value: 101: spec.replicas in body should be less than or equal to 100`},
		{"two replicas over ConfigMaps", `spec: {replicas: 2}`, `spec.replicas: Invalid value: more than one replica needs a session store that replicas can share: set session.type to Redis (and session.redis), or keep replicas at 1`},

		{"ingress and gateway", `spec: {ingress: {}, gateway: {parentRefs: [{name: public}]}}`, `spec.gateway: Invalid value: set ingress or gateway, not both: remove one of them`},
		{"issuer of another kind", `spec: {ingress: {tls: {issuerRef: {name: ca, kind: Vault}}}}`, `[spec.ingress.tls.issuerRef.kind: Unsupported value: "Vault": supported values: "Issuer", "ClusterIssuer"` + unchecked},
		{"issuer without name", `spec: {ingress: {tls: {issuerRef: {kind: Issuer}}}}`, `[spec.ingress.tls.issuerRef.name: Required value` + unchecked},
		{"TLS secret name with a slash", `spec: {ingress: {tls: {secretName: other/tls}}}`, `spec.ingress.tls.secretName: Invalid value: "other/tls": secretName must be the name of a Secret in the bot's namespace: a-z, 0-9, - and .`},
		{"class name in upper case", `spec: {ingress: {className: Traefik}}`, `spec.ingress.className: Invalid value: "Traefik": className must be the name of an IngressClass: a-z, 0-9, - and .`},
		{"gateway without parents", `spec: {gateway: {parentRefs: []}}`, `spec.gateway.parentRefs: Invalid value: 0: spec.gateway.parentRefs in body should have at least 1 items`},
		{"gateway without parentRefs", `spec: {gateway: {}}`, `[spec.gateway.parentRefs: Required value` + unchecked},
		{"parent listed twice", `spec: {gateway: {parentRefs: [{name: public}, {name: public, kind: Gateway}]}}`, `spec.gateway.parentRefs: Invalid value: each parentRef may be listed once: remove the repeated one`},
		{"parent of another kind", `spec: {gateway: {parentRefs: [{name: web, kind: Service}]}}`, `[spec.gateway.parentRefs[0].kind: Unsupported value: "Service": supported values: "Gateway", "ListenerSet"` + unchecked},
		{"parent port out of range", `spec: {gateway: {parentRefs: [{name: public, port: 65536}]}}`, `spec.gateway.parentRefs[0].port: Invalid value: 65536: spec.gateway.parentRefs[0].port in body should be less than or equal to 65535`},
		{"gateway with TLS", `spec: {gateway: {parentRefs: [{name: public}], tls: {}}}`, `WechatBot in version "v1alpha1" cannot be handled as a WechatBot: strict decoding error: unknown field "spec.gateway.tls"`},

		{"image with a scheme", `spec: {image: "docker://bot:1 "}`, `spec.image: Invalid value: "docker://bot:1 ": image must be an image reference like registry.example.com/wechatbot-operator:v0.1.0, without a scheme or spaces`},
		{"pull secret listed twice", `spec: {imagePullSecrets: [{name: a}, {name: a}]}`, `spec.imagePullSecrets[1]: Duplicate value: {"name":"a"}`},
		{"resources that are no quantity", `spec: {resources: {limits: {memory: lots}}}`, `spec.resources.limits.memory: Invalid value: "lots": spec.resources.limits.memory in body should match '^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$'`},
		{"a request above its limit", `spec: {resources: {requests: {memory: 1Gi}, limits: {memory: 128Mi}}}`, `spec.resources: Invalid value: requests are more than limits: raise the limit, or ask for less`},
		{"a request without a unit above its limit", `spec: {resources: {requests: {cpu: 2}, limits: {cpu: 500m}}}`, `spec.resources: Invalid value: requests are more than limits: raise the limit, or ask for less`},
		{"an unknown resource", `spec: {resources: {limits: {mem: 128Mi}}}`, `spec.resources.limits: Invalid value: an unknown resource: use cpu, memory, ephemeral-storage, hugepages-SIZE, or a name with a domain like nvidia.com/gpu`},
		{"a quantity below 0", `spec: {resources: {requests: {cpu: -1}}}`, `spec.resources.requests: Invalid value: a quantity is below 0`},
		{"memory with the unit of CPU", `spec: {resources: {limits: {memory: 128m}}}`, `spec.resources.limits: Invalid value: memory is below 4Mi, with which no container starts: write a unit, like 128Mi (128m is 0.128 bytes)`},
		{"the Redis' memory without a unit", `spec: {session: {type: Redis, redis: {managed: {resources: {limits: {memory: 256}}}}}}`, `spec.session.redis.managed.resources.limits: Invalid value: memory is below 4Mi, with which no container starts: write a unit, like 128Mi (128m is 0.128 bytes)`},
		{"pod template that is no object", `spec: {podTemplate: []}`, `[spec.podTemplate: Invalid value: "array": spec.podTemplate in body must be of type object: "array"` + unchecked},
		{"a Secret with a certificate elsewhere", `spec: {ingress: {tls: {mode: External, secretName: a}}}`, `spec.ingress.tls.mode: Invalid value: with mode External there is no Secret: remove secretName and issuerRef`},
		{"suspend as a word", `spec: {suspend: "yes"}`, `[spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string"` + unchecked},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBots(t)
			bot := changed(t, parse(t, minimal), c.change)
			_, err := b.create(t.Context(), bot)
			if diff := otherThan(t, c.want, err); diff != "" {
				t.Errorf("refused with (-want +got):\n%s", diff)
			}
		})
	}
}
