package dify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// inPieces gives a text as pieces of some length.
type inPieces struct {
	rest   []byte
	length int
}

func (p *inPieces) Data() ([]byte, error) {
	if len(p.rest) == 0 {
		return nil, io.EOF
	}
	piece := bytes.Clone(p.rest[:min(p.length, len(p.rest))])
	p.rest = p.rest[len(piece):]
	return piece, nil
}

// taken is what a stream takes out of an event.
type taken struct {
	kind                                kind
	verdict                             verdict
	answer, message, code, conversation string
	status                              int
}

func takeEvent(data pieces) (taken, bool) {
	s := &stream{}
	v := s.handle(data)
	t := taken{s.ev.kind, v, toUTF8(s.ev.answer), s.ev.message, s.ev.code, s.ids.ConversationID, s.ev.status}
	return t, v != ignored
}

var texts = []string{
	`{"event":"message","conversation_id":"c1","answer":"您好"}`, `{"event": "message", "answer": "\u60a8\u597d \ud83d\ude00", "n": 1.5e-3}`,
	`{"event":"message","answer":"a\"b\\","x":"\\\\\"}{"}`, `{"event":"message","answer":"\"\\\/\b\f\n\r\t\u00e9\uFFFD"}`,
	`{"event":"message","answer":"\ud83d\n\ude00\ud83d\u0041\ud83d"}`, `{"event":"message","answer":"a","answer":"b"}`,
	`{"event":"message","data":{"answer":"x","y":[{"z":"]}"}]},"answer":"a"}`, `{"event":"message","answer":null,"b":true}`,
	`{"answer":{"a":[1,2]},"event":"message"}`, " {\t\"event\" : \"message\" , \"answer\" : \"a\" } \n", "{\"event\":\"message\",\"answer\":\"\xff\"}",
	`{"event":"error","code":"x","message":"y","status":400}`, `{"mess\u0061ge":"z","ev\u0065nt":"error"}`,
}

// broken texts are no events.
var brokenTexts = []string{
	``, `{`, `{}`, `[]`, `["event"]`, `5`, `null`, `{"event":"error"`, `{"event":"error",`, `{"event":"error",}`, `{"event""error"}`, `{"event":,"x":1}`,
	`{"event":"error"}}`, `{"event":"error"}{`, `{"event":"error"} x`, `{,"event":"error"}`, `{"event":"error" "x":1}`, `{"event":"error","x":[1,}`,
	`{"event":"error","x":"`, `{"event":"error","x":"\`, `{"event":"error","x":"\u12`, `{"event":"error","x":{"y":}`, `{event:"error"}`, `{"event":"err`,
	`{"event":"error","x":]}`, `{"event":"error","x"}`,
}

func TestBrokenTextsAreNoEvents(t *testing.T) {
	for _, text := range brokenTexts {
		for length := range 3 {
			if got, ok := takeEvent(&inPieces{[]byte(text), length + 1}); ok {
				t.Errorf("%s is taken for %+v", text, got)
			}
		}
	}
}

// FuzzLexer compares with encoding/json, and a text in pieces with the same text whole.
func FuzzLexer(f *testing.F) {
	for _, text := range append(texts, brokenTexts...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, ok := takeEvent(&inPieces{in, len(in) + 1})
		for _, length := range []int{1, 7} {
			if pieces, okay := takeEvent(&inPieces{in, length}); ok != okay || ok && pieces != whole {
				t.Fatalf("in pieces of %d: %+v, %t; whole: %+v, %t", length, pieces, okay, whole, ok)
			}
		}
		for _, s := range []string{whole.answer, whole.message, whole.code, whole.conversation} {
			if !utf8.ValidString(s) || len(s) > 3*len(in) {
				t.Fatalf("text from nowhere: %q", s)
			}
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(in, &members) != nil {
			return // the lexer may be more lenient
		}
		var want taken
		text := func(name string, limit int) (s string) {
			if json.Unmarshal(members[name], &s) != nil || len(s) > limit {
				return "" // another type leaves it empty
			}
			return s
		}
		want.kind = kindOf([]byte(text("event", 60)))
		if want.kind == noEvent || want.kind != messageEvent && want.kind != errorEvent {
			return
		}
		if !ok {
			t.Fatalf("%s is no event", in)
		}
		want.answer, want.code, want.conversation = text("answer", MaxText), text("code", maxCode), text("conversation_id", maxID)
		if whole.kind != want.kind || whole.answer != want.answer || whole.code != want.code || whole.conversation != want.conversation {
			t.Fatalf("%+v, want %+v", whole, want)
		}
	})
}

// FuzzREST reads any bytes as what the other calls are answered with.
func FuzzREST(f *testing.F) {
	f.Add([]byte(`{"data":[{"id":"m1","answer":"a","created_at":NaN,"message_files":[{"url":"/x"}]}]}`))
	f.Add([]byte(`{"name":"x","user_input_form":[{"select":{"variable":"v","options":["a"]}}],"file_upload":{"image":{"enabled":true}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		l := &lexer{src: &body{src: iotest.HalfReader(bytes.NewReader(in)), limit: maxBody}}
		l.members(func(name []byte) {
			switch string(name) {
			case "data":
				l.elements(func() { (&Client{base: &url.URL{Scheme: "http", Host: "x", Path: "/v1"}}).readMessage(l) })
			case "user_input_form":
				l.elements(func() { l.members(func(kind []byte) { readInput(l, string(kind)) }) })
			case "file_upload":
				l.members(func(name []byte) { new(wireUpload).member(l, name) })
			default:
				l.value(64)
			}
		})
		if b := readErrorBody(bytes.NewReader(in)); len(b.message) > maxMessage || len(b.code) > maxCode {
			t.Fatalf("%d bytes of message, %d of code", len(b.message), len(b.code))
		}
	})
}

func TestBodiesAreBounded(t *testing.T) {
	b := &body{src: strings.NewReader(strings.Repeat("x", 10<<10)), limit: 3 << 10}
	n := 0
	for {
		piece, err := b.Data()
		n += len(piece)
		if err != nil {
			if !errors.Is(err, errTooLong) || n > 4<<10 {
				t.Errorf("%d bytes were read, %v", n, err)
			}
			return
		}
	}
}
