//go:build redis

package redis

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// report adds percentiles to what a benchmark says.
func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
}

const (
	benchQuestion = "退货需要自己出运费吗？我上周买的外套尺码不对。"
	answerPart    = "七天内可以无理由退货，质量问题的运费由我们承担。"
)

var answerText = strings.Repeat(answerPart, 8) // about 600 bytes

// turnOf does what one question takes from its delivery to its receipt.
func turnOf(b *testing.B, s *Store, k session.Key) {
	begun, err := s.Begin(b.Context(), session.Question{Key: k, Text: benchQuestion}, true, limits)
	if err != nil || begun.Lease == nil {
		b.Error(begun, err)
		return
	}
	o := session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: answerText}, ConversationID: "7a1c9a0e-5e2b-4b7c-9d3f-2f1e0d9c8b7a"}
	if err := s.Finish(b.Context(), begun.Lease, o); err != nil {
		b.Error(err)
	}
	r := session.Receipt{Message: k.ID, Turn: k.ID, To: session.Cursor{At: len(answerText), Sum: 1 << 60}, End: true}
	if err := s.Show(b.Context(), k.Follower, r); err != nil {
		b.Error(err)
	}
}

func benchOptions() session.Options {
	o := options()
	o.History, o.IdleTimeout = 20, 24*time.Hour // as by default
	return o
}

// Turns a second that one bot gets out of one Redis, with three round trips each.
func BenchmarkTurns(b *testing.B) {
	for name, args := range map[string][]string{
		"memory": nil,
		"AOF":    {"--appendonly", "yes", "--appendfsync", "everysec"},
	} {
		b.Run(name, func(b *testing.B) {
			s := startServer(b, args...)
			store := openStore(b, newBot(), s.standalone(), benchOptions())
			c := s.client()
			used := cpu(b, c)
			var n atomic.Int64
			b.SetParallelism(25)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					i := n.Add(1)
					turnOf(b, store, session.Key{Follower: "o6_bmjrPTlm6_2sgVt7h" + strconv.FormatInt(i%2000, 10), ID: "m" + strconv.FormatInt(25231685381080100+i, 10)})
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "turns/s")
			b.ReportMetric((cpu(b, c)-used)/float64(b.N), "redis-cpu-µs/turn")
		})
	}
}

// cpu is the processor time that Redis has used, in microseconds: other than the clock's it says the same on a busy
// machine.
func cpu(b *testing.B, c *goredis.Client) float64 {
	b.Helper()
	sum := 0.0
	for line := range strings.SplitSeq(c.Info(b.Context(), "cpu").Val(), "\r\n") {
		for _, kind := range []string{"used_cpu_user:", "used_cpu_sys:"} {
			if v, ok := strings.CutPrefix(line, kind); ok {
				seconds, err := strconv.ParseFloat(v, 64)
				if err != nil {
					b.Fatal(err)
				}
				sum += seconds * 1e6
			}
		}
	}
	return sum
}

// The same number of the smallest script's round trips: what Redis and the client can do at most.
func BenchmarkBareTrips(b *testing.B) {
	s := startServer(b)
	store := openStore(b, newBot(), s.standalone(), benchOptions())
	c := s.client()
	used := cpu(b, c)
	bare := goredis.NewScript("return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])")
	b.SetParallelism(25)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			for range 3 {
				if err := bare.Run(b.Context(), store.port.client, []string{store.port.keys.bot}, "field", answerText).Err(); err != nil {
					b.Error(err)
				}
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "turns/s")
	b.ReportMetric((cpu(b, c)-used)/float64(b.N), "redis-cpu-µs/turn")
}

func memoryOf(b *testing.B, c *goredis.Client) int64 {
	b.Helper()
	for line := range strings.SplitSeq(c.Info(b.Context(), "memory").Val(), "\r\n") {
		if v, ok := strings.CutPrefix(line, "used_memory:"); ok {
			return number(v)
		}
	}
	b.Fatal("Redis does not say how much memory it uses")
	return 0
}

