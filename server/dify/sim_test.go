package dify_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

// The client against a stand-in for the releases of all generations, in all modes.

type simulated struct {
	release difysim.Release
	mode    difysim.Mode
	dify    *difysim.Server
	client  *dify.Client
}

// simulate runs a test against every release and mode.
func simulate(t *testing.T, o difysim.Options, test func(t *testing.T, s simulated)) {
	t.Helper()
	for _, release := range []difysim.Release{difysim.V0_6_5, difysim.V1_12_1, difysim.V1_13_3} {
		for _, mode := range []difysim.Mode{difysim.Chat, difysim.Agent, difysim.Chatflow} {
			t.Run(mode.String()+" "+release.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := o
					o.Release, o.Mode, o.Key = release, mode, "app-test"
					s := simulated{release, mode, difysim.New(o), nil}
					defer s.dify.Close()
					client, err := dify.New(dify.Target{BaseURL: "https://dify.example.com/v1", Key: "app-test"}, dify.Options{Transport: s.dify.Transport()})
					if err != nil {
						t.Fatal(err)
					}
					s.client = client
					test(t, s)
				})
			})
		}
	}
}

func (s simulated) ask(t *testing.T, query string) (dify.Answer, error) {
	t.Helper()
	return s.client.Chat(t.Context(), dify.ChatRequest{Query: query, User: "oABC"}, nil)
}

// relayed tells whether a run goes on without its client.
func (s simulated) relayed() bool { return s.release == difysim.V1_13_3 && s.mode == difysim.Chatflow }

// isKind checks an error's kind.
func isKind(t *testing.T, err error, kind dify.Kind) *dify.Error {
	t.Helper()
	e, ok := errors.AsType[*dify.Error](err)
	if !ok || e.Kind != kind {
		t.Fatalf("error %v, want %s", err, kind)
	}
	return e
}

func TestSimulatedFiles(t *testing.T) {
	made := []difysim.MadeFile{{Type: "document", Name: "报告.docx", URL: "https://files.example.com/y.docx?sign=3"}, {Type: "image"}}
	for _, fault := range []difysim.FaultKind{difysim.NoFault, difysim.EmptyAnswer} {
		b := difysim.Behaviour{Files: made, Answer: "好了。", Fault: difysim.Fault{Kind: fault}}
		simulate(t, difysim.Options{Behaviour: b}, func(t *testing.T, s simulated) {
			a, err := s.ask(t, "报告")
			if err != nil {
				t.Fatal(err)
			}
			if s.mode == difysim.Chatflow && s.release == difysim.V0_6_5 {
				if len(a.Files) != 0 || a.Empty() != (fault == difysim.EmptyAnswer) {
					t.Errorf("got %+v", a)
				}
				return
			}
			if len(a.Files) != 2 || a.Empty() || (a.Text == "") != (fault == difysim.EmptyAnswer) {
				t.Fatalf("got %+v, want two files", a)
			}
			if a.Files[0].URL != made[0].URL || a.Files[0].Type != "document" || a.Files[1].Type != "image" ||
				!strings.HasPrefix(a.Files[1].URL, "https://dify.example.com/files/tools/") {
				t.Errorf("the files are %+v", a.Files)
			}
		})
	}
}

func TestSimulatedPause(t *testing.T) {
	b := difysim.Behaviour{Answer: "需要人工确认。", Total: 3 * time.Second, Fault: difysim.Fault{Kind: difysim.Pause, Text: "请确认退款"}}
	simulate(t, difysim.Options{Behaviour: b}, func(t *testing.T, s simulated) {
		a, err := s.ask(t, "退款")
		if err != nil || a.Text != "需要人工确认。" {
			t.Fatalf("%+v, %v", a, err)
		}
		if s.mode != difysim.Chatflow || s.release == difysim.V0_6_5 {
			if a.Pause != nil {
				t.Errorf("%+v waits", a)
			}
			return
		}
		if a.Pause == nil || len(a.Pause.Forms) != 1 || a.Pause.Forms[0].Content != "请确认退款" || len(a.Pause.Forms[0].Actions) != 2 ||
			a.Pause.Forms[0].ID == "" || a.Pause.Forms[0].Token != "" || a.Pause.Forms[0].Expires.Before(time.Now()) {
			t.Errorf("it waits for %+v", a.Pause)
		}
	})
}

func TestSimulatedTexts(t *testing.T) {
	const answer = "好👍的，😀😀完成𠮷"
	for _, fault := range []difysim.FaultKind{difysim.NoFault, difysim.SplitSurrogates, difysim.NotANumber} {
		b := difysim.Behaviour{Answer: answer, Total: 2 * time.Second, NodeBytes: 300 << 10, Fault: difysim.Fault{Kind: fault}}
		simulate(t, difysim.Options{Behaviour: b}, func(t *testing.T, s simulated) {
			a, err := s.ask(t, "你好")
			if err != nil || a.Text != answer {
				t.Errorf("%s: %q, %v", fault, a.Text, err)
			}
			if a.Usage.PromptTokens <= 0 || a.Usage.CompletionTokens <= 0 {
				t.Errorf("%s: it took %+v", fault, a.Usage)
			}
		})
	}
}

