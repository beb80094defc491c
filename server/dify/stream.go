package dify

import (
	"errors"
	"io"
	"slices"
	"strings"
)

// verdict says what to do after an event.
type verdict int

const (
	ignored  verdict = iota // a ping, or not an event of Dify's: no sign of progress
	progress                // continue
	ending                  // the answer is complete, but more may follow within endGrace
	ended                   // the answer is complete, or has failed
)

// stream builds an answer from the events of a stream.
type stream struct {
	version string // of Dify, empty if unknown
	lex     lexer  // reused
	ev      event  // reused

	text    text
	ids     ids
	files   files
	forms   []Form
	usage   Usage
	sources []string
	err     *Error

	pings, events int

	foreign          bool // some data was not an event of Dify's
	markup           bool // the body looks like HTML
	workflow         bool // the app is a chatflow
	begun            bool // a node or a tool has started
	agentText        bool // agent_message had text
	hadText          bool // some event had text, even if message_replace has removed it
	moderated        bool // after message_replace
	errorWithoutCode bool // an error event had neither code nor message
	stopped          bool
	paused           bool
	finished         bool // after workflow_finished or workflow_paused
	messageEnded     bool // after message_end
}

// handle reads and applies an event.
func (s *stream) handle(data pieces) verdict {
	s.ev.reset()
	s.lex = lexer{src: data}
	if s.lex.peek() == 0 && errors.Is(s.lex.err, io.EOF) {
		return ignored // no data
	}
	whole := s.lex.members(s.member) && s.lex.atEnd()
	switch {
	case s.lex.discarded:
		if s.ev.kind == pingEvent {
			return s.ping()
		}
	case !whole:
		brokeOff := s.lex.err != nil && !errors.Is(s.lex.err, io.EOF) && !errors.Is(s.lex.err, errSyntax)
		s.foreign = s.foreign || !brokeOff
		return ignored
	case s.ev.kind == noEvent:
		s.foreign = true
		return ignored
	}
	s.ids.merge(&s.ev.ids)
	if s.ev.kind == pingEvent {
		return s.ping()
	}
	s.events++
	return s.apply()
}

func (s *stream) ping() verdict {
	s.pings++
	return ignored
}

func (s *stream) apply() verdict {
	ev := &s.ev
	switch ev.kind {
	case messageEvent:
		s.message(ev.answer)
	case agentMessage:
		s.agentText = s.agentText || len(ev.answer) > 0
		s.append(ev.answer)
	case agentThought:
		s.begun = s.begun || ev.tool
	case messageFile:
		// 1.11.2 to 1.12.1 call every delta that, if the message has a file (langgenius/dify#31888).
		if ev.file.url == "" {
			s.append(ev.answer)
		} else if ev.file.belongsTo != "user" {
			s.files.add(ev.file)
		}
	case messageReplace:
		return s.moderate(ev.answer)
	case messageEnd:
		return s.messageEnd()
	case errorEvent:
		return s.failed()
	case workflowStarted:
		s.workflow = true
	case nodeEvent:
		s.workflow = true
		s.begun = s.begun || ev.nodeType != "start"
	case withinNode:
		s.workflow, s.begun = true, true
	case formRequired:
		s.addForm(ev.form)
	case workflowPaused:
		s.pause()
		return ending
	case workflowFinished:
		return s.workflowFinished()
	case noEvent, otherEvent, pingEvent:
	}
	return progress
}

func (s *stream) append(delta []byte) {
	s.hadText = s.hadText || len(delta) > 0
	if !s.moderated {
		s.text.append(delta)
	}
}

// message applies a message event: a delta, or for apps of mode agent the whole answer after its agent_message deltas.
func (s *stream) message(answer []byte) {
	if s.agentText && len(answer) > 0 && !s.moderated {
		s.agentText = false
		s.text.replace(answer)
		return
	}
	s.append(answer)
}

// moderate applies message_replace, which only moderation of the output sends. Its text is the whole answer, whatever
// deltas and status follow.
func (s *stream) moderate(answer []byte) verdict {
	s.text.replace(answer)
	s.moderated, s.hadText = true, true
	if s.messageEnded {
		return ended
	}
	return ending
}

