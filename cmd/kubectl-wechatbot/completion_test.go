package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestBotsAreCompleted(t *testing.T) {
	w := newWorld(t)
	var out bytes.Buffer
	terminal{in: strings.NewReader(""), out: &out, err: io.Discard, env: os.Getenv}.run(t.Context(), []string{"__complete", "status", "--kubeconfig", kubeconfig, "-n", w.namespace, ""})
	if !strings.Contains(out.String(), "winter\n") {
		t.Errorf("completions: %q", out.String())
	}
}

// kubectl finds the plugin, and asks it for completions by the script that make plugin writes.
func TestKubectl_CompletesThePlugin(t *testing.T) {
	w := newWorld(t)
	script, err := os.ReadFile(filepath.Join("..", "..", "hack", "plugin.sh"))
	w.must(err)
	_, complete, found := strings.Cut(string(script), "<<'COMPLETE'\n")
	complete, _, ends := strings.Cut(complete, "COMPLETE\n")
	if !found || !ends {
		t.Fatal("hack/plugin.sh writes no kubectl_complete-wechatbot")
	}
	dir := t.TempDir()
	self, err := filepath.Abs(os.Args[0])
	w.must(err)
	for name, content := range map[string]string{
		"kubectl-wechatbot": "#!/bin/sh\nexec env " + asPlugin + "=1 " + self + " \"$@\"\n", "kubectl_complete-wechatbot": complete,
	} {
		w.must(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700))
	}
	w.must(os.Symlink(plane.KubectlPath(), filepath.Join(dir, "kubectl")))
	kubectl := func(args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), filepath.Join(dir, "kubectl"), args...)
		c.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "KUBECONFIG=" + kubeconfig, "HOME=" + dir}
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for want, args := range map[string][]string{
		"sessions\t": {"__complete", "wechatbot", "se"}, "winter\n": {"__complete", "wechatbot", "-n", w.namespace, "doctor", ""},
		"clear\t": {"__complete", "wechatbot", "sessions", "cl"}, "--limit\t": {"__complete", "wechatbot", "sessions", "--li"},
	} {
		if out := kubectl(args...); !strings.Contains(out, want) {
			t.Errorf("kubectl %v gives %q, want %q in it", args, out, want)
		}
	}
	if out := kubectl("wechatbot", "--help"); !strings.Contains(out, "kubectl wechatbot [command]") {
		t.Errorf("kubectl wechatbot --help prints %s", out)
	}
}
