package server

import (
	"context"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

// Suggested gives the questions that Dify suggests after an answer.
func (d *difySwitch) Suggested(ctx context.Context, messageID, user string) ([]string, error) {
	return d.current.Load().Suggested(ctx, messageID, user)
}

// Submit submits a form that a workflow waits with.
func (d *difySwitch) Submit(ctx context.Context, f dify.Submission, onUpdate func(dify.Update)) (dify.Answer, error) {
	a, err := d.current.Load().Submit(ctx, f, onUpdate)
	if kind := dify.KindOf(err); kind != dify.FormAnswered && kind != dify.FormExpired { // nothing is wrong with Dify
		d.last.note(err)
	}
	return a, err
}

// Feedback rates an answer.
func (d *difySwitch) Feedback(ctx context.Context, messageID, user string, rating dify.Rating) error {
	return d.current.Load().Feedback(ctx, messageID, user, rating)
}
