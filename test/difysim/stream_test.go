package difysim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shape gives the member names of JSON text, in their order, with those of nested objects.
func shape(t *testing.T, raw []byte) string {
	t.Helper()
	var b strings.Builder
	writeShape(t, &b, json.NewDecoder(bytes.NewReader(raw)))
	return b.String()
}

func writeShape(t *testing.T, b *strings.Builder, decoder *json.Decoder) {
	t.Helper()
	token, err := decoder.Token()
	if err != nil {
		t.Fatal(err)
	}
	open, ok := token.(json.Delim)
	if !ok {
		return
	}
	b.WriteRune(rune(open))
	for decoder.More() {
		if open == '{' {
			name, err := decoder.Token()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(b, "%s ", name)
		}
		writeShape(t, b, decoder)
	}
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	b.WriteString("}")
}

// outline gives the shapes of a stream's events in their order. Neighbours of the same shape count as one, since
// the number of deltas differs.
func outline(t *testing.T, events []event) (lines []string) {
	t.Helper()
	for i := range events {
		line := events[i].Event
		if line != ping {
			payload := bytes.TrimPrefix(events[i].raw, []byte("data: "))
			line += " " + events[i].Data.NodeID + " " + events[i].Data.Status + " " + shape(t, payload)
		}
		if len(lines) == 0 || lines[len(lines)-1] != line {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestStreamsHaveTheOutlineOfTheRecordings(t *testing.T) {
	image := member{"files", list{object{{"type", "image"}, {"transfer_method", "local_file"}, {"upload_file_id", "x"}}}}
	slow := Behaviour{FirstText: 2 * time.Second, Total: 25 * time.Second}
	for fixture, tc := range map[string]struct {
		mode      Mode
		behaviour Behaviour
		more      []member
		stopAfter int // deltas
	}{
		"chat-simple.0.6.5":                                     {mode: Chat},
		"chat-simple.1.13.3":                                    {mode: Chat},
		"chat-long-markdown-6k.0.6.5":                           {behaviour: Behaviour{Length: 6000}},
		"chat-long-markdown-6k.1.13.3":                          {behaviour: Behaviour{Length: 6000}},
		"chat-think-block.0.6.5":                                {behaviour: Behaviour{Think: "用户在问天气。"}},
		"chat-think-block.1.13.3":                               {behaviour: Behaviour{Think: "用户在问天气。"}},
		"chat-empty-answer.1.13.3":                              {behaviour: Behaviour{Fault: Fault{Kind: EmptyAnswer}}},
		"chat-error-first-event.0.6.5":                          {behaviour: Behaviour{Fault: Fault{Kind: ErrorEvent}}},
		"chat-error-first-event.1.13.3":                         {behaviour: Behaviour{Fault: Fault{Kind: ErrorEvent}}},
		"chat-error-midstream.1.13.3":                           {behaviour: Behaviour{Fault: Fault{Kind: ErrorEvent, Deltas: 3}}},
		"chat-moderation-replace-at-end.0.6.5":                  {behaviour: Behaviour{Fault: Fault{Kind: Replace}}},
		"chat-moderation-replace-at-end.1.13.3":                 {behaviour: Behaviour{Fault: Fault{Kind: Replace}}},
		"chat-image-answer-in-message_file-events.1.12.1":       {more: []member{image}},
		"chat-image-answer.1.13.3":                              {more: []member{image}},
		"chat-ping-interleaved.0.6.5":                           {behaviour: slow},
		"chat-ping-interleaved.1.13.3":                          {behaviour: slow},
		"chat-stopped.1.13.3":                                   {behaviour: Behaviour{Total: 9 * time.Second}, stopAfter: 4},
		"agent-react-no-tool.0.6.5":                             {mode: Agent},
		"agent-react-no-tool.1.13.3":                            {mode: Agent},
		"agent-function-call-thoughts.1.13.3":                   {mode: Agent, behaviour: Behaviour{Tool: "current_time"}},
		"chatflow-simple.0.6.5":                                 {mode: Chatflow},
		"chatflow-simple.1.12.1":                                {mode: Chatflow},
		"chatflow-simple.1.13.3":                                {mode: Chatflow},
		"chatflow-empty-answer.1.13.3":                          {mode: Chatflow, behaviour: Behaviour{Fault: Fault{Kind: EmptyAnswer}}},
		"chatflow-node-failed.0.6.5":                            {mode: Chatflow, behaviour: Behaviour{Fault: Fault{Kind: ErrorEvent}}},
		"chatflow-node-failed.1.13.3":                           {mode: Chatflow, behaviour: Behaviour{Fault: Fault{Kind: ErrorEvent}}},
		"chatflow-midstream.1.13.3":                             {mode: Chatflow, behaviour: Behaviour{Fault: Fault{Kind: ErrorEvent, Deltas: 3}}},
		"chatflow-moderation-replace-before-message_end.1.13.3": {mode: Chatflow, behaviour: Behaviour{Fault: Fault{Kind: Replace}}, more: []member{{"inputs", object{{"query__", "x"}}}}},
		"chatflow-ping-interleaved.1.13.3":                      {mode: Chatflow, behaviour: slow},
		"chatflow-hang-only-ping.1.13.3":                        {mode: Chatflow, behaviour: Behaviour{Fault: Fault{Kind: Hang}}},
		"chatflow-stopped-no-message_end.1.13.3":                {mode: Chatflow, behaviour: Behaviour{Total: 9 * time.Second}, stopAfter: 4},
	} {
		t.Run(fixture, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var release Release
				if err := release.UnmarshalText([]byte(fixture[strings.Index(fixture, ".")+1:])); err != nil {
					t.Fatal(err)
				}
				c := newClient(t, Options{Release: release, Mode: tc.mode, Behaviour: tc.behaviour})
				stream := c.open(t.Context(), "你好", tc.more...)
				var events []event
				if tc.stopAfter > 0 {
					for range tc.stopAfter + 4*int(tc.mode)/int(Chatflow) { // and a chatflow's opening
						e, _ := stream.next()
						events = append(events, e)
					}
					task := events[len(events)-1].Task
					if status, body := c.do("POST", "/v1/chat-messages/"+task+"/stop", `{"user":"oABC"}`); status != 200 {
						t.Fatalf("stopping: %d %s", status, body)
					}
				}
				events = append(events, stream.all()...)
				want := parseEvents(t, recordedBytes(t, "sse/"+fixture+".sse"))
				if diff := cmp.Diff(outline(t, want), outline(t, events)); diff != "" {
					t.Errorf("-recorded +generated:\n%s", diff)
				}
				checkStyle(t, release, events)
			})
		})
	}
}

