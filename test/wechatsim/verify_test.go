package wechatsim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

func TestVerifyURL(t *testing.T) {
	tests := []struct {
		name    string
		handler func(http.ResponseWriter, *http.Request)
		want    *VerifyError
		text    string
	}{
		{"the echo", func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			if r.Method != http.MethodGet || q.Get("msg_signature") != "" || q.Get("bot") != "1" ||
				q.Get("signature") != wechat.Sign(testToken, q.Get("timestamp"), q.Get("nonce")) {
				t.Errorf("%s with %v", r.Method, q)
			}
			_, _ = io.WriteString(w, q.Get("echostr"))
		}, nil, ""},
		{"quoted", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `"`+r.URL.Query().Get("echostr")+`"`)
		}, &VerifyError{Verdict: WrongEcho, Status: 200, Surrounded: true}, "verifying the URL: wrong echo: there are other bytes around it"},
		{"success instead", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "success") },
			&VerifyError{Verdict: WrongEcho, Status: 200}, "verifying the URL: wrong echo"},
		{"refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
			&VerifyError{Verdict: "HTTP status 403", Status: 403}, "verifying the URL: HTTP status 403"},
		{"a redirect is not followed", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://bot.example/", http.StatusMovedPermanently)
		}, &VerifyError{Verdict: "HTTP status 301", Status: 301}, "verifying the URL: HTTP status 301"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			account := testAccount(Secure)
			account.URL += "?bot=1"
			err := simulate(t, account, Options{}, http.HandlerFunc(test.handler)).VerifyURL(t.Context())
			got, _ := AsVerifyError(err)
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("error (-want +got):\n%s", d)
			}
			if err != nil && err.Error() != test.text {
				t.Errorf("error %q, want %q", err, test.text)
			}
		})
	}
}

func TestVerifyURLWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := simulate(t, testAccount(Plain), Options{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		start := time.Now()
		err := p.VerifyURL(t.Context())
		v, ok := AsVerifyError(err)
		if !ok || v.Verdict != Timeout || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("VerifyURL = %v after %v, want a timeout after 5 s", err, time.Since(start))
		}
		if strings.Contains(err.Error(), "signature") {
			t.Errorf("the error shows the signed URL: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok := AsVerifyError(p.VerifyURL(ctx)); ok {
			t.Error("the caller's own deadline is laid at the URL's door")
		}
	})
}
