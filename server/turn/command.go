package turn

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// What a follower can type or tap besides questions, and the words that ask for what is undelivered
// (Settings.ContinueWords).
const (
	Clear = "/clear"
	Stop  = "/stop"
	Retry = "/retry" // what the tap-link under a failed answer sends
	Help  = "/help"
	Bot   = "/bot" // what the tap-link of a follower who waits for a person sends: the bot goes on
)

// DefaultContinueWords are those of a bot that has no own.
var DefaultContinueWords = []string{"1", "继续"}

// maxCommand bounds commands, in bytes: what is longer is a question.
const maxCommand = 32

// command is the command that a text is, or "" for a question. Only a slash and ASCII letters are a command, an unknown
// one asks for the help: WeChat's classic emoticons (/::), /:rose), paths and formulas begin with a slash too.
func command(text string) string {
	if rest, ok := strings.CutPrefix(text, "／"); ok { // as a Chinese keyboard gives it
		text = "/" + rest
	}
	if len(text) < 2 || len(text) > maxCommand || text[0] != '/' {
		return ""
	}
	text = strings.ToLower(text)
	for _, c := range []byte(text[1:]) {
		if c < 'a' || c > 'z' {
			return ""
		}
	}
	switch text {
	case Clear, Stop, Retry, Bot:
		return text
	}
	return Help
}

// continues tells whether a text asks for what is undelivered.
func (s *Settings) continues(text string) bool {
	if text == "１" { // as a Chinese keyboard gives it
		text = "1"
	}
	return slices.ContainsFunc(s.ContinueWords, func(word string) bool { return strings.EqualFold(word, text) })
}

// Text replies to what a follower has typed, or tapped: a question or a command. It returns when the reply is due, or
// with Held as soon as ctx ends.
func (e *Engine) Text(ctx context.Context, m Message) (r Reply) {
	s := e.settings.Load()
	began := time.Now()
	defer e.delivered(ctx, m, began, &r)
	text := strings.TrimSpace(m.Text)
	if action, turn, ok := choice(m); ok {
		return e.choose(ctx, s, m, action, turn)
	}
	if c := command(text); c != "" {
		return e.command(ctx, s, m, c)
	}
	switch {
	case text == "":
		return Reply{Kind: Silent}
	case s.continues(text):
		return e.resumeReading(ctx, s, m, text)
	case s.asksForHuman(text):
		return e.handOver(ctx, s, m)
	}
	if r, ok := rating(m, text); ok && s.Feedback {
		return e.rate(ctx, s, m, r)
	}
	if i := s.keyword(text); i != nil {
		return e.act(ctx, s, m, i)
	}
	if i := s.isName(text); i != nil {
		return e.act(ctx, s, m, i)
	}
	return e.ask(ctx, s, m, text)
}

// command does what one of the commands says.
func (e *Engine) command(ctx context.Context, s *Settings, m Message, c string) Reply {
	e.Contact(m)
	switch c {
	case Clear:
		return e.clear(ctx, s, m)
	case Stop:
		return e.stop(ctx, s, m)
	case Retry:
		return e.retry(ctx, s, m)
	case Bot:
		return e.backToBot(ctx, s, m)
	default:
		return e.Help()
	}
}

// delivered ends a delivery: whatever has gone wrong in it, the process lives, and the follower is told something.
func (e *Engine) delivered(ctx context.Context, m Message, began time.Time, r *Reply) {
	if p := recover(); p != nil {
		e.panicked("a delivery", p)
		*r = e.refuse(e.settings.Load(), TextBusy)
	}
	if e.Log.Enabled(ctx, slog.LevelDebug) {
		e.Log.Debug("Delivery finished", e.inLog(m.key(), "delivery", m.Delivery, "reply", r.Kind,
			"took", time.Since(began), "sinceReceived", time.Since(m.Received))...)
	}
}

