package scenario

import (
	"bufio"
	"encoding/json"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// process is a server that runs as its own process, as in a pod.
type process struct {
	cmd     *exec.Cmd
	webhook string
	ended   chan error
}

func startProcess(t *testing.T, config string) *process {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/server").CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v\n%s", err, out)
	}
	p := &process{cmd: exec.Command(binary, "--config", config), ended: make(chan error, 1)} //nolint:noctx // it is to end by its own signal
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			var line struct{ Msg, Webhook string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "Serving" {
				serving <- line.Webhook
			}
		}
		p.ended <- p.cmd.Wait()
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	select {
	case p.webhook = <-serving:
	case err := <-p.ended:
		t.Fatalf("the server ended at once: %v", err)
	}
	return p
}

// A server that is told to stop in the middle of turns answers all of them, takes what comes meanwhile, and ends with 0.
func TestStopInTheMiddle(t *testing.T) {
	t.Parallel()
	const asked, length = 20, 120
	w := &world{dify: difysim.New(difysim.Options{Behaviour: steady(7 * time.Second)})}
	api := httptest.NewServer(w.dify)
	defer api.Close()
	p := startProcess(t, configure(t, api.URL, limits{}.config()))
	w.join(t, "http://"+p.webhook+"/wechat", wechatsim.Options{MarkFailThreshold: markFail})
	w.verify(t)

	before := make(chan []story, 1)
	go func() { before <- w.crowd(t, asked, 0, length, ask) }()
	if err := w.dify.WaitRunning(t.Context(), asked); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	late := ask(t.Context(), t, w.platform.Follower(""), "停止之后才问的问题？", echoed("停止之后才问的问题？", length))

	stories := append(<-before, late)
	for _, s := range stories { // how many messages it took is this machine's; that nothing is lost is the bot's
		if s.whole == 0 {
			t.Errorf("%s: the answer was not seen to its end: %q", s.question, s.replies)
		}
	}
	if calls := w.dify.CallCount(); calls != len(stories) {
		t.Errorf("%d Dify calls for %d questions, want one each", calls, len(stories))
	}
	record("SIGTERM while 20 questions are being answered, Dify takes 7 s, and one more is asked after it", w, stories)
	if err := <-p.ended; err != nil {
		t.Errorf("the server ended with %v, want 0", err)
	}
}
