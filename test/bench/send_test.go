package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// official stands in for WeChat's API as thinly as possible: it takes every message at once, and notes when.
type official struct {
	api *httptest.Server

	mu      sync.Mutex
	arrived map[string]time.Time // by openid
}

func startOfficial(b *testing.B) *official {
	b.Helper()
	w := &official{arrived: make(map[string]time.Time)}
	w.api = httptest.NewServer(w)
	b.Cleanup(w.api.Close)
	return w
}

func (w *official) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/cgi-bin/stable_token":
		_, _ = rw.Write([]byte(`{"access_token":"tokenOfTheBench","expires_in":7200}`))
		return
	case "/cgi-bin/message/custom/send":
		var message struct {
			To string `json:"touser"`
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			http.Error(rw, "unreadable", http.StatusBadRequest)
			return
		}
		now := time.Now()
		w.mu.Lock()
		w.arrived[message.To] = now
		w.mu.Unlock()
	}
	_, _ = rw.Write([]byte(`{"errcode":0,"errmsg":"ok"}`))
}

// await waits until so many followers have a message, and gives when each came.
func (w *official) await(b *testing.B, n int) map[string]time.Time {
	b.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(30 * time.Second)
	for {
		w.mu.Lock()
		if len(w.arrived) >= n {
			arrived := w.arrived
			w.arrived = make(map[string]time.Time)
			w.mu.Unlock()
			return arrived
		}
		have := len(w.arrived)
		w.mu.Unlock()
		select {
		case <-look.C:
		case <-late:
			b.Fatalf("%d of %d messages have come", have, n)
		}
	}
}

// pushing is what stands around a bot that pushes its answers.
type pushing struct {
	*dify
	*official

	asked int
}

func newPushing(b *testing.B) *pushing {
	b.Helper()
	return &pushing{dify: startDify(b), official: startOfficial(b)}
}

func (w *pushing) start(b *testing.B, concurrency int) *process {
	b.Helper()
	return startWith(b, true, w.url(), w.official.api.URL, fmt.Sprintf("limits: {concurrency: %d}\nreply: {mode: CustomerService}\n", concurrency))
}

// pushedAfter is how long after a question its answer is pushed at the earliest: when WeChat waits for no reply any more, and some.
const pushedAfter = 5500 * time.Millisecond

// round has followers ask one question each, and ends the answers spread over a time when no reply can carry them any more. It gives the
// time from each answer's end to the arrival of its message.
func (w *pushing) round(b *testing.B, p *process, followers int, spread time.Duration) []time.Duration {
	b.Helper()
	names, questions, pushes := make([]string, followers), make([]string, followers), make([][]byte, followers)
	for i := range followers {
		w.asked++
		names[i], questions[i] = fmt.Sprintf("oFollower%019d", w.asked), fmt.Sprintf("question number %d of the bench", w.asked)
		pushes[i] = request(b, true, names[i], questions[i], w.asked)
	}
	conns := dialAll(b, p.hook, followers)
	writeAll(b, conns, pushes)
	over := time.After(pushedAfter)
	if !w.dify.await(followers, 4*time.Second) {
		b.Fatalf("only %d questions have reached Dify: the machine is too slow to measure", w.dify.asked())
	}
	<-over
	for _, c := range conns {
		_ = c.Close() // each was told that there is no reply
	}
	for _, q := range questions {
		w.end(q)
		<-time.After(spread / time.Duration(followers))
	}
	arrived := w.official.await(b, followers)
	took := make([]time.Duration, followers)
	for i, name := range names {
		took[i] = arrived[name].Sub(w.endedAt(questions[i]))
	}
	return took
}

// BenchmarkSend is the time from the end of Dify's answer to the arrival of its message at WeChat, while 200 followers wait; beside it how
// long a bare client takes for the same message. The answers end spread over a second, and then all at once.
func BenchmarkSend(b *testing.B) {
	const followers = 200
	for name, spread := range map[string]time.Duration{"spread": time.Second, "at_once": 0} {
		b.Run(name, func(b *testing.B) {
			w := newPushing(b)
			p := w.start(b, followers)
			<-time.After(settle)
			var all []time.Duration
			for b.Loop() {
				all = append(all, w.round(b, p, followers, spread)...)
			}
			b.ReportMetric(0, "ns/op")
			report(b, "", all)
			report(b, "bare_", w.bare(b, followers, spread))
		})
	}
}

// bare sends as many messages in the same way from this process, and gives the time from each call to the arrival of its message.
func (w *pushing) bare(b *testing.B, followers int, spread time.Duration) []time.Duration {
	b.Helper()
	client, err := api.New(api.Options{
		BaseURL: w.official.api.URL, Credentials: func() (string, string) { return appID, "appSecretOfTheBench" },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	if err := client.CheckToken(b.Context()); err != nil {
		b.Fatal(err)
	}
	began := make([]time.Time, followers)
	name := func(i int) string { return fmt.Sprintf("oBare%023d", i) }
	var all sync.WaitGroup
	for i := range followers {
		all.Go(func() {
			began[i] = time.Now()
			if err := client.Send(b.Context(), api.Message{To: name(i), Content: api.Text{Content: "The answer is: forty-two."}, AI: true}); err != nil {
				b.Error(err)
			}
		})
		<-time.After(spread / time.Duration(followers))
	}
	all.Wait()
	arrived := w.official.await(b, followers)
	took := make([]time.Duration, followers)
	for i := range took {
		took[i] = arrived[name(i)].Sub(began[i])
	}
	return took
}

// BenchmarkSends is how many messages a server sends in a second, and what each costs: 1,000 answers that end at once.
func BenchmarkSends(b *testing.B) {
	const followers = 1000
	w := newPushing(b)
	p := w.start(b, followers)
	<-time.After(settle)
	var rate, cpu float64
	n := 0.0
	for b.Loop() {
		before := p.cpu(b)
		took := w.round(b, p, followers, 0)
		cpu += float64(p.cpu(b)-before) / followers
		var last time.Duration
		for _, t := range took {
			last = max(last, t)
		}
		rate += followers / last.Seconds()
		n++
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rate/n, "sends/s")
	b.ReportMetric(cpu/n/1000, "µs_CPU/question")
}
