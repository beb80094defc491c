package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestUploadMedia_Form(t *testing.T) {
	c, f := newFake(t, Options{})
	f.on(uploadAPI, f.answers(500, "", ""), f.says(fixture(t, "answers/media_upload.image.json")))
	if _, err := c.UploadMedia(t.Context(), ImageFile, "image/png", picture); err != nil {
		t.Fatal(err)
	}
	if f.count(uploadAPI) != 2 {
		t.Errorf("%d uploads, want one more after a 500", f.count(uploadAPI))
	}
	got := f.last(uploadAPI)
	_, p, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(strings.NewReader(got.body), p["boundary"])
	part, err := r.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(part)
	if err != nil || !bytes.Equal(content, picture) || part.FormName() != "media" || part.FileName() != "image.png" ||
		part.Header.Get("Content-Type") != "image/png" || got.query.Get("type") != "image" || got.query.Get("access_token") != "token-1" {
		t.Errorf("part %q of %v ?%v", content, part.Header, got.query)
	}
	if _, err := r.NextPart(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the file: %v", err)
	}
}

func TestUploadMedia_Refused(t *testing.T) {
	for name, test := range map[string]struct {
		kind        MediaType
		contentType string
		size        int
		want        Kind
	}{
		"webp":               {ImageFile, "image/webp", 9, MediaRefused},
		"svg":                {ImageFile, "image/svg+xml", 9, MediaRefused},
		"an mp3 as an image": {ImageFile, "audio/mpeg", 9, MediaRefused},
		"wav":                {VoiceFile, "audio/wav", 9, MediaRefused},
		"a png as a thumb":   {ThumbFile, "image/png", 9, MediaRefused},
		"no such type":       {"document", "image/png", 9, MediaRefused},
		"nothing":            {ImageFile, "image/png", 0, Invalid},
		"a huge image":       {ImageFile, "image/png", 10<<20 + 1, TooLarge},
		"a huge voice":       {VoiceFile, "audio/amr", 2<<20 + 1, TooLarge},
		"a huge thumb":       {ThumbFile, "image/jpeg", 64<<10 + 1, TooLarge},
	} {
		c, f := newFake(t, Options{})
		content := make([]byte, test.size)
		if _, err := c.UploadMedia(t.Context(), test.kind, test.contentType, content); KindOf(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if _, err := c.AddMaterial(t.Context(), test.kind, test.contentType, content); KindOf(err) != test.want {
			t.Errorf("%s as material: %v, want %s", name, err, test.want)
		}
		if len(f.calls) != 0 {
			t.Errorf("%s: WeChat was asked", name)
		}
		if test.want == MediaRefused && TakesMedia(test.kind, test.contentType) {
			t.Errorf("TakesMedia says yes to %s", name)
		}
	}
}

// What WeChat keeps for good is not uploaded twice.
func TestAddMaterial_Unknown(t *testing.T) {
	c, f := newFake(t, Options{})
	f.on(addMaterialAPI, f.breaks(io.EOF))
	if _, err := c.AddMaterial(t.Context(), ImageFile, "image/jpeg", picture); KindOf(err) != UnknownDelivery || f.count(addMaterialAPI) != 1 {
		t.Errorf("%v after %d uploads", err, f.count(addMaterialAPI))
	}
}

func TestDownload(t *testing.T) {
	amr := "#!AMR\n" + strings.Repeat("\x3c\x91", 5000)
	size := int64(len(amr))
	for _, test := range []struct {
		name        string
		status      int
		contentType string
		body        string
		limit       int64
		want        Kind
	}{
		{"a voice", 200, "audio/amr", amr, size, ""},
		{"of any type", 200, "", amr, size, ""},
		{"smaller than the answer to an error", 200, "audio/amr", "#!AMR\n", 9, ""},
		{"an expired id", 200, "application/json; encoding=utf-8", `{"errcode":40007,"errmsg":"invalid media_id"}`, size, MediaGone},
		{"an expired id, as older servers say it", 200, "text/plain", `{"errcode":40007,"errmsg":"invalid media_id"}`, size, MediaGone},
		{"an error that is called a picture", 200, "image/jpeg", ` {"errcode":40007}`, size, MediaGone},
		{"an error with more than fits", 200, "application/json", `{"errcode":40007,"errmsg":"` + strings.Repeat("x", errorBytes) + `"}`, size, BadAnswer},
		{"JSON without an error", 200, "application/json", `{"errcode":0}`, size, BadAnswer},
		{"half an error", 200, "application/json", `{"errcode":`, size, BadAnswer},
		{"HTML", 200, "text/html", "<html>", size, BadAnswer},
		{"text", 200, "text/plain", "no", size, BadAnswer},
		{"nothing", 200, "audio/amr", "", size, BadAnswer},
		{"404", 404, "text/html", "<html>", size, BadAnswer},
		{"too large", 200, "audio/amr", amr, size - 1, TooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, f := newFake(t, Options{})
			f.on(downloadAPI, f.answers(test.status, test.contentType, test.body))
			d, err := c.DownloadMedia(t.Context(), "m&1", test.limit)
			if KindOf(err) != test.want {
				t.Fatalf("%v, want %q", err, test.want)
			}
			if q := f.last(downloadAPI).query; q.Get("media_id") != "m&1" {
				t.Errorf("query %v", q)
			}
			if err != nil {
				return
			}
			got, err := io.ReadAll(iotest.OneByteReader(d.Body))
			if err != nil || string(got) != test.body || d.Size != int64(len(test.body)) || d.ContentType != test.contentType || d.VideoURL != "" {
				t.Errorf("%d bytes (%v) of %d, %q %q", len(got), err, d.Size, d.ContentType, d.VideoURL)
			}
			if err := d.Body.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// streams answers with a file whose length is not told.
func (f *fakeWeChat) streams(body io.Reader) script {
	return script{func(r *http.Request) (*http.Response, error) {
		f.note(r)
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"audio/amr"}}, Body: io.NopCloser(body), ContentLength: -1, Request: r,
		}, nil
	}}
}

func TestDownload_Streams(t *testing.T) {
	content := strings.Repeat("#!AMR\n", 2000)
	for _, test := range []struct {
		name  string
		body  io.Reader
		limit int64
		read  int
		want  Kind
	}{
		{"to the end", strings.NewReader(content), int64(len(content)), len(content), ""},
		{"to the limit", strings.NewReader(content), int64(len(content)) - 1, len(content) - 1, TooLarge},
		{"for ever", io.MultiReader(strings.NewReader(content), endless{}), 1 << 20, 1 << 20, TooLarge},
		{"until it breaks", io.MultiReader(strings.NewReader(content), brokenReader{}), 1 << 20, len(content), Unreachable},
	} {
		c, f := newFake(t, Options{})
		f.on(downloadAPI, f.streams(test.body))
		d, err := c.DownloadMedia(t.Context(), "m1", test.limit)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(d.Body)
		if KindOf(err) != test.want || len(got) != test.read || d.Size != -1 {
			t.Errorf("%s: %d bytes, %v; want %d, %q", test.name, len(got), err, test.read, test.want)
		}
		if n, err := d.Body.Read(make([]byte, 1)); test.want == TooLarge && (n != 0 || KindOf(err) != TooLarge) {
			t.Errorf("%s: read on, it gives %d, %v", test.name, n, err)
		}
		_ = d.Body.Close()
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A caller that gives up, or WeChat's silence, ends a download in the middle.
func TestDownload_Ends(t *testing.T) {
	for name, end := range map[string]struct {
		caller time.Duration
		want   Kind
		after  time.Duration
	}{"the caller": {time.Second, Canceled, time.Second}, "silence": {time.Hour, Unreachable, time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			c, f := newFake(t, Options{})
			defer c.Close()
			f.on(downloadAPI, script{func(r *http.Request) (*http.Response, error) {
				return f.streams(io.MultiReader(bytes.NewReader(make([]byte, errorBytes)), untilDone{r.Context()})).answer(r)
			}})
			ctx, cancel := context.WithTimeout(t.Context(), end.caller)
			defer cancel()
			start := time.Now()
			d, err := c.DownloadMedia(ctx, "m1", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(d.Body)
			if KindOf(err) != end.want || time.Since(start) != end.after {
				t.Errorf("%s: %v after %v, want %s after %v", name, err, time.Since(start), end.want, end.after)
			}
			_ = d.Body.Close()
		})
	}
}

type untilDone struct{ ctx context.Context }

func (u untilDone) Read([]byte) (int, error) {
	<-u.ctx.Done()
	return 0, u.ctx.Err()
}

func TestDownload_ExpiredToken(t *testing.T) {
	c, f := newFake(t, Options{})
	f.on(downloadAPI, f.says(`{"errcode":42001,"errmsg":"access_token expired"}`), f.answers(200, "audio/amr", "#!AMR\n"))
	d, err := c.DownloadMedia(t.Context(), "m1", 100)
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Body.Close()
	if got := f.last(downloadAPI).query.Get("access_token"); got != "token-2" {
		t.Errorf("it came with %s", got)
	}
}

func TestPublishMenu_Body(t *testing.T) {
	c, f := newFake(t, Options{})
	err := c.PublishMenu(t.Context(), []Button{
		{Name: "官网", Type: ViewButton, URL: "https://a.example/?a=1&b=<2>"},
		{Name: "更多", Items: []Button{
			{Name: "帮助", Type: ClickButton, Key: "help"},
			{Name: "咖啡", Type: MiniProgramButton, URL: "https://a.example/", AppID: "wx1", PagePath: "pages/i?x=1"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"button":[{"name":"官网","type":"view","url":"https://a.example/?a=1&b=<2>"},{"name":"更多","sub_button":[` +
		`{"name":"帮助","type":"click","key":"help"},` +
		`{"name":"咖啡","type":"miniprogram","url":"https://a.example/","appid":"wx1","pagepath":"pages/i?x=1"}]}]}`
	if got := f.last(createMenuAPI).body; got != want {
		t.Errorf("body\n%s, want\n%s", got, want)
	}
}

func TestSameMenu(t *testing.T) {
	click := Button{Name: "a", Type: ClickButton, Key: "k"}
	mini := Button{Name: "a", Type: MiniProgramButton, URL: "u", AppID: "wx", PagePath: "p"}
	menu := func(b ...Button) []Button { return b }
	for name, test := range map[string]struct {
		a, b []Button
		want bool
	}{
		"none":                          {nil, menu(), true},
		"the same":                      {menu(click), menu(click), true},
		"a member that a click ignores": {menu(click), menu(Button{Name: "a", Type: ClickButton, Key: "k", URL: "x"}), true},
		"another key":                   {menu(click), menu(Button{Name: "a", Type: ClickButton, Key: "K"}), false},
		"another name":                  {menu(click), menu(Button{Name: "A", Type: ClickButton, Key: "k"}), false},
		"another type":                  {menu(click), menu(Button{Name: "a", Type: ViewButton, Key: "k"}), false},
		"another URL":                   {menu(Button{Type: ViewButton, URL: "1"}), menu(Button{Type: ViewButton, URL: "2"}), false},
		"another page":                  {menu(mini), menu(Button{Name: "a", Type: MiniProgramButton, URL: "u", AppID: "wx", PagePath: "q"}), false},
		"a page that is not told":       {menu(mini), menu(Button{Name: "a", Type: MiniProgramButton, URL: "u"}), true},
		"another URL of a mini program": {menu(mini), menu(Button{Name: "a", Type: MiniProgramButton, URL: "v"}), false},
		"one more":                      {menu(click), menu(click, click), false},
		"another order":                 {menu(click, mini), menu(mini, click), false},
		"the same items":                {menu(Button{Name: "x", Items: menu(click)}), menu(Button{Name: "x", Items: menu(click)}), true},
		"another item":                  {menu(Button{Name: "x", Items: menu(click)}), menu(Button{Name: "x", Items: menu(mini)}), false},
		"items and none":                {menu(Button{Name: "a", Items: menu(click)}), menu(click), false},
		"a console's text":              {menu(Button{Name: "t", Type: "text", Value: "1"}), menu(Button{Name: "t", Type: "text", Value: "2"}), false},
	} {
		if SameMenu(test.a, test.b) != test.want || SameMenu(test.b, test.a) != test.want {
			t.Errorf("%s: SameMenu is not %v", name, test.want)
		}
	}
}
