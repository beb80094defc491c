package serverconfig

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDiffNamesWhatChanged(t *testing.T) {
	tests := map[string]struct {
		file    string
		diff    []string
		restart []string
	}{
		"nothing":        {minimal, nil, nil},
		"in other words": {minimal + "limits: {window: 600s}\ndify: {inputs: {}}\n", nil, nil},
		"texts":          {minimal + "reply: {texts: {help: x}, language: en}\n", []string{"reply.language", "reply.texts"}, nil},
		"Dify":           {minimal + "dify: {baseURL: http://a, inputs: {a: b}}\n", []string{"dify.baseURL", "dify.inputs"}, nil},
		"account":        {minimal + "wechat: {allowPlain: true, verificationFiles: {MP_verify_abcdefgh01234567.txt: x}}\n", []string{"wechat.allowPlain", "wechat.verificationFiles"}, nil},
		"addresses":      {minimal + "listen: ':1'\nadminListen: ':2'\nlimits: {questions: 1}\n", []string{"listen", "adminListen", "limits.questions"}, []string{"listen", "adminListen"}},
		"names":          {"bot: a/b\nsecretsDir: /b\npath: /\n", []string{"bot", "path", "secretsDir"}, []string{"bot", "path", "secretsDir"}},
		"store":          {minimal + "session: {type: Redis, history: 3}\n", []string{"session.type", "session.history", "session.redis.mode", "session.redis.addresses"}, []string{"session.type", "session.history", "session.redis.mode", "session.redis.addresses"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			old, changed := parse(t, minimal), parse(t, tt.file)
			if d := cmp.Diff(tt.diff, changed.Diff(&old)); d != "" {
				t.Errorf("Diff (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.restart, changed.RestartNeeded(&old)); len(tt.restart)+len(changed.RestartNeeded(&old)) > 0 && d != "" {
				t.Errorf("RestartNeeded (-want +got):\n%s", d)
			}
		})
	}
}

func TestStartHash_ChangesWithARestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyConfig(t), anyConfig(t)
		if rapid.Bool().Draw(t, "same start") {
			b.Bot, b.Listen, b.AdminListen, b.Path, b.SecretsDir, b.Session = a.Bot, a.Listen, a.AdminListen, a.Path, a.SecretsDir, a.Session
		}
		restart := b.RestartNeeded(&a)
		if same := a.StartHash() == b.StartHash(); same != (len(restart) == 0) {
			t.Fatalf("hashes equal: %v, but fields that need a restart: %v", same, restart)
		}
	})
}

// The hash is on running pods: a new release that changes it restarts every bot.
func TestStartHashStaysAcrossReleases(t *testing.T) {
	c := parse(t, minimal+"session: {type: Redis, redis: {mode: Cluster, addresses: ['a:1', 'b:2']}}\n")
	if got, want := c.StartHash(), "dd7760b202ad41a1a8be44ca837c22ea"; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func TestDurationHasOneSpelling(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Hour: "1h", 24 * time.Hour: "24h", 90 * time.Minute: "90m", time.Minute: "1m", 61 * time.Second: "61s",
		4500 * time.Millisecond: "4500ms", 1500 * time.Microsecond: "1500us", 1: "1ns", -time.Second: "-1s",
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
		if back, err := time.ParseDuration(want); err != nil || back != d {
			t.Errorf("%s is read as %v (%v), want %v", want, back, err, d)
		}
	}
}
