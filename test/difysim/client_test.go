package difysim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/wechatbot/wechatbot-operator/testdata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is a caller of a Server, over its Transport.
type client struct {
	t      *testing.T
	server *Server
	http   *http.Client
	base   string
}

func newClient(t *testing.T, o Options) *client {
	t.Helper()
	s := New(o)
	t.Cleanup(s.Close)
	return &client{t, s, &http.Client{Transport: s.Transport()}, "http://dify.test"}
}

func (c *client) request(ctx context.Context, method, path, body string) *http.Request {
	c.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer app-test")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return request
}

// do sends a request and reads the whole response.
func (c *client) do(method, path, body string) (int, []byte) {
	c.t.Helper()
	return c.read(c.request(c.t.Context(), method, path, body))
}

func (c *client) read(request *http.Request) (int, []byte) {
	c.t.Helper()
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer closeBody(c.t, response)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, body
}

// question makes the body of a streaming question; more is members to add.
func question(query string, more ...member) string {
	o := append(object{{"inputs", object{}}, {"query", query}, {"user", "oABC"}, {"response_mode", "streaming"}}, more...)
	return string(compact.append(nil, o))
}

// ask asks and reads the whole stream.
func (c *client) ask(query string, more ...member) []event {
	c.t.Helper()
	status, body := c.do("POST", "/v1/chat-messages", question(query, more...))
	if status != http.StatusOK {
		c.t.Fatalf("asking: %d %s", status, body)
	}
	return parseEvents(c.t, body)
}

// event is a parsed event, or a ping.
type event struct {
	raw          []byte
	Event        string `json:"event"`
	Conversation string `json:"conversation_id"`
	Message      string `json:"message_id"`
	Task         string `json:"task_id"`
	Answer       string `json:"answer"`
	Code         string `json:"code"`
	Data         struct {
		Status  string `json:"status"`
		NodeID  string `json:"node_id"`
		Error   string `json:"error"`
		Outputs struct {
			Answer string `json:"answer"`
		} `json:"outputs"`
	} `json:"data"`
}

const ping = "ping"

func parseEvents(t *testing.T, stream []byte) (events []event) {
	t.Helper()
	for raw := range bytes.SplitAfterSeq(stream, []byte("\n\n")) {
		if len(raw) > 0 {
			events = append(events, parseEvent(t, raw))
		}
	}
	return events
}

func parseEvent(t *testing.T, raw []byte) event {
	t.Helper()
	e := event{raw: raw}
	switch payload, ok := bytes.CutPrefix(raw, []byte("data: ")); {
	case string(raw) == "event: ping\n\n":
		e.Event = ping
	case !ok || !bytes.HasSuffix(raw, []byte("}\n\n")):
		t.Fatalf("not framed: %q", raw)
	default:
		if err := json.Unmarshal(payload, &e); err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
	}
	return e
}

func text(events []event) string {
	var b strings.Builder
	for i := range events {
		switch events[i].Event {
		case "message", "agent_message", "message_file":
			b.WriteString(events[i].Answer)
		}
	}
	return b.String()
}

func names(events []event) []string {
	all := make([]string, len(events))
	for i := range events {
		all[i] = events[i].Event
	}
	return all
}

func recordedBytes(t *testing.T, name string) []byte {
	t.Helper()
	data, err := testdata.Dify.ReadFile("dify/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// live is a stream that a test reads event by event.
type live struct {
	t    *testing.T
	body io.ReadCloser
	rest []byte
}

func (c *client) open(ctx context.Context, query string, more ...member) *live {
	c.t.Helper()
	response, err := c.http.Do(c.request(ctx, "POST", "/v1/chat-messages", question(query, more...))) //nolint:bodyclose // all closes it, or the test
	if err != nil {
		c.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		c.t.Fatalf("asking: %s", response.Status)
	}
	return &live{t: c.t, body: response.Body}
}

// next gives the next event; false: the stream has ended.
func (l *live) next() (event, bool) {
	l.t.Helper()
	buffer := make([]byte, 64<<10)
	for {
		if end := bytes.Index(l.rest, []byte("\n\n")); end >= 0 {
			raw := l.rest[:end+2]
			l.rest = l.rest[end+2:]
			return parseEvent(l.t, raw), true
		}
		n, err := l.body.Read(buffer)
		l.rest = append(l.rest, buffer[:n]...)
		if err == io.EOF && n == 0 {
			if len(l.rest) > 0 {
				l.t.Fatalf("the stream ends in the middle of an event: %q", l.rest)
			}
			return event{}, false
		}
		if err != nil && err != io.EOF {
			l.t.Fatal(err)
		}
	}
}

// until reads up to the first event of that name.
func (l *live) until(name string) {
	l.t.Helper()
	for {
		e, ok := l.next()
		if !ok {
			l.t.Fatalf("the stream ended before %s", name)
		}
		if e.Event == name {
			return
		}
	}
}

// all reads to the end.
func (l *live) all() (events []event) {
	l.t.Helper()
	for e, ok := l.next(); ok; e, ok = l.next() {
		events = append(events, e)
	}
	_ = l.body.Close()
	return events
}

// bubble runs a test on a fake clock.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func since(start time.Time) time.Duration { return time.Since(start) }

// later runs act on the bubble's clock; the channel tells when it has run.
func later(d time.Duration, act func()) <-chan struct{} {
	done := make(chan struct{})
	time.AfterFunc(d, func() { defer close(done); act() })
	return done
}

func closeBody(t *testing.T, response *http.Response) {
	t.Helper()
	if err := response.Body.Close(); err != nil {
		t.Errorf("closing the response: %v", err)
	}
}

// unanswered sends a request that must fail, and gives the error.
func (c *client) unanswered(body string) error {
	c.t.Helper()
	response, err := c.http.Do(c.request(c.t.Context(), "POST", "/v1/chat-messages", body))
	if err == nil {
		c.t.Errorf("answered %s", response.Status)
		closeBody(c.t, response)
	}
	return err
}
