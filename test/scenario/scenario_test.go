package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// markFail is a guess at the threshold that WeChat does not publish: failed deliveries a minute.
const markFail = 100

func steady(total time.Duration) difysim.Behaviour {
	return difysim.Behaviour{FirstText: total / 4, Total: total, Length: 120}
}

// row is a scenario: what is set up, and what must have come of it.
type row struct {
	name   string
	limits limits
	dify   difysim.Behaviour
	asked  int
	spread time.Duration

	direct   bool          // every answer is the reply to its question: 1.0 messages
	most     int           // messages for a question at most; 0 is not looked at
	refusals bool          // being told to ask later is allowed
	firstBy  time.Duration // the answer's first text at the latest; 0 is not looked at
}

var rows = []row{
	{
		name: "50 followers in 1 s, Dify takes 2 s",
		dify: steady(2 * time.Second), asked: 50, spread: time.Second, direct: true,
	},
	{
		name: "2 questions/s for 30 s, Dify takes 8 s",
		dify: steady(8 * time.Second), asked: 60, spread: 30 * time.Second, most: 2,
	},
	{
		name:   "20 questions/s for 10 s, Dify takes 8 s, concurrency 200, holding unlimited",
		limits: limits{concurrency: 200, holds: 6000},
		dify:   steady(8 * time.Second), asked: 200, spread: 10 * time.Second, direct: true,
	},
	{
		name:   "20 questions/s for 10 s, Dify takes 8 s, concurrency 200, 30 holds a minute",
		limits: limits{concurrency: 200},
		dify:   steady(8 * time.Second), asked: 200, spread: 10 * time.Second, most: 2,
	},
	{
		name: "5 followers at once, Dify takes 20 s",
		dify: steady(20 * time.Second), asked: 5, most: 2, firstBy: 14500 * time.Millisecond,
	},
	{
		name:   "50 followers at once, Dify takes 2 s, concurrency 5",
		limits: limits{concurrency: 5},
		dify:   steady(2 * time.Second), asked: 50, refusals: true,
	},
	{
		name: "3,000 characters, Dify takes 3 s",
		dify: difysim.Behaviour{FirstText: time.Second, Total: 3 * time.Second, Length: 3000}, asked: 3, most: 6,
	},
}

func TestBehaviour(t *testing.T) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			play(t, r.play)
		})
	}
}

func (r row) play(t *testing.T) {
	o := wechatsim.Options{}
	if r.limits.holds == 0 {
		o.MarkFailThreshold = markFail
	}
	w := start(t, r.limits, r.dify, o)
	stories := w.crowd(t, r.asked, r.spread, r.dify.Length, ask)
	r.check(t, w, stories)
	record(r.name, w, stories)
}

func (r row) check(t *testing.T, w *world, stories []story) {
	t.Helper()
	stats := w.platform.Stats()
	if stats.Toasts != 0 || stats.Blocks != 0 {
		t.Errorf("%d fault toasts, %d blocks, want none: %v", stats.Toasts, stats.Blocks, stats.Failures)
	}
	for v, n := range stats.Failures {
		if v != wechatsim.Timeout && v != wechatsim.Broken {
			t.Errorf("%d deliveries failed with %q: only held ones may fail", n, v)
		}
	}
	accepted := 0
	for _, s := range stories {
		switch {
		case s.refused && r.refusals:
			continue
		case s.whole == 0:
			t.Errorf("%s: the answer was not seen to its end in %d messages: %q", s.question, s.messages, s.replies)
		case r.direct && s.messages != 1:
			t.Errorf("%s: took %d messages, want 1", s.question, s.messages)
		case r.most > 0 && s.messages > r.most:
			t.Errorf("%s: took %d messages, want at most %d", s.question, s.messages, r.most)
		case r.firstBy > 0 && s.first > r.firstBy+500*time.Millisecond:
			t.Errorf("%s: first text after %v, want it by %v", s.question, s.first, r.firstBy)
		}
		for _, p := range s.pieces[:max(len(s.pieces)-1, 0)] {
			if !strings.ContainsAny(lastRune(p), "。！？；…") {
				t.Errorf("%s: a page ends with %q, not with a sentence", s.question, lastRune(p))
			}
		}
		accepted++
	}
	if calls := w.dify.CallCount(); calls != accepted {
		t.Errorf("%d Dify calls for %d accepted questions, want one each", calls, accepted)
	}
}

