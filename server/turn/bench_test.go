package turn_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/turn"
)

// free is usual without limits, for benchmarks that ask more than followers do.
func free(s *turn.Settings) {
	s.Limits.Questions, s.Limits.Concurrency, s.Limits.Queue = 0, 1<<20, 1<<20
}

// BenchmarkInstantAnswer is what the engine itself costs a question: all but Dify.
func BenchmarkInstantAnswer(b *testing.B) {
	d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
		return dify.Answer{Text: "您的问题已经收到，这是测试用的回答。", ConversationID: "c1"}, nil
	}}
	bot := start(b, setup{dify: d, settings: free})
	names := make([]string, 1000)
	for i := range names {
		names[i] = "f" + strconv.Itoa(i)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		r := bot.engine.Text(b.Context(), turn.Message{
			Follower: names[n%len(names)], ID: strconv.Itoa(n), Text: ask, Delivery: 1, Received: time.Now(),
		})
		if r.Kind != turn.Answer {
			b.Fatalf("%s %s", r.Kind, r.Text)
		}
	}
}

// BenchmarkFetchOfAPage is a page of a long answer.
func BenchmarkFetchOfAPage(b *testing.B) {
	answer := echo(ask, 3000)
	d := &scripted{chat: func(context.Context, int, dify.ChatRequest, func(string)) (dify.Answer, error) {
		return dify.Answer{Text: answer}, nil
	}}
	bot := start(b, setup{dify: d, settings: free})
	f := bot.follower("alice")
	if x := f.Send(ask); x.kind != turn.Page {
		b.Fatalf("%s %s", x.kind, x.text)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		r := bot.engine.Text(b.Context(), turn.Message{Follower: "alice", ID: "x" + strconv.Itoa(n), Text: "1", Delivery: 1, Received: time.Now()})
		if r.Kind != turn.Page {
			b.Fatalf("%s %s", r.Kind, r.Text)
		}
	}
}

// BenchmarkWakeUp is the time from the end of a turn until the last of those who wait for it has its reply.
func BenchmarkWakeUp(b *testing.B) {
	const waiters = 10_000
	for _, turns := range []int{1, waiters} {
		b.Run(fmt.Sprintf("waiters=%d/turns=%d", waiters, turns), func(b *testing.B) {
			var finish atomic.Pointer[chan struct{}]
			var started sync.WaitGroup
			d := &scripted{chat: func(_ context.Context, _ int, _ dify.ChatRequest, _ func(string)) (dify.Answer, error) {
				over := finish.Load()
				started.Done()
				<-*over
				return dify.Answer{Text: "您的问题已经收到，这是测试用的回答。"}, nil
			}}
			bot := start(b, setup{dify: d, settings: func(s *turn.Settings) { free(s); s.Deadline = time.Hour }})
			round := 0
			for b.Loop() {
				b.StopTimer()
				round++
				finish.Store(new(make(chan struct{})))
				var ready, all sync.WaitGroup
				started.Add(turns)
				for i := range waiters {
					ready.Add(1)
					all.Go(func() {
						m := turn.Message{
							Follower: "f" + strconv.Itoa(i%turns), ID: strconv.Itoa(round), Text: ask, Delivery: 1, Received: time.Now(),
						}
						ready.Done()
						if r := bot.engine.Text(context.Background(), m); r.Kind != turn.Answer {
							b.Errorf("%s %s", r.Kind, r.Text)
						}
					})
				}
				ready.Wait()
				started.Wait()
				b.StartTimer()
				close(*finish.Load())
				all.Wait()
			}
		})
	}
}
