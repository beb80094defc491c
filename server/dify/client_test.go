package dify_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

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
		c, err := dify.New(dify.Target{BaseURL: base, Key: secret}, dify.Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.URL.String()
			return response(http.StatusOK, "application/json", strings.NewReader(`{"name":"x"}`)), nil
		})})
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
		_, err := dify.New(dify.Target{BaseURL: base, Key: secret}, dify.Options{})
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

func TestWithKey(t *testing.T) {
	seen := ""
	c, err := dify.New(dify.Target{BaseURL: "http://x", Key: "app-old\n"}, dify.Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		seen = r.Header.Get("Authorization")
		return response(http.StatusOK, "application/json", strings.NewReader(`{"name":"x"}`)), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.WithKey(" app-new ")
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]*dify.Client{"app-old": c, "app-new": other} {
		if _, err := c.Info(t.Context()); err != nil || seen != "Bearer "+want {
			t.Errorf("sent %q, %v; want %s", seen, err, want)
		}
	}
	none, err := c.WithKey("\n")
	if err != nil {
		t.Fatal(err)
	}
	seen = ""
	if _, err := none.Info(t.Context()); dify.KindOf(err) != dify.Unauthorized || seen != "" || !strings.Contains(err.Error(), "no API key") {
		t.Errorf("without a key: error %v, sent %q", err, seen)
	}
	for _, key := range []string{"app geheim", "app-\r\ngeheim: x", "app-gehéim", "app-\x00geheim"} {
		if _, err := c.WithKey(key); err == nil || strings.Contains(err.Error(), "geh") {
			t.Errorf("%q: error %v", key, err)
		}
	}
	target := dify.Target{BaseURL: "http://x", Key: secret}
	if shown := fmt.Sprintf("%v %+v %#v %s", target, target, target, target.LogValue()); strings.Contains(shown, secret) {
		t.Errorf("a target shows its key: %s", shown)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for name, c := range map[string]struct {
		status int
		to     string // OWN is the server's own address
		origin string
	}{
		"moved":                    {301, other.URL + "/v1/chat-messages", other.URL},
		"found":                    {302, other.URL, other.URL},
		"see other":                {303, other.URL, other.URL},
		"temporary":                {307, other.URL, other.URL},
		"permanent":                {308, other.URL, other.URL},
		"to https":                 {301, "https://dify.example.com/v1/chat-messages", "https://dify.example.com"},
		"to a login with a ticket": {302, "https://sso.example.com/login?next=x&ticket=geheim#geheim", "https://sso.example.com"},
		"with a user":              {302, "https://u:geheim@sso.example.com:8443/", "https://sso.example.com:8443"},
		"of the same scheme":       {302, "//other.example.com/x", "http://other.example.com"},
		"to another path":          {302, "/geheim/login", "OWN"},
		"to no address":            {302, "geheim:login", ""},
		"to a broken address":      {302, "https://ex ample.com/%zz", ""},
		"to nowhere":               {302, "", ""},
		"with a script":            {302, "javascript:alert('geheim')", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var own string
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				own = "http://" + r.Host
				if c.to != "" {
					w.Header().Set("Location", c.to)
				}
				w.WriteHeader(c.status)
			}, dify.Options{})
			_, chat := client.Chat(t.Context(), ask(), nil)
			_, info := client.Info(t.Context())
			for op, err := range map[string]error{"chat": chat, "info": info} {
				e, ok := errors.AsType[*dify.Error](err)
				if !ok || e.Kind != dify.Redirected || e.Status != c.status || e.MayRetry(0) || e.AskAgain() || e.Class() != dify.Misconfigured {
					t.Fatalf("%s: error %v", op, err)
				}
				want := strings.Replace(c.origin, "OWN", own, 1)
				if e.RedirectTo != want || want != "" && !strings.Contains(e.Error(), want) || strings.Contains(e.Error(), "geheim") {
					t.Errorf("%s: %v redirects to %q, want %q", op, err, e.RedirectTo, want)
				}
			}
		})
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
		"HTML with status 200":        {contentType: "text/html", body: html, kind: dify.HTMLResponse},
		"XHTML":                       {contentType: "application/xhtml+xml", body: html, kind: dify.HTMLResponse},
		"HTML called a stream":        {contentType: "text/event-stream", body: html, kind: dify.HTMLResponse},
		"a content type that is none": {contentType: "text/", body: "\n" + html, kind: dify.HTMLResponse},
		"text":                        {contentType: "text/plain", body: "hello", kind: dify.BadResponse},
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
			if _, err := client.Info(t.Context()); dify.KindOf(err).Class() != dify.Misconfigured {
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
			if !ok || e.Kind != dify.Interrupted || a.Text != c.text || retriesOf(e) != once {
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

func TestChat_ClosesKeptConnection(t *testing.T) {
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
