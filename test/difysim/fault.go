package difysim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Fault is what goes wrong with a call. The zero value: nothing.
type Fault struct {
	Kind   FaultKind
	Name   string        // HTTPError: a file of testdata/dify/errors; ErrorEvent: the event's code
	Deltas int           // CutAfter, EndEarly, Truncate, ErrorEvent, Moderate, Gap: deltas of the answer that still come
	Delay  time.Duration // SlowHeaders: until the first byte; 0 = never. Gap: how long it lasts
	// Text is of Replace and Moderate the replacement, of ErrorEvent the message in place of the recorded one, of Pause what the
	// person is asked, of Redirect the address.
	Text string
}

// FaultKind names a fault, in the words of flags and of the control endpoint.
type FaultKind string

// The faults. Those before the stream first, then those within it.
const (
	NoFault          FaultKind = ""
	HTTPError        FaultKind = "http-error"        // answered with the recorded error body Name
	TooManyRequests  FaultKind = "too-many-requests" // 400 invalid_param "Too many requests. …", as a full app says
	HTMLPage         FaultKind = "html-page"         // 200 with a web page, as captive portals and wrong URLs answer
	Redirect         FaultKind = "redirect"          // 302 to Text, as a login or a proxy that wants https answers
	CutBefore        FaultKind = "cut-before"        // connection reset before any byte of the response
	SlowHeaders      FaultKind = "slow-headers"      // no byte at all for Delay, then as usual
	ConversationGone FaultKind = "conversation-gone" // conversation ids are unknown; new conversations work
	Hang             FaultKind = "hang"              // pings, never an event: a missing worker, a stuck model
	ErrorEvent       FaultKind = "error-event"       // the model fails after Deltas, told as the release tells it
	CutAfter         FaultKind = "cut-after"         // connection reset after Deltas
	EndEarly         FaultKind = "end-early"         // a clean end of the body after Deltas, without an end event
	Truncate         FaultKind = "truncate"          // the same in the middle of the event after Deltas
	NeverEnd         FaultKind = "never-end"         // the whole text, then neither end event nor end of the body
	Replace          FaultKind = "replace"           // output moderation replaces the text at its end
	EmptyAnswer      FaultKind = "empty-answer"      // a regular end without any text
	Moderate         FaultKind = "moderate"          // output moderation replaces the text after Deltas and stops the run
	Pause            FaultKind = "pause"             // Chatflow since 1.13: the whole text, then it waits for a person
	Gap              FaultKind = "gap"               // not a byte for Delay after Deltas, then the rest: the run goes on meanwhile
	NotANumber       FaultKind = "not-a-number"      // NaN and Infinity among the numbers of events, as Python writes them
	SplitSurrogates  FaultKind = "split-surrogates"  // characters beyond the basic plane are split over two deltas
)

// moderated is the replacement of a Replace without a Text.
const moderated = "抱歉，该回答不便展示。"

// upstreamFailed is the code of an ErrorEvent without a Name.
const upstreamFailed = "completion_request_error"

// errorEvents gives the messages with which model-side errors come, by code, and their status.
var errorEvents = map[string]struct {
	status  int
	message string
}{
	upstreamFailed:                {400, "[openai_api_compatible] Server Unavailable Error, upstream exploded"},
	"provider_not_initialize":     {400, "Provider Token Not Init"},
	"model_currently_not_support": {400, "Model Currently Not Support"},
	"provider_quota_exceeded": {400, "Your quota for Dify Hosted Model Provider has been exhausted. " +
		"Please go to Settings -> Model Provider to complete your own provider credentials."},
	"invalid_param":         {400, "Invalid parameter"},
	"internal_server_error": {500, "Internal Server Error, please contact support."},
}

// modelError gives what an ErrorEvent says.
func (f *Fault) modelError() (code string, status int, message string) {
	code = f.Name
	if code == "" {
		code = upstreamFailed
	}
	known := errorEvents[code]
	if f.Text != "" {
		return code, known.status, f.Text
	}
	return code, known.status, known.message
}

