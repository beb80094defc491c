package server

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/account"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

// Pusher writes to followers by the account's API.
type Pusher struct {
	Account *account.Account
	// textOnly: WeChat has refused a message with things to tap, as it does for test accounts. A text with tap-links does
	// the same.
	textOnly atomic.Bool
}

// Able tells whether there is an AppSecret, and WeChat has not said that the account may not send.
func (p *Pusher) Able() bool {
	return p.Account.Client() != nil && p.Account.Can(account.CustomerService) != serverstatus.No
}

// Send sends a text with WeChat's line that AI has made it.
func (p *Pusher) Send(ctx context.Context, follower, text string) session.SendResult {
	client := p.Account.Client()
	if client == nil {
		return session.Refused
	}
	return resultOf(client.Send(ctx, api.Message{To: follower, Content: api.Text{Content: text}, AI: true}))
}

// resultOf is what became of a send.
func resultOf(err error) session.SendResult {
	switch api.KindOf(err) {
	case "":
		if err == nil {
			return session.Sent
		}
		return session.Uncertain
	case api.UnknownDelivery:
		return session.Uncertain
	case api.WindowClosed, api.CountUsedUp, api.NotReceiving:
		return session.WindowClosed
	default:
		return session.Refused
	}
}

// SendMedia sends a picture or a voice, with WeChat's line that AI has made it.
func (p *Pusher) SendMedia(ctx context.Context, follower, kind, mediaID string) session.SendResult {
	client := p.Account.Client()
	if client == nil {
		return session.Refused
	}
	var content api.Content = api.Image{MediaID: mediaID}
	if kind == turn.VoiceMedia {
		content = api.Voice{MediaID: mediaID}
	}
	return resultOf(client.Send(ctx, api.Message{To: follower, Content: content, AI: true}))
}

// Suggest sends questions to tap, with WeChat's line that AI has made them.
func (p *Pusher) Suggest(ctx context.Context, follower, head string, questions []turn.Choice) session.SendResult {
	client := p.Account.Client()
	if client == nil {
		return session.Refused
	}
	if !p.textOnly.Load() {
		items := make([]api.Choice, len(questions))
		for i, q := range questions {
			items[i] = api.Choice{ID: q.ID, Content: q.Label}
		}
		err := client.Send(ctx, api.Message{To: follower, Content: api.Choices{Head: head, Items: items}, AI: true})
		if api.KindOf(err) != api.NotEntitled {
			return resultOf(err)
		}
		p.textOnly.Store(true)
	}
	lines := []string{head}
	for _, q := range questions {
		lines = append(lines, wechat.TapLink(q.Label, q.Label, q.ID))
	}
	return p.Send(ctx, follower, strings.Join(lines, "\n"))
}

// Tell sends a line of the bot's own.
func (p *Pusher) Tell(ctx context.Context, follower, text string) {
	if client := p.Account.Client(); client != nil {
		_ = client.Send(ctx, api.Message{To: follower, Content: api.Text{Content: text}}) // the account's state has what is wrong
	}
}

// Typing shows that an answer is being written. That it could not be is seen in the account's state.
func (p *Pusher) Typing(ctx context.Context, follower string) {
	if client := p.Account.Client(); client != nil {
		_ = client.Typing(ctx, follower)
	}
}
