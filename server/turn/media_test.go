package turn_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
)

// senses are what a bot has for pictures and voices.
type senses struct {
	says string // in every recording
	// hear and attach say what becomes of the nth; nil is that it goes well.
	hear   func(n int) error
	attach func(n int) error
	slow   time.Duration // to fetch a picture of an answer

	mu       sync.Mutex
	heard    int
	attached []string // addresses of pictures
}

func (s *senses) Attach(_ context.Context, follower string, picture session.Media, upload bool) (dify.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attached = append(s.attached, picture.URL)
	if s.attach != nil {
		if err := s.attach(len(s.attached)); err != nil {
			return dify.File{}, err
		}
	}
	return dify.File{Type: "image", TransferMethod: "local_file", UploadFileID: fmt.Sprint(follower, picture.URL, upload)}, nil
}

func (s *senses) Hears() error { return nil }

func (s *senses) Hear(context.Context, string, []session.Media) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard++
	if s.hear != nil {
		if err := s.hear(s.heard); err != nil {
			return "", err
		}
	}
	return s.says, nil
}

func (s *senses) Pictures(a session.Answer) []session.File { return a.Files }

func (s *senses) Picture(ctx context.Context, f session.File) (string, error) {
	if s.slow > 0 {
		select {
		case <-time.After(s.slow):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if f.Name == "broken" {
		return "", errors.New("it is broken")
	}
	return f.Name, nil
}

func (s *senses) Speak(context.Context, string, string) (string, error) { return "speech", nil }

// withPictures is an app that takes two, and answers after a time with some.
func withPictures(after time.Duration, text string, made ...string) *scripted {
	d := &scripted{parameters: func(context.Context) (dify.Parameters, error) {
		return dify.Parameters{SpeechToText: true, TextToSpeech: true, FileUpload: dify.FileUpload{Enabled: true, Limit: 2}}, nil
	}}
	d.chat = func(ctx context.Context, _ int, r dify.ChatRequest, _ func(string)) (dify.Answer, error) {
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return dify.Answer{}, canceled(ctx)
		}
		a := dify.Answer{Text: strings.ReplaceAll(text, "{{query}}", r.Query), ConversationID: "c1"}
		for _, name := range made {
			a.Files = append(a.Files, dify.AnswerFile{Type: "image", Name: name, URL: "https://x.com/" + name})
		}
		return a, nil
	}
	return d
}

// voice delivers a voice message until it is replied to.
func (f *follower) voice(id string) exchange {
	for n := 1; n <= deliveries; n++ {
		began := time.Now()
		open, cancel := context.WithTimeout(context.Background(), patience)
		r := f.engine.Voice(open, turn.Message{
			Follower: f.name, ID: id, Delivery: n, Received: began, Window: f.window,
			Media: []session.Media{{Kind: turn.VoiceMedia, ID: "16k"}, {Kind: turn.VoiceMedia, ID: "8k"}},
		})
		f.check(r, time.Since(began))
		if r.Kind != turn.Held {
			cancel()
			return exchange{id: id, kind: r.Kind, text: r.Text, delivery: n}
		}
		<-open.Done()
		cancel()
	}
	return exchange{id: id, kind: turn.Held}
}

// picture delivers a picture, which must be kept.
func (f *follower) picture(id string) {
	f.t.Helper()
	r := f.engine.Picture(context.Background(), turn.Message{
		Follower: f.name, ID: id, Delivery: 1, Received: time.Now(), Media: []session.Media{{Kind: turn.PictureMedia, URL: id}},
	})
	if !strings.HasPrefix(r.Text, "收到 ") {
		f.t.Errorf("a picture got %s %q", r.Kind, r.Text)
	}
}

// A process may die between any two of its steps: the next one asks what was said, and hears it again only if that was not recorded.
func TestVoice_SurvivesADeathBetweenAnyTwoSteps(t *testing.T) {
	run := func(t *testing.T, k int64) (calls int64) {
		synctest.Test(t, func(t *testing.T) {
			base := newStore()
			s := sound(base)
			s.fails = func(n int64, _ string) bool { return k > 0 && n > k }
			first := start(t, setup{store: s, dify: withPictures(2*time.Second, "「{{query}}」"), media: &senses{says: ask}, idle: true})
			gone, cancel := context.WithCancel(context.Background())
			cancel()
			first.engine.Voice(gone, turn.Message{Follower: "alice", ID: "v1", Delivery: 1, Received: time.Now(), Media: []session.Media{{Kind: turn.VoiceMedia, ID: "1"}}})
			<-time.After(20 * time.Second)
			calls = s.calls.Load()
			if k == 0 {
				return
			}
			next := withPictures(2*time.Second, "「{{query}}」")
			second := start(t, setup{store: base.of("pod-2"), dify: next, media: &senses{says: ask}})
			<-time.After(time.Minute)
			x := second.follower("alice").voice("v1") // delivered once more
			if x.text != quoted(ask, "「"+ask+"」") {
				t.Errorf("death after call %d: got %s %q", k, x.kind, x.text)
			}
			first.end()
		})
		return calls
	}
	all := run(t, 0)
	if all < 4 {
		t.Fatalf("only %d calls of the store", all)
	}
	for k := range all {
		run(t, k+1)
	}
}

func TestVoice_ThatIsNotUnderstoodCanBeTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &senses{says: ask, hear: func(n int) error {
			if n == 1 {
				return errors.New("too noisy")
			}
			return nil
		}}
		b := start(t, setup{dify: withPictures(0, "「{{query}}」"), media: m})
		f := b.follower("alice")
		f.voice("v1").want(t, turn.Failed, "抱歉，这段语音我没有听懂，请打字告诉我。")
		if got := b.engine.VoiceError(); got != "too noisy" {
			t.Errorf("the cause is %q", got)
		}
		f.Send("/retry").want(t, turn.Answer, quoted(ask, "「"+ask+"」"))
		if got := b.engine.VoiceError(); got != "" {
			t.Errorf("the cause is still %q", got)
		}
		m.says = ""
		f.voice("v2").want(t, turn.Failed, "抱歉，这段语音我没有听懂，请打字告诉我。")
		if got := b.engine.VoiceError(); got != "" {
			t.Errorf("silence is an error: %q", got)
		}
	})
}

