package dify

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Error is the error of every method of Client. Its text is safe to log: it contains no message of Dify's, which may
// quote the question or the model's prompt.
type Error struct {
	Op   string // the call: "chat", "stop", …
	Kind Kind
	// Status is the HTTP status, of an error that came in a stream the one that Dify gave there, 0 if none.
	Status int
	// Code is Dify's error code, such as invalid_param; empty if there was none.
	Code string
	// RetryAfter is how long the server asked to wait, 0 if it did not.
	RetryAfter time.Duration
	// RedirectTo is the origin that a Redirected call was sent to, such as https://sso.example.com; empty if that is none.
	RedirectTo string
	// Input is the variable of the app's form that an InputRefused is about; empty if Dify did not name it.
	Input string
	// Effects is what the question may have done.
	Effects Effects
	// RunContinues: the stream was lost, but Dify continues the run and stores its answer. Await or Stop it before the next
	// question of the same conversation.
	RunContinues bool

	message          string
	contentType      string // of a response that is not Dify's
	cause            error
	dropConversation bool
	answered         bool // Dify has sent an event
}

// Effects says whether a failed question may have had side effects, such as a mail or an order.
type Effects int

// The effects.
const (
	NoEffects    Effects = iota // Dify refused the question, or did not receive it
	MaybeEffects                // the question was sent; its outcome is unknown
	BegunEffects                // a node of the workflow, or a tool of the agent, had started
)

