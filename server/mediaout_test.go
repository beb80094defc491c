package server

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/media"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// made is a file that an app makes, at an address that the stand-in for pictures serves.
func (o *official) made(kind, name string, data []byte) difysim.MadeFile {
	return difysim.MadeFile{Type: kind, Name: name, URL: "https://files.example.com/mmbiz_jpg/" + o.AddMedia(data) + "/0?sign=c2ln"}
}

// types are those of what the follower has been sent since so many bubbles.
func types(f *wechatsim.Follower, since int) string {
	var all []string
	for _, b := range f.Transcript()[since:] {
		name := b.Type
		if b.AI {
			name += "+AI"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func gif(size int) []byte { return append([]byte("GIF89a"), make([]byte, size)...) }

func TestMadePicturesAreSentBehindTheText(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration // until the text is there
		want  string
	}{
		"a late answer": {8 * time.Second, "text text+AI image+AI image+AI"},
		"a reply":       {0, "text text image+AI image+AI"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, pushes)
				p.dify = difysim.New(difysim.Options{Mode: difysim.Chatflow, Features: difysim.Features{Pictures: 1}})
				o := p.runOfficial(t, wechatsim.VerifiedService)
				shown := o.made("image", "b.png", picture(500))
				p.dify.SetBehaviour(difysim.Behaviour{FirstText: c.after, Answer: "画好了。\n\n![图](" + shown.URL + ")", Files: []difysim.MadeFile{
					o.made("image", "a.gif", gif(500)), shown, o.made("document", "报告.pdf", []byte("%PDF-1.7")),
				}})
				f := o.Follower("")
				if _, err := f.Picture(t.Context(), picture(100)); err != nil {
					t.Fatal(err)
				}
				since := f.Shown()
				if _, err := f.Send(t.Context(), "画一张图"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := types(f, since); got != c.want {
					t.Errorf("the follower has %s, want %s", got, c.want)
				}
				for _, b := range f.Transcript()[since:] {
					if data, _ := o.Media(b.MediaID); b.Type == "image" && len(data) < 500 {
						t.Errorf("a picture of %d bytes", len(data))
					}
					if b.From == wechatsim.FromAccount && b.Type == "text" && !strings.Contains(b.Text, "报告.pdf") {
						t.Errorf("the text has no link to the document: %s", b.Text)
					}
				}
				say(t, f, "1", "画好了") // shown again, and nothing more is sent
				if got := len(f.Transcript()); got != since+6 {
					t.Errorf("%d bubbles, want %d: %s", got, since+6, types(f, since))
				}
				o.noViolations(t)
			})
		})
	}
}

// What WeChat does not show, or may not be fetched, stays a link.
func TestMadeMediaThatStayLinks(t *testing.T) {
	webp := append([]byte("RIFF\x00\x00\x00\x00WEBPVP8 "), make([]byte, 100)...)
	for name, c := range map[string]struct {
		kind wechatsim.AccountKind
		file func(o *official) difysim.MadeFile
	}{
		"a webp": {0, func(o *official) difysim.MadeFile { return o.made("image", "a.webp", webp) }},
		"an svg": {0, func(o *official) difysim.MadeFile {
			return o.made("image", "a.svg", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"))
		}},
		"more than 10 MB": {0, func(o *official) difysim.MadeFile { return o.made("image", "a.png", picture(10<<20+1)) }},
		"gone": {0, func(*official) difysim.MadeFile {
			return difysim.MadeFile{Type: "image", Name: "a.png", URL: "https://files.example.com/gone"}
		}},
		"of the inner network": {0, func(*official) difysim.MadeFile {
			return difysim.MadeFile{Type: "image", Name: "a.png", URL: "https://10.0.0.1/a.png"}
		}},
		"the cloud's own": {0, func(*official) difysim.MadeFile {
			return difysim.MadeFile{Type: "image", Name: "a.png", URL: "http://169.254.169.254/a.png"}
		}},
		"plain http": {0, func(*official) difysim.MadeFile {
			return difysim.MadeFile{Type: "image", Name: "a.png", URL: "http://files.example.com/a.png"}
		}},
		"no right to upload it": {wechatsim.UnverifiedService, func(o *official) difysim.MadeFile { return o.made("image", "a.png", picture(100)) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, pushes)
				o := p.runOfficial(t, c.kind)
				p.dify.SetBehaviour(difysim.Behaviour{Answer: "画好了。", Files: []difysim.MadeFile{c.file(o)}})
				f := o.Follower("")
				x := say(t, f, "画一张图", "画好了。")
				if !strings.Contains(x.Text, "<a href=") {
					t.Errorf("there is no link: %s", x.Text)
				}
				time.Sleep(time.Minute)
				if got := types(f, 0); got != "text text" {
					t.Errorf("the follower has %s", got)
				}
				say(t, f, "再画一张", "画好了。") // nothing holds the next question up
				o.noViolations(t)
			})
		})
	}
}

