package render

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// element is what becomes of an element of HTML. Without more, its tags are left out.
type element struct {
	before, after string                                               // written for its tags; an edge ends the line
	start, end    func(*filter, tag)                                   // what its tags do besides
	whole         func(f *filter, t tag, content string, next int) int // reads it up to its end, where next is, and returns where to go on
	limit         int                                                  // how many bytes of content whole reads; 0 is no limit
	word          bool                                                 // a tag without an end is a word: the <pre> of a sentence
}

const edge = string(blockEdge)

// elements are those of HTML. Other names in angle brackets are text: List<String>, <token>. But a name with a hyphen is a
// custom element.
var elements = func() map[string]element {
	all := map[string]element{}
	add := func(list string, e element) {
		for name := range strings.FieldsSeq(list) {
			all[name] = e
		}
	}
	add(`!doctype abbr acronym area b base bdi bdo big cite col colgroup data del dfn em fieldset font form head i ins kbd
		label legend link main map mark meta meter nobr output param picture progress rb rtc ruby s samp select small span strike
		strong tbody textarea tfoot thead time track tt u var wbr`, element{})
	add(`address article aside blockquote body center dd details dialog dir div dl dt figcaption figure footer header hgroup
		html menu nav optgroup option p search section summary`, element{before: edge, after: edge})
	add("br", element{before: string(lineBreak)})
	add("hr", element{before: edge + "————" + edge})
	add("q", element{before: "“", after: "”"})
	add("rt", element{before: "（", after: "）"})
	add("h1 h2 h3 h4 h5 h6", element{before: edge, start: (*filter).startHeading, after: edge})
	add("ol ul", element{before: edge, start: (*filter).startList, end: (*filter).endList, after: edge})
	add("li", element{before: edge, start: (*filter).startItem, after: edge})
	add("a", element{start: (*filter).startAnchor, end: (*filter).endAnchor})
	add("img", element{start: (*filter).image})
	add("embed frame source", element{start: (*filter).embed})
	add("input", element{start: (*filter).input})
	add("table", element{start: (*filter).startTable, end: (*filter).endTable})
	add("caption", element{before: edge, start: (*filter).startCaption, end: (*filter).endCell, after: edge})
	add("tr", element{start: (*filter).endRow, end: (*filter).endRow})
	add("td th", element{start: (*filter).startCell, end: (*filter).endCell})
	add("audio iframe object video", element{whole: (*filter).media, limit: 4096})
	add("button", element{whole: (*filter).button, limit: 1024})
	add("sub sup", element{whole: (*filter).script, limit: 256})
	add("code", element{whole: (*filter).code, limit: 8192, word: true})
	add("listing pre xmp", element{whole: (*filter).code, word: true})
	add("canvas datalist frameset noembed noframes noscript rp script style svg template title", element{whole: (*filter).hide, word: true})
	return all
}()

// tag handles the tag at i.
func (f *filter) tag(i int, name string) int {
	e, known := f.elements[name]
	if f.openFence || f.keepHTML || !known && strings.IndexByte(name, '-') <= 0 {
		return i + 1
	}
	t, st := f.readTag(i)
	switch {
	case st == partial, st == complete && i < f.codeUntil:
		return f.hold(i)
	case st == absent:
		return i + 1
	case t.end:
		f.leaveOut(i, t.next)
		if e.end != nil {
			e.end(f, t)
		}
		f.write(e.after)
		return t.next
	case e.whole != nil:
		return f.whole(e, t)
	case f.table == 0 && (name == "table" || name == "tr"):
		return f.firstRow(t)
	}
	f.leaveOut(i, t.next)
	f.unindent()
	f.write(e.before)
	if e.start != nil {
		e.start(f, t)
	}
	return t.next
}

// write writes what stands for a tag.
func (f *filter) write(text string) {
	for i, r := range text {
		switch {
		case r == blockEdge:
			f.edge()
		case r == lineBreak && (f.cell || f.anchor >= 0):
			f.space()
		default:
			f.put(text[i : i+utf8.RuneLen(r)])
		}
	}
}

// whole handles an element whose content is read at once.
func (f *filter) whole(e element, t tag) int {
	content, next, st := "", t.next, absent
	if !t.empty {
		content, next, st = f.content(t, e.limit)
	}
	switch {
	case st == partial:
		return f.hold(t.at)
	case st == absent && e.word && !t.empty:
		return f.word(t)
	}
	f.leaveOut(t.at, next)
	f.unindent()
	return e.whole(f, t, content, next)
}

// content returns what stands between t and its end, and where that ends.
func (f *filter) content(t tag, limit int) (content string, next int, st state) {
	if limit == 0 {
		limit = len(f.s)
	}
	end := f.find("</"+t.name, t.next)
	switch {
	case end < len(f.s) && end-t.next <= limit && tagEnd(f.s[end:]) > 0:
		return f.s[t.next:end], end + tagEnd(f.s[end:]), complete
	case !f.final && len(f.s)-t.next <= limit+maxTag:
		return "", t.next, partial
	}
	return "", t.next, absent
}

// word handles a tag without an end. Code that is cut off goes with all that follows; else the tag is a word of a sentence.
func (f *filter) word(t tag) int {
	rest := f.s[t.next:]
	code := rest != "" && (rest[0] == '\n' || rest[0] > ' ' && rest[0] < utf8.RuneSelf)
	if code && (t.name == "script" || t.name == "style" || t.name == "svg") {
		return f.leaveOut(t.at, len(f.s))
	}
	return t.next
}

// unindent takes the indentation before a tag away as far as it would make code of the line: tags are indented as one likes.
func (f *filter) unindent() {
	line := bytes.TrimRight(f.out, " \t")
	indent := f.out[len(line):]
	if (len(line) == 0 || line[len(line)-1] == '\n') && (len(indent) > 3 || bytes.IndexByte(indent, '\t') >= 0) {
		f.out = append(f.out[:len(line)], "   "...)
	}
}
