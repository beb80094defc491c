package wechatsim

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	jpeg = append([]byte("\xff\xd8\xff\xe0"), make([]byte, 100)...)
	mp3  = append([]byte("\xff\xfb\x90\x64"), make([]byte, 16_000-4)...) // one second at 128 kbit/s
	mp4  = []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp41isom")
)

func TestUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		large := func(start []byte, size int) []byte {
			return append(bytes.Clone(start), make([]byte, size-len(start))...)
		}
		for _, test := range []struct {
			kind, name string
			data       []byte
			want       int
		}{
			{"image", "a.jpg", jpeg, 0},
			{"image", "a.JPEG", jpeg, 0},
			{"image", "a.gif", gif, 0},
			{"image", "a.jpg", large(jpeg, 10<<20), 0},
			{"image", "a.jpg", large(jpeg, 10<<20+1), 45001},
			{"image", "a.webp", []byte("RIFF\x00\x00\x00\x00WEBPVP8 "), 40005},
			{"image", "a.jpg", []byte("<svg/>"), 40005},
			{"image", "noname", jpeg, 40005},
			{"voice", "a.amr", SampleAMR(60 * time.Second), 0},
			{"voice", "a.amr", SampleAMR(61 * time.Second), 45007},
			{"voice", "a.mp3", mp3, 0},
			{"voice", "a.mp3", large(mp3, 61*16_000), 45007},
			{"voice", "a.mp3", append([]byte("ID3\x04\x00\x00\x00\x00\x00\x02xx"), mp3...), 0},
			{"voice", "a.amr", large([]byte("#!AMR\n"), 2<<20+1), 45001},
			{"voice", "a.wav", []byte("RIFF\x00\x00\x00\x00WAVEfmt "), 40005},
			{"video", "a.mp4", mp4, 0},
			{"thumb", "a.jpg", jpeg, 0},
			{"thumb", "a.jpg", large(jpeg, 64<<10+1), 45001},
			{"thumb", "a.png", gif, 40005},
			{"file", "a.pdf", []byte("%PDF"), 40004},
			{"image", "a.jpg", nil, 44001},
		} {
			for _, path := range []string{UploadPath, MaterialPath} {
				answer := c.upload(path, test.kind, test.name, test.data)
				if got := code(answer); got != test.want {
					t.Errorf("%s %s %s of %d bytes: %d, want %d", path, test.kind, test.name, len(test.data), got, test.want)
				}
				id := map[bool]string{true: "thumb_media_id", false: "media_id"}[test.kind == "thumb" && path == UploadPath]
				if s, _ := answer[id].(string); (s == "") != (test.want != 0) {
					t.Errorf("%s: %v", test.name, answer)
				}
			}
		}
		if got := code(c.post(UploadPath+"?type=image", "{}")); got != 41005 {
			t.Errorf("no form: %d", got)
		}
	})
}

func TestDownloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{PictureURL: "http://pictures.example"})
		f := c.Follower(testOpenID)
		voice := SampleAMR(2 * time.Second)
		must(f.Record(t.Context(), voice))
		must(f.Picture(t.Context(), jpeg))
		recorded, picture := f.Transcript()[0].MediaID, f.Transcript()[1].MediaID
		if _, err := f.SendMedia(t.Context(), "never"); err == nil {
			t.Error("what is not there was sent")
		}
		response, err := c.do(t.Context(), http.MethodGet, DownloadPath+"?media_id="+recorded, "", "")
		if err != nil || response.body != string(voice) {
			t.Fatalf("%d bytes, %v", len(response.body), err)
		}
		if d := cmp.Diff([]string{"audio/amr", `attachment; filename="` + recorded + `.amr"`},
			[]string{response.header.Get("Content-Type"), response.header.Get("Content-Disposition")}); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		video, _ := c.upload(UploadPath, "video", "a.mp4", mp4)["media_id"].(string)
		if got := c.get(DownloadPath + "?media_id=" + video)["video_url"]; got != "http://pictures.example/mmbiz_jpg/"+video+"/0" {
			t.Errorf("a video is at %v", got)
		}
		for path, want := range map[string]int{picturePath + picture + "/0": 200, picturePath + "x/0": 404} {
			w := httptest.NewRecorder()
			c.Pictures().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
			if w.Code != want || want == 200 && (w.Body.String() != string(jpeg) || w.Header().Get("Content-Type") != "image/jpeg") {
				t.Errorf("%s: %d, %d bytes", path, w.Code, w.Body.Len())
			}
		}
		if got := code(c.get(DownloadPath + "?media_id=x")); got != 40007 {
			t.Errorf("a foreign id: %d", got)
		}
		kept, _ := c.upload(MaterialPath, "image", "a.jpg", jpeg)["media_id"].(string)
		time.Sleep(mediaLife)
		c.token = c.fetchToken()
		if got := code(c.get(DownloadPath + "?media_id=" + picture)); got != 40007 {
			t.Errorf("after three days: %d", got)
		}
		if r, err := c.do(t.Context(), http.MethodGet, DownloadPath+"?media_id="+kept, "", ""); err != nil || r.body != string(jpeg) {
			t.Errorf("material after three days: %d bytes, %v", len(r.body), err)
		}
		c.violations(nil)
		for _, want := range []int{0, 40007} {
			if got := code(c.post(delMaterialPath, `{"media_id":"`+kept+`"}`)); got != want {
				t.Errorf("deleting: %d, want %d", got, want)
			}
		}
		c.ForgetMedia(recorded)
		for range maxMedia + 10 {
			c.upload(UploadPath, "image", "a.gif", gif)
		}
		if n := len(c.server.media.files); n != maxMedia {
			t.Errorf("%d files are kept, want %d", n, maxMedia)
		}
	})
}

