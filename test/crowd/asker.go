package crowd

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
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

// Asker is a follower who asks one question after another, and taps on until each is answered to its end.
type Asker struct {
	Number    int
	Follower  *wechatsim.Follower
	Questions []*Question
	Exchanges []*wechatsim.Exchange
	Refusals  []Refusal
	Failures  []Failure

	crowd  *Crowd
	rand   *rand.Rand
	wrongs []wrong
	twices []Twice   // by what their wrongs say, in their order
	last   *Question // whose text was shown last
	stale  bool      // the last reply showed what had been shown to its end
	done   bool      // asks no more, and looks whether there is something unseen

	// Of a bot that pushes:
	bubbles  int                // that were read
	messages []wechatsim.Bubble // that came by themselves
	open     *Question          // the last that was asked
	latest   reply              // the last text of the account's
}

// Refusal is a question that was not taken, and the time in which it was sent and refused.
type Refusal struct {
	Question *Question
	From, To time.Time
}

// Failure is a turn that the bot has given up although Dify did nothing wrong, and when the follower was told so, with a
// link to ask again.
type Failure struct {
	Question *Question
	At       time.Time
}

// wrong is something that a follower must never be shown.
type wrong struct {
	at    time.Time
	what  string
	shown reply     // what is wrong
	open  *Question // that was asked last
}

// chat asks while asking lives.
func (a *Asker) chat(ctx, asking context.Context) {
	a.think(ctx)
	for asking.Err() == nil && ctx.Err() == nil {
		a.ask(ctx, a.Think(a.crowd.plan(a.rand)))
		a.think(ctx)
	}
	a.listen(ctx, 2*time.Second)
	a.done = true
	for range finals { // nothing is left that was not seen
		x := a.send(ctx, nil, a.Follower.Send, "1")
		if x == nil || len(a.Questions) == 0 {
			return
		}
	}
}

