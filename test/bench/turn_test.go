package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	answerEvents = 40                   // of ten characters each
	eventEvery   = 5 * time.Millisecond // so that each event is read by itself
)

// streaming answers every question with 400 characters in 40 events.
func streaming(b *testing.B) string {
	b.Helper()
	const ids = `"task_id":"t","message_id":"m","conversation_id":"c"`
	event := []byte("data: {\"event\":\"message\"," + ids + ",\"answer\":\"" + strings.Repeat("答", 10) + "\"}\n\n")
	end := []byte("data: {\"event\":\"message_end\"," + ids + "}\n\n")
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		out := http.NewResponseController(w)
		next := time.NewTicker(eventEvery)
		defer next.Stop()
		for range answerEvents {
			_, _ = w.Write(event)
			if out.Flush() != nil {
				return
			}
			<-next.C
		}
		_, _ = w.Write(end)
	}))
	b.Cleanup(api.Close)
	return api.URL + "/v1"
}

// BenchmarkTurn is what the server spends on a whole turn: a plain push on a new connection, a streamed answer, the reply.
func BenchmarkTurn(b *testing.B) {
	const atOnce, turns = 32, 4000
	url := streaming(b)
	var cpu time.Duration
	n := 0
	for b.Loop() {
		p := start(b, false, url, fmt.Sprintf("limits: {concurrency: %d}\n", atOnce))
		<-time.After(settle)
		before := p.cpu(b)
		var next atomic.Int64
		var all sync.WaitGroup
		for range atOnce {
			all.Go(func() {
				c := client{address: p.hook}
				for {
					id := int(next.Add(1))
					if id > turns {
						return
					}
					if err := c.connect(); err != nil {
						b.Error(err)
						return
					}
					length, err := c.push(request(b, false, fmt.Sprintf("oFollower%019d", id), fmt.Sprintf("question number %d of the bench", id), id))
					if err != nil || length < 1200 {
						b.Errorf("a reply of %d bytes: %v", length, err)
						return
					}
					_ = c.conn.Close()
				}
			})
		}
		all.Wait()
		cpu += p.cpu(b) - before
		n += turns
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(cpu.Microseconds())/float64(n), "cpu-µs/turn")
}

// BenchmarkInFlight is what a turn costs while Dify answers, when its deliveries have had their waiting lines.
func BenchmarkInFlight(b *testing.B) {
	const turns, lot = 7500, 500
	d := startDify(b)
	var rss, inUse float64
	n := 0.0
	for b.Loop() {
		p := start(b, false, d.url(), fmt.Sprintf("limits: {concurrency: %d}\nreply: {deadline: 1s, holdsPerMinute: 0}\n", turns))
		<-time.After(settle)
		before, beforeInUse := p.memory(b, "VmRSS"), p.inUse(b)
		for first := 0; first < turns; first += lot {
			pushes := make([][]byte, lot)
			for i := range pushes {
				id := first + i
				pushes[i] = request(b, false, fmt.Sprintf("oFollower%019d", id), fmt.Sprintf("question number %d of the bench", id), id)
			}
			conns := dialAll(b, p.hook, lot)
			writeAll(b, conns, pushes)
			if !d.await(first+lot, 10*time.Second) {
				b.Fatalf("only %d questions have reached Dify", d.asked())
			}
			for _, c := range conns {
				one := client{conn: c}
				one.readFrom(c)
				if _, err := one.push(nil); err != nil { // the waiting line
					b.Fatal(err)
				}
				_ = c.Close()
			}
		}
		rss += (p.memory(b, "VmRSS") - before) / turns
		inUse += (p.inUse(b) - beforeInUse) / turns
		n++
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rss/n/(1<<10), "KiB_RSS/turn")
	b.ReportMetric(inUse/n/(1<<10), "KiB_heap+stack/turn")
}
