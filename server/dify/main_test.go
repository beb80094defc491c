package dify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/testdata"
)

func TestMain(m *testing.M) {
	if os.Getenv(asStreamer) != "" {
		streamForever()
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	secret   = "app-0123456789abcdefghijklmn"
	user     = "oABCD-1234567890_follower"
	question = "我的订单在哪里？"
)

// fixture reads a file of testdata/dify.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := testdata.Dify.ReadFile(path.Join("dify", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// names lists a folder of testdata/dify.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := testdata.Dify.ReadDir(path.Join("dify", dir))
	if err != nil || len(entries) == 0 {
		t.Fatalf("no fixtures in %s: %v", dir, err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// newClient returns a client of a real HTTP server with that handler.
func newClient(t testing.TB, h http.HandlerFunc, o dify.Options) *dify.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := dify.New(dify.Target{BaseURL: srv.URL, Key: secret}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// roundTrip is a transport without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f(r)
	_, notDialed := errors.AsType[*net.OpError](err)
	_, notResolved := errors.AsType[*net.DNSError](err)
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && !notDialed && !notResolved {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	return resp, err
}

// clientOf returns a client over a transport without a network.
func clientOf(t testing.TB, f roundTrip) *dify.Client {
	t.Helper()
	c, err := dify.New(dify.Target{BaseURL: "https://dify.example.com", Key: secret}, dify.Options{Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// streaming is a transport that answers with a stream.
func streaming(body io.Reader) roundTrip {
	return func(*http.Request) (*http.Response, error) {
		return response(http.StatusOK, "text/event-stream; charset=utf-8", body), nil
	}
}

func response(status int, contentType string, body io.Reader) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(body),
	}
}

// replay asks a question of a client that answers with those bytes.
func replay(t testing.TB, body io.Reader) (dify.Answer, error) {
	t.Helper()
	return clientOf(t, streaming(body)).Chat(context.Background(), ask(), nil)
}

func ask() dify.ChatRequest { return dify.ChatRequest{Query: question, User: user} }

// flush sends what a handler has written.
func flush(t testing.TB, w http.ResponseWriter) {
	t.Helper()
	if err := http.NewResponseController(w).Flush(); err != nil {
		t.Error(err)
	}
}

// statusOf reads the status and content type off a fixture's name.
func statusOf(name string) (status int, contentType string) {
	parts := strings.Split(name, ".")
	for _, c := range parts[len(parts)-2] {
		status = status*10 + int(c-'0')
	}
	return status, map[string]string{
		"json": "application/json", "html": "text/html; charset=utf-8", "txt": "text/plain",
	}[parts[len(parts)-1]]
}

// serve answers every request with a fixture.
func serve(t testing.TB, name string) http.HandlerFunc {
	t.Helper()
	body := fixture(t, name)
	status, contentType := statusOf(name)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Version", "1.13.3")
		w.WriteHeader(status)
		_, _ = io.Copy(w, bytes.NewReader(body))
	}
}
