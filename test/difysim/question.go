package difysim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	// maxBody bounds a JSON body; above it the proxy in front of Dify refuses.
	maxBody = 1 << 20
	// maxUser is the width of Dify's column for the user, in characters; more crash it.
	maxUser = 255
)

// readBody reads a JSON object, in Dify's order of complaints.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) (raw []byte, body map[string]any, no *response) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, nil, mustErrorBody("nginx-entity-too-large.413")
	}
	if err != nil {
		return nil, nil, mustErrorBody("bad_request-json.400")
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		if s.options.Release == V0_6_5 {
			return nil, nil, mustErrorBody("bad_request-json.400")
		}
		return nil, nil, mustErrorBody("unsupported_media_type.415")
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil || decoder.More() {
		return nil, nil, mustErrorBody("bad_request-json.400")
	}
	body, ok := value.(map[string]any)
	if !ok {
		return nil, nil, s.crash()
	}
	return raw, body, nil
}

// crash is what an uncaught exception looks like.
func (s *Server) crash() *response {
	if s.options.Release != V0_6_5 {
		return mustErrorBody("unknown.500")
	}
	return jsonResponse(http.StatusInternalServerError, object{{"message", "Internal Server Error"}, {"code", "unknown"}})
}

// readUser gives the user that a body names. Numbers are taken as text, what Python holds for false is missing.
func (s *Server) readUser(body map[string]any) (string, *response) {
	user, ok := body["user"].(string)
	if number, isNumber := body["user"].(json.Number); isNumber && number != "0" {
		user, ok = number.String(), true
	}
	if !ok || user == "" {
		return "", mustErrorBody("invalid_param-user-missing.400")
	}
	if utf8.RuneCountInString(user) > maxUser {
		return "", s.crash()
	}
	return user, nil
}

// readQuestion reads and validates the body of POST /chat-messages, as far as Dify does before it runs the app.
func (s *Server) readQuestion(w http.ResponseWriter, r *http.Request) (q Request, no *response) {
	raw, body, no := s.readBody(w, r)
	if no != nil {
		return q, no
	}
	q.size = len(raw)
	q.From, _, _ = net.SplitHostPort(r.RemoteAddr)
	q.Traceparent = r.Header.Get("Traceparent")
	q.Query, _ = body["query"].(string)
	if q.User, no = s.readUser(body); no != nil {
		return q, no
	}
	if s.options.Release == V0_6_5 {
		no = checkFields(body)
	} else {
		no = checkPayload(raw, body)
	}
	if no != nil {
		return q, no
	}
	q.Query = strings.ReplaceAll(q.Query, "\x00", "")
	q.ConversationID, _ = body["conversation_id"].(string)
	q.Inputs, _ = body["inputs"].(map[string]any)
	q.Files = readFiles(body["files"])
	q.Blocking = body["response_mode"] != "streaming" // absent and null too
	named, ok := body["auto_generate_name"].(bool)
	q.AutoName = named || !ok
	if q.Blocking && s.options.Mode == Agent {
		return q, mustErrorBody("invalid_param-agent-blocking.400")
	}
	return q, nil
}

// readFiles keeps what Dify keeps: an element without a way of transfer is dropped without a word.
func readFiles(value any) (files []File) {
	elements, _ := value.([]any)
	for _, element := range elements {
		members, _ := element.(map[string]any)
		text := func(name string) string { v, _ := members[name].(string); return v }
		file := File{text("type"), text("transfer_method"), text("url"), text("upload_file_id")}
		if file.TransferMethod == "" || file.TransferMethod == "remote_url" && file.URL == "" {
			continue
		}
		files = append(files, file)
	}
	return files
}

// checkFields complains as releases up to 1.7 do: about the first bad field, without a status member.
func checkFields(body map[string]any) *response {
	const missing = "Missing required parameter in the JSON body"
	complain := func(field, message string) *response {
		body := object{{"code", "invalid_param"}, {"message", message}, {"params", field}}
		return jsonResponse(http.StatusBadRequest, body)
	}
	if _, ok := body["inputs"].(map[string]any); !ok {
		return complain("inputs", missing)
	}
	if _, ok := body["query"].(string); !ok {
		return complain("query", missing)
	}
	if mode, ok := body["response_mode"].(string); ok && mode != "streaming" && mode != "blocking" {
		return complain("response_mode", mode+" is not a valid choice")
	}
	if id, ok := body["conversation_id"].(string); ok && id != "" && !isID(id) {
		return complain("conversation_id", id+" is not a valid uuid.")
	}
	return nil
}

// checkPayload complains as releases since 1.11 do: pydantic's report of all bad fields.
func checkPayload(raw []byte, body map[string]any) *response {
	report := validation{model: "ChatRequestPayload"}
	report.requireDictionary(raw, body, "inputs")
	report.requireText(raw, body, "query")
	if mode := body["response_mode"]; mode != nil && mode != "streaming" && mode != "blocking" {
		report.add("response_mode", "Input should be 'blocking' or 'streaming'", "literal_error", mode)
	}
	if id, ok := body["conversation_id"].(string); ok && id != "" && !isID(id) {
		report.add("conversation_id", "Value error, conversation_id must be a valid UUID", "value_error", id)
	}
	return report.refusal()
}
