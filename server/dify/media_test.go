package dify_test

import (
	"bytes"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/test/difysim"
)

var png = append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 1000)...)

func TestPictureGoesWithItsQuestion(t *testing.T) {
	simulate(t, difysim.Options{Features: difysim.Features{Pictures: 2}}, func(t *testing.T, s simulated) {
		p, err := s.client.Parameters(t.Context())
		if most, upload := p.FileUpload.Pictures(); err != nil || most != 2 || !upload {
			t.Fatalf("the app takes %d pictures, by upload: %v, %v", most, upload, err)
		}
		id, err := s.client.UploadPicture(t.Context(), "oABC", "image/png", png)
		if err != nil {
			t.Fatal(err)
		}
		want := []difysim.Upload{{ID: id, User: "oABC", Name: "picture.png", Type: "image/png", Size: int64(len(png))}}
		if d := cmp.Diff(want, s.dify.Uploads()); d != "" {
			t.Errorf("uploads (-want +got):\n%s", d)
		}
		file := dify.File{Type: "image", TransferMethod: "local_file", UploadFileID: id}
		for name, c := range map[string]struct {
			user  string
			files []dify.File
			kind  dify.Kind
		}{
			"its own":          {"oABC", []dify.File{file}, ""},
			"another user's":   {"oOther", []dify.File{file}, dify.InvalidParam},
			"more than it may": {"oABC", []dify.File{file, file, file}, dify.InvalidParam},
		} {
			_, err := s.client.Chat(t.Context(), dify.ChatRequest{Query: "这是什么？", User: c.user, Files: c.files}, nil)
			if dify.KindOf(err) != c.kind {
				t.Errorf("%s: %v, want %q", name, err, c.kind)
			}
		}
	})
}

func TestPictureIsRefused(t *testing.T) {
	simulate(t, difysim.Options{Features: difysim.Features{Pictures: 1}}, func(t *testing.T, s simulated) {
		_, err := s.client.UploadPicture(t.Context(), "oABC", "image/png", make([]byte, 10<<20+1))
		isKind(t, err, dify.TooLarge)
		_, err = s.client.UploadPicture(t.Context(), "oABC", "image/svg+xml", png)
		isKind(t, err, dify.InvalidParam)
		_, err = s.client.UploadPicture(t.Context(), "", "image/png", png)
		isKind(t, err, dify.InvalidParam)
		if len(s.dify.Uploads()) != 0 {
			t.Errorf("Dify has %v", s.dify.Uploads())
		}
	})
}

func TestPicturesThatAppsTake(t *testing.T) {
	for name, c := range map[string]struct {
		in     dify.FileUpload
		most   int
		upload bool
	}{
		"none":                    {dify.FileUpload{}, 0, false},
		"documents":               {dify.FileUpload{Enabled: true, Types: []string{"document"}}, 0, false},
		"as many as it says":      {dify.FileUpload{Enabled: true, Types: []string{"document", "image"}, Limit: 4}, 4, true},
		"one if it does not say":  {dify.FileUpload{Enabled: true}, 1, true},
		"by their addresses only": {dify.FileUpload{Enabled: true, Methods: []string{"remote_url"}, Limit: 2}, 2, false},
	} {
		if most, upload := c.in.Pictures(); most != c.most || upload != c.upload {
			t.Errorf("%s: %d, %v", name, most, upload)
		}
	}
}

