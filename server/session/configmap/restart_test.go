package configmap

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// killAPIServer kills this process' kube-apiserver and returns what starts it again, with the same arguments.
func killAPIServer(t *testing.T) (restart func()) {
	t.Helper()
	process, arguments := apiServer(t)
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API server is gone", func() bool {
		_, err := administrator().GetMetadata(t.Context(), "default", "kube-root-ca.crt")
		return err != nil
	})
	return func() {
		again := exec.CommandContext(context.Background(), arguments[0], arguments[1:]...) // it outlives the test
		if err := again.Start(); err != nil {
			t.Fatal(err)
		}
		restarted = append(restarted, again)
	}
}

// restarted are the API servers that tests have started. They end after all tests.
var restarted []*exec.Cmd

// apiServer finds the control plane's API server among this process' children.
func apiServer(t *testing.T) (*os.Process, []string) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			continue // the thread is gone
		}
		for child := range strings.FieldsSeq(string(children)) {
			line, err := os.ReadFile("/proc/" + child + "/cmdline")
			if err != nil || !bytes.Contains(line, []byte("kube-apiserver")) {
				continue
			}
			pid, err := strconv.Atoi(child)
			if err != nil {
				t.Fatal(err)
			}
			process, err := os.FindProcess(pid)
			if err != nil {
				t.Fatal(err)
			}
			return process, strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		}
	}
	t.Fatal("this process has no API server")
	return nil, nil
}
