package dify

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
)

// Info is an app's description of itself.
type Info struct {
	Name, Description string
	// Mode is chat, agent-chat, advanced-chat (a chatflow), agent, completion or workflow; empty before about 1.4.
	Mode string
	// Version is Dify's, such as 1.13.3; empty if a proxy removes it.
	Version string
}

// OutlivesClient reports whether a run continues without its client, so that Messages has its answer later. That is so for
// chatflows since 1.13, which run in a worker. Other apps lose the answer with the connection.
func (i Info) OutlivesClient() bool { return i.Mode == "advanced-chat" && runsInWorker(i.Version) }

// runsInWorker reports whether a release runs chatflows in a worker.
func runsInWorker(version string) bool { return since(version, 13) }

// takesForms reports whether a release's service API takes forms.
func takesForms(version string) bool { return since(version, 14) }

// since reports whether a version is at least 1.minor. An unknown one is taken for a new one.
func since(version string, minor int) bool {
	var major, have int
	if _, err := fmt.Sscanf(version, "%d.%d.", &major, &have); err != nil {
		return true
	}
	return major > 1 || major == 1 && have >= minor
}

// Info reads the app's name and mode. It has no side effects, so it can probe the key. A response without a name is a
// BadResponse.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var i Info
	r := request{op: "info", method: http.MethodGet, path: []string{"info"}}
	header, err := c.call(ctx, r, func(l *lexer, name []byte) {
		switch string(name) {
		case "name":
			i.Name = l.prefix(maxTitle)
		case "description":
			i.Description = l.prefix(maxForm)
		case "mode":
			i.Mode = l.short(maxTitle)
		default:
			l.skip()
		}
	})
	if err != nil {
		return Info{}, err
	}
	if i.Name == "" {
		return Info{}, &Error{Op: r.op, Kind: BadResponse, Status: http.StatusOK}
	}
	i.Version = prefix(header.Get("X-Version"), 64)
	return i, nil
}

// Parameters are an app's settings.
type Parameters struct {
	// OpeningStatement is the app's greeting, which is not part of any answer. See Filled.
	OpeningStatement   string
	SuggestedQuestions []string // shown with the opening statement
	SuggestedAfter     bool     // Suggested is enabled
	SpeechToText       bool     // AudioToText is enabled
	TextToSpeech       bool     // TextToAudio is enabled
	Inputs             []Input
	FileUpload         FileUpload
}

// Input is a variable of the app's form.
type Input struct {
	Type      string // text-input, paragraph, select, number, checkbox, file or file-list
	Variable  string
	Label     string
	Default   string // of Dify if no value is sent
	Required  bool
	MaxLength int      // in characters, 0 for none
	Options   []string // of a select
}

// FileUpload are the settings of files in questions.
type FileUpload struct {
	Enabled bool     // at least for images
	Types   []string // image, document, audio, video, custom
	Methods []string // local_file, remote_url
	Limit   int      // files of a question, 0 if unknown
}

// Pictures returns how many pictures a question may have, and whether they may be uploaded: if not, Dify takes only addresses.
func (u FileUpload) Pictures() (most int, upload bool) {
	if !u.Enabled || len(u.Types) > 0 && !slices.Contains(u.Types, "image") {
		return 0, false
	}
	return max(u.Limit, 1), len(u.Methods) == 0 || slices.Contains(u.Methods, "local_file")
}

// Required returns the required variables. Without them Dify refuses a question, or hangs (chatflows from 1.13 on).
func (p Parameters) Required() []string {
	var names []string
	for _, in := range p.Inputs {
		if in.Required {
			names = append(names, in.Variable)
		}
	}
	return names
}

// Bounds of what is kept of an app's settings.
const (
	maxInputs  = 100 // variables, options of one, suggested questions
	maxOpening = 64 << 10
)

