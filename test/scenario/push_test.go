package scenario

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const (
	silence = 2 * time.Minute // after which a follower gives up
	reading = 5 * time.Second // after which one taps on a link, if nothing more comes by itself
)

// pushRow is a scenario of a bot that pushes late answers, and what must have come of it for each question.
type pushRow struct {
	name        string
	concurrency int
	dify        difysim.Behaviour
	asked       int
	spread      time.Duration

	messages, sends int
}

// thinking is an answer of which nothing comes until it is nearly whole.
func thinking(total time.Duration, length int) difysim.Behaviour {
	return difysim.Behaviour{FirstText: total - time.Second, Total: total, Length: length}
}

var pushRows = []pushRow{
	{
		name: "50 followers in 1 s, Dify takes 2 s",
		dify: steady(2 * time.Second), asked: 50, spread: time.Second, messages: 1,
	},
	{
		name: "2 questions/s for 30 s, Dify takes 8 s",
		dify: steady(8 * time.Second), asked: 60, spread: 30 * time.Second, messages: 1, sends: 1,
	},
	{
		name: "5 followers at once, Dify takes 20 s",
		dify: steady(20 * time.Second), asked: 5, messages: 1, sends: 1,
	},
	{
		name: "5 followers at once, Dify thinks for 60 s",
		dify: thinking(time.Minute, 650), asked: 5, messages: 1, sends: 1,
	},
	{
		name: "3,000 characters, Dify takes 8 s",
		dify: thinking(8*time.Second, 3000), asked: 3, messages: 2, sends: 4,
	},
	{
		name: "3,000 characters, Dify takes 3 s",
		dify: thinking(3*time.Second, 3000), asked: 3, messages: 1, sends: 4,
	},
	{
		name:        "20 questions/s for 10 s, Dify takes 8 s, concurrency 200",
		concurrency: 200, dify: steady(8 * time.Second), asked: 200, spread: 10 * time.Second, messages: 1, sends: 1,
	},
}

func TestPush(t *testing.T) {
	for _, r := range pushRows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			play(t, r.play)
		})
	}
}

func (r pushRow) play(t *testing.T) {
	var mu sync.Mutex
	typed := map[string]bool{}
	w := start(t, limits{concurrency: r.concurrency, pushes: true}, r.dify, wechatsim.Options{
		MarkFailThreshold: 1,
		Observer: func(e wechatsim.Event) {
			if e.Type == wechatsim.TypingShown && e.Typing {
				mu.Lock()
				defer mu.Unlock()
				typed[e.OpenID] = true
			}
		},
	})
	stories := w.crowd(t, r.asked, r.spread, r.dify.Length, listen)
	mu.Lock()
	defer mu.Unlock()
	m := measurePush(measure(r.name, w, stories), w, stories, len(typed))
	r.check(t, w, m, stories)
	recordMu.Lock()
	defer recordMu.Unlock()
	pushed[r.name] = m
}

func (r pushRow) check(t *testing.T, w *world, m measuredPush, stories []story) {
	t.Helper()
	stats := w.platform.Stats()
	if m.toasts != 0 || m.again != 0 || stats.Blocks != 0 {
		t.Errorf("%d fault toasts, %d deliveries failed or came again, %d blocks; want none: %v", m.toasts, m.again, stats.Blocks, stats.Failures)
	}
	if v := w.platform.Violations(); len(v) != 0 {
		t.Errorf("rules of WeChat's broken: %v", v)
	}
	for _, s := range stories {
		if s.whole == 0 || s.messages != r.messages {
			t.Errorf("%s: whole after %v and %d messages, want %d messages; %d replies", s.question, s.whole, s.messages, r.messages, len(s.replies))
		}
	}
	if m.sends != r.sends*r.asked || m.mostSends != r.sends {
		t.Errorf("%d sends, at most %d for a question; want %d for each", m.sends, m.mostSends, r.sends)
	}
	if m.typed != r.asked {
		t.Errorf("%d of %d followers saw that an answer is written", m.typed, r.asked)
	}
	if m.calls != r.asked {
		t.Errorf("%d Dify calls for %d questions, want one each", m.calls, r.asked)
	}
}

// listen asks as a follower does who waits for what the account sends, and taps on a link to the rest when nothing more comes.
func listen(ctx context.Context, t *testing.T, f *wechatsim.Follower, question, answer string) story {
	t.Helper()
	s := story{question: question}
	began, seen := time.Now(), 0
	send := func() (*wechatsim.Exchange, error) { return f.Send(ctx, question) }
	for s.messages < taps {
		s.messages++
		if _, err := send(); err != nil {
			t.Errorf("%s: %v", question, err)
			return s
		}
		var link wechatsim.Link
		for patience := silence; ; {
			next, cancel := context.WithTimeout(ctx, patience)
			bubbles, err := f.Next(next, seen)
			cancel()
			if err != nil {
				break
			}
			seen += len(bubbles)
			for _, b := range bubbles {
				if b.From != wechatsim.FromAccount {
					continue
				}
				if b.Pushed {
					s.sends++
				}
				s.take(b.Text, answer, b.At.Sub(began))
				link, patience = goOn(b.Links), silence
				if link.Send != "" {
					patience = reading
				}
			}
			if s.whole > 0 {
				return s
			}
		}
		if link.Send == "" {
			return s
		}
		send = func() (*wechatsim.Exchange, error) { return f.Tap(ctx, link) }
	}
	return s
}

// measuredPush is one line of the second table of docs/behaviour.md.
type measuredPush struct {
	measured

	again            int // deliveries that failed, or were of a message that had been delivered before
	sends, mostSends int
	typed            int // followers who saw that an answer is written
}

func measurePush(m measured, w *world, stories []story, typed int) measuredPush {
	p := measuredPush{measured: m, typed: typed}
	stats := w.platform.Stats()
	p.again = stats.Deliveries - stats.Pushes
	for _, n := range stats.Failures {
		p.again += n
	}
	_, codes := w.platform.Calls(wechatsim.SendPath)
	p.sends = codes[0]
	for _, s := range stories {
		p.mostSends = max(p.mostSends, s.sends)
	}
	return p
}

func (m measuredPush) String() string {
	return fmt.Sprintf("| %s | %s | %d | %d | %s | %.1f (%d) | %d/%d | %s / %s |", m.name, m.answers(), m.toasts, m.again, m.asking(),
		float64(m.sends)/float64(max(m.asked, 1)), m.mostSends, m.typed, m.asked, seconds(m.whole50), seconds(m.whole99))
}
