package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	uploadAPI         = "/cgi-bin/media/upload"
	downloadAPI       = "/cgi-bin/media/get"
	addMaterialAPI    = "/cgi-bin/material/add_material"
	deleteMaterialAPI = "/cgi-bin/material/del_material"
)

// MediaType is what a file is to WeChat.
type MediaType string

// The types of files, with what WeChat takes of each (media). The page gives both 2 MB and 10 MB for an image.
const (
	ImageFile MediaType = "image" // jpg, png, gif: at most 10 MB
	VoiceFile MediaType = "voice" // amr, mp3: at most 2 MB and 60 s
	VideoFile MediaType = "video" // mp4: at most 10 MB
	ThumbFile MediaType = "thumb" // jpg: at most 64 KB
)

// maxBytes is the size of a file that WeChat takes.
var maxBytes = map[MediaType]int{ImageFile: 10 << 20, VoiceFile: 2 << 20, VideoFile: 10 << 20, ThumbFile: 64 << 10}

// extensions gives the ending of the name of a file: WeChat goes by it.
var extensions = map[MediaType]map[string]string{
	ImageFile: {"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif"},
	VoiceFile: {"audio/amr": ".amr", "audio/mpeg": ".mp3"},
	VideoFile: {"video/mp4": ".mp4"},
	ThumbFile: {"image/jpeg": ".jpg"},
}

// TakesMedia says whether WeChat takes files of this content type as this type of media, such as image/png as ImageFile.
func TakesMedia(t MediaType, contentType string) bool { return extensions[t][contentType] != "" }

// mediaLife is how long WeChat keeps a temporary file (media).
const mediaLife = 72 * time.Hour

// Media is a temporary file of the account at WeChat's.
type Media struct {
	ID string
	// Expires is when WeChat forgets it, three days after it was uploaded.
	Expires time.Time
}

// UploadMedia uploads a temporary file. The content is not copied, and must not be changed meanwhile. What WeChat would not take is
// MediaRefused or TooLarge, without asking.
func (c *Client) UploadMedia(ctx context.Context, t MediaType, contentType string, content []byte) (Media, error) {
	b, err := fileBody(uploadAPI, t, contentType, content)
	if err != nil {
		return Media{}, err
	}
	answer, err := c.call(ctx, &request{
		api: uploadAPI, method: http.MethodPost, query: url.Values{"type": {string(t)}}, body: b,
		tries: idempotentTries, timeout: c.mediaTimeout,
	})
	if err != nil {
		return Media{}, err
	}
	var read struct {
		ID        string `json:"media_id"`
		ThumbID   string `json:"thumb_media_id"` // seen in place of media_id for a thumb
		CreatedAt int64  `json:"created_at"`
	}
	if json.Unmarshal(answer, &read) != nil || read.ID == "" && read.ThumbID == "" {
		return Media{}, &Error{API: uploadAPI, Kind: BadAnswer, cause: reasonError("there is no media id in it")}
	}
	m := Media{ID: read.ID, Expires: time.Unix(read.CreatedAt, 0).Add(mediaLife)}
	if m.ID == "" {
		m.ID = read.ThumbID
	}
	if limit := time.Now().Add(mediaLife); read.CreatedAt <= 0 || m.Expires.After(limit) {
		m.Expires = limit
	}
	return m, nil
}

// AddMaterial uploads a file that WeChat keeps until it is deleted, and gives its media id. The console's library shows it, and there is
// room for 1,000 voices and 100,000 images. It is not tried again when WeChat may have taken it: that is UnknownDelivery.
func (c *Client) AddMaterial(ctx context.Context, t MediaType, contentType string, content []byte) (mediaID string, err error) {
	b, err := fileBody(addMaterialAPI, t, contentType, content)
	if err != nil {
		return "", err
	}
	answer, err := c.call(ctx, &request{
		api: addMaterialAPI, method: http.MethodPost, query: url.Values{"type": {string(t)}}, body: b,
		tries: 2, once: true, timeout: c.mediaTimeout,
	})
	if err != nil {
		return "", err
	}
	var read struct {
		ID string `json:"media_id"`
	}
	if json.Unmarshal(answer, &read) != nil || read.ID == "" {
		return "", &Error{API: addMaterialAPI, Kind: UnknownDelivery, cause: reasonError("there is no media id in the answer")}
	}
	return read.ID, nil
}

// DeleteMaterial deletes what AddMaterial has added.
func (c *Client) DeleteMaterial(ctx context.Context, mediaID string) error {
	body := encode(struct {
		ID string `json:"media_id"`
	}{mediaID})
	_, err := c.call(ctx, &request{api: deleteMaterialAPI, method: http.MethodPost, body: jsonBody(body), tries: idempotentTries})
	return err
}

