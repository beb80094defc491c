package difysim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// overSockets serves c's server on loopback.
func overSockets(t *testing.T, c *client) *client {
	t.Helper()
	h := httptest.NewServer(c.server)
	t.Cleanup(func() { c.server.Close(); h.CloseClientConnections(); h.Close() })
	return &client{t, c.server, h.Client(), h.URL}
}

// everyWay runs a test in process and over sockets.
func everyWay(t *testing.T, o Options, test func(t *testing.T, c *client)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) { test(t, newClient(t, o)) })
	t.Run("over sockets", func(t *testing.T) { test(t, overSockets(t, newClient(t, o))) })
}

func TestCutsAsAPlainClientSeesThem(t *testing.T) {
	for name, tc := range map[string]struct {
		fault   Fault
		mode    Mode
		before  bool // no response at all
		reset   bool // the body ends with an error
		deltas  int
		partial bool // the last event is incomplete
	}{
		"before":            {fault: Fault{Kind: CutBefore}, before: true},
		"after the headers": {fault: Fault{Kind: CutAfter}, reset: true},
		"after two deltas":  {fault: Fault{Kind: CutAfter, Deltas: 2}, reset: true, deltas: 2},
		"of a chatflow":     {fault: Fault{Kind: CutAfter, Deltas: 1}, mode: Chatflow, reset: true, deltas: 1},
		"early end":         {fault: Fault{Kind: EndEarly, Deltas: 2}, deltas: 2},
		"early end at once": {fault: Fault{Kind: EndEarly}},
		"truncated":         {fault: Fault{Kind: Truncate, Deltas: 2}, deltas: 2, partial: true},
		"truncated end":     {fault: Fault{Kind: Truncate, Deltas: 1000}, mode: Agent, deltas: 7, partial: true},
	} {
		t.Run(name, func(t *testing.T) {
			everyWay(t, Options{Mode: tc.mode, Behaviour: Behaviour{Fault: tc.fault}}, func(t *testing.T, c *client) {
				if tc.before {
					// a client may see the end of the connection before the reset
					if err := c.unanswered(question("你好")); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
						t.Fatalf("got %v", err)
					}
				} else {
					response, err := c.http.Do(c.request(t.Context(), "POST", "/v1/chat-messages", question("你好")))
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(response.Body)
					if (err != nil) != tc.reset {
						t.Errorf("the body ends with %v, reset: %v", err, tc.reset)
					}
					closeBody(t, response)
					checkCutBody(t, body, tc.partial, tc.deltas)
				}
				if err := c.server.WaitRunning(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				call := c.server.Calls()[0]
				if call.Outcome != Cut || call.Deltas != tc.deltas || call.ClientGone {
					t.Errorf("call %+v", call)
				}
			})
		})
	}
}

func checkCutBody(t *testing.T, body []byte, partial bool, deltas int) {
	t.Helper()
	end := bytes.LastIndex(body, []byte("\n\n")) + 2
	if end < 2 {
		end = 0
	}
	if (end < len(body)) != partial {
		t.Errorf("the body ends %q, partial: %v", body[end:], partial)
	}
	got := 0
	for _, e := range parseEvents(t, body[:end]) {
		if e.Answer != "" {
			got++
		}
		if e.Event == "message_end" || e.Event == "workflow_finished" {
			t.Errorf("an end event: %s", e.raw)
		}
	}
	if got != deltas {
		t.Errorf("%d deltas, want %d", got, deltas)
	}
}

