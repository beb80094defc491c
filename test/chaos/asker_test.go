//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const (
	patience = 150 * time.Second // how long a follower goes on asking for an answer
	finals   = 4                 // how often one looks for something unseen at the end
)

// asker is a follower who asks one question after another, and taps on until each is answered to its end.
type asker struct {
	number    int
	follower  *wechatsim.Follower
	rand      *rand.Rand
	book      *book
	questions []*question
	exchanges []*wechatsim.Exchange
	wrongs    []wrong
	refusals  []refusal
	last      *question // whose text was shown last
	done      bool      // asks no more, and looks whether there is something unseen
}

// wrong is something that a follower must never be shown.
type wrong struct {
	at   time.Time
	what string
}

// refusal is a question that was not taken.
type refusal struct {
	question *question
	from, to time.Time
}

// chat asks until the time is over.
func (a *asker) chat(ctx context.Context, until time.Time) {
	a.think(ctx)
	for time.Now().Before(until) && ctx.Err() == nil {
		q := &question{asker: a, plan: newPlan(a.rand)}
		a.book.add(q)
		a.ask(ctx, q)
		a.think(ctx)
	}
	a.done = true
	for range finals { // nothing is left that was not seen
		x := a.send(ctx, nil, a.follower.Send, "1")
		if x == nil || len(a.questions) == 0 {
			return
		}
	}
}

// think is the time between reading and tapping.
func (a *asker) think(ctx context.Context) {
	t := time.NewTimer(500*time.Millisecond + upTo(a.rand, 2*time.Second))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// ask asks one question and goes on until it is clear what becomes of it.
func (a *asker) ask(ctx context.Context, q *question) {
	q.asked = time.Now()
	q.turns = 1
	defer func() { q.over = time.Now() }()
	x := a.send(ctx, q, a.follower.Send, q.text())
	retried := false
	for {
		if x == nil {
			q.lost = "the run was over"
			return
		}
		r := read(x.Text)
		switch {
		case q.whole:
			return
		case q.refused:
			return
		case q.cutShort && retried, q.refusedAgain:
			return
		case r.says(serverconfig.TextNothingYet):
			if q.accepted {
				q.lost = "the bot knew nothing of it"
			}
			return
		case time.Since(q.asked) > patience:
			q.lost = fmt.Sprintf("no whole answer within %v", patience)
			return
		}
		a.think(ctx)
		tap := func(ctx context.Context, _ string) (*wechatsim.Exchange, error) { return a.follower.Tap(ctx, r.more) }
		switch {
		case r.retry.Send != "" && !retried && a.last == q:
			retried = true
			q.turns++
			x = a.send(ctx, q, func(ctx context.Context, _ string) (*wechatsim.Exchange, error) { return a.follower.Tap(ctx, r.retry) }, "")
		case r.more.Send == "":
			x = a.send(ctx, nil, a.follower.Send, "1")
		default:
			x = a.send(ctx, nil, tap, "")
		}
	}
}

// send sends a message and takes what comes of it. asking is the question that the message asks, nil if it asks for more.
func (a *asker) send(ctx context.Context, asking *question, send func(context.Context, string) (*wechatsim.Exchange, error), text string) *wechatsim.Exchange {
	x, err := send(ctx, text)
	if err != nil {
		return nil
	}
	a.exchanges = append(a.exchanges, x)
	now := time.Now()
	for _, w := range a.take(asking, x) {
		a.wrongs = append(a.wrongs, wrong{now, w})
	}
	return x
}

// take takes what a follower sees at the end of an exchange, and says what is wrong with it.
func (a *asker) take(asking *question, x *wechatsim.Exchange) (wrongs []string) {
	switch x.Outcome {
	case wechatsim.Fault, wechatsim.Blocked:
		if asking != nil {
			asking.toasts++
		}
		return nil
	case wechatsim.Silent:
		if asking != nil {
			asking.accepted = true
		}
		return []string{"a text message got no reply"}
	case wechatsim.Replied:
	}
	r := read(x.Text)
	if asking != nil {
		if r.refuses() {
			asking.refused = !asking.accepted
			asking.refusedAgain = asking.accepted
			a.refusals = append(a.refusals, refusal{asking, x.Start, x.Start.Add(x.Took)})
			return nil
		}
		asking.accepted = true
	}
	about, wrongs := a.place(asking, r)
	switch {
	case r.fails():
		wrongs = append(wrongs, fmt.Sprintf("a turn has failed: %v", r.notices))
	case r.says(serverconfig.TextCutShort) && about != nil:
		about.cutShort = true
		if about.plan.cutAfter == 0 {
			wrongs = append(wrongs, "an answer is called cut short that Dify gave to its end")
		}
	}
	return wrongs
}

// place finds where in which answer the reply's text stands.
func (a *asker) place(asking *question, r reply) (*question, []string) {
	if r.body == "" {
		return a.last, nil
	}
	q, call := a.last, 0
	if m := marked.FindStringSubmatch(r.body); m != nil {
		q = a.book.find(m[1])
		call, _ = strconv.Atoi(m[2])
	} else if q != nil {
		call = q.latest
	}
	switch {
	case q == nil:
		return nil, []string{"a text that is no answer"}
	case q.asker != a:
		return nil, []string{"ANOTHER FOLLOWER'S ANSWER"}
	}
	expected := q.expected(call)
	from := strings.Index(expected, r.body)
	if from < 0 {
		return q, []string{"a text that is not a piece of one answer"}
	}
	wrongs := q.progress(call, from, from+len(r.body), len(expected))
	switch {
	case r.quoted != "" && r.quoted != q.text():
		wrongs = append(wrongs, "an answer under another question's words")
	case r.quoted == "" && asking != nil && asking != q:
		wrongs = append(wrongs, "another question's answer as if it were this one's")
	case r.quoted == "" && asking == nil && from == 0 && len(a.questions) > 1 && q != a.last:
		wrongs = append(wrongs, "an answer begins without saying to which question")
	}
	a.last = q
	return q, wrongs
}

// progress notes that a piece of the answer of one Dify call was shown.
func (q *question) progress(call, from, to, all int) (wrongs []string) {
	seen := q.seen[call]
	if from > seen {
		wrongs = append(wrongs, "a part of an answer was left out")
	}
	if call < q.latest {
		wrongs = append(wrongs, "an older call's answer after a newer one's")
	}
	if !q.asker.done {
		q.again += max(min(seen, to)-from, 0)
	}
	q.seen[call] = max(seen, to)
	q.latest = max(q.latest, call)
	if from <= seen && q.seen[call] == all {
		q.whole = true
	}
	return wrongs
}

// story tells what the follower did and saw while a question of theirs was open, for a person who looks for the cause.
func (a *asker) story(q *question) string {
	var b strings.Builder
	for _, x := range a.exchanges {
		if x.Start.Before(q.asked) || !q.over.IsZero() && x.Start.After(q.over) {
			continue
		}
		r := read(x.Text)
		fmt.Fprintf(&b, "\n      %s %q: %s (%s); quoted %q, %v, %q", x.Start.Format(clock), x.Sent, x.Outcome, deliveries(x),
			r.quoted, r.notices, firstRunes(r.body, 20))
	}
	return b.String()
}

func firstRunes(s string, n int) string {
	runes := []rune(s)
	return string(runes[:min(n, len(runes))])
}

// ghosts are the questions that were refused and whose answers were shown all the same.
func (a *asker) ghosts() (ghosts []*question) {
	for _, q := range a.questions {
		if q.refused && len(q.seen) > 0 {
			ghosts = append(ghosts, q)
		}
	}
	return slices.Clip(ghosts)
}