// A hundred thousand followers with twenty turns each, every one through the store: their memory, and that to clear or
// forget one of them takes no longer, and no more commands, than among a thousand. Idle sessions are let go by Redis
// itself: each has a time to live. Run it with -benchtime=1x -timeout=1h.
func BenchmarkManyFollowers(b *testing.B) {
	const few, many, turns = 1000, 100_000, 20
	s := startServer(b)
	store := openStore(b, newBot(), s.standalone(), benchOptions())
	c := s.client()
	name := func(i int) string { return "o6_bmjrPTlm6_2sgVt7h" + strconv.Itoa(10_000_000+i) }
	fill := func(from, to int) {
		var next atomic.Int64
		next.Store(int64(from))
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				for i := int(next.Add(1) - 1); i < to && !b.Failed(); i = int(next.Add(1) - 1) {
					for j := range turns {
						turnOf(b, store, session.Key{Follower: name(i), ID: "m" + strconv.Itoa(2523168538108010+j)})
					}
				}
			})
		}
		all.Wait()
	}
	measure := func(what, among string, first int, call func(follower string) error) {
		const times = 400
		commands := commandsOf(b, c)
		took := make([]time.Duration, times)
		for i := range took {
			began := time.Now()
			if err := call(name(first + i)); err != nil {
				b.Fatal(err)
			}
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[times/2])/1e3, what+"-among-"+among+"-p50-µs")
		b.ReportMetric(float64(commandsOf(b, c)-commands)/times, what+"-among-"+among+"-commands")
	}
	both := func(among string, first int) {
		measure("clear", among, first, func(f string) error {
			_, err := store.Clear(b.Context(), session.Key{Follower: f, ID: "clear"})
			return err
		})
		measure("forget", among, first+500, func(f string) error {
			_, err := store.Forget(b.Context(), f)
			return err
		})
	}
	for b.Loop() {
		fill(0, few)
		both("few", 0)
		before := memoryOf(b, c)
		fill(few, many)
		b.ReportMetric(float64(memoryOf(b, c)-before)/(many-few), "bytes/follower")
		both("many", few)
	}
	b.ReportMetric(0, "ns/op")
}

// commandsOf is how many commands Redis has done, those of scripts included.
func commandsOf(b *testing.B, c *goredis.Client) int64 {
	b.Helper()
	sum := int64(0)
	for line := range strings.SplitSeq(c.Info(b.Context(), "commandstats").Val(), "\r\n") {
		if _, rest, ok := strings.Cut(line, ":calls="); ok {
			calls, _, _ := strings.Cut(rest, ",")
			sum += number(calls)
		}
	}
	return sum
}

// Turns a second beside what redis-benchmark gets out of the same Redis for the same number of round trips, with as many
// connections and as large a value.
func BenchmarkTurnsBesideRedisBenchmark(b *testing.B) {
	s := startServer(b)
	store := openStore(b, newBot(), s.standalone(), benchOptions())
	count := &trips{}
	store.port.client.AddHook(count)
	var n atomic.Int64
	b.SetParallelism(25)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			i := n.Add(1)
			turnOf(b, store, session.Key{Follower: "o6_bmjrPTlm6_2sgVt7h" + strconv.FormatInt(i%2000, 10), ID: "m" + strconv.FormatInt(25231685381080100+i, 10)})
		}
	})
	turns := float64(b.N) / b.Elapsed().Seconds()
	calls, trips := float64(count.calls.Load())/float64(b.N), float64(count.n.Load())/float64(b.N)
	b.StopTimer()
	out, err := exec.CommandContext(b.Context(), "redis-benchmark", "-p", strconv.Itoa(s.port), "-t", "set", "-c", "50",
		"-d", strconv.Itoa(len(answerText)), "-n", strconv.FormatInt(max(count.calls.Load(), 1000), 10), "-r", "2000", "--csv").Output()
	if err != nil {
		b.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	fields := strings.Split(lines[len(lines)-1], ",")
	rate, err := strconv.ParseFloat(strings.Trim(fields[min(1, len(fields)-1)], `"`), 64)
	if err != nil {
		b.Fatalf("redis-benchmark says %q: %v", out, err)
	}
	b.ReportMetric(turns, "turns/s")
	b.ReportMetric(calls, "calls/turn")
	b.ReportMetric(trips, "trips/turn")
	b.ReportMetric(rate, "redis-benchmark-sets/s")
	b.ReportMetric(turns*calls/rate, "of-redis-benchmark")
}

// The session of a follower with no turn yet, and with one.
func BenchmarkIdleSession(b *testing.B) {
	s := startServer(b)
	store := openStore(b, newBot(), s.standalone(), benchOptions())
	c := s.client()
	if _, err := store.Open(b.Context(), session.Key{Follower: "o6_bmjrPTlm6_2sgVt7hMZOPfL2M", ID: "e1700000000-abcdefgh"}); err != nil {
		b.Fatal(err)
	}
	before := memoryOf(b, c)
	n := 0
	for b.Loop() {
		n++
		if _, err := store.Open(b.Context(), session.Key{Follower: "o6_bmjrPTlm6_2sgVt7h" + strconv.Itoa(n), ID: "e1700000000-abcdefgh"}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(memoryOf(b, c)-before)/float64(n), "bytes/session")
}
