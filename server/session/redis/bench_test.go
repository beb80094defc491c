//go:build redis

package redis

import (
	"slices"
	"strconv"
	"strings"
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
	begun, err := s.Begin(b.Context(), session.Question{Key: k, Text: benchQuestion}, "a", limits)
	if err != nil || begun.Lease == nil {
		b.Error(begun, err)
		return
	}
	o := session.Outcome{State: session.Answered, Answer: answerText, ConversationID: "7a1c9a0e-5e2b-4b7c-9d3f-2f1e0d9c8b7a"}
	if err := s.Finish(b.Context(), begun.Lease, o); err != nil {
		b.Error(err)
	}
	r := session.Receipt{Message: k.ID, Turn: k.ID, To: len(answerText), Sum: 1 << 60, Told: true}
	if err := s.Delivered(b.Context(), k.Follower, r); err != nil {
		b.Error(err)
	}
}

func benchOptions() session.Options {
	o := options()
	o.History = 20
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
				if err := bare.Run(b.Context(), store.client, store.bot[:1], "field", answerText).Err(); err != nil {
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

// A hundred thousand followers with twenty turns each: their memory, and that to clear or forget one of them takes no
// longer than among a few. One is made by the store and the others are copies of it.
func BenchmarkManyFollowers(b *testing.B) {
	const few, many, turns = 1000, 100_000, 20
	s := startServer(b)
	store := openStore(b, newBot(), s.standalone(), benchOptions())
	c := s.client()
	name := func(i int) string { return "o6_bmjrPTlm6_2sgVt7h" + strconv.Itoa(i) }
	for i := range turns {
		turnOf(b, store, session.Key{Follower: name(0), ID: "m" + strconv.Itoa(2523168538108010+i)})
	}
	original := follower(name(0))
	fill := func(from, to int) {
		for ; from < to; from += 1000 {
			if _, err := c.Pipelined(b.Context(), func(p goredis.Pipeliner) error {
				for i := from; i < min(from+1000, to); i++ {
					p.Copy(b.Context(), store.followerKey(original), store.followerKey(follower(name(i))), 0, true)
					p.Copy(b.Context(), store.prefix+"m:"+original, store.prefix+"m:"+follower(name(i)), 0, true)
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	next := 0
	took := map[string][]time.Duration{}
	measure := func(what string, call func(follower string) error) {
		next++
		began := time.Now()
		if err := call(name(next)); err != nil {
			b.Fatal(err)
		}
		took[what] = append(took[what], time.Since(began))
	}
	both := func(among string) {
		measure("clear-among-"+among, func(f string) error {
			_, err := store.Clear(b.Context(), session.Key{Follower: f, ID: "clear"})
			return err
		})
		measure("forget-among-"+among, func(f string) error {
			_, err := store.Forget(b.Context(), f)
			return err
		})
	}
	fill(1, few)
	for range few/2 - 1 {
		both("few")
	}
	before := memoryOf(b, c)
	fill(few, many)
	grown := memoryOf(b, c) - before
	for b.Loop() {
		if next+2 < many {
			both("many")
		}
	}
	b.ReportMetric(float64(grown)/(many-few), "bytes/follower")
	for what, t := range took {
		slices.Sort(t)
		b.ReportMetric(float64(t[len(t)/2])/1e3, what+"-p50-µs")
	}
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
