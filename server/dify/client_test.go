package dify_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

func TestNewTakesTheBaseURLThatPeoplePaste(t *testing.T) {
	for base, want := range map[string]string{
		"https://api.dify.ai/v1":        "https://api.dify.ai/v1/info",
		"https://api.dify.ai":           "https://api.dify.ai/v1/info",
		"\thttps://api.dify.ai/v1/\n":   "https://api.dify.ai/v1/info",
		"http://10.0.0.1:5001//":        "http://10.0.0.1:5001/v1/info",
		"http://[::1]:5001":             "http://[::1]:5001/v1/info",
		"https://host/dify":             "https://host/dify/v1/info",
		"https://host/dify/v1":          "https://host/dify/v1/info",
		"http://dify-api.dify.svc:5001": "http://dify-api.dify.svc:5001/v1/info",
	} {
		var got string
		c, err := dify.New(func() string { return secret }, dify.Options{BaseURL: base, HTTPClient: &http.Client{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				got = r.URL.String()
				return response(http.StatusOK, "application/json", strings.NewReader("{}")), nil
			}),
		}})
		if err != nil {
			t.Errorf("%q: %v", base, err)
			continue
		}
		if _, err := c.Info(t.Context()); err != nil || got != want {
			t.Errorf("%q asks %q, %v; want %q", base, got, err, want)
		}
	}
}

func TestNewRefusesABaseURLClearly(t *testing.T) {
	for base, want := range map[string]string{
		"":                                      "must begin with http",
		"api.dify.ai/v1":                        "must begin with http",
		"ftp://api.dify.ai":                     "must begin with http",
		"http://":                               "no host",
		"http://:5001/v1":                       "no host",
		"http://u:geheim@host":                  "user or password",
		"http://host/v1?x=1":                    "query",
		"http://host/v1?":                       "query",
		"http://host/v1#x":                      "fragment",
		"http://ho st geheim":                   "not a URL",
		"https://api.dify.ai/v1/chat-messages":  "must end at /v1",
		"https://api.dify.ai/v1/workflows/run/": "must end at /v1",
	} {
		_, err := dify.New(func() string { return secret }, dify.Options{BaseURL: base})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: error %v, want one about %q", base, err, want)
		}
	}
}

func TestChatSendsWhatAllReleasesAccept(t *testing.T) {
	var body map[string]any
	var header http.Header
	var method, path string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		method, path, header = r.Method, r.URL.Path, r.Header
		body = nil
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ev("message_end", end))
	}, dify.Options{UserAgent: "bot/1"})

	if _, err := c.Chat(t.Context(), ask(), nil); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"query": question, "user": user, "inputs": map[string]any{}, "response_mode": "streaming", "auto_generate_name": false,
	}
	if d := cmp.Diff(want, body); d != "" {
		t.Errorf("body (-want +got)\n%s", d)
	}
	if method != http.MethodPost || path != "/v1/chat-messages" {
		t.Errorf("%s %s", method, path)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + secret, "Content-Type": "application/json", "User-Agent": "bot/1", "Accept-Encoding": "identity",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	q := ask()
	q.ConversationID, q.Inputs = "c1", map[string]string{"city": "杭州"}
	q.Files = []dify.File{{Type: "image", TransferMethod: "local_file", UploadFileID: "f1"}}
	if _, err := c.Chat(t.Context(), q, nil); err != nil {
		t.Fatal(err)
	}
	want["conversation_id"], want["inputs"] = "c1", map[string]any{"city": "杭州"}
	want["files"] = []any{map[string]any{"type": "image", "transfer_method": "local_file", "upload_file_id": "f1"}}
	if d := cmp.Diff(want, body); d != "" {
		t.Errorf("body (-want +got)\n%s", d)
	}
}

