package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

const (
	token      = "tokenOfTheBench"
	aesKey     = "someEncodingAESKey01234567890abcdefghijklmn"
	appID      = "wx0000000000bench"
	originalID = "gh_0123456789ab"
	asBare     = "WECHATBOT_BENCH_BARE" // makes this test binary the server that ours is compared with
	ticks      = 100                    // of /proc, a second
)

// binary is the server, which is built when it is first needed.
var binary func() (string, error)

func TestMain(m *testing.M) {
	if sizes := os.Getenv(asBare); sizes != "" {
		if err := serveBare(sizes); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "wechatbot-bench")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = sync.OnceValues(func() (string, error) { return build(dir) })
	return m.Run()
}

// build makes the server as it is shipped.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "server")
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", binary, "../../cmd/server") //nolint:noctx // it is for all tests
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the server: %w\n%s", err, out)
	}
	return binary, nil
}

// process is a server in a process of its own.
type process struct {
	cmd         *exec.Cmd
	hook, admin string
}

// start starts the server with these lines of configuration beside the usual ones.
func start(b testing.TB, secure bool, dify, more string) *process {
	b.Helper()
	return startWith(b, secure, dify, "", more)
}

// startWith starts a server that calls WeChat's API at an address, if there is one.
func startWith(b testing.TB, secure bool, dify, wechat, more string) *process {
	b.Helper()
	return launch(b, serverCommand(b, "--config", configure(b, secure, dify, wechat, more), "--log-level", "info"))
}

// configure writes a configuration and what it names, and gives its path.
func configure(b testing.TB, secure bool, dify, wechat, more string) string {
	b.Helper()
	dir := b.TempDir()
	files := map[string]string{"token": token, "dify-api-key": "app-bench", "bot.yaml": fmt.Sprintf(
		"bot: bench/bot\nlisten: 127.0.0.1:0\nadminListen: 127.0.0.1:0\nsecretsDir: .\nwechat: {appID: %s, apiBaseURL: %q}\ndify: {baseURL: %s}\n%s",
		appID, cmp.Or(wechat, api.DefaultBaseURL), dify, more)}
	if secure {
		files["encoding-aes-key"] = aesKey
	}
	if wechat != "" {
		files["app-secret"] = "appSecretOfTheBench"
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return filepath.Join(dir, "bot.yaml")
}

func serverCommand(b testing.TB, args ...string) *exec.Cmd {
	b.Helper()
	file, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	return exec.Command(file, args...) //nolint:noctx // it ends by a signal
}

// startBare starts the server that only reads a body and writes as many bytes as ours replies with.
func startBare(b *testing.B, reply int) *process {
	b.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:noctx // it ends by a signal
	cmd.Env = append(os.Environ(), asBare+"="+strconv.Itoa(reply))
	return launch(b, cmd)
}

func launch(b testing.TB, cmd *exec.Cmd) *process {
	b.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p := &process{cmd: cmd}
	lines := bufio.NewScanner(stderr)
	for p.hook == "" && lines.Scan() {
		var line struct{ Msg, Webhook, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "Serving" {
			p.hook, p.admin = line.Webhook, line.Admin
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, stderr)
	}()
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // what it still has to do is of no interest
		<-drained
		_ = cmd.Wait()
	})
	if p.hook == "" {
		b.Fatal("the server does not serve")
	}
	return p
}

// serveBare is what there is to be compared with: net/http, a body read to its end, and a response of a length.
func serveBare(length string) error {
	n, err := strconv.Atoi(length)
	if err != nil {
		return err
	}
	reply := bytes.Repeat([]byte("x"), n)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // for as long as the process lives
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, `{"msg":"Serving","webhook":%q}`+"\n", l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		w.Header().Set("Content-Length", length)
		_, _ = w.Write(reply)
	}))
}

// cpu is the time that the process has used so far, to a hundredth of a second.
func (p *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(after))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	return time.Duration(user+system) * time.Second / ticks
}

// memory is a field of /proc/PID/status in bytes: VmRSS is all, RssAnon what is not code.
func (p *process) memory(b testing.TB, field string) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := bytes.Cut(status, []byte(field+":"))
	kib, err := strconv.Atoi(strings.Fields(string(after))[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) * 1024
}

// metric is the sum of a metric's series.
func (p *process) metric(b testing.TB, name string) float64 {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+p.admin+"/metrics", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	sum := 0.0
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		rest, found := strings.CutPrefix(lines.Text(), name)
		if !found || !strings.HasPrefix(rest, " ") && !strings.HasPrefix(rest, "{") {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += value
	}
	return sum
}
