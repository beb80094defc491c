package configmap

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/memory"
	"github.com/wechatbot/wechatbot-operator/server/session/records"
)

// noise is a text that does not shrink: three quarters of it are left when it is packed.
func noise(r *rand.Rand, size int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	text := make([]byte, 0, size+10)
	for len(text) < size {
		for bits, n := r.Uint64(), 0; n < 10; n++ {
			text = append(text, letters[bits>>(6*n)&63])
		}
	}
	return string(text[:size])
}

// When a ConfigMap is full, those go whose silence is longest; what comes is kept, and the API server never refuses.
func TestFullShardForgetsTheLongestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		var dropped atomic.Int64
		s := open(t, Options{
			API: a.client(), Namespace: namespace, Name: "s", Dropped: func(n int) { dropped.Add(int64(n)) },
		}, sessionOptions())
		r := rand.New(rand.NewPCG(1, 2))
		var followers []string
		for i := 0; len(followers) < 40; i++ {
			if f := fmt.Sprint("follower", i); s.port.shardOf(f).index == 5 {
				followers = append(followers, f)
			}
		}
		for _, f := range followers {
			finish(t, s, begin(t, s, true, f, "1"), noise(r, 50_000))
		}
		time.Sleep(time.Minute) // in a bubble
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone := 0
		for i, f := range followers {
			kept := len(look(t, s, f).Turns) == 1
			if !kept {
				gone++
			}
			if kept && i < gone {
				t.Errorf("follower %d of %d is kept, though younger ones are gone", i, len(followers))
			}
		}
		if gone == 0 || gone > 25 || dropped.Load() != int64(gone) {
			t.Errorf("%d of %d sessions of 37 KB are gone, %d were told; 24 fit in", gone, len(followers), dropped.Load())
		}
		size := 0
		for _, block := range a.copies()["s-5"].BinaryData {
			size += len(block)
		}
		if size > maxShard || size < maxShard/2 {
			t.Errorf("the ConfigMap has %d bytes", size)
		}
		drop(s)
		s = on(t, a)
		for _, f := range followers[gone:] {
			if len(look(t, s, f).Turns) != 1 {
				t.Errorf("%s is not stored", f)
			}
		}
	})
}

// Of followers with open questions, what is over goes. Open questions never go: a new one is refused.
func TestFullOfOpenQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		r := rand.New(rand.NewPCG(1, 2))
		finish(t, s, begin(t, s, true, "alice", "0"), noise(r, 500_000))
		if err := s.Show(t.Context(), "alice", session.Receipt{Message: "0", Turn: "0", To: session.Cursor{At: 500_000}, End: true}); err != nil {
			t.Fatal(err)
		}
		ask := func(id string, size int) (session.Begun, error) {
			q := session.Question{Key: session.Key{Follower: "alice", ID: id}, Text: noise(r, size)}
			return s.Begin(t.Context(), q, false, limits)
		}
		for _, id := range []string{"1", "2", "3"} {
			if b, err := ask(id, 400_000); err != nil || b.Verdict != session.Started {
				t.Fatalf("question %s: %+v, %v", id, b, err)
			}
		}
		if _, err := ask("4", 400_000); err == nil || !strings.Contains(err.Error(), "is full of open questions") {
			t.Errorf("a question too much: %v", err)
		}
		began := time.Now()
		if b, err := ask("5", 10); err != nil || b.Verdict != session.Started {
			t.Errorf("a small one: %+v, %v", b, err)
		}
		if took := time.Since(began); took > 2*defaultInterval { // of the bubble's clock
			t.Errorf("it took %v", took)
		}
		var ids []string
		for _, turn := range look(t, s, "alice").Turns {
			ids = append(ids, turn.Key.ID)
		}
		if got := strings.Join(ids, ""); got != "1235" {
			t.Errorf("turns %s are left, want 1235", got)
		}
	})
}

