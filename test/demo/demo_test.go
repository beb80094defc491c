package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// start runs a demo on a free port until the test ends.
func start(t *testing.T, o Options) *Demo {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	d, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("running the demo: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("closing the demo: %v", err)
		}
		if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
			t.Errorf("the folder with the secrets is still there: %v", err)
		}
	})
	return d
}

// page is what a browser's page does, without a browser.
type page struct {
	*testing.T
	demo    *Demo
	session string
	client  *http.Client
	lines   *bufio.Scanner
	lastID  string
}

func newPage(t *testing.T, d *Demo, session string) *page {
	t.Helper()
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	p := &page{T: t, demo: d, session: session, client: &http.Client{Transport: transport}}
	p.connect("")
	return p
}

// connect opens the stream of events and leaves it open until the test ends.
func (p *page) connect(lastID string) {
	p.Helper()
	r := p.request(http.MethodGet, "/api/events?session="+p.session, "")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	response := p.do(r)
	p.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		p.Fatalf("the stream has status %d", response.StatusCode)
	}
	p.lines = bufio.NewScanner(response.Body)
}

func (p *page) request(method, path, body string) *http.Request {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), method, p.demo.URL()+path, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (p *page) do(r *http.Request) *http.Response {
	p.Helper()
	response, err := p.client.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	return response
}

// status gives the status of a request and what its body says.
func (p *page) status(r *http.Request) (int, string) {
	p.Helper()
	response := p.do(r)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body))
}

// order posts what must be taken.
func (p *page) order(path string, members map[string]any) {
	p.Helper()
	if status, text := p.status(p.request(http.MethodPost, "/api/"+path, p.body(members))); status != http.StatusAccepted {
		p.Fatalf("%s: status %d: %s", path, status, text)
	}
}

func (p *page) body(members map[string]any) string {
	p.Helper()
	all := map[string]any{"session": p.session}
	maps.Copy(all, members)
	b, err := json.Marshal(all)
	if err != nil {
		p.Fatal(err)
	}
	return string(b)
}

// event waits for the next event of that name.
func (p *page) event(name string, into any) {
	p.Helper()
	found := false
	for p.lines.Scan() {
		switch line := p.lines.Text(); {
		case strings.HasPrefix(line, "id: "):
			p.lastID = line[len("id: "):]
		case line == "event: "+name:
			found = true
		case found && strings.HasPrefix(line, "data: "):
			if err := json.Unmarshal([]byte(line[len("data: "):]), into); err != nil {
				p.Fatal(err)
			}
			return
		}
	}
	p.Fatalf("the stream ended before an event %q: %v", name, p.lines.Err())
}

// ended waits for the end of a message.
func (p *page) ended(message int) endedEvent {
	p.Helper()
	for {
		var e endedEvent
		p.event("ended", &e)
		if e.Message == message {
			return e
		}
	}
}

// delivered waits for the end of a message's next delivery.
func (p *page) delivered(message int) deliveryEvent {
	p.Helper()
	for {
		var d deliveryEvent
		p.event("delivery", &d)
		if d.Message == message && d.Verdict != "" {
			return d
		}
	}
}

// label stands below what is shown of an answer, before the links.
const label = "\n\n（内容由AI生成）"

// answer is what the text shows of an answer.
func (e endedEvent) answer() string { return withoutFoot(e.text()) }

func withoutFoot(text string) string {
	said, _, _ := strings.Cut(text, label)
	return said
}

func (e endedEvent) text() string {
	var b strings.Builder
	for _, part := range e.Parts {
		b.WriteString(part.Text)
	}
	return b.String()
}

const pageID = "0123456789abcdef"

// atOnce is how many tests run side by side: those in parallel wait, and need no processor each.
const atOnce = "16"

// quick is short for an answer to the first delivery.
func quick(fault difyFault) map[string]any {
	return map[string]any{"behaviour": difyBehaviour{FirstText: 10, Total: 50, Length: 60, Fault: fault}}
}

