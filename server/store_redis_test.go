//go:build redis

package server

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// startRedis starts a redis-server of the test's own and waits until it answers.
func startRedis(t *testing.T, password string) (address string) {
	t.Helper()
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--requirepass", password, "--save", "", "--dir", t.TempDir()) //nolint:noctx // it ends with the test
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for late := time.After(20 * time.Second); ; {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = c.Close()
			return address
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatal("redis-server does not answer")
		}
	}
}

// serve runs a server on its real sockets until the returned function stops it.
func (p *place) serve(t *testing.T) (*wechatsim.Platform, func()) {
	t.Helper()
	s := p.server(t)
	p.asks(t, s)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	platform, err := wechatsim.New(wechatsim.Account{URL: "http://" + s.Addr().String() + "/wechat", Token: token}, wechatsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return platform, func() {
		t.Helper()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
}

// What a follower was answered is there for the next process.
func TestRedisKeepsSessionsOverARestart(t *testing.T) {
	address := startRedis(t, "first password")
	p := newPlace(t, minimal+"reply: {language: en}\nsession: {type: Redis, redis: {addresses: ["+address+"]}}\n")
	t.Cleanup(p.dify.Close)
	p.write(t, "secrets/redis-password", "first password")
	platform, stop := p.serve(t)
	x, err := platform.Follower("oFollower").Send(t.Context(), "a question")
	if err != nil || x.Outcome != wechatsim.Replied || !strings.Contains(x.Text, "a question") {
		t.Fatalf("%v, %v, want the answer: %s", x, err, p.log)
	}
	stop()

	platform, stop = p.serve(t)
	if x, err = platform.Follower("oFollower").Send(t.Context(), "1"); err != nil || !strings.Contains(x.Text, "a question") {
		t.Errorf("after a restart 1 gives %q, %v, want the answer", x.Text, err)
	}
	stop()
	if p.dify.CallCount() != 1 {
		t.Errorf("%d calls of Dify, want 1", p.dify.CallCount())
	}
	if strings.Contains(p.log.String(), "password\"") || strings.Contains(p.log.String(), "first password") {
		t.Errorf("the log tells the password: %s", p.log)
	}
}
