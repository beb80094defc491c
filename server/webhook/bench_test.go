package webhook

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// discard is the http.ResponseWriter of nobody. It has the methods that net/http's has.
type discard struct{ header http.Header }

func (d discard) Header() http.Header           { return d.header }
func (discard) Write(b []byte) (int, error)     { return len(b), nil }
func (discard) WriteHeader(int)                 {}
func (discard) Flush()                          {}
func (discard) SetReadDeadline(time.Time) error { return nil }

// BenchmarkPush is what the handler adds to net/http for a push that is answered at once. test/bench measures the whole.
func BenchmarkPush(b *testing.B) {
	for _, mode := range []wechatsim.Mode{wechatsim.Plain, wechatsim.Secure} {
		b.Run(mode.String(), func(b *testing.B) {
			w := newWorld(b, loadManifest(b).options(mode), difysim.Behaviour{})
			query, body := signed(w.Token, time.Now()), textPush("/help", 1)
			if mode == wechatsim.Secure {
				query, body = sealed(b, w.Token, w.EncodingAESKey, w.AppID, time.Now(), "/help")
			}
			content := []byte(body)
			reader := bytes.NewReader(content)
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://bot.invalid"+path+"?"+query, io.NopCloser(reader))
			if err != nil {
				b.Fatal(err)
			}
			out := discard{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(content)
				w.handler.ServeHTTP(out, r)
			}
			if n := w.count("wechatbot_pushes_total", "type", "text", "outcome", "answered"); n == 0 {
				b.Error("no push was answered")
			}
		})
	}
}