func TestFaultsBeforeTheStream(t *testing.T) {
	for name, tc := range map[string]struct {
		fault  Fault
		status int
		media  string
		body   string
	}{
		"recorded error": {Fault{Kind: HTTPError, Name: "unknown.500"}, 500, "application/json", "errors/unknown.500.json"},
		"proxy's page":   {Fault{Kind: HTTPError, Name: "nginx-gateway-timeout.504.html"}, 504, "text/html; charset=utf-8", "errors/nginx-gateway-timeout.504.html"},
		"proxy's text":   {Fault{Kind: HTTPError, Name: "cloudflare-rate-limited-1015.429"}, 429, "text/plain; charset=UTF-8", "errors/cloudflare-rate-limited-1015.429.txt"},
		"page":           {Fault{Kind: HTMLPage}, 200, "text/html; charset=utf-8", ""},
		"too many":       {Fault{Kind: TooManyRequests}, 400, "application/json", ""},
	} {
		t.Run(name, func(t *testing.T) {
			everyWay(t, Options{Behaviour: Behaviour{Fault: tc.fault, Repeat: 1}}, func(t *testing.T, c *client) {
				response, err := c.http.Do(c.request(t.Context(), "POST", "/v1/chat-messages", question("你好")))
				if err != nil {
					t.Fatal(err)
				}
				defer closeBody(t, response)
				body, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != tc.status || response.Header.Get("Content-Type") != tc.media {
					t.Errorf("%s %v %q %v", response.Status, response.Header, body, err)
				}
				if tc.body != "" && !bytes.Equal(body, recordedBytes(t, tc.body)) {
					t.Errorf("body %q", body)
				}
				if tc.fault.Kind == TooManyRequests && !bytes.Contains(body, []byte(`"invalid_param", "message": "Too many requests. `)) {
					t.Errorf("body %q", body)
				}
				if got := text(c.ask("你好")); got != Echo("你好", 0) {
					t.Errorf("the fault outlasted its call: %q", got)
				}
			})
		})
	}
}

func TestSlowHeaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newClient(t, Options{Mode: Chatflow, Behaviour: Behaviour{Fault: Fault{Kind: SlowHeaders, Delay: 20 * time.Second}}})
		start := time.Now()
		stream := c.open(t.Context(), "你好")
		if got := since(start); got != 20*time.Second {
			t.Errorf("headers after %v", got)
		}
		stream.all()
		c.server.SetBehaviour(Behaviour{Fault: Fault{Kind: SlowHeaders}})
		c.http.Timeout = time.Minute
		if err := c.unanswered(question("你好")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want no response for ever", err)
		}
		if err := c.server.WaitRunning(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if call := c.server.Calls()[1]; call.Outcome != Lost || !call.ClientGone || call.Status != 0 {
			t.Errorf("call %+v", call)
		}
	})
}

func TestConversationGone_OldOnesOnly(t *testing.T) {
	for mode, want := range map[Mode]Outcome{Chat: Refused, Chatflow: Failed} {
		bubble(t, func(t *testing.T) {
			c := newClient(t, Options{Mode: mode})
			first := c.ask("一")
			c.server.SetBehaviour(Behaviour{Fault: Fault{Kind: ConversationGone}, Repeat: 2})
			status, _ := c.do("POST", "/v1/chat-messages", question("二", member{"conversation_id", first[1].Conversation}))
			if (status == 404) != (mode == Chat) {
				t.Errorf("%v: %d", mode, status)
			}
			third := c.ask("三")
			if third[1].Conversation == first[1].Conversation || text(third) != Echo("三", 0) {
				t.Errorf("%v: a new conversation got %v", mode, names(third))
			}
			if got := c.server.Calls()[1].Outcome; got != want {
				t.Errorf("%v: outcome %q, want %q", mode, got, want)
			}
		})
	}
}

func TestErrorEventsAndWhatIsStored(t *testing.T) {
	for fault, want := range map[string]string{
		"error-event":                             upstreamFailed + ": [openai_api_compatible] Server Unavailable Error, upstream exploded",
		"error-event:1:provider_quota_exceeded":   "provider_quota_exceeded: Your quota for",
		"error-event:0::Rate Limit Error, slower": upstreamFailed + ": Rate Limit Error, slower",
	} {
		t.Run(fault, func(t *testing.T) {
			var f Fault
			if err := f.UnmarshalText([]byte(fault)); err != nil {
				t.Fatal(err)
			}
			c := newClient(t, Options{Behaviour: Behaviour{Fault: f}})
			events := c.ask("你好")
			last := events[len(events)-1]
			stored := c.server.Messages(last.Conversation)
			if last.Event != "error" || len(stored) != 1 || stored[0].Status != "error" || stored[0].Answer != "" ||
				!strings.HasPrefix(last.Code+": "+stored[0].Error, want) {
				t.Errorf("%s; stored %+v", last.raw, stored)
			}
			if call := c.server.Calls()[0]; call.Outcome != Failed || call.Deltas != f.Deltas {
				t.Errorf("call %+v", call)
			}
		})
	}
}

