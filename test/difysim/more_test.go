package difysim

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// every runs a test for all modes of all releases.
func every(t *testing.T, b Behaviour, test func(t *testing.T, c *client, o Options)) {
	t.Helper()
	for _, release := range []Release{V0_6_5, V1_12_1, V1_13_3} {
		for _, mode := range []Mode{Chat, Agent, Chatflow} {
			t.Run(mode.String()+" "+release.String(), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					o := Options{Release: release, Mode: mode, Behaviour: b}
					test(t, newClient(t, o), o)
				})
			})
		}
	}
}

func TestFilesAreGivenAsTheModeGivesThem(t *testing.T) {
	made := []MadeFile{
		{Type: "document", Name: "报告.docx", MIMEType: "application/msword", Size: 5, URL: "https://dify.example.com/files/tools/y.docx?sign=3"},
		{Type: "image"},
	}
	every(t, Behaviour{Files: made, Fault: Fault{Kind: EmptyAnswer}}, func(t *testing.T, c *client, o Options) {
		events := c.ask("画一张图")
		type file struct {
			URL       string `json:"url"`
			BelongsTo string `json:"belongs_to"`
		}
		var got []string
		for _, e := range events {
			var wire struct {
				file
				Files []file `json:"files"`
			}
			payload := strings.TrimPrefix(string(e.raw), "data: ")
			if e.Event == "message_file" || e.Event == "message_end" {
				if err := json.Unmarshal([]byte(payload), &wire); err != nil {
					t.Fatal(err)
				}
			}
			if e.Event == "message_file" {
				if wire.BelongsTo != "assistant" {
					t.Errorf("it belongs to %q", wire.BelongsTo)
				}
				got = append(got, wire.URL)
			}
			for _, f := range wire.Files {
				got = append(got, f.URL)
			}
		}
		if o.Mode == Chatflow && o.Release == V0_6_5 {
			if len(got) != 0 {
				t.Errorf("%v, and the release knows no files", got)
			}
			return
		}
		if len(got) != 2 || got[0] != made[0].URL || !strings.HasPrefix(got[1], "/files/tools/") || !strings.Contains(got[1], ".png?") {
			t.Errorf("the files are %q", got)
		}
		_, body := c.do("GET", "/v1/messages?user=oABC&conversation_id="+events[len(events)-1].Conversation, "")
		var list struct {
			Data []struct {
				Files []struct{ Filename, URL string } `json:"message_files"`
			}
		}
		if err := json.Unmarshal(body, &list); err != nil || len(list.Data) != 1 || len(list.Data[0].Files) != 2 || list.Data[0].Files[0].Filename != "报告.docx" {
			t.Errorf("the stored message is %s, %v", body, err)
		}
	})
}

func TestAWorkflowWaitsForAPerson(t *testing.T) {
	every(t, Behaviour{Answer: "您的退款金额较大，需要人工确认。", Fault: Fault{Kind: Pause, Text: "请确认退款 100 元"}}, func(t *testing.T, c *client, o Options) {
		events := c.ask("退款")
		last := names(events[max(0, len(events)-3):])
		if o.Mode != Chatflow || o.Release == V0_6_5 {
			if last[2] == "workflow_paused" {
				t.Errorf("it ends with %q", last)
			}
			return
		}
		if diff := cmp.Diff([]string{"node_started", "human_input_required", "workflow_paused"}, last); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if raw := string(events[len(events)-1].raw); !strings.Contains(raw, "请确认退款 100 元") || !strings.Contains(raw, `"form_token":"form-`) {
			t.Errorf("it says %s", raw)
		}
		call := c.server.Calls()[0]
		if stored := c.server.Messages(call.Conversation); call.Outcome != Paused || stored[0].Status != "paused" || stored[0].Answer != text(events) {
			t.Errorf("call %+v, stored %+v", call, stored)
		}
	})
}

func TestModerationReplacesInTheMiddle(t *testing.T) {
	every(t, Behaviour{Length: 200, Total: 9 * time.Second, Fault: Fault{Kind: Moderate, Deltas: 3, Text: "换"}}, func(t *testing.T, c *client, o Options) {
		began := time.Now()
		events := c.ask("你好")
		ends := names(events[len(events)-3:])
		want := []string{"message", "message_replace", "message_end"}
		switch {
		case o.Mode == Agent:
			want[0] = "agent_message"
		case o.Mode == Chatflow && o.Release == V1_13_3:
			want = []string{"message_replace", "message_end", "workflow_finished"}
		case o.Mode == Chatflow:
			want = []string{"message_replace", "workflow_finished", "message_end"}
		}
		if diff := cmp.Diff(want, ends); diff != "" || time.Since(began) > 2*time.Second {
			t.Errorf("after %v, -want +got:\n%s", time.Since(began), diff)
		}
		if stored := c.server.Messages(events[0].Conversation); o.Release != V1_13_3 && stored[0].Answer != "换" {
			t.Errorf("stored %+v", stored)
		}
	})
}

