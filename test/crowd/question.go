package crowd

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/render"
)

// Question is one question of a follower, how Dify answers it, and what the follower has seen of it. It is the asker's
// own while the crowd chats.
type Question struct {
	ID    string
	Asker *Asker
	Plan  Plan

	Asked, Over time.Time
	// AskedAgain are the times at which it was asked again, as the follower was told that it has failed or was cut short.
	AskedAgain []time.Time
	// Whole: the answer was shown to its end. CutShort: Dify broke it off, and the follower was told so.
	Whole, CutShort bool
	// Accepted: a push of it got a reply or `success` that says nothing else. Refused: it was told that it was not taken.
	Accepted, Refused bool
	// Toasts are the messages that ask it and ended in a fault toast.
	Toasts int
	// Lost is why the follower gave an accepted question up.
	Lost string

	seen         map[int]int // bytes of the answer, by the Dify call that gave it
	pieces       []piece
	latest       int  // the call whose answer was shown last
	refusedAgain bool // as Refused, of the message that asks it again after it was cut short or given up
	givenUp      bool // its last turn failed without Dify's doing, and it was not asked again
	again        int  // bytes shown more than once
}

// Text is what the follower sends.
func (q *Question) Text() string {
	return fmt.Sprintf("请问 %s 号订单什么时候送到？%s", q.ID, q.Plan)
}

// Turns is how often it was asked.
func (q *Question) Turns() int { return 1 + len(q.AskedAgain) }

// Answer is what Dify's call of this number, from 1, says.
func (q *Question) Answer(call int) string { return q.Plan.answer(q.ID, call) }

// expected is the answer as it is shown, without white space: pages are cut there.
func (q *Question) expected(call int) string {
	return squeeze(render.Text(q.Answer(call), nil, render.Options{}))
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

var (
	marked    = regexp.MustCompile(`〔([A-Z]\d+)·(\d+)·(\d+)〕`)
	idInQuery = regexp.MustCompile(`[A-Z]\d{4,}`)
)

// piece is a part of the answer of one Dify call that was shown.
type piece struct {
	call, from, to int
	at             time.Time
}

// Twice is a part of an answer that was shown again without being asked for. Whether anything excuses it is for who
// knows what was done to the bot.
type Twice struct {
	Wrong       string    // as in Verdict.Wrongs
	First, Last time.Time // that it was shown before
}

// twice tells when what is shown again was shown before.
func (q *Question) twice(call, from, to int) (t Twice) {
	for _, p := range q.pieces {
		if p.call != call || p.to <= from || p.from >= to {
			continue
		}
		if t.First.IsZero() || p.at.Before(t.First) {
			t.First = p.at
		}
		if p.at.After(t.Last) {
			t.Last = p.at
		}
	}
	return t
}

// progress notes that a piece of the answer of one Dify call was shown.
func (q *Question) progress(call, from, to, all int, unasked bool, at time.Time) (wrongs []string) {
	seen := q.seen[call]
	if unasked && from < seen {
		again := q.twice(call, from, to)
		again.Wrong = fmt.Sprintf("a part of an answer twice, without asking for it: %s, call %d, %d to %d of %d", q.ID, call, from, to, all)
		wrongs = append(wrongs, again.Wrong)
		q.Asker.twices = append(q.Asker.twices, again)
	}
	q.pieces = append(q.pieces, piece{call, from, to, at})
	if from > seen {
		wrongs = append(wrongs, "a part of an answer was left out")
	}
	if call < q.latest {
		wrongs = append(wrongs, "an older call's answer after a newer one's")
	}
	if !q.Asker.done {
		q.again += max(min(seen, to)-from, 0)
	}
	q.seen[call] = max(seen, to)
	q.latest = max(q.latest, call)
	if from <= seen && q.seen[call] == all {
		q.Whole = true
	}
	return wrongs
}
