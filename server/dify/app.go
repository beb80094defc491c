package dify

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// Info is what an app says of itself.
type Info struct {
	Name, Description string
	// Mode is chat, agent-chat, advanced-chat (a chatflow), agent, completion or workflow; empty before about 1.4.
	Mode string
	// Version is Dify's, such as 1.13.3; a proxy may take it away.
	Version string
}

// OutlivesClient tells whether a run of the app goes on when its client is gone, and its answer is found in Messages:
// chatflows do since 1.13, which runs them in a worker. All others lose the answer with the connection.
func (i Info) OutlivesClient() bool {
	var major, minor int
	if _, err := fmt.Sscanf(i.Version, "%d.%d.", &major, &minor); err != nil {
		major, minor = 1, 13 // hidden: most likely it is new
	}
	return i.Mode == "advanced-chat" && (major > 1 || major == 1 && minor >= 13)
}

// Info reads the app's name and mode. It has no side effect in Dify, so it serves as a probe of the key.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var body struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Mode        string `json:"mode"`
	}
	header, err := c.call(ctx, request{op: "info", method: http.MethodGet, path: []string{"info"}}, &body)
	if err != nil {
		return Info{}, err
	}
	return Info{
		Name: body.Name, Description: body.Description, Mode: body.Mode, Version: prefix(header.Get("X-Version"), 64),
	}, nil
}

// Parameters are an app's settings that matter to who talks to it.
type Parameters struct {
	// OpeningStatement is what the app greets with. Dify never sends it in an answer.
	OpeningStatement   string
	SuggestedQuestions []string // shown with the opening statement
	SuggestedAfter     bool     // Suggested works
	SpeechToText       bool
	Inputs             []Input
	FileUpload         FileUpload
}

// Input is a variable of the app's form.
type Input struct {
	Type      string // text-input, paragraph, select, number, checkbox, file or file-list
	Variable  string
	Label     string
	Required  bool
	MaxLength int      // in characters, 0 for none
	Options   []string // of a select
}

// FileUpload says which files a question may have.
type FileUpload struct {
	Enabled bool     // images at least
	Types   []string // image, document, audio, video, custom
	Methods []string // local_file, remote_url
	Limit   int      // files of a question, 0 if not said
}

// Required returns the variables without which Dify refuses every question, or hangs (chatflows from 1.13 on).
func (p Parameters) Required() []string {
	var names []string
	for _, in := range p.Inputs {
		if in.Required {
			names = append(names, in.Variable)
		}
	}
	return names
}

type enabled struct {
	Enabled bool `json:"enabled"`
}

type wireInput struct {
	Variable  string   `json:"variable"`
	Label     string   `json:"label"`
	Required  bool     `json:"required"`
	MaxLength int      `json:"max_length"`
	Options   []string `json:"options"`
}

type wireFileUpload struct {
	enabled
	AllowedFileTypes   []string `json:"allowed_file_types"`
	AllowedFileMethods []string `json:"allowed_file_upload_methods"`
	NumberLimits       int      `json:"number_limits"`
	Image              struct {
		enabled
		NumberLimits    int      `json:"number_limits"`
		TransferMethods []string `json:"transfer_methods"`
	} `json:"image"`
}

// fileUpload prefers the settings for any file, which 0.10 brought, to those for images only.
func (w *wireFileUpload) fileUpload() FileUpload {
	switch {
	case w.Enabled:
		return FileUpload{Enabled: true, Types: w.AllowedFileTypes, Methods: w.AllowedFileMethods, Limit: w.NumberLimits}
	case w.Image.Enabled:
		return FileUpload{Enabled: true, Types: []string{"image"}, Methods: w.Image.TransferMethods, Limit: w.Image.NumberLimits}
	}
	return FileUpload{}
}

// Parameters reads the app's settings. An app that was never published is AppUnavailable.
func (c *Client) Parameters(ctx context.Context) (Parameters, error) {
	var body struct {
		OpeningStatement   string                 `json:"opening_statement"`
		SuggestedQuestions []string               `json:"suggested_questions"`
		SuggestedAfter     enabled                `json:"suggested_questions_after_answer"`
		SpeechToText       enabled                `json:"speech_to_text"`
		UserInputForm      []map[string]wireInput `json:"user_input_form"`
		FileUpload         wireFileUpload         `json:"file_upload"`
	}
	if _, err := c.call(ctx, request{op: "parameters", method: http.MethodGet, path: []string{"parameters"}}, &body); err != nil {
		return Parameters{}, err
	}
	p := Parameters{
		OpeningStatement:   body.OpeningStatement,
		SuggestedQuestions: body.SuggestedQuestions,
		SuggestedAfter:     body.SuggestedAfter.Enabled,
		SpeechToText:       body.SpeechToText.Enabled,
		FileUpload:         body.FileUpload.fileUpload(),
	}
	for _, item := range body.UserInputForm {
		for _, kind := range slices.Sorted(maps.Keys(item)) { // one, in every release
			in := item[kind]
			p.Inputs = append(p.Inputs, Input{
				Type: kind, Variable: in.Variable, Label: in.Label, Required: in.Required, MaxLength: in.MaxLength,
				Options: in.Options,
			})
		}
	}
	return p, nil
}
