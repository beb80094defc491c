package difysim

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
)

const (
	defaultLimit = 20
	maxLimit     = 100
	// defaultUser is whom a request without a user speaks for: not "any user".
	defaultUser = "DEFAULT-USER"
)

// conversationNotFound is the 404 of a route that reads conversations; releases since 1.8 add routing advice.
func (s *Server) conversationNotFound(route string) *response {
	return s.notFound("Conversation Not Exists.", route)
}

func (s *Server) notFound(message, route string) *response {
	advice := map[string]string{
		"/v1/chat-messages": "/v1/chat-messages or /api/chat-messages or /v1/chat-messages/<string:task_id>/stop",
		"/v1/messages":      "/v1/messages or /v1/chat-messages or /api/messages",
		"/v1/conversations": "/v1/conversations or /v1/conversations/<uuid:c_id>/variables/<uuid:variable_id> or /api/conversations",
	}[route]
	if s.options.Release != V0_6_5 && advice != "" {
		message += " You have requested this URI [" + route + "] but did you mean " + advice + " ?"
	}
	return problem(http.StatusNotFound, "not_found", message)
}

// page reads limit and user of a list's query.
func (s *Server) page(r *http.Request, model string) (limit int, user string, no *response) {
	query := r.URL.Query()
	user = cmp.Or(query.Get("user"), defaultUser)
	text := query.Get("limit")
	if text == "" {
		return defaultLimit, user, nil
	}
	limit, err := strconv.Atoi(text)
	if err == nil && limit >= 1 && limit <= maxLimit {
		return limit, user, nil
	}
	if s.options.Release == V0_6_5 {
		body := object{{"code", "invalid_param"}, {"message", text + " is not in range 1 - 100"}, {"params", "limit"}}
		return 0, "", jsonResponse(http.StatusBadRequest, body)
	}
	report := validation{model: model}
	report.add("limit", "Input should be a valid integer between 1 and 100", "int_parsing", text)
	return 0, "", report.refusal()
}

func (s *Server) listMessages(w http.ResponseWriter, r *http.Request) {
	limit, user, no := s.page(r, "MessageListQuery")
	if no == nil && !isID(r.URL.Query().Get("conversation_id")) {
		no = problem(http.StatusBadRequest, "invalid_param", "conversation_id must be a valid UUID")
	}
	if no != nil {
		write(w, no)
		return
	}
	s.mu.Lock()
	known := s.conversations.visible(r.URL.Query().Get("conversation_id"), user)
	if known == nil {
		s.mu.Unlock()
		write(w, s.conversationNotFound("/v1/messages"))
		return
	}
	older := known.messages
	if first := r.URL.Query().Get("first_id"); first != "" {
		i := slices.IndexFunc(older, func(m *Message) bool { return m.ID == first })
		if i < 0 {
			s.mu.Unlock()
			write(w, s.notFound("First Message Not Exists.", "/v1/messages"))
			return
		}
		older = older[:i]
	}
	shown := older[max(0, len(older)-limit):]
	data := make(list, len(shown))
	for i, m := range shown {
		data[i] = s.messageJSON(known, m)
	}
	more := len(shown) < len(older)
	s.mu.Unlock()
	reply(w, http.StatusOK, object{{"limit", limit}, {"has_more", more}, {"data", data}})
}

func (s *Server) messageJSON(in *conversation, m *Message) object {
	var feedback, failure any
	if m.Rating != "" {
		feedback = object{{"rating", m.Rating}}
	}
	if m.Error != "" {
		failure = m.Error
	}
	created := m.Created.Unix()
	if s.options.Release == V0_6_5 {
		return object{
			{"id", m.ID}, {"conversation_id", in.id}, {"inputs", object{}}, {"query", m.Query}, {"answer", m.Answer},
			{"message_files", filesOfMessage(m.files)}, {"feedback", feedback}, {"retriever_resources", list{}}, {"created_at", created},
			{"agent_thoughts", list{}}, {"status", m.Status}, {"error", failure},
		}
	}
	return object{
		{"id", m.ID}, {"conversation_id", in.id}, {"parent_message_id", "00000000-0000-0000-0000-000000000000"},
		{"inputs", object{}}, {"query", m.Query}, {"answer", m.Answer}, {"feedback", feedback},
		{"retriever_resources", list{}}, {"created_at", created}, {"agent_thoughts", list{}}, {"message_files", filesOfMessage(m.files)},
		{"status", m.Status}, {"error", failure}, {"extra_contents", s.formsOf(m.ID)},
	}
}

func (s *Server) listConversations(w http.ResponseWriter, r *http.Request) {
	limit, user, no := s.page(r, "ConversationListQuery")
	if no != nil {
		write(w, no)
		return
	}
	s.mu.Lock()
	var own []*conversation
	for _, id := range slices.Backward(s.conversations.oldest) { // newest first
		if known := s.conversations.visible(id, user); known != nil {
			own = append(own, known)
		}
	}
	slices.SortStableFunc(own, func(a, b *conversation) int { return b.updated.Compare(a.updated) })
	if last := r.URL.Query().Get("last_id"); last != "" {
		i := slices.IndexFunc(own, func(c *conversation) bool { return c.id == last })
		if i < 0 {
			s.mu.Unlock()
			write(w, s.notFound("Last Conversation Not Exists.", "/v1/conversations"))
			return
		}
		own = own[i+1:]
	}
	more := len(own) > limit
	own = own[:min(limit, len(own))]
	data := make(list, len(own))
	for i, c := range own {
		data[i] = s.conversationJSON(c)
	}
	s.mu.Unlock()
	reply(w, http.StatusOK, object{{"limit", limit}, {"has_more", more}, {"data", data}})
}