func TestSeconds(t *testing.T) {
	for name, test := range map[string]struct {
		data []byte
		want float64
	}{
		"AMR":            {SampleAMR(3 * time.Second), 3},
		"AMR of silence": {[]byte("#!AMR\n" + strings.Repeat("\x7c", 50)), 1},
		"wide band":      {append([]byte("#!AMR-WB\n"), bytes.Repeat(append([]byte{0x04}, make([]byte, 17)...), 100)...), 2},
		"MP3":            {mp3, 1},
		"MPEG 2":         {append([]byte("\xff\xf3\x80\x64"), make([]byte, 8000-4)...), 1},
		"no bitrate":     {[]byte("\xff\xfb\x00\x64"), 0},
		"a picture":      {jpeg, 0},
		"nothing":        {nil, 0},
	} {
		if got := Seconds(test.data); got < test.want-0.001 || got > test.want+0.001 {
			t.Errorf("%s plays for %v s, want %v", name, got, test.want)
		}
	}
}

func TestMenus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, Options{})
		long := strings.Repeat("x", 61)
		item := `{"name":"i","type":"click","key":"k"}`
		for body, want := range map[string]int{
			`{"button":[]}`: 40016,
			`{"button":[` + strings.Repeat(item+",", 3) + item + `]}`:                                   40016,
			`{"button":[{"name":"` + long[:17] + `","type":"click","key":"k"}]}`:                        40018,
			`{"button":[{"name":"","type":"click","key":"k"}]}`:                                         40018,
			`{"button":[{"name":"a","type":"dance"}]}`:                                                  40017,
			`{"button":[{"name":"a"}]}`:                                                                 65308,
			`{"button":[{"name":"a","type":"click"}]}`:                                                  40019,
			`{"button":[{"name":"a","type":"click","key":"` + long + long + long + `"}]}`:               40019,
			`{"button":[{"name":"a","type":"view"}]}`:                                                   40020,
			`{"button":[{"name":"a","type":"view","url":"ftp://a"}]}`:                                   40055,
			`{"button":[{"name":"a","type":"view","url":"https://` + strings.Repeat("x", 1024) + `"}]}`: 40020,
			`{"button":[{"name":"a","type":"miniprogram","url":"https://a.example"}]}`:                  65308,
			`{"button":[{"name":"a","type":"media_id"}]}`:                                               40007,
			`{"button":[{"name":"a","type":"article_id"}]}`:                                             53600,
			`{"button":[{"name":"a","type":"click","key":"k","sub_button":[` + item + `]}]}`:            40017,
			`{"button":[{"name":"a","sub_button":[` + strings.Repeat(item+",", 5) + item + `]}]}`:       40023,
			`{"button":[{"name":"a","sub_button":[{"name":"` + long + `","type":"click","key":"k"}]}]}`: 40025,
			`{"button":[{"name":"a","sub_button":[{"name":"i","type":"dance"}]}]}`:                      40024,
			`{"button":[{"name":"a","sub_button":[{"name":"i","type":"click"}]}]}`:                      40026,
			`{"button":[{"name":"a","sub_button":[{"name":"i","type":"view"}]}]}`:                       40027,
			`{"button":[{"name":"a","sub_button":[{"name":"i","type":"view","url":"weixin://a"}]}]}`:    40054,
			`{"button":[{"name":"a","sub_button":[{"name":"i","sub_button":[` + item + `]}]}]}`:         40022,
			`{"button":{}}`: 47001,
		} {
			if got := code(c.post(CreateMenuPath, body)); got != want {
				t.Errorf("%.90s: %d, want %d", body, got, want)
			}
		}
		if got := code(c.get(getMenuPath)); got != 46003 {
			t.Errorf("none: %d", got)
		}
		if got := c.get(SelfMenuPath)["is_menu_open"]; got != 0.0 {
			t.Errorf("none is open: %v", got)
		}
		must(c.Follower(testOpenID).Follow(t.Context()))
		const menu = `{"button":[{"name":"官网","type":"view","url":"https://a.example/"},{"name":"更多","sub_button":[` +
			`{"name":"帮助","type":"click","key":"help"},{"name":"咖啡","type":"miniprogram","url":"https://a.example/","appid":"wx1","pagepath":"p"}]}]}`
		if got := code(c.post(CreateMenuPath, menu)); got != 0 {
			t.Fatal(got)
		}
		self := c.get(SelfMenuPath)
		want := map[string]any{"is_menu_open": 1.0, "selfmenu_info": map[string]any{"button": []any{
			map[string]any{"name": "官网", "type": "view", "url": "https://a.example/"},
			map[string]any{"name": "更多", "sub_button": map[string]any{"list": []any{
				map[string]any{"name": "帮助", "type": "click", "key": "help"},
				map[string]any{"name": "咖啡", "type": "miniprogram", "url": "https://a.example/", "appid": "wx1", "pagepath": "p"},
			}}},
		}}}
		if d := cmp.Diff(want, self); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if buttons, byAPI := c.Menu(); len(buttons) != 2 || !byAPI {
			t.Errorf("menu %v, %v", buttons, byAPI)
		}
		c.SetKind(PersonalSubscription)
		if buttons, _ := c.Menu(); buttons != nil || c.get(SelfMenuPath)["is_menu_open"] != 0.0 {
			t.Errorf("an account that is not verified shows %v", buttons)
		}
		c.SetKind(VerifiedSubscription)
		followerTaps(t, c)
		c.SetConsoleMenu([]Button{{Name: "t", Type: "text", Value: "v"}})
		if got := code(c.get(getMenuPath)); got != 46003 {
			t.Errorf("of a menu made by hand: %d", got)
		}
		if got := code(c.get(deleteMenuPath)); got != 0 {
			t.Errorf("deleting: %d", got)
		}
		if buttons, _ := c.Menu(); buttons != nil {
			t.Errorf("after it: %v", buttons)
		}
	})
}

// followerTaps taps what a client shows, which is up to five minutes old.
func followerTaps(t *testing.T, c *caller) {
	t.Helper()
	f := c.Follower(testOpenID)
	for _, names := range [][]string{{"官网"}, {"更多", "帮助"}, {"更多", "咖啡"}} {
		if x := must(f.TapMenu(t.Context(), names...)); x.Outcome != Silent {
			t.Errorf("%v: %s", names, x.Outcome)
		}
	}
	if n := f.SendsLeft(); n != 3+3 { // followed, and clicked on help
		t.Errorf("%d sends left, want 6", n)
	}
	for _, names := range [][]string{nil, {"更多"}, {"nothing"}, {"更多", "nothing"}, {"官网", "帮助"}} {
		if _, err := f.TapMenu(t.Context(), names...); err == nil {
			t.Errorf("%v can be tapped", names)
		}
	}
	c.SetConsoleMenu([]Button{{Name: "手工", Type: "text", Value: "v"}})
	if m := f.Menu(); len(m) != 2 {
		t.Errorf("the client's copy is %v", m)
	}
	time.Sleep(menuPull + time.Second)
	if m := f.Menu(); len(m) != 1 || m[0].Name != "手工" {
		t.Errorf("after five minutes it is %v", m)
	}
}
