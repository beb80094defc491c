package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const (
	verificationName    = "MP_verify_0123456789abcdef.txt"
	verificationContent = "0123456789abcdef"
)

func TestVerificationOfTheURL(t *testing.T) {
	for _, mode := range []wechatsim.Mode{wechatsim.Plain, wechatsim.Secure} {
		t.Run(mode.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, loadManifest(t).options(mode), difysim.Behaviour{})
				if err := w.platform(t, mode).VerifyURL(t.Context()); err != nil {
					t.Error(err)
				}
				via, now := w.inProcess(t), time.Now()
				const echo = "<script>&\"中"
				got := must(t, via, http.MethodGet, path+"?echostr=%3Cscript%3E%26%22%E4%B8%AD&"+signed(w.Token, now), "")
				if got.status != http.StatusOK || got.body != echo {
					t.Errorf("%d %q, want 200 %q", got.status, got.body, echo)
				}
				if got.header.Get("Content-Type") != "text/plain; charset=utf-8" || got.header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("a browser could take the echo for a page: %v", got.header)
				}
				for name, query := range map[string]string{
					"wrong token": "?echostr=1&" + signed("another", now),
					"no echo":     "?" + signed(w.Token, now),
					"nothing":     "",
					"an old URL":  "?echostr=1&" + signed(w.Token, now.Add(-time.Hour)),
					"ambiguous":   "?echostr=1&echostr=2&" + signed(w.Token, now),
				} {
					got := must(t, via, http.MethodGet, path+query, "")
					if got.status != http.StatusForbidden || got.body != "Forbidden\n" {
						t.Errorf("%s: %d %q, want 403 and its name", name, got.status, got.body)
					}
				}
			})
		})
	}
}

func TestServes_WebhookAndVerificationFilesOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		w.handler.Configure(Bot{
			Account:           account(t, w.options(wechatsim.Plain)),
			VerificationFiles: map[string]string{verificationName: verificationContent},
		})
		via := w.inProcess(t)
		for _, c := range []struct {
			method, target string
			status         int
			body           string
		}{
			{http.MethodGet, "/" + verificationName, http.StatusOK, verificationContent},
			{http.MethodPost, "/" + verificationName, http.StatusNotFound, "Not Found\n"},
			{http.MethodGet, "/MP_verify_another.txt", http.StatusNotFound, "Not Found\n"},
			{http.MethodGet, path + "/" + verificationName, http.StatusNotFound, "Not Found\n"},
			{http.MethodGet, "/", http.StatusNotFound, "Not Found\n"},
			{http.MethodGet, "//" + verificationName, http.StatusOK, verificationContent},
			{http.MethodGet, path + "x", http.StatusNotFound, "Not Found\n"},
			{http.MethodPost, "/", http.StatusNotFound, "Not Found\n"},
			{http.MethodPut, path, http.StatusMethodNotAllowed, "Method Not Allowed\n"},
			{http.MethodDelete, path + "?" + signed(w.Token, time.Now()), http.StatusMethodNotAllowed, "Method Not Allowed\n"},
		} {
			got := must(t, via, c.method, c.target, "")
			if got.status != c.status || got.body != c.body {
				t.Errorf("%s %s: %d %q, want %d %q", c.method, c.target, got.status, got.body, c.status, c.body)
			}
			if allow := got.header.Get("Allow"); (allow != "") != (c.status == http.StatusMethodNotAllowed) {
				t.Errorf("%s %s: Allow is %q", c.method, c.target, allow)
			}
		}
	})
}

func TestOversizedBody_NextPushAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		via := w.serve(t).transport(t)
		body := textPush(strings.Repeat("长", 10<<20/3), 1)
		got := must(t, via, http.MethodPost, path+"?"+signed(w.Token, time.Now()), body)
		if got.status != http.StatusRequestEntityTooLarge || got.body != "Request Entity Too Large\n" {
			t.Errorf("%d %q, want 413 and its name", got.status, got.body)
		}
		if help := must(t, via, http.MethodPost, path+"?"+signed(w.Token, time.Now()), textPush("/help", 2)); !strings.Contains(help.body, "AI assistant") {
			t.Errorf("the next push got %q", help.body)
		}
	})
}

// A body of any size below the limit is read whole, in whatever pieces it comes.
func TestBodiesAreReadWhole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		via := w.serve(t).transport(t)
		for i, size := range []int{0, 1, 4 << 10, 32<<10 - 300, 32 << 10, 100 << 10, 255 << 10} {
			body := strings.Replace(textPush("/help", i+1), "</xml>", "<More>"+strings.Repeat("x", size)+"</More></xml>", 1)
			got := must(t, via, http.MethodPost, path+"?"+signed(w.Token, time.Now()), body)
			if got.status != http.StatusOK || !strings.Contains(got.body, "AI assistant") {
				t.Errorf("%d bytes: %d %q, want the help", len(body), got.status, got.body)
			}
		}
	})
}

// raw sends a part of a request and gives what the server does then, and when.
func raw(t *testing.T, c net.Conn, part string) (response string, after time.Duration) {
	t.Helper()
	began := time.Now()
	go func() { _, _ = io.WriteString(c, part) }()
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("reading what the server says: %v", err)
	}
	return string(b), time.Since(began)
}

