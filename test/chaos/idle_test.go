//go:build chaos

package chaos

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// BenchmarkIdleServer is the resident memory of a server that nobody talks to, with each session store.
func BenchmarkIdleServer(b *testing.B) {
	binary := build(b)
	redis := startRedis(b, b.TempDir())
	api := startAPIServer(b)
	namespace := api.Namespace(b, "idle")
	wrap, env := api.pod(b, namespace)
	for _, store := range []struct {
		name, config string
		wrap, env    []string
	}{
		{name: "Memory", config: "{type: Memory}"},
		{name: "Redis", config: redisSession(redis.address())},
		{
			name: "ConfigMap", config: fmt.Sprintf("{type: ConfigMap, configMap: {namespace: %s, name: chaos-sessions}}", namespace),
			wrap: wrap, env: env,
		},
	} {
		b.Run(store.name, func(b *testing.B) {
			sum, n := 0.0, 0.0
			for b.Loop() {
				w := newWorld(b, "idle", 0, difysim.Chat)
				config := w.configure(b, 0, store.config, map[string]string{"redis-password": redisPassword})
				r := startReplica(b, 0, w.logs, store.env, append(store.wrap, binary, "--config", config)...)
				if err := await(startTimeout, r.now().serves); err != nil {
					b.Fatal(err)
				}
				pause(b.Context(), 3*time.Second) // for what it does after a start
				sum += resident(b, r.now().cmd.Process.Pid)
				n++
				r.stop(b)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(sum/n/(1<<20), "MiB")
		})
	}
}

// resident is the resident memory of a process, in bytes.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib * 1024
		}
	}
	b.Fatal("the process has no resident memory")
	return 0
}
