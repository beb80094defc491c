package dify

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxID bounds Dify's ids, which are UUIDs.
const maxID = 128

// isID reports whether an ID can be part of a path: it has only the characters of UUIDs and the like.
func isID(id string) bool {
	for _, c := range []byte(id) {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

type wireUser struct {
	User string `json:"user"`
}

// Stop stops a running chat. Dify accepts any task ID. The Chat call that is stopped returns within about a second.
func (c *Client) Stop(ctx context.Context, taskID, user string) error {
	if !isID(taskID) {
		return invalid("stop", "not a task's ID")
	}
	_, err := c.call(ctx, request{
		op: "stop", method: http.MethodPost, path: []string{"chat-messages", taskID, "stop"}, body: wireUser{user},
	}, nil)
	return err
}

// DeleteConversation deletes a conversation. It is no error if it does not exist.
func (c *Client) DeleteConversation(ctx context.Context, id, user string) error {
	const op = "delete conversation"
	if !isID(id) {
		return invalid(op, "not a conversation's ID")
	}
	_, err := c.call(ctx, request{
		op: op, method: http.MethodDelete, path: []string{"conversations", id}, body: wireUser{user},
	}, nil)
	if KindOf(err) == ConversationGone {
		return nil
	}
	return err
}

// Bounds of DeleteConversations.
const (
	conversationsPage = 100
	maxConversations  = 10_000
)

// DeleteConversations deletes all conversations of a user in this app and returns their number. It deletes at most 10,000,
// and none twice, whatever Dify answers.
func (c *Client) DeleteConversations(ctx context.Context, user string) (deleted int, err error) {
	const op = "conversations"
	if user == "" {
		return 0, invalid(op, "a user is needed")
	}
	tried := map[string]bool{}
	for len(tried) < maxConversations {
		var fresh []string
		query := url.Values{"user": {user}, "limit": {strconv.Itoa(conversationsPage)}}
		_, err := c.call(ctx, request{op: op, method: http.MethodGet, path: []string{"conversations"}, query: query}, func(l *lexer, name []byte) {
			if string(name) != "data" {
				l.skip()
				return
			}
			l.elements(func() {
				l.members(func(name []byte) {
					if string(name) != "id" {
						l.skip()
					} else if id := l.short(maxID); isID(id) && !tried[id] && len(fresh) < conversationsPage {
						fresh = append(fresh, id)
						tried[id] = true
					}
				})
			})
		})
		if err != nil || len(fresh) == 0 {
			return deleted, err
		}
		for _, id := range fresh { // the first page then has the next ones
			if err := c.DeleteConversation(ctx, id, user); err != nil {
				return deleted, err
			}
			deleted++
		}
	}
	return deleted, nil
}

// Message is a question and its answer in a conversation.
type Message struct {
	ID, ConversationID string
	Query, Answer      string
	Cut                bool   // the answer was longer than MaxText
	Status             string // normal, error or paused; a lost answer is normal and empty
	Files              []AnswerFile
	CreatedAt          time.Time
	RunID              string // of the workflow that waits, or has waited, with a form (1.14 and later)
}

// Messages returns the newest messages of a conversation, the oldest of them first; limit is 1 to 100. The URLs of their
// files are newly signed.
func (c *Client) Messages(ctx context.Context, conversationID, user string, limit int) ([]Message, error) {
	const op = "messages"
	if conversationID == "" || user == "" {
		return nil, invalid(op, "a conversation and a user are needed")
	}
	limit = min(max(limit, 1), 100)
	messages := make([]Message, 0, limit)
	_, err := c.call(ctx, request{op: op, method: http.MethodGet, path: []string{"messages"}, query: url.Values{
		"conversation_id": {conversationID}, "user": {user}, "limit": {strconv.Itoa(limit)},
	}}, func(l *lexer, name []byte) {
		if string(name) != "data" {
			l.skip()
			return
		}
		l.elements(func() {
			if len(messages) < limit {
				messages = append(messages, c.readMessage(l))
			} else {
				l.skip()
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return messages, nil
}

func (c *Client) readMessage(l *lexer) (m Message) {
	var answer text
	made := files{root: c.root()}
	l.members(func(name []byte) {
		switch string(name) {
		case "id":
			m.ID = l.short(maxID)
		case "conversation_id":
			m.ConversationID = l.short(maxID)
		case "query":
			m.Query = l.prefix(MaxText)
		case "answer":
			answer.append(l.text(nil, MaxText))
		case "status":
			m.Status = l.short(maxTitle)
		case "created_at":
			m.CreatedAt = time.Unix(int64(clamp(l.number(), 1<<40)), 0)
		case "extra_contents": // of the latest form
			l.elements(func() {
				l.members(func(name []byte) {
					if string(name) == "workflow_run_id" {
						m.RunID = l.short(maxID)
					} else {
						l.skip()
					}
				})
			})
		case "message_files":
			for _, f := range readFiles(l, nil) {
				if f.belongsTo != "user" {
					made.add(f)
				}
			}
		default:
			l.skip()
		}
	})
	m.Answer, m.Cut, m.Files = answer.b.String(), answer.cut, made.list
	return m
}

// Suggested returns suggestions for the next question, which Dify asks the model for. If the app has them disabled, the
// error is InvalidParam.
func (c *Client) Suggested(ctx context.Context, messageID, user string) ([]string, error) {
	const op = "suggested"
	if !isID(messageID) {
		return nil, invalid(op, "not a message's ID")
	}
	var questions []string
	_, err := c.call(ctx, request{
		op: op, method: http.MethodGet, path: []string{"messages", messageID, "suggested"}, query: url.Values{"user": {user}},
	}, func(l *lexer, name []byte) {
		if string(name) == "data" {
			questions = l.strings()
		} else {
			l.skip()
		}
	})
	return questions, err
}

// Rating is a user's rating of an answer.
type Rating string

// The ratings.
const (
	Like     Rating = "like"
	Dislike  Rating = "dislike"
	NoRating Rating = "" // removes a rating
)

// Feedback rates an answer.
func (c *Client) Feedback(ctx context.Context, messageID, user string, rating Rating) error {
	const op = "feedback"
	if !isID(messageID) {
		return invalid(op, "not a message's ID")
	}
	body := struct {
		wireUser
		Rating *Rating `json:"rating"`
	}{wireUser: wireUser{user}}
	if rating != NoRating {
		body.Rating = &rating
	}
	_, err := c.call(ctx, request{
		op: op, method: http.MethodPost, path: []string{"messages", messageID, "feedbacks"}, body: body,
	}, nil)
	return err
}
