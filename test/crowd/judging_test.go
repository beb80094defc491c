package crowd

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// bench is two followers with questions, for the judge to be judged.
func bench(t *testing.T) (a *Asker, mine, mineToo, theirs *Question) {
	t.Helper()
	p, err := wechatsim.New(wechatsim.Account{URL: "http://127.0.0.1/", Token: "crowdToken"}, wechatsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := New(p, 2, 0, nil)
	plan := Plan{Sentences: 8}
	return c.Askers[0], c.Askers[0].Think(plan), c.Askers[0].Think(plan), c.Askers[1].Think(plan)
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
		asks *Question // nil: the follower asks for more
		text string
	}
	for name, c := range map[string]struct {
		shown func(mine, mineToo, theirs *Question) []shown
		wrong string // "" is nothing
		whole bool   // the first question is answered to its end
	}{
		"the whole answer": {whole: true, shown: func(q, _, _ *Question) []shown { return []shown{{q, q.Answer(1)}} }},
		"a waiting line, then two pages": {whole: true, shown: func(q, _, _ *Question) []shown {
			first, second, _ := strings.Cut(q.Answer(1), "\n\n")
			return []shown{{q, "[[waiting]]" + moreLink}, {nil, q.Text() + "\n------------\n" + first + moreLink}, {nil, second}}
		}},
		"a page again": {whole: true, shown: func(q, _, _ *Question) []shown {
			first, second, _ := strings.Cut(q.Answer(1), "\n\n")
			return []shown{{q, first + moreLink}, {nil, first + moreLink}, {nil, second}}
		}},
		"another call's answer from its beginning": {whole: true, shown: func(q, _, _ *Question) []shown {
			first, _, _ := strings.Cut(q.Answer(1), "\n\n")
			return []shown{{q, first + moreLink}, {nil, q.Answer(2)}}
		}},
		"another call's answer from its middle": {wrong: "left out", shown: func(q, _, _ *Question) []shown {
			first, _, _ := strings.Cut(q.Answer(1), "\n\n")
			_, second, _ := strings.Cut(q.Answer(2), "\n\n")
			return []shown{{q, first + moreLink}, {nil, second}}
		}},
		"back to an older call's answer": {wrong: "an older call's", whole: true, shown: func(q, _, _ *Question) []shown {
			return []shown{{q, q.Answer(2)}, {nil, q.Answer(1)}}
		}},
		"a page left out": {wrong: "left out", shown: func(q, _, _ *Question) []shown {
			_, second, _ := strings.Cut(q.Answer(1), "\n\n")
			return []shown{{q, second}}
		}},
		"two answers mixed": {wrong: "not a piece of one answer", shown: func(q, other, _ *Question) []shown {
			return []shown{{q, q.Answer(1) + other.Answer(1)}}
		}},
		"another follower's answer":  {wrong: "ANOTHER FOLLOWER", shown: func(q, _, theirs *Question) []shown { return []shown{{q, theirs.Answer(1)}} }},
		"another question's answer":  {wrong: "another question's answer", shown: func(q, other, _ *Question) []shown { return []shown{{q, other.Answer(1)}} }},
		"an answer under a question": {whole: true, shown: func(q, _, _ *Question) []shown { return []shown{{nil, q.Text() + "\n------------\n" + q.Answer(1)}} }},
		"an answer under another question": {wrong: "under another question's words", whole: true, shown: func(q, other, _ *Question) []shown {
			return []shown{{nil, other.Text() + "\n------------\n" + q.Answer(1)}}
		}},
		"an answer under no question": {wrong: "without saying", whole: true, shown: func(q, _, _ *Question) []shown { return []shown{{nil, q.Answer(1)}} }},
		"a text of nobody's":          {wrong: "no answer", shown: func(q, _, _ *Question) []shown { return []shown{{q, "Internal Server Error"}} }},
		"a turn that failed":          {wrong: "has failed", shown: func(q, _, _ *Question) []shown { return []shown{{q, "[[timedOut]]" + retryLink}} }},
	} {
		t.Run(name, func(t *testing.T) {
			a, mine, mineToo, theirs := bench(t)
			var wrongs []string
			for _, s := range c.shown(mine, mineToo, theirs) {
				wrongs = append(wrongs, a.take(s.asks, replied(s.text))...)
			}
			if all := strings.Join(wrongs, "; "); c.wrong == "" && all != "" || !strings.Contains(all, c.wrong) {
				t.Errorf("found %q, want %q", all, c.wrong)
			}
			if mine.Whole != c.whole {
				t.Errorf("answered to its end: %v, want %v", mine.Whole, c.whole)
			}
		})
	}
}