// Parameters reads the app's settings. An app that was never published is AppUnavailable. A response without
// user_input_form is a BadResponse.
func (c *Client) Parameters(ctx context.Context) (Parameters, error) {
	var p Parameters
	var upload wireUpload
	hasForm := false
	r := request{op: "parameters", method: http.MethodGet, path: []string{"parameters"}}
	_, err := c.call(ctx, r, func(l *lexer, name []byte) {
		switch string(name) {
		case "opening_statement":
			p.OpeningStatement = l.prefix(maxOpening)
		case "suggested_questions":
			p.SuggestedQuestions = l.strings()
		case "suggested_questions_after_answer":
			p.SuggestedAfter = l.enabled()
		case "speech_to_text":
			p.SpeechToText = l.enabled()
		case "text_to_speech":
			p.TextToSpeech = l.enabled()
		case "user_input_form":
			hasForm = true
			l.elements(func() {
				l.members(func(kind []byte) { // one member
					if in := readInput(l, string(kind)); in.Variable != "" && len(p.Inputs) < maxInputs {
						p.Inputs = append(p.Inputs, in)
					}
				})
			})
		case "file_upload":
			l.members(func(name []byte) { upload.member(l, name) })
		default:
			l.skip()
		}
	})
	if err != nil {
		return Parameters{}, err
	}
	if !hasForm {
		return Parameters{}, &Error{Op: r.op, Kind: BadResponse, Status: http.StatusOK}
	}
	p.FileUpload = upload.fileUpload()
	return p, nil
}

func readInput(l *lexer, kind string) Input {
	in := Input{Type: kind}
	l.members(func(name []byte) {
		switch string(name) {
		case "variable":
			in.Variable = l.short(maxTitle)
		case "label":
			in.Label = l.prefix(maxTitle)
		case "default":
			in.Default = l.value(maxForm)
		case "required":
			in.Required = l.boolean()
		case "max_length":
			in.MaxLength = int(clamp(l.number(), maxTokens))
		case "options":
			in.Options = l.strings()
		default:
			l.skip()
		}
	})
	return in
}

// wireUpload is file_upload. Since 0.10 it has settings for all files beside those for images.
type wireUpload struct{ any, image FileUpload }

func (w *wireUpload) member(l *lexer, name []byte) {
	if string(name) == "image" {
		w.image.Types = []string{"image"}
		l.members(func(name []byte) { readUpload(&w.image, l, name) })
		return
	}
	readUpload(&w.any, l, name)
}

func readUpload(u *FileUpload, l *lexer, name []byte) {
	switch string(name) {
	case "enabled":
		u.Enabled = l.boolean()
	case "allowed_file_types":
		u.Types = l.strings()
	case "allowed_file_upload_methods", "transfer_methods":
		u.Methods = l.strings()
	case "number_limits":
		u.Limit = int(clamp(l.number(), maxTokens))
	default:
		l.skip()
	}
}

// fileUpload prefers the settings for any file.
func (w *wireUpload) fileUpload() FileUpload {
	switch {
	case w.any.Enabled:
		if len(w.any.Methods) == 0 {
			w.any.Methods = w.image.Methods
		}
		w.any.Limit = cmp.Or(w.any.Limit, w.image.Limit)
		return w.any
	case w.image.Enabled:
		return w.image
	}
	return FileUpload{}
}

// strings reads an array of strings.
func (l *lexer) strings() []string {
	var list []string
	l.elements(func() {
		if s := l.prefix(maxForm); s != "" && len(list) < maxInputs {
			list = append(list, s)
		}
	})
	return list
}

// enabled reads the member enabled of an object.
func (l *lexer) enabled() (on bool) {
	l.members(func(name []byte) {
		if string(name) == "enabled" {
			on = l.boolean()
		} else {
			l.skip()
		}
	})
	return on
}

// value reads a string, number or boolean as text of at most limit bytes.
func (l *lexer) value(limit int) string {
	if !l.isLiteral() {
		return l.prefix(limit)
	}
	var room [32]byte
	if s := string(l.literal(room[:0])); s != "null" {
		return s
	}
	return ""
}