func TestAnswerComesThroughTheWholePath(t *testing.T) {
	p := newPage(t, start(t, Options{}), pageID)
	var h hello
	p.event("hello", &h)
	if h.Account != accountName || h.Following || !h.Line || h.Dify != "" || h.Behaviour != defaultBehaviour || h.Timeout != 5000 {
		t.Errorf("the stream begins with %+v", h)
	}
	p.order("follow", nil)
	if e := p.ended(1); e.Reply != "notice" || !strings.HasPrefix(e.text(), opening) {
		t.Errorf("the welcome is %+v", e)
	}
	p.order("behaviour", quick(noFault))
	p.order("tap", map[string]any{"m": 1, "link": 2})
	var sent sentEvent
	p.event("sent", &sent)
	if sent.Kind != "tap" || sent.Text != suggested[2] || !sent.Question {
		t.Errorf("the tap sent %+v, want the suggestion", sent)
	}
	d := p.delivered(2)
	if d.N != 1 || d.Verdict != "answered" || d.Status != http.StatusOK || !d.Encrypted || d.Bytes == 0 {
		t.Errorf("the delivery was %+v", d)
	}
	e := p.ended(2)
	if want := answer(suggested[2], 60); e.Reply != "whole" || e.answer() != want || !strings.HasSuffix(e.text(), label+"\n👍　👎\n\n会员怎么办？\n能寄到外地吗？") {
		t.Errorf("the answer is %+v, want %q", e, want)
	}
	p.order("unfollow", nil)
	if e := p.ended(3); e.Outcome != "silent" || e.Reply != "none" || e.Toast != "" {
		t.Errorf("leaving ended with %+v", e)
	}
}

func TestTurnIsTold(t *testing.T) {
	p := newPage(t, start(t, Options{}), pageID)
	p.order("follow", nil)
	p.order("behaviour", quick(reasoning))
	p.order("send", map[string]any{"text": "怎么退书？"})
	var e turnEvent
	p.event("turn", &e)
	if e.Message != 2 || e.Outcome != "answered" || e.FirstText <= 0 || e.Took < e.FirstText || e.Tries != 1 {
		t.Errorf("the turn is %+v", e)
	}
}

// shortDeliveries are long enough for a busy machine to reply between a delivery's deadline and its timeout.
var shortDeliveries = Options{Timeout: 2 * time.Second, Deadline: time.Second}

func TestReplyKinds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		behaviour difyBehaviour
		reply     string
		says      string
	}{
		{"a thought is not shown", difyBehaviour{10, 50, 60, reasoning}, "whole", answer("怎么退书？", 60)},
		{"Markdown", difyBehaviour{10, 50, 60, markdown}, "whole", "【冬日书单】"},
		{"a lost conversation is not seen", difyBehaviour{10, 50, 60, conversationGone}, "whole", answer("怎么退书？", 60)},
		{"cut in the middle", difyBehaviour{10, 50, 200, cutShort}, "failed", "再问一次"},
		{"a long answer", difyBehaviour{10, 50, 3000, noFault}, "part", "继续"},
		{"slower than three deliveries", difyBehaviour{10_000, 10_000, 60, noFault}, "waiting", words["waiting"]},
		{"busy for long", difyBehaviour{10, 50, 60, tooMany}, "waiting", words["waiting"]},
		{"status 500 for long", difyBehaviour{10, 50, 60, serverError}, "waiting", words["waiting"]},
		{"no event at all", difyBehaviour{10, 50, 60, hanging}, "waiting", words["waiting"]},
	}
	d := start(t, shortDeliveries)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // they wait: each on a page of its own
			p := newPage(t, d, strings.Repeat("x", 16)+strings.ReplaceAll(strings.ToLower(test.name), " ", "-"))
			p.order("follow", nil)
			p.ended(1)
			p.order("behaviour", map[string]any{"behaviour": test.behaviour})
			p.order("send", map[string]any{"text": "怎么退书？"})
			if e := p.ended(2); e.Reply != test.reply || !strings.Contains(e.text(), test.says) || !e.Asked {
				t.Errorf("the reply is %s: %q, want %s: %q", e.Reply, e.text(), test.reply, test.says)
			}
		})
	}
}