// What becomes of a question is told apart: refused, not taken, accepted.
func TestJudgeReadsOutcomes(t *testing.T) {
	a, q, other, _ := bench(t)
	if wrongs := a.take(q, replied("[[busy]]")); len(wrongs) > 0 || !q.Refused || q.Accepted || len(a.Refusals) != 1 {
		t.Errorf("a refusal: %v, %+v", wrongs, q)
	}
	if wrongs := a.take(other, replied("[[busy]]"+retryLink)); len(wrongs) != 1 || other.Refused {
		t.Errorf("a turn that failed because Dify was busy: %v, refused %v", wrongs, other.Refused)
	}
	a, q, other, _ = bench(t)
	if wrongs := a.take(q, &wechatsim.Exchange{Outcome: wechatsim.Fault, Toast: true}); len(wrongs) > 0 || q.Accepted || q.Toasts != 1 {
		t.Errorf("a fault: %v, %+v", wrongs, q)
	}
	if wrongs := a.take(other, &wechatsim.Exchange{Outcome: wechatsim.Silent}); len(wrongs) != 1 || !other.Accepted {
		t.Errorf("silence: %v, %+v", wrongs, other)
	}
}

// A turn that the bot gave up is told once, whatever it shows of the answer; what Dify has cut is not called so.
func TestJudgeReadsFailures(t *testing.T) {
	for name, c := range map[string]struct {
		text    func(q *Question) string
		cut     int
		failure bool
	}{
		"nothing of it":      {text: func(*Question) string { return "[[failed]]" }, failure: true},
		"a part of it":       {text: func(q *Question) string { return firstRunes(q.Answer(1), 30) + "\n\n[[cutShort]]" }, failure: true},
		"a part of its mark": {text: func(q *Question) string { return firstRunes(q.Answer(3), 8) + "\n\n[[cutShort]]" }, failure: true},
		"Dify's cut":         {text: func(q *Question) string { return firstRunes(q.Answer(1), 30) + "\n\n[[cutShort]]" }, cut: 3},
	} {
		t.Run(name, func(t *testing.T) {
			a, q, _, _ := bench(t)
			q.Plan.CutAfter = c.cut
			for range 2 {
				if wrongs := a.take(q, replied(c.text(q)+retryLink)); len(wrongs) > 0 {
					t.Errorf("wrong: %v", wrongs)
				}
			}
			if a.last != q || q.CutShort == c.failure || len(a.Failures) != map[bool]int{true: 1}[c.failure] {
				t.Errorf("failures %v, cut short %v", a.Failures, q.CutShort)
			}
		})
	}
}

// All that came before the answer broke off has been read: only the notice is left, and nothing to quote for it.
func TestJudgeReadsAFailureBehindTheLastPage(t *testing.T) {
	a, q, _, _ := bench(t)
	q.Plan.CutAfter = 3
	first, _, _ := strings.Cut(q.Answer(1), "\n\n")
	a.take(q, replied(first+moreLink))
	if wrongs := a.take(nil, replied("[[cutShort]]"+retryLink)); len(wrongs) > 0 {
		t.Errorf("called wrong: %v", wrongs)
	}
	if !q.CutShort || a.last != q {
		t.Errorf("the question is not known to be broken off: %v, and the follower would not ask again", q.CutShort)
	}
}

// A question that was accepted and has no whole answer is lost, whatever else it is.
func TestJudgeFindsLostQuestions(t *testing.T) {
	for name, c := range map[string]struct {
		question *Question
		lost     bool
	}{
		"answered":                 {question: &Question{Accepted: true, Whole: true}},
		"given up":                 {question: &Question{Accepted: true}, lost: true},
		"forgotten":                {question: &Question{Accepted: true, Lost: "the bot knew nothing of it"}, lost: true},
		"refused":                  {question: &Question{Refused: true}},
		"not taken":                {question: &Question{Toasts: 1}},
		"a toast, and then a line": {question: &Question{Toasts: 1, Accepted: true}, lost: true},
	} {
		v := &Verdict{}
		c.question.Asker = &Asker{}
		v.judge(c.question)
		if got := len(v.Lost) == 1; got != c.lost {
			t.Errorf("%s: lost %v, want %v", name, got, c.lost)
		}
	}
}

