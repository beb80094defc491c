package difysim

import (
	"slices"
	"time"
)

// rememberedText bounds what conversations hold, in bytes: beyond it the oldest conversation is forgotten, as if
// somebody had deleted it.
const rememberedText = 64 << 20

// messageOverhead is what a message costs beside its texts, about.
const messageOverhead = 512

// Message is a question and its answer as Dify stores them.
type Message struct {
	ID      string
	Query   string
	Answer  string
	Status  string // "normal", "error" or "paused"
	Error   string // of status "error"
	Rating  string // "like", "dislike" or ""
	files   []madeFile
	Created time.Time
}

type conversation struct {
	id, user, name   string
	created, updated time.Time
	messages         []*Message
	deleted          bool
}

// conversationStore is guarded by Server.mu.
type conversationStore struct {
	byID      map[string]*conversation
	oldest    []string // ids in order of creation
	byMessage map[string]*conversation
	size      int
}

func newConversationStore() conversationStore {
	return conversationStore{byID: map[string]*conversation{}, byMessage: map[string]*conversation{}}
}

// find gives the user's own conversation.
func (c *conversationStore) find(id, user string) *conversation {
	known := c.byID[id]
	if known == nil || known.user != user {
		return nil
	}
	return known
}

// visible gives the user's own conversation unless it was deleted.
func (c *conversationStore) visible(id, user string) *conversation {
	known := c.find(id, user)
	if known == nil || known.deleted {
		return nil
	}
	return known
}

// open gives the conversation with that id to that user, and makes it if need be.
func (c *conversationStore) open(id, user string) *conversation {
	known := c.byID[id]
	if known == nil {
		now := time.Now()
		known = &conversation{id: id, name: "New conversation", created: now, updated: now}
		c.byID[id] = known
		c.oldest = append(c.oldest, id)
	}
	known.user = user
	return known
}

// ask adds an unanswered message.
func (c *conversationStore) ask(in *conversation, id, query string) {
	now := time.Now()
	in.messages = append(in.messages, &Message{ID: id, Query: query, Status: "normal", Created: now})
	in.updated = now
	c.byMessage[id] = in
	c.size += messageOverhead + len(query)
	for c.size > rememberedText && len(c.oldest) > 0 {
		c.forget(c.byID[c.oldest[0]])
		c.oldest = c.oldest[1:]
	}
}

// answer completes a message, if it is still remembered.
func (c *conversationStore) answer(id string, stored stored) {
	m := c.message(id)
	if m == nil {
		return
	}
	c.size += len(stored.answer) - len(m.Answer)
	m.Answer, m.Status, m.Error, m.files = stored.answer, stored.status, stored.failure, stored.files
}

func (c *conversationStore) message(id string) *Message {
	in := c.byMessage[id]
	if in == nil {
		return nil
	}
	for _, m := range slices.Backward(in.messages) {
		if m.ID == id {
			return m
		}
	}
	return nil
}

func (c *conversationStore) forget(gone *conversation) {
	for _, m := range gone.messages {
		delete(c.byMessage, m.ID)
		c.size -= messageOverhead + len(m.Query) + len(m.Answer)
	}
	delete(c.byID, gone.id)
}

// Messages gives what Dify stored of a conversation, oldest first; nil if there is no such conversation.
func (s *Server) Messages(conversation string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.conversations.byID[conversation]
	if known == nil {
		return nil
	}
	messages := make([]Message, len(known.messages))
	for i, m := range known.messages {
		messages[i] = *m
	}
	return messages
}

// Forget makes a conversation unknown, as when its database was restored from an old copy; it tells whether it
// was known.
func (s *Server) Forget(conversation string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.conversations.byID[conversation]
	if known == nil {
		return false
	}
	s.conversations.forget(known)
	s.conversations.oldest = slices.DeleteFunc(s.conversations.oldest, func(id string) bool { return id == conversation })
	return true
}