func (s *stream) messageEnd() verdict {
	s.messageEnded = true
	tokens := s.usage.TotalTokens // of a workflow_finished before
	s.usage, s.sources = s.ev.usage, s.ev.sources
	s.usage.TotalTokens = max(s.usage.TotalTokens, tokens)
	s.addFiles()
	if s.workflow && !s.finished && !s.hadText {
		return ending // from 1.13.1 on workflow_finished follows, and may have the answer
	}
	return ended
}

// addFiles adds the files that an event lists, except the user's uploads.
func (s *stream) addFiles() {
	for _, f := range s.ev.files {
		if !f.isUpload(s.workflow) {
			s.files.add(f)
		}
	}
}

// addForm adds a form that a person has to fill in.
func (s *stream) addForm(f Form) {
	if f.ID != "" && len(s.forms) < maxForms {
		s.forms = append(s.forms, f)
	}
}

// pause applies workflow_paused. Its reasons repeat the forms that are still open.
func (s *stream) pause() {
	s.paused, s.finished = true, true
	s.usage.TotalTokens = max(s.usage.TotalTokens, s.ev.tokens)
	if len(s.ev.forms) == 0 {
		return
	}
	for i := range s.ev.forms {
		known := slices.IndexFunc(s.forms, func(f Form) bool { return f.ID == s.ev.forms[i].ID })
		if known >= 0 && s.ev.forms[i].Content == "" {
			s.ev.forms[i] = s.forms[known]
		}
	}
	s.forms = s.ev.forms
}

func (s *stream) workflowFinished() verdict {
	ev := &s.ev
	s.workflow, s.finished = true, true
	s.usage.TotalTokens = max(s.usage.TotalTokens, ev.tokens)
	// From 1.11 on, a stop by another user of the API has the status of a failure.
	switch {
	case ev.runStatus == "stopped" || strings.HasPrefix(ev.message, "Aborted: User requested stop"):
		s.stopped = !s.moderated // moderation stops the run too
	case ev.runStatus == "failed" && !s.moderated:
		s.err = workflowFailure("chat", 0, ev.message)
		return ended
	}
	if !s.hadText { // outputs has the text from before a moderation
		s.append(ev.output)
	}
	s.addFiles()
	if s.messageEnded {
		return ended
	}
	return ending // up to 1.12 message_replace and message_end follow
}

// failed applies an error event. After 1.14.2, that of a worker has no code.
func (s *stream) failed() verdict {
	ev := &s.ev
	if s.moderated {
		return ended
	}
	status := ev.status
	if status == 0 {
		status = 500
	}
	s.err = streamError(status, ev.code, ev.message)
	s.errorWithoutCode = ev.code == "" && ev.message == ""
	return ended
}

// complete reports whether the answer is complete even if the stream breaks now.
func (s *stream) complete() bool { return s.messageEnded || s.finished || s.moderated }

// runContinues reports whether Dify continues the run without this client.
func (s *stream) runContinues() bool { return s.workflow && !s.finished && runsInWorker(s.version) }

func (s *stream) update() Update {
	return Update{
		Text:           s.text.b.String(),
		ConversationID: s.ids.ConversationID, TaskID: s.ids.TaskID, MessageID: s.ids.MessageID,
		Begun: s.begun,
	}
}

// result returns the answer so far.
func (s *stream) result() Answer {
	a := Answer{
		Text: s.text.b.String(), Cut: s.text.cut,
		ConversationID: s.ids.ConversationID, TaskID: s.ids.TaskID, MessageID: s.ids.MessageID,
		Usage: s.usage, Sources: s.sources, Files: s.files.list, Begun: s.begun, Moderated: s.moderated, Stopped: s.stopped,
	}
	if s.paused {
		a.Pause = &Pause{RunID: s.ids.RunID, Forms: s.forms}
		if !takesForms(s.version) {
			for i := range a.Pause.Forms {
				a.Pause.Forms[i].Token = ""
			}
		}
	}
	return a
}