// A picture that could not be fetched is asked about again by the link, with the same picture.
func TestPicture_RetryTakesItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &senses{attach: func(n int) error {
			if n == 1 {
				return &turn.MediaError{Failure: turn.PictureLost, Err: errors.New("unreachable")}
			}
			return nil
		}}
		d := withPictures(0, "「{{query}}」")
		f := start(t, setup{dify: d, media: m}).follower("alice")
		f.picture("a")
		f.picture("b")
		f.picture("c")
		f.Send(ask).want(t, turn.Failed, "抱歉，没有取到您发的图片，请重新发一次图片，再问一次。\n"+retryLink)
		f.Send("/retry").want(t, turn.Answer, "「"+ask+"」")
		if got := m.attached; !slices.Equal(got, []string{"b", "b", "c"}) {
			t.Errorf("pictures %v", got)
		}
		if got := d.asked[0].Files; len(d.asked) != 1 || len(got) != 2 || got[1].UploadFileID != "alicectrue" {
			t.Errorf("Dify was asked with %v", got)
		}
	})
}

// Pictures come behind the text, each once, whichever process dies when. What is lost with a process is a link in the text.
func TestPushMedia_SurvivesADeathBetweenAnyTwoSteps(t *testing.T) {
	text := paragraphs(4)
	run := func(t *testing.T, k int64) (calls int64) {
		synctest.Test(t, func(t *testing.T) {
			base := newStore()
			s := sound(base)
			s.fails = func(n int64, _ string) bool { return k > 0 && n > k }
			p := newPhone()
			p.dead = func() bool { return k > 0 && s.calls.Load() > k }
			first := start(t, setup{pusher: p, settings: pushing(4), store: s, dify: withPictures(8*time.Second, text, "a", "broken", "b"), media: &senses{}, idle: true})
			if err := base.Contact(t.Context(), "alice", written); err != nil {
				t.Fatal(err)
			}
			caller(first).drop(ask)
			<-time.After(30 * time.Second)
			calls = s.calls.Load()
			next := newPhone()
			start(t, setup{pusher: next, settings: pushing(4), store: base.of("pod-2"), dify: withPictures(8*time.Second, text, "a", "broken", "b"), media: &senses{}})
			<-time.After(2 * time.Minute)
			var pictures []string
			lastText := -1
			all := append(p.messages(), next.messages()...)
			for i, m := range all {
				if name, ok := strings.CutPrefix(m, turn.PictureMedia+" "); ok {
					pictures = append(pictures, name)
				} else {
					lastText = i
				}
			}
			slices.Sort(pictures)
			if len(slices.Compact(slices.Clone(pictures))) != len(pictures) || len(pictures) > 0 && lastText != len(all)-len(pictures)-1 {
				t.Errorf("death after call %d: messages %d, the last text is %d, pictures %v", k, len(all), lastText, pictures)
			}
			if k == 0 && (!slices.Equal(pictures, []string{"a", "b"}) || len(all) != 4) {
				t.Errorf("%d messages with the pictures %v", len(all), pictures)
			}
			if k > 0 {
				first.end()
			}
		})
		return calls
	}
	eachCall(t, 12, run)
}

