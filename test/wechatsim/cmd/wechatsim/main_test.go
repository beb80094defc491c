package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
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

// A bot that acknowledges a question and pushes the answer: one part, then the rest.
func TestPushedAnswers(t *testing.T) {
	b := newBot(t, true)
	var apiURL atomic.Value
	var pushing sync.WaitGroup
	t.Cleanup(pushing.Wait)
	push := func(to string) {
		var token struct {
			Value string `json:"access_token"`
		}
		answer := callAPI(t, apiURL.Load().(string)+wechatsim.TokenPath,
			`{"grant_type":"client_credential","appid":"`+appID+`","secret":"secret"}`)
		if err := json.Unmarshal(answer, &token); err != nil {
			t.Errorf("%v: %s", err, answer)
		}
		for _, text := range []string{"a part", "the rest"} {
			body := `{"touser":"` + to + `","msgtype":"text","text":{"content":"` + text + `"}}`
			if answer := callAPI(t, apiURL.Load().(string)+wechatsim.SendPath+"?access_token="+token.Value, body); string(answer) != `{"errcode":0,"errmsg":"ok"}` {
				t.Errorf("a send is answered with %s", answer)
			}
		}
	}
	b.Bot = botsim.New(t, wechat.Options{Tokens: []string{token}, AppID: appID, EncodingAESKeys: []string{key}, Window: 24 * time.Hour},
		func(w http.ResponseWriter, _ *http.Request, p *wechat.Push) {
			pushing.Go(func() { push(p.FromUserName) })
			_, _ = io.WriteString(w, wechat.Success)
		})
	r, w := io.Pipe()
	transport := wechatsim.HandlerTransport(b)
	c := command(w, transport)
	c.SetArgs([]string{"--url", "http://bot.example/wechat", "--token", token, "--aes-key", key, "--app-id", appID, "--app-secret", "secret",
		"--api-listen", "127.0.0.1:0", "--followers", "1", "--rate", "5", "--duration", "900ms"})
	ended := make(chan error, 1)
	go func() {
		ended <- c.ExecuteContext(t.Context())
		transport.Wait()
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "server API: http://") {
		t.Fatalf("the first line is %q", lines.Text())
	}
	apiURL.Store(strings.TrimPrefix(lines.Text(), "server API: "))
	var table strings.Builder
	for lines.Scan() {
		table.WriteString(strings.Join(strings.Fields(lines.Text()), " ") + "\n")
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"answered 1 of 1\n", "messages per question 1.00\n", "sends 2, of which 2 were taken\n", "rules of WeChat's broken 0\n"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
}

// callAPI makes a call of the server API and gives the answer.
func callAPI(t *testing.T, target, body string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return nil
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return answer
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
	p, err := wechatsim.New(wechatsim.Account{URL: "http://bot.example/", Token: token}, wechatsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := new(tally).write(brokenPipe{}, p, true); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("write = %v, want the writer's error", err)
	}
}
