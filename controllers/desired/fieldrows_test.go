package desired_test

// fieldRow is a field of the spec, a sample it is changed in, and the places among the bot's children that differ then.
// "+" and "-" are objects that come and go; "config" is the server's configuration, of which the hash in the pods'
// template says that they have to start anew.
type fieldRow struct {
	field, sample, value string
	// holds is what one of the places holds then, where it is the value itself.
	holds   string
	reaches string
}

func fieldRows() []fieldRow {
	return []fieldRow{
		{"domain", "minimal", `other.example.com`, "other.example.com", `Ingress winter spec rules 0 host
Ingress winter spec tls 0 hosts 0`},
		{"path", "minimal", `/other`, "/other", `Deployment winter spec template metadata annotations wechatbot.dev/config
Ingress winter spec rules 0 http paths 0 path
config path`},
		{"tokenSecretRef.name", "minimal", `other`, "other", `Deployment winter spec template spec volumes 1 projected sources 0 secret name`},
		{"tokenSecretRef.key", "minimal", `other`, "other", `Deployment winter spec template spec volumes 1 projected sources 0 secret items 0 key`},
		{"wechat.appID", "minimal", `wx0`, "wx0", `config wechat appID`},
		{"wechat.encodingAESKeySecretRef.name", "secure-mode", `other`, "other", `Deployment secure spec template spec volumes 1 projected sources 2 secret name`},
		{"wechat.encodingAESKeySecretRef.key", "secure-mode", `other`, "other", `Deployment secure spec template spec volumes 1 projected sources 2 secret items 0 key`},
		{"wechat.appSecretRef.name", "menu", `other`, "other", `Deployment menu spec template spec volumes 1 projected sources 2 secret name`},
		{"wechat.appSecretRef.key", "menu", `other`, "other", `Deployment menu spec template spec volumes 1 projected sources 2 secret items 0 key`},
		{"wechat.allowPlain", "secure-mode", `true`, "true", `config wechat allowPlain`},
		{"wechat.originalID", "minimal", `gh_0`, "gh_0", `config wechat originalID`},
		{"wechat.verificationFiles", "minimal", `{MP_verify_AbCdEfGhIjKlMnOp.txt: content}`, "", `Ingress winter spec rules 0 http paths 1 backend service name
Ingress winter spec rules 0 http paths 1 backend service port number
Ingress winter spec rules 0 http paths 1 path
Ingress winter spec rules 0 http paths 1 pathType
config wechat verificationFiles MP_verify_AbCdEfGhIjKlMnOp.txt`},
		{"dify.apiKeySecretRef.name", "minimal", `other`, "other", `Deployment winter spec template spec volumes 1 projected sources 1 secret name`},
		{"dify.apiKeySecretRef.key", "minimal", `other`, "other", `Deployment winter spec template spec volumes 1 projected sources 1 secret items 0 key`},
		{"dify.baseURL", "minimal", `https://dify.example.com/v1`, "https://dify.example.com/v1", `config dify baseURL`},
		{"dify.filesURL", "minimal", `http://files:5001`, "http://files:5001", `config dify filesURL`},
		{"dify.caSecretRef.name", "full", `other`, "other", `Deployment full spec template spec volumes 1 projected sources 2 secret name`},
		{"dify.caSecretRef.key", "full", `other`, "other", `Deployment full spec template spec volumes 1 projected sources 2 secret items 0 key`},
		{"dify.inputs", "minimal", `{city: Beijing}`, "", `config dify inputs city`},
		{"dify.timeout", "minimal", `7m`, "", `Deployment winter spec template spec terminationGracePeriodSeconds
config dify timeout`},
		{"dify.idleTimeout", "minimal", `7s`, "7s", `config dify idleTimeout`},
		{"reply.mode", "menu", `CustomerService`, "CustomerService", `config reply mode`},
		{"reply.voice", "handover", `ForVoice`, "ForVoice", `config reply voice`},
		{"reply.push.maxSends", "minimal", `2`, "2", `config reply push maxSends`},
		{"reply.deadline", "minimal", `2s`, "2s", `config reply deadline`},
		{"reply.holdsPerMinute", "minimal", `7`, "7", `config reply holdsPerMinute`},
		{"reply.language", "minimal", `en`, "en", `config reply language`},
		{"reply.timeZone", "minimal", `Europe/Berlin`, "Europe/Berlin", `config reply timeZone`},
		{"reply.continueWords.0", "minimal", `more`, "more", `config reply continueWords 0`},
		{"reply.aiLabel", "minimal", `AI`, "AI", `config reply aiLabel`},
		{"reply.notice", "minimal", `by AI`, "by AI", `config reply notice`},
		{"reply.suggestions", "minimal", `false`, "false", `config reply suggestions`},
		{"reply.feedback", "minimal", `true`, "true", `config reply feedback`},
		{"reply.sources", "minimal", `true`, "true", `config reply sources`},
		{"reply.page.enabled", "minimal", `true`, "true", `Ingress winter spec rules 0 http paths 1 backend service name
Ingress winter spec rules 0 http paths 1 backend service port number
Ingress winter spec rules 0 http paths 1 path
Ingress winter spec rules 0 http paths 1 pathType
config domain
config reply page enabled`},
		{"reply.page.enabled", "gateway", `true`, "true", `HTTPRoute gateway spec rules 0 matches 1 path type
HTTPRoute gateway spec rules 0 matches 1 path value
config domain
config reply page enabled`},
		{"reply.page.ttl", "minimal", `7h`, "7h", `config reply page ttl`},
		{"reply.texts", "minimal", `{busy: later}`, "", `config reply texts busy`},
		{"handover.words.0", "menu", `human`, "human", `config handover words 0`},
		{"handover.offline", "menu", `later`, "later", `config handover offline
config handover words 0
config handover words 1`},
		{"keywords", "minimal", `[{words: [a, b], match: Prefix, question: q}, {words: [c], reply: r}, {words: [d], command: /stop}]`, "", `config keywords 0 match
config keywords 0 question
config keywords 0 words 0
config keywords 0 words 1
config keywords 1 reply
config keywords 1 words 0
config keywords 2 command
config keywords 2 words 0`},
		{"keywords", "full", `[{words: [a], handover: true}]`, "", `config keywords 0 handover
config keywords 0 match
config keywords 0 reply
config keywords 0 words 0`},
		{"menu", "menu", `[{name: a, items: [{name: b, url: "https://b"}, {name: c, question: q}, {name: d, reply: r}, {name: e, command: /stop}, {name: f, miniProgram: {appID: g, path: h, url: "https://i"}}]}]`, "", `config menu 0 items 0 name
config menu 0 items 0 url
config menu 0 items 1 name
config menu 0 items 1 question
config menu 0 items 2 name
config menu 0 items 2 reply
config menu 0 items 3 command
config menu 0 items 3 name
config menu 0 items 4 miniProgram appID
config menu 0 items 4 miniProgram path
config menu 0 items 4 miniProgram url
config menu 0 items 4 name
config menu 0 name
config menu 0 url
config menu 1 command
config menu 1 name
config menu 2 items 0 name
config menu 2 items 0 question
config menu 2 items 1 name
config menu 2 items 1 reply
config menu 2 name`},
		{"menuPolicy", "menu", `Enforce`, "Enforce", `config menuPolicy`},
		{"limits.questions", "minimal", `7`, "7", `config limits questions`},
		{"limits.window", "minimal", `7m`, "", `config limits window`},
		{"limits.concurrency", "minimal", `7`, "7", `config limits concurrency`},
		{"limits.tokens.follower", "minimal", `7`, "7", `config limits tokens follower`},
		{"limits.tokens.bot", "minimal", `7`, "7", `config limits tokens bot`},
		{"tracing.endpoint", "full", `http://other:4318`, "", `config tracing endpoint`},
		{"tracing.headersSecretRef.name", "full", `other`, "other", `Deployment full spec template spec volumes 1 projected sources 6 secret name`},
		{"tracing.headersSecretRef.key", "full", `other`, "other", `Deployment full spec template spec volumes 1 projected sources 6 secret items 0 key`},
		{"tracing.samplingPercent", "full", `7`, "7", `config tracing samplingPercent`},
		{"session.type", "external-redis", `ConfigMap`, "", `+ ConfigMap redis-sessions-0
+ ConfigMap redis-sessions-1
+ ConfigMap redis-sessions-2
+ ConfigMap redis-sessions-3
+ ConfigMap redis-sessions-4
+ ConfigMap redis-sessions-5
+ ConfigMap redis-sessions-6
+ ConfigMap redis-sessions-7
+ Role redis-sessions
+ RoleBinding redis-sessions
Deployment redis spec template metadata annotations wechatbot.dev/config
Deployment redis spec template spec automountServiceAccountToken
Deployment redis spec template spec topologySpreadConstraints 0 labelSelector matchLabels app.kubernetes.io/component
Deployment redis spec template spec topologySpreadConstraints 0 labelSelector matchLabels app.kubernetes.io/instance
Deployment redis spec template spec topologySpreadConstraints 0 labelSelector matchLabels app.kubernetes.io/name
Deployment redis spec template spec topologySpreadConstraints 0 maxSkew
Deployment redis spec template spec topologySpreadConstraints 0 topologyKey
Deployment redis spec template spec topologySpreadConstraints 0 whenUnsatisfiable
Deployment redis spec template spec volumes 1 projected sources 2 secret items 0 key
Deployment redis spec template spec volumes 1 projected sources 2 secret items 0 path
Deployment redis spec template spec volumes 1 projected sources 2 secret name
Deployment redis spec template spec volumes 1 projected sources 3 secret items 0 key
Deployment redis spec template spec volumes 1 projected sources 3 secret items 0 path
Deployment redis spec template spec volumes 1 projected sources 3 secret name
Deployment redis spec template spec volumes 1 projected sources 4 secret items 0 key
Deployment redis spec template spec volumes 1 projected sources 4 secret items 0 path
Deployment redis spec template spec volumes 1 projected sources 4 secret name
Deployment redis spec template spec volumes 1 projected sources 5 secret items 0 key
Deployment redis spec template spec volumes 1 projected sources 5 secret items 0 path
Deployment redis spec template spec volumes 1 projected sources 5 secret name
Deployment redis spec template spec volumes 1 projected sources 6 secret items 0 key
Deployment redis spec template spec volumes 1 projected sources 6 secret items 0 path
Deployment redis spec template spec volumes 1 projected sources 6 secret name
config session configMap name
config session configMap namespace
config session redis addresses 0
config session redis addresses 1
config session redis addresses 2
config session redis masterName
config session redis mode
config session redis tls enabled
config session type`},
		{"session.idleTimeout", "minimal", `7h`, "", `Deployment winter spec template metadata annotations wechatbot.dev/config
config session idleTimeout`},
		{"session.history", "minimal", `7`, "7", `Deployment winter spec template metadata annotations wechatbot.dev/config
config session history`},
		{"session.redis.external.addresses.0", "external-redis", `"other:26379"`, "", `Deployment redis spec template metadata annotations wechatbot.dev/config
config session redis addresses 0`},
		{"session.redis.external.mode", "full", `Cluster`, "Cluster", `Deployment full spec template metadata annotations wechatbot.dev/config
config session redis mode`},
		{"session.redis.external.masterName", "external-redis", `other`, "other", `Deployment redis spec template metadata annotations wechatbot.dev/config
config session redis masterName`},
		{"session.redis.external.database", "external-redis", `7`, "7", `Deployment redis spec template metadata annotations wechatbot.dev/config
config session redis database`},
		{"session.redis.external.usernameSecretRef.name", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 2 secret name`},
		{"session.redis.external.usernameSecretRef.key", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 2 secret items 0 key`},
		{"session.redis.external.passwordSecretRef.name", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 3 secret name`},
		{"session.redis.external.passwordSecretRef.key", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 3 secret items 0 key`},
		{"session.redis.external.sentinelUsernameSecretRef.name", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 4 secret name`},
		{"session.redis.external.sentinelUsernameSecretRef.key", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 4 secret items 0 key`},
		{"session.redis.external.sentinelPasswordSecretRef.name", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 5 secret name`},
		{"session.redis.external.sentinelPasswordSecretRef.key", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 5 secret items 0 key`},
		{"session.redis.managed.storage", "managed-redis", `7Gi`, "7Gi", `StatefulSet busy-redis spec volumeClaimTemplates 0 spec resources requests storage`},
		{"session.redis.managed.storageClassName", "managed-redis", `other`, "other", `StatefulSet busy-redis spec volumeClaimTemplates 0 spec storageClassName`},
		{"session.redis.managed.image", "managed-redis", `other`, "other", `StatefulSet busy-redis spec template spec containers 0 image`},
		{"session.redis.managed.resources.requests", "managed-redis", `{cpu: 7m, memory: 64Mi}`, "7m", `StatefulSet busy-redis spec template spec containers 0 resources requests cpu`},
		{"session.redis.managed.resources.limits", "managed-redis", `{memory: 64Mi}`, "64Mi", `ConfigMap busy-redis data redis.conf
StatefulSet busy-redis spec template metadata annotations wechatbot.dev/config
StatefulSet busy-redis spec template spec containers 0 resources limits memory`},
		{"session.redis.managed.nodeSelector", "managed-redis", `{disk: hdd}`, "hdd", `StatefulSet busy-redis spec template spec nodeSelector disk`},
		{"session.redis.managed.tolerations.0", "managed-redis", `{key: other}`, "other", `StatefulSet busy-redis spec template spec tolerations 0 effect
StatefulSet busy-redis spec template spec tolerations 0 key
StatefulSet busy-redis spec template spec tolerations 0 operator
StatefulSet busy-redis spec template spec tolerations 0 value`},
		{"session.redis.managed.affinity", "managed-redis", `{nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 7, preference: {matchExpressions: [{key: spot, operator: DoesNotExist}]}}]}}`, "7",
			`StatefulSet busy-redis spec template spec affinity nodeAffinity preferredDuringSchedulingIgnoredDuringExecution 0 weight`},
		{"session.redis.managed.topologySpreadConstraints.0", "managed-redis", `{topologyKey: zone, maxSkew: 7, whenUnsatisfiable: DoNotSchedule}`, "zone", `StatefulSet busy-redis spec template spec topologySpreadConstraints 0 maxSkew
StatefulSet busy-redis spec template spec topologySpreadConstraints 0 topologyKey
StatefulSet busy-redis spec template spec topologySpreadConstraints 0 whenUnsatisfiable`},
		{"session.redis.managed.priorityClassName", "managed-redis", `low`, "low", `StatefulSet busy-redis spec template spec priorityClassName`},
		{"session.redis.managed.deletePVC", "managed-redis", `true`, "Delete", `StatefulSet busy-redis spec persistentVolumeClaimRetentionPolicy whenDeleted`},
		{"session.redis.external.tls.enabled", "full", `true`, "true", `Deployment full spec template metadata annotations wechatbot.dev/config
config session redis tls enabled`},
		{"session.redis.external.tls.caSecretRef.name", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 6 secret name`},
		{"session.redis.external.tls.caSecretRef.key", "external-redis", `other`, "other", `Deployment redis spec template spec volumes 1 projected sources 6 secret items 0 key`},
		{"session.redis.external.tls.insecureSkipVerify", "external-redis", `true`, "true", `Deployment redis spec template metadata annotations wechatbot.dev/config
config session redis tls insecureSkipVerify`},
		{"replicas", "external-redis", `7`, "7", `Deployment redis spec replicas`},
		{"replicas", "external-redis", `1`, "1", `- PodDisruptionBudget redis
Deployment redis spec replicas`},
		{"ingress.enabled", "minimal", `false`, "", `- Ingress winter`},
		{"ingress.className", "minimal", `other`, "other", `Ingress winter spec ingressClassName`},
		{"ingress.annotations", "minimal", `{example.com/a: b}`, "b", `Ingress winter metadata annotations example.com/a`},
		{"ingress.tls.secretName", "minimal", `other`, "other", `Ingress winter spec tls 0 secretName`},
		{"ingress.tls.mode", "minimal", `External`, "", `Ingress winter spec tls 0 secretName`},
		{"ingress.tls.issuerRef.name", "full", `other`, "other", `Ingress full metadata annotations cert-manager.io/cluster-issuer`},
		{"ingress.tls.issuerRef.kind", "full", `Issuer`, "", `Ingress full metadata annotations cert-manager.io/cluster-issuer
Ingress full metadata annotations cert-manager.io/issuer`},
		{"gateway.parentRefs.0.name", "gateway", `other`, "other", `HTTPRoute gateway spec parentRefs 0 name`},
		{"gateway.parentRefs.0.namespace", "gateway", `other`, "other", `HTTPRoute gateway spec parentRefs 0 namespace`},
		{"gateway.parentRefs.0.sectionName", "gateway", `other`, "other", `HTTPRoute gateway spec parentRefs 0 sectionName`},
		{"gateway.parentRefs.0.port", "gateway", `7`, "7", `HTTPRoute gateway spec parentRefs 0 port`},
		{"gateway.parentRefs.0.kind", "gateway", `ListenerSet`, "ListenerSet", `HTTPRoute gateway spec parentRefs 0 kind`},
		{"image", "minimal", `example.com/other:1`, "example.com/other:1", `Deployment winter spec template spec containers 0 image`},
		{"imagePullSecrets", "minimal", `[{name: other}]`, "", `Deployment winter spec template spec imagePullSecrets 0 name`},
		{"resources", "minimal", `{limits: {memory: 7Mi}}`, "", `Deployment winter spec template spec containers 0 resources limits memory
Deployment winter spec template spec containers 0 resources requests cpu
Deployment winter spec template spec containers 0 resources requests memory`},
		{"podTemplate", "minimal", `{spec: {nodeSelector: {disk: ssd}}}`, "", `Deployment winter spec template spec nodeSelector disk`},
		{"networkPolicy.enabled", "minimal", `true`, "", `+ NetworkPolicy winter`},
		{"suspend", "minimal", `true`, "", ``},
	}
}