// inLog is what a message is called in logs: all lines about it, and about its turn, have it, with its trace.
func (e *Engine) inLog(k session.Key, more ...any) []any {
	fields := append(make([]any, 0, 8+len(more)), "message", e.messageAlias(k)) // with room for what a caller adds
	if id := e.trace(k).ID(); id != "" {
		fields = append(fields, "trace_id", id)
	}
	return append(fields, more...)
}

func (e *Engine) messageAlias(k session.Key) string { return e.Alias(Name(k)) }

// Name is what Options.Alias is given for a message, and for its turn.
func Name(k session.Key) string { return k.Follower + "\n" + k.ID }

// Menu replies to a click on a menu item: one of the bot's menu does what it says; of one that was made otherwise the key
// may be a command, with or without its slash, or ask for what is undelivered. Any other gets the help.
func (e *Engine) Menu(ctx context.Context, m Message) Reply {
	m.Text, m.Click = strings.TrimSpace(m.Text), true
	if s := e.settings.Load(); s.isKey(m.Text) != nil {
		return e.click(ctx, s, m, s.isKey(m.Text))
	}
	if command(m.Text) == "" && !e.settings.Load().continues(m.Text) {
		if m.Text = "/" + m.Text; command(m.Text) == "" {
			return e.Help()
		}
	}
	return e.Text(ctx, m)
}

// Help says what the bot is and can.
func (e *Engine) Help() Reply {
	s := e.settings.Load()
	return e.notice(e.withMenu(s, join(s.help, s.Notice)))
}

// linked returns one of the bot's own texts with the commands in it as tap-links.
func (e *Engine) linked(s *Settings, key string) string {
	word := s.ContinueWords[0]
	return strings.NewReplacer(
		"{{1}}", e.Link(word, word), "{{stop}}", e.Link(Stop, Stop), "{{clear}}", e.Link(Clear, Clear),
		"{{ask}}", e.Link(s.Texts.get(TextAskPicture), s.Texts.get(TextAskPicture)),
		"{{bot}}", e.Link(s.Texts.get(TextBackToBot), Bot), "{{human}}", e.humanLink(s),
	).Replace(s.Texts.get(key))
}