// checkStyle checks bytes: separators and escaping of the release.
func checkStyle(t *testing.T, release Release, events []event) {
	t.Helper()
	for i := range events {
		raw := string(events[i].raw)
		if events[i].Event == ping {
			continue
		}
		old := strings.HasPrefix(raw, `data: {"event": "`)
		if old != (release == V0_6_5) {
			t.Errorf("separators of the wrong release: %.60q", raw)
		}
		ascii := strings.IndexFunc(raw, func(r rune) bool { return r > 0x7e }) < 0
		if old && !ascii || !old && strings.Contains(raw, `\u`) {
			t.Errorf("escaping of the wrong release: %q", raw)
		}
	}
}

func TestDeltasComeAtTheOrderedPace(t *testing.T) {
	for _, length := range []int{0, 40, 300, 20_000} {
		bubble(t, func(t *testing.T) {
			const first, total = 2 * time.Second, 8 * time.Second
			c := newClient(t, Options{Behaviour: Behaviour{FirstText: first, Total: total, Length: length}})
			start := time.Now()
			stream := c.open(t.Context(), "多少钱")
			var times []time.Duration
			var answer strings.Builder
			for e, ok := stream.next(); ok; e, ok = stream.next() {
				if e.Event == "message" && e.Answer != "" {
					times = append(times, since(start))
					answer.WriteString(e.Answer)
				}
			}
			if got := since(start); got != total {
				t.Errorf("length %d: ended after %v, want %v", length, got, total)
			}
			if len(times) == 0 || len(times) > maxDeltas || times[0] != first {
				t.Fatalf("length %d: %d deltas, at %v", length, len(times), times)
			}
			for i, at := range times {
				want := first + (total-first)*time.Duration(i)/time.Duration(len(times))
				if at != want {
					t.Errorf("length %d: delta %d after %v, want %v", length, i, at, want)
				}
			}
			if want := Echo("多少钱", length); answer.String() != want {
				t.Errorf("length %d: answer %q, want %q", length, answer.String(), want)
			}
		})
	}
}

