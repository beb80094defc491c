package render

import (
	"strings"

	"golang.org/x/net/html"
)

// maxFence: longer fences are treated as this long, so that hostile input cannot make the search for their ends expensive.
const maxFence = 16

// filter is the first of two passes over an answer. It takes out what is not for the follower (forms.go) and turns
// HTML into text and private marks (html.go). What is left is Markdown.
//
// A tag inside a closed code fence or a closed code span is text. In a fence that is not closed, HTML is text too, but
// reasoning is still reasoning. While the answer grows, the filter stops where the meaning of what it has read depends on
// what comes next: its output is always a prefix of what it will be.
type filter struct {
	o        *Options
	s        string
	final    bool // s is the whole answer
	keepHTML bool

	out  []byte
	from int  // where the text starts that is neither written nor left out
	held bool // the text behind from waits for what comes next

	codeUntil   int    // a code span or a fence may have begun: what stands before this offset may be code
	fencedUntil int    // a fence is open that may be closed: the same for reasoning
	openFence   bool   // a fence is open
	noFence     [2]int // per fence character: fences at least this long have no end; 0: not known

	begun   bool    // there is text that is shown, or a fence that is none of a wrapper
	wrapper wrapper // that is open

	reasoned bool // a block of reasoning has been left out
	channels bool // a channel's header has been read
	tookBack bool // what had been written was reasoning

	htmlState
	elements map[string]element
	tags     tagReader
	z        *html.Tokenizer   // reads from tags
	next     map[string][2]int // where marks were looked for last, and found
}

// filtered returns what is left of markdown.
func (o *Options) filtered(markdown string, final bool) string {
	return newFilter(o, markdown, final).run()
}

func newFilter(o *Options, markdown string, final bool) *filter {
	return &filter{o: o, s: markdown, final: final, htmlState: newHTMLState(), elements: elements}
}

func (f *filter) run() string {
	for i := f.preamble(); i < len(f.s) && !f.held; {
		if f.table == 0 && (i == 0 || f.s[i-1] == '\n') {
			if after := f.reasoningFence(i); after > 0 {
				i = after
				continue
			}
			if after := f.unwrap(i); after > 0 {
				i = after
				continue
			}
			if after := f.fence(i); after > 0 {
				i = after
				continue
			}
		}
		eol := len(f.s)
		if n := strings.IndexByte(f.s[i:], '\n'); n >= 0 {
			eol = i + n + 1
		}
		i = f.line(i, eol)
	}
	return f.result()
}

// hold stops before i.
func (f *filter) hold(i int) int {
	f.flush(i)
	f.held = true
	return len(f.s)
}

// leaveOut leaves out s[i:next], and returns next.
func (f *filter) leaveOut(i, next int) int {
	f.flush(i)
	f.from = next
	return next
}

// fence returns the end of the closed code fence that starts in the line at i, 0 if none does.
func (f *filter) fence(i int) int {
	c, n := fenceStart(f.s[i:])
	if n == 0 {
		return 0
	}
	kind := 0
	if c == '~' {
		kind = 1
	}
	if f.noFence[kind] == 0 || n < f.noFence[kind] {
		if after := f.fenceEnd(i, c, n); after > 0 {
			return after
		}
		f.noFence[kind] = n
	}
	switch {
	case f.final:
		f.openFence = true
	case strings.IndexByte(f.s[i:], '\n') < 0: // it may turn out to be none
		f.codeUntil = len(f.s)
	default:
		f.openFence, f.fencedUntil = true, len(f.s)
	}
	return 0
}

// fenceEnd returns the end of the line that ends the fence of n characters c in the line at i, 0 if there is none.
func (f *filter) fenceEnd(i int, c byte, n int) int {
	at := i
	for line := range strings.SplitAfterSeq(f.s[i:], "\n") {
		first := at == i
		at += len(line)
		if !first && isFenceEnd(strings.TrimLeft(line, " \t>"), c, n) && (f.final || strings.HasSuffix(line, "\n")) {
			return at
		}
	}
	return 0
}

// fenceStart returns the fence that opens in the first line of s, behind quote and list marks.
func fenceStart(s string) (c byte, n int) {
	for {
		s = strings.TrimLeft(s, " \t>")
		m := scanMarker(s)
		if m.width == 0 {
			break
		}
		s = s[m.width:]
	}
	if s == "" || s[0] != '`' && s[0] != '~' {
		return 0, 0
	}
	line, _, _ := strings.Cut(s, "\n")
	c, n, _ = scanFence(line)
	return c, n
}