// A plan travels in the question, and each of Dify's calls for a question gives an answer of its own.
func TestDifyAnswersByThePlan(t *testing.T) {
	a, mine, mineToo, theirs := bench(t)
	mine.Plan = Plan{FirstText: 300 * time.Millisecond, Total: 1500 * time.Millisecond, Sentences: 4, CutAfter: 2}
	ask := func(d *Dify, q *Question) difysim.Behaviour {
		return d.Behave(difysim.Request{Query: q.Text(), User: q.Asker.Follower.OpenID()})
	}
	var d Dify
	first, second := ask(&d, mine), ask(&d, mine)
	if first.FirstText != mine.Plan.FirstText || first.Total != mine.Plan.Total || first.Answer != mine.Answer(1) || first.Fault.Deltas != 2 {
		t.Errorf("the first call: %+v", first)
	}
	if second.Answer != mine.Answer(2) || second.Fault != (difysim.Fault{}) {
		t.Errorf("the second call: %+v", second)
	}
	if other := ask(&d, theirs); other.Answer != theirs.Answer(1) {
		t.Errorf("another follower's: %+v", other)
	}
	if got := d.Behave(difysim.Request{Query: "你好", User: "x"}); got.Answer == "" || got.Fault != (difysim.Fault{}) {
		t.Errorf("a question of nobody's: %+v", got)
	}
	calls := []difysim.Call{
		{Request: difysim.Request{Query: mine.Text(), User: a.Follower.OpenID()}},
		{Request: difysim.Request{Query: mineToo.Text(), User: theirs.Asker.Follower.OpenID()}},
	}
	byQuestion, others := a.crowd.Calls(calls)
	if len(byQuestion) != 1 || len(byQuestion[mine]) != 1 || len(others) != 1 {
		t.Errorf("calls by question %v, others %v", byQuestion, others)
	}
}

// A question that brought nothing but a fault toast is given up when the bot has nothing unseen left, and is not lost.
func TestAskerGivesUpWhatNeverArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var old *Question
		p, err := wechatsim.New(wechatsim.Account{URL: "http://bot.example/", Token: "crowdToken"}, wechatsim.Options{
			Transport: wechatsim.HandlerTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var push struct{ FromUserName, ToUserName, Content string }
				if err := xml.NewDecoder(r.Body).Decode(&push); err != nil || push.Content != "1" {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				_, _ = fmt.Fprintf(w, "<xml><ToUserName>%s</ToUserName><FromUserName>%s</FromUserName><CreateTime>1</CreateTime>"+
					"<MsgType>text</MsgType><Content>%s</Content></xml>", push.FromUserName, push.ToUserName, old.Text()+"\n------------\n"+old.Answer(1))
			})),
		})
		if err != nil {
			t.Fatal(err)
		}
		c := New(p, 1, 0, nil)
		a := c.Askers[0]
		old = a.Think(Plan{Sentences: 2})
		if wrongs := a.take(old, replied(old.Answer(1))); len(wrongs) > 0 || !old.Whole {
			t.Fatalf("the first answer: %v", wrongs)
		}
		a.ask(t.Context(), a.Think(Plan{Sentences: 2}))
		if v := c.Judge(); v.Untaken != 1 || len(v.Lost) > 0 || len(v.Wrongs) > 0 {
			t.Errorf("verdict %+v", v)
		}
	})
}

