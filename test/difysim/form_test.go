package difysim

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// paused asks a flow that waits, and gives the form's token and its run.
func paused(t *testing.T, c *client) (token, run string) {
	t.Helper()
	events := c.ask("退款")
	var last struct {
		Data struct {
			Run     string `json:"workflow_run_id"`
			Reasons []struct {
				Token string `json:"form_token"`
			}
		}
	}
	if err := json.Unmarshal(bytes.TrimPrefix(events[len(events)-1].raw, []byte("data: ")), &last); err != nil || len(last.Data.Reasons) != 1 {
		t.Fatalf("%v in %s", err, events[len(events)-1].raw)
	}
	return last.Data.Reasons[0].Token, last.Data.Run
}

func TestForms_Checks(t *testing.T) {
	const whole = `{"inputs":{},"action":"approve","user":"oABC"}`
	for name, c := range map[string]struct {
		form    *Form
		release Release
		token   string // if not the form's
		body    string
		before  func(*Server)
		status  int
		want    string // in the body, or a recorded file
	}{
		"an action":           {nil, V1_14_2, "", whole, nil, 200, "{}"},
		"no user":             {nil, V1_14_2, "", `{"inputs":{},"action":"approve"}`, nil, 400, "Arg user must be provided."},
		"no inputs":           {nil, V1_14_2, "", `{"action":"approve","user":"u"}`, nil, 400, "HumanInputFormSubmitPayload"},
		"no action":           {nil, V1_14_2, "", `{"inputs":{},"user":"u"}`, nil, 400, "HumanInputFormSubmitPayload"},
		"another action":      {nil, V1_14_2, "", `{"inputs":{},"action":"x","user":"u"}`, nil, 400, `"invalid_form_data"`},
		"a missing input":     {&Form{Inputs: []string{"reason"}}, V1_14_2, "", whole, nil, 400, "errors/invalid_form_data.400.json"},
		"an input":            {&Form{Inputs: []string{"reason"}}, V1_14_2, "", `{"inputs":{"reason":"x"},"action":"approve","user":"u"}`, nil, 200, "{}"},
		"another form":        {nil, V1_14_2, "other", whole, nil, 404, "errors/not_found-form.404.json"},
		"submitted elsewhere": {nil, V1_14_2, "", whole, (*Server).SubmitForms, 412, `"human_input_form_submitted"`},
		"too late":            {nil, V1_14_2, "", whole, func(*Server) { time.Sleep(formLife) }, 412, `"human_input_form_expired"`},
		"an older release":    {nil, V1_13_3, "", whole, nil, 404, "<!doctype html>"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cl := newClient(t, Options{Release: c.release, Mode: Chatflow, Behaviour: Behaviour{Form: c.form, Fault: Fault{Kind: Pause}}})
				token, _ := paused(t, cl)
				if c.token != "" {
					token = c.token
				}
				if c.before != nil {
					c.before(cl.server)
				}
				status, body := cl.do("POST", "/v1/form/human_input/"+token, c.body)
				want := []byte(c.want)
				if strings.HasPrefix(c.want, "errors/") {
					want = bytes.TrimSpace(recordedBytes(t, c.want))
				}
				if status != c.status || !bytes.Contains(bytes.ToLower(body), bytes.ToLower(want)) {
					t.Errorf("%d %s, want %d %s", status, body, c.status, want)
				}
				shown, _ := cl.do("GET", "/v1/form/human_input/"+token, "")
				if again := map[bool]int{true: 412, false: c.status}[c.status == 200]; c.status != 400 && shown != again || c.status == 400 && shown != 200 {
					t.Errorf("then the form is shown with %d", shown)
				}
			})
		})
	}
}

// Of a resumed run those hear who follow it, from then on; of one that is over its end is told.
func TestForms_Events(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newClient(t, Options{Release: V1_14_2, Mode: Chatflow, Behaviour: Behaviour{Form: &Form{Rest: "好了"}, Fault: Fault{Kind: Pause}}})
		token, run := paused(t, c)
		path := "/v1/workflow/" + run + "/events"
		if status, _ := c.do("GET", path, ""); status != 400 {
			t.Errorf("without a user: %d", status)
		}
		if status, _ := c.do("GET", path+"?user=other", ""); status != 404 {
			t.Errorf("somebody else's run: %d", status)
		}
		got := make(chan string, 1)
		go func() {
			_, body := c.do("GET", path+"?user=oABC", "")
			got <- string(body)
		}()
		time.Sleep(11 * time.Second)
		if status, body := c.do("POST", "/v1/form/human_input/"+token, `{"inputs":{},"action":"reject","user":"oABC"}`); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		live := <-got
		for _, part := range []string{"event: ping\n\nevent: ping\n\n", `"human_input_form_filled"`, `"action_id":"reject"`, `"answer":"好了"`, `"message_end"`, `"status":"succeeded"`} {
			if !strings.Contains(live, part) {
				t.Errorf("no %s in %s", part, live)
			}
		}
		if _, body := c.do("GET", path+"?user=oABC", ""); !strings.HasPrefix(string(body), `data: {"event":"workflow_finished"`) || strings.Count(string(body), "\n\n") != 1 {
			t.Errorf("of a run that is over: %s", body)
		}
	})
}
