package kubeapi

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server that answers with handle, and returns a client of it.
func serve(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return &Client{URL: s.URL + "/", HTTP: s.Client()}
}

func TestRequests(t *testing.T) {
	const whole = `{"metadata":{"resourceVersion":"7","annotations":{"a":"b"}},"data":{"k":"v"},"binaryData":{"b":"AQI="}}`
	meta := Metadata{ResourceVersion: "7", Annotations: map[string]string{"a": "b"}}
	type request struct{ Method, Path, Accept, Type, Body string }
	var got request
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = request{r.Method, r.URL.EscapedPath(), r.Header.Get("Accept"), r.Header.Get("Content-Type"), string(body)}
		_, _ = io.WriteString(w, whole)
	})
	change := ConfigMap{Metadata: Metadata{ResourceVersion: "6"}, BinaryData: map[string][]byte{"b": {1, 2}, "gone": nil}}
	tests := map[string]struct {
		call func(ctx context.Context) (any, error)
		want any
		sent request
	}{
		"get": {
			func(ctx context.Context) (any, error) { return c.Get(ctx, "n/s", "c") },
			ConfigMap{Metadata: meta, Data: map[string]string{"k": "v"}, BinaryData: map[string][]byte{"b": {1, 2}}},
			request{"GET", "/api/v1/namespaces/n%2Fs/configmaps/c", "application/json", "", ""},
		},
		"get metadata": {
			func(ctx context.Context) (any, error) { return c.GetMetadata(ctx, "n", "c") },
			meta,
			request{"GET", "/api/v1/namespaces/n/configmaps/c", metadataOnly, "", ""},
		},
		"patch": {
			func(ctx context.Context) (any, error) { return c.Patch(ctx, "n", "c", change) },
			meta,
			request{
				"PATCH", "/api/v1/namespaces/n/configmaps/c", metadataOnly, "application/merge-patch+json",
				`{"metadata":{"resourceVersion":"6"},"binaryData":{"b":"AQI=","gone":null}}`,
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answer, err := tt.call(t.Context())
			if diff := cmp.Diff(tt.want, answer); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
			if diff := cmp.Diff(tt.sent, got); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		code               int
		header, body       string
		say                string
		notFound, conflict bool
		retry              time.Duration
	}{
		"not there":   {code: 404, body: `{"kind":"Status","message":"configmaps \"c\" not found"}`, say: `reading ConfigMap n/c: the API server answers 404: configmaps "c" not found`, notFound: true},
		"conflict":    {code: 409, body: `{"message":"modified"}`, say: "409: modified", conflict: true},
		"throttled":   {code: 429, header: "3", body: `{"message":"slow down"}`, say: "429: slow down", retry: 3 * time.Second},
		"a date":      {code: 503, header: "Wed, 21 Oct 2026 07:28:00 GMT", body: "", say: "503: Service Unavailable"},
		"a proxy":     {code: 502, body: "<html>", say: "502: Bad Gateway"},
		"a web page":  {code: 200, body: "<html>", say: "decoding the API server's answer"},
		"other JSON":  {code: 200, body: `{}`, say: "something else is at the API server's address"},
		"endless":     {code: 200, body: strings.Repeat(" ", maxResponse+1), say: "decoding the API server's answer"},
		"moved":       {code: 301, body: "", say: "301: Moved Permanently"},
		"not allowed": {code: 403, body: `{"message":"configmaps \"c\" is forbidden"}`, say: "is forbidden"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.header != "" {
					w.Header().Set("Retry-After", tt.header)
				}
				w.WriteHeader(tt.code)
				_, _ = io.WriteString(w, tt.body)
			})
			_, err := c.Get(t.Context(), "n", "c")
			if err == nil || !strings.Contains(err.Error(), tt.say) {
				t.Fatalf("%v, want it to say %q", err, tt.say)
			}
			if IsNotFound(err) != tt.notFound || IsConflict(err) != tt.conflict {
				t.Errorf("not found: %v, conflict: %v", IsNotFound(err), IsConflict(err))
			}
			if refused, ok := errors.AsType[*Error](err); ok && refused.RetryAfter != tt.retry {
				t.Errorf("retry after %v, want %v", refused.RetryAfter, tt.retry)
			}
			if _, err := c.GetMetadata(t.Context(), "n", "c"); err == nil {
				t.Error("metadata of it")
			}
			if _, err := c.Patch(t.Context(), "n", "c", ConfigMap{}); err == nil || !strings.Contains(err.Error(), "writing ConfigMap n/c") {
				t.Errorf("Patch: %v", err)
			}
		})
	}
}

