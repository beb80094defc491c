package wechatsim

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Paths of the calls about files, for Order and Calls.
const (
	UploadPath      = "/cgi-bin/media/upload"
	DownloadPath    = "/cgi-bin/media/get"
	MaterialPath    = "/cgi-bin/material/add_material"
	delMaterialPath = "/cgi-bin/material/del_material"
)

// mediaLife is how long a temporary file is kept.
const mediaLife = 72 * time.Hour

// Bounds of the files that are kept: the oldest go first.
const (
	maxMedia      = 200
	maxMediaBytes = 64 << 20
)

// medium is a file.
type medium struct {
	id        string
	kind      string // image, voice, video or thumb
	mime      string
	data      []byte
	created   time.Time
	permanent bool
}

// mediaStore holds them in the order in which they came. The server's lock guards it.
type mediaStore struct {
	files []*medium
	bytes int
}

func (m *mediaStore) add(f *medium) {
	m.files = append(m.files, f)
	m.bytes += len(f.data)
	for len(m.files) > maxMedia || m.bytes > maxMediaBytes {
		m.forget(m.files[0].id)
	}
}

// get gives a file that is there; nil if there is none.
func (m *mediaStore) get(id string, now time.Time) *medium {
	i := slices.IndexFunc(m.files, func(f *medium) bool { return f.id == id && (f.permanent || now.Sub(f.created) < mediaLife) })
	if i < 0 {
		return nil
	}
	return m.files[i]
}

// Media gives a file by its id, and its content type; nil if there is none. The follower's client shows it so.
func (p *Platform) Media(id string) (data []byte, contentType string) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	if m := p.server.media.get(id, time.Now()); m != nil {
		return m.data, m.mime
	}
	return nil, ""
}

// ForgetMedia makes a media id worthless, as its three days do.
func (p *Platform) ForgetMedia(id string) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.media.forget(id)
}

func (m *mediaStore) forget(id string) bool {
	i := slices.IndexFunc(m.files, func(f *medium) bool { return f.id == id })
	if i < 0 {
		return false
	}
	m.bytes -= len(m.files[i].data)
	m.files = slices.Delete(m.files, i, i+1)
	return true
}

// AddMedia gives WeChat a file of a follower's and returns its id, for SendMedia. What it is shows its content.
func (p *Platform) AddMedia(data []byte) (id string) {
	contentType := contentTypeOf(data)
	kind, _, _ := strings.Cut(contentType, "/")
	if kind == "audio" {
		kind = "voice"
	}
	f := &medium{id: newMediaID(), kind: kind, mime: contentType, data: data, created: time.Now()}
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.media.add(f)
	return f.id
}

// mediaRule is what WeChat takes of one type.
type mediaRule struct {
	endings []string
	types   []string // by content
	bytes   int
	seconds float64
}

var mediaRules = map[string]mediaRule{
	"image": {[]string{".jpg", ".jpeg", ".png", ".gif"}, []string{"image/jpeg", "image/png", "image/gif"}, 10 << 20, 0},
	"voice": {[]string{".amr", ".mp3"}, []string{"audio/amr", "audio/mpeg"}, 2 << 20, 60},
	"video": {[]string{".mp4"}, []string{"video/mp4"}, 10 << 20, 0},
	"thumb": {[]string{".jpg", ".jpeg"}, []string{"image/jpeg"}, 64 << 10, 0},
}

// upload takes a file out of a form, or gives the errcode of what is wrong with it.
func (s *server) upload(c *call) (*medium, int) {
	kind := c.URL.Query().Get("type")
	rule, ok := mediaRules[kind]
	if !ok {
		s.broke(BadFile)
		return nil, 40004
	}
	name, data, ok := formFile(c)
	if !ok {
		s.broke(BadFile)
		return nil, 41005
	}
	contentType := contentTypeOf(data)
	code := 0
	switch {
	case len(data) == 0:
		code = 44001
	case len(data) > rule.bytes:
		code = 45001
	case !slices.Contains(rule.endings, strings.ToLower(path.Ext(name))), !slices.Contains(rule.types, contentType):
		code = 40005
	case rule.seconds > 0 && Seconds(data) > rule.seconds:
		code = 45007
	}
	if code != 0 {
		s.broke(BadFile)
		return nil, code
	}
	return &medium{id: newMediaID(), kind: kind, mime: contentType, data: data, created: time.Now()}, 0
}

// formFile reads the form's one file.
func formFile(c *call) (name string, data []byte, ok bool) {
	_, parameters, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil {
		return "", nil, false
	}
	form := multipart.NewReader(bytes.NewReader(c.body), parameters["boundary"])
	for {
		part, err := form.NextPart()
		if err != nil {
			return "", nil, false
		}
		if part.FormName() == "media" && part.FileName() != "" && part.Header.Get("Content-Type") != "" {
			data, err = io.ReadAll(part)
			return part.FileName(), data, err == nil
		}
	}
}

