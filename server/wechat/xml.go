package wechat

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Bounds on a push's XML. The deepest one known (MASSSENDJOBFINISH) has 5 levels and some 100 elements.
const (
	maxDepth    = 16
	maxElements = 1024
)

// reader is a strict pull reader for the XML that WeChat sends: one root <xml>, elements with ASCII names and no
// namespaces, text, CDATA, comments. It refuses DTDs, entities other than XML's own five, and anything not well-formed.
// The source must be valid UTF-8 of legal characters (see legalise); it is not changed and values point into it
// where they can.
type reader struct {
	src       []byte
	pos       int
	verbatim  bool // readVerbatim is used
	texts     int  // that readVerbatim has read
	toLastEnd int  // the text, from 1, that is read to its last end, the others to their first; everyText: all

	open     [maxDepth]openElement
	depth    int
	elements int
	closed   bool   // the root has ended
	text     []byte // of the innermost element so far

	// The element that next has stopped at: a child of the root (parent is nil) or a grandchild.
	parent, name, value []byte
	nested              bool // it has child elements; value is then of no use

	err error
}

type openElement struct {
	name   []byte
	nested bool
}

var byteOrderMark = []byte("\uFEFF")

func newReader(src []byte) reader { return reader{src: bytes.TrimPrefix(src, byteOrderMark)} }

// next reads up to the end of the next child or grandchild of the root. It is false at the document's end and at an
// error, which is then in r.err and wraps ErrUnusable.
func (r *reader) next() bool {
	for r.err == nil {
		if r.depth > 0 {
			r.readText()
		} else {
			r.pos = r.afterSpace(r.pos)
		}
		if r.err != nil || r.pos == len(r.src) {
			break
		}
		stop := false
		switch rest := r.src[r.pos:]; {
		case rest[0] != '<' || len(rest) == 1:
			r.fail("text outside the root element")
		case rest[1] == '/':
			stop = r.endTag()
		case rest[1] == '!':
			r.readSection(rest)
		case rest[1] == '?':
			r.readInstruction()
		default:
			stop = r.startTag()
		}
		if stop && r.err == nil {
			return true
		}
	}
	if r.err == nil && !r.closed {
		r.fail("XML ends early")
	}
	return false
}

func (r *reader) fail(what unusableError) { r.err = what }

// readText takes the characters up to the next tag.
func (r *reader) readText() {
	n := bytes.IndexByte(r.src[r.pos:], '<')
	if n < 0 {
		r.fail("XML ends early")
		return
	}
	chunk := r.src[r.pos : r.pos+n]
	r.pos += n
	for {
		amp := bytes.IndexByte(chunk, '&')
		run := chunk
		if amp >= 0 {
			run = chunk[:amp]
		}
		if bytes.Contains(run, cdataEnd) {
			r.fail("]]> outside a CDATA section")
			return
		}
		r.addLines(run)
		if amp < 0 {
			return
		}
		char, size := reference(chunk[amp:])
		if size == 0 {
			r.fail("undefined entity or character reference")
			return
		}
		r.addRune(char)
		chunk = chunk[amp+size:]
	}
}

// addLines adds text with its line ends as XML wants them: \r\n and \r become \n.
func (r *reader) addLines(run []byte) {
	for {
		i := bytes.IndexByte(run, '\r')
		if i < 0 {
			r.add(run)
			return
		}
		r.add(run[:i])
		r.addRune('\n')
		run = bytes.TrimPrefix(run[i+1:], []byte{'\n'})
	}
}

func (r *reader) add(text []byte) {
	switch {
	case len(text) == 0:
	case r.text == nil:
		r.text = slices.Clip(text) // so that a later append copies instead of writing into src
	default:
		r.text = append(r.text, text...)
	}
}

func (r *reader) addRune(char rune) {
	if r.text == nil {
		r.text = make([]byte, 0, 64)
	}
	r.text = utf8.AppendRune(r.text, char)
}

// reference decodes the entity or character reference at the start of b. Its size is 0 if there is no valid one.
func reference(b []byte) (char rune, size int) {
	const longest = len("&#x0010FFFF;")
	end := bytes.IndexByte(b[:min(len(b), longest)], ';')
	if end < 0 {
		return 0, 0
	}
	size = end + 1
	switch name := string(b[1:end]); name {
	case "lt":
		return '<', size
	case "gt":
		return '>', size
	case "amp":
		return '&', size
	case "quot":
		return '"', size
	case "apos":
		return '\'', size
	default:
		char, ok := number(name)
		if !ok {
			return 0, 0
		}
		return char, size
	}
}