// Pictures take only what the text leaves of WeChat's five messages.
func TestMadePicturesTakeWhatIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, pushes)
		o := p.runOfficial(t, wechatsim.VerifiedService)
		var files []difysim.MadeFile
		for i := range 6 {
			files = append(files, o.made("image", fmt.Sprintf("%d.png", i), picture(100+i)))
		}
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 8 * time.Second, Length: 1800, Files: files})
		f := o.Follower("")
		if _, err := f.Send(t.Context(), "画六张图"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		texts := strings.Count(types(f, 1), "text+AI")
		if images := strings.Count(types(f, 1), "image+AI"); texts < 2 || texts+images != 5 {
			t.Errorf("the follower has %d texts and %d pictures, want five in all", texts, images)
		}
		o.noViolations(t)
	})
}

// Every error at the upload or the send of a picture leaves the text and its link.
func TestMadePictures_EveryErrorLeavesTheAnswer(t *testing.T) {
	for _, path := range []string{wechatsim.UploadPath, wechatsim.SendPath} {
		for _, code := range []int{-1, 40001, 40003, 40004, 40005, 40007, 40014, 40164, 42001, 43004, 45001, 45009, 45015, 45047, 48001, 48002, 50002, 70000} {
			t.Run(fmt.Sprint(path, " ", code), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := newPlace(t, pushes)
					o := p.runOfficial(t, wechatsim.VerifiedService)
					o.Order(wechatsim.Order{API: path, Code: code})
					p.dify.SetBehaviour(difysim.Behaviour{Answer: "画好了。", Files: []difysim.MadeFile{o.made("image", "a.png", picture(100))}})
					f := o.Follower("")
					say(t, f, "画一张图", "画好了。")
					time.Sleep(2 * time.Minute)
					say(t, f, "再画一张", "画好了。")
					o.noViolations(t)
				})
			})
		}
	}
}

const speaks = calls + "reply: {mode: CustomerService, voice: ForVoice}\n"

func TestSpokenAnswerToASpokenQuestion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, speaks)
		p.dify.SetFeatures(difysim.Features{Heard: heard, Speech: difysim.SampleMP3(20 * time.Second)})
		p.dify.SetBehaviour(difysim.Behaviour{Answer: "您的订单在[这里](https://example.com/o/1)，**今天**送到。"})
		o := p.runOfficial(t, wechatsim.VerifiedService)
		f := o.Follower("")
		x, err := f.Record(t.Context(), wechatsim.SampleAMR(time.Second))
		said(t, x, err, "您的订单在")
		time.Sleep(time.Minute)
		if got := types(f, 0); got != "voice text voice+AI" {
			t.Errorf("the follower has %s", got)
		}
		if got := p.dify.Spoken(); len(got) != 1 || got[0] != "您的订单在这里，今天送到。" {
			t.Errorf("it was read out: %q", got)
		}
		say(t, f, "打字的问题", "您的订单在")
		time.Sleep(time.Minute)
		if n := len(p.dify.Spoken()); n != 1 {
			t.Errorf("a typed question was answered by voice too")
		}
		o.noViolations(t)
	})
}

func TestSpokenAnswerThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		config   string
		features difysim.Features
		calls    int // of text-to-audio
		want     string
	}{
		"not wanted":          {pushes, difysim.Features{Heard: heard, Speech: difysim.SampleMP3(time.Second)}, 0, "voice text"},
		"the app is mute":     {speaks, difysim.Features{Heard: heard}, 0, "voice text"},
		"its model fails":     {speaks, difysim.Features{Heard: heard, Speech: difysim.SampleMP3(time.Second), SpeakFault: "provider_not_initialize-no-tts-model.400"}, 0, "voice text"},
		"a WAV":               {speaks, difysim.Features{Heard: heard, Speech: []byte("RIFF\x24\x00\x00\x00WAVEfmt "), SpeechType: "audio/wav"}, 1, "voice text"},
		"more than 2 MB":      {speaks, difysim.Features{Heard: heard, Speech: difysim.SampleMP3(300 * time.Second)}, 1, "voice text"},
		"more than 60 s":      {speaks, difysim.Features{Heard: heard, Speech: difysim.SampleMP3(90 * time.Second)}, 2, "voice text"},
		"just what is played": {speaks, difysim.Features{Heard: heard, Speech: difysim.SampleMP3(60 * time.Second)}, 1, "voice text voice+AI"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, c.config)
				p.dify.SetFeatures(c.features)
				p.dify.SetBehaviour(difysim.Behaviour{Length: 300})
				o := p.runOfficial(t, wechatsim.VerifiedService)
				f := o.Follower("")
				x, err := f.Record(t.Context(), wechatsim.SampleAMR(time.Second))
				said(t, x, err, heard)
				time.Sleep(time.Minute)
				if got := types(f, 0); got != c.want || len(p.dify.Spoken()) != c.calls {
					t.Errorf("the follower has %s after %d calls, want %s after %d", got, len(p.dify.Spoken()), c.want, c.calls)
				}
				o.noViolations(t)
			})
		})
	}
}