func TestReplaceIsWhatIsStored(t *testing.T) {
	c := newClient(t, Options{Release: V1_12_1, Mode: Chatflow, Behaviour: Behaviour{Fault: Fault{Kind: Replace, Text: "换"}}})
	events := c.ask("你好")
	got := names(events[len(events)-3:])
	if diff := cmp.Diff([]string{"workflow_finished", "message_replace", "message_end"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if stored := c.server.Messages(events[0].Conversation); stored[0].Answer != "换" {
		t.Errorf("stored %+v", stored)
	}
}

func TestRecordingsAreReplayedByteByByte(t *testing.T) {
	for _, name := range recorded("dify/sse") {
		bubble(t, func(t *testing.T) {
			const first, total = 2 * time.Second, 9 * time.Second
			c := newClient(t, Options{Behaviour: Behaviour{FirstText: first, Total: total, Fixture: name}})
			start := time.Now()
			status, body := c.do("POST", "/v1/chat-messages", question("你好"))
			want := recordedBytes(t, "sse/"+name)
			if status != 200 || !bytes.Equal(body, want) {
				t.Errorf("%s: %d, %d bytes, want %d", name, status, len(body), len(want))
			}
			holds := strings.HasPrefix(name, "chatflow-hang") || strings.HasPrefix(name, "chatflow-moderation-input") ||
				strings.HasPrefix(name, "synth-chatflow-worker-error")
			if (since(start) > relaySilence-time.Second) != holds {
				t.Errorf("%s: ended after %v, holds the connection: %v", name, since(start), holds)
			}
		})
	}
}

func TestReplayedConversationGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newClient(t, Options{Behaviour: Behaviour{Fixture: "chat-simple.1.13.3", Total: 8 * time.Second}})
		first := c.ask("一")
		id := first[0].Conversation
		c.server.SetBehaviour(Behaviour{})
		second := c.ask("二", member{"conversation_id", id})
		stored := c.server.Messages(id)
		if second[0].Conversation != id || len(stored) != 2 || stored[0].Answer != text(first) {
			t.Errorf("conversation %q, stored %+v", second[0].Conversation, stored)
		}
		c.server.SetBehaviour(Behaviour{Fixture: "chat-simple.1.13.3.sse", Total: 8 * time.Second, Fault: Fault{Kind: Truncate, Deltas: 3}})
		status, body := c.do("POST", "/v1/chat-messages", question("三"))
		if whole := recordedBytes(t, "sse/chat-simple.1.13.3.sse"); status != 200 || len(body) == 0 || !bytes.HasPrefix(whole, body) ||
			bytes.HasSuffix(body, []byte("\n")) {
			t.Errorf("not truncated: %q", body)
		}
		if call := c.server.Calls()[2]; call.Deltas != 3 || call.Outcome != Cut {
			t.Errorf("call %+v", call)
		}
	})
}