func TestHeaders_WithFirstEventOrAtOnce(t *testing.T) {
	for mode, want := range map[Mode]time.Duration{Chat: 3 * time.Second, Agent: 0, Chatflow: 0} {
		bubble(t, func(t *testing.T) {
			c := newClient(t, Options{Mode: mode, Behaviour: Behaviour{FirstText: 3 * time.Second}})
			start := time.Now()
			stream := c.open(t.Context(), "你好")
			if got := since(start); got != want {
				t.Errorf("%v: headers after %v, want %v", mode, got, want)
			}
			stream.all()
		})
	}
}

func TestHangGivesPingsUntilPatienceEnds(t *testing.T) {
	hang := Behaviour{Fault: Fault{Kind: Hang}}
	for name, tc := range map[string]struct {
		options Options
		pings   int
		last    string
		ends    time.Duration
	}{
		"chat":           {Options{Mode: Chat, Behaviour: hang}, 119, "message_end", maxRun},
		"old chatflow":   {Options{Mode: Chatflow, Release: V1_12_1, Behaviour: hang}, 119, "message_end", maxRun},
		"relay":          {Options{Mode: Chatflow, Behaviour: hang}, 1, ping, relaySilence},
		"never-end chat": {Options{Behaviour: Behaviour{Fault: Fault{Kind: NeverEnd}}}, 119, ping, maxRun},
		"never-end relay": {
			Options{Mode: Chatflow, Behaviour: Behaviour{Fault: Fault{Kind: NeverEnd}}}, 1, "message", relaySilence,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newClient(t, tc.options)
				start := time.Now()
				events := c.open(t.Context(), "你好").all()
				pings := 0
				for i := range events {
					if events[i].Event == ping {
						pings++
					}
				}
				if pings != tc.pings || events[len(events)-1].Event != tc.last || since(start) != tc.ends {
					t.Errorf("%d pings, last %q, after %v; want %d, %q, %v",
						pings, events[len(events)-1].Event, since(start), tc.pings, tc.last, tc.ends)
				}
				if calls := c.server.Calls(); calls[0].Outcome != Cut {
					t.Errorf("outcome %q, want %q", calls[0].Outcome, Cut)
				}
			})
		})
	}
}

func TestLingerKeepsTheConnectionAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newClient(t, Options{Behaviour: Behaviour{Linger: 7 * time.Second}})
		start := time.Now()
		stream := c.open(t.Context(), "你好")
		stream.until("message_end")
		if got := since(start); got != 0 {
			t.Errorf("message_end after %v", got)
		}
		stream.all()
		if got := since(start); got != 7*time.Second {
			t.Errorf("ended after %v", got)
		}
	})
}

func TestStopEndsTheCallersOwnStream(t *testing.T) {
	for name, tc := range map[string]struct {
		options Options
		user    string
		tail    []string
		status  string // of workflow_finished
		after   time.Duration
		outcome Outcome
		whole   bool // the answer came whole
	}{
		"chat":                   {Options{}, "oABC", []string{"message_end"}, "", 4 * time.Second, Stopped, false},
		"agent":                  {Options{Mode: Agent}, "oABC", []string{"message_end"}, "", 4 * time.Second, Stopped, false},
		"old chatflow":           {Options{Mode: Chatflow, Release: V0_6_5}, "oABC", []string{"workflow_finished", "message_end"}, "stopped", 4 * time.Second, Stopped, false},
		"relay":                  {Options{Mode: Chatflow}, "oABC", []string{"workflow_finished"}, "stopped", 4 * time.Second, Stopped, false},
		"other user's chat":      {Options{}, "oXYZ", []string{"message", "message_end"}, "", 10 * time.Second, Answered, true},
		"other user's relay":     {Options{Mode: Chatflow}, "oXYZ", []string{"node_finished", "workflow_finished"}, "failed", 10 * time.Second, Failed, true},
		"other user's, 1.12.1":   {Options{Mode: Chatflow, Release: V1_12_1}, "oXYZ", []string{"workflow_finished", "message_end"}, "succeeded", 10 * time.Second, Answered, true},
		"never-ending chat":      {Options{Behaviour: Behaviour{Fault: Fault{Kind: NeverEnd}}}, "oABC", []string{"message_end"}, "", 4 * time.Second, Stopped, false},
		"agent that uses a tool": {Options{Mode: Agent, Behaviour: Behaviour{Tool: "t"}}, "oABC", []string{"message_end"}, "", 4 * time.Second, Stopped, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tc.options.Behaviour.Total = 10 * time.Second
				c := newClient(t, tc.options)
				start := time.Now()
				stream := c.open(t.Context(), "你好")
				first, _ := stream.next()
				if first.Event == ping {
					first, _ = stream.next()
				}
				events := []event{first}
				stopped := later(4*time.Second, func() {
					c.do("POST", "/v1/chat-messages/"+first.Task+"/stop", `{"user":"`+tc.user+`"}`)
				})
				events = append(events, stream.all()...)
				<-stopped
				tail := events[len(events)-len(tc.tail):]
				if diff := cmp.Diff(tc.tail, names(tail)); diff != "" || since(start) != tc.after {
					t.Errorf("ended after %v, -want +got:\n%s", since(start), diff)
				}
				for i := range tail {
					if tail[i].Event == "workflow_finished" && tail[i].Data.Status != tc.status {
						t.Errorf("workflow %q, want %q", tail[i].Data.Status, tc.status)
					}
				}
				calls := c.server.Calls()
				if calls[0].Outcome != tc.outcome || calls[0].Deltas == 0 {
					t.Errorf("call: %+v, want %q", calls[0], tc.outcome)
				}
				stored := c.server.Messages(first.Conversation)
				said := text(events)
				if len(stored) != 1 || stored[0].Answer != said || (said == Echo("你好", 0)) != tc.whole {
					t.Errorf("stored %+v, said %q", stored, said)
				}
			})
		})
	}
}