// think is the time between reading and tapping.
func (a *Asker) think(ctx context.Context) {
	t := time.NewTimer(500*time.Millisecond + time.Duration(a.rand.Int64N(int64(2*time.Second))))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// ask asks one question and goes on until it is clear what becomes of it.
func (a *Asker) ask(ctx context.Context, q *Question) {
	q.Asked = time.Now()
	defer func() { q.Over = time.Now() }()
	a.open = q
	x := a.send(ctx, q, a.Follower.Send, q.Text())
	retried := false
	for {
		if x == nil {
			q.Lost = "the run was over"
			return
		}
		r := a.latest
		if a.settled(q, r, retried) {
			return
		}
		if a.crowd.Pushed && a.listen(ctx, a.wait(r)) {
			continue
		}
		a.think(ctx)
		switch {
		case r.retry.Send != "" && a.last == q && (!retried || q.givenUp):
			retried = true
			q.givenUp = false
			q.AskedAgain = append(q.AskedAgain, time.Now())
			x = a.send(ctx, q, a.tap(r.retry), "")
		case r.more.Send == "":
			x = a.send(ctx, nil, a.Follower.Send, "1")
		default:
			x = a.send(ctx, nil, a.tap(r.more), "")
		}
	}
}

func (a *Asker) tap(l wechatsim.Link) func(context.Context, string) (*wechatsim.Exchange, error) {
	return func(ctx context.Context, _ string) (*wechatsim.Exchange, error) { return a.Follower.Tap(ctx, l) }
}

// settled tells whether it is clear what becomes of a question, of which the account has said this last.
func (a *Asker) settled(q *Question, r reply, retried bool) bool {
	switch {
	case q.Whole, q.Refused, q.CutShort && retried, q.refusedAgain:
		return true
	case r.says(serverconfig.TextNothingYet):
		if q.Accepted {
			q.Lost = "the bot knew nothing of it"
		}
		return true
	case !q.Accepted && a.stale:
		return true // nothing unseen is left: it never arrived
	case time.Since(q.Asked) > patience:
		q.Lost = fmt.Sprintf("no whole answer within %v", patience)
		return true
	}
	return false
}

// send sends a message and takes what comes of it. asking is the question that the message asks, nil if it asks for more.
func (a *Asker) send(ctx context.Context, asking *Question, send func(context.Context, string) (*wechatsim.Exchange, error), text string) *wechatsim.Exchange {
	a.latest = reply{}
	x, err := send(ctx, text)
	if err != nil {
		return nil
	}
	a.Exchanges = append(a.Exchanges, x)
	if a.crowd.Pushed {
		a.hear(asking, x) //nolint:contextcheck // it waits for nothing
	} else {
		a.note(a.take(asking, x))
	}
	return x
}

func (a *Asker) note(wrongs []string) {
	for _, w := range wrongs {
		a.wrongs = append(a.wrongs, wrong{time.Now(), w, a.latest, a.open})
	}
}

// take takes what a follower sees at the end of an exchange, and says what is wrong with it.
func (a *Asker) take(asking *Question, x *wechatsim.Exchange) (wrongs []string) {
	switch x.Outcome {
	case wechatsim.Fault, wechatsim.Blocked:
		if asking != nil {
			asking.Toasts++
		}
		return nil
	case wechatsim.Silent, wechatsim.Served:
		if asking != nil {
			asking.Accepted = true
		}
		if a.crowd.Pushed {
			return nil
		}
		return []string{"a text message got no reply"}
	case wechatsim.Replied:
	}
	a.stale = false
	r := read(x.Text)
	if asking != nil {
		if r.refuses() {
			asking.Refused = !asking.Accepted
			asking.refusedAgain = asking.Accepted
			a.Refusals = append(a.Refusals, Refusal{asking, x.Start, x.Start.Add(x.Took)})
			return nil
		}
		asking.Accepted = true
	}
	return a.understand(asking, r, asking != nil && a.crowd.Pushed, x.Start.Add(x.Took))
}

// understand says what is wrong with a text of the account's. unasked: the follower has not asked for what was shown before.
func (a *Asker) understand(asking *Question, r reply, unasked bool, at time.Time) (wrongs []string) {
	a.latest = r
	about, wrongs := a.place(asking, r, unasked, at)
	switch {
	case r.retry.Send == "" || about == nil:
	case r.says(serverconfig.TextCutShort) && about.Plan.CutAfter != 0:
		about.CutShort = true
	case r.says(serverconfig.TextCutShort), r.says(serverconfig.TextFailed):
		if !about.givenUp {
			a.Failures = append(a.Failures, Failure{about, at})
		}
		about.givenUp = true
	default:
		wrongs = append(wrongs, fmt.Sprintf("a turn has failed: %v", r.notices))
	}
	return wrongs
}

// place finds where in which answer the reply's text stands.
func (a *Asker) place(asking *Question, r reply, unasked bool, at time.Time) (*Question, []string) {
	if r.body == "" || strings.HasPrefix(r.body, "〔") && !marked.MatchString(r.body) { // nothing, or less than its mark
		if r.retry.Send != "" {
			a.last = a.meant(asking, r)
		}
		return a.last, nil
	}
	q, call := a.last, 0
	if m := marked.FindStringSubmatch(r.body); m != nil {
		q = a.crowd.find(m[1])
		call, _ = strconv.Atoi(m[2])
	} else if q != nil {
		call = q.latest
	}
	switch {
	case q == nil:
		return nil, []string{"a text that is no answer"}
	case q.Asker != a:
		return nil, []string{"ANOTHER FOLLOWER'S ANSWER"}
	}
	expected := q.expected(call)
	from := strings.Index(expected, r.body)
	if from < 0 {
		return q, []string{"a text that is not a piece of one answer"}
	}
	a.stale = q.Whole
	wrongs := q.progress(call, from, from+len(r.body), len(expected), unasked, at)
	switch {
	case r.quoted != "" && r.quoted != q.Text():
		wrongs = append(wrongs, "an answer under another question's words")
	case r.quoted == "" && asking != nil && asking != q:
		wrongs = append(wrongs, "another question's answer as if it were this one's")
	case r.quoted == "" && asking == nil && from == 0 && len(a.Questions) > 1 && q != a.last:
		wrongs = append(wrongs, "an answer begins without saying to which question")
	}
	a.last = q
	return q, wrongs
}

// meant is the question whose turn a reply without a text of Dify's is about. Without a quotation it is about what the follower has
// asked just now, or goes on reading.
func (a *Asker) meant(asking *Question, r reply) *Question {
	for _, q := range a.Questions {
		if r.quoted != "" && r.quoted == q.Text() {
			return q
		}
	}
	return cmp.Or(asking, a.last)
}

// Story tells what the follower did and saw while the question was open, for a person who looks for the cause.
func (q *Question) Story() string { return q.storyUntil(cmp.Or(q.Over, time.Now())) }

// storyUntil tells what the follower did and saw from the question on.
func (q *Question) storyUntil(end time.Time) string {
	var b strings.Builder
	for _, x := range q.Asker.Exchanges {
		if !x.Start.Before(q.Asked) && !x.Start.After(end) {
			fmt.Fprintf(&b, "\n      %s %q: %s (%s); %s", x.Start.Format(Clock), x.Sent, x.Outcome, Deliveries(x), read(x.Text))
		}
	}
	for _, m := range q.Asker.messages {
		if !m.At.Before(q.Asked) && !m.At.After(end) {
			fmt.Fprintf(&b, "\n      %s came: %s", m.At.Format(Clock), read(m.Text))
		}
	}
	return b.String()
}

func firstRunes(s string, n int) string {
	runes := []rune(s)
	return string(runes[:min(n, len(runes))])
}
