package dify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind says what went wrong, in terms of what can be done about it.
type Kind string

// The kinds of errors.
const (
	// Unauthorized: there is no API key, or Dify does not know it.
	Unauthorized Kind = "Unauthorized"
	// Forbidden: the app is deleted or disabled, its API is switched off, or its workspace archived.
	Forbidden Kind = "Forbidden"
	// AppUnavailable: the app is not configured or was never published.
	AppUnavailable Kind = "AppUnavailable"
	// WrongAppMode: the key belongs to an app that does not chat: a workflow or a text completion.
	WrongAppMode Kind = "WrongAppMode"
	// ConversationGone: the conversation does not exist for this user (any more), or has ended. Ask without it.
	ConversationGone Kind = "ConversationGone"
	// NotFound: no such object, or no such route: then the base URL is not that of Dify's API.
	NotFound Kind = "NotFound"
	// InvalidParam: Dify refused the request's content, for instance as a variable that the app requires is missing.
	InvalidParam Kind = "InvalidParam"
	// RateLimited: too many requests at one time, or in a time.
	RateLimited Kind = "RateLimited"
	// QuotaExceeded: what the model provider or the Dify plan allows is used up.
	QuotaExceeded Kind = "QuotaExceeded"
	// ModelError: the model or its provider failed or is not configured.
	ModelError Kind = "ModelError"
	// TooLarge: the request or a file is too large.
	TooLarge Kind = "TooLarge"
	// Server: Dify, or a proxy before it, failed.
	Server Kind = "Server"
	// BadResponse: what answered does not speak as Dify does: HTML, a redirect.
	BadResponse Kind = "BadResponse"
	// Unreachable: no connection could be made; nothing was sent.
	Unreachable Kind = "Unreachable"
	// FirstEventTimeout: Dify did not begin to answer in time.
	FirstEventTimeout Kind = "FirstEventTimeout"
	// IdleTimeout: Dify fell silent while answering.
	IdleTimeout Kind = "IdleTimeout"
	// Interrupted: the connection broke, or the stream ended without saying that the answer has.
	Interrupted Kind = "Interrupted"
	// WorkflowFailed: the run of a chatflow failed, in a node of its own or in the model.
	WorkflowFailed Kind = "WorkflowFailed"
	// Canceled: the caller's context ended. errors.Is finds its error.
	Canceled Kind = "Canceled"
)

// Error is what every method of Client returns when it fails. Its text is safe to log: it never contains what Dify
// wrote in words, as that may quote the question or the model's prompt.
type Error struct {
	Op   string // the call: "chat", "stop", …
	Kind Kind
	// Status is the HTTP status, of an error that came in a stream the one that Dify gave there, 0 if none.
	Status int
	// Code is Dify's error code, such as invalid_param; empty if there was none.
	Code string
	// RetryAfter is how long the server asked to wait, 0 if it did not.
	RetryAfter time.Duration

	message          string
	cause            error
	dropConversation bool
}

// Error gives the call, kind, status and code. Of a connection that could not be made it tells the reason.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("dify: " + e.Op + ": " + string(e.Kind))
	if e.Status != 0 {
		b.WriteString(", status " + strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		b.WriteString(", code " + e.Code)
	}
	if e.cause != nil && (e.Status == 0 && (e.Kind == Unreachable || e.Kind == Unauthorized || e.Kind == InvalidParam)) {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Unwrap gives the cause, for errors.Is. Its text may quote what a server sent: not for logs.
func (e *Error) Unwrap() error { return e.cause }

// UnsafeMessage is what Dify wrote in words, at most 1 KiB. It may quote the question, a prompt, or a provider's reply:
// not for logs, conditions or followers.
func (e *Error) UnsafeMessage() string { return e.message }

// Temporary says that asking again may help, if no text of an answer came. It is false where Dify may still be working
// on the question, and where a workflow has run: its nodes may have acted.
func (e *Error) Temporary() bool {
	switch e.Kind {
	case RateLimited, Server, Unreachable, Interrupted:
		return true
	case ModelError:
		return upstreamTemporary(e.message)
	default:
		return false
	}
}

// DropConversation says that asking once more without the conversation's id may help. It is sure where Kind is
// ConversationGone. Otherwise it is a guess: chatflows of 1.13.0 to 1.14.2 answer an unknown conversation by one ping
// and silence (langgenius/dify#37197), and so does a worker that is down.
func (e *Error) DropConversation() bool { return e.dropConversation || e.Kind == ConversationGone }

// KindOf returns the kind of an error of this package, "" for any other.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// upstreamTemporary knows the model provider's errors by Dify's words for their classes; their code does not tell.
func upstreamTemporary(message string) bool {
	for _, class := range []string{"Server Unavailable Error", "Connection Error", "Rate Limit Error"} {
		if strings.Contains(message, class) {
			return true
		}
	}
	return false
}

func invalid(op, why string) *Error {
	return &Error{Op: op, Kind: InvalidParam, cause: errors.New(why)}
}

// broken is the error of a request that ended without an answer. ctx is the request's context.
func broken(ctx context.Context, op string, err error) *Error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err // the text of the outer one has the URL, which may name a user
	}
	switch {
	case errors.Is(context.Cause(ctx), errQuiet):
		return &Error{Op: op, Kind: FirstEventTimeout, cause: errQuiet}
	case ctx.Err() != nil:
		return &Error{Op: op, Kind: Canceled, cause: ctx.Err()}
	}
	return &Error{Op: op, Kind: Interrupted, cause: err}
}