func TestClientLeaves_AnswerKeptByWorkerOnly(t *testing.T) {
	const total = 10 * time.Second
	for name, tc := range map[string]struct {
		options Options
		outcome Outcome
		answer  string
		stop    bool
	}{
		"chat":           {Options{}, Lost, "", false},
		"agent":          {Options{Mode: Agent}, Lost, "", false},
		"old chatflow":   {Options{Mode: Chatflow, Release: V1_12_1}, Lost, "", false},
		"relay":          {Options{Mode: Chatflow}, Answered, Echo("你好", 0), false},
		"relay, stopped": {Options{Mode: Chatflow}, Stopped, "回答「你好」：您的问", true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tc.options.Behaviour.Total = total
				tc.options.MaxActiveRequests = 1
				c := newClient(t, tc.options)
				ctx, leave := context.WithCancel(t.Context())
				stream := c.open(ctx, "你好")
				var first event
				for first.Task == "" {
					first, _ = stream.next()
				}
				leave()
				_ = stream.body.Close()
				if tc.outcome != Lost {
					time.Sleep(4 * time.Second)
					if got := c.server.RunningCount(); got != 1 {
						t.Errorf("%d run, want the worker to go on", got)
					}
					if status, body := c.do("POST", "/v1/chat-messages", question("二")); status != 400 {
						t.Errorf("the worker's slot is free: %d %s", status, body)
					}
				}
				if tc.stop {
					c.do("POST", "/v1/chat-messages/"+first.Task+"/stop", `{"user":"oABC"}`)
				}
				if err := c.server.WaitRunning(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				call := c.server.Calls()[0]
				if call.Outcome != tc.outcome || !call.ClientGone {
					t.Errorf("call %+v, want %q", call, tc.outcome)
				}
				stored := c.server.Messages(first.Conversation)
				if len(stored) != 1 || stored[0].Answer != tc.answer || stored[0].Status != "normal" {
					t.Errorf("stored %+v, want answer %q", stored, tc.answer)
				}
				c.server.SetBehaviour(Behaviour{})
				c.ask("三") // the slot is free now
			})
		})
	}
}

func TestCloseEndsStreamsAndDetachedRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newClient(t, Options{Mode: Chatflow, Behaviour: Behaviour{Total: time.Hour}})
		gone := c.open(t.Context(), "一")
		gone.until("workflow_started")
		_ = gone.body.Close()
		stays := c.open(t.Context(), "二")
		stays.until("workflow_started")
		late := c.open(t.Context(), "三")
		late.until("workflow_started")
		c.server.Close()
		_ = late.body.Close()
		stays.all()
		if err := c.server.WaitEnded(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		for _, call := range c.server.Calls() {
			if call.Outcome != Cut && call.Outcome != Lost {
				t.Errorf("%q: %q", call.Query, call.Outcome)
			}
		}
	})
}
