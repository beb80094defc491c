package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/cmd/chat/prompt"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/botsim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token = "chatToken"
	key   = "wxOperatorFixtureEncodingAESKey0123456789aB"
	appID = "wx0123456789abcdef"
)

var quiet = log.New(io.Discard, "", 0)

// newBot returns a bot that echoes texts, and does what some of them say.
func newBot(t *testing.T, sealed bool) *botsim.Bot {
	t.Helper()
	o := wechat.Options{Tokens: []string{token}}
	if sealed {
		o.AppID, o.EncodingAESKeys = appID, []string{key}
	}
	var b *botsim.Bot
	b = botsim.New(t, o, func(w http.ResponseWriter, r *http.Request, push *wechat.Push) { answer(b, w, r, push) })
	return b
}

// other is a reply of a kind that the product's server does not send.
const other = "<xml><ToUserName>%s</ToUserName><FromUserName>%s</FromUserName><CreateTime>1</CreateTime><MsgType>%s</MsgType>%s</xml>"

func answer(b *botsim.Bot, w http.ResponseWriter, r *http.Request, push *wechat.Push) {
	var reply wechat.Reply = wechat.Text{Content: push.MsgType + push.Event + push.EventKey + ": " + push.Content + push.MenuID}
	switch push.Content {
	case "hold":
		<-r.Context().Done()
		return
	case "broken":
		panic(http.ErrAbortHandler)
	case "nothing":
		_, _ = io.WriteString(w, wechat.Success)
		return
	case "illegal":
		_, _ = io.WriteString(w, "<html>")
		return
	case "links":
		reply = wechat.Text{Content: "see <a href=\"https://p.example/\">page</a>, " +
			wechat.TapLink("继续", "go on", "7") + " or " + wechat.TapLink("stop", "/stop", "8")}
	case "escape":
		reply = wechat.Text{Content: "a\u009b31mb\nc"}
	case "image":
		_, _ = fmt.Fprintf(w, other, push.FromUserName, push.ToUserName, "image", "<Image><MediaId>m</MediaId></Image>")
		return
	case "human":
		reply = wechat.TransferCustomerService{}
	case "news":
		_, _ = fmt.Fprintf(w, other, push.FromUserName, push.ToUserName, "news", "<ArticleCount>1</ArticleCount><Articles><item>"+
			"<Title>title</Title><Description></Description><PicUrl></PicUrl><Url>https://p.example/</Url></item></Articles>")
		return
	}
	if push.MsgType == "event" && push.Event != "subscribe" && push.Event != "CLICK" {
		_, _ = io.WriteString(w, wechat.Success)
		return
	}
	b.Reply(w, push, reply)
}

// result is all that a run shows.
type result struct {
	Code     int
	Out, Err string
}

// runChat runs the command in front of h, on the test's clock.
func runChat(t *testing.T, ctx context.Context, h http.Handler, env map[string]string, input io.Reader, args ...string) result { //nolint:revive // t first, as in every helper
	t.Helper()
	transport := wechatsim.HandlerTransport(h)
	defer transport.Wait()
	var out, errs strings.Builder
	terminal := terminal{in: input, out: &out, err: &errs, env: func(name string) string { return env[name] }, transport: transport}
	code := terminal.run(ctx, append([]string{"--url", "http://bot.example/wechat", "--openid", "oMe"}, args...))
	return result{Code: code, Out: out.String(), Err: errs.String()}
}

const greeting = "The URL is verified (plain mode). You are oMe. :help shows what you can do.\n"

