package dify

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// pictureEndings are the types of pictures that Dify takes, with the ending of a name that it knows them by.
var pictureEndings = map[string]string{
	"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp",
}

// TakesPicture reports whether Dify takes pictures of this content type.
func TakesPicture(contentType string) bool { return pictureEndings[contentType] != "" }

// UploadPicture uploads a picture for a question of the same user and returns its ID, for File.UploadFileID. The content is not copied
// and must not be changed meanwhile.
func (c *Client) UploadPicture(ctx context.Context, user, contentType string, content []byte) (id string, err error) {
	const op = "upload"
	ending := pictureEndings[contentType]
	switch {
	case user == "":
		return "", invalid(op, "a user is needed")
	case ending == "":
		return "", invalid(op, "it is no picture that Dify takes")
	}
	r := request{
		op: op, method: http.MethodPost, path: []string{"files", "upload"},
		form: newForm(user, "picture"+ending, contentType, content),
	}
	_, err = c.call(ctx, r, func(l *lexer, name []byte) {
		if string(name) == "id" {
			id = l.short(maxID)
		} else {
			l.skip()
		}
	})
	if err == nil && id == "" {
		return "", &Error{Op: op, Kind: BadResponse, Status: http.StatusCreated}
	}
	return id, err
}

// recordings are the types of recordings that Dify takes, as every release of it names them. It refuses audio/mpeg.
var recordings = map[string]struct{ contentType, ending string }{
	"audio/amr": {"audio/amr", ".amr"}, "audio/amr-wb": {"audio/amr", ".amr"}, "audio/mpeg": {"audio/mp3", ".mp3"},
	"audio/wave": {"audio/wav", ".wav"},
}

// TakesRecording reports whether Dify takes recordings of this content type.
func TakesRecording(contentType string) bool { return recordings[contentType].ending != "" }

// maxHeard limits the text of a recording, in bytes.
const maxHeard = 16 << 10

// AudioToText returns what is said in a recording; "" if nothing is. If the app has it disabled, the error is InvalidParam.
func (c *Client) AudioToText(ctx context.Context, user, contentType string, content []byte) (text string, err error) {
	const op = "audio-to-text"
	as, known := recordings[contentType]
	if !known {
		return "", invalid(op, "it is no recording that Dify takes")
	}
	r := request{
		op: op, method: http.MethodPost, path: []string{"audio-to-text"},
		form: newForm(user, "voice"+as.ending, as.contentType, content),
	}
	_, err = c.call(ctx, r, func(l *lexer, name []byte) {
		if string(name) == "text" {
			text = l.prefix(maxHeard)
		} else {
			l.skip()
		}
	})
	return strings.TrimSpace(text), err
}

// TextToAudio has a text read out. The recording is at most limit bytes, else the error is TooLarge. Its type is the model's, whatever
// Dify says: the caller looks at the content. If the app has it disabled, the error is InvalidParam.
func (c *Client) TextToAudio(ctx context.Context, user, text string, limit int) ([]byte, error) {
	const op = "text-to-audio"
	if user == "" || text == "" {
		return nil, invalid(op, "a user and a text are needed")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.firstEventTimeout, errTooSlow)
	defer cancel()
	resp, err := c.send(ctx, request{op: op, method: http.MethodPost, path: []string{"text-to-audio"}, body: struct {
		wireUser
		Text string `json:"text"`
	}{wireUser{user}, text}})
	if err != nil {
		return nil, err
	}
	defer closeBody(resp)
	if t := mediaType(resp); !strings.HasPrefix(t, "audio/") && t != "application/octet-stream" { // null, or a page
		return nil, foreignResponse(op, resp)
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, transportError(ctx, op, err, true)
	case len(content) > limit:
		return nil, &Error{Op: op, Kind: TooLarge}
	case len(content) == 0:
		return nil, &Error{Op: op, Kind: BadResponse, Status: resp.StatusCode}
	}
	return content, nil
}