func lastRune(s string) string {
	r := []rune(strings.TrimRight(strings.TrimSpace(s), "」”）"))
	if len(r) == 0 {
		return ""
	}
	return string(r[len(r)-1])
}

// A second question while the first is being answered is neither swallowed nor mixed up with it.
func TestSecondQuestionWhileTheFirstRuns(t *testing.T) {
	t.Parallel()
	play(t, secondQuestion)
}

func secondQuestion(t *testing.T) {
	const length = 80
	w := start(t, limits{}, difysim.Behaviour{FirstText: 2 * time.Second, Total: 8 * time.Second, Length: length}, wechatsim.Options{})
	f := w.platform.Follower("")
	first := make(chan story, 1)
	go func() { first <- ask(t.Context(), t, f, "第一个问题？", echoed("第一个问题？", length)) }()
	if err := w.dify.WaitRunning(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	second := ask(t.Context(), t, f, "第二个问题？", echoed("第二个问题？", length))
	stories := []story{<-first, second}
	for _, s := range stories {
		if s.whole == 0 && !seen(f, s.question, echoed(s.question, length)) {
			t.Errorf("%s was not answered: %q", s.question, s.replies)
		}
	}
	if calls := w.dify.Calls(); len(calls) != 2 || calls[0].ConversationID != "" || calls[1].ConversationID != calls[0].Conversation {
		t.Errorf("want two calls, the second in the conversation of the first: %+v", calls)
	}
	record("a second question while the first runs, Dify takes 8 s", w, stories)
}

// seen tells whether the follower's client has shown an answer, in reply to whatever message.
func seen(f *wechatsim.Follower, question, answer string) bool {
	var all strings.Builder
	for _, b := range f.Transcript() {
		if b.From == wechatsim.FromAccount && strings.HasPrefix(b.Text, question) {
			body, _, _ := strings.Cut(strings.TrimPrefix(b.Text, question+"\n------------\n"), "\n\n<a href=\"weixin://bizmsgmenu")
			all.WriteString(body)
		}
	}
	return strings.Contains(squeeze(all.String()), squeeze(answer))
}

// measured is one line of docs/behaviour.md.
type measured struct {
	name                                         string
	asked, answered, refused, toasts, calls, max int
	messages                                     float64
	first50, first99, whole50, whole99           time.Duration
}

func measure(name string, w *world, stories []story) measured {
	m := measured{name: name, asked: len(stories), toasts: w.platform.Stats().Toasts, calls: w.dify.CallCount()}
	var firsts, wholes []time.Duration
	messages := 0
	for _, s := range stories {
		switch {
		case s.refused:
			m.refused++
		case s.whole > 0:
			m.answered++
			messages += s.messages
			m.max = max(m.max, s.messages)
			firsts, wholes = append(firsts, s.first), append(wholes, s.whole)
		}
	}
	m.messages = float64(messages) / float64(max(m.answered, 1))
	m.first50, m.first99 = percentile(firsts, 50), percentile(firsts, 99)
	m.whole50, m.whole99 = percentile(wholes, 50), percentile(wholes, 99)
	return m
}

func percentile(d []time.Duration, p int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[(len(d)-1)*p/100]
}

func (m measured) String() string {
	return fmt.Sprintf("| %s | %s | %d | %d | %s | %s / %s | %s / %s |", m.name, m.answers(), m.toasts, m.calls,
		m.asking(), seconds(m.first50), seconds(m.first99), seconds(m.whole50), seconds(m.whole99))
}

func (m measured) answers() string {
	answered := fmt.Sprintf("%d/%d", m.answered, m.asked)
	if m.refused > 0 {
		answered += fmt.Sprintf(" (%d told to ask later)", m.refused)
	}
	return answered
}

func (m measured) asking() string { return fmt.Sprintf("%.1f (%d)", m.messages, m.max) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }
