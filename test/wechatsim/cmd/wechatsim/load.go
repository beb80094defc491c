package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// maxTaps ends a question whose answer never comes to an end.
const maxTaps = 20

// load is a steady stream of questions. It is open: a slow bot does not slow the stream down while there is a follower without an open
// question.
type load struct {
	followers int
	rate      float64
	duration  time.Duration
	question  string
	fetch     string
	pause     time.Duration
}

func (l *load) check() error {
	if l.followers <= 0 || l.rate <= 0 || l.duration <= 0 {
		return errLoad
	}
	return nil
}

// tally is how the questions fared.
type tally struct {
	mu sync.Mutex
	// asked were sent, answered came to a reply that offers no going on; messages are the questions and taps of the answered.
	asked, answered, messages int
	// unasked found every follower busy, interrupted were under way when the run was ended.
	unasked, interrupted int
	took                 wechatsim.Histogram // from the question to the end of the answer, the follower's pauses included
	elapsed              time.Duration
}

// run sends questions until the duration is over or ctx ends, and waits for all that are under way.
func (l *load) run(ctx context.Context, p *wechatsim.Platform) *tally {
	t, start := new(tally), time.Now()
	questions := make(chan struct{}) // unbuffered: a question that nobody is free for is not asked later
	var followers sync.WaitGroup
	for range l.followers {
		followers.Go(func() {
			f := p.Follower("")
			for range questions {
				l.ask(ctx, f, t)
			}
		})
	}
	l.tick(ctx, questions, t)
	close(questions)
	followers.Wait()
	t.elapsed = time.Since(start)
	return t
}

// tick offers question n at n/rate seconds, so that a late one does not delay the next.
func (l *load) tick(ctx context.Context, questions chan<- struct{}, t *tally) {
	start := time.Now()
	for n := 0; ; n++ {
		due := time.Duration(float64(n) / l.rate * float64(time.Second))
		if due >= l.duration || !sleep(ctx, due-time.Since(start)) {
			return
		}
		select {
		case questions <- struct{}{}:
		default:
			t.mu.Lock()
			t.unasked++
			t.mu.Unlock()
		}
	}
}

// sleep waits, and says whether ctx goes on. It waits also for nothing at all: the followers get a chance to be ready.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, time.Microsecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// ask follows one question to the end of its answer.
func (l *load) ask(ctx context.Context, f *wechatsim.Follower, t *tally) {
	start, messages := time.Now(), 1
	x, err := f.Send(ctx, l.question)
	for err == nil && x.Outcome == wechatsim.Replied && messages <= maxTaps {
		link, more := l.goOn(x)
		if !more {
			break
		}
		if !sleep(ctx, l.pause) {
			err = ctx.Err()
			break
		}
		messages++
		x, err = f.Tap(ctx, link)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	if err != nil {
		t.interrupted++
		return
	}
	if _, more := l.goOn(x); x.Outcome == wechatsim.Replied && !more {
		t.answered++
		t.messages += messages
		t.took.Add(time.Since(start))
	}
}

// goOn gives the link under a reply by which the follower asks for the rest.
func (l *load) goOn(x *wechatsim.Exchange) (wechatsim.Link, bool) {
	i := slices.IndexFunc(x.Links, func(link wechatsim.Link) bool { return link.Send != "" && link.Send == l.fetch })
	if i < 0 {
		return wechatsim.Link{}, false
	}
	return x.Links[i], true
}

// write writes the table.
func (t *tally) write(w io.Writer, s wechatsim.Stats) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	took := t.took.Latency()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) { _, _ = fmt.Fprintf(table, name+"\t"+format+"\n", values...) }
	row("questions", "%d in %s (%d more found no free follower)", t.asked, t.elapsed.Round(time.Millisecond), t.unasked)
	row("answered", "%d of %d", t.answered, t.asked)
	if t.interrupted > 0 {
		row("interrupted", "%d", t.interrupted)
	}
	row("messages per question", "%.2f", float64(t.messages)/float64(max(1, t.answered)))
	row("fault toasts", "%d", s.Toasts)
	row("account blocked", "%d times", s.Blocks)
	row("time to the whole answer", "p50 %s  p90 %s  p99 %s  max %s", round(took.P50), round(took.P90), round(took.P99), round(took.Max))
	row("time to a reply", "p50 %s  p90 %s  p99 %s  max %s", round(s.Latency.P50), round(s.Latency.P90), round(s.Latency.P99), round(s.Latency.Max))
	row("deliveries", "%d for %d messages", s.Deliveries, s.Pushes)
	for _, v := range slices.Sorted(maps.Keys(s.Failures)) {
		row("  "+string(v), "%d", s.Failures[v])
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
