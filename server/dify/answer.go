package dify

import (
	"math"
	"strconv"
	"strings"
)

// MaxText is how many bytes of an answer are kept. What follows is dropped and Answer.Cut set.
const MaxText = 256 << 10

// maxFiles is how many files of an answer are kept.
const maxFiles = 32

// Update is the state of an answer while it is being written.
type Update struct {
	// Text is the whole raw answer so far: Markdown, with the model's reasoning if the app sends it. It may be
	// replaced by other text, for instance by a moderation's.
	Text                              string
	ConversationID, TaskID, MessageID string
}

// Answer is what Dify answered. Next to an error it holds what came before it.
type Answer struct {
	// Text is the raw answer; an app may end properly without any.
	Text string
	// ConversationID is the one to continue with, even if another was sent.
	ConversationID, TaskID, MessageID string
	Usage                             Usage
	// Stopped: the workflow was stopped by Stop. A stopped chat app ends like a finished one and does not tell.
	Stopped bool
	// Paused: the workflow waits for a person's input, outside this conversation.
	Paused bool
	// Cut: the answer was longer than MaxText.
	Cut   bool
	Files []AnswerFile
}

// AnswerFile is a file that the app made. Its URL is absolute and expires, by default after 300 s.
type AnswerFile struct {
	Type     string // image, document, audio, video, custom
	URL      string
	Filename string
	MIMEType string
	Size     int64 // in bytes, 0 if unknown
}

// Usage is what an answer took. Dify may say all zeros.
type Usage struct {
	PromptTokens     int     `json:"prompt_tokens"`
	CompletionTokens int     `json:"completion_tokens"`
	TotalPrice       float64 `json:"-"`
	Currency         string  `json:"currency"` // of TotalPrice, such as USD
}

// wireUsage is Usage as Dify sends it: the price is a decimal string.
type wireUsage struct {
	Usage
	TotalPrice decimal `json:"total_price"`
}

func (w wireUsage) usage() Usage {
	w.Usage.TotalPrice = float64(w.TotalPrice)
	return w.Usage
}

// decimal reads a JSON number or a string that holds one; anything else is 0.
type decimal float64

func (d *decimal) UnmarshalJSON(b []byte) error {
	*d = 0
	f, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
		*d = decimal(f)
	}
	return nil
}

// text is an answer's growing text. A string taken of it stays valid and is not a copy.
type text struct {
	b   strings.Builder
	cut bool
}

func (t *text) append(s string) {
	if t.cut {
		return
	}
	if room := MaxText - t.b.Len(); len(s) > room {
		s = prefix(s, room)
		t.cut = true
	}
	t.b.WriteString(s)
}

func (t *text) replace(s string) {
	t.b.Reset() // lets go of the old bytes, does not write over them
	t.cut = false
	t.append(s)
}