// number reads a character reference's "#60" or "#x3C".
func number(name string) (char rune, ok bool) {
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	digits, base := name[1:], 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 31)
	return rune(n), err == nil && legal(rune(n))
}

var (
	cdataStart   = []byte("<![CDATA[")
	cdataEnd     = []byte("]]>")
	cdataSplit   = []byte("]]]]><![CDATA[>") // how an XML writer writes cdataEnd
	commentStart = []byte("<!--")
)

// readSection reads a CDATA section or skips a comment.
func (r *reader) readSection(rest []byte) {
	if body, ok := bytes.CutPrefix(rest, cdataStart); ok && r.depth > 0 {
		text, _, found := bytes.Cut(body, cdataEnd)
		if !found {
			r.fail("CDATA section does not end")
			return
		}
		r.addLines(text)
		r.pos += len(cdataStart) + len(text) + len(cdataEnd)
		return
	}
	if body, ok := bytes.CutPrefix(rest, commentStart); ok {
		text, after, found := bytes.Cut(body, []byte("--"))
		if !found || len(after) == 0 || after[0] != '>' {
			r.fail("malformed comment")
			return
		}
		r.pos += len(commentStart) + len(text) + len("-->")
		return
	}
	r.fail("document type or other declaration")
}

// readInstruction skips a processing instruction; the XML declaration must be the first thing and say UTF-8.
func (r *reader) readInstruction() {
	start := r.pos
	end := r.afterName(start + 2)
	name := r.src[start+2 : end]
	if bytes.EqualFold(name, []byte("xml")) {
		r.readDeclaration(start, end)
		return
	}
	n := bytes.Index(r.src[end:], []byte("?>"))
	if len(name) == 0 || n < 0 || n > 0 && !isSpace(r.src[end]) {
		r.fail("malformed processing instruction")
		return
	}
	r.pos = end + n + len("?>")
}

func (r *reader) readDeclaration(start, at int) {
	if start != 0 || r.src[start+2] != 'x' || r.src[start+3] != 'm' || r.src[start+4] != 'l' {
		r.fail("misplaced XML declaration")
		return
	}
	for {
		name, value, next, ok := r.attribute(at)
		if !ok {
			r.fail("malformed XML declaration")
			return
		}
		if name == nil {
			at = next
			break
		}
		at = next
		known := string(name) == "version" && string(value) == "1.0" ||
			string(name) == "encoding" && bytes.EqualFold(value, []byte("utf-8")) || string(name) == "standalone"
		if !known {
			r.fail("XML declaration of another version or encoding")
			return
		}
	}
	if !bytes.HasPrefix(r.src[at:], []byte("?>")) {
		r.fail("malformed XML declaration")
		return
	}
	r.pos = at + len("?>")
}

// startTag reads <name …> or <name …/>, and reports whether next stops at it.
func (r *reader) startTag() (stop bool) {
	end := r.afterName(r.pos + 1)
	name := r.src[r.pos+1 : end]
	at, ok := r.afterAttributes(end)
	empty := ok && at < len(r.src) && r.src[at] == '/'
	if empty {
		at++
	}
	if len(name) == 0 || !ok || at >= len(r.src) || r.src[at] != '>' {
		r.fail("malformed start tag")
		return false
	}
	r.pos = at + 1
	if !r.enter(name) {
		return false
	}
	return (empty || r.readVerbatim(name)) && r.leave()
}

const (
	maxTexts  = 8 // that readVerbatim reads; no push has more than 4
	everyText = maxTexts + 1
)

// readVerbatim reads the value and end tag of an element with a follower's text in a CDATA section. WeChat does not escape
// "]]>" there, so the text may contain what looks like its end and other elements. It returns false, and reads nothing, for
// other elements and values.
func (r *reader) readVerbatim(name []byte) bool {
	var parent []byte
	if r.depth > 2 {
		parent = r.open[r.depth-2].name
	}
	if !r.verbatim || r.texts == maxTexts || r.depth < 2 || r.depth > 3 || !isWritten(parent, name) {
		return false
	}
	start := r.afterSpace(r.pos)
	if !bytes.HasPrefix(r.src[start:], cdataStart) {
		return false
	}
	start += len(cdataStart)
	r.texts++
	end, after := r.firstEnd(name, start)
	if end >= 0 && (r.toLastEnd == r.texts || r.toLastEnd == everyText) {
		end, after = r.lastEnd(name, start)
	}
	if end < 0 {
		return false
	}
	text := r.src[start:end]
	if bytes.Contains(text, cdataSplit) {
		text = bytes.ReplaceAll(text, cdataSplit, cdataEnd)
	}
	r.addLines(text)
	r.pos = after
	return true
}