func (s *Server) conversationJSON(c *conversation) object {
	o := object{{"id", c.id}, {"name", c.name}, {"inputs", object{}}, {"status", "normal"}}
	if s.options.Release == V0_6_5 {
		return append(o, member{"introduction", nil}, member{"created_at", c.created.Unix()})
	}
	return append(o, member{"introduction", s.options.OpeningStatement}, member{"created_at", c.created.Unix()},
		member{"updated_at", c.updated.Unix()})
}

// ownConversation reads body and user, finds the conversation in the path, and writes what use makes of it. It
// is not written under the lock: a client may read slowly.
func (s *Server) ownConversation(
	w http.ResponseWriter, r *http.Request, use func(*conversation, map[string]any) *response,
) {
	_, body, answer := s.readBody(w, r)
	var user string
	if answer == nil {
		user, answer = s.readUser(body)
	}
	if answer == nil {
		s.mu.Lock()
		if known := s.conversations.visible(r.PathValue("id"), user); known != nil {
			answer = use(known, body)
		} else {
			answer = s.conversationNotFound("") // without advice in every release
		}
		s.mu.Unlock()
	}
	write(w, answer)
}

// deleteConversation answers 204, but 200 with a body between the oldest and the newest release.
func (s *Server) deleteConversation(w http.ResponseWriter, r *http.Request) {
	s.ownConversation(w, r, func(c *conversation, _ map[string]any) *response {
		c.deleted = true
		if s.options.Release == V1_12_1 {
			return jsonResponse(http.StatusOK, success)
		}
		return &response{status: http.StatusNoContent, contentType: "application/json"}
	})
}

func (s *Server) renameConversation(w http.ResponseWriter, r *http.Request) {
	s.ownConversation(w, r, func(c *conversation, body map[string]any) *response {
		if name, ok := body["name"].(string); ok && name != "" {
			c.name = name
		} else if generate, _ := body["auto_generate"].(bool); generate && len(c.messages) > 0 {
			c.name = firstRunes(c.messages[0].Query, deltaRunes*2)
		}
		return jsonResponse(http.StatusOK, s.conversationJSON(c))
	})
}

func (s *Server) feedback(w http.ResponseWriter, r *http.Request) {
	_, body, no := s.readBody(w, r)
	var user string
	if no == nil {
		user, no = s.readUser(body)
	}
	rating, _ := body["rating"].(string)
	if no == nil && body["rating"] != nil && rating != "like" && rating != "dislike" {
		no = s.badRating(body["rating"])
	}
	if no != nil {
		write(w, no)
		return
	}
	s.mu.Lock()
	in := s.conversations.byMessage[r.PathValue("id")]
	switch {
	case in == nil || in.user != user:
		no = problem(http.StatusNotFound, "not_found", "Message Not Exists.")
	case rating == "" && s.conversations.message(r.PathValue("id")).Rating == "":
		no = problem(http.StatusBadRequest, "invalid_param", "rating cannot be None when feedback not exists")
	default:
		s.conversations.message(r.PathValue("id")).Rating = rating
	}
	s.mu.Unlock()
	if no != nil {
		write(w, no)
		return
	}
	reply(w, http.StatusOK, success)
}

func (s *Server) badRating(value any) *response {
	if s.options.Release != V0_6_5 {
		report := validation{model: "MessageFeedbackPayload"}
		report.add("rating", "Input should be 'like' or 'dislike'", "literal_error", value)
		return report.refusal()
	}
	text, _ := value.(string)
	body := object{{"code", "invalid_param"}, {"message", text + " is not a valid choice"}, {"params", "rating"}}
	return jsonResponse(http.StatusBadRequest, body)
}

// suggested gives the follow-up questions. Real ones cost a model call; here they are the configured ones.
func (s *Server) suggested(w http.ResponseWriter, r *http.Request) {
	user := cmp.Or(r.URL.Query().Get("user"), defaultUser)
	s.mu.Lock()
	in := s.conversations.byMessage[r.PathValue("id")]
	known := in != nil && in.user == user
	s.mu.Unlock()
	f := s.features.Load()
	switch {
	case !known:
		write(w, problem(http.StatusNotFound, "not_found", "Message Not Exists."))
	case len(f.Suggested) == 0:
		write(w, mustErrorBody("bad_request-suggested-disabled.400"))
	case f.SuggestTime > 0 && !s.sleep(r.Context(), f.SuggestTime):
		resetConnection(w)
	case f.SuggestFault != "":
		write(w, mustErrorBody(f.SuggestFault))
	default:
		reply(w, http.StatusOK, object{{"result", "success"}, {"data", f.Suggested}})
	}
}