// Error returns the call, kind, status and code, and what else is safe to log.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("dify: " + e.Op + ": " + string(e.Kind))
	if e.Status != 0 {
		b.WriteString(", status " + strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		b.WriteString(", code " + e.Code)
	}
	if e.Input != "" {
		b.WriteString(", input " + e.Input)
	}
	if e.contentType != "" {
		b.WriteString(", " + e.contentType + " instead of Dify's JSON")
	}
	if e.RedirectTo != "" {
		b.WriteString(", it redirects to " + e.RedirectTo)
	}
	if e.cause != nil && e.safeCause() {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// safeCause reports whether the cause's text is safe to log: our own or the network's. Others may quote a server.
func (e *Error) safeCause() bool {
	return e.Status == 0 && (e.Kind.Unreachable() || e.Kind == Unauthorized || e.Kind == InvalidParam)
}

// Unwrap returns the cause, for errors.Is. Its text may quote a server: do not log it.
func (e *Error) Unwrap() error { return e.cause }

// UnsafeMessage is Dify's message, at most 1 KiB. It may quote the question, a prompt or a provider's reply: do not log
// it, and do not show it in conditions or to followers.
func (e *Error) UnsafeMessage() string { return e.message }

// Class groups errors by what a follower is told.
func (e *Error) Class() Class { return traits[e.Kind].class }

// AskAgain reports whether the same question may succeed later, so that a retry link makes sense.
func (e *Error) AskAgain() bool { return traits[e.Kind].askAgain }

// MayRetry reports whether the caller may send the same question again by itself, after so many retries. Do not retry
// once text of the answer has arrived. With MaybeEffects there is at most one retry, with BegunEffects none.
func (e *Error) MayRetry(retried int) bool {
	limit := traits[e.Kind].retries
	switch e.Effects {
	case NoEffects:
	case MaybeEffects:
		limit = min(limit, 1)
	case BegunEffects:
		limit = 0
	}
	return retried < limit
}

// Health is what the error says about Dify as a whole, for a circuit breaker.
func (e *Error) Health() Health {
	if e.Kind == Interrupted && e.answered { // a proxy's timeout, for instance
		return Unknown
	}
	return traits[e.Kind].health
}

// DropConversation reports whether one retry without the conversation's ID may help. With the kind ConversationGone that
// is certain. Otherwise it is a guess: chatflows of 1.13.0 to 1.14.2 answer an unknown conversation with one ping and
// silence (langgenius/dify#37197), like a worker that is down.
func (e *Error) DropConversation() bool { return e.dropConversation || e.Kind == ConversationGone }

// CodeLabel is Code for use as a metric label: a known code of Dify's, "other", or empty.
func (e *Error) CodeLabel() string {
	if _, known := kindOfCode[e.Code]; e.Code == "" || known {
		return e.Code
	}
	return "other"
}

// KindOf returns the kind of an error of this package, "" for any other.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

func invalid(op, why string) *Error {
	return &Error{Op: op, Kind: InvalidParam, cause: errors.New(why)}
}

// transportError is the error of a request without a response. ctx is the request's context; sent reports whether the
// request was sent, as far as that is known.
func transportError(ctx context.Context, op string, err error, sent bool) *Error {
	e := &Error{Op: op, Kind: Interrupted, cause: err}
	if sent {
		e.Effects = MaybeEffects
	}
	switch {
	case errors.Is(context.Cause(ctx), errTooSlow) && sent:
		e.Kind, e.cause = FirstEventTimeout, errTooSlow
	case errors.Is(context.Cause(ctx), errTooSlow):
		e.Kind, e.cause = ConnectTimeout, errTooSlow
	case ctx.Err() != nil:
		e.Kind, e.cause = Canceled, ctx.Err()
	case !sent:
		e.Kind = unreachable(err)
	case speaksTLS(err):
		e.Kind, e.cause, e.Effects = TLSRequired, nil, NoEffects
	}
	return e
}

// errorBody is Dify's error envelope. From 1.8.0 to 1.10.1 flask-restx writes errors instead of a code.
type errorBody struct {
	code, message string
	hasErrors     bool
	isJSON        bool
}

func readErrorBody(r io.Reader) (b errorBody) {
	l := &lexer{src: &body{src: r, limit: maxErrorBody}}
	b.isJSON = l.members(func(name []byte) {
		switch string(name) {
		case "code":
			b.code = l.short(maxCode)
		case "message":
			b.message = l.prefix(maxMessage)
		case "errors":
			b.hasErrors = true
			l.skip()
		default:
			l.skip()
		}
	})
	return b
}

// responseError returns the error of a response whose status is not 2xx.
func (c *Client) responseError(op string, resp *http.Response) *Error {
	e := &Error{Op: op, Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.Kind, e.RedirectTo = Redirected, redirectOrigin(c.base, resp.Header.Get("Location"))
		return e
	}
	// If the body cannot be read, the status is enough. An HTML page may say that the port expects TLS.
	head := make([]byte, 1<<10)
	n, _ := io.ReadFull(resp.Body, head)
	head = head[:n]
	b := readErrorBody(io.MultiReader(strings.NewReader(string(head)), resp.Body))
	if b.isJSON && (b.code != "" || b.message != "" || b.hasErrors) {
		e.classify(b.code, b.message)
		if resp.StatusCode == http.StatusBadRequest && b.code == "" && b.hasErrors {
			e.Kind = InvalidParam
		}
		return e
	}
	e.Kind = kindOfStatus(resp.StatusCode)
	e.contentType = describeType(resp)
	switch {
	case resp.StatusCode == http.StatusBadRequest && wantsTLS(head):
		e.Kind = TLSRequired
	case e.Kind == Server && resp.StatusCode != http.StatusServiceUnavailable: // a proxy's: Dify may have received the question
		e.Effects = MaybeEffects
	case e.Kind == BadResponse && e.contentType == html:
		e.Kind = HTMLResponse
	}
	return e
}

// foreignResponse returns the error of a 2xx response that is not Dify's.
func foreignResponse(op string, resp *http.Response) *Error {
	e := &Error{Op: op, Kind: BadResponse, Status: resp.StatusCode, contentType: describeType(resp)}
	if e.contentType == html {
		e.Kind = HTMLResponse
	}
	return e
}

// html is describeType's word for a web page.
const html = "HTML"

// describeType returns a response's media type in a form that is safe to log.
func describeType(resp *http.Response) string {
	switch t := mediaType(resp); t {
	case "text/html", "application/xhtml+xml":
		return html
	case "text/plain", "text/event-stream", "application/json", "application/xml", "text/xml", "application/octet-stream":
		return t
	case "":
		return "a body of no type"
	}
	return "a body of another type"
}

// redirectOrigin returns the origin of a redirect's target. Its path and query may contain a ticket.
func redirectOrigin(from *url.URL, location string) string {
	to, err := from.Parse(location)
	if err != nil || location == "" {
		return ""
	}
	if to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return ""
	}
	return prefix((&url.URL{Scheme: to.Scheme, Host: to.Host}).String(), maxFilename)
}

// streamError returns the error of an error event.
func streamError(status int, code, message string) *Error {
	e := &Error{Op: "chat", Status: status, answered: true}
	e.classify(code, message)
	return e
}

// workflowFailure returns the error of a failed run, which may be that of a node's model.
func workflowFailure(op string, status int, message string) *Error {
	return &Error{
		Op: op, Kind: kindOfFailedRun(message), Status: status, Effects: BegunEffects, message: prefix(message, keptMessage), answered: true,
	}
}

// kindOfFailedRun returns the kind of a model's error if a model failed, and WorkflowFailed for other nodes.
func kindOfFailedRun(message string) Kind {
	for _, marker := range []string{"[models]", "InvokeError", "InvokeRate", "InvokeServer", "InvokeConn", "InvokeAuth", "InvokeBad", "Error code: "} {
		if strings.Contains(message, marker) {
			return cmp.Or(kindOfText(message), WorkflowFailed)
		}
	}
	before, plugin, _ := strings.Cut(message, "[") // "[openai] Error: …", also behind "Run failed: Node … run failed: "
	if name, _, found := strings.Cut(plugin, "] "); found && isID(name) && (before == "" || strings.HasSuffix(before, ": ")) {
		return cmp.Or(kindOfText(message), WorkflowFailed)
	}
	return WorkflowFailed
}

const (
	keptMessage = 1 << 10 // bytes of a message that are kept; up to maxMessage are searched for its kind
	maxCode     = 64      // bytes of an error's code
)

// classify sets the kind of an error by its code and message. Text that does not look like a code is not kept as one.
func (e *Error) classify(code, message string) {
	isCode := func(c rune) bool {
		return c == '_' || c == '-' || c == '.' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
	}
	if strings.TrimFunc(code, isCode) == "" {
		e.Code = code
	}
	e.message = prefix(message, keptMessage)
	e.Kind, e.Input = kindOfError(e.Status, code, message)
	if strings.HasPrefix(message, runFailed) {
		e.Effects = BegunEffects
	}
}

// runFailed is the prefix of the message of a failed chatflow in an error event or response.
const runFailed = "Run failed:"

func kindOfError(status int, code, message string) (k Kind, input string) {
	kind, known := kindOfCode[code]
	if !known {
		kind = kindOfStatus(status)
	}
	if kind == BadResponse { // a code of a newer release
		kind = InvalidParam
	}
	switch code {
	// Several errors share these codes, and a worker's error has none. Their messages are constants in Dify's source,
	// from 1.8.0 on with a suffix of flask-restx.
	case "invalid_param", "not_found", "":
		if strings.HasPrefix(message, runFailed) {
			return kindOfFailedRun(message), ""
		}
		for _, w := range messagePrefixes {
			if strings.HasPrefix(message, w.prefix) {
				return w.kind, ""
			}
		}
		if input, ok := refusedInput(message); ok {
			return InputRefused, input
		}
		if code == "" {
			return cmp.Or(kindOfText(message), kind), ""
		}
	case "completion_request_error", "rate_limit_error", "provider_not_initialize":
		return cmp.Or(kindOfText(message), kind), ""
	}
	return kind, ""
}

// refusedInput returns the variable of the app's form that a message of Dify's base_app_generator is about.
func refusedInput(message string) (input string, ok bool) {
	before, _, found := strings.Cut(message, " in input form")
	if !found {
		return "", false
	}
	words := strings.Fields(before)
	for _, w := range slices.Backward(words) { // "city is required", "(type 'number') age"
		if w != "is" && w != "required" {
			input = w
			break
		}
	}
	isName := func(c rune) bool {
		return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	}
	if len(input) > maxCode || strings.TrimFunc(input, isName) != "" {
		return "", true
	}
	return input, true
}

// prefix returns at most the first n bytes of s, cut at a character.
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
	"speech_to_text_disabled":                InvalidParam,
	"invalid_form_data":                      InvalidParam,
	"human_input_form_submitted":             FormAnswered,
	"human_input_form_expired":               FormExpired,
	"human_input_form_not_found":             FormExpired,
	"file_too_large":                         TooLarge,
	"audio_too_large":                        TooLarge,
	"too_many_requests":                      RateLimited,
	"rate_limit_error":                       QuotaExceeded, // Dify Cloud's limit of a plan for a month or day
	"provider_quota_exceeded":                QuotaExceeded,
	"provider_not_initialize":                ModelMisconfigured,
	"provider_not_support_speech_to_text":    ModelMisconfigured,
	"model_currently_not_support":            ModelMisconfigured,
	"completion_request_error":               ModelError,
	"internal_server_error":                  Server,
	"unknown":                                Server,
}

var messagePrefixes = []struct {
	prefix string
	kind   Kind
}{
	{"Conversation Not Exists.", ConversationGone},
	{"Too many requests.", RateLimited},
	{"Workflow not published", AppUnavailable},
	{"query is required", InvalidParam},
	{"Invalid upload file", InvalidParam},
	{"Form not found", FormExpired},
}

// kindOfStatus returns the kind of a response without an error body of Dify's, as proxies send.
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

// retryAfter returns Retry-After if it is given in seconds, at most an hour.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// Kinds returns all kinds, sorted, to initialise metrics with.
func Kinds() []Kind { return slices.Sorted(maps.Keys(traits)) }