func TestBlockingAnswersWhenTheRunIsOver(t *testing.T) {
	const asked = `{"query":"你好","inputs":{},"user":"oABC"}`
	for name, tc := range map[string]struct {
		options Options
		status  int
		body    string
	}{
		"chat":            {Options{}, 200, `"mode": "chat", "answer": "\u56de\u7b54`},
		"chat, old":       {Options{Release: V0_6_5}, 200, `"total_price": "0.0000000"`},
		"chatflow":        {Options{Mode: Chatflow}, 200, `"mode": "advanced-chat", "answer": "\u56de`},
		"failing":         {Options{Behaviour: Behaviour{Fault: Fault{Kind: ErrorEvent}}}, 400, `"code": "completion_request_error"`},
		"failing flow":    {Options{Mode: Chatflow, Behaviour: Behaviour{Fault: Fault{Kind: ErrorEvent}}}, 400, `"code": "invalid_param", "message": "Run failed: [openai`},
		"replaced":        {Options{Behaviour: Behaviour{Fault: Fault{Kind: Replace, Text: "REPLACED"}}}, 200, `"answer": "REPLACED"`},
		"from recordings": {Options{Behaviour: Behaviour{Fixture: "chat-simple.1.13.3"}}, 200, `"answer": "\u60a8\u597d\uff0c\u6211`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tc.options.Behaviour.Total = 30 * time.Second
				c := newClient(t, tc.options)
				start := time.Now()
				status, body := c.do("POST", "/v1/chat-messages", asked)
				wait := 30 * time.Second
				if tc.status != 200 {
					wait = 0
				}
				if status != tc.status || !bytes.Contains(body, []byte(tc.body)) || since(start) != wait {
					t.Errorf("%d %s after %v", status, body, since(start))
				}
			})
		})
	}
	t.Run("outline", func(t *testing.T) {
		for release, file := range map[Release]string{V0_6_5: "0.6.5/conv-deleted", V1_13_3: "1.13.3/conv-null"} {
			_, body := newClient(t, Options{Release: release}).do("POST", "/v1/chat-messages", asked)
			if diff := cmp.Diff(shape(t, recordedBytes(t, "responses/"+file+".200.json")), shape(t, body)); diff != "" {
				t.Errorf("%v -recorded +generated:\n%s", release, diff)
			}
		}
	})
	t.Run("never", func(t *testing.T) {
		for _, kind := range []FaultKind{Hang, NeverEnd, CutAfter} {
			bubble(t, func(t *testing.T) {
				c := newClient(t, Options{Behaviour: Behaviour{Fault: Fault{Kind: kind}}})
				if err := c.unanswered(asked); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%v: %v", kind, err)
				}
			})
		}
	})
	t.Run("stopped", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c := newClient(t, Options{Behaviour: Behaviour{Total: 10 * time.Second}})
			stopped := later(4*time.Second, func() {
				c.do("POST", "/v1/chat-messages/"+c.server.Calls()[0].Task+"/stop", `{"user":"oABC"}`)
			})
			status, body := c.do("POST", "/v1/chat-messages", asked)
			<-stopped
			if call := c.server.Calls()[0]; status != 200 || call.Outcome != Stopped || len(body) == 0 {
				t.Errorf("%d %s, call %+v", status, body, call)
			}
		})
	})
	t.Run("client leaves", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c := newClient(t, Options{Mode: Chatflow, Behaviour: Behaviour{Total: 10 * time.Second}})
			c.http.Timeout = time.Second
			if err := c.unanswered(asked); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if err := c.server.WaitRunning(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			call := c.server.Calls()[0]
			if stored := c.server.Messages(call.Conversation); call.Outcome != Answered || stored[0].Answer == "" {
				t.Errorf("call %+v, stored %+v", call, stored)
			}
		})
	})
	t.Run("closed", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c := newClient(t, Options{Behaviour: Behaviour{Total: 10 * time.Second}})
			closed := later(time.Second, c.server.Close)
			if err := c.unanswered(asked); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v", err)
			}
			<-closed
		})
	})
}

func TestFaultTextRoundTrips(t *testing.T) {
	for _, f := range []Fault{
		{}, {Kind: HTTPError, Name: "unknown.500"}, {Kind: TooManyRequests}, {Kind: HTMLPage}, {Kind: CutBefore},
		{Kind: SlowHeaders, Delay: 3 * time.Second}, {Kind: ConversationGone}, {Kind: Hang}, {Kind: ErrorEvent},
		{Kind: ErrorEvent, Deltas: 2, Name: "invalid_param"}, {Kind: ErrorEvent, Text: "a:b"}, {Kind: CutAfter, Deltas: 4},
		{Kind: EndEarly}, {Kind: Truncate, Deltas: 1}, {Kind: NeverEnd}, {Kind: Replace, Text: "换:了"}, {Kind: EmptyAnswer},
		{Kind: Moderate, Deltas: 2}, {Kind: Moderate, Text: "换:了"}, {Kind: Pause}, {Kind: Pause, Text: "请:确认"}, {Kind: NotANumber},
		{Kind: Gap, Deltas: 3, Delay: time.Minute}, {Kind: SplitSurrogates}, {Kind: Redirect, Text: "https://login.example.com/?a=b"},
	} {
		text, _ := f.MarshalText()
		var got Fault
		if err := got.UnmarshalText(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(f, got); diff != "" {
			t.Errorf("%q -want +got:\n%s", text, diff)
		}
	}
	for _, text := range []string{
		"nonsense", "http-error", "http-error:nothing.500", "cut-after:x", "cut-after:-1", "slow-headers:x",
		"redirect", "gap:x", "gap:1", "gap:1:x", "moderate:x", "not-a-number:1",
		"hang:1", "error-event:0:nothing", "error-event:x",
	} {
		var f Fault
		if err := f.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q read as %+v", text, f)
		}
	}
}