// humanLink is what to tap for a person; "" if nobody is handed over.
func (e *Engine) humanLink(s *Settings) string {
	if len(s.HandoverWords) == 0 {
		return ""
	}
	return e.Link(s.HandoverWords[0], s.HandoverWords[0])
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

// resumeReading gives what the follower has not yet got, the oldest first. When there is no such thing, and the last answer asks
// for a number, the word is the answer to that; else the latest answer is shown again.
func (e *Engine) resumeReading(ctx context.Context, s *Settings, m Message, word string) Reply {
	e.Contact(m)
	c := e.clock(s, m)
	o, err := within(ctx, e, c.deadline, func(ctx context.Context) (session.Opened, error) { return e.Store.Open(ctx, m.key()) })
	if err != nil {
		return e.unavailable(ctx, s, m, c, "opening a session", err, e.waiting(s, session.Turn{}, ""))
	}
	d := &delivery{message: m, number: max(m.Delivery, o.Delivery), resumes: true}
	t := e.next(m, o)
	if t == nil {
		return e.notice(s.Texts.get(TextNothingYet))
	}
	d.turn = *t
	switch {
	case o.Receipt != nil && o.Receipt.Turn == t.Key.ID:
		d.again = &o.Receipt.From
	case t.Key.ID == m.ID, t.Delivered && isNumber(word) && asksForNumber(e.text(*t)):
		return e.ask(ctx, s, m, word)
	case t.Delivered:
		d.again = new(session.Cursor)
	}
	return e.deliverTraced(ctx, s, c, d)
}

// next is the turn that a fetch shows, nil if there is none: what an earlier delivery of the message has shown, or has
// asked, comes before all else.
func (e *Engine) next(m Message, o session.Opened) *session.Turn {
	turns := o.Session.Turns
	for i := range turns {
		if turns[i].Key.ID == m.ID || o.Receipt != nil && turns[i].Key.ID == o.Receipt.Turn {
			return &turns[i]
		}
	}
	var latest *session.Turn
	for i := range turns {
		switch t := &turns[i]; {
		case t.State == session.Cancelled && e.text(*t) == "":
		case !t.Delivered:
			return t
		default:
			latest = t
		}
	}
	return latest
}

// retry asks the question of the latest failed turn again.
func (e *Engine) retry(ctx context.Context, s *Settings, m Message) Reply {
	c := e.clock(s, m)
	have, err := within(ctx, e, c.deadline, func(ctx context.Context) (session.Session, error) { return e.Store.Get(ctx, m.Follower) })
	if err != nil {
		return e.unavailable(ctx, s, m, c, "looking for a failed turn", err, e.refuse(s, TextBusy))
	}
	for _, t := range slices.Backward(have.Turns) {
		if t.Key.ID == m.ID || (t.State.Over() && t.Failure != "") {
			m.Media, m.again = t.Media, t.Key.ID
			if ref := parseReference(t.Ref); ref.submits != nil {
				m.ref = reference{message: ref.message, submits: ref.submits}.String()
			}
			return e.ask(ctx, s, m, t.Question)
		}
	}
	return e.notice(s.Texts.get(TextNothingYet))
}

func (e *Engine) clear(ctx context.Context, s *Settings, m Message) Reply {
	c := e.clock(s, m)
	_, err := within(ctx, e, c.reply, func(ctx context.Context) (string, error) {
		conversation, err := e.endingAll(ctx, m.Follower, func() (string, error) { return e.Store.Clear(ctx, m.key()) })
		if err == nil && conversation != "" {
			e.jobs.run(func() { e.deleteConversations(m.Follower, conversation) })
		}
		return conversation, err
	})
	if err != nil {
		return e.unavailable(ctx, s, m, c, "clearing a session", err, e.refuse(s, TextBusy))
	}
	return e.notice(s.Texts.get(TextCleared))
}

func (e *Engine) stop(ctx context.Context, s *Settings, m Message) Reply {
	c := e.clock(s, m)
	type stopped struct {
		turn session.Turn
		ok   bool
	}
	was, err := within(ctx, e, c.reply, func(ctx context.Context) (stopped, error) {
		t, ok, err := e.Store.Cancel(ctx, m.key())
		return stopped{t, ok}, err
	})
	switch {
	case err != nil:
		return e.unavailable(ctx, s, m, c, "cancelling a turn", err, e.refuse(s, TextBusy))
	case !was.ok:
		return e.notice(s.Texts.get(TextNothingToStop))
	}
	e.endTrace(&was.turn, session.Cancelled.String())
	t, text := was.turn, e.text(was.turn)
	if text != "" && (!fits(t.Cursor, text) || unblanked(text, t.Cursor.At) < len(text)) { // there is more to show
		return e.notice(join(s.Texts.get(TextStopped), s.more))
	}
	r := session.Receipt{Message: m.ID, Turn: t.Key.ID, Before: t.Cursor, From: t.Cursor, To: cursor(text, len(text)), End: true}
	if _, err := within(ctx, e, c.reply, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, e.Store.Show(ctx, m.Follower, r) // this line is the end of the turn
	}); err != nil && !errors.Is(err, session.ErrMoved) {
		e.storeFailed("recording a reply", err)
	}
	return e.notice(s.Texts.get(TextStopped))
}

// Forget deletes everything that is kept of a follower, and all conversations that Dify has of them: sessions that were
// idle have been forgotten with the names of theirs.
func (e *Engine) Forget(ctx context.Context, follower string) error {
	forget := func() (string, error) { return e.Store.Forget(ctx, follower) }
	if _, err := e.endingAll(ctx, follower, forget); err != nil {
		e.storeFailed("forgetting a follower", err)
		return err
	}
	e.jobs.run(func() { e.forgetInDify(follower) })
	return nil
}
