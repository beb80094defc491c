package crowd

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// Plan is how Dify answers a question.
type Plan struct {
	FirstText, Total time.Duration
	Sentences        int
	CutAfter         int // deltas, then Dify's first stream breaks; 0 never
}

// String is the plan as a question carries it.
func (p Plan) String() string {
	return fmt.Sprintf("（%d/%d/%d/%d）", p.FirstText.Milliseconds(), p.Total.Milliseconds(), p.Sentences, p.CutAfter)
}

var planInQuery = regexp.MustCompile(`（\d+/\d+/\d+/\d+）$`)

// planOf reads the plan that a question carries.
func planOf(query string) (Plan, bool) {
	var first, total, sentences, cut int
	_, err := fmt.Sscanf(planInQuery.FindString(query), "（%d/%d/%d/%d）", &first, &total, &sentences, &cut)
	return Plan{
		FirstText: time.Duration(first) * time.Millisecond, Total: time.Duration(total) * time.Millisecond,
		Sentences: sentences, CutAfter: cut,
	}, err == nil
}

// answer says in every sentence which question it answers, in which of Dify's calls, and the how manieth it is: nothing
// can be shown of it unnoticed in a wrong place.
func (p Plan) answer(id string, call int) string {
	var b strings.Builder
	for i := range p.Sentences {
		if i > 0 && i%5 == 0 {
			b.WriteString("\n\n")
		}
		fmt.Fprintf(&b, "〔%s·%d·%d〕这是第%d次生成的回答的第%d句话，请您核对。", id, call, i+1, call, i+1)
	}
	return b.String()
}

// Dify answers the crowd's questions by the plans that they carry, and counts the calls for each question of each follower. It is safe
// for concurrent use.
type Dify struct {
	mu    sync.Mutex
	calls map[string]int
}

// Behave is for difysim's Script.
func (d *Dify) Behave(r difysim.Request) difysim.Behaviour {
	id := idInQuery.FindString(r.Query)
	plan, ok := planOf(r.Query)
	if id == "" || !ok {
		return difysim.Behaviour{Answer: "您问的是：" + r.Query} // of a person who tries it out
	}
	d.mu.Lock()
	if d.calls == nil {
		d.calls = map[string]int{}
	}
	asked := r.User + " " + id
	d.calls[asked]++
	call := d.calls[asked]
	d.mu.Unlock()
	b := difysim.Behaviour{FirstText: plan.FirstText, Total: plan.Total, Answer: plan.answer(id, call)}
	if plan.CutAfter > 0 && call == 1 {
		b.Fault = difysim.Fault{Kind: difysim.CutAfter, Deltas: plan.CutAfter}
	}
	return b
}
