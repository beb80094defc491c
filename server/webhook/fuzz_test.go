package webhook

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// Whatever WeChat has signed is answered with 200, and nothing else is.
func FuzzPush(f *testing.F) {
	m := loadManifest(f)
	for _, file := range m.Files {
		if file.Kind != "reply" {
			f.Add(fixture(f, file.File), "")
		}
	}
	f.Add([]byte("<xml>"), "encrypt_type=aes&msg_signature=0&nonce=1")
	f.Add([]byte(textPush("问题", 1)), "signature=a&signature=b")
	cipher, err := wechat.NewCipher(m.EncodingAESKey, m.AppID)
	if err != nil {
		f.Fatal(err)
	}
	plain := newWorld(f, m.options(wechatsim.Plain), difysim.Behaviour{})
	secure := newWorld(f, m.options(wechatsim.Secure), difysim.Behaviour{})
	push := func(t *testing.T, w *world, query string, body []byte) *httptest.ResponseRecorder {
		t.Helper()
		recorder := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
		r.URL.RawQuery = query
		w.handler.ServeHTTP(recorder, r)
		return recorder
	}
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		if len(body) > maxBody/2 {
			return
		}
		for _, w := range []*world{plain, secure} {
			if got := push(t, w, query, body); got.Code != http.StatusForbidden || got.Body.String() != "Forbidden\n" {
				t.Errorf("unauthenticated: %d %q, want 403 and nothing else", got.Code, got.Body)
			}
		}
		q := signed(m.Token, time.Now())
		if got := push(t, plain, q, body); got.Code != http.StatusOK || !legal(got.Body.String(), "<Content>") {
			t.Errorf("plain: %d %q, want a reply or success", got.Code, got.Body)
		}
		parsed, err := wechat.ParseQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		encrypt := cipher.Seal([16]byte{}, body)
		q += "&encrypt_type=aes&msg_signature=" + wechat.Sign(m.Token, parsed.Timestamp, parsed.Nonce, encrypt)
		if got := push(t, secure, q, []byte("<xml><Encrypt>"+encrypt+"</Encrypt></xml>")); got.Code != http.StatusOK || !legal(got.Body.String(), "<Encrypt>") {
			t.Errorf("secure: %d %q, want a sealed reply or success", got.Code, got.Body)
		}
	})
}

func legal(body, element string) bool {
	return body == wechat.Success || strings.HasPrefix(body, "<xml>") && strings.HasSuffix(body, "</xml>") && strings.Contains(body, element)
}
