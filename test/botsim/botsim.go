// Package botsim stands in for a bot's webhook server, in tests of what pushes to one: it verifies its URL, opens pushes,
// and replies as the test says. Of the server it uses server/wechat alone.
package botsim

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// Bot is the server of one account.
type Bot struct {
	t       testing.TB
	account *wechat.Account
	answer  func(http.ResponseWriter, *http.Request, *wechat.Push)

	// Refusing is set by tests of who pushes wrongly: a push that does not open gets 403, as from the server, and is no
	// failure of the test.
	Refusing bool
}

// New returns the bot of the account that o describes. answer responds to each push; one that does not open fails the
// test.
func New(t testing.TB, o wechat.Options, answer func(http.ResponseWriter, *http.Request, *wechat.Push)) *Bot {
	t.Helper()
	a, err := wechat.NewAccount(o)
	if err != nil {
		t.Fatal(err)
	}
	return &Bot{t: t, account: a, answer: answer}
}

func (b *Bot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := wechat.ParseQuery(r.URL.RawQuery)
	if err != nil {
		b.t.Errorf("parsing the query: %v", err)
	}
	if r.Method == http.MethodGet {
		echo, err := b.account.VerifyURL(q, time.Now())
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, echo) //nolint:gosec // its signature was good; and no browser reads it
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Errorf("reading the push: %v", err)
	}
	push, err := b.account.Open(q, body, time.Now())
	if err != nil {
		if !b.Refusing {
			b.t.Errorf("opening the push: %v", err)
		}
		w.WriteHeader(http.StatusForbidden)
		return
	}
	b.answer(w, r, push)
}

// Reply writes a reply to a push, encrypted if the push was.
func (b *Bot) Reply(w http.ResponseWriter, to *wechat.Push, reply wechat.Reply) {
	b.t.Helper()
	body, err := b.account.Reply(to, reply, time.Now())
	if err != nil {
		b.t.Errorf("replying: %v", err)
	}
	_, _ = w.Write(body)
}
