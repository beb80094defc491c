package webhook

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/render"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// outcome is what becomes of a fixture that is pushed.
type outcome int

const (
	answer      outcome = iota + 1 // Dify is asked once and its answer is the reply
	success                        // acknowledged, and that is all
	unsupported                    // the line that says what the bot can read
	welcome                        // Dify's opening statement
	help                           // the help text
	tooLarge                       // refused for its size
	refused                        // 403
	pleaseType                     // the line that asks for what was said in words
	heard                          // as answer, under what was recognised
	inWords                        // what was shared is a question of the bot's words
)

// usual is what becomes of most fixtures of a kind.
var usual = map[string]outcome{"message": answer, "event": success, "malformed": success, "encrypted": refused}

// other are the outcomes of the rest: see testdata/wechat/README.md.
var other = map[string]outcome{
	"messages/file_unknown_type.xml":            unsupported,
	"messages/image.xml":                        unsupported,
	"messages/image_from_article.xml":           unsupported,
	"messages/link.xml":                         inWords,
	"messages/location.xml":                     inWords,
	"messages/miniprogrampage.xml":              unsupported,
	"messages/shortvideo.xml":                   unsupported,
	"messages/text_empty.xml":                   success,
	"messages/text_unsupported_placeholder.xml": unsupported,
	"messages/text_whitespace_only.xml":         success,
	"messages/unknown_msgtype.xml":              unsupported,
	"messages/video.xml":                        unsupported,
	"messages/voice.xml":                        pleaseType,
	"messages/voice_recognition.xml":            heard,
	"messages/voice_recognition_empty.xml":      pleaseType,
	"messages/voice_speex.xml":                  pleaseType,

	"events/click.xml":                 help,
	"events/scan.xml":                  welcome,
	"events/scancode_waitmsg.xml":      help,
	"events/subscribe.xml":             welcome,
	"events/subscribe_no_eventkey.xml": welcome,
	"events/subscribe_scan.xml":        welcome,

	"malformed/cdata_end_injection_split.xml": answer,
	"malformed/comment_and_pi.xml":            answer,
	"malformed/createtime_ms.xml":             answer,
	"malformed/createtime_text.xml":           answer,
	"malformed/duplicate_elements.xml":        answer,
	"malformed/many_elements_100k.xml":        tooLarge,
	"malformed/missing_createtime.xml":        answer,
	"malformed/negative_createtime.xml":       answer,
	"malformed/nul_byte.xml":                  answer,

	"encrypted/compat_mode.xml":    answer,
	"encrypted/len_zero.xml":       success,
	"encrypted/ok_emoji.xml":       answer,
	"encrypted/ok_pad_32.xml":      answer,
	"encrypted/ok_text.xml":        answer,
	"encrypted/pad_16_aligned.xml": answer,
}

func wanted(file, kind string) outcome {
	if o, ok := other[file]; ok {
		return o
	}
	return usual[kind]
}

func TestEveryFixtureGetsItsReply(t *testing.T) {
	m := loadManifest(t)
	for _, mode := range []wechatsim.Mode{wechatsim.Plain, wechatsim.Compatible, wechatsim.Secure} {
		for _, f := range m.Files {
			body := fixture(t, f.File)
			want := wanted(f.File, f.Kind)
			switch {
			case f.Kind == "reply" || f.Kind == "encrypted":
				continue
			case mode == wechatsim.Compatible && (f.Kind != "message" || !strings.Contains(string(body), "</xml>")):
				continue // a broken plain half is of no meaning there
			case want == 0:
				t.Fatalf("nothing is expected of kind %q", f.Kind)
			}
			t.Run(mode.String()+"/"+f.File, func(t *testing.T) {
				bubble(t, func(t *testing.T) { checkFixture(t, mode, body, want) })
			})
		}
	}
}

// What users of other servers have reported, in either mode.
func TestReportedPushesGetTheirReply(t *testing.T) {
	var expected map[string]struct {
		Query string `json:"dify_query"`
		Calls *int   `json:"dify_calls"`
	}
	if err := json.Unmarshal(fixture(t, "reported/expected.json"), &expected); err != nil {
		t.Fatal(err)
	}
	for name, e := range expected {
		want := answer
		if e.Calls != nil && *e.Calls == 0 {
			want = unsupported
		}
		for _, mode := range []wechatsim.Mode{wechatsim.Plain, wechatsim.Compatible, wechatsim.Secure} {
			t.Run(mode.String()+"/"+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, loadManifest(t).options(mode), difysim.Behaviour{})
					body := strings.NewReplacer("@NOW@", strconv.FormatInt(time.Now().Unix(), 10), "@MSGID@", "25231685381080100",
						"gh_0123456789ab", w.OriginalID, "oFollower0000000000000000001", w.OpenID).Replace(string(fixture(t, "reported/"+name+".xml")))
					x, err := w.platform(t, mode).Follower(w.OpenID).Push(t.Context(), body)
					if err != nil {
						t.Fatal(err)
					}
					check(t, w, x.Outcome, x.Text, want)
					if calls := w.dify.Calls(); want == answer && (len(calls) != 1 || calls[0].Query != e.Query) {
						t.Errorf("Dify was asked %v, want %q", calls, e.Query)
					}
				})
			})
		}
	}
}