// Of a bot that pushes nothing may be seen twice that was not asked for, by a message or by the reply to a question.
func TestJudgeReadsPushes(t *testing.T) {
	type shown struct {
		asks    *Question // of a reply: nil if the follower asks for more
		text    string
		pushed  bool
		unmarks bool // without WeChat's line
	}
	for name, c := range map[string]struct {
		shown func(mine, mineToo *Question) []shown
		wrong string // "" is nothing
	}{
		"two pages": {shown: func(q, _ *Question) []shown {
			first, second, _ := strings.Cut(q.Answer(1), "\n\n")
			return []shown{{text: first, pushed: true}, {text: second, pushed: true}}
		}},
		"a reply, and the rest": {shown: func(q, _ *Question) []shown {
			first, second, _ := strings.Cut(q.Answer(1), "\n\n")
			return []shown{{asks: q, text: first + moreLink}, {text: second, pushed: true}}
		}},
		"a page that was asked for": {shown: func(q, _ *Question) []shown {
			first, second, _ := strings.Cut(q.Answer(1), "\n\n")
			return []shown{{text: first, pushed: true}, {text: first + moreLink}, {text: second}}
		}},
		"another call's answer": {shown: func(q, _ *Question) []shown {
			first, _, _ := strings.Cut(q.Answer(1), "\n\n")
			return []shown{{text: first, pushed: true}, {text: q.Answer(2), pushed: true}}
		}},
		"a message twice": {wrong: "twice", shown: func(q, _ *Question) []shown {
			return []shown{{text: q.Answer(1), pushed: true}, {text: q.Answer(1), pushed: true}}
		}},
		"a message, and the reply to its question": {wrong: "twice", shown: func(q, _ *Question) []shown {
			return []shown{{text: q.Answer(1), pushed: true}, {asks: q, text: q.Answer(1)}}
		}},
		"a page left out": {wrong: "left out", shown: func(q, _ *Question) []shown {
			_, second, _ := strings.Cut(q.Answer(1), "\n\n")
			return []shown{{text: second, pushed: true}}
		}},
		"another question's": {wrong: "another question's answer", shown: func(_, other *Question) []shown {
			return []shown{{text: other.Answer(1), pushed: true}}
		}},
		"another question's that says so": {shown: func(_, other *Question) []shown {
			return []shown{{text: other.Text() + "\n------------\n" + other.Answer(1), pushed: true}}
		}},
		"the answer to a question that is still being delivered": {shown: func(q, other *Question) []shown {
			other.Asked = q.Asked
			return []shown{{text: q.Text() + "\n------------\n" + q.Answer(1), pushed: true}, {text: other.Answer(1), pushed: true}}
		}},
		"an answer before the question that is open": {shown: func(q, other *Question) []shown {
			other.Accepted = true // and was asked after it came
			return []shown{{text: q.Answer(1), pushed: true}}
		}},
		"an answer after another question, as if it were its": {wrong: "another question's answer", shown: func(q, other *Question) []shown {
			other.Asked, other.Accepted = q.Asked, true
			return []shown{{text: q.Answer(1), pushed: true}}
		}},
		"no line of WeChat's": {wrong: "without the line", shown: func(q, _ *Question) []shown {
			return []shown{{text: q.Answer(1), pushed: true, unmarks: true}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, mine, mineToo, _ := bench(t)
			came := time.Unix(1_800_000_000, 0)
			a.crowd.Pushed, mine.Accepted = true, true
			mine.Asked, mineToo.Asked = came.Add(-time.Second), came.Add(time.Second)
			var wrongs []string
			for _, s := range c.shown(mine, mineToo) {
				if s.pushed {
					wrongs = append(wrongs, a.receive(wechatsim.Bubble{Text: s.text, At: came, Pushed: true, AI: !s.unmarks})...)
				} else {
					wrongs = append(wrongs, a.take(s.asks, replied(s.text))...)
				}
			}
			if all := strings.Join(wrongs, "; "); c.wrong == "" && all != "" || !strings.Contains(all, c.wrong) {
				t.Errorf("found %q, want %q", all, c.wrong)
			}
		})
	}
}

// A part that comes twice without being asked for is told with when it came before, piece by piece.
func TestTwice_SaysWhenItCameBefore(t *testing.T) {
	a, q, _, _ := bench(t)
	a.crowd.Pushed = true
	at := func(s int) time.Time { return time.Unix(1_800_000_000+int64(s), 0) }
	all := len(q.expected(1))
	for i, cut := range []struct{ from, to int }{{0, 10}, {10, 20}, {20, all}} {
		if wrongs := q.progress(1, cut.from, cut.to, all, true, at(i)); len(wrongs) > 0 {
			t.Fatalf("piece %d: %v", i, wrongs)
		}
	}
	a.note(q.progress(1, 5, 20, all, true, at(9)))
	v := a.crowd.Judge()
	if len(v.Twice) != 1 || !v.Twice[0].First.Equal(at(0)) || !v.Twice[0].Last.Equal(at(1)) || len(v.Wrongs) != 1 || v.Twice[0].Wrong != v.Wrongs[0] {
		t.Errorf("twice %+v, wrong %q; want one, shown before at %v and %v", v.Twice, v.Wrongs, at(0), at(1))
	}
}
