package dify_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// Each request within a span carries it, over the chats' own connection and over the one of all others.
func TestTraced(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] = append(got[r.URL.Path], r.Header.Get("Traceparent"))
		w.WriteHeader(http.StatusTeapot)
	}))
	defer s.Close()
	c, err := dify.New(dify.Target{BaseURL: s.URL, Key: "app-test"}, dify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	const span = "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"
	for _, parent := range []string{span, ""} {
		ctx := dify.Traced(t.Context(), parent)
		_, chat := c.Chat(ctx, dify.ChatRequest{Query: "question", User: "user"}, nil)
		if _, err := c.Parameters(ctx); chat == nil || err == nil {
			t.Errorf("%v, %v, want errors of a teapot", chat, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, path := range []string{"/v1/chat-messages", "/v1/parameters"} {
		if all := got[path]; len(all) < 2 || all[0] != span || all[len(all)-1] != "" {
			t.Errorf("%s got %q, want the span and then none", path, all)
		}
	}
}
