package dify

import (
	"net/url"
	"strings"

	"github.com/wechatbot/wechatbot-operator/server/dify/sse"
)

// verdict says what an event means for the stream.
type verdict int

const (
	ignored  verdict = iota // nothing, not even that Dify works: a ping, or no event of Dify's
	progress                // Dify works on the answer
	ending                  // the answer is there but for what may follow within a moment
	ended                   // the answer is there, or has failed: nothing more to read
)

// stream builds an answer from the events of a stream. It does no I/O.
type stream struct {
	base *url.URL // relative URLs of files refer to it
	ev   event    // reused

	text   text
	ids    ids
	answer Answer // text and ids are set at the end
	err    *Error

	pings, events int

	foreign       bool // data came that is no event of Dify's
	workflow      bool // it is a chatflow's stream
	agentSpoke    bool // text came in agent_message
	gaveText      bool // text came in any event, even if it was replaced by none
	namelessError bool // error came without code and message
	finished      bool // workflow_finished or workflow_paused came
	messageDone   bool // message_end came
}

// take takes one event in.
func (s *stream) take(e sse.Event) verdict {
	if len(e.Data) == 0 {
		if string(e.Type) == "ping" {
			s.pings++
		}
		return ignored
	}
	name := peek(e.Data)
	switch {
	case string(name) == "ping":
		s.pings++
		return ignored
	case e.TooLong:
		s.events++
		return s.tooLong(string(name))
	case name != nil && s.ids.complete() && !matters(name):
		s.events++
		return progress
	}
	known, ok := s.decode(name, e.Data)
	if !ok {
		s.foreign = s.foreign || !e.Truncated
		return ignored
	}
	s.events++
	s.ids.adopt(s.ev.ids)
	return s.on(known)
}

// decode fills s.ev with what is not yet known, and returns the event's type.
func (s *stream) decode(name, data []byte) (string, bool) {
	s.ev = event{}
	if !s.ids.complete() || name == nil {
		err := decode(data, &s.ev)
		return s.ev.Event, err == nil && s.ev.Event != ""
	}
	switch string(name) {
	case "message":
		s.ev.Event = "message"
	case "agent_message":
		s.ev.Event = "agent_message"
	default:
		return string(name), decode(data, &s.ev.content) == nil
	}
	var sure bool
	if s.ev.Answer, sure = deltaOf(data); !sure {
		return s.ev.Event, decode(data, &s.ev.content) == nil
	}
	return s.ev.Event, true
}

func (s *stream) on(name string) verdict {
	ev := &s.ev
	switch name {
	case "message":
		s.message(ev.Answer)
	case "agent_message":
		s.agentSpoke = s.agentSpoke || ev.Answer != ""
		s.append(ev.Answer)
	case "message_file":
		// 1.11.2 to 1.12.1 call every delta that, if the message has a file (langgenius/dify#31888).
		if ev.URL == "" {
			s.append(ev.Answer)
		} else if ev.BelongsTo != "user" {
			s.addFile(wireFile{Type: ev.Type, URL: ev.URL})
		}
	case "message_replace":
		s.text.replace(ev.Answer)
		s.gaveText = true
		s.agentSpoke = false
	case "message_end":
		return s.messageEnd()
	case "error":
		return s.failed()
	case "workflow_started":
		s.workflow = true
	case "workflow_finished":
		return s.workflowFinished()
	case "workflow_paused":
		s.answer.Paused = true
		s.finished = true
		return ending
	case "ping":
		return ignored
	}
	return progress
}

func (s *stream) append(delta string) {
	s.gaveText = s.gaveText || delta != ""
	s.text.append(delta)
}

// message takes a delta, or the whole answer: apps of mode agent stream agent_message, then repeat the answer in one
// message.
func (s *stream) message(answer string) {
	if s.agentSpoke && answer != "" {
		s.agentSpoke = false
		s.text.replace(answer)
		return
	}
	s.append(answer)
}

func (s *stream) messageEnd() verdict {
	s.messageDone = true
	s.answer.Usage = s.ev.Metadata.Usage.usage()
	if s.workflow { // a chat app lists the user's own uploads there
		for _, f := range s.ev.Files {
			s.addFile(f)
		}
	}
	if s.workflow && !s.finished && !s.gaveText {
		return ending // workflow_finished, which follows from 1.13.1 on, may have the answer
	}
	return ended
}

func (s *stream) workflowFinished() verdict {
	d := &s.ev.Data
	s.finished = true
	// A stop by another API user, from 1.11 on, ends like a failure.
	if d.Status == "stopped" || strings.HasPrefix(d.Error, "Aborted: User requested stop") {
		s.answer.Stopped = true
	} else if d.Status == "failed" {
		s.err = &Error{Op: "chat", Kind: WorkflowFailed}
		s.err.describe("", d.Error)
		return ended
	}
	if !s.gaveText { // outputs has the text from before a moderation, so it may not take the place of any
		s.append(d.Outputs.Answer)
	}
	if s.messageDone {
		return ended
	}
	return ending // up to 1.12 message_replace and message_end follow
}

// failed takes an error event. One of a worker has no code (releases after 1.14.2).
func (s *stream) failed() verdict {
	ev := &s.ev
	status := ev.Status
	if status == 0 {
		status = 500
	}
	s.err = &Error{Op: "chat", Status: status, Kind: classify(status, ev.Code, ev.Message)}
	s.err.describe(ev.Code, ev.Message)
	s.namelessError = ev.Code == "" && ev.Message == ""
	return ended
}

// tooLong judges an event that exceeded the parser's bound by its type.
func (s *stream) tooLong(name string) verdict {
	switch name {
	case "workflow_finished":
		s.finished = true
		if s.messageDone {
			return ended
		}
		return ending
	case "message_end":
		s.messageDone = true
		return ended
	}
	return progress
}

// addFile adds a file of the answer, its URL made absolute. Dify gives paths while FILES_URL is unset.
func (s *stream) addFile(f wireFile) {
	if f.URL == "" {
		f.URL = f.RemoteURL
	}
	u, err := s.base.Parse(f.URL)
	if f.URL == "" || err != nil || u.Scheme != "http" && u.Scheme != "https" || len(s.answer.Files) >= maxFiles {
		return
	}
	s.answer.Files = append(s.answer.Files, AnswerFile{
		Type: f.Type, URL: u.String(), Filename: f.Filename, MIMEType: f.MIMEType, Size: f.Size,
	})
}

func (s *stream) complete() bool { return s.messageDone || s.finished }

func (s *stream) update() Update {
	return Update{
		Text:           s.text.b.String(),
		ConversationID: s.ids.ConversationID, TaskID: s.ids.TaskID, MessageID: s.ids.MessageID,
	}
}

// result returns what came.
func (s *stream) result() Answer {
	a := s.answer
	a.Text, a.Cut = s.text.b.String(), s.text.cut
	a.ConversationID, a.TaskID, a.MessageID = s.ids.ConversationID, s.ids.TaskID, s.ids.MessageID
	return a
}
