package render

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// What the tags of single elements do.

func (f *filter) startHeading(tag) {
	if !f.cell && f.anchor < 0 {
		f.heading, f.skip = len(f.out), true
	}
}

// maxLists bounds the indentation of items.
const maxLists = 10

func (f *filter) startList(t tag) {
	first := 0
	if t.name == "ol" {
		first = 1
		if n, err := strconv.Atoi(t.attribute("start")); err == nil && n > 0 && n < 1e9 {
			first = n
		}
	}
	f.lists = append(f.lists, first)
}

func (f *filter) endList(tag) { f.lists = f.lists[:max(len(f.lists)-1, 0)] }

func (f *filter) startItem(tag) {
	mark := "• "
	if n := len(f.lists); n > 0 {
		if !f.cell && f.anchor < 0 {
			f.put(strings.Repeat(string(hardBlank), 2*min(n-1, maxLists)))
		}
		if number := &f.lists[n-1]; *number > 0 {
			mark = strconv.Itoa(*number) + ". "
			*number++
		}
	}
	f.put(mark)
	f.item, f.skip = len(f.out), true
}

// startAnchor begins a link, if the tag has a place to lead to.
func (f *filter) startAnchor(t tag) {
	f.endAnchor(t)
	f.contact, f.said = t.attribute("href"), len(f.out)
	if attributes := f.o.anchorAttributes(t); attributes != "" {
		f.contact = ""
		f.put("")
		f.anchor, f.skip = len(f.out), true
		f.out = append(f.out, anchorStart(attributes)...)
	}
}

func (f *filter) endAnchor(tag) {
	if f.anchor < 0 {
		f.endContact()
		return
	}
	f.anchor = -1
	text := len(bytes.TrimRight(f.out, " \t\n"))
	f.blank = f.blank || text < len(f.out)
	f.out = append(f.out[:text], linkEnd)
}

// endContact ends a link to a number or a mailbox.
func (f *filter) endContact() {
	if f.contact == "" {
		return
	}
	text := contact(f.contact, string(f.out[min(f.said, len(f.out)):]))
	f.contact = ""
	if text != "" {
		blank := f.blank
		f.blank = false
		f.put(verbatim(text))
		f.blank = blank
	}
}

func (f *filter) image(t tag) {
	f.link(t.attribute("src", "data-src"), t.attribute("alt", "title"), f.o.words().image)
}

func (f *filter) embed(t tag) {
	if target := t.attribute("src"); target != "" {
		f.link(target, t.attribute("title"), f.o.words().link)
	}
}

func (f *filter) input(t tag) {
	if kind := t.attribute("type"); kind != "checkbox" && kind != "radio" {
		return
	}
	if t.has("checked") {
		f.put("☑ ")
	} else {
		f.put("☐ ")
	}
	f.skip = true
}

// A table becomes rows in one paragraph, however its source is broken into lines and indented: all white space
// between cells goes, and a cell has one line. A table in a cell stays in that line.

// firstRow begins a table, or the row of one whose own tag is missing, if it looks like one: behind the tag comes another
// one. The <table> of a sentence is a word.
func (f *filter) firstRow(t tag) int {
	rest := strings.TrimLeft(f.s[t.next:], " \t\n>")
	if rest == "" && !f.final {
		return f.hold(t.at)
	}
	if strings.HasPrefix(rest, "<") {
		f.leaveOut(t.at, t.next)
		f.unindent()
		f.edge()
		f.table, f.cells, f.skip = 1, 0, true
	}
	return t.next
}

func (f *filter) startTable(tag) {
	f.table++
	f.space()
}

func (f *filter) endTable(t tag) {
	if f.table > 1 {
		f.table--
		f.space()
		return
	}
	f.table = 0
	f.endRow(t)
}

func (f *filter) startCaption(tag) { f.cell = f.table > 0 }

// endRow ends the open row, if there is one.
func (f *filter) endRow(t tag) {
	if f.table > 1 {
		f.space()
		return
	}
	f.endAnchor(t)
	f.cell, f.cells = false, 0
	f.edge()
}

func (f *filter) startCell(t tag) {
	if f.table != 1 {
		f.space()
		return
	}
	f.endAnchor(t)
	f.blank, f.skip, f.cell = false, true, true
	if f.cells > 0 {
		f.out = append(f.out, cellEdge)
	}
	f.cells++
}

