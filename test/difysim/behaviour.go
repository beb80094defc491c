package difysim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"
)

// Behaviour is how a call is answered. The zero value: at once, with an Echo of the question.
type Behaviour struct {
	FirstText time.Duration // from the start of the run to the first text
	Total     time.Duration // from the start of the run to its end event; deltas are spread evenly from FirstText
	Answer    string        // the whole answer; empty = Echo(query, Length)
	Length    int           // characters of the echo
	Think     string        // reasoning that precedes the answer, as <think>…</think> split over deltas
	Tool      string        // Agent only: a tool of this name is called before the answer
	Files     []MadeFile    // that the app makes; an EmptyAnswer with them is nothing but files
	Sources   []string      // names of documents that the answer rests on
	NodeBytes int           // Chatflow only: about so many bytes more that the model's node says of itself at its end
	Linger    time.Duration // how long the connection stays open after the last event (title generation, ≤ 1.10)
	Fault     Fault
	Repeat    int // how many calls the fault lasts, 0 = all; counted by SetBehaviour, not for a Script
	// Fixture is a file of testdata/dify/sse to replay byte by byte, at the pace of FirstText and Total. Its ids
	// become the run's. Of the faults within the stream all but Replace, EmptyAnswer and Hang work with it.
	Fixture string
	Form    *Form // of a Pause; nil = the usual
}

// maxNodeBytes bounds Behaviour.NodeBytes.
const maxNodeBytes = 1 << 30

// behaviourJSON is a Behaviour on the wire of the control endpoint: durations as "1.5s", the fault as its text.
type behaviourJSON struct {
	FirstText Duration   `json:"firstText,omitzero"`
	Total     Duration   `json:"total,omitzero"`
	Answer    string     `json:"answer,omitempty"`
	Length    int        `json:"length,omitempty"`
	Think     string     `json:"think,omitempty"`
	Tool      string     `json:"tool,omitempty"`
	Files     []MadeFile `json:"files,omitempty"`
	Sources   []string   `json:"sources,omitempty"`
	NodeBytes int        `json:"nodeBytes,omitempty"`
	Linger    Duration   `json:"linger,omitzero"`
	Fault     Fault      `json:"fault,omitzero"`
	Repeat    int        `json:"repeat,omitempty"`
	Fixture   string     `json:"fixture,omitempty"`
	Form      *Form      `json:"form,omitempty"`
}

// Duration is written as "1.5s".
type Duration time.Duration

// MarshalText gives "1.5s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// MarshalJSON gives durations as "1.5s" and the fault as Fault.String does.
func (b Behaviour) MarshalJSON() ([]byte, error) {
	return json.Marshal(behaviourJSON{
		Duration(b.FirstText), Duration(b.Total), b.Answer, b.Length, b.Think, b.Tool,
		b.Files, b.Sources, b.NodeBytes, Duration(b.Linger), b.Fault, b.Repeat, b.Fixture, b.Form,
	})
}

// UnmarshalJSON reads what MarshalJSON writes; unknown members and impossible values are errors.
func (b *Behaviour) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var wire behaviourJSON
	if err := decoder.Decode(&wire); err != nil {
		return fmt.Errorf("reading a behaviour: %w", err)
	}
	read := Behaviour{
		time.Duration(wire.FirstText), time.Duration(wire.Total), wire.Answer, wire.Length, wire.Think, wire.Tool,
		wire.Files, wire.Sources, wire.NodeBytes, time.Duration(wire.Linger), wire.Fault, wire.Repeat, wire.Fixture, wire.Form,
	}
	if err := read.Validate(); err != nil {
		return err
	}
	*b = read
	return nil
}

// Validate tells whether the behaviour is possible: no negative number, a known fault, an existing fixture.
func (b *Behaviour) Validate() error {
	if b.FirstText < 0 || b.Total < 0 || b.Linger < 0 || b.Repeat < 0 || b.Length < 0 || b.Length > maxLength {
		return fmt.Errorf("behaviour: a duration or number is negative, or the length above %d", maxLength)
	}
	if b.NodeBytes < 0 || b.NodeBytes > maxNodeBytes || len(b.Files) > maxFiles {
		return fmt.Errorf("behaviour: more than %d files, or not 0 to %d bytes of a node", maxFiles, maxNodeBytes)
	}
	if err := b.Fault.validate(); err != nil {
		return err
	}
	if b.Fixture != "" {
		if _, err := recordedStream(b.Fixture); err != nil {
			return err
		}
	}
	return nil
}

// standing is the behaviour in force, and how many calls its fault still lasts.
type standing struct {
	behaviour Behaviour
	left      atomic.Int64
}

func (s *standing) next() Behaviour {
	b := s.behaviour
	if b.Repeat > 0 && s.left.Add(-1) < 0 {
		b.Fault = Fault{}
	}
	return b
}