func TestAudioToText(t *testing.T) {
	amr := []byte("#!AMR\n\x3c")
	simulate(t, difysim.Options{Features: difysim.Features{Heard: " 我的订单在哪里？\n"}}, func(t *testing.T, s simulated) {
		p, err := s.client.Parameters(t.Context())
		if err != nil || !p.SpeechToText {
			t.Fatalf("it hears: %v, %v", p.SpeechToText, err)
		}
		for _, contentType := range []string{"audio/amr", "audio/amr-wb", "audio/mpeg", "audio/wave"} {
			if text, err := s.client.AudioToText(t.Context(), "oABC", contentType, amr); err != nil || text != question {
				t.Errorf("%s: %q, %v", contentType, text, err)
			}
		}
		want := []difysim.Upload{
			{User: "oABC", Name: "voice.amr", Type: "audio/amr"}, {User: "oABC", Name: "voice.amr", Type: "audio/amr"},
			{User: "oABC", Name: "voice.mp3", Type: "audio/mp3"}, {User: "oABC", Name: "voice.wav", Type: "audio/wav"},
		}
		if d := cmp.Diff(want, s.dify.Recordings(), cmpopts.IgnoreFields(difysim.Upload{}, "Size")); d != "" {
			t.Errorf("recordings (-want +got):\n%s", d)
		}
		_, err = s.client.AudioToText(t.Context(), "oABC", "application/octet-stream", amr)
		isKind(t, err, dify.InvalidParam)
		for fault, kind := range map[string]dify.Kind{
			"provider_not_support_speech_to_text.400": dify.ModelMisconfigured, "completion_request_error.400": dify.ModelBusy,
			"audio_too_large.413": dify.TooLarge, "unknown.500": dify.Server,
		} {
			s.dify.SetFeatures(difysim.Features{Heard: "x", HearFault: fault})
			_, err := s.client.AudioToText(t.Context(), "oABC", "audio/amr", amr)
			isKind(t, err, kind)
		}
		s.dify.SetFeatures(difysim.Features{})
		_, err = s.client.AudioToText(t.Context(), "oABC", "audio/amr", amr)
		isKind(t, err, dify.InvalidParam)
	})
}

func TestTextToAudio(t *testing.T) {
	speech := difysim.SampleMP3(time.Second)
	simulate(t, difysim.Options{Features: difysim.Features{Speech: speech}}, func(t *testing.T, s simulated) {
		p, err := s.client.Parameters(t.Context())
		if err != nil || !p.TextToSpeech {
			t.Fatalf("it speaks: %v, %v", p.TextToSpeech, err)
		}
		got, err := s.client.TextToAudio(t.Context(), "oABC", "您好", 1<<20)
		if err != nil || !bytes.Equal(got, speech) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if said := s.dify.Spoken(); len(said) != 1 || said[0] != "您好" {
			t.Errorf("it was asked to say %q", said)
		}
		_, err = s.client.TextToAudio(t.Context(), "oABC", "您好", len(speech)-1)
		isKind(t, err, dify.TooLarge)
		_, err = s.client.TextToAudio(t.Context(), "oABC", "", 1)
		isKind(t, err, dify.InvalidParam)
		s.dify.SetFeatures(difysim.Features{})
		_, err = s.client.TextToAudio(t.Context(), "oABC", "您好", 1<<20)
		isKind(t, err, dify.InvalidParam)
	})
}

// For a message that it does not know, Dify answers null.
func TestTextToAudioOfNothing(t *testing.T) {
	for contentType, kind := range map[string]dify.Kind{"application/json": dify.BadResponse, "text/html": dify.HTMLResponse} {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write([]byte("null"))
		}, dify.Options{})
		_, err := c.TextToAudio(t.Context(), user, "您好", 1<<20)
		isKind(t, err, kind)
	}
}

// The file is sent from where it lies, also to a Dify behind a real connection.
func TestUploadIsNotCopied(t *testing.T) {
	picture := make([]byte, 10<<20)
	copy(picture, png)
	s := difysim.New(difysim.Options{Features: difysim.Features{Pictures: 1}})
	defer s.Close()
	c := newClient(t, s.ServeHTTP, dify.Options{})
	before := allocated()
	if _, err := c.UploadPicture(t.Context(), user, "image/png", picture); err != nil {
		t.Fatal(err)
	}
	if grown := allocated() - before; grown > 2<<20 {
		t.Errorf("sending 10 MB has allocated %d bytes", grown)
	}
	if u := s.Uploads(); len(u) != 1 || u[0].Size != 10<<20 {
		t.Errorf("Dify has %v", u)
	}
}

// allocated is how many bytes the process has ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
