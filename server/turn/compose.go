package turn

import (
	"cmp"
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

// page shows a turn's text from a cursor on, as much as fits on one page: whose question it is if that could be in
// doubt, the text, how it ended if it did not end well, and the tap-link to go on if there is more.
func (e *Engine) page(s *Settings, d *delivery, t session.Turn) Reply {
	text, over := e.text(t), t.State.Over()
	if t.State == session.Cancelled && text == "" { // whatever has cancelled it has said so
		return Reply{Kind: Silent}
	}
	from := t.Cursor
	if d.again != nil && t.Key == d.turn.Key {
		from = *d.again
	}
	if !fits(from, text) {
		from = session.Cursor{} // the text has changed: better twice than not at all
	}
	head, tail, link := e.heading(s, &t, from.At), "", s.labelled(e.onward(s, t, ""))
	if t.Key.ID != d.message.ID && from.At == 0 {
		head = e.quoted(s, &t)
	}
	if over {
		tail = e.ending(s, t, text)
	}
	start := unblanked(text, from.At)
	if start == len(text) && over && tail == "" { // all was seen while it grew: its last page tells that this is the end
		head = e.quoted(s, &t)
		start = e.lastPage(text, e.PageBytes-len(head)-len(link)-len(betweenBlocks))
		from = cursor(text, start)
	}
	rest, foot := text[start:], tail
	if over {
		if t.Others > 0 {
			foot = join(tail, s.more)
		}
		if whole := e.wholeLink(s, t); whole != "" && start > 0 && len(head)+len(join(rest, s.labelled(join(foot, whole)))) <= e.PageBytes {
			foot = join(foot, whole)
		}
		if rest != "" {
			foot = s.labelled(e.rated(s, t, foot, head, rest))
		}
		if rest == "" || len(head)+len(join(rest, foot)) <= e.PageBytes {
			if rest != "" && d.suggestions != nil {
				foot = e.withSuggestions(foot, head, rest, d.suggestions(&t))
			}
			return e.reply(d, t, text, part{head: head, body: rest, foot: foot, from: from, to: len(text), end: true})
		}
	}
	if rest == "" {
		return e.waiting(s, t, head)
	}
	if over {
		link = e.numbered(s, t, text, start, len(head), len(foot))
	}
	end, to := e.Renderer.Page(text, start, e.PageBytes-len(head)-len(link)-len(betweenBlocks))
	return e.reply(d, t, text, part{head: head, body: text[start:end], foot: link, from: from, to: to})
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

// part is what one page shows of a turn's text, ready to be put together.
type part struct {
	head, body, foot string
	from             session.Cursor
	to               int
	end              bool // of the text of a turn that is over
}

func (e *Engine) reply(d *delivery, t session.Turn, text string, p part) Reply {
	r := Reply{Kind: Page, Text: p.head + join(p.body, p.foot)}
	switch {
	case !t.State.Over():
		r.Kind = Partial
	case p.end && t.State == session.Failed:
		r.Kind = Failed
	case p.end:
		r.Kind = Answer
	}
	r.receipt = &receipt{follower: t.Key.Follower, Receipt: session.Receipt{
		Message: d.message.ID, Turn: t.Key.ID,
		Before: t.Cursor, From: p.from, To: cursor(text, p.to), End: p.end,
	}}
	return r
}

// text is what a follower can be shown of a turn now.
func (e *Engine) text(t session.Turn) string {
	if t.State.Over() {
		return e.Renderer.Text(t.Answer)
	}
	return e.Renderer.Partial(t.Answer)
}

// ending is what stands under the end of a turn's text if the text alone does not say it all.
func (e *Engine) ending(s *Settings, t session.Turn, text string) string {
	switch {
	case t.State == session.Cancelled:
		return s.Texts.get(TextStopped)
	case t.Failure == "":
		return ""
	case Failure(t.Failure) == FormOpen:
		return e.actionLinks(s, t)
	case final[Failure(t.Failure)]:
		return e.linked(s, t.Failure)
	}
	return s.Texts.get(failureText(t.Failure, text)) + "\n" + e.Link(s.Texts.get(TextRetry), Retry)
}

// failureText is the key of what is said of a failure. Whether a part of an answer was cut off by Dify or by the deaths of
// those who worked on it is one to a follower.
func failureText(failure, shown string) string {
	if failure == session.Abandoned && shown != "" {
		return string(CutShort)
	}
	return failure // abandoned without a text has that of any failure
}

// moreLink is what to tap to go on, with the number of the page if it has one, and words for those whose client shows no such link.
func (e *Engine) moreLink(s *Settings, number string) string {
	word := s.ContinueWords[0]
	return e.Link(s.Texts.get(TextContinue)+number, word) + strings.ReplaceAll(s.Texts.get(TextOrReply), "{{1}}", word)
}

func waitingText(t session.Turn) string {
	if t.State == session.Accepted {
		return TextQueued
	}
	return TextWaiting
}

// heading stands over what is shown of a turn from a place on: its question if that could be in doubt, or was heard in a voice message.
func (e *Engine) heading(s *Settings, t *session.Turn, from int) string {
	if t.Others > 0 || from == 0 && spoken(t) && t.Question != "" {
		return e.quoted(s, t)
	}
	return ""
}

// quoted is a turn's question, or what is said of one that is not understood.
func (e *Engine) quoted(s *Settings, t *session.Turn) string {
	return quote(cmp.Or(t.Question, s.Texts.get(TextVoice)))
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

// fits tells whether a cursor is a place in this text, with the same text before it as when the cursor was made.
func fits(c session.Cursor, text string) bool {
	return c.At >= 0 && c.At <= len(text) && c == cursor(text, c.At)
}

// cursor is the place in a text. Stores keep the checksum, so it must not change.
func cursor(text string, at int) session.Cursor {
	if at == 0 {
		return session.Cursor{}
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, text[:at]) // a hash never fails
	return session.Cursor{At: at, Sum: h.Sum64()}
}
