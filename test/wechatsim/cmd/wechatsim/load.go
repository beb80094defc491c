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
	patience  time.Duration // for an answer by the server API; 0: the account has none
}

// quiet is how long nothing more has been pushed when an answer is taken for whole.
const quiet = 2 * time.Second

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

// answered is what a follower has got for a message.
type answered struct {
	any   bool
	links []wechatsim.Link // of the last of it
	at    time.Time
}

// ask follows one question to the end of its answer.
func (l *load) ask(ctx context.Context, f *wechatsim.Follower, t *tally) {
	start, messages, shown := time.Now(), 1, f.Shown()
	x, err := f.Send(ctx, l.question)
	got := l.answer(ctx, f, x, shown)
	for err == nil && got.any && messages <= maxTaps {
		more, goOn := l.goOn(got.links)
		if !goOn {
			break
		}
		if !sleep(ctx, l.pause) {
			err = ctx.Err()
			break
		}
		messages++
		shown = f.Shown()
		x, err = f.Tap(ctx, more)
		got = l.answer(ctx, f, x, shown)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	if err != nil || ctx.Err() != nil {
		t.interrupted++
		return
	}
	if _, more := l.goOn(got.links); got.any && !more {
		t.answered++
		t.messages += messages
		t.took.Add(got.at.Sub(start))
	}
}

// answer is what came of an exchange: its reply, or what was pushed behind it. shown is what the follower had seen before.
func (l *load) answer(ctx context.Context, f *wechatsim.Follower, x *wechatsim.Exchange, shown int) answered {
	got := answered{x.Outcome == wechatsim.Replied, x.Links, time.Now()}
	if x.Outcome != wechatsim.Silent || l.patience == 0 {
		return got
	}
	wait := l.patience
	for {
		within, cancel := context.WithTimeout(ctx, wait)
		bubbles, err := f.Next(within, shown)
		cancel()
		if err != nil {
			return got
		}
		shown += len(bubbles)
		for _, b := range bubbles {
			if b.Pushed {
				got = answered{true, b.Links, b.At}
				wait = quiet
			}
		}
	}
}

// goOn gives the link by which the follower asks for the rest.
func (l *load) goOn(links []wechatsim.Link) (wechatsim.Link, bool) {
	i := slices.IndexFunc(links, func(link wechatsim.Link) bool { return link.Send != "" && link.Send == l.fetch })
	if i < 0 {
		return wechatsim.Link{}, false
	}
	return links[i], true
}

// write writes the table.
func (t *tally) write(w io.Writer, p *wechatsim.Platform, api bool) error {
	s := p.Stats()
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
	if api {
		sends, codes := p.Calls(wechatsim.SendPath)
		row("sends", "%d, of which %d were taken", sends, codes[0])
		broken := p.Violations()
		row("rules of WeChat's broken", "%d", len(broken))
		for _, v := range slices.Sorted(maps.Keys(broken)) {
			row("  "+string(v), "%d", broken[v])
		}
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
