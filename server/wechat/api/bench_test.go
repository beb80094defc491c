package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// loopback is a client of a WeChat on this machine that takes everything at once.
func loopback(b *testing.B) *Client {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == tokenAPI {
			_, _ = w.Write([]byte(`{"access_token":"token","expires_in":7200}`))
			return
		}
		_, _ = w.Write([]byte(okAnswer))
	}))
	b.Cleanup(server.Close)
	c, err := New(Options{BaseURL: server.URL, Credentials: func() (string, string) { return testAppID, testSecret }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// BenchmarkSend sends texts of 600 bytes over loopback: one after another, as the parts of an answer go, and from many turns at a time.
func BenchmarkSend(b *testing.B) {
	message := Message{To: testOpenID, Content: Text{strings.Repeat("字", 200)}, AI: true}
	b.Run("one after another", func(b *testing.B) {
		c := loopback(b)
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Send(b.Context(), message); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
	})
	b.Run("32 at a time", func(b *testing.B) {
		c := loopback(b)
		b.SetParallelism(32 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if err := c.Send(b.Context(), message); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
	})
}

// BenchmarkEncode makes the body of one send.
func BenchmarkEncode(b *testing.B) {
	text := Text{strings.Repeat("字", 600) + "\u2028"}
	b.ReportAllocs()
	for b.Loop() {
		body := messageBody{To: testOpenID, AI: &aiContext{1}}
		text.fill(&body)
		encode(&body)
	}
}

// wire is a transport that answers at once, and keeps nothing.
type wire struct{}

func (wire) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	body := okAnswer
	if r.URL.Path == tokenAPI {
		body = `{"access_token":"` + strings.Repeat("x", 157) + `","expires_in":7200}`
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, err
}

// BenchmarkIdleMemory is what a client costs that has sent once and has nothing to do; its idle connections are closed after 30 s.
func BenchmarkIdleMemory(b *testing.B) {
	const clients = 1000
	for b.Loop() {
		before := heap()
		all := make([]*Client, clients)
		for i := range all {
			c, err := New(Options{Credentials: func() (string, string) { return testAppID, testSecret }, Transport: wire{}})
			if err == nil {
				err = c.Send(b.Context(), Message{To: testOpenID, Content: Text{"x"}})
			}
			if err != nil {
				b.Fatal(err)
			}
			all[i] = c
		}
		b.ReportMetric(float64(heap()-before)/clients, "B/client")
		for _, c := range all {
			c.Close()
		}
	}
}

// heap is what is in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