func (f *Fault) validate() error {
	if f.Deltas < 0 || f.Delay < 0 {
		return fmt.Errorf("fault %q: negative deltas or delay", f.Kind)
	}
	switch f.Kind {
	case HTTPError:
		if _, err := errorBody(f.Name); err != nil {
			return fmt.Errorf("fault %q: %w", f.Kind, err)
		}
	case ErrorEvent:
		if _, known := errorEvents[f.Name]; f.Name != "" && !known {
			return fmt.Errorf("fault %q: unknown code %q", f.Kind, f.Name)
		}
	case NoFault, TooManyRequests, HTMLPage, CutBefore, SlowHeaders, ConversationGone, Hang,
		CutAfter, EndEarly, Truncate, NeverEnd, Replace, EmptyAnswer, Moderate, Pause, Gap, NotANumber, SplitSurrogates:
	case Redirect:
		if f.Text == "" {
			return fmt.Errorf("fault %q: no address", f.Kind)
		}
	default:
		return fmt.Errorf("unknown fault %q", f.Kind)
	}
	return nil
}

// String gives the fault in the form that UnmarshalText reads.
func (f Fault) String() string {
	text := string(f.Kind)
	switch f.Kind {
	case HTTPError:
		text += ":" + f.Name
	case ErrorEvent:
		text += ":" + strconv.Itoa(f.Deltas)
		if f.Name != "" || f.Text != "" {
			text += ":" + f.Name
		}
		if f.Text != "" {
			text += ":" + f.Text
		}
	case CutAfter, EndEarly, Truncate:
		text += ":" + strconv.Itoa(f.Deltas)
	case SlowHeaders:
		text += ":" + f.Delay.String()
	case Replace, Redirect:
		text += ":" + f.Text
	case Pause:
		if f.Text != "" {
			text += ":" + f.Text
		}
	case Moderate:
		text += ":" + strconv.Itoa(f.Deltas)
		if f.Text != "" {
			text += ":" + f.Text
		}
	case Gap:
		text += ":" + strconv.Itoa(f.Deltas) + ":" + f.Delay.String()
	default:
	}
	return text
}

// MarshalText gives the fault as String does.
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads "KIND" or "KIND:ARGUMENT": http-error:unknown.500, error-event:2 (after two deltas),
// error-event:0:provider_quota_exceeded, error-event:0::text of the message, cut-after:3, slow-headers:2s,
// replace:text, moderate:2:text, gap:1:90s, redirect:https://login.example.com/, and so on.
func (f *Fault) UnmarshalText(text []byte) error {
	kind, argument, has := strings.Cut(string(text), ":")
	read := Fault{Kind: FaultKind(kind)}
	if has && argument != "" {
		if err := read.parse(argument); err != nil {
			return fmt.Errorf("fault %q: %w", kind, err)
		}
	}
	if err := read.validate(); err != nil {
		return err
	}
	*f = read
	return nil
}

func (f *Fault) parse(argument string) (err error) {
	switch f.Kind {
	case HTTPError:
		f.Name = argument
	case ErrorEvent:
		deltas, rest, _ := strings.Cut(argument, ":")
		f.Name, f.Text, _ = strings.Cut(rest, ":")
		f.Deltas, err = strconv.Atoi(deltas)
	case CutAfter, EndEarly, Truncate:
		f.Deltas, err = strconv.Atoi(argument)
	case SlowHeaders:
		f.Delay, err = time.ParseDuration(argument)
	case Replace, Redirect, Pause:
		f.Text = argument
	case Moderate:
		deltas, text, _ := strings.Cut(argument, ":")
		f.Text = text
		f.Deltas, err = strconv.Atoi(deltas)
	case Gap:
		deltas, delay, _ := strings.Cut(argument, ":")
		if f.Deltas, err = strconv.Atoi(deltas); err == nil {
			f.Delay, err = time.ParseDuration(delay)
		}
	default:
		err = fmt.Errorf("takes no argument")
	}
	return err
}