func TestPrompt(t *testing.T) {
	tests := []struct{ name, input, want string }{
		{"a message and its reply", "hello\n", "> " +
			"  · delivery 1: answered after 0.0 s\ntext: hello\n> \n"},
		{"empty lines send nothing", "\n  \n", "> > > \n"},
		{"an account that does not answer", "hold\n", "> " +
			"  · delivery 1: no answer after 5.0 s\n  · delivery 2: no answer after 5.0 s\n  · delivery 3: no answer after 5.0 s\n" +
			"[ 该公众号提供的服务出现故障，请稍后再试 ]\n> \n"},
		{"a broken connection", "broken\n", "> " +
			"  · delivery 1: connection broken after 0.0 s\n  · delivery 2: connection broken after 0.0 s\n  · delivery 3: connection broken after 0.0 s\n" +
			"[ 该公众号提供的服务出现故障，请稍后再试 ]\n> \n"},
		{"an illegal reply", "illegal\n", "> " +
			"  · delivery 1: illegal reply: neither XML nor success after 0.0 s\n" +
			"  · delivery 2: illegal reply: neither XML nor success after 0.0 s\n" +
			"  · delivery 3: illegal reply: neither XML nor success after 0.0 s\n" +
			"[ 该公众号提供的服务出现故障，请稍后再试 ]\n> \n"},
		{"no reply", "nothing\n", "> " +
			"  · delivery 1: taken without a reply after 0.0 s\n(no reply)\n> \n"},
		{"links are numbered and tapped", "links\n#1\n#1\n", "> " +
			"  · delivery 1: answered after 0.0 s\nsee page (https://p.example/), 继续 [1] or stop [2]\n[1] 继续 — type #1 to tap\n[2] stop — type #2 to tap\n> " +
			"  · delivery 1: answered after 0.0 s\ntext: go on7\n> " +
			"the last reply has no link 1 to tap\n> \n"},
		{"a number sign that is no tap", "#first\n", "> " +
			"  · delivery 1: answered after 0.0 s\ntext: #first\n> \n"},
		{"events", ":follow\n:click help\n:unfollow\n", "> " +
			"  · delivery 1: answered after 0.0 s\neventsubscribe: \n> " +
			"  · delivery 1: answered after 0.0 s\neventCLICKhelp: \n> " +
			"  · delivery 1: taken without a reply after 0.0 s\n(no reply)\n> \n"},
		{"an image", ":image\n", "> " +
			"  · delivery 1: answered after 0.0 s\nimage: \n> \n"},
		{"replies that are no text", "image\nnews\nhuman\n", "> " +
			"  · delivery 1: answered after 0.0 s\n[image] \n> " +
			"  · delivery 1: answered after 0.0 s\n[news] title (https://p.example/)\n> " +
			"  · delivery 1: answered after 0.0 s\n(handed over to a human)\n> \n"},
		{"a reply cannot command the terminal", "escape\n", "> " +
			"  · delivery 1: answered after 0.0 s\na�31mb\nc\n> \n"},
		{"help, and commands that are none", ":help\n:click\n:dance now\n", "> " + prompt.Help +
			"> :click needs the key of a menu item\n> there is no command :dance; :help shows them\n> \n"},
		{"quit", ":quit\nhello\n", "> "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := runChat(t, t.Context(), newBot(t, false), nil, strings.NewReader(test.input), "--token", token)
				if d := cmp.Diff(result{Out: greeting + test.want}, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		})
	}
}

func TestLineTooLong(t *testing.T) {
	got := runChat(t, t.Context(), newBot(t, false), nil, strings.NewReader(strings.Repeat("a", prompt.MaxLine+1)), "--token", token)
	if got.Code != failed || !strings.HasPrefix(got.Err, "chat: reading the terminal: ") {
		t.Errorf("result %+v, want a failure to read", got)
	}
}

