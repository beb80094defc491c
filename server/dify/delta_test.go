package dify

import (
	"encoding/json"
	"testing"
)

var deltas = map[string]struct {
	in     string
	answer string
	sure   bool
}{
	"new":                    {`{"event":"message","answer":"您好","from_variable_selector":["llm","text"]}`, "您好", true},
	"old":                    {`{"event": "message", "answer": "\u60a8\u597d \ud83d\ude00", "n": 1.5e-3}`, "您好 😀", true},
	"escapes":                {`{"answer":"a\"b\\","x":"\\\\\"}{"}`, `a"b\`, true},
	"every escape":           {`{"answer":"\"\\\/\b\f\n\r\t\u00e9\uFFFD"}`, "\"\\/\b\f\n\r\té\ufffd", true},
	"half a surrogate pair":  {`{"answer":"\ud83d\n\ude00\ud83d\u0041\ud83d"}`, "\ufffd\n\ufffd\ufffdA\ufffd", true},
	"an escape that is none": {`{"answer":"\x41"}`, "", false},
	"no hexadecimal":         {`{"answer":"\u00zz"}`, "", false},
	"too little of it":       {`{"answer":"\u00"}`, "", false},
	"a later answer counts":  {`{"answer":"a","answer":"b"}`, "b", true},
	"an answer further down": {`{"data":{"answer":"x","y":[{"z":"]}"}]},"answer":"a"}`, "a", true},
	"null":                   {`{"answer":null,"b":true}`, "", true},
	"no answer":              {`{"event":"message"}`, "", true},
	"another type":           {`{"answer":{"a":[1,2]}}`, "", true},
	"space":                  {" {\t\"answer\" : \"a\" } \n", "a", true},
	"bytes that are no text": {"{\"answer\":\"\xff\"}", "\ufffd", true},
	"a control character":    {"{\"answer\":\"\x01\"}", "", false},
	"an escaped key":         {`{"answ\u0065r":"a"}`, "", false},
	"an empty object":        {`{}`, "", false},
	"an array":               {`["answer"]`, "", false},
	"nothing":                {``, "", false},
	"cut in the answer":      {`{"answer":"a`, "", false},
	"cut after an escape":    {`{"answer":"a\"`, "", false},
	"cut after the answer":   {`{"answer":"a"`, "", false},
	"cut in another value":   {`{"answer":"a","b":[1,`, "", false},
	"cut in another string":  {`{"answer":"a","b":["x`, "", false},
	"no colon":               {`{"answer""a"}`, "", false},
	"no value":               {`{"b":,"answer":"a"}`, "", false},
	"a value too many":       {`{"b":},"answer":"a"}`, "", false},
	"more after the end":     {`{"answer":"a"}{`, "a", false},
}

func TestDeltaOf(t *testing.T) {
	for name, c := range deltas {
		answer, sure := deltaOf([]byte(c.in))
		if sure != c.sure || sure && answer != c.answer {
			t.Errorf("%s: %q, %t; want %q, %t", name, answer, sure, c.answer, c.sure)
		}
	}
}

// FuzzDeltaOf compares with encoding/json, whose folding of keys' letters is not wanted.
func FuzzDeltaOf(f *testing.F) {
	for _, c := range deltas {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var members map[string]json.RawMessage
		if json.Unmarshal(in, &members) != nil {
			if answer, sure := deltaOf(in); sure && len(answer) > len(in)*3 {
				t.Fatal("text from nowhere")
			}
			return
		}
		var want string
		// Another type leaves it empty.
		_ = json.Unmarshal(members["answer"], &want)
		if got, sure := deltaOf(in); sure && got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestPeek(t *testing.T) {
	for in, want := range map[string]string{
		`{"event":"message","x":1}`: "message", `{"event": "node_started", `: "node_started", "{ \t\"event\" :\t\"a\"": "a",
		`{"x":1,"event":"a"}`: "", `{"event":"a`: "", `{"event":"\u0061"}`: "", `{"event":5}`: "", ``: "", `[`: "",
	} {
		if got := string(peek([]byte(in))); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