// A thousand turns in ten seconds are few writes: at most two a second for each ConfigMap.
func TestWritesAreFewAndFarBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := on(t, a)
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		claims, _ := a.writes()
		var mu sync.Mutex
		last := map[string]time.Time{}
		a.breaks(func(r *http.Request, serve func() *http.Response) (*http.Response, error) {
			mu.Lock()
			if since := time.Since(last[r.URL.Path]); since < defaultInterval {
				t.Errorf("two writes of one ConfigMap within %v", since)
			}
			last[r.URL.Path] = time.Now()
			mu.Unlock()
			time.Sleep(5 * time.Millisecond) // in a bubble
			return serve(), nil
		})
		roomy := session.Limits{Concurrency: 1000, Queue: 1000, Open: 10}
		const turns, workers = 1000, 100
		began := time.Now()
		var slowest atomic.Int64
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for i := range turns / workers {
					k := session.Key{Follower: fmt.Sprint("follower", w), ID: strconv.Itoa(i)}
					since := time.Now()
					b, err := s.Begin(t.Context(), session.Question{Key: k, Text: "question"}, true, roomy)
					if err != nil || b.Lease == nil {
						t.Errorf("Begin: %+v, %v", b, err)
						return
					}
					slowest.Store(max(slowest.Load(), int64(time.Since(since))))
					time.Sleep(500 * time.Millisecond) // Dify thinks
					finish(t, s, b.Lease, "answer")
					if err := s.Show(t.Context(), k.Follower, session.Receipt{Message: k.ID, Turn: k.ID, To: session.Cursor{At: 6}, End: true}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		took := time.Since(began)
		writes, bytes := a.writes()
		writes -= claims
		a.breaks(nil) // the last write does not wait
		closeStore(t, s)
		if most := shardCount * (int(took/defaultInterval) + 1); writes > most {
			t.Errorf("%d writes in %v, want at most %d", writes, took, most)
		}
		if limit := defaultInterval + 50*time.Millisecond; time.Duration(slowest.Load()) > limit {
			t.Errorf("Begin took %v, want at most %v", time.Duration(slowest.Load()), limit)
		}
		t.Logf("%d turns in %v: %d writes, %d bytes a write, slowest Begin %v", turns, took, writes, bytes/writes, time.Duration(slowest.Load()))
	})
}

// Ten thousand followers with five turns each, from eight ConfigMaps.
func BenchmarkLoad(b *testing.B) {
	a := newAPI()
	fill(b, a, 10_000, 5)
	size := 0
	for _, o := range a.copies() {
		for _, block := range o.BinaryData {
			size += len(block)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		s := on(b, a)
		if err := s.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if got := look(b, s, "o6_bmjrPTlm6_2sgVt7hMZ7777"); len(got.Turns) != 5 {
			b.Fatalf("%d turns", len(got.Turns))
		}
		drop(s)
		b.StartTimer()
	}
	b.ReportMetric(float64(size), "stored-bytes")
}

// fill stores followers with turns of Chinese text, as a store would that had seen them.
func fill(b *testing.B, a *api, followers, turns int) {
	b.Helper()
	s := open(b, Options{API: a.client(), Namespace: namespace, Name: "s", Interval: hurried}, sessionOptions())
	r := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		var t strings.Builder
		for range n {
			t.WriteRune(rune('一' + int(r.ExpFloat64()*200)%3000))
		}
		return t.String()
	}
	if err := s.Ping(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, inner := context.Background(), records.New(unsettling{s.port.memory}, s.port.identity)
	for i := range followers {
		for j := range turns {
			k := session.Key{Follower: fmt.Sprint("o6_bmjrPTlm6_2sgVt7hMZ", i), ID: strconv.Itoa(23_000_000_000_000_000 + j)}
			begun, err := inner.Begin(ctx, session.Question{Key: k, Text: text(15)}, true, session.Limits{Concurrency: 10, Open: 10})
			if err != nil || begun.Lease == nil {
				b.Fatal(begun, err)
			}
			o := session.Outcome{State: session.Answered, Answer: session.Answer{Markdown: text(80)}, ConversationID: "8a4c3f5e-6f5b-4a62-9f0a-5f1c2d3e4f50"}
			if err := inner.Finish(ctx, begun.Lease, o); err != nil {
				b.Fatal(err)
			}
		}
	}
	closeStore(b, s)
}

// unsettling are records whose steps nobody waits for.
type unsettling struct{ *memory.Port }

func (unsettling) AwaitDurable(context.Context, string) error { return nil }

// What one dirty block of a full ConfigMap costs: copying, encoding, compressing, patching.
func BenchmarkWrite(b *testing.B) {
	a := newAPI()
	fill(b, a, 10_000, 5)
	s := open(b, Options{API: a.client(), Namespace: namespace, Name: "s", Interval: hurried}, sessionOptions())
	if err := s.Ping(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		follower := fmt.Sprint("o6_bmjrPTlm6_2sgVt7hMZ", i%10_000)
		if _, err := s.Clear(b.Context(), session.Key{Follower: follower, ID: "clear"}); err != nil {
			b.Fatal(err)
		}
	}
}
