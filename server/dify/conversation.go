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

// simple says whether an id can be part of a path: it has the characters of a UUID or the like.
func simple(id string) bool {
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

// Stop ends the answer of a running chat. Dify says yes to any task, unknown and finished ones too; the Chat call that
// it stops returns what came within about a second.
func (c *Client) Stop(ctx context.Context, taskID, user string) error {
	if !simple(taskID) {
		return invalid("stop", "that is no task's id")
	}
	_, err := c.call(ctx, request{
		op: "stop", method: http.MethodPost, path: []string{"chat-messages", taskID, "stop"}, body: wireUser{user},
	}, nil)
	return err
}

// DeleteConversation deletes a conversation. That it does not exist is no error.
func (c *Client) DeleteConversation(ctx context.Context, id, user string) error {
	const op = "delete conversation"
	if !simple(id) {
		return invalid(op, "that is no conversation's id")
	}
	_, err := c.call(ctx, request{
		op: op, method: http.MethodDelete, path: []string{"conversations", id}, body: wireUser{user},
	}, nil)
	if KindOf(err) == ConversationGone {
		return nil
	}
	return err
}

// Message is one question and its answer, of a conversation's past.
type Message struct {
	ID, ConversationID string
	Query, Answer      string
	Cut                bool   // the answer was longer than MaxText
	Status             string // normal, error or paused; an answer that Dify lost is normal and empty
	CreatedAt          time.Time
}

// Messages returns the newest questions of a conversation, oldest first, at most limit (1 to 100) of them.
func (c *Client) Messages(ctx context.Context, conversationID, user string, limit int) ([]Message, error) {
	const op = "messages"
	if conversationID == "" || user == "" {
		return nil, invalid(op, "a conversation and a user are needed")
	}
	var page struct {
		Data []struct {
			ID             string `json:"id"`
			ConversationID string `json:"conversation_id"`
			Query          string `json:"query"`
			Answer         string `json:"answer"`
			Status         string `json:"status"`
			CreatedAt      int64  `json:"created_at"`
		} `json:"data"`
	}
	_, err := c.call(ctx, request{op: op, method: http.MethodGet, path: []string{"messages"}, query: url.Values{
		"conversation_id": {conversationID}, "user": {user}, "limit": {strconv.Itoa(min(max(limit, 1), 100))},
	}}, &page)
	if err != nil {
		return nil, err
	}
	messages := make([]Message, 0, len(page.Data))
	for _, m := range page.Data {
		var answer text
		answer.append(m.Answer)
		messages = append(messages, Message{
			ID: m.ID, ConversationID: m.ConversationID, Query: m.Query, Answer: answer.b.String(), Cut: answer.cut,
			Status: m.Status, CreatedAt: time.Unix(m.CreatedAt, 0),
		})
	}
	return messages, nil
}

// Suggested returns questions that may follow a message. It costs a call of the model; where the app has them switched
// off, it is an InvalidParam.
func (c *Client) Suggested(ctx context.Context, messageID, user string) ([]string, error) {
	const op = "suggested"
	if !simple(messageID) {
		return nil, invalid(op, "that is no message's id")
	}
	var answer struct {
		Data []string `json:"data"`
	}
	_, err := c.call(ctx, request{
		op: op, method: http.MethodGet, path: []string{"messages", messageID, "suggested"}, query: url.Values{"user": {user}},
	}, &answer)
	return answer.Data, err
}

// Rating is what a user thinks of an answer.
type Rating string

// The ratings.
const (
	Like     Rating = "like"
	Dislike  Rating = "dislike"
	NoRating Rating = "" // takes a rating back
)

// Feedback rates an answer.
func (c *Client) Feedback(ctx context.Context, messageID, user string, rating Rating) error {
	const op = "feedback"
	if !simple(messageID) {
		return invalid(op, "that is no message's id")
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
