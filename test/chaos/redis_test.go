//go:build chaos

package chaos

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const redisPassword = "chaosRedisPassword"

// redis is a redis-server as the operator runs it: append-only file, synced every second. A SIGKILL loses what a client was
// told is done only if the file was being synced just then, as nothing is written to it meanwhile: see unwritten. All else
// is the kernel's by then. The loss of the machine loses the last second.
type redis struct {
	port string
	conf string
	log  *os.File
	cmd  *exec.Cmd
}

func startRedis(t testing.TB, logs string) *redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("apt-get install redis-server: %v", err)
	}
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(logs, "redis.log"))
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	r := &redis{port: port, conf: filepath.Join(dir, "redis.conf"), log: log}
	writeFile(t, r.conf, fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nappendonly yes\nappendfsync everysec\nsave \"\"\nrequirepass %s\n",
		port, dir, redisPassword))
	t.Cleanup(func() {
		if r.cmd != nil {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
		}
		_ = log.Close()
	})
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *redis) address() string { return "127.0.0.1:" + r.port }

func (r *redis) start() error {
	r.cmd = exec.Command("redis-server", r.conf) //nolint:noctx // it ends by a signal of its own
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		return fmt.Errorf("starting redis-server: %w", err)
	}
	if err := await(startTimeout, r.answers); err != nil {
		return fmt.Errorf("waiting for redis-server: %w", err)
	}
	return nil
}

// answers tells whether Redis answers and has loaded its file.
func (r *redis) answers() bool {
	c, err := dial(r.address())
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	if _, err := fmt.Fprintf(c, "AUTH %s\r\nPING\r\n", redisPassword); err != nil {
		return false
	}
	lines := bufio.NewScanner(c)
	lines.Scan()
	lines.Scan()
	return strings.TrimSpace(lines.Text()) == "+PONG"
}

func (r *redis) kill() error {
	if err := r.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("killing redis-server: %w", err)
	}
	_ = r.cmd.Wait() // it was killed
	return nil
}

func (r *redis) hang() error { return r.cmd.Process.Signal(syscall.SIGSTOP) }
func (r *redis) wake() error { return r.cmd.Process.Signal(syscall.SIGCONT) }
