package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// TestAcceptedObjectsAreDefaulted pins the spec that the API server stores, and that nothing of it is lost or added
// on the way through the Go types: what the operator reads and writes back is what the user wrote.
func TestAcceptedObjectsAreDefaulted(t *testing.T) {
	external := func(fields string) string {
		return "spec: {session: {type: Redis, redis: {external: {" + fields + "}}}}"
	}
	for _, c := range []struct {
		name   string // of the golden file
		change string // to the minimal object
	}{
		{"minimal", `{}`},
		{"longest-name", `metadata: {name: ` + strings.Repeat("n", 52) + `}`},
		{"domain-in-punycode", `spec: {domain: xn--fiqs8s.xn--fiqs8s}`},
		{"path-of-the-domain", `spec: {path: /}`},
		{"path-of-segments", `spec: {path: /bots/winter_1.0~a-b}`},
		{"hidden-secret-key", `spec: {tokenSecretRef: {name: a.b-c, key: .token_1}}`},
		{"secure-mode", `spec: {wechat: {appID: wx0123456789abcdef, encodingAESKeySecretRef: {name: winter, key: aes}, allowPlain: true}}`},
		{"menu", `spec: {wechat: {appID: wx0123456789abcdef, appSecretRef: {name: winter, key: app-secret}}, menuPolicy: Enforce, menu: [{name: 官网, url: "https://例子.example.com/?a=1#b"}, {name: 一二三四五a, command: /help}, {name: 咖啡, items: [{name: 今天喝什么, question: ` + strings.Repeat("问", 200) + `}, {name: ` + strings.Repeat("长", 20) + `, reply: "每天\n8:00"}, {name: 点单, miniProgram: {appID: wx1, path: "pages/index?a=1", url: "https://example.com/order"}}, {name: 停, command: /stop}, {name: 清空, command: /clear}]}]}`},
		{"keywords", `spec: {keywords: [{words: [a, 人工, "两 个"], match: Contains, reply: "甲\n乙"}, {words: [b], match: Prefix, question: ` + strings.Repeat("问", 200) + `}, {words: [c], command: /clear}]}`},
		{"keyword-that-hands-over", `spec: {wechat: {appID: wx0123456789abcdef, appSecretRef: {name: w, key: s}}, handover: {}, keywords: [{words: [客服], match: Contains, handover: true}]}`},
		{"no-label-of-AI", `spec: {reply: {aiLabel: "", notice: "备案号\n模型"}}`},
		{"account", `spec: {wechat: {originalID: gh_0123456789ab, verificationFiles: {MP_verify_AbCdEfGhIjKlMnOp.txt: AbCdEfGhIjKlMnOp}}}`},
		{"dify-in-the-cluster", `spec: {dify: {baseURL: "http://dify-api.dify.svc:5001/", inputs: {城市: 上海, empty: ""}}}`},
		{"shortest-durations", `spec: {dify: {timeout: 1s, idleTimeout: 1s}, reply: {deadline: 1s, page: {ttl: 1m}}, limits: {window: 1s}, session: {idleTimeout: 1m}}`},
		{"longest-durations", `spec: {dify: {timeout: 1h, idleTimeout: 1h}, reply: {deadline: 4.8s, page: {ttl: 720h}}, limits: {window: 24h}, session: {idleTimeout: 8760h}}`},
		{"least-numbers", `spec: {reply: {holdsPerMinute: 0}, limits: {questions: 1, concurrency: 1}, session: {history: 1}}`},
		{"greatest-numbers", `spec: {reply: {holdsPerMinute: 600}, limits: {questions: 10000, concurrency: 10000}, session: {history: 200}}`},
		{"budgets", `spec: {reply: {timeZone: America/Argentina/Buenos_Aires}, limits: {tokens: {follower: 1, bot: 1000000000000}}}`},
		{"time-zone-of-its-own", `spec: {reply: {timeZone: Etc/GMT+8}, limits: {tokens: {bot: 1}}}`},
		{"english-with-a-text", `spec: {reply: {language: en, texts: {welcome: ` + strings.Repeat("好", 200) + `}}}`},
		{"redis", external(`addresses: ["redis:6379"]`)},
		{"redis-over-ipv6", external(`addresses: ["[2001:db8::1]:6379"], tls: {enabled: true, insecureSkipVerify: true}`)},
		{"redis-sentinel", external(`mode: Sentinel, addresses: ["a:26379", "b:26379"], masterName: mymaster, passwordSecretRef: {name: r, key: p}`)},
		{"redis-cluster", external(`mode: Cluster, addresses: ["a:6379", "b:6379"]`)},
		{"redis-sentinel-with-passwords", external(`mode: Sentinel, addresses: ["a:26379"], masterName: m, sentinelUsernameSecretRef: {name: r, key: u}, sentinelPasswordSecretRef: {name: r, key: p}`)},
		{"redis-managed", `spec: {replicas: 3, session: {type: Redis, redis: {managed: {}}}}`},
		{"redis-managed-in-full", `spec: {session: {type: Redis, redis: {managed: {storage: 1536Mi, storageClassName: fast.ssd, image: "registry.example.com:5000/redis@sha256:0123", resources: {requests: {cpu: 50m}, limits: {memory: 512Mi}}, deletePVC: true}}}}`},
		{"redis-managed-longest-name", `{metadata: {name: ` + strings.Repeat("n", 46) + `}, spec: {session: {type: Redis, redis: {managed: {}}}}}`},
		{"most-replicas", `spec: {replicas: 100, session: {type: Redis, redis: {external: {addresses: ["redis:65535"], database: 65535}}}}`},
		{"ingress-by-default", `spec: {ingress: {}}`},
		{"ingress-of-ones-own", `spec: {ingress: {enabled: false}}`},
		{"ingress-with-issuer", `spec: {ingress: {className: traefik, annotations: {a.example/b: c}, tls: {secretName: s, issuerRef: {name: ca}}}}`},
		{"gateway", `spec: {gateway: {parentRefs: [{name: public}, {name: public, sectionName: https}, {name: extra, kind: ListenerSet, namespace: infra, port: 443}]}}`},
		{"pod", `spec: {image: "registry.example.com:5000/bot@sha256:0123", imagePullSecrets: [{name: a}], resources: {limits: {memory: 128Mi, cpu: "1"}}}`},
		{"pod-template-of-any-shape", `spec: {podTemplate: {spec: {tolerations: [{operator: Exists}], noSuchField: {a: [1, 2.5, null]}}}}`},
		{"stopped", `spec: {replicas: 0}`},
		{"certificate-elsewhere", `spec: {ingress: {tls: {mode: External}}}`},
		{"suspended-with-network-policy", `spec: {suspend: true, networkPolicy: {enabled: true}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBots(t)
			stored, err := b.create(t.Context(), changed(t, parse(t, minimal), c.change))
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := yaml.Marshal(map[string]any{"spec": stored.Object["spec"]})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "defaulted/"+c.name+".yaml", string(manifest))

			var bot v1alpha1.WechatBot
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(stored.Object, &bot, true); err != nil {
				t.Fatalf("reading it into the Go type: %v", err)
			}
			back, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&bot)
			if err != nil {
				t.Fatalf("writing the Go type: %v", err)
			}
			again := parse(t, minimal)
			again.Object = back
			updated, err := b.update(t.Context(), again)
			if err != nil {
				t.Fatalf("updating with what the Go type wrote: %v", err)
			}
			if diff := cmp.Diff(canonical(stored.Object["spec"]), canonical(updated.Object["spec"])); diff != "" {
				t.Errorf("the way through the Go type changed the spec (-stored +written back):\n%s", diff)
			}
		})
	}
}
