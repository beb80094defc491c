package dify_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

const refundText = "需要人工确认。"

// waiting asks a chatflow of a release with forms something that ends at a form.
func waiting(t *testing.T, form *difysim.Form) (simulated, dify.Answer, dify.Submission) {
	t.Helper()
	s := simulated{difysim.V1_14_2, difysim.Chatflow, difysim.New(difysim.Options{
		Release: difysim.V1_14_2, Mode: difysim.Chatflow,
		Behaviour: difysim.Behaviour{Answer: refundText, Form: form, Fault: difysim.Fault{Kind: difysim.Pause, Text: "请确认退款"}},
	}), nil}
	t.Cleanup(s.dify.Close)
	client, err := dify.New(dify.Target{BaseURL: "https://dify.example.com/v1", Key: "app-test"}, dify.Options{Transport: s.dify.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	a, err := s.ask(t, "退款")
	if err != nil || a.Pause == nil || len(a.Pause.Forms) != 1 || a.Text != refundText || a.Pause.RunID == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	return s, a, dify.Submission{
		User: "oABC", Token: a.Pause.Forms[0].Token, Action: "approve", RunID: a.Pause.RunID,
		ConversationID: a.ConversationID, MessageID: a.MessageID,
	}
}

// What the run says behind the form comes as it is said, in the same message.
func TestSubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, f := waiting(t, &difysim.Form{Total: textSeconds(20), Rest: "已同意退款，三天内到账。"})
		var texts []string
		began := time.Now()
		rest, err := s.client.Submit(t.Context(), f, func(u dify.Update) {
			if u.MessageID != a.MessageID || u.ConversationID != a.ConversationID || !u.Begun {
				t.Errorf("an update of %+v", u)
			}
			texts = append(texts, u.Text)
		})
		if err != nil || rest.Text != "已同意退款，三天内到账。" || rest.MessageID != a.MessageID || rest.Pause != nil || time.Since(began) > 21*time.Second {
			t.Errorf("after %v: %+v, %v", time.Since(began), rest, err)
		}
		if len(texts) < 3 || texts[len(texts)-1] != rest.Text {
			t.Errorf("the updates are %q", texts)
		}
		stored := s.dify.Messages(a.ConversationID)
		if len(stored) != 1 || stored[0].Answer != refundText+rest.Text || stored[0].Status != "normal" {
			t.Errorf("Dify has stored %+v", stored)
		}
	})
}

func textSeconds(n int) (d difysim.Duration) { return difysim.Duration(time.Duration(n) * time.Second) }

func TestSubmit_Outcomes(t *testing.T) {
	for name, c := range map[string]struct {
		form   *difysim.Form
		before func(s simulated, f *dify.Submission)
		kind   dify.Kind
		text   string
		paused bool
	}{
		"another action":                {nil, func(_ simulated, f *dify.Submission) { f.Action = "reject" }, "", "已拒绝。", false},
		"an action that is not offered": {nil, func(_ simulated, f *dify.Submission) { f.Action = "maybe" }, dify.InvalidParam, "", false},
		"answered by somebody else":     {nil, func(s simulated, _ *dify.Submission) { s.dify.SubmitForms() }, dify.FormAnswered, "", false},
		"too late":                      {&difysim.Form{Life: textSeconds(60)}, func(simulated, *dify.Submission) { time.Sleep(time.Minute) }, dify.FormExpired, "", false},
		"an unknown form":               {nil, func(_ simulated, f *dify.Submission) { f.Token = "form-other" }, dify.FormExpired, "", false},
		"inputs are missing":            {&difysim.Form{Inputs: []string{"reason"}}, nil, dify.InvalidParam, "", false},
		"it waits again":                {&difysim.Form{Again: true}, nil, "", "已同意。", true},
		"the run fails":                 {&difysim.Form{Fails: true}, nil, dify.WorkflowFailed, "已同意。", false},
		"its events are lost":           {&difysim.Form{Unheard: true, Total: textSeconds(30)}, nil, "", "已同意。", false},
		"the run is not known":          {nil, func(_ simulated, f *dify.Submission) { f.RunID = "" }, "", "已同意。", false},
		"somebody else's run":           {nil, func(_ simulated, f *dify.Submission) { f.RunID = "other" }, "", "已同意。", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, f := waiting(t, c.form)
				if c.before != nil {
					c.before(s, &f)
				}
				a, err := s.client.Submit(t.Context(), f, nil)
				if dify.KindOf(err) != c.kind || (err == nil) != (c.kind == "") || a.Text != c.text || (a.Pause != nil) != c.paused {
					t.Errorf("%+v, %v", a, err)
				}
				if !c.paused {
					return
				}
				next := a.Pause.Forms[0]
				if next.Token == "" || next.Token == f.Token || a.Pause.RunID != f.RunID {
					t.Fatalf("it waits with %+v", a.Pause)
				}
				f.Token = next.Token
				if a, err = s.client.Submit(t.Context(), f, nil); err != nil || a.Text != "已同意。" || a.Pause != nil {
					t.Errorf("the next form: %+v, %v", a, err)
				}
			})
		})
	}
}

