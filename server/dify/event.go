package dify

import (
	"math"
	"slices"
	"strings"
	"time"
)

// kind is the type of a stream's event.
type kind int

const (
	noEvent kind = iota // not read yet, or not an event of Dify's
	otherEvent
	pingEvent
	messageEvent
	agentMessage
	agentThought
	messageFile
	messageReplace
	messageEnd
	errorEvent
	workflowStarted
	nodeEvent  // a node starts, ends or is retried
	withinNode // something happens in a node
	formRequired
	workflowPaused
	workflowFinished
)

func kindOf(name []byte) kind {
	switch string(name) {
	case "message":
		return messageEvent
	case "agent_message":
		return agentMessage
	case "agent_thought":
		return agentThought
	case "message_file":
		return messageFile
	case "message_replace":
		return messageReplace
	case "message_end":
		return messageEnd
	case "error":
		return errorEvent
	case "workflow_started":
		return workflowStarted
	case "node_started", "node_finished", "node_retry":
		return nodeEvent
	case "iteration_started", "loop_started", "parallel_branch_started", "agent_log":
		return withinNode
	case "human_input_required":
		return formRequired
	case "workflow_paused":
		return workflowPaused
	case "workflow_finished":
		return workflowFinished
	case "ping":
		return pingEvent
	case "":
		return noEvent
	}
	return otherEvent
}

// event has the fields of one event that an answer is built from. The slices are reused.
type event struct {
	kind kind
	ids  ids

	answer []byte   // message, agent_message, message_replace, and message_file of 1.11.2 to 1.12.1
	file   wireFile // message_file
	tool   bool     // agent_thought: a tool is called

	code, message string // error; message also of a workflow_finished that failed
	status        int

	usage   Usage // message_end
	tokens  int   // workflow_finished, workflow_paused: in all
	sources []string
	files   []wireFile

	runStatus string // workflow_finished
	output    []byte
	nodeType  string // of a nodeEvent
	form      Form   // human_input_required
	forms     []Form // workflow_paused
}

// reset prepares for the next event. Large buffers are not kept.
func (e *event) reset() {
	const roomy = 4 << 10
	answer, output := e.answer[:0], e.output[:0]
	if cap(answer) > roomy {
		answer = nil
	}
	if cap(output) > roomy {
		output = nil
	}
	*e = event{answer: answer, output: output}
}

// ids are the same in every event of a stream, so they are read only once.
type ids struct {
	ConversationID, MessageID, TaskID string
	RunID                             string // of a workflow
}

func (i *ids) complete() bool { return i.ConversationID != "" && i.MessageID != "" && i.TaskID != "" }

// merge sets the IDs that are not known yet.
func (i *ids) merge(from *ids) {
	set := func(known *string, id string) {
		if *known == "" {
			*known = id
		}
	}
	set(&i.ConversationID, from.ConversationID)
	set(&i.MessageID, from.MessageID)
	set(&i.TaskID, from.TaskID)
	set(&i.RunID, from.RunID)
}

// Bounds of what is kept of an event, in bytes.
const (
	maxMessage  = 4 << 10 // of an error
	maxURL      = 4 << 10
	maxFilename = 255
	maxForm     = 16 << 10
	maxTitle    = 255
)

// member reads a member of an event. The rest of an event that does not matter is discarded.
func (s *stream) member(name []byte) {
	l, ev := &s.lex, &s.ev
	switch string(name) {
	case "event":
		var room [64]byte
		ev.kind = kindOf(l.text(room[:0], len(room)-4))
		if s.ids.complete() && !s.matters(ev.kind) {
			l.discard()
		}
	case "conversation_id":
		s.id(&s.ids.ConversationID, &ev.ids.ConversationID)
	case "message_id":
		s.id(&s.ids.MessageID, &ev.ids.MessageID)
	case "task_id":
		s.id(&s.ids.TaskID, &ev.ids.TaskID)
	case "workflow_run_id":
		s.id(&s.ids.RunID, &ev.ids.RunID)
	case "answer":
		ev.answer = l.text(ev.answer[:0], MaxText)
		if (ev.kind == messageEvent || ev.kind == agentMessage) && s.ids.complete() && l.more() {
			l.discard() // a delta has nothing else
		}
	case "type", "url", "belongs_to":
		ev.file.member(l, name)
	case "tool":
		ev.tool = l.short(maxTitle) != ""
	case "code":
		ev.code = l.short(maxCode)
	case "status":
		s.readStatus()
	case "message":
		ev.message = l.prefix(maxMessage)
	case "metadata":
		l.members(func(name []byte) {
			switch string(name) {
			case "usage":
				ev.usage = readUsage(l)
			case "retriever_resources":
				ev.sources = readSources(l, ev.sources)
			default:
				l.skip()
			}
		})
	case "files":
		ev.files = readFiles(l, ev.files)
	case "data":
		l.members(s.dataMember)
	default:
		l.skip()
	}
}

// readStatus reads an error's status, a number, or "paused" of an answer in one piece.
func (s *stream) readStatus() {
	if s.lex.isLiteral() {
		s.ev.status = int(max(min(s.lex.number(), 999), 0))
		return
	}
	s.ev.runStatus = s.lex.short(maxTitle)
}

