package dify

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
)

// form is a multipart form that carries one file. The file is read where it lies: it is not copied.
type form struct {
	contentType string
	head, tail  []byte
	content     []byte
}

// newForm makes the form of a file and the user whose it is. Dify takes the user from a plain field only, and goes by the part's own
// Content-Type and by the ending of its name.
func newForm(user, name, contentType string, content []byte) *form {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("user", user) // writes to a buffer do not fail
	_, _ = w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="file"; filename="` + name + `"`}, "Content-Type": {contentType},
	})
	head := b.Len()
	_ = w.Close()
	return &form{w.FormDataContentType(), b.Bytes()[:head:head], b.Bytes()[head:], content}
}

// sendBy makes the form a request's body, also for the transport's own second try on another connection.
func (f *form) sendBy(r *http.Request) {
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(f.head), bytes.NewReader(f.content), bytes.NewReader(f.tail))), nil
	}
	r.ContentLength = int64(len(f.head) + len(f.content) + len(f.tail))
	r.GetBody = open
	r.Body, _ = open() // it does not fail
}
