package dify

import "time"

// Update is the state of an answer while it is being written.
type Update struct {
	// Text is the whole raw answer so far: Markdown, with the model's reasoning if the app sends it. It may be
	// replaced by other text, for instance by a moderation's.
	Text                              string
	ConversationID, TaskID, MessageID string
	// Begun: see Answer.
	Begun bool
}

// Answer is an answer of Dify's. Next to an error it is what had arrived.
type Answer struct {
	// Text is the raw answer. It may be empty.
	Text string
	// ConversationID is the conversation to continue, which may differ from the request's.
	ConversationID, TaskID, MessageID string
	Usage                             Usage
	// Files are the files that the app made, in order. Text may link to some of them; see AnswerFile.LinkedIn.
	Files []AnswerFile
	// Sources are the names of the documents that the answer rests on, if the app tells them.
	Sources []string
	// Begun: a node of the workflow, or a tool of the agent, has started. It may have had side effects, so do not send the
	// question again.
	Begun bool
	// Moderated: the app's moderation has replaced the model's text. Text is the whole answer.
	Moderated bool
	// Stopped: the workflow was stopped by Stop. A stopped chat app ends like a finished one.
	Stopped bool
	// Pause is set if the workflow waits for a person.
	Pause *Pause
	// Cut: the answer was longer than MaxText.
	Cut bool
}

// Empty reports whether there is nothing to show: no text, no file, no form.
func (a *Answer) Empty() bool { return a.Text == "" && len(a.Files) == 0 && a.Pause == nil }

// Usage is what an answer used, as Dify reports it. It may be zero, and is never negative.
type Usage struct {
	PromptTokens, CompletionTokens int     // at most a billion
	TotalTokens                    int     // likewise; of a workflow that failed or was stopped only this is known
	TotalPrice                     float64 // at most a million
	Currency                       string  // of TotalPrice, three capital letters such as USD; empty if it is none
}

const (
	maxTokens = 1e9
	maxPrice  = 1e6
)

// Pause is the state of a workflow that waits for a person (from 1.13 on). Its run continues when a form is submitted or
// expires.
type Pause struct {
	// RunID is the workflow's run; empty if Dify has not said.
	RunID string
	// Forms are to be filled in. Some releases do not name them (langgenius/dify#35504).
	Forms []Form
}

// maxForms bounds the forms of a pause, and the inputs and actions of a form.
const maxForms = 16

// Form is a form for a person.
type Form struct {
	ID string
	// Token is needed to submit the form. It is empty for a form that was sent to somebody else by mail, and before 1.14,
	// whose service API takes none.
	Token   string
	Title   string // of the node that waits
	Content string // Markdown
	Inputs  []FormInput
	Actions []FormAction // one of them submits the form
	Expires time.Time    // zero if unknown
}

// FormInput is a field of a form.
type FormInput struct {
	Variable string
	Type     string // text_input, paragraph, …
}

// FormAction is a button of a form.
type FormAction struct{ ID, Title string }
