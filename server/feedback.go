package server

import (
	"context"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// Suggested gives the questions that Dify suggests after an answer.
func (d *difySwitch) Suggested(ctx context.Context, messageID, user string) ([]string, error) {
	return d.current.Load().Suggested(ctx, messageID, user)
}

// Feedback rates an answer.
func (d *difySwitch) Feedback(ctx context.Context, messageID, user string, rating dify.Rating) error {
	return d.current.Load().Feedback(ctx, messageID, user, rating)
}
