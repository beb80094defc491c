package dify_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// asStreamer makes this test binary a server of streams, so that a benchmark's memory is the client's alone.
const asStreamer = "WECHATBOT_DIFY_STREAMER"

// streamForever answers every question with a first delta and keeps the stream open.
func streamForever() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, ev("message", `,"created_at":1767225600,"answer":"你好","from_variable_selector":null`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	fmt.Println(srv.URL) //nolint:forbidigo // the parent reads it
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// Events of any size and kind cost a stream nothing while they come: fifty streams, each in the midst of megabytes.
func TestHugeEventsOfManyStreams(t *testing.T) {
	const streams, size, most = 50, 2 << 20, 16 << 20
	chunk := bytes.Repeat([]byte("x"), 1<<16)
	for name, event := range map[string]string{
		"a node":                 `data: {"event":"node_finished","data":{"outputs":"`,
		"the end of the run":     `data: {"event":"workflow_finished","data":{"status":"succeeded","inputs":{"x":"`,
		"the end of the message": `data: {"event":"message_end","metadata":{"retriever_resources":[{"content":"`,
		"a type that comes late": `data: {"data":{"outputs":{"text":"`,
		"a comment":              `: `,
		"a field of its own":     `retry: `,
		"a type":                 `event: `,
		"an error":               `data: {"event":"error","message":"`,
		"an id":                  `data: {"event":"message","conversation_id":"`,
		"a thought":              `data: {"event":"agent_thought","observation":"`,
	} {
		t.Run(name, func(t *testing.T) {
			var sent sync.WaitGroup
			sent.Add(streams)
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, ev("workflow_started", "")+event)
				for range size / len(chunk) {
					_, _ = w.Write(chunk)
				}
				_ = http.NewResponseController(w).Flush()
				sent.Done()
				<-r.Context().Done()
			}, dify.Options{MaxConns: streams})
			ctx, stop := context.WithCancel(t.Context())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var all sync.WaitGroup
			for range streams {
				all.Go(func() { _, _ = c.Chat(ctx, ask(), nil) })
			}
			sent.Wait() // all but what fits into sockets was taken
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > most {
				t.Errorf("%d streams hold %d KiB each", streams, grown/streams>>10)
			}
			stop()
			all.Wait()
		})
	}
}

// BenchmarkOpenStreams is what an answer costs that is being streamed: its connection, goroutines and buffers.
func BenchmarkOpenStreams(b *testing.B) {
	const streams = 7500
	child := exec.CommandContext(b.Context(), os.Args[0])
	child.Env = append(os.Environ(), asStreamer+"=1")
	in, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = child.Wait() }()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	var heap, stack, rss float64
	n := 0.0
	for b.Loop() {
		c, err := dify.New(dify.Target{BaseURL: strings.TrimSpace(url), Key: secret}, dify.Options{MaxConns: streams})
		if err != nil {
			b.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		rssBefore := resident(b)
		ctx, stop := context.WithCancel(b.Context())
		var open atomic.Int64
		var all sync.WaitGroup
		for range streams {
			all.Go(func() {
				var once sync.Once
				_, _ = c.Chat(ctx, ask(), func(dify.Update) { once.Do(func() { open.Add(1) }) })
			})
		}
		for look := time.Tick(10 * time.Millisecond); open.Load() < streams; {
			<-look
		}
		rssAfter := resident(b)
		runtime.GC()
		runtime.ReadMemStats(&after)
		heap += float64(after.HeapAlloc-before.HeapAlloc) / streams
		stack += float64(after.StackInuse-before.StackInuse) / streams
		rss += (rssAfter - rssBefore) / streams
		n++
		stop()
		all.Wait()
		c.CloseIdleConnections()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(heap/n/(1<<10), "KiB_heap/stream")
	b.ReportMetric(stack/n/(1<<10), "KiB_stack/stream")
	b.ReportMetric(rss/n/(1<<10), "KiB_RSS/stream")
}

func resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := bytes.Cut(status, []byte("VmRSS:"))
	kib, err := strconv.Atoi(strings.Fields(string(after))[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) * 1024
}
