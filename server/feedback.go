package server

import (
	"context"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// Feedback rates an answer.
func (d *difySwitch) Feedback(ctx context.Context, messageID, user string, rating dify.Rating) error {
	return d.current.Load().Feedback(ctx, messageID, user, rating)
}