func TestChatRefusesWhatDifyWouldCrashOn(t *testing.T) {
	c := clientOf(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was made")
		return nil, io.EOF
	})
	for name, r := range map[string]dify.ChatRequest{
		"no question": {User: user}, "no user": {Query: "x"}, "a long user": {Query: "x", User: strings.Repeat("u", 256)},
	} {
		if _, err := c.Chat(t.Context(), r, nil); dify.KindOf(err) != dify.InvalidParam {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestTheKeyIsReadForEachCall(t *testing.T) {
	key, seen := "app-old\n", ""
	c, err := dify.New(func() string { return key }, dify.Options{BaseURL: "http://x", HTTPClient: &http.Client{
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			seen = r.Header.Get("Authorization")
			return response(http.StatusOK, "application/json", strings.NewReader("{}")), nil
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"app-old", "app-new"} {
		if _, err := c.Info(t.Context()); err != nil || seen != "Bearer "+want {
			t.Errorf("sent %q, %v; want %s", seen, err, want)
		}
		key = " app-new "
	}
	key, seen = "\n", ""
	if _, err := c.Info(t.Context()); dify.KindOf(err) != dify.Unauthorized || seen != "" || !strings.Contains(err.Error(), "no API key") {
		t.Errorf("without a key: error %v, sent %q", err, seen)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) }, dify.Options{})
		_, err := c.Chat(t.Context(), ask(), nil)
		if e, ok := errors.AsType[*dify.Error](err); !ok || e.Kind != dify.BadResponse || e.Status != status || e.Temporary() {
			t.Errorf("%d: error %v", status, err)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

func TestOtherContentThanDifys(t *testing.T) {
	html := "<html><body>Sign in</body></html>"
	for name, c := range map[string]struct {
		contentType, encoding string
		body                  string
		kind                  dify.Kind
	}{
		"HTML with status 200":        {contentType: "text/html", body: html, kind: dify.BadResponse},
		"HTML called a stream":        {contentType: "text/event-stream", body: html, kind: dify.Interrupted},
		"a content type that is none": {contentType: "text/", body: html, kind: dify.Interrupted},
		"an encoding of its own":      {contentType: "text/event-stream", encoding: "br", body: html, kind: dify.BadResponse},
		"gzip that is none":           {contentType: "text/event-stream", encoding: "gzip", body: html, kind: dify.BadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				if c.encoding != "" {
					w.Header().Set("Content-Encoding", c.encoding)
				}
				_, _ = io.WriteString(w, c.body)
			}, dify.Options{})
			if a, err := client.Chat(t.Context(), ask(), nil); dify.KindOf(err) != c.kind || a.Text != "" {
				t.Errorf("answer %+v, error %v, want kind %s", a, err, c.kind)
			}
			if _, err := client.Info(t.Context()); dify.KindOf(err) != dify.BadResponse {
				t.Errorf("info: error %v", err)
			}
		})
	}
}

func TestChatReadsAStreamThatAProxyCompressed(t *testing.T) {
	body := fixture(t, "sse/chat-simple.1.13.3.sse")
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(body)
		_ = z.Close()
	}, dify.Options{})
	want := streams["chat-simple.1.13.3.sse"]
	if d := want.differs(c.Chat(t.Context(), ask(), nil)); d != "" {
		t.Error(d)
	}
}

func TestNoConnectionIsUnreachable(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, base := range map[string]string{
		"refused": closed, "TLS to a plain server": strings.Replace(plain.URL, "http:", "https:", 1),
	} {
		c, err := dify.New(func() string { return secret }, dify.Options{BaseURL: base, ConnectTimeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Chat(t.Context(), ask(), nil)
		e, ok := errors.AsType[*dify.Error](err)
		if !ok || e.Kind != dify.Unreachable || !e.Temporary() || e.DropConversation() {
			t.Errorf("%s: error %v", name, err)
		}
		if len(err.Error()) <= len("dify: chat: Unreachable") {
			t.Errorf("%s: %q does not tell why", name, err)
		}
	}
}

func TestAConnectionThatBreaks(t *testing.T) {
	for name, c := range map[string]struct {
		sent string
		text string
	}{
		"before any byte":    {},
		"within the headers": {sent: "HTTP/1.1 200 OK\r\nContent-Ty"},
		"after text": {
			sent: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" + ev("message", `,"answer":"半"`),
			text: "半",
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, c.sent)
				_ = conn.Close()
			}, dify.Options{})
			a, err := client.Chat(t.Context(), ask(), nil)
			e, ok := errors.AsType[*dify.Error](err)
			if !ok || e.Kind != dify.Interrupted || a.Text != c.text || !e.Temporary() {
				t.Errorf("answer %+v, error %v", a, err)
			}
		})
	}
}

func TestChatEndsWithItsContext(t *testing.T) {
	for name, wait := range map[string]bool{"before the response": false, "while streaming": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			arrived, released := make(chan struct{}), make(chan struct{})
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client left
				if wait {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, ev("message", `,"answer":"半"`))
					flush(t, w)
				}
				close(arrived)
				<-r.Context().Done()
				close(released)
			}, dify.Options{})
			told := make(chan struct{}, 1)
			go func() {
				<-arrived
				if wait {
					<-told
				}
				cancel()
			}()
			a, err := c.Chat(ctx, ask(), func(dify.Update) { told <- struct{}{} })
			if dify.KindOf(err) != dify.Canceled || !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if wait && (a.Text != "半" || a.TaskID != "t1") {
				t.Errorf("what came is lost: %+v", a)
			}
			<-released // the connection is closed
		})
	}
}

func TestChatLetsGoOfAConnectionThatTheServerKeeps(t *testing.T) {
	released := make(chan struct{})
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write(fixture(t, "sse/chat-simple.0.6.5.sse"))
		flush(t, w)
		<-r.Context().Done()
		close(released)
	}, dify.Options{})
	if a, err := c.Chat(t.Context(), ask(), nil); err != nil || a.Text != greeting {
		t.Errorf("answer %+v, error %v", a, err)
	}
	<-released
}
