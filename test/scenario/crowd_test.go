// Package scenario runs crowds of followers against a bot: WeChat's stand-in pushes, all of a webhook server answers,
// Dify's stand-in streams. Its tests run on a fake clock; with -update they run on the real one, over loopback against
// the whole server, and write docs/behaviour.md.
//
// It has tests only.
package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const (
	token = "scenarioToken"
	key   = "scenarioEncodingAESKey0123456789abcdefghijk"
	appID = "wx00000000scenario"

	appSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

	think = 2 * time.Second // between a reply and the follower's tap on its link
	taps  = 6               // more than any answer here takes: a follower who needs more is given up
)

// world is one bot with what is around it.
type world struct {
	dify     *difysim.Server
	platform *wechatsim.Platform
}

// configure writes the files of a server that listens on loopback and asks this Dify.
func configure(t *testing.T, dify string, c serverconfig.Config) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"token": token, "dify-api-key": "app-scenario", "encoding-aes-key": key} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	if c.Reply.Mode == serverconfig.ReplyModeCustomerService {
		writeFile(t, filepath.Join(dir, "app-secret"), appSecret)
	}
	c.Bot, c.SecretsDir, c.Dify.BaseURL = "test/scenario", dir, dify
	c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	path := filepath.Join(dir, "bot.yaml")
	writeFile(t, path, string(serverconfig.Marshal(c)))
	return path
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// join joins the platform to a bot's URL, verify has it looked at as the console does.
func (w *world) join(t *testing.T, url string, o wechatsim.Options) {
	t.Helper()
	var err error
	w.platform, err = wechatsim.New(wechatsim.Account{
		URL: url, Token: token, EncodingAESKey: key, AppID: appID, AppSecret: appSecret, Mode: wechatsim.Secure,
	}, o)
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) verify(t *testing.T) {
	t.Helper()
	if err := w.platform.VerifyURL(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// story is what became of one question.
type story struct {
	question string
	messages int           // that the follower sent for it: the question, and taps on links
	first    time.Duration // until the first text of the answer
	whole    time.Duration // until its end; 0 if it was never seen
	sends    int           // messages that came outside replies
	refused  bool          // told at once to ask later
	pieces   []string      // of the answer
	replies  []string
}

// ask asks as a patient follower does, who taps on what goes on until the answer is whole.
func ask(ctx context.Context, t *testing.T, f *wechatsim.Follower, question, answer string) story {
	t.Helper()
	s := story{question: question}
	began := time.Now()
	send := func() (*wechatsim.Exchange, error) { return f.Send(ctx, question) }
	for s.messages < taps {
		x, err := send()
		s.messages++
		if err != nil {
			t.Errorf("%s: %v", question, err)
			return s
		}
		if x.Outcome == wechatsim.Replied {
			s.take(x.Text, answer, time.Since(began))
			if s.whole > 0 || s.refused {
				return s
			}
		}
		link := goOn(x.Links)
		select {
		case <-time.After(think): // a person reads and reaches for the link
		case <-ctx.Done():
		}
		send = func() (*wechatsim.Exchange, error) {
			if link.Send == "" { // after a fault toast: reply 1, as the waiting line says
				return f.Send(ctx, "1")
			}
			return f.Tap(ctx, link)
		}
	}
	return s
}

// take adds what a reply shows of the answer. A reply about another question adds nothing.
func (s *story) take(text, answer string, after time.Duration) {
	s.replies = append(s.replies, text)
	body, _, _ := strings.Cut(text, "\n\n<a href=\"weixin://bizmsgmenu")
	if head, rest, quoted := strings.Cut(body, "\n------------\n"); quoted {
		if head != s.question {
			return
		}
		body = rest
	}
	if strings.Contains(body, "请过一会儿再问") {
		s.refused = true
		return
	}
	if !strings.Contains(squeeze(answer), squeeze(body)) {
		return // a waiting line
	}
	if len(s.pieces) == 0 {
		s.first = after
	}
	s.pieces = append(s.pieces, body)
	if squeeze(strings.Join(s.pieces, "")) == squeeze(answer) {
		s.whole = after
	}
}

// squeeze drops white space: pages are cut at it.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

// goOn is the link that asks for more.
func goOn(links []wechatsim.Link) wechatsim.Link {
	for _, l := range links {
		if l.Send == "1" {
			return l
		}
	}
	return wechatsim.Link{}
}

// echoed is what the follower is to see of difysim's answer to a question.
func echoed(question string, length int) string {
	return render.Text(difysim.Echo(question, length), nil, render.Options{})
}

// asker asks one question of one follower, and tells what became of it.
type asker func(ctx context.Context, t *testing.T, f *wechatsim.Follower, question, answer string) story

// crowd lets n followers ask one question each, spread over a time, and waits for all of them.
func (w *world) crowd(t *testing.T, n int, spread time.Duration, length int, ask asker) []story {
	t.Helper()
	stories := make([]story, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			select {
			case <-time.After(spread * time.Duration(i) / time.Duration(n)):
			case <-t.Context().Done():
				return
			}
			question := fmt.Sprintf("第 %d 位关注者的问题是什么？", i)
			stories[i] = ask(t.Context(), t, w.platform.Follower(""), question, echoed(question, length))
		})
	}
	all.Wait()
	return stories
}
