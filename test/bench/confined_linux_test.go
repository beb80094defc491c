//go:build cgroup

package bench

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/wechatbot/wechatbot-operator/server" // whose changes make go test run this again
)

// podMemory is the memory limit of a bot's pod that asks for nothing else (controllers/desired).
const podMemory = 128 << 20

// confine is a control group with the limit of a pod, as the kubelet makes one.
type confine struct{ dir, limit, peak, events string }

func newConfine(t *testing.T) confine {
	t.Helper()
	const root = "/sys/fs/cgroup"
	name := fmt.Sprintf("wechatbot-bench-%d", os.Getpid())
	c := confine{filepath.Join(root, name), "memory.max", "memory.peak", "memory.events"}
	if v1 := filepath.Join(root, "memory"); exists(v1) {
		c = confine{filepath.Join(v1, name), "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"}
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(c.dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(c.dir, c.limit), []byte(strconv.Itoa(podMemory)), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// wrap is cmd in the group, from its first instruction on.
func (c confine) wrap(cmd *exec.Cmd) *exec.Cmd {
	cmd.Args = append([]string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(c.dir, "cgroup.procs")}, cmd.Args...)
	cmd.Path = "/bin/sh"
	return cmd
}

func (c confine) read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// kills is how often the kernel has ended a process of the group for its memory.
func (c confine) kills(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(c.read(t, c.events)) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strings.TrimSpace(count)
		}
	}
	return "not counted"
}

// The worst that clients and Dify may do to a pod of the default size, all at once: a full Memory store, as many held
// deliveries as there may be, strangers' connections with most of a body, and Dify's streams with answers and events
// that never end.
func TestItsMemoryFitsThePod(t *testing.T) {
	limit := newConfine(t)
	release := make(chan struct{})
	api := httptest.NewServer(endless{release})
	defer api.Close()
	defer close(release)
	cmd := limit.wrap(serverCommand(t, "--config", configure(t, false, api.URL+"/v1", "", "session: {type: Memory}\n")))
	cmd.Env = append(os.Environ(), "CONFIG_BY_OPERATOR=true", "GOMEMLIMIT="+strconv.Itoa(podMemory))
	p := launch(t, cmd)

	ask := func(conn net.Conn, number int, text string) error {
		one := client{conn: conn}
		one.readFrom(conn)
		_, err := one.push(request(t, false, fmt.Sprintf("oFollower%019d", number), text, number))
		return err
	}
	const stored, held, strangers = 400, 2000, 600
	var filling sync.WaitGroup
	places := make(chan struct{}, 25)
	for i := range stored { // 200 KiB each: more than the store may hold
		filling.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			conn := dialAll(t, p.hook, 1)[0]
			defer func() { _ = conn.Close() }()
			if err := ask(conn, i, "long"); err != nil {
				t.Errorf("filling the store: %v", err)
			}
		})
	}
	filling.Wait()
	t.Logf("with a full store: %.0f MiB", p.memory(t, "VmRSS")/(1<<20))

	head := "POST /wechat?signature=a&timestamp=1&nonce=n HTTP/1.1\r\nHost: bot.example.com\r\nContent-Length: 32768\r\n\r\n"
	most := []byte(head + strings.Repeat("x", 32<<10-1))
	var all sync.WaitGroup
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for range strangers {
		conn := dialAll(t, p.hook, 1)[0]
		conns = append(conns, conn)
		all.Go(func() { _, _ = conn.Write(most) }) // the oldest are closed for newer ones
	}
	var answered sync.Map
	for i := range held { // each pushes at once: the oldest connections without a push are closed
		conn := dialAll(t, p.hook, 1)[0]
		conns = append(conns, conn)
		all.Go(func() {
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			if ask(conn, stored+i, "endless") == nil {
				answered.Store(i, true)
			}
		})
	}
	all.Wait()

	peak, err := strconv.Atoi(strings.TrimSpace(limit.read(t, limit.peak)))
	if err != nil {
		t.Fatal(err)
	}
	replies := 0
	answered.Range(func(any, any) bool { replies++; return true })
	t.Logf("the group's memory was at most %.0f MiB of %d; %d of %d held deliveries were replied to", float64(peak)/(1<<20), podMemory>>20, replies, held)
	if n := limit.kills(t); n != "0" {
		t.Fatalf("the kernel ended the server for its memory: %s", n)
	}
	conn := dialAll(t, p.hook, 1)[0]
	defer func() { _ = conn.Close() }()
	if err := ask(conn, stored+held, "/help"); err != nil {
		t.Errorf("the server does not answer any more: %v", err)
	}
}

// endless is a Dify whose answers are as long as they may be, and whose other streams end when it is told.
type endless struct{ release <-chan struct{} }

func (d endless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var question struct{ Query, User string }
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&question) != nil {
		http.NotFound(w, r)
		return
	}
	ids := `"task_id":"t","message_id":"m","conversation_id":"` + question.User + `"`
	w.Header().Set("Content-Type", "text/event-stream")
	const paragraph = "A paragraph of an answer that goes on and on, with some **Markdown** in it.\\n\\n"
	if question.Query == "long" {
		_, _ = fmt.Fprintf(w, "data: {\"event\":\"message\",%s,\"answer\":\"%s\"}\n\n", ids, strings.Repeat(paragraph, 200<<10/len(paragraph)))
		_, _ = fmt.Fprintf(w, "data: {\"event\":\"message_end\",%s}\n\n", ids)
		return
	}
	open := fmt.Sprintf("data: {\"event\":\"message\",%s,\"answer\":\"", ids) // a delta that never ends
	if len(question.User)%2 == 0 {
		open = fmt.Sprintf("data: {\"event\":\"node_finished\",%s,\"data\":{\"outputs\":\"", ids)
	}
	_, _ = w.Write([]byte(open))
	part := []byte(strings.Repeat(paragraph, 16<<10/len(paragraph)))
	for r.Context().Err() == nil {
		select {
		case <-d.release:
			return
		default:
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}
}
