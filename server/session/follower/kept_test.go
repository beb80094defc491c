package follower

import (
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// A question that could not be made durable gives back what has waited for it: the next delivery begins it anew, with all of it.
func TestWithdrawGivesMediaBack(t *testing.T) {
	r, now := &Record{}, time.Unix(1_700_000_000, 0)
	step := func() *Step {
		now = now.Add(time.Second)
		return NewStep(r, now, Totals{}, session.Options{Holder: "a", IdleTimeout: time.Hour, History: 3}, true)
	}
	limits := session.Limits{Concurrency: 1, Queue: 1, Open: 1}
	question := session.Question{Key: session.Key{Follower: "f", ID: "q"}, Text: "what is it?"}
	step().Keep("p1", session.Media{Kind: "image", ID: "1"}, 2, false)
	if got := step().Begin(question, false, true, limits); len(got.Turn.Media) != 1 || len(r.Kept) != 0 {
		t.Fatalf("begun with %v, and %v waits", got.Turn.Media, r.Kept)
	}
	step().Keep("p2", session.Media{Kind: "image", ID: "2"}, 2, false)
	if !step().Withdraw("q", 1) {
		t.Fatal("it is not withdrawn")
	}
	if got := step().Begin(question, false, true, limits); len(got.Turn.Media) != 2 || got.Turn.Media[0].ID != "1" {
		t.Errorf("begun anew with %v", got.Turn.Media)
	}
	step().MarkDurable("q")
	if step().Withdraw("q", 1) || len(r.Kept) != 0 {
		t.Errorf("a durable question gives %v back", r.Kept)
	}
}
