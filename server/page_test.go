package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

const withPage = minimal + "domain: bot.example.com\nreply: {page: {enabled: true, ttl: 1h}, notice: 备案号}\n"

var pageAddress = regexp.MustCompile(`^https://bot\.example\.com(/a/[A-Za-z0-9_-]+)$`)

// long is an answer of several replies.
var long = "# 借阅须知\n\n**重要：**先办证。\n\n" + strings.Repeat("每人每次可以借十本书，借期三十天，可以续借一次。\n\n", 60) + "结尾在这里。"

// read gets a page.
func (r *running) read(t *testing.T, path string) (int, string) {
	t.Helper()
	return read(t, r.front.transport(), path)
}

// pathOf is that of the page which a reply links to with its last link.
func pathOf(t *testing.T, links []wechatsim.Link) string {
	t.Helper()
	if len(links) == 0 || links[len(links)-1].Label != "看全文" {
		t.Fatalf("the reply has no link to the whole answer: %+v", links)
	}
	found := pageAddress.FindStringSubmatch(links[len(links)-1].URL)
	if found == nil {
		t.Fatalf("the link leads to %s", links[len(links)-1].URL)
	}
	return found[1]
}

func TestPage_OfALongAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, withPage)
		p.dify.SetBehaviour(difysim.Behaviour{Answer: long})
		r := p.run(t)
		f := r.platform(t).Follower("")
		x, err := f.Send(t.Context(), "怎么<借>书？")
		if err != nil || x.Outcome != wechatsim.Replied || len(x.Text) > 2040 {
			t.Fatalf("the question got %+v, %v", x, err)
		}
		path := pathOf(t, x.Links)
		status, page := r.read(t, path)
		if status != http.StatusOK {
			t.Fatalf("the page: %d", status)
		}
		for _, want := range []string{"<h1>借阅须知</h1>", "<strong>重要：</strong>先办证。", "结尾在这里。", "怎么&lt;借&gt;书？", "<p>（内容由AI生成）</p>", "<p>备案号</p>"} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %s", want)
			}
		}
		last := ""
		for range 10 {
			if x, err = f.Send(t.Context(), "1"); err != nil {
				t.Fatal(err)
			}
			if got := pathOf(t, x.Links); got != path {
				t.Errorf("a later reply leads to %s", got)
			}
			if last = x.Text; strings.Contains(last, "结尾在这里。") {
				break
			}
		}
		if strings.Contains(last, "继续") || !strings.Contains(last, "结尾在这里。") {
			t.Errorf("the last reply is %q", last)
		}
		calls := p.dify.Calls()
		for _, secret := range []string{f.OpenID(), calls[0].Conversation, calls[0].Message} {
			if secret == "" || strings.Contains(path+page, secret) {
				t.Errorf("the page or its address has %q", secret)
			}
		}
		if strings.Contains(p.log.String(), path) || strings.Contains(p.log.String(), f.OpenID()) {
			t.Error("the log has an address of a page, or an openid")
		}
		if _, err := f.Send(t.Context(), "/clear"); err != nil {
			t.Fatal(err)
		}
		if status, page = r.read(t, path); status != http.StatusNotFound || strings.Contains(page, "结尾") {
			t.Errorf("after /clear the page: %d", status)
		}
		synctest.Wait()
		if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, "\nwechatbot_page_requests_total{result=\"shown\"} 1") ||
			!strings.Contains(metrics, "\nwechatbot_page_requests_total{result=\"gone\"} 1") {
			t.Error("the metrics do not count pages")
		}
	})
}

func TestPage_Ends(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, withPage)
		p.dify.SetBehaviour(difysim.Behaviour{Answer: long})
		r := p.run(t)
		f := r.platform(t).Follower("")
		x, err := f.Send(t.Context(), "怎么借书？")
		if err != nil {
			t.Fatal(err)
		}
		path := pathOf(t, x.Links)
		time.Sleep(59 * time.Minute)
		if status, _ := r.read(t, path); status != http.StatusOK {
			t.Errorf("after 59 minutes: %d", status)
		}
		time.Sleep(2 * time.Minute)
		if status, _ := r.read(t, path); status != http.StatusNotFound {
			t.Errorf("after 61 minutes: %d", status)
		}
		x, err = f.Send(t.Context(), "再说一遍")
		if err != nil {
			t.Fatal(err)
		}
		path = pathOf(t, x.Links)
		if _, err := f.Unfollow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if status, _ := r.read(t, path); status != http.StatusNotFound {
			t.Errorf("of a follower who has gone: %d", status)
		}
	})
}

// Short answers need no page, and without the setting there is none.
func TestPage_NotNeeded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, withPage)
		p.dify.SetBehaviour(difysim.Behaviour{Answer: "一句话。"})
		r := p.run(t)
		if x, err := r.platform(t).Follower("").Send(t.Context(), "问"); err != nil || x.Text != "一句话。\n\n（内容由AI生成）" {
			t.Errorf("a short answer is %q, %v", x.Text, err)
		}
	})
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal)
		p.dify.SetBehaviour(difysim.Behaviour{Answer: long})
		r := p.run(t)
		x, err := r.platform(t).Follower("").Send(t.Context(), "问")
		if err != nil || strings.Contains(x.Text, "看全文") {
			t.Errorf("%q, %v has a link", x.Text, err)
		}
		if status, body := r.read(t, "/a/x"); status != http.StatusNotFound || strings.Contains(body, "<") {
			t.Errorf("/a/x without pages: %d %q", status, body)
		}
	})
}