func (f *filter) endCell(tag) {
	f.cell = f.cell && f.table > 1
	f.space()
}

// What is read as a whole.

func (f *filter) hide(_ tag, _ string, next int) int { return next }

// script writes a <sup> or a <sub>. Of one that does not end the next character is taken.
// A link of Markdown in it is read as one: <sup>[[1]](https://a.b)</sup>.
func (f *filter) script(t tag, content string, next int) int {
	if strings.Contains(content, "](") {
		f.from = t.next
		return t.next
	}
	if next == t.next && next < len(f.s) && isAlnum(f.s[next]) {
		content = f.s[next : next+1]
		next++
		f.from = next
	}
	before := bytes.TrimRight(f.out, string(verbatimEnd))
	base, _ := utf8.DecodeLastRune(before)
	if len(before) == 0 || f.blank {
		base = ' '
	}
	f.put(verbatim(script(t.name, f.text(content), base)))
	return next
}

// code writes code: a block of lines, or a span.
func (f *filter) code(t tag, content string, next int) int {
	text := f.text(content)
	if f.cell || f.anchor >= 0 || t.name == "code" && strings.IndexByte(text, '\n') < 0 {
		f.put(verbatim(text))
		return next
	}
	f.edge()
	f.put("\n" + string(codeFence) + "\n" + text + "\n" + string(codeFence) + "\n")
	return next
}

// button writes a button: a tap-link that sends its message, or a link.
func (f *filter) button(t tag, content string, next int) int {
	f.edge()
	label := f.label(content)
	if message := t.attribute("data-message"); message != "" {
		f.writeLink(f.o.tapAddress(message), label, message)
	} else {
		f.link(t.attribute("data-link", "href"), label, "")
	}
	f.edge()
	return next
}

// label returns the text of a button's content, which may be Markdown.
func (f *filter) label(content string) string {
	text := inline{o: f.o}
	return unmarked(string(text.render(f.text(content), false)))
}

// media writes a link to what an element plays or shows. What it holds for those who cannot play it goes, unless it names
// nothing to play.
func (f *filter) media(t tag, content string, next int) int {
	target := t.attribute("src", "data")
	for at := t.next; target == ""; {
		n := indexFold(content, "<source")
		if n < 0 {
			f.from = t.next
			return t.next
		}
		source, st := f.readTag(at + n)
		if st != complete {
			return next
		}
		target = source.attribute("src")
		n += source.next - source.at
		at, content = at+n, content[min(n, len(content)):]
	}
	w := f.o.words()
	kind := map[string]string{"audio": w.audio, "video": w.video}[t.name]
	f.link(target, t.attribute("title", "aria-label"), cmp.Or(kind, w.link))
	return next
}

// link writes name as a link to target, or alone if one cannot lead there. Without a name it is called other.
func (f *filter) link(target, name, other string) {
	address, _ := f.o.linkable(target)
	f.writeLink(address, name, other)
}

// writeLink writes a link to an address that may be linked. Inside another link it is text.
func (f *filter) writeLink(address, name, other string) {
	text := verbatim(cmp.Or(inOneLine(name), other))
	if address == "" || f.anchor >= 0 {
		f.put(text)
		return
	}
	f.put(anchor(href(address), text))
}

// text returns the text of an element's content, as it is written: line breaks and blanks stay.
func (f *filter) text(content string) string {
	if strings.IndexByte(content, '<') < 0 {
		return plain(html.UnescapeString(content))
	}
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(content))
	for {
		switch z.Next() {
		case html.ErrorToken:
			b.Write(z.Raw())
			return plain(b.String())
		case html.TextToken:
			b.Write(z.Text())
		default:
			raw := string(z.Raw())
			name, _ := tagName(raw)
			if _, known := f.elements[name]; name == "br" {
				b.WriteByte('\n')
			} else if name != "" && !known {
				b.WriteString(raw)
			}
			z.NextIsNotRawText()
		}
	}
}

// plain returns decoded text with no characters but those that are shown.
func plain(s string) string { return strings.ReplaceAll(clean(s), "\u00A0", " ") }