// A run that says nothing for a time goes on; a worker's also without its client.
func TestGap(t *testing.T) {
	const gap = 90 * time.Second
	every(t, Behaviour{Total: 5 * time.Second, Length: 100, Fault: Fault{Kind: Gap, Deltas: 2, Delay: gap}}, func(t *testing.T, c *client, _ Options) {
		stream := c.open(t.Context(), "你好")
		last, longest := time.Now(), time.Duration(0)
		for {
			e, ok := stream.next()
			if !ok {
				break
			}
			if e.Event == ping && longest > 0 {
				t.Error("a ping came in the gap")
			}
			longest = max(longest, time.Since(last))
			last = time.Now()
		}
		if longest < gap || longest > gap+time.Second {
			t.Errorf("the longest silence was %v", longest)
		}
		if call := c.server.Calls()[0]; call.Outcome != Answered {
			t.Errorf("call %+v", call)
		}
	})
}

func TestNumbersThatAreNone(t *testing.T) {
	every(t, Behaviour{Fault: Fault{Kind: NotANumber}}, func(t *testing.T, c *client, _ Options) {
		_, body := c.do("POST", "/v1/chat-messages", question("你好"))
		if !strings.Contains(string(body), "NaN") || !strings.Contains(string(body), "-Infinity") {
			t.Errorf("the stream is %s", body)
		}
	})
}

func TestCharactersAreSplit(t *testing.T) {
	const answer = "好👍的，😀😀完成𠮷"
	every(t, Behaviour{Answer: answer, Fault: Fault{Kind: SplitSurrogates}}, func(t *testing.T, c *client, _ Options) {
		_, body := c.do("POST", "/v1/chat-messages", question("你好"))
		for _, half := range []string{`\ud83d"`, `"\udc4d`, `"\ude00`, `"\udfb7`} {
			if !strings.Contains(string(body), half) {
				t.Errorf("%s does not stand alone in %s", half, body)
			}
		}
		if stored := c.server.Messages(c.server.Calls()[0].Conversation); !strings.HasSuffix(stored[0].Answer, answer) {
			t.Errorf("stored %+v", stored)
		}
	})
}

func TestNodesThatSayMuch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const size = 1 << 20
		c := newClient(t, Options{Mode: Chatflow, Behaviour: Behaviour{NodeBytes: size}})
		events := c.ask("你好")
		largest := 0
		for _, e := range events {
			largest = max(largest, len(e.raw))
		}
		if largest < size || largest > size+(64<<10) {
			t.Errorf("the largest event has %d bytes", largest)
		}
	})
}

func TestRedirect(t *testing.T) {
	c := newClient(t, Options{Behaviour: Behaviour{Fault: Fault{Kind: Redirect, Text: "https://login.example.com/?next=%2Fv1"}}})
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := c.http.Do(c.request(t.Context(), "POST", "/v1/chat-messages", question("你好")))
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(t, response)
	if response.StatusCode != http.StatusFound || response.Header.Get("Location") != "https://login.example.com/?next=%2Fv1" {
		t.Errorf("%s to %q", response.Status, response.Header.Get("Location"))
	}
}

func TestInputsOfAnApp(t *testing.T) {
	inputs := []Input{{Variable: "city", Label: "城市", Required: true}, {Variable: "tone", Kind: "select", Default: "友好"}}
	every(t, Behaviour{}, func(t *testing.T, _ *client, o Options) {
		c := newClient(t, Options{Release: o.Release, Mode: o.Mode, Inputs: inputs})
		_, body := c.do("GET", "/v1/parameters", "")
		var parameters struct {
			Form []map[string]struct {
				Variable string
				Required bool
			} `json:"user_input_form"`
		}
		if err := json.Unmarshal(body, &parameters); err != nil || len(parameters.Form) != 2 || !parameters.Form[0]["text-input"].Required || parameters.Form[1]["select"].Variable != "tone" {
			t.Errorf("the parameters are %s, %v", body, err)
		}
		status, body := c.do("POST", "/v1/chat-messages", question("你好"))
		if relayed(o.Release, o.Mode) {
			if status != http.StatusOK || string(body) != "event: ping\n\n" {
				t.Errorf("without an input a worker says %d %q", status, body)
			}
		} else if status != http.StatusBadRequest || !strings.Contains(string(body), "city is required in input form") {
			t.Errorf("without an input: %d %s", status, body)
		}
		c.ask("你好", member{"inputs", object{{"city", "上海"}}})
	})
}