func TestSimulatedModeration(t *testing.T) {
	for _, kind := range []difysim.FaultKind{difysim.Moderate, difysim.Replace} {
		b := difysim.Behaviour{Length: 300, Total: 5 * time.Second, Fault: difysim.Fault{Kind: kind, Deltas: 4, Text: "抱歉，不便展示。"}}
		simulate(t, difysim.Options{Behaviour: b}, func(t *testing.T, s simulated) {
			a, err := s.ask(t, "你好")
			if err != nil || a.Text != "抱歉，不便展示。" || a.Cut || a.Stopped || !a.Moderated {
				t.Errorf("%s: %+v, %v", kind, a, err)
			}
		})
	}
}

// A stream that falls silent is lost. A worker's run goes on: its answer is fetched, or it is stopped.
func TestSimulatedSilence(t *testing.T) {
	b := difysim.Behaviour{Total: 5 * time.Second, Length: 100, Fault: difysim.Fault{Kind: difysim.Gap, Deltas: 2, Delay: 5 * time.Minute}}
	simulate(t, difysim.Options{Behaviour: b}, func(t *testing.T, s simulated) {
		began := time.Now()
		a, err := s.ask(t, "你好")
		e := isKind(t, err, dify.IdleTimeout)
		if e.RunContinues && !s.relayed() || !e.RunContinues && s.relayed() || a.Text == "" {
			t.Fatalf("%+v with %q; its run goes on: %t", e, a.Text, e.RunContinues)
		}
		run := dify.Run{User: "oABC", ConversationID: a.ConversationID, MessageID: a.MessageID, Query: "你好", Since: began}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		whole, err := s.client.Await(ctx, run)
		if !s.relayed() {
			isKind(t, err, dify.NotRunning)
			return
		}
		if took := time.Since(began); err != nil || whole.Text != difysim.Echo("你好", 100) || took < 5*time.Minute || took > 6*time.Minute {
			t.Errorf("after %v: %+v, %v", took, whole, err)
		}
	})
}

func TestSimulatedSilenceIsStopped(t *testing.T) {
	b := difysim.Behaviour{Total: 5 * time.Second, Length: 100, Fault: difysim.Fault{Kind: difysim.Gap, Deltas: 2, Delay: 15 * time.Minute}}
	simulate(t, difysim.Options{Behaviour: b}, func(t *testing.T, s simulated) {
		if !s.relayed() {
			return
		}
		a, err := s.ask(t, "你好")
		isKind(t, err, dify.IdleTimeout)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.client.Await(ctx, dify.Run{User: "oABC", ConversationID: a.ConversationID, MessageID: a.MessageID}); err == nil ||
			!errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting ended with %v", err)
		}
		if err := s.client.Stop(t.Context(), a.TaskID, "oABC"); err != nil {
			t.Fatal(err)
		}
		if n := s.dify.RunningCount(); n != 0 {
			t.Errorf("%d runs are left", n)
		}
	})
}

func TestSimulatedRefusals(t *testing.T) {
	for text, kind := range map[string]dify.Kind{
		"redirect:https://login.example.com/?next=%2Fv1": dify.Redirected,
		"html-page": dify.HTMLResponse, "too-many-requests": dify.RateLimited, "cut-before": dify.Interrupted,
		"error-event:0::[openai] Error: Rate limit reached for gpt-4o":                                                                                      dify.ModelBusy,
		"error-event:0::Error code: 400 - This model's maximum context length is 8192 tokens":                                                               dify.ContextTooLong,
		"error-event:0::Error code: 402 - {'error': {'message': 'Insufficient Balance'}}":                                                                   dify.QuotaExceeded,
		"error-event:0::[azure_openai] Bad Request Error, The response was filtered due to the prompt triggering Azure OpenAI's content management policy.": dify.ContentFiltered,
	} {
		var fault difysim.Fault
		if err := fault.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		simulate(t, difysim.Options{Behaviour: difysim.Behaviour{Fault: fault}}, func(t *testing.T, s simulated) {
			_, err := s.ask(t, "你好")
			e := isKind(t, err, kind)
			if kind == dify.Redirected && e.RedirectTo != "https://login.example.com" {
				t.Errorf("it is redirected to %q", e.RedirectTo)
			}
		})
	}
}

func TestSimulatedRequiredInput(t *testing.T) {
	o := difysim.Options{OpeningStatement: "您好，{{city}}的朋友", Inputs: []difysim.Input{{Variable: "city", Label: "城市", Required: true}}}
	simulate(t, o, func(t *testing.T, s simulated) {
		p, err := s.client.Parameters(t.Context())
		if err != nil || p.Filled(map[string]string{"city": "上海"}).OpeningStatement != "您好，上海的朋友" {
			t.Errorf("%+v, %v", p, err)
		}
		_, err = s.ask(t, "你好")
		if s.relayed() {
			isKind(t, err, dify.FirstEventTimeout) // the release says nothing
			return
		}
		if e := isKind(t, err, dify.InputRefused); e.Input != "city" {
			t.Errorf("the input is %q", e.Input)
		}
	})
}
