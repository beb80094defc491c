package render

import (
	"bytes"
	"strconv"
	"strings"
)

// writeParagraph renders the open paragraph; of one that goes on, the settled sentences.
func (d *document) writeParagraph(open bool) {
	src := string(d.para)
	d.para = d.para[:0]
	if n := len(d.open); n > 0 && d.open[n-1].pending {
		src = d.open[n-1].takeTask(src)
	} else if n > 0 && d.open[n-1].quote {
		src = d.text.o.alert(src, open)
	}
	if open {
		src = src[:headCandidate(src)]
	}
	d.write(d.text.render(src, open))
}

// headCandidate returns where the last line of an open paragraph starts if the next line may turn it
// into the head of a table, else the length of src.
func headCandidate(src string) int {
	start := strings.LastIndexByte(strings.TrimSuffix(src, "\n"), '\n') + 1
	if !mayBeHead(src[start:], start > 0) {
		return len(src)
	}
	return start
}

// alerts are the kinds of GitHub's alerts: quotations that begin with [!NOTE].
var alerts = map[string]string{"NOTE": "说明", "TIP": "提示", "IMPORTANT": "重要", "WARNING": "注意", "CAUTION": "警告"}

// alert puts a word in place of the kind of an alert.
func (o *Options) alert(src string, open bool) string {
	rest, ok := strings.CutPrefix(src, "[!")
	if !ok {
		return src
	}
	kind, text, _ := strings.Cut(rest, "]")
	kind = strings.ToUpper(kind)
	word := alerts[kind]
	switch {
	case word == "" || !strings.HasPrefix(text, "\n") && (open || text != ""):
		return src
	case o.English:
		word = kind
	}
	return word + text
}

// takeTask turns the "[ ]" of a task list's item into its box.
func (b *box) takeTask(src string) string {
	if b.quote || len(src) < 4 || src[0] != '[' || src[2] != ']' || !isSpace(src[3]) {
		return src
	}
	switch src[1] {
	case ' ':
		b.task = "☐ "
	case 'x', 'X':
		b.task = "☑ "
	default:
		return src
	}
	return strings.TrimLeft(src[4:], " \t")
}

func (d *document) heading(src string) {
	text := bytes.TrimSpace(d.text.render(src, false))
	switch {
	case len(text) == 0:
		return
	case bytes.HasPrefix(text, []byte("【")) && bytes.HasSuffix(text, []byte("】")):
		d.write(text)
	default:
		d.write([]byte("【" + string(bytes.ReplaceAll(text, []byte("\n"), []byte(" "))) + "】"))
	}
}

func (d *document) fencedLine(c *cursor) {
	if c.indent() < 4 && isFenceEnd(strings.TrimLeft(c.s, " \t"), d.fenceChar, d.fenceLen) {
		d.leaf = none
		return
	}
	c.skip(d.fenceIndent)
	d.codeLine(c)
}

// codeLine writes a line of code as it is. Blank lines at both ends of the block are left out.
func (d *document) codeLine(c *cursor) {
	if d.growing {
		return
	}
	if c.blank() {
		d.blanks++
		return
	}
	if !d.begun {
		d.separate()
		d.blanks = 0
	} else {
		for ; d.blanks > 0; d.blanks-- {
			d.out = append(d.out, '\n')
			d.writeLine(nil)
		}
		d.out = append(d.out, '\n')
	}
	d.begun = true
	d.writeLine([]byte(strings.Repeat(" ", c.pad) + unmarked(c.s)))
}

// write adds a block of lines; empty lines in it are left out.
func (d *document) write(text []byte) {
	first := true
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if line = bytes.Trim(line, " \t"); len(bytes.TrimSpace(line)) == 0 { // also of wide blanks
			continue
		}
		if first {
			d.separate()
			first = false
		} else {
			d.out = append(d.out, '\n')
		}
		d.writeLine(line)
	}
}

// separate ends the block before: one blank line, but none between items and inside an item unless the
// source has one.
func (d *document) separate() {
	if len(d.out) > 0 {
		inItem := d.kept > 0 && !d.open[d.kept-1].quote
		nextItem := d.sibling == d.kept && d.kept < len(d.open)
		d.out = append(d.out, '\n')
		if d.blank || !inItem && !nextItem {
			d.prefix(d.open[:d.kept])
			d.trimBlanks(0)
			d.out = append(d.out, '\n')
		}
	}
	d.blank, d.kept, d.sibling = false, len(d.open), -1
}

func (d *document) writeLine(line []byte) {
	start := len(d.out)
	d.prefix(d.open)
	d.out = append(d.out, line...)
	d.trimBlanks(start)
}

// prefix writes what a line begins with inside boxes.
func (d *document) prefix(boxes []box) {
	for i := range boxes {
		switch b := &boxes[i]; {
		case b.quote:
			d.out = append(d.out, "> "...)
		case !b.pending:
			d.out = append(d.out, "  "...)
		default:
			b.pending = false
			d.out = b.appendMark(d.out)
		}
	}
}

func (b *box) appendMark(out []byte) []byte {
	if b.mark.ordered() {
		out = strconv.AppendInt(out, int64(b.mark.number), 10)
		out = append(out, b.mark.kind, ' ')
	} else if b.task == "" {
		out = append(out, "• "...)
	}
	return append(out, b.task...)
}

func (d *document) trimBlanks(from int) {
	for len(d.out) > from && (d.out[len(d.out)-1] == ' ' || d.out[len(d.out)-1] == '\t') {
		d.out = d.out[:len(d.out)-1]
	}
}
