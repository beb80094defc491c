package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverlocal"
	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/show"
	"github.com/wechatbot/wechatbot-operator/server"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// realServer runs a webhook server in a pod: its webhook and its loopback are reached by port-forwards.
func (w *world) realServer(pod, dify string) {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, content := range map[string]string{
		"token": "wintertoken", "dify-api-key": "app-0123456789",
		"bot.yaml": "bot: bots/winter\nlisten: 127.0.0.1:0\nadminListen: 127.0.0.1:0\nsecretsDir: .\ndify: {baseURL: " + dify + "}\n",
	} {
		w.must(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	s, err := server.New(server.Options{
		ConfigPath: filepath.Join(dir, "bot.yaml"), Log: slog.New(slog.DiscardHandler), HTTPLog: log.New(io.Discard, "", 0), Local: "127.0.0.1:0",
	})
	w.must(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	w.t.Cleanup(func() { stop(); <-ended })
	w.server(pod, nil)
	node.listens(w.namespace+"/"+pod, 8080, s.Addr().String())
	node.listens(w.namespace+"/"+pod, serverlocal.Port, s.LocalAddr().String())
}

func TestSessions(t *testing.T) {
	w := newWorld(t)
	w.run("", nil, "sessions", "winter").wants(t, failed, "no pod of the bot runs")
	dify := difysim.New(difysim.Options{Behaviour: difysim.Behaviour{FirstText: time.Minute, Total: 2 * time.Minute}})
	t.Cleanup(dify.Close)
	at := httptest.NewServer(dify)
	t.Cleanup(at.Close)
	w.realServer("winter-1", at.URL)
	w.run("", nil, "sessions", "winter").wants(t, 0, "no followers")

	w.run("", nil, "chat", "winter", "--port-forward", "--openid=oSecretFollower", "--message=a secret question")
	r := w.run("", nil, "sessions", "winter")
	r.wants(t, 0, "ALIAS", "answering 1", "1      0            ")
	r.lacks(t, "Secret", "secret", "more:")
	alias := regexp.MustCompile(`(?m)^ {2}([0-9a-f]{10}) `).FindStringSubmatch(r.out)
	if alias == nil {
		t.Fatalf("no alias is shown:\n%s", r.out)
	}
	w.run("", nil, "sessions", "winter", "--open").wants(t, 0, alias[1])
	w.run("", nil, "sessions", "stop", "winter", alias[1]).wants(t, 0, "stopped the question of "+alias[1])
	w.run("", nil, "sessions", "stop", "winter", alias[1]).wants(t, 0, "no question is open of "+alias[1])
	r = w.run("", nil, "sessions", "winter", "--open")
	r.wants(t, 0, "no followers")
	w.run("", nil, "sessions", "clear", "winter", alias[1]).wants(t, 0, "cleared "+alias[1])
	w.run("", nil, "sessions", "winter").wants(t, 0, alias[1], "0      0            ")

	w.run("", nil, "sessions", "clear", "winter", "0123456789").wants(t, failed, "no session has this alias")
	w.run("", nil, "sessions", "winter", "--limit=0").wants(t, failed, "--limit must be 1")
	w.run("", nil, "sessions", "winter", "--from=nowhere").wants(t, failed, "from must be next of an earlier page")
	w.run("", nil, "sessions", "winter", "--as", w.viewer()).wants(t, failed, "you may not forward ports", "create pods/portforward")
	w.run("", nil, "sessions", "summer").wants(t, failed, "there is no WechatBot summer")
	w.run("", nil, "menu", "diff", "winter").wants(t, failed, "the bot has no AppSecret")
}

// Lists end where they were told to, and say how to go on.
func TestSessions_Pages(t *testing.T) {
	w := newWorld(t)
	dify := httptest.NewServer(difysim.New(difysim.Options{}))
	t.Cleanup(dify.Close)
	w.realServer("winter-1", dify.URL)
	for _, follower := range []string{"a", "b", "c", "d", "e"} {
		w.run("", nil, "chat", "winter", "--port-forward", "--openid=o"+follower, "--message=/help")
		w.run("", nil, "chat", "winter", "--port-forward", "--openid=o"+follower, "--message=/stop")
	}
	aliases := regexp.MustCompile(`(?m)^ {2}([0-9a-f]{10}) `)
	shown := map[string]bool{}
	from := ""
	for pages := 1; ; pages++ {
		args := []string{"sessions", "winter", "--limit=2"}
		if from != "" {
			args = append(args, "--from", from)
		}
		r := w.run("", nil, args...)
		found := aliases.FindAllStringSubmatch(r.out, -1)
		for _, a := range found {
			shown[a[1]] = true
		}
		_, next, more := strings.Cut(r.out, "--from ")
		if r.code != 0 || len(found) > 2 || !more {
			if pages != 3 || len(shown) != 5 {
				t.Errorf("%d pages show %d of 5 followers:\n%s%s", pages, len(shown), r.out, r.err)
			}
			return
		}
		from = strings.TrimSpace(next)
	}
}

// Of several pods, the one that has the sessions is asked.
func TestSessions_Elsewhere(t *testing.T) {
	w := newWorld(t)
	w.server("winter-1", nil)
	node.listens(w.namespace+"/winter-1", serverlocal.Port, answering(t, 503, `{"error":"another process has the sessions","elsewhere":true}`))
	w.run("", nil, "sessions", "winter").wants(t, failed, "pod winter-1: another process has the sessions")
	w.server("winter-2", nil)
	node.listens(w.namespace+"/winter-2", serverlocal.Port, answering(t, 200, `{"apiVersion":"v1","sessions":[{"alias":"0123456789","open":[]}],"next":""}`))
	w.run("", nil, "sessions", "winter").wants(t, 0, "0123456789")
}

func TestSessions_OtherServers(t *testing.T) {
	for name, c := range map[string]struct {
		address func(t *testing.T) string
		says    string
	}{
		"an older one":   {func(*testing.T) string { return "" }, "its version is older than this plugin's"},
		"a newer one":    {func(t *testing.T) string { t.Helper(); return answering(t, 200, `{"apiVersion":"v2"}`) }, "use the plugin of its version"},
		"something else": {func(t *testing.T) string { t.Helper(); return answering(t, 500, "<html>") }, "the server answers 500"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.server("winter-1", &serverstatus.Status{})
			node.listens(w.namespace+"/winter-1", serverlocal.Port, c.address(t))
			w.run("", nil, "sessions", "winter").wants(t, failed, c.says)
		})
	}
}

// answering is where every request is answered so.
func answering(t *testing.T, status int, body string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestMenuDiff(t *testing.T) {
	w := newWorld(t)
	w.server("winter-1", nil)
	at := w.namespace + "/winter-1"
	node.listens(at, serverlocal.Port, answering(t, 200, `{"apiVersion":"v1","open":true,"same":true,"configured":[{"name":"官网","type":"view","does":"https://a.example"}]}`))
	w.run("", nil, "menu", "diff", "winter").wants(t, 0, "WeChat shows the menu as it is configured")
	node.listens(at, serverlocal.Port, answering(t, 200, `{"apiVersion":"v1","open":true,"same":false,
		"configured":[{"name":"官网","type":"view","does":"https://a.example"},{"name":"咖啡","items":[{"name":"点单","type":"click","does":"k1"}]}],
		"shown":[{"name":"官网","type":"view","does":"https://a.example"},{"name":"by\u001bhand","type":"view","does":"https://b.example"}]}`))
	r := w.run("", nil, "menu", "diff", "winter")
	r.wants(t, found, "  官网  view https://a.example\n", "- by hand  view https://b.example\n", "+ 咖啡\n", "+   点单  click k1\n")
	node.listens(at, serverlocal.Port, answering(t, 200, `{"apiVersion":"v1","open":false,"same":false,"configured":[{"name":"官网","type":"view"}],"shown":[]}`))
	w.run("", nil, "menu", "diff", "winter").wants(t, found, "switched off", "+ 官网")
	w.run("", nil, "menu", "diff", "winter", "--as", w.viewer()).wants(t, failed, "create pods/portforward")
}

func TestSessionSizesAndAges(t *testing.T) {
	now := time.Now()
	var out bytes.Buffer
	err := show.Sessions(&out, []serverlocal.Session{
		{Alias: "a", LastActive: now.Add(time.Minute), Bytes: 900, Open: []serverlocal.Turn{{Message: "m", State: "accepted", Since: now.Add(-90 * time.Second)}}},
		{Alias: "b", LastActive: now.Add(-2 * time.Hour), Bytes: 5 << 10, Turns: 3, Undelivered: 1, HumanUntil: new(now.Add(time.Hour))},
		{Alias: "c", LastActive: now.Add(-2 * time.Hour), Bytes: 15 << 20},
	}, "", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"a      0s", "900B  accepted 90s (m)", "5Ki   served by a person", "120m         3      1", "15Mi  -"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("it does not say %q:\n%s", part, &out)
		}
	}
}

// The rights that the page names are enough, and no more is asked for: a user who may view the namespace and forward ports.
func TestSessions_Rights(t *testing.T) {
	w := newWorld(t)
	w.server("winter-1", nil)
	node.listens(w.namespace+"/winter-1", serverlocal.Port, answering(t, 200, `{"apiVersion":"v1","sessions":[],"next":""}`))
	user := w.viewer()
	w.allow(user, "pods/portforward", "create")
	w.run("", nil, "sessions", "winter", "--as", user).wants(t, 0, "no followers")
}
