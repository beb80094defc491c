package bench

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

const settle = 3 * time.Second // until a server has done what it does after a start

// BenchmarkIdle is what a bot costs that nobody talks to, after its first questions and a scrape; and one that pushes its answers by
// WeChat's API, after its first pushes.
func BenchmarkIdle(b *testing.B) {
	b.Run("replying", func(b *testing.B) {
		d := startDify(b)
		benchmarkIdle(b, func() *process { return start(b, true, d.url(), "") }, func(p *process) {
			for i := range idleQuestions {
				c := client{address: p.hook}
				if err := c.connect(); err != nil {
					b.Fatal(err)
				}
				if _, err := c.push(request(b, true, fmt.Sprintf("oFollower%019d", i), "/help", i)); err != nil {
					b.Fatal(err)
				}
				_ = c.conn.Close()
			}
		})
	})
	b.Run("pushing", func(b *testing.B) {
		w := newPushing(b)
		benchmarkIdle(b, func() *process { return w.start(b, idleQuestions) }, func(p *process) {
			w.round(b, p, idleQuestions, time.Second)
		})
	})
}

const idleQuestions = 20

func benchmarkIdle(b *testing.B, start func() *process, use func(p *process)) {
	b.Helper()
	var fresh, used, anonymous float64
	n := 0.0
	for b.Loop() {
		p := start()
		<-time.After(settle)
		fresh += p.memory(b, "VmRSS")
		use(p)
		p.metric(b, "wechatbot_pushes_total")
		<-time.After(settle)
		used += p.memory(b, "VmRSS")
		anonymous += p.memory(b, "RssAnon")
		n++
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(fresh/n/(1<<20), "MiB_after_start")
	b.ReportMetric(used/n/(1<<20), "MiB_after_use")
	b.ReportMetric(anonymous/n/(1<<20), "MiB_anonymous")
}

// BenchmarkHeld is what a delivery costs that waits for its answer: its connection, its goroutines and its turn. A tenth
// of the questions are being answered, the rest wait for a place.
func BenchmarkHeld(b *testing.B) {
	const held, answering = 10_000, 1000
	d := startDify(b)
	var rss, inUse float64
	n := 0.0
	for b.Loop() {
		p := start(b, false, d.url(), fmt.Sprintf("limits: {concurrency: %d}\nreply: {deadline: 4800ms, holdsPerMinute: %d}\n", answering, 100*held))
		<-time.After(settle)
		before, beforeInUse := p.memory(b, "VmRSS"), p.inUse(b)
		pushes := make([][]byte, held)
		for i := range pushes {
			pushes[i] = request(b, false, fmt.Sprintf("oFollower%019d", i), fmt.Sprintf("question number %d of the bench", i), i)
		}
		conns := make([]net.Conn, 0, held)
		deadline := time.Now().Add(4500 * time.Millisecond) // the first ones are given up 6 s after their first byte
		for lot := range slices.Chunk(pushes, 1000) {       // of connections without a request the server keeps 4,096 only
			fresh := dialAll(b, p.hook, len(lot))
			writeAll(b, fresh, lot)
			conns = append(conns, fresh...)
		}
		waiting := 0.0
		for waiting < held && time.Now().Before(deadline) {
			waiting = p.metric(b, "wechatbot_deliveries_waiting")
		}
		if waiting < held {
			b.Fatalf("%v of %d deliveries wait: the machine is too slow to measure", waiting, held)
		}
		rss += (p.memory(b, "VmRSS") - before) / held
		inUse += (p.inUse(b) - beforeInUse) / held
		n++
		for _, c := range conns {
			_ = c.Close()
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rss/n/(1<<10), "KiB_RSS/held")
	b.ReportMetric(inUse/n/(1<<10), "KiB_heap+stack/held")
}

// inUse is what the server's heap and stacks hold, garbage included.
func (p *process) inUse(b *testing.B) float64 {
	b.Helper()
	return p.metric(b, "go_memstats_heap_inuse_bytes") + p.metric(b, "go_memstats_stack_inuse_bytes")
}

func dialAll(b testing.TB, address string, n int) []net.Conn {
	b.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", address) //nolint:noctx // loopback
		if err != nil {
			b.Fatal(err)
		}
		conns[i] = c
	}
	return conns
}

func writeAll(b testing.TB, conns []net.Conn, requests [][]byte) {
	b.Helper()
	for i, c := range conns {
		if _, err := c.Write(requests[i]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAnswerToReply is the time from the end of Dify's answer to the reply in the hands of its reader, while 200
// followers wait. The answers end spread over a second, and then all at once.
func BenchmarkAnswerToReply(b *testing.B) {
	for name, spread := range map[string]time.Duration{"spread": time.Second, "at_once": 0} {
		b.Run(name, func(b *testing.B) { benchmarkAnswerToReply(b, spread) })
	}
}

func benchmarkAnswerToReply(b *testing.B, spread time.Duration) {
	const followers = 200
	d := startDify(b)
	p := start(b, true, d.url(), fmt.Sprintf("limits: {concurrency: %d}\n", followers))
	<-time.After(settle)
	var all []time.Duration
	id := 0
	for b.Loop() {
		pushes, questions := make([][]byte, followers), make([]string, followers)
		for i := range pushes {
			id++
			questions[i] = fmt.Sprintf("question number %d of the bench", id)
			pushes[i] = request(b, true, fmt.Sprintf("oFollower%019d", id), questions[i], id)
		}
		conns := dialAll(b, p.hook, followers)
		arrived := make([]time.Time, followers)
		var readers sync.WaitGroup
		for i, c := range conns {
			readers.Go(func() {
				one := client{conn: c}
				one.readFrom(c)
				if _, err := one.push(pushes[i]); err != nil {
					b.Error(err)
				}
				arrived[i] = time.Now()
			})
		}
		if !d.await(followers, 3*time.Second) {
			b.Fatalf("only %d questions have reached Dify", d.asked())
		}
		<-time.After(200 * time.Millisecond) // all is quiet: everybody waits
		for _, q := range questions {
			d.end(q)
			<-time.After(spread / followers)
		}
		readers.Wait()
		for i, c := range conns {
			all = append(all, arrived[i].Sub(d.endedAt(questions[i])))
			_ = c.Close()
		}
	}
	b.ReportMetric(0, "ns/op")
	report(b, "", all)
}

// report reports percentiles of durations.
func report(b *testing.B, what string, all []time.Duration) {
	b.Helper()
	slices.Sort(all)
	ms := func(i int) float64 { return float64(all[i].Microseconds()) / 1000 }
	b.ReportMetric(ms(len(all)/2), what+"ms_p50")
	b.ReportMetric(ms(len(all)*99/100), what+"ms_p99")
	b.ReportMetric(ms(len(all)-1), what+"ms_max")
}