// atEndTag reports whether an end tag of the element is at this position, followed by another tag, and returns its end.
func (r *reader) atEndTag(name []byte, at int) (after int, ok bool) {
	rest, isEnd := bytes.CutPrefix(r.src[at:], []byte("</"))
	rest, ours := bytes.CutPrefix(rest, name)
	gt := r.afterSpace(len(r.src) - len(rest))
	if !isEnd || !ours || gt == len(r.src) || r.src[gt] != '>' {
		return 0, false
	}
	next := r.afterSpace(gt + 1)
	return gt + 1, next < len(r.src) && r.src[next] == '<'
}

// firstEnd finds the first end of a CDATA section, which starts at start, and of the element around it. end is -1 if there
// is none.
func (r *reader) firstEnd(name []byte, start int) (end, after int) {
	for end = start; ; end++ {
		i := bytes.Index(r.src[end:], cdataEnd)
		if i < 0 {
			return -1, 0
		}
		end += i
		if after, ok := r.atEndTag(name, r.afterSpace(end+len(cdataEnd))); ok {
			return end, after
		}
	}
}

// lastEnd finds the last such end.
func (r *reader) lastEnd(name []byte, start int) (end, after int) {
	for to := len(r.src); ; {
		i := bytes.LastIndex(r.src[start:to], []byte("</"))
		if i < 0 {
			return -1, 0
		}
		to = start + i
		section, closed := bytes.CutSuffix(bytes.TrimRight(r.src[start:to], " \n\t\r"), cdataEnd)
		if after, ok := r.atEndTag(name, to); ok && closed {
			return start + len(section), after
		}
	}
}

func (r *reader) enter(name []byte) bool {
	switch {
	case r.depth == 0 && (r.closed || string(name) != "xml"):
		r.fail("root element is not a single <xml>")
		return false
	case r.depth == maxDepth || r.elements == maxElements:
		r.fail("too many or too deep elements")
		return false
	case r.depth > 0:
		r.open[r.depth-1].nested = true
	}
	r.open[r.depth] = openElement{name: name}
	r.depth++
	r.elements++
	r.text = nil
	return true
}

// endTag reads </name>.
func (r *reader) endTag() (stop bool) {
	end := r.afterName(r.pos + 2)
	name := r.src[r.pos+2 : end]
	at := r.afterSpace(end)
	if r.depth == 0 || !bytes.Equal(name, r.open[r.depth-1].name) || at == len(r.src) || r.src[at] != '>' {
		r.fail("mismatched end tag")
		return false
	}
	r.pos = at + 1
	return r.leave()
}

func (r *reader) leave() (stop bool) {
	r.depth--
	element := r.open[r.depth]
	r.name, r.nested, r.value, r.text, r.parent = element.name, element.nested, r.text, nil, nil
	if r.depth > 1 {
		r.parent = r.open[r.depth-1].name
	}
	r.closed = r.depth == 0
	return r.depth == 1 || r.depth == 2
}

func (r *reader) afterAttributes(at int) (next int, ok bool) {
	for {
		name, _, next, ok := r.attribute(at)
		if !ok || name == nil {
			return next, ok
		}
		at = next
	}
}

// attribute reads white space and an attribute behind it. Without an attribute, name is nil and next is behind the space.
func (r *reader) attribute(at int) (name, value []byte, next int, ok bool) {
	start := r.afterSpace(at)
	end := r.afterName(start)
	if end == start {
		return nil, nil, start, true
	}
	name = r.src[start:end]
	rest := r.src[r.afterSpace(end):]
	if start == at || len(rest) == 0 || rest[0] != '=' {
		return nil, nil, 0, false
	}
	rest = r.src[r.afterSpace(len(r.src)-len(rest)+1):]
	if len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return nil, nil, 0, false
	}
	value, after, found := bytes.Cut(rest[1:], rest[:1])
	if !found || bytes.ContainsAny(value, "<&") {
		return nil, nil, 0, false
	}
	return name, value, len(r.src) - len(after), true
}

func (r *reader) afterSpace(at int) int {
	for at < len(r.src) && isSpace(r.src[at]) {
		at++
	}
	return at
}

// afterName is the end of the ASCII name at at, or at itself if none starts there.
func (r *reader) afterName(at int) int {
	start := at
	for ; at < len(r.src); at++ {
		c := r.src[at]
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_'
		if !letter && (at == start || (c < '0' || c > '9') && c != '-' && c != '.') {
			break
		}
	}
	return at
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
