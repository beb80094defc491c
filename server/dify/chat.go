package dify

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/wechatbot/wechatbot-operator/server/dify/sse"
)

// MaxUser is the maximum length of a user's name, in characters: Dify's database does not take more.
const MaxUser = 255

// endGrace is how long to wait for events after workflow_finished: up to 1.12 message_replace and message_end follow.
const endGrace = 2500 * time.Millisecond

// ChatRequest is one question.
type ChatRequest struct {
	// Query is the question; Dify refuses an empty one.
	Query string
	// User identifies the person within the app; 1 to MaxUser characters. Conversations belong to a user.
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

// wireChat is the body of POST /chat-messages. Inputs are required even if empty. Streaming is the only mode that all
// kinds of apps support.
type wireChat struct {
	Inputs           map[string]string `json:"inputs"`
	Query            string            `json:"query"`
	ResponseMode     string            `json:"response_mode"`
	ConversationID   string            `json:"conversation_id,omitempty"`
	User             string            `json:"user"`
	Files            []File            `json:"files,omitempty"`
	AutoGenerateName bool              `json:"auto_generate_name"`
}

// Chat asks a question and returns when the answer is complete or has failed. onUpdate, which may be nil, is called in
// this goroutine whenever the text, an ID or Begun has changed; it must not block. Only ctx limits the time of the whole
// answer. If ctx ends before it, chat and agent apps lose the answer.
//
// Errors are of type *Error. The Answer is then what had arrived.
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
	watchdog := time.AfterFunc(c.firstEventTimeout, func() { cancel(errTooSlow) })
	defer watchdog.Stop()

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
	// The rest of the body is not read: old releases keep the connection open until the conversation has a title, later
	// ones for up to 300 s.
	defer closeBody(resp)
	s := &stream{version: resp.Header.Get("X-Version"), files: files{root: c.root(), asked: r.Files}}
	switch mediaType(resp) {
	case "text/event-stream", "":
	case "application/json":
		return s.readJSON(ctx, resp, onUpdate)
	default:
		return Answer{}, foreignResponse("chat", resp)
	}
	resp.Header = nil // not needed while the stream is open
	err = s.read(ctx, resp, watchdog, c.idleTimeout, onUpdate)
	if e, ok := errors.AsType[*Error](err); ok && r.ConversationID != "" {
		s.inferConversationGone(e)
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

// read reads events until the answer is complete.
func (s *stream) read(
	ctx context.Context, resp *http.Response, watchdog *time.Timer, idle time.Duration, onUpdate func(Update),
) error {
	var last Update
	events := sse.NewReader(resp.Body)
	for finishing := false; ; {
		hasData, err := events.Next()
		if err != nil {
			s.markup = events.Markup()
			return s.interrupted(ctx, err)
		}
		v := ignored
		switch {
		case hasData:
			v = s.handle(events)
		case string(events.Type()) == "ping":
			v = s.ping()
		}
		if now := s.update(); now != last {
			last = now
			onUpdate(now)
		}
		switch {
		case v == ended && s.err != nil:
			return s.failure(s.err)
		case v == ended:
			return nil
		case v == ending && !finishing:
			finishing = true
			watchdog.Reset(endGrace)
		case v == progress && !finishing:
			watchdog.Reset(idle)
		}
	}
}

// inferConversationGone marks e if the cause may be that the conversation does not exist.
func (s *stream) inferConversationGone(e *Error) {
	switch {
	case s.errorWithoutCode: // of a worker, after 1.14.2
		e.Kind = ConversationGone
	case e.Kind == FirstEventTimeout || e.Kind == Interrupted:
		// Such a run sends one ping at its start. A model that is slow to start sends one every 10 s.
		e.dropConversation = s.pings == 1 && s.events == 0
	}
}

// interrupted returns the error of a stream that has ended by itself, by an error or by the watchdog.
func (s *stream) interrupted(ctx context.Context, err error) error {
	if s.complete() {
		return nil
	}
	e := transportError(ctx, "chat", err, true)
	switch {
	case e.Kind == FirstEventTimeout && s.events > 0:
		e.Kind = IdleTimeout
	case e.Kind == Interrupted && s.markup && s.events == 0:
		e.Kind = HTMLResponse
	case e.Kind == Interrupted && s.foreign && s.events == 0:
		e.Kind = BadResponse
	}
	e.RunContinues = s.runContinues()
	return s.failure(e)
}

// failure adds the state of the stream to an error.
func (s *stream) failure(e *Error) *Error {
	e.answered = s.events > 0
	if s.begun {
		e.Effects = BegunEffects
	}
	return e
}

// readJSON reads an answer in one piece, as proxies and old agents send it.
func (s *stream) readJSON(ctx context.Context, resp *http.Response, onUpdate func(Update)) (Answer, error) {
	s.handle(&body{src: resp.Body, limit: maxBody})
	ev := &s.ev
	switch {
	case ev.kind == messageEvent && s.events > 0:
		s.usage, s.sources, s.paused = ev.usage, ev.sources, ev.runStatus == "paused"
		s.addFiles()
		onUpdate(s.update())
		return s.result(), nil
	case ev.code != "" && s.lex.atEnd():
		e := &Error{Op: "chat", Status: resp.StatusCode}
		e.classify(ev.code, ev.message)
		return Answer{}, e
	}
	return Answer{}, unreadable(ctx, "chat", resp, s.lex.err)
}