// While an answer grows there is no page of it; that of one that broke off says so.
func TestPage_OfAnAnswerThatBreaksOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+"domain: bot.example.com\nreply: {page: {enabled: true}, holdsPerMinute: 0}\ndify: {timeout: 10s}\n")
		p.dify.SetBehaviour(difysim.Behaviour{Answer: strings.Repeat(long, 3), Total: 20 * time.Second, FirstText: time.Second})
		r := p.run(t)
		f := r.platform(t).Follower("")
		x, err := f.Send(t.Context(), "问")
		if err != nil || strings.Contains(x.Text, "看全文") || !strings.Contains(x.Text, "继续") {
			t.Fatalf("while it grows: %q, %v", x.Text, err)
		}
		time.Sleep(20 * time.Second)
		if x, err = f.Send(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
		if status, page := r.read(t, pathOf(t, x.Links)); status != http.StatusOK || !strings.Contains(page, "（回答中断了，后面的内容没有收到）") {
			t.Errorf("the page (%d) does not say that the answer broke off", status)
		}
	})
}

// The last message that may be pushed leads to the page.
func TestPage_OfAPushedAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, minimal+"domain: bot.example.com\nwechat: {appID: "+appID+"}\nreply: {mode: CustomerService, push: {maxSends: 2}, page: {enabled: true}}\n")
		p.dify.SetBehaviour(difysim.Behaviour{Answer: strings.Repeat(long, 3), FirstText: 12 * time.Second, Total: 13 * time.Second})
		o := p.runOfficial(t, wechatsim.VerifiedService)
		f := o.Follower("")
		if _, err := f.Send(t.Context(), "问"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		got := f.Transcript()
		if len(got) != 3 || len(got[1].Links) > 0 {
			t.Fatalf("the follower sees %d bubbles", len(got))
		}
		if status, page := o.read(t, pathOf(t, got[2].Links)); status != http.StatusOK || !strings.Contains(page, "结尾在这里。") {
			t.Errorf("the page: %d", status)
		}
	})
}

// A store that is away makes no page 404: the answer is there.
func TestPage_StoreAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, withPage)
		p.dify.SetBehaviour(difysim.Behaviour{Answer: long})
		away := &awayStore{}
		r := p.run(t, func(s *Server) { away.Store, s.store = s.store, away })
		x, err := r.platform(t).Follower("").Send(t.Context(), "问")
		if err != nil {
			t.Fatal(err)
		}
		away.away = true
		for _, path := range []string{pathOf(t, x.Links), pathOf(t, x.Links) + "/0"} {
			if status, _ := r.read(t, path); status != http.StatusServiceUnavailable {
				t.Errorf("%d, want 503", status)
			}
		}
	})
}

type awayStore struct {
	session.Store

	away bool
}

func (a *awayStore) Turn(ctx context.Context, k session.Key) (session.Turn, error) {
	if a.away {
		return session.Turn{}, session.ErrElsewhere
	}
	return a.Store.Turn(ctx, k)
}

func (a *awayStore) Get(ctx context.Context, follower string) (session.Session, error) {
	if a.away {
		return session.Session{}, session.ErrElsewhere
	}
	return a.Store.Get(ctx, follower)
}

// Pictures and files come from Dify, which is asked where they are now.
func TestPage_Files(t *testing.T) {
	const png = "\x89PNG\r\n\x1a\n and the rest"
	p := newPlace(t, minimal)
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/poster.png"):
			_, _ = io.WriteString(w, png)
		case strings.HasPrefix(r.URL.Path, "/files/"):
			_, _ = io.WriteString(w, "%PDF-1.7")
		default:
			p.dify.ServeHTTP(w, r)
		}
	}))
	defer host.Close()
	p.write(t, "bot.yaml", withPage+"dify: {baseURL: "+host.URL+"/v1}\n")
	p.dify.SetBehaviour(difysim.Behaviour{
		Answer: "![海报](/files/tools/poster.png?sign=1)\n\n" + long, Files: []difysim.MadeFile{{Type: "document", Name: "须知.pdf", MIMEType: "application/pdf"}},
	})
	s := p.server(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { stop(); <-ended; p.dify.Close() }()
	platform, err := wechatsim.New(wechatsim.Account{URL: "http://" + s.Addr().String() + "/wechat", Token: token}, wechatsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := platform.Follower("")
	x, err := f.Send(t.Context(), "问")
	if err != nil {
		t.Fatal(err)
	}
	path := pathOf(t, x.Links)
	type response struct {
		status int
		header http.Header
	}
	get := func(path string) (response, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr().String()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response{r.StatusCode, r.Header}, string(body)
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if _, page := get(path); !strings.Contains(page, `src="`+path+`/0" alt="海报"`) || !strings.Contains(page, `<a href="`+path+`/1" rel="nofollow noreferrer">`) {
		t.Errorf("the page has not the picture and the file: %s", page[:min(len(page), 4000)])
	}
	if r, body := get(path + "/0"); r.status != http.StatusOK || r.header.Get("Content-Type") != "image/png" || body != png {
		t.Errorf("the picture: %d %v %q", r.status, r.header, body)
	}
	if r, body := get(path + "/1"); r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Disposition"), "attachment; filename") || body != "%PDF-1.7" {
		t.Errorf("the file: %d %v %q", r.status, r.header, body)
	}
	if _, err := f.Send(t.Context(), "/clear"); err != nil { // or the server waits for all to be read
		t.Error(err)
	}
	if got := p.dify.Requests("GET /messages"); got != 2 {
		t.Errorf("Dify was asked for the conversation %d times, want 2", got)
	}
}
