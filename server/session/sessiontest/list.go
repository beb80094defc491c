package sessiontest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func listCases() []Case {
	return []Case{
		{"all sessions are listed, page by page", listPages},
		{"a list has sizes and open turns, and no texts", listWithoutTexts},
		{"who is forgotten is not listed", listForgets},
		{"a page that begins nowhere is refused", listNowhere},
		{"who waits to be claimed is counted, for all processes", waitingIsCounted},
	}
}

// list gives all sessions by follower, and sees that no page is much larger than asked for.
func (h *handle) list(about, most int) map[string]session.Listed {
	h.t.Helper()
	all := make(map[string]session.Listed)
	for from, pages := "", 0; ; pages++ {
		page, err := h.store.List(h.t.Context(), from, about)
		h.check("List", err)
		if len(page.Sessions) > most {
			h.t.Fatalf("a page of %d sessions, %d were asked for", len(page.Sessions), about)
		}
		for _, s := range page.Sessions {
			all[s.Follower] = s
		}
		if page.Next == "" {
			return all
		}
		if from = page.Next; pages > 10_000 {
			h.t.Fatal("the pages do not end")
		}
	}
}

func listPages(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	if got := a.list(3, 0); len(got) != 0 {
		t.Errorf("an empty store lists %v", got)
	}
	const followers = 250
	for i := range followers {
		a.open(fmt.Sprintf("follower %d", i), "1")
	}
	for _, by := range []*handle{a, b} {
		for _, about := range []int{1, 7, followers, 1000} {
			if got := by.list(about, max(about, followers)); len(got) != followers {
				t.Errorf("pages of about %d list %d of %d followers", about, len(got), followers)
			}
		}
	}
}

func listWithoutTexts(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	a.start("alice", "2")
	a.enqueue("alice", "3")
	a.open("bob", "1")
	got := b.list(10, 10)
	alice, bob := got["alice"], got["bob"]
	var states []string
	for _, turn := range alice.Turns {
		states = append(states, turn.State.String())
		if turn.Question != "" || turn.Answer.Markdown != "" {
			t.Errorf("a listed turn has texts: %+v", turn)
		}
		if turn.AcceptedAt.IsZero() {
			t.Errorf("a listed turn has no age: %+v", turn)
		}
	}
	if strings.Join(states, " ") != "answered answering accepted" || alice.LastActive.IsZero() {
		t.Errorf("alice is listed as %+v", alice)
	}
	if alice.Bytes <= bob.Bytes || bob.Bytes <= 0 || len(bob.Turns) != 0 {
		t.Errorf("alice takes %d bytes, bob %d, with %d turns", alice.Bytes, bob.Bytes, len(bob.Turns))
	}
}

func listForgets(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	a.answer("alice", "1")
	a.answer("bob", "1")
	b.forget("alice")
	got := a.list(10, 10)
	if _, still := got["alice"]; still || len(got) != 1 {
		t.Errorf("after alice was forgotten, listed are %v", got)
	}
}

func listNowhere(t *testing.T, h Harness) {
	a, _ := open(t, h, options())
	if _, err := a.store.List(t.Context(), "nowhere", 10); !errors.Is(err, session.ErrNoPage) {
		t.Errorf("got %v, want ErrNoPage", err)
	}
}

func waitingIsCounted(t *testing.T, h Harness) {
	a, b := open(t, h, options())
	want := func(when string, n int) {
		t.Helper()
		for _, by := range []*handle{a, b} {
			if got, err := by.store.Waiting(t.Context()); err != nil || got != n {
				t.Errorf("%s: %d wait, %v; want %d", when, got, err, n)
			}
		}
	}
	want("at first", 0)
	a.enqueue("alice", "1")
	a.enqueue("alice", "2") // behind the first: it waits for that, not for a place
	b.enqueue("bob", "1")
	want("with two followers' questions", 2)
	l := b.wantNext("alice", "1")
	want("with one of them claimed", 1)
	b.finish(l, "answer", "")
	want("with the next one behind it", 2)
}