func TestMessage(t *testing.T) {
	tests := []struct {
		message string
		want    result
	}{
		{"hello", result{0, "  · delivery 1: answered after 0.0 s\ntext: hello\n", ""}},
		{":click help", result{0, "  · delivery 1: answered after 0.0 s\neventCLICKhelp: \n", ""}},
		{"nothing", result{1, "  · delivery 1: taken without a reply after 0.0 s\n(no reply)\n", ""}},
		{"hold", result{1, "  · delivery 1: no answer after 2.0 s\n  · delivery 2: no answer after 2.0 s\n  · delivery 3: no answer after 2.0 s\n" +
			"[ 该公众号提供的服务出现故障，请稍后再试 ]\n", ""}},
		{":dance", result{1, "", "chat: there is no command :dance; :help shows them\n"}},
		{":quit", result{1, "", "chat: there is no prompt to quit\n"}},
		{"#1", result{1, "", "chat: the last reply has no link 1 to tap\n"}},
	}
	for _, test := range tests {
		t.Run(test.message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := runChat(t, t.Context(), newBot(t, true), map[string]string{"WECHAT_TOKEN": token, "WECHAT_AES_KEY": key}, nil,
					"--message", test.message, "--app-id", appID, "--timeout", "2s")
				if d := cmp.Diff(test.want, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		})
	}
}

func TestCtrlC(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		in   string
		want result
	}{
		"at the prompt":         {nil, "", result{0, greeting + "> \n", ""}},
		"while a message is on": {nil, "hold\n", result{0, greeting + ">   · delivery 1: no answer after 5.0 s\n> \n", ""}},
		"during --message":      {[]string{"--message", "hold"}, "", result{130, "  · delivery 1: no answer after 5.0 s\n", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
				defer cancel()
				keyboard, typist := io.Pipe()
				go func() { _, _ = io.WriteString(typist, test.in) }()
				got := runChat(t, ctx, newBot(t, false), nil, keyboard, append(test.args, "--token", token)...)
				_ = typist.Close()
				_ = keyboard.Close()
				if d := cmp.Diff(test.want, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		})
	}
}

// The signature of the URL needs the token alone: what is wrong beyond it shows when a push is refused.
func TestRefusedPushIsExplained(t *testing.T) {
	wrong := strings.Repeat("b", len(key))
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"another AES key": {[]string{"--aes-key", wrong, "--app-id", appID}, "--aes-key or --app-id is not the bot's"},
		"another AppID":   {[]string{"--aes-key", key, "--app-id", "wx9999999999999999"}, "--aes-key or --app-id is not the bot's"},
		"no AES key":      {nil, "takes encrypted pushes only. Set --aes-key and --app-id"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bot := newBot(t, true)
				bot.Refusing = true
				got := runChat(t, t.Context(), bot, nil, nil, append(tt.args, "--token", token, "--message", "hello")...)
				if got.Code != failed || strings.Count(got.Out, tt.want) != 1 {
					t.Errorf("exit code %d, output %q; want %d and once %q", got.Code, got.Out, failed, tt.want)
				}
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	status := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	body := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
	}
	tests := []struct {
		name  string
		h     http.Handler
		args  []string
		wants []string
	}{
		{"no token", body(""), nil, []string{"chat: there is no token: set --token or WECHAT_TOKEN"}},
		{"an argument", body(""), []string{"hello"}, []string{`chat: unknown command "hello"`}},
		{"a key without AppID", body(""), []string{"--token", token, "--aes-key", key}, []string{"secure mode needs the account's AppID"}},
		{"a wrong token", newBot(t, false), []string{"--token", "another"}, []string{"HTTP status 403", "the token is not the one the bot has"}},
		{"a wrong path", status(404), []string{"--token", token}, []string{"HTTP status 404", "Check the path"}},
		{"a redirect", status(302), []string{"--token", token}, []string{"HTTP status 302", "WeChat follows no redirect"}},
		{"a bad request", status(400), []string{"--token", token}, []string{"HTTP status 400", "try https://"}},
		{"trouble", status(502), []string{"--token", token}, []string{"HTTP status 502", "its log says more"}},
		{"another status", status(418), []string{"--token", token}, []string{"HTTP status 418", "WeChat would refuse this URL"}},
		{"a page", body("<html>"), []string{"--token", token}, []string{"wrong echo", "Something other than the bot"}},
		{"quotes around the echo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `"`+r.URL.Query().Get("echostr")+`"`)
		}), []string{"--token", token}, []string{"wrong echo", "not alone"}},
		{"no answer", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
			[]string{"--token", token}, []string{"timeout", "no answer within 5s"}},
		{"a connection that ends", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
			[]string{"--token", token}, []string{"connection broken", "a proxy without a backend"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := runChat(t, t.Context(), test.h, nil, nil, append(test.args, "--message", "hello")...)
				if got.Code != failed || got.Out != "" {
					t.Errorf("exit code %d, output %q", got.Code, got.Out)
				}
				for _, want := range test.wants {
					if !strings.Contains(got.Err, want) {
						t.Errorf("error %q lacks %q", got.Err, want)
					}
				}
				if strings.Contains(got.Err, token) || strings.Contains(got.Err, "signature=") {
					t.Errorf("the error shows a secret: %q", got.Err)
				}
			})
		})
	}
}

func TestInterruptedVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		if d := cmp.Diff(result{Code: interrupted}, runChat(t, ctx, slow, nil, nil, "--token", token)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// TestNetwork is what only sockets can show.
func TestNetwork(t *testing.T) {
	plain := httptest.NewServer(newBot(t, false))
	defer plain.Close()
	secure := httptest.NewUnstartedServer(newBot(t, false))
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	defer secure.Close()
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
	nameless := &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}
	tests := []struct {
		name, url string
		transport http.RoundTripper
		code      int
		wants     []string
	}{
		{"an answer", plain.URL, nil, 0, nil},
		{"a closed port", "http://" + closed.Addr().String(), nil, failed, []string{"connection refused", "Is the server running"}},
		{"no such host", "http://bot.invalid/", nameless, failed, []string{"DNS failure", "no address"}},
		{"an untrusted certificate", secure.URL, nil, failed, []string{"TLS failure", "SSL_CERT_FILE"}},
		{"https to a plain port", strings.Replace(plain.URL, "http:", "https:", 1), nil, failed, []string{"TLS failure", "use http://"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out, errs strings.Builder
			terminal := terminal{in: strings.NewReader(""), out: &out, err: &errs, env: func(string) string { return "" }, transport: test.transport}
			code := terminal.run(t.Context(), []string{"--url", test.url, "--token", token, "--message", "hello"})
			if code != test.code || (code == 0) != strings.HasSuffix(out.String(), "text: hello\n") {
				t.Errorf("exit code %d, output %q, errors %q", code, out.String(), errs.String())
			}
			for _, want := range test.wants {
				if !strings.Contains(errs.String(), want) {
					t.Errorf("error %q lacks %q", errs.String(), want)
				}
			}
		})
	}
}

// A domain without a DNS record is reached where --connect says, or WECHAT_CONNECT.
func TestConnect(t *testing.T) {
	plain := httptest.NewServer(newBot(t, false))
	defer plain.Close()
	address := plain.Listener.Addr().String()
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"flag":        {args: []string{"--connect", address}},
		"environment": {env: map[string]string{"WECHAT_CONNECT": address}},
		"both":        {env: map[string]string{"WECHAT_CONNECT": "127.0.0.1:1"}, args: []string{"--connect", address}},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs strings.Builder
			terminal := terminal{in: strings.NewReader(""), out: &out, err: &errs, env: func(name string) string { return c.env[name] }}
			code := terminal.run(t.Context(), append(c.args, "--url", "http://bot.invalid/wechat", "--token", token, "--message", "hello"))
			if code != 0 || !strings.HasSuffix(out.String(), "text: hello\n") {
				t.Errorf("exit code %d, output %q, errors %q", code, out.String(), errs.String())
			}
		})
	}
}

func TestHelpFlag(t *testing.T) {
	got := runChat(t, t.Context(), newBot(t, false), map[string]string{"WECHAT_TOKEN": "verySecretToken"}, nil, "--help")
	if got.Code != 0 || !strings.Contains(got.Out, "--message") || strings.Contains(got.Out, "verySecretToken") {
		t.Errorf("help: %+v", got)
	}
}
