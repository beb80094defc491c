package memory

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// One question from its first delivery to the receipt of its answer, among a hundred thousand followers' sessions.
func BenchmarkQuestion(b *testing.B) {
	ctx := context.Background()
	s := New(session.Options{IdleTimeout: time.Hour, History: 5, LeaseTTL: time.Minute}, 1<<30)
	roomy := session.Limits{Questions: 1 << 30, Window: time.Minute, Concurrency: 50, Queue: 1000, Open: 3}
	followers := make([]string, 100_000)
	for i := range followers {
		followers[i] = "o6_bmjrPTlm6_2sgVt7hMZ" + strconv.Itoa(i)
	}
	answer := session.Outcome{State: session.Answered, Answer: "answer", ConversationID: "conversation"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k := session.Key{Follower: followers[i%len(followers)], ID: strconv.Itoa(i)}
		begun, err := s.Begin(ctx, session.Question{Key: k, Text: "question"}, "a", roomy)
		if err != nil || begun.Lease == nil {
			b.Fatal(begun, err)
		}
		if err := s.Finish(ctx, begun.Lease, answer); err != nil {
			b.Fatal(err)
		}
		if err := s.Delivered(ctx, k.Follower, session.Receipt{Message: k.ID, Turn: k.ID, To: 6, Told: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProgress(b *testing.B) {
	ctx := context.Background()
	s := New(options(), 1<<30)
	q := session.Question{Key: session.Key{Follower: "alice", ID: "1"}}
	begun, err := s.Begin(ctx, q, "a", limits)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Progress(ctx, begun.Lease, session.Progress{Partial: "partial", ConversationID: "conversation"}); err != nil {
			b.Fatal(err)
		}
	}
}

// Ten thousand waiters wake up: from Finish until the last of them has the answer.
func BenchmarkWakeTenThousand(b *testing.B) {
	ctx := context.Background()
	s := New(options(), 1<<30)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		k := session.Key{Follower: "alice", ID: strconv.Itoa(i)}
		begun, err := s.Begin(ctx, session.Question{Key: k}, "a", limits)
		if err != nil || begun.Lease == nil {
			b.Fatal(begun, err)
		}
		var awake sync.WaitGroup
		for range 10_000 {
			_, w := s.look(k, true)
			awake.Go(func() {
				<-w.done
				if w.last.Answer != "answer" {
					b.Error("woken without the answer")
				}
			})
		}
		b.StartTimer()
		if err := s.Finish(ctx, begun.Lease, session.Outcome{State: session.Answered, Answer: "answer"}); err != nil {
			b.Fatal(err)
		}
		awake.Wait()
	}
}
