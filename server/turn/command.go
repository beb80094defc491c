package turn

import (
	"context"
	"slices"
	"strings"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// What a follower can type or tap besides questions. Every other text that starts with "/" is Help.
const (
	Fetch = "1"
	Clear = "/clear"
	Stop  = "/stop"
	Retry = "/retry" // what the tap-link under a failed answer sends
	Help  = "/help"
)

// command is the command that a text is, or "" for a question.
func command(text string) string {
	if rest, ok := strings.CutPrefix(text, "／"); ok { // as a Chinese keyboard gives it, like the digit
		text = "/" + rest
	}
	switch {
	case text == Fetch || text == "１":
		return Fetch
	case !strings.HasPrefix(text, "/"):
		return ""
	}
	switch c := strings.ToLower(text); c {
	case Clear, Stop, Retry:
		return c
	}
	return Help
}

// Text replies to what a follower has typed, or tapped: a question or a command. It returns when the reply is due, or
// with Held as soon as ctx ends.
func (e *Engine) Text(ctx context.Context, m Message) Reply {
	text := strings.TrimSpace(m.Text)
	switch command(text) {
	case Fetch:
		return e.fetch(ctx, m)
	case Clear:
		return e.clear(ctx, m)
	case Stop:
		return e.stop(ctx, m)
	case Retry:
		return e.retry(ctx, m)
	case Help:
		return e.Help()
	}
	if text == "" {
		return Reply{Kind: Silent}
	}
	return e.ask(ctx, m, text)
}

// Menu replies to a tap on a menu item whose key is a command, with or without its slash; to any other with the help.
func (e *Engine) Menu(ctx context.Context, m Message) Reply {
	key := strings.TrimSpace(m.Text)
	if command(key) == "" {
		key = "/" + key
	}
	m.Text = key
	return e.Text(ctx, m)
}

// Help says what the bot is and can.
func (e *Engine) Help() Reply { return e.notice(e.settings.Load().help) }

func (e *Engine) helpText(t Texts) string {
	return strings.NewReplacer(
		"{{1}}", e.Link(Fetch, Fetch), "{{stop}}", e.Link(Stop, Stop), "{{clear}}", e.Link(Clear, Clear),
	).Replace(t.get(TextHelp))
}

// Unsupported says that the bot cannot read this kind of message.
func (e *Engine) Unsupported() Reply { return e.notice(e.settings.Load().Texts.get(TextUnsupported)) }

// notice is a line of the bot's own, as much of it as fits.
func (e *Engine) notice(text string) Reply {
	if len(text) > e.PageBytes {
		end, _ := e.Renderer.Page(text, 0, e.PageBytes)
		text = text[:end]
	}
	return Reply{Kind: Notice, Text: text}
}

// fetch gives what the follower has not yet seen, the oldest first; all seen, the latest answer again.
func (e *Engine) fetch(ctx context.Context, m Message) Reply {
	s := e.settings.Load()
	o, err := e.Store.Open(ctx, m.key())
	if err != nil {
		return e.unknown(ctx, s, m, session.Turn{}, "opening a session", err)
	}
	e.unsend(ctx, m.Follower, o.Receipt)
	d := delivery{message: m, number: max(m.Delivery, o.Delivery), fetch: true}
	t := e.next(o)
	if t == nil {
		return e.notice(s.Texts.get(TextNothingYet))
	}
	d.turn = *t
	switch {
	case o.Receipt != nil && o.Receipt.Turn == t.Key.ID:
		d.from = mark{o.Receipt.From, o.Receipt.FromSum}
	case !t.Told:
		d.from = mark{t.Seen, t.SeenSum}
	}
	return e.deliver(ctx, s, d)
}

// next is the turn that a fetch shows, nil if there is none.
func (e *Engine) next(o session.Opened) *session.Turn {
	turns := o.Session.Turns
	if o.Receipt != nil {
		for i := range turns {
			if turns[i].Key.ID == o.Receipt.Turn {
				return &turns[i]
			}
		}
	}
	var latest *session.Turn
	for i := range turns {
		switch t := &turns[i]; {
		case e.empty(*t):
		case !t.Told:
			return t
		default:
			latest = t
		}
	}
	return latest
}

// retry asks the question of the latest failed turn again.
func (e *Engine) retry(ctx context.Context, m Message) Reply {
	s := e.settings.Load()
	have, err := e.Store.Look(ctx, m.Follower)
	if err != nil {
		return e.storeDown(ctx, s, m, "looking for a failed turn", err)
	}
	for _, t := range slices.Backward(have.Turns) {
		if t.Key.ID == m.ID || (t.State.Over() && t.Failure != "") {
			return e.ask(ctx, m, t.Question)
		}
	}
	return e.notice(s.Texts.get(TextNothingYet))
}

func (e *Engine) clear(ctx context.Context, m Message) Reply {
	s := e.settings.Load()
	conversation, err := e.Store.Clear(ctx, m.key())
	if err != nil {
		return e.storeDown(ctx, s, m, "clearing a session", err)
	}
	e.deleteConversation(conversation, m.Follower)
	return e.notice(s.Texts.get(TextCleared))
}

func (e *Engine) stop(ctx context.Context, m Message) Reply {
	s := e.settings.Load()
	t, ok, err := e.Store.Cancel(ctx, m.key())
	switch {
	case err != nil:
		return e.storeDown(ctx, s, m, "cancelling a turn", err)
	case !ok:
		return e.notice(s.Texts.get(TextNothingToStop))
	case e.unseen(t):
		return e.notice(join(s.Texts.get(TextStopped), s.more))
	}
	r, text := e.notice(s.Texts.get(TextStopped)), e.shown(t)
	r.follower = m.Follower
	r.receipt = &session.Receipt{ // this line is the end of the turn
		Message: m.ID, Turn: t.Key.ID, From: t.Seen, FromSum: t.SeenSum, To: len(text), Sum: sum(text), Told: true,
	}
	return r
}

// Forget deletes everything that is kept of a follower, Dify's conversation included.
func (e *Engine) Forget(ctx context.Context, follower string) error {
	conversation, err := e.Store.Forget(ctx, follower)
	if err != nil {
		e.storeFailed("forgetting a follower", err)
		return err
	}
	e.deleteConversation(conversation, follower)
	return nil
}

// deleteConversation deletes a conversation in Dify, in the background: no reply waits for it.
func (e *Engine) deleteConversation(id, follower string) {
	if id == "" {
		return
	}
	e.jobs.run(func() {
		ctx, cancel := context.WithTimeout(e.life, tidyFor)
		defer cancel()
		for try := 1; ; try++ {
			err := e.Dify.DeleteConversation(ctx, id, follower)
			if err == nil || dify.KindOf(err) != "" && !temporary(err) || !pause(ctx, backoff(try)) {
				if err != nil {
					e.Log.Warn("Could not delete a conversation in Dify", "follower", e.Alias(follower), "error", err)
				}
				return
			}
		}
	})
}
