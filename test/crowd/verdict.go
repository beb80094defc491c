package crowd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// Clock is the layout of times in a verdict.
const Clock = "15:04:05.000"

// Verdict is what the followers have seen.
type Verdict struct {
	// Questions, and what became of them: Answered to the end; CutShort by Dify although they were asked again; Refused
	// with a line; Untaken, as nothing but a fault toast came; Lost although they were accepted.
	Questions, Answered, CutShort, Refused, Untaken int
	Lost                                            []string
	// Wrongs are what nobody may ever be shown.
	Wrongs []string
	// Twice are those of them that are parts shown twice.
	Twice []Twice
	// Failures are turns that the bot gave up. Whether anything excuses them is for who knows what was done to it.
	Failures []Failure
	// Broken by Dify in the middle, and the follower was told.
	Broken int
	// Ghosts were refused, and answered all the same.
	Ghosts int
	// Again is bytes shown more than once.
	Again int
	// Messages came by themselves.
	Messages int
	// Answers are the times from a question to its whole answer.
	Answers []time.Duration
}

// Judge looks at what the followers have seen. They must have ended.
func (c *Crowd) Judge() *Verdict {
	v := &Verdict{}
	for _, a := range c.Askers {
		for _, q := range a.Questions {
			v.judge(q)
			if q.Refused && len(q.seen) > 0 {
				v.Ghosts++
			}
		}
		v.Failures = append(v.Failures, a.Failures...)
		v.Messages += len(a.messages)
		twices := a.twices
		for _, w := range a.wrongs {
			story := ""
			if c.Pushed && w.open != nil {
				story = w.open.storyUntil(w.at)
			}
			v.Wrongs = append(v.Wrongs, fmt.Sprintf("%s follower %d was shown: %s: %s%s", w.at.Format(Clock), a.Number, w.what, w.shown, story))
			if len(twices) > 0 && twices[0].Wrong == w.what {
				v.Twice = append(v.Twice, Twice{v.Wrongs[len(v.Wrongs)-1], twices[0].First, twices[0].Last})
				twices = twices[1:]
			}
		}
	}
	return v
}

func (v *Verdict) judge(q *Question) {
	v.Questions++
	v.Again += q.again
	if q.CutShort {
		v.Broken++
	}
	switch {
	case q.Whole:
		v.Answered++
		v.Answers = append(v.Answers, q.Over.Sub(q.Asked))
	case q.Lost != "":
		v.lose(q, q.Lost)
	case q.CutShort:
		v.CutShort++
	case q.Refused, q.refusedAgain:
		v.Refused++
	case !q.Accepted:
		v.Untaken++
	default:
		v.lose(q, "given up")
	}
}

func (v *Verdict) lose(q *Question, why string) {
	v.Lost = append(v.Lost, fmt.Sprintf("%s, asked at %s, over at %s: %s%s", q.ID, q.Asked.Format(Clock), q.Over.Format(Clock), why, q.Story()))
}

// Percentiles shows durations.
func Percentiles(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	d = slices.Sorted(slices.Values(d))
	at := func(p int) time.Duration { return d[(len(d)-1)*p/100] }
	return fmt.Sprintf("%.2f s / %.2f s / %.2f s", at(50).Seconds(), at(99).Seconds(), d[len(d)-1].Seconds())
}

// Deliveries shows how each delivery of an exchange ended.
func Deliveries(x *wechatsim.Exchange) string {
	var all []string
	for _, d := range x.Deliveries {
		all = append(all, fmt.Sprintf("%s after %.1f s", d.Verdict, d.Took.Seconds()))
	}
	return strings.Join(all, ", ")
}
