//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/crowd"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const (
	// settle is for what is on its way when something happens, and for a kubelet to do what it was told.
	settle = 2 * time.Second
	// mend is until every server has noticed that the store is back.
	mend = 10 * time.Second
)

// chat is followers who chat with a bot, and what happens to it meanwhile.
type chat struct {
	crowd    *crowd.Crowd
	platform *wechatsim.Platform
	cluster  *cluster
	end      context.CancelFunc
	ended    chan struct{}

	killed []death  // server pods that had no chance to finish
	away   []window // the session store was away
}

// window is a time in which something was not there.
type window struct{ from, to time.Time }

func (w window) overlaps(from, to time.Time) bool { return !w.from.After(to) && !w.to.Before(from) }

// death is the time in which the pod with this address was killed.
type death struct {
	window
	address string
}

// chat lets followers chat until finish is called.
func (b *bot) chat(t *testing.T, followers int) *chat {
	t.Helper()
	return b.chatOn(t, b.platform(t, wechatsim.Options{}), followers, false)
}

// chatOn is chat with followers of a platform that is there; pushed tells that they are to have late answers by themselves.
func (b *bot) chatOn(t *testing.T, p *wechatsim.Platform, followers int, pushed bool) *chat {
	t.Helper()
	asking, end := context.WithCancel(t.Context())
	c := &chat{crowd: crowd.New(p, followers, rand.Uint64(), plan), platform: p, cluster: b.cluster, end: end, ended: make(chan struct{})}
	c.crowd.Pushed = pushed
	go func() {
		defer close(c.ended)
		c.crowd.Chat(t.Context(), asking)
	}()
	t.Cleanup(func() { end(); <-c.ended })
	return c
}

// plan has answers that come at once, and some that take longer than a delivery or than a reply can hold.
func plan(r *rand.Rand) crowd.Plan {
	upTo := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
	p := crowd.Plan{FirstText: 200*time.Millisecond + upTo(time.Second), Sentences: 2 + r.IntN(8)}
	p.Total = p.FirstText + 300*time.Millisecond + upTo(5*time.Second)
	if r.IntN(8) == 0 {
		p.Sentences = 40 + r.IntN(20)
	}
	return p
}

// asked waits until so many questions have been answered since the chat began.
func (c *chat) answered(t *testing.T, n int) {
	t.Helper()
	await(t, 2*time.Minute, fmt.Sprintf("%d replies", n), func() (bool, string, error) {
		s := c.platform.Stats()
		return s.Answered >= n, fmt.Sprintf("%d replies, failures %v", s.Answered, s.Failures), nil
	})
}

// outcome is what a chat has shown.
type outcome struct {
	*crowd.Verdict
	calls, again, toasts int
	stats                wechatsim.Stats
}

func (o *outcome) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d questions, %d answered, %d Dify calls", o.Questions, o.Answered, o.calls)
	for _, n := range []struct {
		count int
		what  string
	}{{o.again, "of them again after a kill"}, {o.Refused, "refused with a line"}, {o.Untaken, "not taken"}, {o.toasts, "fault toasts"}} {
		if n.count > 0 {
			fmt.Fprintf(&s, ", %d %s", n.count, n.what)
		}
	}
	for _, verdict := range slices.Sorted(maps.Keys(o.stats.Failures)) {
		fmt.Fprintf(&s, ", deliveries with %q: %d", verdict, o.stats.Failures[verdict])
	}
	s.WriteString("; whole answer p50/p99/max " + crowd.Percentiles(o.Answers))
	return s.String()
}

// finish lets the followers come to their ends, and fails the test for every promise that was broken.
func (c *chat) finish(t *testing.T) *outcome {
	t.Helper()
	c.end()
	<-c.ended
	o := &outcome{Verdict: c.crowd.Judge(), stats: c.platform.Stats()}
	calls, _ := c.crowd.Calls(c.cluster.calls(t))
	var broken []string
	for _, f := range o.Failures {
		broken = append(broken, fmt.Sprintf("%s was given up at %s", f.Question.ID, f.At.Format(crowd.Clock)))
	}
	for _, a := range c.crowd.Askers {
		for _, x := range a.Exchanges {
			if x.Toast {
				o.toasts++
				if !c.excused(x) {
					broken = append(broken, fmt.Sprintf("a fault toast at %s: %s", x.Start.Format(crowd.Clock), crowd.Deliveries(x)))
				}
			}
		}
		for _, r := range a.Refusals {
			if !slices.ContainsFunc(c.away, func(w window) bool { return window{w.from, w.to.Add(mend)}.overlaps(r.From, r.To) }) {
				broken = append(broken, fmt.Sprintf("%s was refused at %s", r.Question.ID, r.From.Format(crowd.Clock)))
			}
		}
		for _, q := range a.Questions {
			broken = append(broken, c.judge(o, q, calls[q])...)
		}
	}
	for what, all := range map[string][]string{"lost": o.Lost, "shown and must not be": o.Wrongs, "promises broken": broken} {
		if len(all) > 0 {
			t.Errorf("%d %s:\n  %s", len(all), what, strings.Join(all[:min(len(all), 10)], "\n  "))
		}
	}
	if o.Answered == 0 {
		t.Errorf("nothing was answered: deliveries failed: %v", o.stats.Failures)
	}
	if n := len(c.killed) + len(c.away); n == 0 && o.Answered != o.Questions {
		t.Errorf("%d of %d questions were answered", o.Answered, o.Questions)
	}
	return o
}

// excused tells whether the last delivery, after which the follower saw the toast, met a pod that was killed or a store
// that was away.
func (c *chat) excused(x *wechatsim.Exchange) bool {
	d := x.Deliveries[len(x.Deliveries)-1]
	meets := func(w window) bool { return w.overlaps(d.Start, d.Start.Add(d.Took)) }
	return slices.ContainsFunc(c.killed, func(k death) bool { return meets(k.window) }) || slices.ContainsFunc(c.away, meets)
}

// judge counts Dify's calls for a question: one a turn, and one more for each whose pod was killed while it ran.
func (c *chat) judge(o *outcome, q *crowd.Question, calls []difysim.Call) (broken []string) {
	o.calls += len(calls)
	excused := 0
	for _, call := range calls {
		if slices.ContainsFunc(c.killed, func(k death) bool {
			return k.address == call.From && k.overlaps(call.Started, call.Ended.Add(settle))
		}) {
			excused++
		}
	}
	switch extra := len(calls) - q.Turns(); {
	case extra > excused:
		broken = append(broken, fmt.Sprintf("%s: %d Dify calls for %d turns%s", q.ID, len(calls), q.Turns(), q.Story()))
	case extra > 0:
		o.again += extra
	case q.Accepted && !q.Refused && len(calls) == 0:
		broken = append(broken, q.ID+": Dify was never asked")
	}
	return broken
}
