//go:build chaos

package chaos

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// bench is a world without processes: two followers with questions, for the judge to be judged.
func bench(t *testing.T) (w *world, mine, mineToo, theirs *question) {
	t.Helper()
	w = &world{book: newBook(), logs: t.TempDir(), replicas: []*replica{{number: 0}, {number: 1}}}
	p, err := wechatsim.New(wechatsim.Account{URL: "http://127.0.0.1/", Token: token}, wechatsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(a *asker) *question {
		q := &question{asker: a, plan: plan{sentences: 8}, turns: 1}
		w.book.add(q)
		return q
	}
	for i := range 2 {
		w.askers = append(w.askers, &asker{number: i, book: w.book, follower: p.Follower("")})
	}
	return w, add(w.askers[0]), add(w.askers[0]), add(w.askers[1])
}

func replied(text string) *wechatsim.Exchange {
	return &wechatsim.Exchange{Outcome: wechatsim.Replied, Reply: wechatsim.Reply{Type: "text", Text: text}}
}

const (
	moreLink  = "\n\n<a href=\"weixin://bizmsgmenu?msgmenucontent=1&msgmenuid=bot\">[[continue]]</a>[[orReply]]"
	retryLink = "\n<a href=\"weixin://bizmsgmenu?msgmenucontent=/retry&msgmenuid=bot\">[[retry]]</a>"
)

// Whatever a follower must not be shown is found, and nothing else is called wrong.
func TestJudgeReadsReplies(t *testing.T) {
	type shown struct {
		asks *question // nil: the follower asks for more
		text string
	}
	for name, c := range map[string]struct {
		shown func(mine, mineToo, theirs *question) []shown
		wrong string // "" is nothing
		whole bool   // the first question is answered to its end
	}{
		"the whole answer": {whole: true, shown: func(q, _, _ *question) []shown { return []shown{{q, q.answer(1)}} }},
		"a waiting line, then two pages": {whole: true, shown: func(q, _, _ *question) []shown {
			first, second, _ := strings.Cut(q.answer(1), "\n\n")
			return []shown{{q, "[[waiting]]" + moreLink}, {nil, q.text() + "\n------------\n" + first + moreLink}, {nil, second}}
		}},
		"a page again": {whole: true, shown: func(q, _, _ *question) []shown {
			first, second, _ := strings.Cut(q.answer(1), "\n\n")
			return []shown{{q, first + moreLink}, {nil, first + moreLink}, {nil, second}}
		}},
		"another call's answer from its beginning": {whole: true, shown: func(q, _, _ *question) []shown {
			first, _, _ := strings.Cut(q.answer(1), "\n\n")
			return []shown{{q, first + moreLink}, {nil, q.answer(2)}}
		}},
		"another call's answer from its middle": {wrong: "left out", shown: func(q, _, _ *question) []shown {
			first, _, _ := strings.Cut(q.answer(1), "\n\n")
			_, second, _ := strings.Cut(q.answer(2), "\n\n")
			return []shown{{q, first + moreLink}, {nil, second}}
		}},
		"back to an older call's answer": {wrong: "an older call's", whole: true, shown: func(q, _, _ *question) []shown {
			return []shown{{q, q.answer(2)}, {nil, q.answer(1)}}
		}},
		"a page left out": {wrong: "left out", shown: func(q, _, _ *question) []shown {
			_, second, _ := strings.Cut(q.answer(1), "\n\n")
			return []shown{{q, second}}
		}},
		"two answers mixed": {wrong: "not a piece of one answer", shown: func(q, other, _ *question) []shown {
			return []shown{{q, q.answer(1) + other.answer(1)}}
		}},
		"another follower's answer":  {wrong: "ANOTHER FOLLOWER", shown: func(q, _, theirs *question) []shown { return []shown{{q, theirs.answer(1)}} }},
		"another question's answer":  {wrong: "another question's answer", shown: func(q, other, _ *question) []shown { return []shown{{q, other.answer(1)}} }},
		"an answer under a question": {whole: true, shown: func(q, _, _ *question) []shown { return []shown{{nil, q.text() + "\n------------\n" + q.answer(1)}} }},
		"an answer under another question": {wrong: "under another question's words", whole: true, shown: func(q, other, _ *question) []shown {
			return []shown{{nil, other.text() + "\n------------\n" + q.answer(1)}}
		}},
		"an answer under no question": {wrong: "without saying", whole: true, shown: func(q, _, _ *question) []shown { return []shown{{nil, q.answer(1)}} }},
		"a text of nobody's":          {wrong: "no answer", shown: func(q, _, _ *question) []shown { return []shown{{q, "Internal Server Error"}} }},
		"a failed turn":               {wrong: "has failed", shown: func(q, _, _ *question) []shown { return []shown{{q, "[[failed]]" + retryLink}} }},
		"cut short without a cut": {wrong: "called cut short", shown: func(q, _, _ *question) []shown {
			first, _, _ := strings.Cut(q.answer(1), "\n\n")
			return []shown{{q, first + "\n\n[[cutShort]]" + retryLink}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, mine, mineToo, theirs := bench(t)
			var wrongs []string
			for _, s := range c.shown(mine, mineToo, theirs) {
				wrongs = append(wrongs, w.askers[0].take(s.asks, replied(s.text))...)
			}
			if all := strings.Join(wrongs, "; "); c.wrong == "" && all != "" || !strings.Contains(all, c.wrong) {
				t.Errorf("found %q, want %q", all, c.wrong)
			}
			if mine.whole != c.whole {
				t.Errorf("answered to its end: %v, want %v", mine.whole, c.whole)
			}
		})
	}
}

// What becomes of a question is told apart: refused, not taken, accepted.
func TestJudgeReadsOutcomes(t *testing.T) {
	w, q, other, _ := bench(t)
	a := w.askers[0]
	if wrongs := a.take(q, replied("[[busy]]")); len(wrongs) > 0 || !q.refused || q.accepted || len(a.refusals) != 1 {
		t.Errorf("a refusal: %v, %+v", wrongs, q)
	}
	if wrongs := a.take(other, replied("[[busy]]"+retryLink)); len(wrongs) != 1 || other.refused {
		t.Errorf("a turn that failed because Dify was busy: %v, refused %v", wrongs, other.refused)
	}
	w, q, other, _ = bench(t)
	a = w.askers[0]
	if wrongs := a.take(q, &wechatsim.Exchange{Outcome: wechatsim.Fault, Toast: true}); len(wrongs) > 0 || q.accepted || q.toasts != 1 {
		t.Errorf("a fault: %v, %+v", wrongs, q)
	}
	if wrongs := a.take(other, &wechatsim.Exchange{Outcome: wechatsim.Silent}); len(wrongs) != 1 || !other.accepted {
		t.Errorf("silence: %v, %+v", wrongs, other)
	}
}

// Each Dify call that is one too many is excused by what happened to the owner of the one before, or found.
func TestJudgeCountsCalls(t *testing.T) {
	at := func(s float64) time.Time {
		return time.Unix(1_800_000_000, 0).Add(time.Duration(s * float64(time.Second)))
	}
	call := func(replica string, from, to float64, o difysim.Outcome) difysim.Call {
		return difysim.Call{
			Request: difysim.Request{Inputs: map[string]any{"replica": replica}}, Started: at(from), Ended: at(to), Outcome: o,
		}
	}
	for name, c := range map[string]struct {
		calls   []difysim.Call
		killed  map[int]float64 // replica 0 and 1
		cut     []float64       // replica 0: from, to
		outages []float64       // from, to
		turns   int

		crashed, cutOff, doomed, extra, late, lost int
	}{
		"one for one":                     {calls: []difysim.Call{call("0", 0, 5, difysim.Answered)}},
		"none":                            {lost: 1},
		"two for a question asked twice":  {turns: 2, calls: []difysim.Call{call("0", 0, 5, difysim.Cut), call("0", 9, 14, difysim.Answered)}},
		"two for one":                     {extra: 1, calls: []difysim.Call{call("0", 0, 5, difysim.Answered), call("1", 1, 6, difysim.Answered)}},
		"two, as the owner was killed":    {crashed: 1, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("1", 12, 15, difysim.Answered)}},
		"two, as another one was killed":  {extra: 1, killed: map[int]float64{1: 3}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("0", 12, 15, difysim.Answered)}},
		"three, as the owner was killed":  {crashed: 1, extra: 1, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("1", 12, 15, difysim.Answered), call("1", 13, 16, difysim.Answered)}},
		"killed before it could store it": {crashed: 1, killed: map[int]float64{0: 5.1}, calls: []difysim.Call{call("0", 0, 5, difysim.Answered), call("1", 14, 19, difysim.Answered)}},
		"killed long after the answer":    {extra: 1, killed: map[int]float64{0: 9}, calls: []difysim.Call{call("0", 0, 5, difysim.Answered), call("1", 14, 19, difysim.Answered)}},
		"killed while it could not store": {crashed: 1, killed: map[int]float64{0: 9}, outages: []float64{4, 12}, calls: []difysim.Call{call("0", 0, 5, difysim.Answered), call("1", 24, 29, difysim.Answered)}},
		"a late takeover":                 {crashed: 1, late: 1, killed: map[int]float64{0: 3}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("1", 25, 28, difysim.Answered)}},
		"a late one after an outage":      {crashed: 1, killed: map[int]float64{0: 3}, outages: []float64{4, 14}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("1", 25, 28, difysim.Answered)}},
		"a second heir":                   {crashed: 1, doomed: 1, killed: map[int]float64{0: 3, 1: 12.2}, calls: []difysim.Call{call("0", 0, 3, difysim.Lost), call("0", 22.1, 28, difysim.Answered)}},
		"cut off":                         {cutOff: 1, cut: []float64{2, 22}, calls: []difysim.Call{call("0", 0, 12, difysim.Lost), call("1", 12, 15, difysim.Answered)}},
		"cut off for a moment":            {extra: 1, cut: []float64{2, 4}, calls: []difysim.Call{call("0", 0, 12, difysim.Lost), call("1", 12, 15, difysim.Answered)}},
		"an outage":                       {extra: 1, outages: []float64{2, 12}, calls: []difysim.Call{call("0", 0, 12, difysim.Lost), call("1", 12, 15, difysim.Answered)}},
	} {
		t.Run(name, func(t *testing.T) {
			w, q, _, _ := bench(t)
			q.accepted, q.turns = true, max(c.turns, 1)
			for i, r := range w.replicas {
				l := &life{replica: r}
				if s, ok := c.killed[i]; ok {
					l.killed = at(s)
				}
				r.lives = []*life{l}
			}
			if c.cut != nil {
				w.cuts = []cut{{window{at(c.cut[0]), at(c.cut[1])}, 0}}
			}
			if c.outages != nil {
				w.outages = []window{{at(c.outages[0]), at(c.outages[1])}}
			}
			v := &verdict{}
			w.judgeCalls(v, q, c.calls)
			got := []int{v.crashed, v.cutOff, v.doomed, len(v.extra), len(v.late), len(v.lost)}
			if want := []int{c.crashed, c.cutOff, c.doomed, c.extra, c.late, c.lost}; !slices.Equal(got, want) {
				t.Errorf("crashed, cut off, doomed, extra, late, lost: %v, want %v: %+v", got, want, v)
			}
		})
	}
}

