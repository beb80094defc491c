//go:build redis

package redis

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const patience = 30 * time.Second

// server is a redis-server of a test's own.
type server struct {
	t    testing.TB
	dir  string
	port int
	file string // of its configuration, if it has one
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// ports are handed out below the range from which the system takes those of connections, also for the ones 10,000 above
// that the nodes of a cluster take. Another process that does the same begins elsewhere.
const (
	firstPort = 12_000
	lastPort  = 21_999
)

var ports = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(int64(os.Getpid()) * 97)
	return &n
}()

// freePort returns a port that nobody listens on and no other test gets.
func freePort(t testing.TB) int {
	t.Helper()
	for range lastPort - firstPort {
		port := firstPort + int(ports.Add(1)%(lastPort-firstPort))
		if isFree(port) && isFree(port+10_000) {
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)) //nolint:noctx // at once
	return err == nil && l.Close() == nil
}

// startServer starts a redis-server and waits until it answers.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), port: freePort(t), args: args}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("redis-server not found: apt-get install redis-server")
	}
	var all []string
	if s.file != "" {
		all = append(all, s.file)
	}
	all = append(all,
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--logfile", filepath.Join(s.dir, "log"),
	)
	all = append(all, s.args...)
	s.cmd = exec.Command(path, all...) //nolint:noctx // ended by kill
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.done = done
	cmd := s.cmd
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	s.eventually("redis-server answers", func() bool {
		c, err := net.Dial("tcp", s.addr()) //nolint:noctx // at once
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

func (s *server) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// kill ends the process as a crash would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) eventually(what string, holds func() bool) {
	s.t.Helper()
	eventually(s.t, what, holds)
}

// eventually polls a condition of another process until it holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so after %v: %s", patience, what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("the test ended before: %s", what)
		}
	}
}

// client is a plain connection to the server.
func (s *server) client() *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: s.addr()})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

var bots atomic.Int64

// newBot names a bot that no other test has.
func newBot() string { return fmt.Sprintf("test/bot-%d", bots.Add(1)) }

func options() session.Options {
	return session.Options{Holder: "a", IdleTimeout: time.Hour, History: 5, LeaseTTL: 10 * time.Second}
}

var limits = session.Limits{Concurrency: 1000, Queue: 1000, Open: 1000}

// openStore opens a handle that is closed with the test. Its calls may take as long as a crowded machine needs.
func openStore(t testing.TB, bot string, at Server, so session.Options) *Store {
	t.Helper()
	return openWith(t, Options{Bot: bot, Redis: at, slow: patience / 2}, so)
}

func openWith(t testing.TB, o Options, so session.Options) *Store {
	t.Helper()
	s, err := New(context.Background(), o, so, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *server) standalone() Server {
	return Server{Mode: Standalone, Addresses: []string{s.addr()}}
}