// A reply that has shown the text may be lost while pictures are sent: the text is still there for the next delivery, or for `1`.
func TestPushMedia_ALostReplyLosesNoText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		lose := make(chan func(), 1)
		p.send = func(n int) session.SendResult {
			if n == 1 {
				(<-lose)() // the connection was gone
				<-time.After(time.Second)
			}
			return session.Sent
		}
		b := start(t, setup{pusher: p, settings: pushing(4), dify: withPictures(time.Second, "画好了。", "a", "b"), media: &senses{}})
		f := caller(b)
		r := b.engine.Text(context.Background(), turn.Message{Follower: f.name, ID: "q1", Text: ask, Delivery: 1, Received: time.Now(), Window: f.window})
		lose <- func() { b.engine.Unsend(r) }
		<-time.After(time.Minute)
		x := f.Send("1")
		if got := strings.Join(p.messages(), "\n"); strings.Count(got+x.text, "画好了。") < 1 || strings.Count(got, "image a") != 1 || strings.Count(got, "image b") > 1 {
			t.Errorf("the follower has\n%s\nand then %s", got, x.text)
		}
	})
}

func TestPushMedia_TheNextQuestionWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		b := start(t, setup{pusher: p, settings: pushing(4), dify: withPictures(0, "画好了：{{query}}", "a"), media: &senses{}})
		f := caller(b)
		var replied []time.Time
		for _, ask := range []string{"甲", "乙"} {
			if x := f.Send(ask); x.kind != turn.Answer {
				t.Errorf("a reply of kind %s", x.kind)
			}
			replied = append(replied, time.Now())
		}
		<-time.After(time.Minute)
		p.wantMessages(t, "image a", "image a")
		if behind := replied[1].Sub(p.began.Add(p.at[0])); behind < 0 {
			t.Errorf("the second question is answered %v before the first's picture", -behind)
		}
		for i, at := range p.at { // whether the reply is seen at once or at the next look is chance
			if behind := p.began.Add(at).Sub(replied[i]); behind < time.Second || behind > 1200*time.Millisecond {
				t.Errorf("picture %d is sent %v behind its text", i, behind)
			}
		}
	})
}

// A host of pictures that never answers holds the follower's next question up for a while, and no longer.
func TestPushMedia_SlowPicturesAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPhone()
		m := &senses{slow: time.Hour}
		b := start(t, setup{pusher: p, settings: pushing(4), dify: withPictures(0, "画好了：{{query}}", "a", "b", "c", "d"), media: m})
		f := caller(b)
		if x := f.Send("甲"); x.kind != turn.Answer {
			t.Errorf("a reply of kind %s", x.kind)
		}
		began := time.Now()
		f.Send("乙")
		for len(p.messages()) == 0 {
			<-time.After(100 * time.Millisecond)
		}
		if took := time.Since(began); took > 50*time.Second {
			t.Errorf("the next answer came after %v", took)
		}
		if got := p.messages(); len(got) != 1 || !strings.HasPrefix(got[0], "画好了：乙") {
			t.Errorf("the follower has %q", got)
		}
	})
}