func TestSlowClientsAreClosed(t *testing.T) {
	const body = "\r\nContent-Length: 1000\r\n\r\n<xml>"
	for name, c := range map[string]struct {
		part, says string
		by         time.Duration
	}{
		"headers":                       {"POST /wechat HTTP/1.1\r\nHost: b", "", 5 * time.Second},
		"no request at all":             {"", "", 5 * time.Second},
		"a push's body":                 {"POST %s HTTP/1.1\r\nHost: bot" + body, "HTTP/1.1 400 Bad Request", 5 * time.Second},
		"a chunked body":                {"POST %s HTTP/1.1\r\nHost: bot\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<xml>", "HTTP/1.1 400 Bad Request", 5 * time.Second},
		"a body with a query of no use": {"POST /wechat?nonce=1&nonce=2 HTTP/1.1\r\nHost: bot" + body, "HTTP/1.1 403 Forbidden", 5 * time.Second},
		"a body for another path":       {"POST /other HTTP/1.1\r\nHost: bot" + body, "HTTP/1.1 404 Not Found", 5 * time.Second},
		"a body for another method":     {"PUT /wechat HTTP/1.1\r\nHost: bot" + body, "HTTP/1.1 405 Method Not Allowed", 5 * time.Second},
		"a verification with a body":    {"GET /wechat HTTP/1.1\r\nHost: bot" + body, "HTTP/1.1 403 Forbidden", 5 * time.Second},
		"nothing after a response":      {"GET /other HTTP/1.1\r\nHost: bot\r\n\r\n", "HTTP/1.1 404 Not Found", 31 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
				part := c.part
				if strings.Contains(part, "%s") {
					part = fmt.Sprintf(part, path+"?"+signed(w.Token, time.Now()))
				}
				response, after := raw(t, w.serve(t).dial(t), part)
				if !strings.HasPrefix(response, c.says) || (c.says == "") != (response == "") {
					t.Errorf("the server says %q, want %q", response, c.says)
				}
				if after > c.by {
					t.Errorf("closed after %v, want %v at most", after, c.by)
				}
			})
		})
	}
}

func TestTruncatedBodyIsNoPush(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		c := w.serve(t).dial(t)
		push := textPush("a question", 1)
		_, err := fmt.Fprintf(c, "POST %s?%s HTTP/1.1\r\nHost: bot\r\nContent-Length: %d\r\n\r\n%s",
			path, signed(w.Token, time.Now()), len(push), push[:len(push)-1])
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w.dify.CallCount() != 0 || w.count("wechatbot_pushes_total", "type", "unread", "outcome", "broken") != 1 {
			t.Errorf("%d calls of Dify, want none and the push counted as broken", w.dify.CallCount())
		}
	})
}

// A client may send its next request before it has read the reply to the first.
func TestPipelinedPushesAreAnsweredInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{Total: time.Second})
		c := w.serve(t).dial(t)
		go func() {
			for i, text := range []string{"first?", "/help"} {
				push := textPush(text, i+1)
				_, _ = fmt.Fprintf(c, "POST %s?%s HTTP/1.1\r\nHost: bot\r\nContent-Length: %d\r\n\r\n%s", path, signed(w.Token, time.Now()), len(push), push)
			}
		}()
		responses := bufio.NewReader(c)
		for _, want := range []string{"first?", "AI assistant"} {
			r, err := http.ReadResponse(responses, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || !strings.Contains(string(body), want) {
				t.Errorf("got %q, %v, want %q", body, err, want)
			}
			if err := r.Body.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A fault of ours is seen in the log and counted, without any word of a follower, and the push is acknowledged: WeChat would
// say that the account has a fault.
func TestPanicIsToldAndAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
		via := w.serve(t).transport(t)
		engine := w.handler.engine
		w.handler.engine = nil
		got := must(t, via, http.MethodPost, path+"?"+signed(w.Token, time.Now()), textPush("secret words", 1))
		if got.status != http.StatusOK || got.body != wechat.Success {
			t.Errorf("%d %q, want it acknowledged", got.status, got.body)
		}
		w.handler.engine = engine
		if log := w.log.String(); !strings.Contains(log, "A handler panicked") || !strings.Contains(log, "nil pointer") || strings.Contains(log, "secret words") {
			t.Errorf("the log says %s", log)
		}
		if n := w.count("wechatbot_webhook_panics_total"); n != 1 {
			t.Errorf("counted %d times, want once", n)
		}
		if got := must(t, via, http.MethodPost, path+"?"+signed(w.Token, time.Now()), textPush("/help", 2)); got.status != http.StatusOK {
			t.Errorf("the next push got %d", got.status)
		}
	})
}

// What a panic is about can be made of a follower's words: only its type is told.
func TestAPanicsWordsAreNotTold(t *testing.T) {
	w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
	for _, cause := range []any{"secret words", errors.New("secret words"), []string{"secret words"}} {
		recorder := httptest.NewRecorder()
		func() {
			defer w.handler.recoverPanic(recorder)
			panic(cause)
		}()
		if log := w.log.String(); strings.Contains(log, "secret") || !strings.Contains(log, fmt.Sprintf("%T", cause)) || recorder.Body.String() != wechat.Success {
			t.Errorf("the log says %s; %q was answered", log, recorder.Body)
		}
	}
}

func TestIdleConnections_DelayNoPush(t *testing.T) {
	const idle = 5000 // most of them are closed to make place for others
	w := newWorld(t, loadManifest(t).options(wechatsim.Plain), difysim.Behaviour{})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := w.handler.Server(nil)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(w.handler.Listener(listener)) }()
	conns := make([]net.Conn, 0, idle)
	for range idle {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	via := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	}}
	for i := range 3 {
		got := must(t, via, http.MethodPost, path+"?"+signed(w.Token, time.Now()), textPush("/help", i))
		if got.status != http.StatusOK || !strings.Contains(got.body, "AI assistant") {
			t.Errorf("%d %q, want the help", got.status, got.body)
		}
	}
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := w.count("wechatbot_unauthenticated_connections_closed_total"); n < idle-w.handler.limits.Unauthenticated {
		t.Errorf("%d idle connections were closed, want all but %d", n, w.handler.limits.Unauthenticated)
	}
	via.CloseIdleConnections()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