func TestCutLineIsAFaultForTheFollower(t *testing.T) {
	t.Parallel()
	p := newPage(t, start(t, shortDeliveries), pageID)
	p.order("follow", nil)
	p.ended(1)
	p.order("line", map[string]any{"cut": true})
	p.order("send", map[string]any{"text": "有人吗？"})
	if e := p.ended(2); e.Outcome != "fault" || e.Toast == "" || e.Asked {
		t.Errorf("with the line cut: %+v", e)
	}
	p.order("line", map[string]any{"cut": false})
	p.order("behaviour", quick(noFault))
	p.order("send", map[string]any{"text": "有人吗？"})
	if e := p.ended(3); e.Reply != "whole" {
		t.Errorf("with the line mended: %+v", e)
	}
}

func TestCutLineBreaksWhatIsOnIt(t *testing.T) {
	t.Parallel()
	p := newPage(t, start(t, Options{Timeout: 2500 * time.Millisecond, Deadline: 1500 * time.Millisecond}), pageID)
	p.order("follow", nil)
	p.ended(1)
	p.order("behaviour", map[string]any{"behaviour": difyBehaviour{800, 1000, 60, noFault}})
	p.order("send", map[string]any{"text": "有人吗？"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.demo.dify.sim.WaitCalls(ctx, 1); err != nil {
		t.Fatal(err)
	}
	p.order("line", map[string]any{"cut": true})
	d := p.delivered(2)
	if d.N != 1 || d.Verdict != "connection broken" {
		t.Errorf("the delivery on the line ended with %+v", d)
	}
	p.order("line", map[string]any{"cut": false})
	if e := p.ended(2); e.Reply != "whole" || e.answer() != answer("有人吗？", 60) {
		t.Errorf("a later delivery brought %+v, want the answer", e)
	}
}

func TestReconnectedPageGetsWhatItHasMissed(t *testing.T) {
	p := newPage(t, start(t, Options{}), pageID)
	p.order("follow", nil)
	p.ended(1)
	seen := p.lastID
	p.order("click", map[string]any{"key": "help"})
	p.connect(seen)
	var sent sentEvent
	p.event("sent", &sent)
	if sent.Message != 2 || sent.Kind != "click" || sent.Question {
		t.Errorf("behind the last event seen comes %+v, want message 2", sent)
	}
	p.connect("another.99")
	p.event("sent", &sent)
	if sent.Message != 1 {
		t.Errorf("a page of another demo gets message %d first, want all", sent.Message)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	p := newPage(t, start(t, Options{}), pageID)
	good := p.body(map[string]any{"text": "x"})
	tests := []struct {
		name   string
		body   string
		change func(*http.Request)
		status int
	}{
		{"another site", good, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		{"another origin", good, func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") }, http.StatusForbidden},
		{"another name of the address", good, func(r *http.Request) { r.Host = "rebound.example" }, http.StatusMisdirectedRequest},
		{"a form", good, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, http.StatusUnsupportedMediaType},
		{"not JSON", "session=1", nil, http.StatusBadRequest},
		{"an unknown member", `{"session":"` + pageID + `","html":1}`, nil, http.StatusBadRequest},
		{"too much", `{"text":"` + strings.Repeat("x", maxBody) + `"}`, nil, http.StatusRequestEntityTooLarge},
		{"a session with a short name", `{"session":"1","text":"x"}`, nil, http.StatusBadRequest},
		{"not a follower", good, nil, http.StatusConflict},
		{"no text", p.body(map[string]any{"text": " \n"}), nil, http.StatusBadRequest},
		{"a long text", p.body(map[string]any{"text": strings.Repeat("长", maxText+1)}), nil, http.StatusRequestEntityTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := p.request(http.MethodPost, "/api/send", test.body)
			if test.change != nil {
				test.change(r)
			}
			if status, text := p.status(r); status != test.status {
				t.Errorf("status %d (%s), want %d", status, text, test.status)
			}
		})
	}
	s, _, err := p.demo.sessions.get(pageID)
	if err != nil {
		t.Fatal(err)
	}
	events, _, _ := s.after(0)
	for _, e := range events {
		if e.name != "call" && e.name != "account" { // the server's own calls of WeChat's API, of which every page is told
			t.Errorf("an event %q came of refused orders", e.name)
		}
	}
}

func TestImpossibleOrdersAreRefused(t *testing.T) {
	p := newPage(t, start(t, Options{}), pageID)
	tests := []struct {
		path, body string
		status     int
	}{
		{"tap", p.body(map[string]any{"m": 7}), http.StatusNotFound},
		{"click", p.body(map[string]any{"key": "rm"}), http.StatusBadRequest},
		{"click", p.body(map[string]any{"key": "help"}), http.StatusConflict},
		{"unfollow", p.body(nil), http.StatusConflict},
		{"behaviour", p.body(nil), http.StatusBadRequest},
		{"behaviour", p.body(map[string]any{"behaviour": map[string]any{"total": -1}}), http.StatusBadRequest},
		{"nothing", p.body(nil), http.StatusMethodNotAllowed},
	}
	for _, test := range tests {
		if status, text := p.status(p.request(http.MethodPost, "/api/"+test.path, test.body)); status != test.status {
			t.Errorf("%s %s: status %d (%s), want %d", test.path, test.body, status, text, test.status)
		}
	}
	if status, _ := p.status(p.request(http.MethodGet, "/api/events?session=short", "")); status != http.StatusBadRequest {
		t.Errorf("a stream of an improper session: status %d", status)
	}
}

func TestPageMayLoadOnlyItself(t *testing.T) {
	p := newPage(t, start(t, Options{}), pageID)
	for _, path := range []string{"/", "/style.css", "/main.js", "/favicon.svg"} {
		response := p.do(p.request(http.MethodGet, path, ""))
		body, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if policy := response.Header.Get("Content-Security-Policy"); response.StatusCode != http.StatusOK || !strings.HasPrefix(policy, "default-src 'self';") {
			t.Errorf("%s: status %d, policy %q", path, response.StatusCode, policy)
		}
		for _, bad := range []string{"innerHTML", "<style", " style=", "onclick", "eval("} {
			if bytes.Contains(body, []byte(bad)) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
	}
}

func TestStreamsOfOnePageAreBounded(t *testing.T) {
	p := newPage(t, start(t, Options{}), pageID)
	for range maxStreams - 1 {
		p.connect("")
	}
	if status, text := p.status(p.request(http.MethodGet, "/api/events?session="+pageID, "")); status != http.StatusTooManyRequests {
		t.Errorf("one stream more: status %d (%s)", status, text)
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	busy := start(t, Options{})
	for name, o := range map[string]Options{
		"an address for everyone":      {Listen: "0.0.0.0:0"},
		"no port":                      {Listen: "127.0.0.1"},
		"a port in use":                {Listen: busy.page.Addr().String()},
		"a Dify that has no address":   {Listen: "127.0.0.1:0", DifyAPIKey: "app-x", DifyBaseURL: "dify"},
		"a deadline of the past":       {Listen: "127.0.0.1:0", Deadline: time.Millisecond},
		"a Dify key of nothing but \n": {Listen: "127.0.0.1:0", DifyAPIKey: "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := New(t.Context(), o)
			if err == nil {
				t.Error("it was taken")
				_ = d.Close()
			}
		})
	}
}

func TestRealDifyIsNamedAndTakesNoOrders(t *testing.T) {
	p := newPage(t, start(t, Options{DifyAPIKey: "app-x", DifyBaseURL: "http://127.0.0.1:1/v1"}), pageID)
	var h hello
	p.event("hello", &h)
	if h.Dify != "127.0.0.1:1" {
		t.Errorf("the page is told of %q", h.Dify)
	}
	status, _ := p.status(p.request(http.MethodPost, "/api/behaviour", p.body(quick(noFault))))
	if status != http.StatusConflict {
		t.Errorf("an order to a real Dify: status %d", status)
	}
}

func TestServersLogGoesOnAndHoldsNoSecret(t *testing.T) {
	var log syncBuffer
	d := start(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil)).With("part", "server").WithGroup("g")})
	p := newPage(t, d, pageID)
	p.order("follow", nil)
	p.order("behaviour", quick(noFault))
	p.order("send", map[string]any{"text": "怎么退书？"})
	var e turnEvent
	p.event("turn", &e)
	s, _, err := d.sessions.get(pageID)
	if err != nil {
		t.Fatal(err)
	}
	text := log.String()
	if !strings.Contains(text, "Turn finished") || !strings.Contains(text, "part=server") {
		t.Errorf("the log lacks the turn: %s", text)
	}
	for _, secret := range []string{d.bot.account.Token, d.bot.account.EncodingAESKey, s.openid, "怎么退书"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds a secret: %s", text)
		}
	}
}
