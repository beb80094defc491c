//go:build chaos

package chaos

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// question is one question of a follower, how Dify answers it, and what the follower has seen of it.
type question struct {
	id    string
	asker *asker
	plan  plan

	mu    sync.Mutex
	calls int // of Dify's

	// The asker's own, no lock needed.
	asked, over  time.Time
	seen         map[int]int // bytes of the answer, by the Dify call that gave it
	latest       int         // the call whose answer was shown last
	whole        bool
	cutShort     bool // its end was never given, and the follower was told so
	refused      bool // the follower was told that it was not taken
	accepted     bool // a push of it got a reply or `success` that says nothing else
	refusedAgain bool // as refused, of the message that asks it again after it was cut short
	toasts       int
	turns        int // messages that ask it: the question, and "ask again"
	again        int // bytes shown more than once
	lost         string
}

// plan is how Dify answers a question.
type plan struct {
	firstText, total time.Duration
	sentences        int
	cutAfter         int // deltas, then Dify's first stream breaks; 0 never
}

func newPlan(r *rand.Rand) plan {
	p := plan{
		firstText: 200*time.Millisecond + upTo(r, 2*time.Second),
		sentences: 2 + r.IntN(10),
	}
	p.total = p.firstText + 500*time.Millisecond + upTo(r, 6*time.Second)
	if r.IntN(8) == 0 { // longer than a lease
		p.total += leaseTTL - upTo(r, 2*time.Second)
	}
	if r.IntN(8) == 0 {
		p.sentences = 40 + r.IntN(40) // more than a page
	}
	if r.IntN(12) == 0 {
		p.cutAfter = 3 + r.IntN(4)
	}
	return p
}

func (q *question) text() string { return "请问 " + q.id + " 号订单什么时候送到？" }

// answer says in every sentence which question it answers, in which of Dify's calls, and the how manieth it is: nothing
// can be shown of it unnoticed in a wrong place.
func (q *question) answer(call int) string {
	var b strings.Builder
	for i := range q.plan.sentences {
		if i > 0 && i%5 == 0 {
			b.WriteString("\n\n")
		}
		fmt.Fprintf(&b, "〔%s·%d·%d〕这是第%d次生成的回答的第%d句话，请您核对。", q.id, call, i+1, call, i+1)
	}
	return b.String()
}

// expected is the answer as it is shown, without white space: pages are cut there.
func (q *question) expected(call int) string { return squeeze(render.Text(q.answer(call))) }

func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

// book knows all questions.
type book struct {
	mu   sync.Mutex
	byID map[string]*question
}

func newBook() *book { return &book{byID: map[string]*question{}} }

func (b *book) add(q *question) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q.id = fmt.Sprintf("%c%04d", 'A'+q.asker.number%26, 1000*(q.asker.number/26)+len(q.asker.questions))
	q.seen = map[int]int{}
	b.byID[q.id] = q
	q.asker.questions = append(q.asker.questions, q)
}

func (b *book) find(id string) *question {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byID[id]
}

var (
	marked    = regexp.MustCompile(`〔([A-Z]\d+)·(\d+)·(\d+)〕`)
	idInQuery = regexp.MustCompile(`[A-Z]\d{4,}`)
)

// behave is how difysim answers: by the question's plan.
func (b *book) behave(r difysim.Request) difysim.Behaviour {
	q := b.find(idInQuery.FindString(r.Query))
	if q == nil {
		return difysim.Behaviour{Answer: "无人问过的问题。"}
	}
	q.mu.Lock()
	q.calls++
	call := q.calls
	q.mu.Unlock()
	d := difysim.Behaviour{FirstText: q.plan.firstText, Total: q.plan.total, Answer: q.answer(call)}
	if q.plan.cutAfter > 0 && call == 1 {
		d.Fault = difysim.Fault{Kind: difysim.CutAfter, Deltas: q.plan.cutAfter}
	}
	return d
}