func TestBrokenConnections(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "{")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	})
	if _, err := c.Get(t.Context(), "n", "c"); err == nil || !strings.Contains(err.Error(), "reading the API server's answer") {
		t.Errorf("cut off: %v", err)
	}
	c.URL = "http://127.0.0.1:0"
	if _, err := c.Get(t.Context(), "n", "c"); err == nil || !strings.Contains(err.Error(), "asking the API server") {
		t.Errorf("nobody there: %v", err)
	}
	c.URL = "::"
	if _, err := c.Get(t.Context(), "n", "c"); err == nil || !strings.Contains(err.Error(), "making a request") {
		t.Errorf("no address: %v", err)
	}
}

// pod is a folder as Kubernetes mounts it, for an API server that accepts the token as it is in the folder.
func pod(t *testing.T) (dir string, tokens *[]string) {
	t.Helper()
	tokens = new([]string)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Authorization")
		*tokens = append(*tokens, token)
		if token == "Bearer expired" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if err := json.NewEncoder(w).Encode(ConfigMap{Metadata: Metadata{ResourceVersion: "1"}}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	dir = t.TempDir()
	write(t, dir, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	write(t, dir, "token", "first\n")
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", u.Hostname())
	t.Setenv("KUBERNETES_SERVICE_PORT", u.Port())
	return dir, tokens
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestInClusterSendsTheToken(t *testing.T) {
	dir, tokens := pod(t)
	write(t, dir, "token", "expired")
	c, err := InCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	write(t, dir, "token", "second\n")
	if _, err := c.Get(t.Context(), "n", "c"); err == nil {
		t.Error("the old token is taken")
	}
	for range 2 { // what was refused is not used again
		if _, err := c.Get(t.Context(), "n", "c"); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"Bearer expired", "Bearer second", "Bearer second"}, *tokens); diff != "" {
		t.Error(diff)
	}
}

func TestTokenIsReadAgainAfterAMinute(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "token", "first")
	synctest.Test(t, func(t *testing.T) {
		tok := &token{path: filepath.Join(dir, "token")}
		for i, want := range []string{"first", "first", "third"} {
			got, err := tok.read(time.Now())
			if err != nil || got != "Bearer "+want {
				t.Errorf("read %d: %q, %v; want %s", i, got, err, want)
			}
			write(t, dir, "token", []string{"second", "third", ""}[i])
			time.Sleep(tokenAge/2 + time.Second)
		}
		time.Sleep(tokenAge)
		if _, err := tok.read(time.Now()); err == nil || !strings.Contains(err.Error(), "is empty") {
			t.Errorf("an empty file: %v", err)
		}
	})
}

func TestInClusterSaysWhatIsMissing(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, dir string)
		say   string
	}{
		"no pod":         {func(t *testing.T, _ string) { t.Helper(); t.Setenv("KUBERNETES_SERVICE_HOST", "") }, "KUBERNETES_SERVICE_HOST"},
		"no CA":          {func(t *testing.T, dir string) { t.Helper(); remove(t, dir, "ca.crt") }, "reading the API server's CA"},
		"no certificate": {func(t *testing.T, dir string) { t.Helper(); write(t, dir, "ca.crt", "x") }, "has no certificate"},
		"no token":       {func(t *testing.T, dir string) { t.Helper(); remove(t, dir, "token") }, "reading the ServiceAccount's token"},
		"empty token":    {func(t *testing.T, dir string) { t.Helper(); write(t, dir, "token", "\n") }, "is empty"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir, _ := pod(t)
			tt.spoil(t, dir)
			if _, err := InCluster(dir); err == nil || !strings.Contains(err.Error(), tt.say) {
				t.Errorf("%v, want it to say %q", err, tt.say)
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// A token that vanishes is an error of the next requests, not of the process.
func TestTokenVanishes(t *testing.T) {
	dir, _ := pod(t)
	write(t, dir, "token", "expired")
	c, err := InCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	remove(t, dir, "token")
	for _, want := range []string{"401", "reading the ServiceAccount's token"} {
		if _, err := c.Get(t.Context(), "n", "c"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
}
