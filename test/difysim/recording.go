package difysim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/wechatbot/wechatbot-operator/testdata"
)

// response is a whole HTTP response, in place of a stream.
type response struct {
	status      int
	contentType string
	body        []byte
	proxy       bool // written by something in front of Dify, without Dify's headers
	location    string
}

// errorBodies holds testdata/dify/errors by file name, and by file name without its extension.
var errorBodies = sync.OnceValue(func() map[string]*response {
	bodies := map[string]*response{}
	for _, name := range recorded("dify/errors") {
		extension := path.Ext(name)
		stem := strings.TrimSuffix(name, extension)
		status, err := strconv.Atoi(strings.TrimPrefix(path.Ext(stem), "."))
		if err != nil {
			continue // not NAME.STATUS.EXT: no error body
		}
		body := &response{status: status, body: mustRead("dify/errors/" + name)}
		body.proxy = strings.HasPrefix(name, "nginx-") || strings.HasPrefix(name, "cloudflare-")
		switch extension {
		case ".html":
			body.contentType = "text/html; charset=utf-8"
		case ".txt":
			body.contentType = "text/plain; charset=UTF-8"
		default:
			body.contentType = "application/json"
		}
		bodies[name], bodies[stem] = body, body
	}
	return bodies
})

func errorBody(name string) (*response, error) {
	body, ok := errorBodies()[name]
	if !ok {
		return nil, fmt.Errorf("no recorded error body %q", name)
	}
	return body, nil
}

// mustErrorBody gives a body that this package itself names.
func mustErrorBody(name string) *response {
	body, err := errorBody(name)
	if err != nil {
		panic("difysim: " + err.Error())
	}
	return body
}

// block is one recorded event with the blank line that ends it.
type block struct {
	bytes []byte
	text  string // its delta of the answer, if any
}

// stream is a recording cut into its events, with the ids that its first event gives.
type stream struct {
	blocks                      []block
	conversation, message, task string
	answer                      string
	// holds: a relay (ping first) that saw no end of the workflow: the real server keeps the connection.
	holds bool
}

var streams sync.Map // file name → *stream; at most as many as there are files

func recordedStream(name string) (*stream, error) {
	known, _ := streams.Load(name)
	if s, ok := known.(*stream); ok {
		return s, nil
	}
	data, err := testdata.Dify.ReadFile("dify/sse/" + name)
	if err != nil {
		if data, err = testdata.Dify.ReadFile("dify/sse/" + name + ".sse"); err != nil {
			return nil, fmt.Errorf("no recorded stream %q: %w", name, err)
		}
	}
	read := parseStream(data)
	streams.Store(name, read)
	return read, nil
}

// parseStream cuts at blank lines only, whatever the line ends: the concatenated blocks are the recording.
func parseStream(data []byte) *stream {
	s := &stream{}
	finished, pinged := false, bytes.HasPrefix(data, []byte("event: ping"))
	for len(data) > 0 {
		end := blockEnd(data)
		raw := data[:end]
		data = data[end:]
		event := blockEvent(raw)
		s.blocks = append(s.blocks, block{raw, event.delta()})
		s.observe(&event)
		finished = finished || event.Event == "workflow_finished" || event.Event == "workflow_paused"
	}
	s.holds = pinged && !finished
	return s
}

func blockEnd(data []byte) int {
	end := len(data)
	for _, blank := range []string{"\n\n", "\r\n\r\n"} {
		if i := bytes.Index(data, []byte(blank)); i >= 0 {
			end = min(end, i+len(blank))
		}
	}
	return end
}

type recordedEvent struct {
	Event        string  `json:"event"`
	Conversation string  `json:"conversation_id"`
	Message      string  `json:"message_id"`
	Task         string  `json:"task_id"`
	Answer       *string `json:"answer"`
	URL          string  `json:"url"`
}

// delta gives the text that the event adds. A message_file with a URL is a file, without one a delta.
func (e *recordedEvent) delta() string {
	switch e.Event {
	case "message", "agent_message", "message_file":
		if e.Answer != nil && e.URL == "" {
			return *e.Answer
		}
	}
	return ""
}

// notJSON are the numbers that Python writes and JSON does not have.
var notJSON = regexp.MustCompile(`([:\[,]\s*)(?:NaN|-?Infinity)`)

func blockEvent(raw []byte) (event recordedEvent) {
	for line := range bytes.Lines(raw) {
		payload, ok := bytes.CutPrefix(line, []byte("data:"))
		if ok && (json.Unmarshal(payload, &event) == nil || json.Unmarshal(notJSON.ReplaceAll(payload, []byte("${1}0")), &event) == nil) {
			return event
		}
	}
	return recordedEvent{} // a ping, a comment, or what a test of robustness put there
}

func (s *stream) observe(e *recordedEvent) {
	if s.conversation == "" {
		s.conversation, s.message = e.Conversation, e.Message
	}
	if s.task == "" {
		s.task = e.Task
	}
	s.answer += e.delta()
	if e.Event == "message_replace" && e.Answer != nil {
		s.answer = *e.Answer
	}
}

func recorded(dir string) []string {
	entries, err := fs.ReadDir(testdata.Dify, dir)
	if err != nil {
		panic("difysim: the embedded recordings are incomplete: " + err.Error())
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names
}

func mustRead(name string) []byte {
	data, err := testdata.Dify.ReadFile(name)
	if err != nil {
		panic("difysim: the embedded recordings are incomplete: " + err.Error())
	}
	return data
}