func (s *server) uploadMedia(c *call) apiAnswer {
	m, code := s.upload(c)
	if code != 0 {
		return refuse(code)
	}
	s.media.add(m)
	answer := map[string]any{"type": m.kind, "created_at": m.created.Unix()}
	if m.kind == "thumb" {
		answer["thumb_media_id"] = m.id
	} else {
		answer["media_id"] = m.id
	}
	return apiAnswer{value: answer}
}

func (s *server) addMaterial(c *call) apiAnswer {
	m, code := s.upload(c)
	if code != 0 {
		return refuse(code)
	}
	m.permanent = true
	s.media.add(m)
	return apiAnswer{value: map[string]any{"media_id": m.id, "url": s.pictureURL(m.id)}}
}

func (s *server) deleteMaterial(c *call) apiAnswer {
	var ask mediaBody
	if json.Unmarshal(c.body, &ask) != nil || !s.media.forget(ask.ID) {
		s.broke(BadMedia)
		return refuse(40007)
	}
	return apiAnswer{}
}

// downloadMedia gives a file as captures show it: bytes with a name, but of a video its address.
func (s *server) downloadMedia(c *call) apiAnswer {
	m := s.media.get(c.URL.Query().Get("media_id"), time.Now())
	if m == nil {
		return refuse(40007)
	}
	if m.kind == "video" {
		return apiAnswer{value: map[string]any{"video_url": s.pictureURL(m.id)}}
	}
	return apiAnswer{file: m.data, headers: map[string]string{
		"Content-Type": m.mime, "Content-Length": strconv.Itoa(len(m.data)), "Connection": "close",
		"Content-disposition": `attachment; filename="` + m.id + endings[m.mime] + `"`,
	}}
}

var endings = map[string]string{"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "audio/amr": ".amr", "audio/mpeg": ".mp3"}

// picturePath is where pictures are on their own host, as in captures: /mmbiz_jpg/ID/0.
const picturePath = "/mmbiz_jpg/"

func (s *server) pictureURL(id string) string {
	return s.platform.options.PictureURL + picturePath + id + "/0"
}

// Pictures is the host that PicUrl points at: whoever knows an address gets the picture.
func (p *Platform) Pictures() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, picturePath), "/")
		data, contentType := p.Media(id)
		if data == nil || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(data) //nolint:gosec // a picture, and said to be one
	})
}

// contentTypeOf tells a file's type by its content.
func contentTypeOf(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("#!AMR")):
		return "audio/amr"
	case mp3Frame(data) >= 0:
		return "audio/mpeg"
	}
	contentType, _, _ := strings.Cut(http.DetectContentType(data), ";")
	return contentType
}

// Seconds is how long an AMR or MP3 file plays; 0 for anything else. An MP3 is taken to have one bitrate.
func Seconds(data []byte) float64 {
	const frame = 0.02
	if rest, ok := bytes.CutPrefix(data, []byte("#!AMR\n")); ok {
		return frame * float64(amrFrames(rest, []int{12, 13, 15, 17, 19, 20, 26, 31, 5}))
	}
	if rest, ok := bytes.CutPrefix(data, []byte("#!AMR-WB\n")); ok {
		return frame * float64(amrFrames(rest, []int{17, 23, 32, 36, 40, 46, 50, 58, 60, 5}))
	}
	start := mp3Frame(data)
	if start < 0 {
		return 0
	}
	kilobits := []int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0}
	if data[start+1]&0x08 == 0 { // MPEG 2 and 2.5
		kilobits = []int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0}
	}
	rate := kilobits[data[start+2]>>4]
	if rate == 0 {
		return 0
	}
	return float64(len(data)-start) * 8 / float64(rate*1000)
}

// amrFrames counts frames by the payload of each type (RFC 4867).
func amrFrames(data []byte, payload []int) int {
	n := 0
	for len(data) > 0 {
		size := 1
		if t := int(data[0]>>3) & 0x0f; t < len(payload) {
			size += payload[t]
		}
		data = data[min(size, len(data)):]
		n++
	}
	return n
}

// mp3Frame finds the first frame of layer III, behind tags; -1 if there is none.
func mp3Frame(data []byte) int {
	start := 0
	if len(data) > 10 && bytes.HasPrefix(data, []byte("ID3")) {
		start = 10 + (int(data[6]&0x7f)<<21 | int(data[7]&0x7f)<<14 | int(data[8]&0x7f)<<7 | int(data[9]&0x7f))
	}
	if len(data) < start+4 || data[start] != 0xff || data[start+1]&0xe6 != 0xe2 {
		return -1
	}
	return start
}

// SampleAMR is a voice message of silence that plays for about so long.
func SampleAMR(d time.Duration) []byte {
	var b bytes.Buffer
	b.WriteString("#!AMR\n")
	for range max(1, int(d/(20*time.Millisecond))) {
		b.WriteByte(0x3c) // 12.2 kbit/s
		frame := make([]byte, 31)
		_, _ = rand.Read(frame[:2]) // no two are the same
		b.Write(frame)
	}
	return b.Bytes()
}