// line reads s[i:eol] and returns where to go on, which may be in a later line.
func (f *filter) line(i, eol int) int {
	var noSpan [maxTicks + 1]bool
	for i < eol && !f.held {
		switch c := f.s[i]; {
		case (c == '`' || c == '~') && f.endedInLine(i):
			i = max(i, f.unwrap(i))
		case c == '`':
			i = f.codeSpan(i, eol, &noSpan)
		case c == '<':
			i = f.angle(i)
		case formStarts[c]:
			i = f.mark(i)
		default:
			i++
		}
	}
	return i
}

// codeSpan passes over a code span that ends in its line, and in its cell of a table.
func (f *filter) codeSpan(i, eol int, noSpan *[maxTicks + 1]bool) int {
	ticks := runLength(f.s[i:eol], '`')
	if ticks > maxTicks || noSpan[ticks] {
		return i + ticks
	}
	if end := spanEnd(f.s[i+ticks:eol], ticks); end >= 0 && (f.table == 0 || !strings.Contains(f.s[i:i+ticks+end], "</t")) {
		if next := i + ticks + end + ticks; f.final || next < len(f.s) { // else its end may grow
			return next
		}
	}
	noSpan[ticks] = true
	if !f.final && f.s[eol-1] != '\n' {
		f.codeUntil = eol
	}
	return i + ticks
}

// mark handles what may be one of the forms but begins with another character than '<'.
func (f *filter) mark(i int) int {
	if next := f.form(i); next > 0 {
		return next
	}
	// A citation: 【4:0†source.pdf】
	label, ok := strings.CutPrefix(clip(f.s[i:], maxTag), "【")
	if !ok || digits(label) == 0 && (label != "" || f.final) {
		return i + 1
	}
	end := strings.Index(label, "】")
	switch {
	case end < 0 && !f.final && len(label) < maxTag-len("【"), end >= 0 && f.mayBeCode(i):
		return f.hold(i)
	case end >= 0 && strings.HasPrefix(strings.TrimLeft(label[:end], "0123456789:"), "†"):
		return f.leaveOut(i, i+end+2*len("【"))
	}
	return i + 1
}

// angle handles a '<': a form of forms.go, a comment, a tag, or text.
func (f *filter) angle(i int) int {
	s := f.s[i:]
	if !f.final && len(s) < maxMark && !strings.ContainsAny(s, "> \n") {
		return f.hold(i)
	}
	if next := f.form(i); next > 0 {
		return next
	}
	if next := f.token(i); next > 0 {
		return next
	}
	name, n := tagName(s)
	switch {
	case strings.HasPrefix(s, "<!--"):
		return f.comment(i)
	case hasPrefixFold(s, "<!doctype"):
		return f.tag(i, "!doctype")
	case name == "" || n < len(s) && s[n] != '>' && s[n] != '/' && !isSpace(s[n]):
		return i + 1
	case isReasoning(name), callTags[name], answerTags[name]:
		return f.formTag(i, name)
	case name == "details" && s[1] != '/':
		return f.details(i)
	}
	return f.tag(i, name)
}

// comment leaves out an HTML comment.
func (f *filter) comment(i int) int {
	const end = "-->"
	at := f.find(end, i+len("<!--"))
	switch {
	case f.openFence, at == len(f.s) && f.final:
		return i + 1
	case at == len(f.s), i < f.codeUntil:
		return f.hold(i)
	}
	return f.leaveOut(i, at+len(end))
}

// find returns where mark stands next at or behind i, len(s) if it does not. ASCII letters are compared in any case.
func (f *filter) find(mark string, i int) int {
	last, known := f.next[mark]
	if known && last[0] <= i && i <= last[1] {
		return last[1]
	}
	at := len(f.s)
	if n := indexFold(f.s[i:], mark); n >= 0 {
		at = i + n
	}
	if f.next == nil {
		f.next = map[string][2]int{}
	}
	f.next[mark] = [2]int{i, at}
	return at
}

// tagName returns the name of the tag that s starts with, in lower case, and where it ends. Without one it is "".
func tagName(s string) (name string, n int) {
	n = 1
	if n < len(s) && s[n] == '/' {
		n++
	}
	start := n
	for n < len(s) && n < maxMark && (isAlnum(s[n]) || n > start && strings.IndexByte(":_-.", s[n]) >= 0) {
		n++
	}
	if n == start || digits(s[start:]) > 0 {
		return "", n
	}
	return strings.ToLower(s[start:n]), n
}
