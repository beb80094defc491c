package turn_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// Each page of a complete answer but the last says which of how many it is, also with a link to the whole beside it.
func TestPagesAreNumbered(t *testing.T) {
	for _, length := range []int{400, 650, 700, 1300, 1999, 3000, 12000} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprint(length, whole), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: length}), wholeLink: func(label string, k session.Key, _ time.Time) string {
						if !whole {
							return ""
						}
						return "<" + label + k.ID + ">"
					}})
					f := b.follower("alice")
					x := f.Send(ask)
					var replies []string
					for replies = append(replies, x.whole); x.kind == turn.Page && len(replies) < 60; replies = append(replies, x.whole) {
						x = f.Send("1")
					}
					for i, text := range replies {
						if len(text) > pageBytes {
							t.Errorf("page %d has %d bytes", i+1, len(text))
						}
						number := fmt.Sprintf("继续 %d/%d<", i+1, len(replies))
						last := i == len(replies)-1
						if strings.Contains(text, number) == last || last && strings.Contains(text, "继续") {
							t.Errorf("page %d of %d ends in …%s", i+1, len(replies), text[max(0, len(text)-90):])
						}
						if want := whole && len(replies) > 1; strings.Contains(text, "<看全文") != want {
							t.Errorf("page %d of %d has a link to the whole: %v, want %v", i+1, len(replies), !want, want)
						}
					}
				})
			})
		}
	}
}

// What was shown while the answer grew counts as the pages that it would have taken.
func TestPagesAreNumbered_BehindAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, setup{simmed: simmed(difysim.Behaviour{Length: 3000, FirstText: time.Second, Total: 20 * time.Second}), settings: holds(0)})
		f := b.follower("alice")
		if x := f.Send(ask); x.kind != turn.Partial || strings.Contains(x.whole, "/") && strings.Contains(x.whole, "继续 ") {
			t.Fatalf("got %s %q", x.kind, x.whole)
		}
		time.Sleep(time.Minute)
		x := f.Send("1")
		if x.kind != turn.Page || !strings.Contains(x.whole, "继续 2/5<") {
			t.Errorf("got %s …%s, want page 2 of 5", x.kind, x.whole[max(0, len(x.whole)-90):])
		}
	})
}
