package dify

import (
	"bytes"
)

// event is a stream's event, of which only what matters to an answer is decoded.
type event struct {
	Event string `json:"event"`
	ids
	content
}

// ids are in every event of a stream and do not change, so they are decoded until known.
type ids struct {
	ConversationID string `json:"conversation_id"`
	MessageID      string `json:"message_id"`
	TaskID         string `json:"task_id"`
}

func (i *ids) complete() bool { return i.ConversationID != "" && i.MessageID != "" && i.TaskID != "" }

// adopt takes what is not yet known.
func (i *ids) adopt(from ids) {
	adopt := func(known *string, id string) {
		// The bound keeps what a broken server sends out of every store.
		if *known == "" && len(id) <= maxID {
			*known = id
		}
	}
	adopt(&i.ConversationID, from.ConversationID)
	adopt(&i.MessageID, from.MessageID)
	adopt(&i.TaskID, from.TaskID)
}

// content is what differs from event to event.
type content struct {
	// message, agent_message, message_replace, and message_file of 1.11.2 to 1.12.1
	Answer string `json:"answer"`
	// message_file
	URL       string `json:"url"`
	Type      string `json:"type"`
	BelongsTo string `json:"belongs_to"`
	// error
	Code    string `json:"code"`
	Status  int    `json:"status"`
	Message string `json:"message"`
	// message_end
	Metadata metadata   `json:"metadata"`
	Files    []wireFile `json:"files"`
	// workflow_finished
	Data struct {
		Status  string `json:"status"`
		Error   string `json:"error"`
		Outputs struct {
			Answer string `json:"answer"`
		} `json:"outputs"`
	} `json:"data"`
}

type metadata struct {
	Usage wireUsage `json:"usage"`
}

type wireFile struct {
	Type      string `json:"type"`
	URL       string `json:"url"`
	RemoteURL string `json:"remote_url"`
	Filename  string `json:"filename"`
	MIMEType  string `json:"mime_type"`
	Size      int64  `json:"size"`
}

// peek returns the type of an event without decoding it. All releases write it first; a nil name means that data must
// be decoded to know.
func peek(data []byte) (name []byte) {
	rest := data
	for _, token := range []string{"{", `"event"`, ":", `"`} {
		rest = bytes.TrimLeft(rest, " \t")
		if !bytes.HasPrefix(rest, []byte(token)) {
			return nil
		}
		rest = rest[len(token):]
	}
	end := bytes.IndexByte(rest, '"')
	if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
		return nil
	}
	return rest[:end]
}

// matters says whether an answer depends on events of that type. The others, node_finished above all, are the bulk of
// a chatflow's bytes and hold prompts.
func matters(name []byte) bool {
	switch string(name) {
	case "message", "agent_message", "message_file", "message_replace", "message_end", "error",
		"workflow_started", "workflow_finished", "workflow_paused":
		return true
	}
	return false
}
