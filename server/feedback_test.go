package server

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// ratings are the two links under an answer.
func ratings(t *testing.T, links []wechatsim.Link) (like, dislike wechatsim.Link) {
	t.Helper()
	if len(links) < 2 || links[len(links)-2].Label != "👍" || links[len(links)-1].Label != "👎" {
		t.Fatalf("the answer has the links %+v", links)
	}
	return links[len(links)-2], links[len(links)-1]
}

// A tap rates the answer that it stands under, whatever was asked since.
func TestFeedback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+"reply: {feedback: true}\n")
		r := p.run(t)
		f := r.platform(t).Follower("")
		ask := func(q string) *wechatsim.Exchange {
			x, err := f.Send(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		first := ask("甲？")
		second := ask("乙？")
		like, _ := ratings(t, first.Links)
		_, dislike := ratings(t, second.Links)
		for _, l := range []wechatsim.Link{like, dislike} {
			x, err := f.Tap(t.Context(), l)
			if err != nil || x.Text != "谢谢您的评价。" {
				t.Errorf("the tap got %q, %v", x.Text, err)
			}
		}
		synctest.Wait()
		calls := p.dify.Calls()
		if len(calls) != 2 || p.dify.Requests("POST /messages/{id}/feedbacks") != 2 {
			t.Fatalf("Dify was asked %d times, rated %d times", len(calls), p.dify.Requests("POST /messages/{id}/feedbacks"))
		}
		if m := p.dify.Messages(calls[1].Conversation); len(m) != 2 || m[0].Rating != "like" || m[1].Rating != "dislike" {
			t.Errorf("Dify has %+v", m)
		}
		if x := ask("/help"); strings.Contains(x.Text, "👍") {
			t.Errorf("the help can be rated: %q", x.Text)
		}
		if x := ask("/clear"); x.Text == "" {
			t.Error("nothing was cleared")
		}
		if x, err := f.Tap(t.Context(), like); err != nil || !strings.HasPrefix(x.Text, "还没有可以查看的回答") {
			t.Errorf("after /clear a tap got %q, %v", x.Text, err)
		}
		if x := ask("👍"); !strings.HasPrefix(x.Text, "回答「👍」") {
			t.Errorf("what is typed got %q", x.Text)
		}
	})
}

// Of several pages the last has the links, within its bytes.
func TestFeedback_OfALongAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, withPage[:len(withPage)-2]+", feedback: true}\n")
		p.dify.SetBehaviour(difysim.Behaviour{Answer: long})
		f := p.run(t).platform(t).Follower("")
		x, err := f.Send(t.Context(), "问")
		for n := 0; err == nil && !strings.Contains(x.Text, "结尾在这里。") && n < 10; n++ {
			if strings.Contains(x.Text, "👍") {
				t.Errorf("page %d can be rated", n+1)
			}
			x, err = f.Send(t.Context(), "1")
		}
		if err != nil {
			t.Fatal(err)
		}
		ratings(t, x.Links)
	})
}
