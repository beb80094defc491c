//go:build redis

package desired_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// realRedis is a redis-server that runs on what a managed Redis gets, at an address and in folders of the test's.
type realRedis struct {
	t        *testing.T
	conf     string
	port     string
	children *desired.Children
	cmd      *exec.Cmd
}

func startReal(t *testing.T) *realRedis {
	t.Helper()
	children, err := desired.All(sample(t, "managed-redis"), operator, desired.Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	auth := write("auth.conf", "requirepass ABCDEFGHIJKLMNOPQRSTUVWXYZ\n")
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := children.RedisConfig.Data["redis.conf"]
	for _, place := range [][2]string{
		{"bind * -::*", "bind 127.0.0.1"}, {"port 6379", "port " + port}, {"dir /data", "dir " + data},
		{"include /etc/redis-secret/auth.conf", "include " + auth},
	} {
		if !strings.Contains(conf, place[0]+"\n") {
			t.Fatalf("no %q in\n%s", place[0], conf)
		}
		conf = strings.Replace(conf, place[0], place[1], 1)
	}
	r := &realRedis{t: t, conf: write("redis.conf", conf), port: port, children: children}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *realRedis) start() {
	r.t.Helper()
	command := r.children.Redis.Spec.Template.Spec.Containers[0].Command
	r.cmd = exec.Command(command[0], r.conf) //nolint:noctx // the product's own command; stop ends it
	if err := r.cmd.Start(); err != nil {
		r.t.Fatalf("%v (apt-get install redis-server)", err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for r.probe(r.children.Redis.Spec.Template.Spec.Containers[0].ReadinessProbe.Exec.Command) != nil {
		if time.Now().After(deadline) {
			r.t.Fatal("it does not get ready")
		}
	}
}

func (r *realRedis) stop() {
	_ = r.cmd.Process.Signal(os.Interrupt)
	_ = r.cmd.Wait()
}

// probe runs a probe's command, at the test's port.
func (r *realRedis) probe(command []string) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, command[0], append([]string{"-p", r.port}, command[1:]...)...).Run()
}

// cli runs a command as the user that a webhook server is, or another.
func (r *realRedis) cli(auth []string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "redis-cli", append(append([]string{"-p", r.port, "--no-auth-warning"}, auth...), args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// The generated configuration and probes, on the redis-server and redis-cli of the machine.
func TestARealRedisTakesTheConfiguration(t *testing.T) {
	r := startReal(t)
	server := []string{"--pass", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
	prober := []string{"--user", "probe", "--pass", "probe"}
	limit := r.children.Redis.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().Value()
	for setting, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": "",
		"maxmemory": strconv.FormatInt(limit/4*3, 10), "protected-mode": "no", "databases": "1",
	} {
		if _, got, _ := strings.Cut(r.cli(server, "config", "get", setting), "\n"); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	for _, c := range []struct {
		who  []string
		args []string
		want string
	}{
		{server, []string{"set", "a", "b"}, "OK"},
		{nil, []string{"get", "a"}, "NOAUTH"},
		{nil, []string{"ping"}, "NOAUTH"},
		{prober, []string{"ping"}, "PONG"},
		{prober, []string{"get", "a"}, "NOPERM"},
		{prober, []string{"config", "get", "requirepass"}, "NOPERM"},
		{prober, []string{"acl", "list"}, "NOPERM"},
		{prober, []string{"publish", "a", "b"}, "NOPERM"},
	} {
		if got := r.cli(c.who, c.args...); !strings.HasPrefix(got, c.want) {
			t.Errorf("%v %v gives %q, want %q", c.who, c.args, got, c.want)
		}
	}

	// What was written is there after a restart, and after a crash once a second has passed.
	r.stop()
	r.start()
	if got := r.cli(server, "get", "a"); got != "b" {
		t.Errorf("after a restart a is %q", got)
	}

	// Full is ready, as reads still work; and it refuses instead of forgetting.
	r.cli(server, "config", "set", "maxmemory", "1")
	if got := r.cli(server, "set", "b", "c"); !strings.HasPrefix(got, "OOM") {
		t.Errorf("a full Redis says %q to a write", got)
	}
	if got := r.cli(server, "get", "a"); got != "b" {
		t.Errorf("a full Redis has forgotten: %q", got)
	}

	container := r.children.Redis.Spec.Template.Spec.Containers[0]
	r.stop()
	for name, command := range map[string][]string{
		"startup": container.StartupProbe.Exec.Command, "readiness": container.ReadinessProbe.Exec.Command, "liveness": container.LivenessProbe.Exec.Command,
	} {
		if r.probe(command) == nil {
			t.Errorf("the %s probe is content without a Redis", name)
		}
	}
}

// A Redis that loads its log lives and is not ready.
func TestARedisThatLoadsIsNotKilled(t *testing.T) {
	r := startReal(t)
	server := []string{"--pass", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
	r.cli(server, "eval", "for i = 1, 100000 do redis.call('set', i, i) end", "0")
	r.stop()
	conf, err := os.ReadFile(r.conf)
	if err != nil {
		t.Fatal(err)
	}
	// 100,000 keys, each a tenth of a millisecond: ten seconds, in which Redis looks at its connections every 1,024.
	if err := os.WriteFile(r.conf, append(conf, "key-load-delay 100\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	container := r.children.Redis.Spec.Template.Spec.Containers[0]
	r.cmd = exec.Command(container.Command[0], r.conf) //nolint:noctx // stopped below
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for !strings.HasPrefix(r.cliErr("--user", "probe", "--pass", "probe", "ping"), "LOADING") {
		if time.Now().After(deadline) {
			t.Fatal("it does not load")
		}
	}
	if err := r.probe(container.LivenessProbe.Exec.Command); err != nil {
		t.Errorf("the liveness probe says %v of one that loads", err)
	}
	if r.probe(container.ReadinessProbe.Exec.Command) == nil {
		t.Error("the readiness probe is content with one that loads")
	}
	_ = r.cmd.Process.Kill()
}

// cliErr gives what redis-cli prints, also where nothing answers.
func (r *realRedis) cliErr(args ...string) string {
	out, _ := exec.CommandContext(r.t.Context(), "redis-cli", append([]string{"-p", r.port, "--no-auth-warning"}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out))
}
