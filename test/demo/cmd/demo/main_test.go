package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAddressIsPrintedAndServesUntilTheEnd(t *testing.T) {
	t.Setenv("DIFY_API_KEY", "")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	c := command()
	c.SetArgs([]string{"--listen", "127.0.0.1:0", "--verbose"})
	c.SetOut(in)
	c.SetContext(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Execute()
		_ = in.Close()
	}()
	line := make([]byte, 100)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(line[:n]), "Open ")
	address, _, ok := strings.Cut(rest, " ")
	if !ok {
		t.Fatalf("the command says %q", line[:n])
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%s: status %d, %v", address, response.StatusCode, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the command ended with %v", err)
	}
}

func TestAddressForEveryoneIsRefused(t *testing.T) {
	c := command()
	c.SetArgs([]string{"--listen", "0.0.0.0:0"})
	if err := c.Execute(); err == nil || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("the command ended with %v, want advice", err)
	}
}
