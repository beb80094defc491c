package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// asServer makes this test binary be the command.
const asServer = "WECHATBOT_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	token  = "tokenOfThisTest"
	aesKey = "someEncodingAESKey01234567890abcdefghijklmn"
	appID  = "wx00000000000test"
)

// executable is the command with these arguments, ready to be started.
func executable(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], args...) //nolint:noctx // it is to end by its own signals
	c.Env = append(os.Environ(), asServer+"=1")
	return c
}

func configure(t *testing.T, dify, more string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"token": token, "dify-api-key": "app-keyOfThisTest",
		"bot.yaml": "bot: test/winter\nlisten: 127.0.0.1:0\nadminListen: 127.0.0.1:0\nsecretsDir: .\ndify: {baseURL: " + dify + "}\n" + more,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(more, "appID") {
		if err := os.WriteFile(filepath.Join(dir, "encoding-aes-key"), []byte(aesKey), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "bot.yaml")
}

func TestExitCodes(t *testing.T) {
	good := configure(t, "http://127.0.0.1:1/v1", "")
	broken := configure(t, "http://127.0.0.1:1/v1", "reply: {deadlin: 4s}\n")
	for name, c := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"help":              {[]string{"--help"}, 0, "--log-format", ""},
		"its version":       {[]string{"--version"}, 0, "server version dev", ""},
		"no file":           {nil, 1, "", "--config FILE is missing"},
		"a missing file":    {[]string{"--config", "/nowhere/bot.yaml"}, 1, "", "/nowhere/bot.yaml: no such file"},
		"a broken file":     {[]string{"--config", broken}, 1, "", "reply.deadlin: unknown field"},
		"an unknown flag":   {[]string{"--config", good, "--verbose"}, 1, "", "unknown flag: --verbose"},
		"an argument":       {[]string{"--config", good, "more"}, 1, "", `unknown argument "more"`},
		"an unknown level":  {[]string{"--config", good, "--log-level", "loud"}, 1, "", `--log-level: unrecognized level: "loud"`},
		"a local address":   {[]string{"--config", good, "--local-listen", "0.0.0.0:9091"}, 1, "", "not a loopback address"},
		"an unknown format": {[]string{"--config", good, "--log-format", "xml"}, 1, "", `--log-format: "xml" is neither json nor console`},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := executable(t, c.args...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d (%v), want %d", code, err, c.code)
			}
			if !strings.Contains(stdout.String(), c.stdout) || (c.stdout == "") != (stdout.Len() == 0) {
				t.Errorf("stdout is %q, want %q in it", &stdout, c.stdout)
			}
			if !strings.Contains(stderr.String(), c.stderr) || (c.stderr == "") != (stderr.Len() == 0) {
				t.Errorf("stderr is %q, want %q in it", &stderr, c.stderr)
			}
			if c.code != 0 && strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("stderr is %q, want one line", &stderr)
			}
		})
	}
}

func TestLocalListen_InPodsAlone(t *testing.T) {
	if got := localListen(false); got != "" {
		t.Errorf("without an operator it listens at %q", got)
	}
	if got := localListen(true); got != "127.0.0.1:9091" {
		t.Errorf("in a pod it listens at %q", got)
	}
}

// process is the command while it runs.
type process struct {
	cmd   *exec.Cmd
	dify  *difysim.Server
	lines chan string // of stderr, closed at its end
	log   []string    // lines that were read
	hook  string
}

// start starts the command and waits until it serves.
func start(t *testing.T, more string, b difysim.Behaviour, args ...string) *process {
	t.Helper()
	p := &process{dify: difysim.New(difysim.Options{Behaviour: b}), lines: make(chan string, 100)}
	api := httptest.NewServer(p.dify)
	p.cmd = executable(t, append([]string{"--config", configure(t, api.URL, more)}, args...)...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended already, unless the test failed
		for range p.lines {
		}
		<-read
		_ = p.cmd.Wait()
		p.dify.Close()
		api.Close()
	})
	line := p.await(t, "Serving")
	_, after, _ := strings.Cut(line, `"webhook":`)
	fields := strings.Split(after, `"`)
	if len(fields) < 2 {
		t.Fatalf("no address in %q", line)
	}
	p.hook = fields[1]
	return p
}