// fileBody makes the multipart form that carries one file; the file itself is read where it lies.
func fileBody(api string, t MediaType, contentType string, content []byte) (*body, error) {
	extension := extensions[t][contentType]
	switch {
	case extension == "":
		return nil, &Error{API: api, Kind: MediaRefused}
	case len(content) == 0:
		return nil, &Error{API: api, Kind: Invalid, cause: reasonError("the file is empty")}
	case len(content) > maxBytes[t]:
		return nil, &Error{API: api, Kind: TooLarge}
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	// Writes to a buffer do not fail.
	_, _ = w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="media"; filename="` + string(t) + extension + `"`},
		"Content-Type":        {contentType},
	})
	head := form.Len()
	_ = w.Close()
	return &body{w.FormDataContentType(), int64(form.Len() + len(content)), func() io.Reader {
		return io.MultiReader(bytes.NewReader(form.Bytes()[:head]), bytes.NewReader(content), bytes.NewReader(form.Bytes()[head:]))
	}}, nil
}

// Download is a file that comes from WeChat.
type Download struct {
	// Body is the file; it must be closed. Reading more of it than was allowed is an error of kind TooLarge.
	Body io.ReadCloser
	// Size is the file's length in bytes, -1 if WeChat did not say.
	Size int64
	// ContentType is what WeChat says that the file is, without parameters.
	ContentType string
	// VideoURL is where a video is: WeChat sends its address in place of the file, and Body is empty.
	VideoURL string
}

// errorBytes is how much of a file is looked at for an error in its place.
const errorBytes = 4096

// DownloadMedia gets a temporary file: one that a follower has sent, or UploadMedia has uploaded. A file of more than limit bytes is
// TooLarge. ctx has to live until the file was read.
func (c *Client) DownloadMedia(ctx context.Context, mediaID string, limit int64) (*Download, error) {
	r := &request{
		api: downloadAPI, method: http.MethodGet, query: url.Values{"media_id": {mediaID}},
		tries: idempotentTries, timeout: c.mediaTimeout,
	}
	return withToken(ctx, c, r, func(token string) (*Download, error) {
		return tried(ctx, c, r, func() (*Download, error) { return c.open(ctx, r, token, limit) })
	})
}

// open begins a download.
func (c *Client) open(ctx context.Context, r *request, token string, limit int64) (*Download, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeoutOf(r))
	response, err := c.send(bounded, r, token, new(atomic.Bool)) //nolint:bodyclose // Download's Close does it
	if err != nil {
		cancel()
		return nil, broken(ctx, r, new(atomic.Bool), err)
	}
	file := &download{ctx: ctx, request: r, response: response, cancel: cancel, left: limit}
	d, err := file.begin()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return d, nil
}

// download is the body of a Download.
type download struct {
	ctx      context.Context //nolint:containedctx // the caller's, to tell why reading failed
	request  *request
	response *http.Response
	cancel   context.CancelFunc
	reader   *bufio.Reader
	left     int64
}

// begin tells a file from what comes in its place: an error or a video's address, as JSON and with status 200. Their Content-Type is seen to
// be application/json and text/plain, and a file's may be anything, so the content decides: no file of a kind that WeChat knows begins
// with a brace.
func (d *download) begin() (*Download, error) {
	r := d.response
	if r.StatusCode != http.StatusOK {
		return nil, &Error{API: d.request.api, Kind: BadAnswer, Status: r.StatusCode}
	}
	d.reader = bufio.NewReaderSize(r.Body, errorBytes)
	start, err := d.reader.Peek(errorBytes)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, d.broken(err)
	}
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if startsObject(start) {
		return d.instead(start)
	}
	switch {
	case len(start) == 0, contentType == "application/json", strings.HasPrefix(contentType, "text/"):
		return nil, &Error{API: d.request.api, Kind: BadAnswer, cause: reasonError("it is no file")}
	case r.ContentLength > d.left:
		return nil, &Error{API: d.request.api, Kind: TooLarge}
	}
	return &Download{Body: d, Size: r.ContentLength, ContentType: contentType}, nil
}

// instead reads the JSON object that came in place of a file.
func (d *download) instead(object []byte) (*Download, error) {
	_, e := parseAnswer(d.request.api, object, false)
	if e != nil {
		return nil, e
	}
	var read struct {
		VideoURL string `json:"video_url"`
	}
	if json.Unmarshal(object, &read) != nil || read.VideoURL == "" {
		return nil, &Error{API: d.request.api, Kind: BadAnswer, cause: reasonError("it is no file")}
	}
	_ = d.Close()
	return &Download{Body: http.NoBody, VideoURL: read.VideoURL}, nil
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	if d.left < 0 {
		return 0, &Error{API: d.request.api, Kind: TooLarge}
	}
	// One byte more than may come shows that there is more.
	n, err := d.reader.Read(p[:min(int64(len(p)), d.left+1)])
	d.left -= int64(n)
	switch {
	case d.left < 0:
		return n - 1, &Error{API: d.request.api, Kind: TooLarge}
	case err != nil && !errors.Is(err, io.EOF):
		return n, d.broken(err)
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

func (d *download) broken(err error) *Error { return broken(d.ctx, d.request, new(atomic.Bool), err) }

// Close implements io.Closer.
func (d *download) Close() error {
	closeBody(d.response)
	d.cancel()
	return nil
}