// id reads an ID that is not known yet. Its length is bounded because it is stored.
func (s *stream) id(known, into *string) {
	if *known != "" {
		s.lex.skip()
		return
	}
	*into = s.lex.short(maxID)
}

// dataMember reads a member of a workflow event's data.
func (s *stream) dataMember(name []byte) {
	l, ev := &s.lex, &s.ev
	switch string(name) {
	case "status":
		ev.runStatus = l.short(maxTitle)
	case "error":
		ev.message = l.prefix(maxMessage)
	case "total_tokens":
		ev.tokens = readTokens(l)
	case "outputs":
		l.members(func(name []byte) {
			switch {
			case string(name) == "answer" && !s.hadText:
				ev.output = l.text(ev.output[:0], MaxText)
			case string(name) == "files":
				ev.files = readFiles(l, ev.files)
			default:
				l.skip()
			}
		})
	case "files":
		ev.files = readFiles(l, ev.files)
	case "node_type":
		ev.nodeType = l.short(maxTitle)
		if ev.kind == nodeEvent && s.ids.complete() {
			l.discard()
		}
	case "reasons":
		l.elements(func() {
			var f Form
			l.members(func(name []byte) { f.member(l, name) })
			if f.ID != "" && len(ev.forms) < maxForms {
				ev.forms = append(ev.forms, f)
			}
		})
	default:
		ev.form.member(l, name)
	}
}

// matters reports whether the answer depends on events of this kind. The others, node_finished above all, are most of a
// chatflow's bytes.
func (s *stream) matters(k kind) bool {
	switch k {
	case otherEvent, pingEvent:
		return false
	case nodeEvent, withinNode, agentThought:
		return !s.begun
	default:
		return true
	}
}

// maxSources is the maximum number of documents that an answer names; the others are dropped.
const maxSources = 10

// readSources reads the names of the documents that an answer rests on, each once.
func readSources(l *lexer, into []string) []string {
	l.elements(func() {
		l.members(func(name []byte) {
			if string(name) != "document_name" {
				l.skip()
				return
			}
			document := strings.TrimSpace(l.prefix(maxFilename))
			if document != "" && len(into) < maxSources && !slices.Contains(into, document) {
				into = append(into, document)
			}
		})
	})
	return into
}

// readUsage reads an answer's usage. Its numbers are clamped to what is possible.
func readUsage(l *lexer) (u Usage) {
	l.members(func(name []byte) {
		switch string(name) {
		case "prompt_tokens":
			u.PromptTokens = readTokens(l)
		case "completion_tokens":
			u.CompletionTokens = readTokens(l)
		case "total_tokens":
			u.TotalTokens = readTokens(l)
		case "total_price":
			u.TotalPrice = clamp(l.number(), maxPrice)
		case "currency":
			u.Currency = currency(l.short(maxTitle))
		default:
			l.skip()
		}
	})
	u.TotalTokens = min(max(u.TotalTokens, u.PromptTokens+u.CompletionTokens), maxTokens)
	return u
}

func readTokens(l *lexer) int { return int(clamp(l.number(), maxTokens)) }

// clamp returns f, at least 0 and at most limit.
func clamp(f, limit float64) float64 { return math.Max(0, math.Min(f, limit)) }

// currency returns s if it has three capital letters, else "": it becomes a metric label.
func currency(s string) string {
	if len(s) != 3 {
		return ""
	}
	for _, c := range []byte(s) {
		if c < 'A' || c > 'Z' {
			return ""
		}
	}
	return s
}

// member reads a member of a form.
func (f *Form) member(l *lexer, name []byte) {
	switch string(name) {
	case "form_id":
		f.ID = l.short(maxID)
	case "form_token":
		f.Token = l.short(maxTitle)
	case "node_title":
		f.Title = l.prefix(maxTitle)
	case "form_content":
		f.Content = l.prefix(maxForm)
	case "expiration_time":
		if seconds := l.number(); seconds > 0 && seconds < math.MaxInt32*100 {
			f.Expires = time.Unix(int64(seconds), 0)
		}
	case "inputs":
		l.elements(func() {
			var in FormInput
			l.members(func(name []byte) {
				switch string(name) {
				case "type":
					in.Type = l.short(maxTitle)
				case "output_variable_name":
					in.Variable = l.short(maxTitle)
				default:
					l.skip()
				}
			})
			if in.Variable != "" && len(f.Inputs) < maxForms {
				f.Inputs = append(f.Inputs, in)
			}
		})
	case "actions", "user_actions":
		l.elements(func() {
			var a FormAction
			l.members(func(name []byte) {
				switch string(name) {
				case "id":
					a.ID = l.short(maxTitle)
				case "title":
					a.Title = l.prefix(maxTitle)
				default:
					l.skip()
				}
			})
			if a.ID != "" && len(f.Actions) < maxForms {
				f.Actions = append(f.Actions, a)
			}
		})
	default:
		l.skip()
	}
}