func TestPicturesOfAnAnswer(t *testing.T) {
	m, err := newFollowersMedia(nil, nil, files{config: parsed(t, minimal+"dify: {baseURL: http://dify.dify.svc/v1, filesURL: http://files.dify.svc:5001}\n")})
	if err != nil {
		t.Fatal(err)
	}
	got := m.Pictures(session.Answer{
		Markdown: "![a](https://x.com/a.png?sign=1) ![b](</files/tools/b.png?sign=2> \"b\") ![c](data:image/png;base64,AAAA) [d](https://x.com/d.png) ![e](https://x.com/f.png)",
		Files:    []session.File{{Type: "image", URL: "https://x.com/f.png?sign=3"}, {Type: "document", URL: "https://x.com/g.pdf"}, {MIME: "image/png", URL: "https://x.com/h"}},
	})
	var urls []string
	for _, f := range got {
		urls = append(urls, f.URL)
	}
	want := []string{"https://x.com/f.png?sign=3", "https://x.com/h", "https://x.com/a.png?sign=1", "http://files.dify.svc:5001/files/tools/b.png?sign=2"}
	if strings.Join(urls, " ") != strings.Join(want, " ") && strings.Join(urls, " ") != strings.Join(append(want, "data:image/png;base64,AAAA"), " ") {
		t.Errorf("got %q, want %q", urls, want)
	}
}

// What a Dify with its own authorities makes is fetched by them, for messages and for pages, and by others as soon as the file has others.
func TestMadeFilesOfDifyWithItsOwnAuthorities(t *testing.T) {
	files := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(picture(500)) }))
	files.Config.ErrorLog = log.New(io.Discard, "", 0)
	files.StartTLS()
	t.Cleanup(files.Close)
	p := newPlace(t, minimal+"dify: {baseURL: https://dify.invalid/v1, filesURL: "+files.URL+"}\n")
	s := p.server(t)
	fetched := func() bool {
		t.Helper()
		pages, err := pageSettings(s.files, "/wechat")
		if err != nil {
			t.Fatal(err)
		}
		var kinds [2]media.Kind
		for i, policy := range []media.Policy{s.media.made.Load().policy, pages.Fetchable} {
			file, err := s.media.fetcher.Fetch(t.Context(), media.Request{URL: files.URL + "/files/tools/a.png", Policy: policy})
			kinds[i] = media.KindOf(err)
			if err == nil {
				file.Release()
			}
		}
		if kinds[0] != kinds[1] || kinds[0] != "" && kinds[0] != media.Unreachable {
			t.Fatalf("fetching for messages and for pages: %q", kinds)
		}
		return kinds[0] == ""
	}
	if fetched() {
		t.Error("an authority that nobody knows is trusted")
	}
	p.write(t, "secrets/dify-ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: files.Certificate().Raw})))
	if refused := s.look(time.Now(), ""); refused != "" || !fetched() {
		t.Errorf("with its authorities it is not fetched: %s", refused)
	}
	p.remove(t, "secrets/dify-ca.crt")
	if refused := s.look(time.Now(), ""); refused != "" || fetched() {
		t.Errorf("authorities that were taken away are trusted: %s", refused)
	}
}

func TestBeginning(t *testing.T) {
	for _, c := range []struct {
		text  string
		runes int
		want  string
	}{
		{"短。", 10, "短。"}, {"一二三。四五六。七八九", 9, "一二三。四五六。"}, {"一二三四五六七八九", 5, "一二三四五"}, {"一。二三四五六七八九", 8, "一。二三四五六七"}, {"", 5, ""},
	} {
		if got := beginning(c.text, c.runes); got != c.want {
			t.Errorf("%d of %s: %s, want %s", c.runes, c.text, got, c.want)
		}
	}
}

func parsed(t *testing.T, file string) serverconfig.Config {
	t.Helper()
	c, err := serverconfig.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
