package dify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/wechatbot/wechatbot-operator/server/dify/sse"
)

// MaxUser is how many characters the name of a user may have: more is a crash in Dify's database.
const MaxUser = 255

// endGrace is how long to wait for what may follow workflow_finished: message_replace and message_end up to 1.12.
const endGrace = 2500 * time.Millisecond

// ChatRequest is one question.
type ChatRequest struct {
	// Query is the question; Dify refuses an empty one.
	Query string
	// User identifies who asks, within the app; 1 to MaxUser characters. Conversations belong to a user.
	User string
	// ConversationID continues a conversation; empty begins a new one.
	ConversationID string
	// Inputs are values of the variables in the app's form.
	Inputs map[string]string
	Files  []File
}

// File is a file that belongs to a question: one uploaded to Dify, or a URL that Dify can reach.
type File struct {
	Type           string `json:"type"`            // image, document, audio, video or custom
	TransferMethod string `json:"transfer_method"` // local_file or remote_url
	UploadFileID   string `json:"upload_file_id,omitempty"`
	URL            string `json:"url,omitempty"`
}

// wireChat is the body of POST /chat-messages. Its inputs are required even if empty, and streaming is the only mode
// that all kinds of apps and all proxies bear.
type wireChat struct {
	Inputs           map[string]string `json:"inputs"`
	Query            string            `json:"query"`
	ResponseMode     string            `json:"response_mode"`
	ConversationID   string            `json:"conversation_id,omitempty"`
	User             string            `json:"user"`
	Files            []File            `json:"files,omitempty"`
	AutoGenerateName bool              `json:"auto_generate_name"`
}

// Chat asks a question and returns when the answer is complete or has failed. onUpdate, which may be nil, is called
// from this goroutine whenever the text or an id has changed; it must not block. The time for the whole answer is
// bounded by ctx alone. If ctx ends before the answer, chat and agent apps lose it.
//
// An error is an *Error; the Answer next to it holds what came.
func (c *Client) Chat(ctx context.Context, r ChatRequest, onUpdate func(Update)) (Answer, error) {
	if err := r.check(); err != nil {
		return Answer{}, err
	}
	if onUpdate == nil {
		onUpdate = func(Update) {}
	}
	inputs := r.Inputs
	if inputs == nil {
		inputs = map[string]string{}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(c.firstEventTimeout, func() { cancel(errQuiet) })
	defer quiet.Stop()

	resp, err := c.send(ctx, request{
		op: "chat", method: http.MethodPost, path: []string{"chat-messages"},
		accept: "text/event-stream, application/json;q=0.5",
		body: wireChat{
			Inputs: inputs, Query: r.Query, ResponseMode: "streaming", ConversationID: r.ConversationID,
			User: r.User, Files: r.Files,
		},
	})
	if err != nil {
		return Answer{}, err
	}
	// Closed without reading to the end: old releases keep the connection until the conversation has a title, later
	// ones for up to 300 s.
	defer closeBody(resp)
	switch mediaType(resp) {
	case "text/event-stream", "":
	case "application/json":
		return c.whole(ctx, resp, onUpdate)
	default:
		return Answer{}, &Error{Op: "chat", Kind: BadResponse, Status: resp.StatusCode}
	}

	s := stream{base: c.base}
	err = c.read(ctx, &s, resp.Body, quiet, onUpdate)
	if e, ok := errors.AsType[*Error](err); ok && r.ConversationID != "" {
		s.doubtConversation(e)
	}
	return s.result(), err
}

func (r *ChatRequest) check() error {
	switch {
	case r.Query == "":
		return invalid("chat", "the question is empty")
	case r.User == "" || utf8.RuneCountInString(r.User) > MaxUser:
		return invalid("chat", "the user must have 1 to 255 characters")
	}
	return nil
}

// read takes events in until the answer is complete.
func (c *Client) read(
	ctx context.Context, s *stream, body io.Reader, quiet *time.Timer, onUpdate func(Update),
) error {
	var told Update
	events := sse.NewReader(body, sse.MaxEvent)
	for graced := false; ; {
		e, err := events.Next()
		if err != nil {
			return s.cutOff(ctx, err)
		}
		v := s.take(e)
		if now := s.update(); now != told {
			told = now
			onUpdate(now)
		}
		switch {
		case v == ended && s.err != nil:
			return s.err
		case v == ended:
			return nil
		case v == ending && !graced:
			graced = true
			quiet.Reset(endGrace)
		case v == progress && !graced:
			quiet.Reset(c.idleTimeout)
		}
	}
}

// doubtConversation sees whether e may have come of a conversation that does not exist.
func (s *stream) doubtConversation(e *Error) {
	switch {
	case s.namelessError: // how a worker reports it in releases after 1.14.2
		e.Kind = ConversationGone
	case e.Kind == FirstEventTimeout || e.Kind == Interrupted:
		// A hang has one ping, the first bytes. A model slow to begin has one every 10 s.
		e.dropConversation = s.pings == 1 && s.events == 0
	}
}

// cutOff judges a stream that ended by itself, by a fault, or by our timer.
func (s *stream) cutOff(ctx context.Context, err error) error {
	e := broken(ctx, "chat", err)
	switch {
	case s.complete() && e.Kind != Canceled:
		return nil
	case e.Kind == FirstEventTimeout && s.events > 0:
		e.Kind = IdleTimeout
	case e.Kind == Interrupted && s.foreign && s.events == 0:
		e.Kind = BadResponse
	}
	return e
}

// whole takes an answer that came in one piece, as an intermediary or an old agent may give it.
func (c *Client) whole(ctx context.Context, resp *http.Response, onUpdate func(Update)) (Answer, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return Answer{}, broken(ctx, "chat", err)
	}
	var m struct {
		event
		Status string `json:"status"`
	}
	switch err := decode(body, &m); {
	case len(body) > maxBody || err != nil, m.Event == "" && m.Code == "":
		return Answer{}, &Error{Op: "chat", Kind: BadResponse, Status: resp.StatusCode}
	case m.Event != "message":
		e := &Error{Op: "chat", Status: resp.StatusCode, Kind: classify(resp.StatusCode, m.Code, m.Message)}
		e.describe(m.Code, m.Message)
		return Answer{}, e
	}
	s := stream{base: c.base}
	s.ids.adopt(m.ids)
	s.append(m.Answer)
	s.answer.Usage = m.Metadata.Usage.usage()
	s.answer.Paused = m.Status == "paused"
	onUpdate(s.update())
	return s.result(), nil
}