func checkFixture(t *testing.T, mode wechatsim.Mode, body []byte, want outcome) {
	t.Helper()
	w := newWorld(t, loadManifest(t).options(mode), difysim.Behaviour{})
	x, err := w.platform(t, mode).Follower(w.OpenID).Push(t.Context(), string(body))
	if err != nil {
		t.Fatal(err)
	}
	first := x.Deliveries[0]
	if want == tooLarge {
		if first.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d, want 413", first.Status)
		}
		return
	}
	if first.Status != http.StatusOK || len(x.Deliveries) != 1 {
		t.Errorf("status %d after %d deliveries, want 200 to the first", first.Status, len(x.Deliveries))
	}
	if x.Outcome == wechatsim.Replied && first.Encrypted != (mode != wechatsim.Plain) {
		t.Errorf("the reply's encryption is %v in %s mode", first.Encrypted, mode)
	}
	check(t, w, x.Outcome, x.Text, want)
	if calls := w.dify.Calls(); want == answer && len(calls) == 1 {
		if asked := question(t, w, body); asked == "" || calls[0].Query != asked[:min(1<<10, len(asked))] { // the stand-in remembers as much
			t.Errorf("Dify was asked %q, want %q", calls[0].Query, asked)
		}
	}
}

// question is what a plain push asks.
func question(t *testing.T, w *world, body []byte) string {
	t.Helper()
	q, err := wechat.ParseQuery(signed(w.Token, w.handler.now()))
	if err != nil {
		t.Fatal(err)
	}
	p, err := account(t, w.options(wechatsim.Plain)).Open(q, body, w.handler.now())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(p.Content + p.Recognition)
}

func check(t *testing.T, w *world, got wechatsim.Outcome, text string, want outcome) {
	t.Helper()
	shows := map[outcome]string{
		unsupported: "Sorry, I can only read text messages.", welcome: opening, help: "Hello, I am an AI assistant.",
		answer: "", success: "", pleaseType: "Sorry, I could not understand this voice message. Please type it.",
		inWords: "回答「", heard: "",
	}
	wantCalls, wantOutcome := 0, wechatsim.Replied
	switch want {
	case inWords:
		wantCalls = 1
		for _, call := range w.dify.Calls() {
			if !strings.HasPrefix(call.Query, "Please look at this link: ") && !strings.HasPrefix(call.Query, "My place: ") {
				t.Errorf("Dify was asked %q", call.Query)
			}
		}
	case answer, heard:
		wantCalls = 1
		if calls := w.dify.Calls(); len(calls) == 1 {
			shows[answer] = render.Text(difysim.Echo(calls[0].Query, 0), nil, render.Options{})
			shows[answer] = shows[answer][:min(60, len(shows[answer]))]
			shows[heard] = calls[0].Query + "\n------------\n" + shows[answer]
		}
	case success:
		wantOutcome = wechatsim.Silent
	default: // a reply without Dify
	}
	if got != wantOutcome || !strings.HasPrefix(text, shows[want]) {
		t.Errorf("%s with %q, want %s with %q", got, text, wantOutcome, shows[want])
	}
	if calls := w.dify.CallCount(); calls != wantCalls {
		t.Errorf("%d calls of Dify, want %d", calls, wantCalls)
	}
}

func TestEncryptedFixturesGetTheirReply(t *testing.T) {
	m := loadManifest(t)
	cipher, err := wechat.NewCipher(m.EncodingAESKey, m.AppID)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		if f.Kind != "encrypted" {
			continue
		}
		t.Run(f.File, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, m.options(wechatsim.Secure), difysim.Behaviour{})
				got := must(t, w.inProcess(t), http.MethodPost, path+"?"+f.Query, string(fixture(t, f.File)))
				want := wanted(f.File, f.Kind)
				if want == refused {
					if got.status != http.StatusForbidden || got.body != "Forbidden\n" || w.dify.CallCount() != 0 {
						t.Errorf("%d %q with %d calls of Dify, want 403 and none", got.status, got.body, w.dify.CallCount())
					}
					return
				}
				if got.status != http.StatusOK {
					t.Fatalf("status %d, want 200", got.status)
				}
				if want == success {
					if got.body != wechat.Success {
						t.Errorf("body %q, want %q", got.body, wechat.Success)
					}
					return
				}
				_, sealed, _ := strings.Cut(got.body, "<Encrypt><![CDATA[")
				sealed, _, _ = strings.Cut(sealed, "]]>")
				plain, err := cipher.Open(sealed)
				if err != nil {
					t.Fatalf("the reply does not open: %v", err)
				}
				_, text, _ := strings.Cut(string(plain), "<Content><![CDATA[")
				text = strings.ReplaceAll(text, "]]]]><![CDATA[>", "]]>")
				check(t, w, wechatsim.Replied, text, want)
			})
		})
	}
}