// errorBody is Dify's error envelope. Fields of flask-restx's (1.8.0 to 1.10.1) have errors instead of a code.
type errorBody struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Errors  json.RawMessage `json:"errors"`
}

// responseError is the error of a response whose status is not 2xx.
func responseError(op string, resp *http.Response) *Error {
	e := &Error{Op: op, Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	// What could not be read of it leaves the status, which tells enough.
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var body errorBody
	isJSON := decode(raw, &body) == nil
	e.describe(body.Code, body.Message)
	switch {
	case resp.StatusCode == http.StatusBadRequest && body.Code == "" && isJSON && body.Errors != nil:
		e.Kind = InvalidParam
	case body.Code == "":
		e.Kind = kindOfStatus(resp.StatusCode)
	default:
		e.Kind = classify(resp.StatusCode, body.Code, body.Message)
	}
	return e
}

// describe takes code and message in, bounded; a code that is none could carry anything and is dropped.
func (e *Error) describe(code, message string) {
	const maxMessage, maxCode = 1 << 10, 64
	isCode := func(c rune) bool {
		return c == '_' || c == '-' || c == '.' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
	}
	if len(code) <= maxCode && strings.TrimFunc(code, isCode) == "" {
		e.Code = code
	}
	e.message = prefix(message, maxMessage)
}

// prefix is the beginning of s, of at most n bytes, that ends at a character.
func prefix(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

var kindOfCode = map[string]Kind{
	"unauthorized":                           Unauthorized,
	"forbidden":                              Forbidden,
	"workflow_version_execution_not_allowed": Forbidden,
	"app_unavailable":                        AppUnavailable,
	"agent_not_published":                    AppUnavailable,
	"not_chat_app":                           WrongAppMode,
	"not_completion_app":                     WrongAppMode,
	"not_workflow_app":                       WrongAppMode,
	"conversation_completed":                 ConversationGone,
	"not_found":                              NotFound,
	"method_not_allowed":                     NotFound,
	"invalid_param":                          InvalidParam,
	"bad_request":                            InvalidParam,
	"bad_request_key_error":                  InvalidParam,
	"no_file_uploaded":                       InvalidParam,
	"no_audio_uploaded":                      InvalidParam,
	"too_many_files":                         InvalidParam,
	"filename_not_exists_error":              InvalidParam,
	"unsupported_file_type":                  InvalidParam,
	"unsupported_audio_type":                 InvalidParam,
	"unsupported_media_type":                 InvalidParam,
	"file_too_large":                         TooLarge,
	"audio_too_large":                        TooLarge,
	"too_many_requests":                      RateLimited,
	"rate_limit_error":                       QuotaExceeded, // Dify Cloud's, for what a plan allows in a month or day
	"provider_quota_exceeded":                QuotaExceeded,
	"provider_not_initialize":                ModelError,
	"provider_not_support_speech_to_text":    ModelError,
	"model_currently_not_support":            ModelError,
	"completion_request_error":               ModelError,
	"internal_server_error":                  Server,
	"unknown":                                Server,
}

// classify finds the kind of an error that has a code, or that a worker sent without one.
func classify(status int, code, message string) Kind {
	kind, known := kindOfCode[code]
	if !known {
		kind = kindOfStatus(status)
	}
	if kind == BadResponse && code != "" { // it does speak as Dify: a code of a release we do not know
		kind = InvalidParam
	}
	// Several errors share these codes; only the words, which are constant in Dify's source, tell them apart. A
	// suffix may follow (flask-restx, 1.8.0 on), and a worker's error has no code at all.
	if code != "invalid_param" && code != "not_found" && code != "" {
		return kind
	}
	for _, w := range wordings {
		if strings.HasPrefix(message, w.prefix) {
			return w.kind
		}
	}
	if code == "" && strings.HasSuffix(message, "is required in input form") {
		return InvalidParam
	}
	return kind
}

var wordings = []struct {
	prefix string
	kind   Kind
}{
	{"Conversation Not Exists.", ConversationGone},
	{"Too many requests.", RateLimited},
	{"Workflow not published", AppUnavailable},
	{"Run failed:", WorkflowFailed},
	{"query is required", InvalidParam},
	{"Invalid upload file", InvalidParam},
}

// kindOfStatus judges a response by its status alone: proxies answer HTML.
func kindOfStatus(status int) Kind {
	switch status {
	case http.StatusUnauthorized:
		return Unauthorized
	case http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return NotFound
	case http.StatusRequestEntityTooLarge:
		return TooLarge
	case http.StatusTooManyRequests:
		return RateLimited
	}
	if status >= http.StatusInternalServerError {
		return Server
	}
	return BadResponse
}

// retryAfter reads the header's form in seconds, which Dify and its proxies use; more than an hour is an hour.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}
