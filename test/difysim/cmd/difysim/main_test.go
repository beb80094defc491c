package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func do(t *testing.T, method, url, body string) (status int, content []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer app-1")
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	content, err = io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, content
}

func TestServesUntilItIsStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	read, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{
			"--key", "app-1", "--release", "0.6.5", "--mode", "chatflow", "--first-text", "0s", "--total", "0s",
			"--fault", "http-error:unknown.500", "--repeat", "1",
		}, out)
		_ = out.Close()
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSpace(line)
	if !strings.HasPrefix(base, "http://127.0.0.1:") || !strings.HasSuffix(base, "/v1") {
		t.Fatalf("printed %q", line)
	}
	const asked = `{"query":"hello","inputs":{},"user":"u","response_mode":"streaming"}`
	if status, body := do(t, "POST", base+"/chat-messages", asked); status != 500 {
		t.Errorf("the ordered fault: %d %s", status, body)
	}
	status, body := do(t, "POST", base+"/chat-messages", asked)
	if status != 200 || !bytes.HasPrefix(body, []byte(`data: {"event": "workflow_started", `)) {
		t.Errorf("%d %.80s", status, body)
	}
	control := strings.TrimSuffix(base, "/v1") + "/-"
	if status, body := do(t, "POST", control+"/behaviour", `{"answer":"ordered"}`); status != 200 {
		t.Errorf("ordering: %d %s", status, body)
	}
	if _, body := do(t, "POST", base+"/chat-messages", asked); !bytes.Contains(body, []byte(`"answer": "ordered"`)) {
		t.Errorf("not as ordered: %s", body)
	}
	if status, body := do(t, "GET", control+"/calls", ""); status != 200 || !bytes.Contains(body, []byte(`"total":3,`)) {
		t.Errorf("calls: %d %s", status, body)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestRefusesImpossibleFlags(t *testing.T) {
	for name, arguments := range map[string][]string{
		"release":   {"--release", "9.9.9"},
		"mode":      {"--mode", "poem"},
		"fault":     {"--fault", "nothing"},
		"behaviour": {"--total", "-1s"},
		"address":   {"--listen", "nowhere:-1"},
		"flag":      {"--what"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(t.Context(), arguments, io.Discard); err == nil {
				t.Error("was taken")
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	for name, tc := range map[string]struct {
		arguments []string
		code      int
		says      string
	}{
		"help": {[]string{"-h"}, 2, ""},
		"flag": {[]string{"--repeat", "x"}, 1, "difysim: reading flags: "},
	} {
		t.Run(name, func(t *testing.T) {
			var out, failures bytes.Buffer
			if code := command(tc.arguments, &out, &failures); code != tc.code || !strings.HasPrefix(failures.String(), tc.says) {
				t.Errorf("code %d, said %q", code, failures.String())
			}
			if !strings.Contains(out.String(), "-first-text") {
				t.Errorf("usage: %q", out.String())
			}
		})
	}
}

func TestTellsWhyItCannotServe(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := serve(t.Context(), listener, difysim.New(difysim.Options{}), io.Discard); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
