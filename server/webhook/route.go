package webhook

import (
	"context"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

var silent = turn.Reply{Kind: turn.Silent}

// route decides who answers a push (protocol §2.3, §2.4).
func (h *Handler) route(ctx context.Context, p *wechat.Push, received time.Time) turn.Reply {
	m := turn.Message{
		Follower: p.FromUserName,
		ID:       p.DedupeKey(),
		Delivery: delivery(p.SentAfter()),
		Received: received,
		Window:   window(p),
		Tap:      p.MenuID,
	}
	switch p.MsgType {
	case "event":
		return h.event(ctx, p, m)
	case "text":
		if p.Placeholder() {
			return h.engine.Unsupported()
		}
		m.Text = p.Content
		return h.engine.Text(ctx, m)
	case "image":
		m.Media = []session.Media{{Kind: turn.PictureMedia, ID: p.MediaID, URL: p.PicURL}}
		return h.engine.Picture(ctx, m)
	case "voice":
		m.Text, m.Media = p.Recognition, recordings(p)
		return h.engine.Voice(ctx, m)
	case "link":
		return h.engine.SharedLink(ctx, m, p.Title, p.Description, p.URL)
	case "location":
		return h.engine.SharedPlace(ctx, m, p.Label, p.LocationX, p.LocationY)
	}
	if p.IsMessage() {
		return h.engine.Unsupported()
	}
	return silent
}

// recordings are those of a voice message, the best first.
func recordings(p *wechat.Push) []session.Media {
	var all []session.Media
	for _, id := range []string{p.MediaID16K, p.MediaID} {
		if id != "" {
			all = append(all, session.Media{Kind: turn.VoiceMedia, ID: id, Format: p.Format})
		}
	}
	return all
}

// window is when WeChat lets the account write to the follower because of a push, and how often (protocol §7.1).
func window(p *wechat.Push) *session.Window {
	kind := strings.ToLower(p.Event)
	switch {
	case p.IsMessage() && p.MenuID == "":
		return &session.Window{Kind: "message", Lasts: 48 * time.Hour, Sends: 5}
	case p.IsMessage(): // a tap on a tap-link
		kind = "click"
	case kind != "click" && kind != "scancode_push" && kind != "scancode_waitmsg" && kind != "subscribe" && kind != "scan":
		return nil
	}
	return &session.Window{Kind: kind, Lasts: time.Minute, Sends: 3}
}

// event answers what is not a message. Events that allow no reply get none: WeChat would count it as a fault.
func (h *Handler) event(ctx context.Context, p *wechat.Push, m turn.Message) turn.Reply {
	switch strings.ToLower(p.Event) {
	case "subscribe", "scan":
		h.engine.Contact(m) //nolint:contextcheck // the engine's own, behind the delivery
		return h.engine.Welcome(ctx, m.Received)
	case "click", "scancode_waitmsg":
		m.Text = p.EventKey
		return h.engine.Menu(ctx, m)
	case "kf_create_session", "kf_switch_session":
		return h.human(ctx, p.FromUserName, true)
	case "kf_close_session":
		return h.human(ctx, p.FromUserName, false)
	case "unsubscribe":
		return h.forget(ctx, p.FromUserName)
	case "user_authorization_cancellation":
		if p.OpenID != "" {
			return h.forget(ctx, p.OpenID)
		}
		return h.forget(ctx, p.FromUserName)
	default:
		return silent
	}
}

// human notes that a person serves the follower, or does no more. If the store fails, WeChat pushes the event again.
func (h *Handler) human(ctx context.Context, follower string, serves bool) turn.Reply {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := h.engine.Human(ctx, follower, serves); err != nil {
		return turn.Reply{Kind: turn.Held}
	}
	return silent
}

// forget deletes a follower's data, as WeChat demands, also when the delivery ends meanwhile. If the store fails, the
// delivery is left unanswered: WeChat pushes the event again.
func (h *Handler) forget(ctx context.Context, follower string) turn.Reply {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := h.engine.Forget(ctx, follower); err != nil {
		return turn.Reply{Kind: turn.Held}
	}
	return silent
}

// delivery tells which delivery of a push this is by its age on WeChat's own clocks: how long after the message it was
// sent. The age is in whole seconds and may be a second too long already for the first.
func delivery(age time.Duration) int {
	return 1 + int(min(max(age+mayBeLate, 0)/deliveryGap, Deliveries-1))
}
