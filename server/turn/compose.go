package turn

import (
	"hash/fnv"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	minPageBytes  = 1200 // less has no room for a question, the longest of the bot's own texts, and links
	quotedBytes   = 120  // as much of a question as is quoted
	quoteRule     = "\n------------\n"
	ellipsis      = "…"
	betweenBlocks = "\n\n"
)

// compose shows a turn's text from a mark on, as much as fits on one page: whose question it is if that could be in
// doubt, the text, how it ended if it did not end well, and the tap-link to go on if there is more.
func (e *Engine) compose(s *Settings, d delivery, t session.Turn) Reply {
	text, over := e.shown(t), t.State.Over()
	from := d.from
	if !from.in(text) {
		from = mark{} // the text has changed: better twice than not at all
	}
	head, tail, link := "", "", s.more
	if t.Others > 0 || t.Key.ID != d.message.ID && from.at == 0 {
		head = quote(t.Question)
	}
	if over {
		tail = e.ending(s, t, text)
	}
	start := unblanked(text, from.at)
	if start == len(text) && over && tail == "" { // all was seen while it grew: its last page tells that this is the end
		head = quote(t.Question)
		start = e.lastPage(text, e.PageBytes-len(head)-len(link)-len(betweenBlocks))
		from = mark{start, sum(text[:start])}
	}
	rest := text[start:]
	if over {
		foot := tail
		if t.Others > 0 {
			foot = join(tail, link)
		}
		if rest == "" || len(head)+len(join(rest, foot)) <= e.PageBytes {
			return e.reply(d, t, text, page{head: head, body: rest, foot: foot, from: from, to: len(text), told: true})
		}
	}
	if rest == "" {
		return e.waiting(s, t, head)
	}
	end, to := e.Renderer.Page(text, start, e.PageBytes-len(head)-len(link)-len(betweenBlocks))
	return e.reply(d, t, text, page{head: head, body: text[start:end], foot: link, from: from, to: to})
}

// waiting is the line for a turn of which there is nothing to show yet.
func (e *Engine) waiting(s *Settings, t session.Turn, head string) Reply {
	return Reply{Kind: Waiting, Text: head + join(s.Texts.get(waitingText(t)), s.more)}
}

// lastPage is where the last page of a text starts.
func (e *Engine) lastPage(text string, size int) int {
	start := 0
	for {
		_, next := e.Renderer.Page(text, start, size)
		if next >= len(text) {
			return start
		}
		start = next
	}
}

// unblanked is where a page starts that goes on at from: behind blanks and empty lines, but before the indentation of a
// line. What grew was cut before them.
func unblanked(text string, from int) int {
	if from == 0 {
		return 0
	}
	start := len(text) - len(strings.TrimLeft(text[from:], " \t\n"))
	if line := strings.LastIndexByte(text[from:start], '\n'); line >= 0 && start < len(text) {
		return from + line + 1
	}
	return start
}

// page is one page of a turn's text, ready to be put together.
type page struct {
	head, body, foot string
	from             mark
	to               int
	told             bool
}

func (e *Engine) reply(d delivery, t session.Turn, text string, p page) Reply {
	r := Reply{Kind: Page, Text: p.head + join(p.body, p.foot), follower: t.Key.Follower}
	switch {
	case !t.State.Over():
		r.Kind = Partial
	case p.told && t.State == session.Failed:
		r.Kind = Failed
	case p.told:
		r.Kind = Answer
	}
	r.receipt = &session.Receipt{
		Message: d.message.ID, Turn: t.Key.ID,
		From: p.from.at, FromSum: p.from.sum, To: p.to, Sum: sum(text[:p.to]), Told: p.told,
	}
	return r
}

// shown is the text that a follower can be shown of a turn now.
func (e *Engine) shown(t session.Turn) string {
	switch t.State {
	case session.Answered, session.Failed:
		return t.Answer
	case session.Cancelled:
		return e.Renderer.Text(t.Partial)
	default:
		return e.Renderer.Partial(t.Partial)
	}
}

// empty tells whether a turn was cancelled before there was anything to show: whatever cancelled it has said so.
func (e *Engine) empty(t session.Turn) bool { return t.State == session.Cancelled && e.shown(t) == "" }

// unseen tells whether there is text of a turn that the follower has not got.
func (e *Engine) unseen(t session.Turn) bool {
	text, seen := e.shown(t), mark{t.Seen, t.SeenSum}
	return text != "" && (!seen.in(text) || unblanked(text, seen.at) < len(text))
}

// ending is what stands under the end of a turn's text if the text alone does not say it all.
func (e *Engine) ending(s *Settings, t session.Turn, text string) string {
	switch {
	case t.State == session.Cancelled:
		return s.Texts.get(TextStopped)
	case t.Failure != "":
		return s.Texts.get(t.Failure) + "\n" + e.Link(s.Texts.get(TextRetry), Retry)
	case text == "":
		return s.Texts.get(TextEmptyAnswer)
	}
	return ""
}

// moreLink is what to tap to go on, with words for those whose client shows no such link.
func (e *Engine) moreLink(t Texts) string {
	return e.Link(t.get(TextContinue), Fetch) + t.get(TextOrReply)
}

func waitingText(t session.Turn) string {
	if t.State == session.Accepted {
		return TextQueued
	}
	return TextWaiting
}

// quote is the head of an answer whose question could be in doubt.
func quote(question string) string {
	q := strings.Join(strings.Fields(question), " ")
	if len(q) > quotedBytes {
		cut := quotedBytes
		for !utf8.RuneStart(q[cut]) {
			cut--
		}
		q = q[:cut] + ellipsis
	}
	return q + quoteRule
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + betweenBlocks + b
}

// in tells whether the mark is a place in this text, with the same text before it as when the mark was set.
func (m mark) in(text string) bool {
	return m.at >= 0 && m.at <= len(text) && (m.at == 0 || m.sum == sum(text[:m.at]))
}

// sum is the checksum of a text. Stores keep it, so it must not change.
func sum(text string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, text) // a hash never fails
	return h.Sum64()
}
