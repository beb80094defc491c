package wechatsim

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func get(t *testing.T, ctx context.Context) *http.Request { //nolint:revive // t first, as in every helper
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://bot.example/wechat?a=b", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHandlerTransportAnswersAsAServer(t *testing.T) {
	transport := HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/wechat?a=b" || r.RemoteAddr == "" || r.Body == nil || r.Host != "bot.example" {
			t.Errorf("request %q from %q to %q", r.RequestURI, r.RemoteAddr, r.Host)
		}
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Content-Type", "too/late")
		_, _ = io.WriteString(w, "one ")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flushing: %v", err)
		}
		_, _ = io.WriteString(w, "two")
	}))
	defer transport.Wait()
	response, err := transport.RoundTrip(get(t, t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{response.Status, response.Header.Get("Content-Type"), string(body)}
	if d := cmp.Diff([]string{"418 I'm a teapot", "text/xml", "one two"}, got); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
}

func TestHandlerTransportHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var sawHangUp time.Duration
		var writeErr error
		transport := HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			sawHangUp = time.Since(start)
			_, writeErr = io.WriteString(w, "too late")
		}))
		type key struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, 1), 5*time.Second)
		defer cancel()
		response, err := transport.RoundTrip(get(t, ctx)) //nolint:bodyclose // there is none
		if response != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("RoundTrip = %v, %v, want the deadline", response, err)
		}
		transport.Wait()
		if sawHangUp != 5*time.Second || !errors.Is(writeErr, net.ErrClosed) {
			t.Errorf("the handler saw the end after %v and wrote with %v; want 5s and a closed connection", sawHangUp, writeErr)
		}
		if _, err := transport.RoundTrip(get(t, ctx)); !errors.Is(err, context.DeadlineExceeded) { //nolint:bodyclose // there is none
			t.Errorf("a request after the deadline: %v", err)
		}
	})
}

func TestHandlerTransportCancelsWhenAnswered(t *testing.T) {
	var ctx context.Context
	transport := HandlerTransport(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })) //nolint:fatcontext // looked at from outside
	response, err := transport.RoundTrip(get(t, t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if ctx.Err() == nil || response.StatusCode != http.StatusOK {
		t.Errorf("status %d, context %v; want 200 and the end", response.StatusCode, ctx.Err())
	}
}

func TestHandlerTransportPanics(t *testing.T) {
	broken := HandlerTransport(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	if _, err := broken.RoundTrip(get(t, t.Context())); !errors.Is(err, io.ErrUnexpectedEOF) { //nolint:bodyclose // there is none
		t.Errorf("an aborted answer: %v, want a broken connection", err)
	}
	broken.Wait()

	faulty := HandlerTransport(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") }))
	defer faulty.Wait()
	defer func() {
		what, _ := recover().(string)
		if !strings.HasPrefix(what, "a bug\n") || !strings.Contains(what, "transport_test.go") {
			t.Errorf("the client panicked with %q, want the handler's panic and its stack", what)
		}
	}()
	_, _ = faulty.RoundTrip(get(t, t.Context())) //nolint:bodyclose // there is none
}

func TestPanicAfterTheClientLeft(t *testing.T) {
	c := &conversation{answer: &answer{ctx: t.Context(), header: http.Header{}}, ended: make(chan struct{})}
	if !c.leave() {
		t.Fatal("the client cannot leave")
	}
	defer func() {
		if what := recover(); what != "a bug" {
			t.Errorf("the handler's goroutine panicked with %v, want its own panic", what)
		}
	}()
	c.serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") }), serverSide(t.Context(), get(t, t.Context())))
}

func TestLeavingAnAnsweredConversation(t *testing.T) {
	c := &conversation{answer: &answer{ctx: t.Context(), header: http.Header{}}, ended: make(chan struct{})}
	c.serve(http.NotFoundHandler(), serverSide(t.Context(), get(t, t.Context())))
	if c.leave() {
		t.Error("an answer that is there is lost")
	}
	if response, err := c.response(get(t, t.Context())); err != nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("response %v, %v", response, err)
	} else {
		_ = response.Body.Close()
	}
}