// await reads the log up to a line with these words.
func (p *process) await(t *testing.T, words string) string {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("the log ended without %q: %q", words, p.log)
			}
			p.log = append(p.log, line)
			if strings.Contains(line, words) {
				return line
			}
		case <-late:
			t.Fatalf("no %q in the log: %q", words, p.log)
		}
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// end waits until the process has ended and gives its exit code; below 0 if a signal ended it.
func (p *process) end(t *testing.T) int {
	t.Helper()
	for line := range p.lines {
		p.log = append(p.log, line)
	}
	err := p.cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) platform(t *testing.T, mode wechatsim.Mode) *wechatsim.Platform {
	t.Helper()
	platform, err := wechatsim.New(wechatsim.Account{
		URL: "http://" + p.hook + "/wechat", Token: token, EncodingAESKey: aesKey, AppID: appID, Mode: mode,
	}, wechatsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return platform
}

func TestQuestionIsAnsweredInEveryMode(t *testing.T) {
	for mode, more := range map[wechatsim.Mode]string{
		wechatsim.Plain: "", wechatsim.Compatible: "wechat: {appID: " + appID + "}\n", wechatsim.Secure: "wechat: {appID: " + appID + "}\n",
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			p := start(t, more, difysim.Behaviour{Total: 300 * time.Millisecond})
			platform := p.platform(t, mode)
			if err := platform.VerifyURL(t.Context()); err != nil {
				t.Error(err)
			}
			x, err := platform.Follower("").Send(t.Context(), "有人在吗？")
			if err != nil || x.Outcome != wechatsim.Replied || !strings.Contains(x.Text, "有人在吗？") {
				t.Errorf("%v, %v, want the answer", x, err)
			}
			p.signal(t, syscall.SIGTERM)
			if code := p.end(t); code != 0 {
				t.Errorf("exit code %d after SIGTERM, want 0: %q", code, p.log)
			}
			for _, line := range p.log {
				var fields struct{ Time, Level, Msg string }
				if err := json.Unmarshal([]byte(line), &fields); err != nil || fields.Time == "" || fields.Level != "info" || fields.Msg == "" {
					t.Errorf("%q is not a line of structured log", line)
				}
				for _, secret := range []string{token, aesKey, "app-keyOfThisTest", "有人在吗", x.Text} {
					if strings.Contains(line, secret) {
						t.Errorf("%q tells %q", line, secret)
					}
				}
			}
		})
	}
}

func TestConsoleLogIsForPeople(t *testing.T) {
	p := start(t, "", difysim.Behaviour{}, "--log-format", "console", "--log-level", "debug")
	p.signal(t, os.Interrupt)
	if code := p.end(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for _, line := range p.log {
		if strings.HasPrefix(line, "{") || !strings.Contains(line, "\tINFO\t") {
			t.Errorf("%q is not a line for people", line)
		}
	}
}

// The command in this process, as far as it can be run here: it fails, or it is told to stop.
func TestCommand(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string // of the error; empty if there is none
	}{
		"stopped":           {[]string{"--config", configure(t, "http://127.0.0.1:1/v1", ""), "--log-level", "error"}, ""},
		"a repeated field":  {[]string{"--config", configure(t, "http://127.0.0.1:1/v1", "listen: 127.0.0.1:0\n")}, `key "listen" already set`},
		"an unknown level":  {[]string{"--config", "bot.yaml", "--log-level", "loud"}, "--log-level"},
		"an unknown format": {[]string{"--config", "bot.yaml", "--log-format", "xml"}, "--log-format"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := command(ctx, c.args, io.Discard)
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A kubelet that restarts sends SIGTERM again: that must not cut a turn short.
func TestRepeatedSIGTERMKillsNothing(t *testing.T) {
	t.Parallel()
	p := start(t, "", difysim.Behaviour{Total: 2 * time.Second})
	done := make(chan string, 1)
	go func() {
		x, err := p.platform(t, wechatsim.Plain).Follower("").Send(t.Context(), "a question")
		if err != nil {
			t.Error(err)
		}
		done <- fmt.Sprint(x.Outcome, x.Text)
	}()
	if err := p.dify.WaitRunning(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGTERM)
	p.await(t, "Stopping")
	p.signal(t, syscall.SIGTERM)
	if got := <-done; !strings.Contains(got, "replied") || !strings.Contains(got, "a question") {
		t.Errorf("the question got %q", got)
	}
	if code := p.end(t); code != 0 {
		t.Errorf("exit code %d, want 0: %q", code, p.log)
	}
}

// Who presses Ctrl-C twice does not want to wait for a turn.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, "", difysim.Behaviour{Total: time.Minute})
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = p.platform(t, wechatsim.Plain).Follower("").Send(ctx, "a question") // nobody will answer
	}()
	if err := p.dify.WaitRunning(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	p.signal(t, os.Interrupt)
	p.await(t, "Stopping")
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for ended := false; !ended; {
		select {
		case <-again.C:
			_ = p.cmd.Process.Signal(os.Interrupt) // until it has gone
		case _, open := <-p.lines:
			ended = !open
		}
	}
	if code := p.end(t); code >= 0 {
		t.Errorf("exit code %d, want an end by the signal", code)
	}
	leave()
	<-gone
}

func TestBelowContainer(t *testing.T) {
	for limit, want := range map[int64]int64{128 << 20: 112 << 20, math.MaxInt64: math.MaxInt64} {
		if got := belowContainer(limit); got != want {
			t.Errorf("a container's limit of %d gives %d, want %d", limit, got, want)
		}
	}
}
