package previous_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
	"github.com/wechatbot/wechatbot-operator/test/previous"
)

// A server of the previous release, pinned by spec.image, goes on under this operator: it starts with the configuration
// that this operator writes of every sample, but for what that release could not do, and takes a change of it while it
// runs.
func TestPreviousServer_ReadsTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	if err := previous.Source(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	binary, err := previous.Build(t.Context(), dir, "server")
	if err != nil {
		t.Fatal(err)
	}
	samples, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, file := range samples {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bot := new(v1alpha1.WechatBot)
		if err := yaml.Unmarshal(content, bot); err != nil || bot.Kind != "WechatBot" {
			continue
		}
		tried++
		t.Run(filepath.Base(file), func(t *testing.T) {
			bot.Namespace = "bots"
			// Newer than that release: who wants one of these cannot keep its image.
			spec := &bot.Spec
			spec.Menu, spec.Handover, spec.Keywords = nil, nil, nil
			spec.Reply.Page, spec.Reply.AILabel, spec.Reply.Notice, spec.Reply.Mode = nil, nil, "", v1alpha1.ReplyPassive
			spec.Reply.Voice, spec.Dify.FilesURL = "", ""
			spec.Reply.Sources, spec.Reply.Feedback, spec.Reply.Suggestions = false, false, nil
			spec.Reply.TimeZone, spec.Limits.Tokens, spec.Tracing = "", nil, nil
			bot.Spec.Reply.Texts = map[string]v1alpha1.ReplyText{}
			for _, key := range previous.Texts {
				bot.Spec.Reply.Texts[key] = "a text of one's own"
			}
			s := start(t, binary, desired.Config(bot))
			s.waitFor(t, "Serving")
			s.config.Limits.Questions = 7
			s.write(t)
			s.waitFor(t, "Applied a changed configuration")
		})
	}
	if tried < 5 {
		t.Errorf("only %d samples", tried)
	}
}

type server struct {
	path   string
	config serverconfig.Config
	lines  chan string
}

// start runs a server with what the operator writes, but for what needs a pod: addresses, the folder of secrets, and
// ConfigMaps for sessions.
func start(t *testing.T, binary string, config serverconfig.Config) *server {
	t.Helper()
	dir := t.TempDir()
	config.Listen, config.AdminListen, config.SecretsDir = "127.0.0.1:0", "127.0.0.1:0", dir
	if config.Session.Type == serverconfig.SessionConfigMap {
		config.Session.Type, config.Session.ConfigMap = serverconfig.SessionMemory, serverconfig.ConfigMap{}
	}
	for name, content := range map[string]string{
		"token": "wintertoken", "dify-api-key": "app-key", "encoding-aes-key": strings.Repeat("a", 43),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if config.WeChat.AppID == "" {
		if err := os.Remove(filepath.Join(dir, "encoding-aes-key")); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{path: filepath.Join(dir, "config.yaml"), config: config, lines: make(chan string, 1000)}
	s.write(t)
	cmd := exec.Command(binary, "--config="+s.path) //nolint:noctx // it ends by a signal
	cmd.Env = append(os.Environ(), "CONFIG_BY_OPERATOR=true")
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.read(output)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // how it stops is not this test's
		<-read
		_ = cmd.Wait()
	})
	return s
}

func (s *server) read(output io.Reader) {
	defer close(s.lines)
	for lines := bufio.NewScanner(output); lines.Scan(); {
		s.lines <- lines.Text()
	}
}

// write replaces the file as the kubelet does: as a whole.
func (s *server) write(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(s.path+".new", serverconfig.Marshal(s.config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.path+".new", s.path); err != nil {
		t.Fatal(err)
	}
}

// waitFor waits for a message of the log.
func (s *server) waitFor(t *testing.T, message string) {
	t.Helper()
	patience := time.After(time.Minute)
	var all []string
	for {
		select {
		case line, open := <-s.lines:
			if !open {
				t.Fatalf("it ended before it said %q:\n%s", message, strings.Join(all, "\n"))
			}
			all = append(all, line)
			var entry struct{ Msg string }
			if json.Unmarshal([]byte(line), &entry) == nil && strings.Contains(entry.Msg, message) {
				return
			}
		case <-patience:
			t.Fatalf("it has not said %q:\n%s", message, strings.Join(all, "\n"))
		}
	}
}