// A question that was accepted and has no whole answer is lost, whatever else it is.
func TestJudgeFindsLostQuestions(t *testing.T) {
	for name, c := range map[string]struct {
		question *question
		lost     bool
	}{
		"answered":                 {question: &question{accepted: true, whole: true}},
		"given up":                 {question: &question{accepted: true}, lost: true},
		"forgotten":                {question: &question{accepted: true, lost: "the bot knew nothing of it"}, lost: true},
		"refused":                  {question: &question{refused: true}},
		"not taken":                {question: &question{toasts: 1}},
		"a toast, and then a line": {question: &question{toasts: 1, accepted: true}, lost: true},
	} {
		v := &verdict{}
		c.question.asker = &asker{}
		v.judgeQuestion(c.question)
		if got := len(v.lost) == 1; got != c.lost {
			t.Errorf("%s: lost %v, want %v", name, got, c.lost)
		}
	}
}

// Logs are searched for texts, openids and secrets.
func TestJudgeReadsLogs(t *testing.T) {
	w, q, _, _ := bench(t)
	write := func(lines ...string) {
		for i := range w.replicas {
			writeFile(t, filepath.Join(w.logs, "server-"+string(rune('0'+i))+".log"), strings.Join(lines, "\n"))
		}
	}
	write(`{"level":"info","msg":"Turn finished","follower":"0123456789"}`)
	if leaks := w.leaks(t); len(leaks) > 0 {
		t.Errorf("in clean logs: %v", leaks)
	}
	for _, text := range []string{q.text(), q.answer(1), q.asker.follower.OpenID(), token, aesKey, difyKey, redisPassword, "panic: boom"} {
		write("clean", "bad: "+text)
		if len(w.leaks(t)) == 0 {
			t.Errorf("%q was not found", text)
		}
	}
}