// A submission whose response is lost has been made: it is not taken for somebody else's.
func TestSubmit_ResponseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, f := waiting(t, &difysim.Form{Total: textSeconds(5)})
		lost := 0
		client := clientOf(t, func(r *http.Request) (*http.Response, error) {
			resp, err := s.dify.Transport().RoundTrip(r)
			if r.Method == http.MethodPost && lost == 0 && err == nil {
				lost++
				_ = resp.Body.Close()
				return nil, io.ErrUnexpectedEOF
			}
			return resp, err
		})
		a, err := client.Submit(t.Context(), f, nil)
		if err != nil || a.Text != "已同意。" || lost != 1 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// The events are followed before the form is submitted, as those of before are lost; a Dify that does not begin to send them
// delays that by three seconds.
func TestSubmit_FollowsFirst(t *testing.T) {
	for _, slow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, _, f := waiting(t, nil)
			var order []string
			began := time.Now()
			client := clientOf(t, func(r *http.Request) (*http.Response, error) {
				order = append(order, r.Method+" "+strings.Split(r.URL.Path, "/")[2])
				if slow && strings.HasSuffix(r.URL.Path, "/events") {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return s.dify.Transport().RoundTrip(r)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			a, err := client.Submit(ctx, f, nil)
			if err != nil || a.Text != "已同意。" {
				t.Errorf("%+v, %v", a, err)
			}
			if got := strings.Join(order[:3], ", "); got != "GET messages, GET workflow, POST form" {
				t.Errorf("the calls are %s", got)
			}
			if took := time.Since(began); slow != (took >= 3*time.Second) || took > 6*time.Second {
				t.Errorf("slow: %t, it took %v", slow, took)
			}
		})
	}
}

func TestSubmit_Impossible(t *testing.T) {
	c := clientOf(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was made")
		return nil, io.EOF
	})
	for _, f := range []dify.Submission{{}, {User: "u", Token: "a/b", Action: "x"}, {User: "u", Token: "t"}, {Token: "t", Action: "x"}} {
		if _, err := c.Submit(t.Context(), f, nil); dify.KindOf(err) != dify.InvalidParam {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// Whoever has lost the stream finds out with the answer what the run waits with, by a token that this API takes.
func TestAwait_Form(t *testing.T) {
	for name, c := range map[string]struct {
		form  *difysim.Form
		token bool
	}{
		"open":               {nil, true},
		"with more to fill":  {&difysim.Form{Inputs: []string{"reason"}}, true},
		"sent by mail":       {&difysim.Form{ByMail: true}, false},
		"the second of them": {&difysim.Form{Again: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, f := waiting(t, c.form)
				want := a.Pause
				if c.form != nil && c.form.Again {
					next, err := s.client.Submit(t.Context(), f, nil)
					if err != nil {
						t.Fatal(err)
					}
					want = next.Pause
				}
				got, err := s.client.Await(t.Context(), dify.Run{User: "oABC", ConversationID: a.ConversationID, MessageID: a.MessageID})
				if err != nil || got.Pause == nil || !strings.HasPrefix(got.Text, refundText) {
					t.Fatalf("%+v, %v", got, err)
				}
				if d := cmp.Diff(want, got.Pause); d != "" || (got.Pause.Forms[0].Token != "") != c.token {
					t.Errorf("it waits with (-told in the stream +found):\n%s", d)
				}
			})
		})
	}
}

// A Dify that does not say, or never comes to an end, leaves a pause without forms, and does not hold up the answer for long.
func TestAwait_FormUnknown(t *testing.T) {
	for name, answer := range map[string]func(r *http.Request, s simulated) (*http.Response, error){
		"an older release": func(*http.Request, simulated) (*http.Response, error) {
			return response(http.StatusNotFound, "text/html", strings.NewReader("<html>")), nil
		},
		"it breaks": func(*http.Request, simulated) (*http.Response, error) { return nil, io.EOF },
		"it is over by now": func(*http.Request, simulated) (*http.Response, error) {
			return response(http.StatusOK, "text/event-stream", strings.NewReader(ev("workflow_finished", `,"data":{"status":"succeeded"}`))), nil
		},
		"it knows no snapshots": func(r *http.Request, s simulated) (*http.Response, error) {
			r.URL.RawQuery = "user=oABC"
			return s.dify.Transport().RoundTrip(r)
		},
		"it does not answer": func(r *http.Request, _ simulated) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, _ := waiting(t, nil)
				client := clientOf(t, func(r *http.Request) (*http.Response, error) {
					if strings.HasSuffix(r.URL.Path, "/events") {
						return answer(r, s)
					}
					return s.dify.Transport().RoundTrip(r)
				})
				began := time.Now()
				got, err := client.Await(t.Context(), dify.Run{User: "oABC", ConversationID: a.ConversationID, MessageID: a.MessageID})
				if err != nil || got.Pause == nil || len(got.Pause.Forms) != 0 || got.Text != refundText {
					t.Errorf("%+v, %v", got, err)
				}
				if took := time.Since(began); took > 11*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
