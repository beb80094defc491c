package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/botsim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token = "loadToken"
	key   = "wxOperatorFixtureEncodingAESKey0123456789aB"
	appID = "wx0123456789abcdef"
)

// bot answers a question with its second page behind a tap-link: what a follower sees of a long answer.
type bot struct {
	*botsim.Bot

	think   time.Duration
	endless bool

	mu     sync.Mutex
	failed int
	fail   int // that many questions fail at all
}

func newBot(t *testing.T, sealed bool) *bot {
	t.Helper()
	o := wechat.Options{Tokens: []string{token}, Window: 24 * time.Hour}
	if sealed {
		o.AppID, o.EncodingAESKeys = appID, []string{key}
	}
	b := new(bot)
	b.Bot = botsim.New(t, o, b.answer)
	return b
}

func (b *bot) answer(w http.ResponseWriter, r *http.Request, push *wechat.Push) {
	b.mu.Lock()
	failing := b.failed < 3*b.fail
	if failing {
		b.failed++
	}
	b.mu.Unlock()
	if failing {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if !sleep(r.Context(), b.think) {
		return
	}
	text := "page two"
	if push.Content != "1" || b.endless {
		text = "page one " + wechat.TapLink("继续", "1", "p2")
	}
	b.Reply(w, push, wechat.Text{Content: text})
}

// runCommand runs the command on a bot's in-process transport and gives its table, with runs of blanks made one.
func runCommand(t *testing.T, ctx context.Context, b *bot, args ...string) (string, error) { //nolint:revive // t first, as in every helper
	t.Helper()
	transport := wechatsim.HandlerTransport(b)
	var out strings.Builder
	c := command(&out, transport) //nolint:contextcheck // cobra hands the context over
	c.SetArgs(append([]string{"--url", "http://bot.example/wechat", "--token", token}, args...))
	c.SetOut(&out)
	err := c.ExecuteContext(ctx)
	transport.Wait()
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n"), err
}

func TestLoad(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*bot)
		sealed  bool
		args    []string
		want    string
	}{
		{
			"questions are asked at the rate and followed to the end of the answer",
			func(b *bot) { b.think = time.Second }, true,
			[]string{"--aes-key", key, "--app-id", appID, "--followers", "10", "--rate", "2", "--duration", "3s"},
			`questions 6 in 6.5s (0 more found no free follower)
answered 6 of 6
messages per question 2.00
fault toasts 0
account blocked 0 times
time to the whole answer p50 4s p90 4s p99 4s max 4s
time to a reply p50 1s p90 1s p99 1s max 1s
deliveries 12 for 12 messages`,
		},
		{
			"failures are counted by their kind",
			func(b *bot) { b.fail = 1 }, false,
			[]string{"--followers", "1", "--rate", "1", "--duration", "17s", "--pause", "100ms"},
			`questions 7 in 16.1s (10 more found no free follower)
answered 6 of 7
messages per question 2.00
fault toasts 1
account blocked 0 times
time to the whole answer p50 100ms p90 100ms p99 100ms max 100ms
time to a reply p50 0s p90 0s p99 0s max 0s
deliveries 15 for 13 messages
HTTP status 502 3`,
		},
		{
			"an answer without end is no answer",
			func(b *bot) { b.endless = true }, false,
			[]string{"--followers", "1", "--rate", "1", "--duration", "1s", "--pause", "1s"},
			`questions 1 in 20s (0 more found no free follower)
answered 0 of 1
messages per question 0.00
fault toasts 0
account blocked 0 times
time to the whole answer p50 0s p90 0s p99 0s max 0s
time to a reply p50 0s p90 0s p99 0s max 0s
deliveries 21 for 21 messages`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBot(t, test.sealed)
				test.prepare(b)
				got, err := runCommand(t, t.Context(), b, test.args...)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(test.want, got); d != "" {
					t.Errorf("table (-want +got):\n%s", d)
				}
			})
		})
	}
}

func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBot(t, false)
		b.think = 4 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		got, err := runCommand(t, ctx, b, "--followers", "2", "--rate", "1", "--duration", "1h")
		if err != nil || !strings.Contains(got, "questions 2 in 5.5s") || !strings.Contains(got, "interrupted 2") {
			t.Errorf("%v, table:\n%s\nwant 2 questions interrupted after 5.5 s", err, got)
		}
	})
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no followers", []string{"--followers", "0"}, errLoad.Error()},
		{"a wrong token", []string{"--token", "another"}, "verifying the URL: HTTP status 403"},
		{"no AppID", []string{"--aes-key", key}, "secure mode needs the account's AppID"},
		{"an argument", []string{"hello"}, `unknown command "hello" for "wechatsim"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := runCommand(t, t.Context(), newBot(t, false), test.args...); err == nil || err.Error() != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}

func TestHelpShowsNoSecretOfTheEnvironment(t *testing.T) {
	t.Setenv("WECHAT_TOKEN", "verySecretToken")
	t.Setenv("WECHAT_AES_KEY", key)
	got, err := runCommand(t, t.Context(), newBot(t, false), "--help")
	if err != nil || !strings.Contains(got, "--followers") || strings.Contains(got, "verySecretToken") || strings.Contains(got, key) {
		t.Errorf("help (%v):\n%s", err, got)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestUnwritableTable(t *testing.T) {
	if err := new(tally).write(brokenPipe{}, wechatsim.Stats{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("write = %v, want the writer's error", err)
	}
}
