package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// errorCodes are the numbers that WeChat's tables have for calls about followers and for what every call needs, and one that nobody knows.
// Those of menus are in server/account, those of agents in handover_test.go.
var errorCodes = []int{
	-1, 40001, 40003, 40004, 40005, 40006, 40007, 40008, 40009, 40013, 40014, 40033, 40035, 40097, 40125, 40164, 40200, 40243,
	41001, 41002, 41004, 41005, 41006, 42001, 43001, 43002, 43004, 43019, 44001, 44002, 44004, 44991,
	45001, 45002, 45003, 45004, 45005, 45006, 45007, 45008, 45009, 45011, 45015, 45047, 45072, 45080, 45081, 45103,
	47001, 48001, 48002, 48004, 48006, 50001, 50002, 61007, 65400, 65401, 65402, 65413, 65414, 65415, 70000, 87014,
	89501, 89503, 89506, 89507, 99999,
}

// capabilityLost are those after which the bot does without, for a day.
var capabilityLost = []int{45103, 48001, 50001, 61007}

// nothingWrong are those that say nothing that anybody has to know.
var nothingWrong = []int{45080, 45081}

// sendKind is a call that an answer needs, or that goes with it.
type sendKind struct {
	api    string // that is answered with an error
	config string
	dify   difysim.Features
	answer func(o *official) difysim.Behaviour
	ask    func(t *testing.T, f *wechatsim.Follower) (*wechatsim.Exchange, error)
	before func(o *official)
}

const late = 8 * time.Second // the answer comes behind the delivery's deadline

func sendText(t *testing.T, f *wechatsim.Follower) (*wechatsim.Exchange, error) {
	t.Helper()
	return f.Send(t.Context(), asked)
}

func sendVoice(t *testing.T, f *wechatsim.Follower) (*wechatsim.Exchange, error) {
	t.Helper()
	return f.Record(t.Context(), wechatsim.SampleAMR(time.Second))
}

func lateText(*official) difysim.Behaviour { return difysim.Behaviour{FirstText: late, Length: 100} }

func textAndPicture(o *official) difysim.Behaviour {
	return difysim.Behaviour{Answer: "回答「" + asked + "」：画好了。", Files: []difysim.MadeFile{o.made("image", "a.png", picture(100))}}
}

func spokenText(*official) difysim.Behaviour {
	return difysim.Behaviour{Answer: "回答「" + asked + "」：今天送到。"}
}

var sendKinds = map[string]sendKind{
	"a text":             {api: wechatsim.SendPath, config: pushes, answer: lateText, ask: sendText},
	"typing":             {api: wechatsim.TypingPath, config: pushes, answer: lateText, ask: sendText},
	"a picture's upload": {api: wechatsim.UploadPath, config: pushes, answer: textAndPicture, ask: sendText},
	"a picture":          {api: wechatsim.SendPath, config: pushes, answer: textAndPicture, ask: sendText},
	"a voice's upload":   {api: wechatsim.UploadPath, config: speaks, answer: spokenText, ask: sendVoice, dify: speech},
	"a voice":            {api: wechatsim.SendPath, config: speaks, answer: spokenText, ask: sendVoice, dify: speech},
	"a token":            {api: wechatsim.TokenPath, config: pushes, answer: lateText, ask: sendText, before: func(o *official) { o.KillToken() }},
}

var speech = difysim.Features{Heard: heard, Speech: difysim.SampleMP3(20 * time.Second)}

// Whatever WeChat answers to whichever call, the follower has the answer or can fetch it, no rule of WeChat's is broken, and metrics and
// /status name the number.
func TestEveryErrorOfWeChats(t *testing.T) {
	for name, k := range sendKinds {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := k.start(t)
				for _, code := range errorCodes {
					if !slices.Contains(capabilityLost, code) {
						k.meets(t, o, code)
					}
				}
				o.noViolations(t)
			})
			for _, code := range capabilityLost {
				bubble(t, func(t *testing.T) {
					o := k.start(t)
					k.meets(t, o, code)
					o.noViolations(t)
				})
			}
		})
	}
}

func (k sendKind) start(t *testing.T) *official {
	t.Helper()
	p := newPlace(t, k.config)
	p.dify.SetFeatures(k.dify)
	o := p.runOfficial(t, wechatsim.VerifiedService, func(s *Server) { s.options.ReloadEvery = time.Hour })
	p.dify.SetBehaviour(k.answer(o))
	time.Sleep(time.Second) // there is a token
	return o
}

// meets asks a question while the call is answered with an error.
func (k sendKind) meets(t *testing.T, o *official, code int) {
	t.Helper()
	if k.before != nil {
		k.before(o)
	}
	o.Order(wechatsim.Order{API: k.api, Code: code})
	f := o.Follower("")
	if _, err := k.ask(t, f); err != nil {
		t.Fatal(err)
	}
	time.Sleep(30 * time.Second)
	synctest.Wait()
	if !hasAnswer(f) {
		if _, err := f.Send(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
	}
	if !hasAnswer(f) {
		t.Errorf("%d: the follower has no answer after %d bubbles", code, len(f.Transcript()))
	}
	_, metrics := o.get(t, "/metrics")
	if !strings.Contains(metrics, fmt.Sprintf(`wechatbot_wechat_calls_total{api=%q,code="%d",kind="`, k.api, code)) {
		t.Errorf("%d: no metric names it", code)
	}
	named := slices.Contains(o.status(t).Account.LastErrors, serverstatus.CallError{API: k.api, Errcode: code})
	if wanted := !slices.Contains(nothingWrong, code); named != wanted {
		t.Errorf("%d: /status names it: %v, want %v: %v", code, named, wanted, o.status(t).Account.LastErrors)
	}
	o.CancelOrder(0)
	time.Sleep(2 * time.Minute) // until a refused token is asked for again
}

// hasAnswer tells whether the follower has been shown the answer, once at least.
func hasAnswer(f *wechatsim.Follower) bool {
	return slices.ContainsFunc(f.Transcript(), func(b wechatsim.Bubble) bool {
		return b.From == wechatsim.FromAccount && strings.Contains(b.Text, "回答「")
	})
}
