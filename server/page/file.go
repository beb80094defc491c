package page

import (
	"context"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/wechatbot/wechatbot-operator/server/media"
)

const (
	maxPicture  = 10 << 20
	maxDownload = 30 << 20
)

// shown are the types of pictures that a page shows. A vector graphic can hold scripts.
var shown = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// file serves the nth picture or file of an answer. Its address is got anew from the app: the one in the answer lasted for
// minutes.
func (h *Handler) file(w http.ResponseWriter, r *http.Request, s *Settings, name Name, token, number string) {
	if !enter(r, h.files) {
		return // nobody waits any more
	}
	defer func() { <-h.files }()
	a, renew, ok, err := h.Answers.Renewable(r.Context(), name.Follower, name.Turn)
	if err != nil {
		h.refuse(w, s, http.StatusServiceUnavailable, "unavailable")
		return
	}
	n, bad := strconv.Atoi(number)
	var targets []target
	if ok {
		targets = convert(a, s.Path+token, *s).targets
	}
	if bad != nil || n < 0 || n >= len(targets) {
		h.refuse(w, s, http.StatusNotFound, "gone")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), fileTimeout)
	defer cancel()
	stream, err := h.open(ctx, s, targets[n], func(ctx context.Context) []target {
		fresh, err := renew(ctx)
		if err != nil {
			return nil
		}
		return convert(fresh, s.Path+token, *s).targets
	})
	if err != nil {
		h.refuse(w, s, http.StatusNotFound, "fileFailed")
		return
	}
	defer func() { _ = stream.Body.Close() }() // it was read to its end, or is of no use
	h.send(w, stream, targets[n])
}

// open begins to fetch a target: from where the app says now, else from where it was when the answer was made.
func (h *Handler) open(ctx context.Context, s *Settings, t target, fresh func(context.Context) []target) (*media.Stream, error) {
	request := media.Request{URL: t.url, Policy: s.Fetchable, MaxBytes: maxDownload}
	if t.picture {
		request.MaxBytes, request.Types = maxPicture, shown
	}
	if strings.Contains(t.url, filesPath) {
		for _, f := range fresh(ctx) {
			if same(f.url, t.url) {
				request.URL = f.url
				break
			}
		}
	}
	return h.Fetcher.Open(ctx, request) //nolint:wrapcheck // only that there was one matters
}

// send writes a file: a picture to be shown, anything else to be kept.
func (h *Handler) send(w http.ResponseWriter, stream *media.Stream, t target) {
	_ = http.NewResponseController(w).SetWriteDeadline(h.now().Add(fileTimeout)) // not supported: no socket, no slow client
	header := w.Header()
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Content-Type", "application/octet-stream")
	if t.picture {
		header.Set("Content-Type", stream.Type)
	} else {
		header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(t)}))
	}
	if stream.Size > 0 {
		header.Set("Content-Length", strconv.FormatInt(stream.Size, 10))
	}
	h.Metrics.requests.WithLabelValues("file").Inc()
	if _, err := io.Copy(w, stream.Body); err != nil {
		panic(http.ErrAbortHandler) // what has been written must not be taken for the whole
	}
}

// fileName is what a file is called when it is kept.
func fileName(t target) string {
	name := t.name
	if name == "" || path.Ext(name) == "" {
		address, _, _ := strings.Cut(t.url, "?")
		name = path.Base(address)
	}
	name = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	return clip(name, 120)
}
