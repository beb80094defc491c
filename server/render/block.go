package render

import "strings"

// maxDepth bounds the nesting of lists and quotations; deeper marks are text. It also bounds by how
// much a short line can grow, since each level writes two columns.
const maxDepth = 10

// leafKind is what the lines at the current place belong to.
type leafKind int

const (
	none leafKind = iota
	paragraph
	fenced
	indented
	table
)

// box is an open quotation or list item.
type box struct {
	quote bool
	// The rest is a list item's.
	mark    marker
	indent  int  // columns that its content stands behind what encloses it
	pending bool // its mark is not written yet
	task    string
	empty   bool // it has no content line yet
}

// document renders Markdown line by line. What is in out never changes again.
type document struct {
	out  []byte
	open []box

	leaf     leafKind
	para     []byte // source of the open paragraph
	lastLine int    // where its last line starts in para
	text     inline
	cells    []byte // reused from row to row

	fenceChar   byte
	fenceLen    int
	fenceIndent int
	begun       bool // the open code block or table has written a line
	blanks      int  // blank lines that wait for another code line

	growing bool // the line being read is not complete
	blank   bool // a blank line came since the last block was written
	kept    int  // boxes still open since the last block was written
	sibling int  // index of a box that took the place of an item of the same list, -1: none
}

// feed reads complete lines; the end of s ends its last line.
func (d *document) feed(s string) {
	d.sibling = -1
	for s != "" {
		line, rest, _ := strings.Cut(s, "\n")
		d.line(line)
		s = rest
	}
}

func (d *document) line(s string) {
	c := cursor{s: s}
	matched := d.match(&c)
	if d.leaf == fenced && matched == len(d.open) {
		d.fencedLine(&c)
		return
	}
	if c.blank() {
		d.blankLine(matched)
		return
	}
	if d.startBlocks(&c, &matched) {
		return
	}
	d.textLine(&c, matched)
}

// match consumes the marks and the indentation of the boxes that the line continues.
func (d *document) match(c *cursor) int {
	for i := range d.open {
		b := &d.open[i]
		switch ind := c.indent(); {
		case b.quote:
			if ind > 3 || !strings.HasPrefix(strings.TrimLeft(c.s, " \t"), ">") {
				return i
			}
			c.skip(ind)
			c.take(1)
			c.skip(1)
		case c.blank():
			if b.empty { // an item may begin with one blank line at most: its own
				return i
			}
			c.skip(ind)
		case ind >= b.indent:
			c.skip(b.indent)
			b.empty = false
		case d.leaf != fenced && b.holdsList(ind, c.s):
			b.indent, b.empty = ind, false
			c.skip(ind)
		default:
			return i
		}
	}
	return len(d.open)
}

// holdsList reports whether line, indented by ind columns, is a bullet in a numbered item, or the first number of a list in it. Models
// indent those by two columns, whatever the width of the number.
func (b *box) holdsList(ind int, line string) bool {
	if !b.mark.ordered() || ind < 2 {
		return false
	}
	m := scanMarker(strings.TrimLeft(line, " \t"))
	return m.width > 0 && (!m.ordered() || m.number == 1)
}

func (d *document) blankLine(matched int) {
	switch d.leaf {
	case paragraph, table:
		d.closeLeaf()
	case indented:
		d.blanks++
	case fenced:
		d.closeLeaf()
	case none:
	}
	if matched < len(d.open) {
		d.closeTo(matched)
	}
	d.blank = true
}

// startBlocks opens the boxes that the line starts, and handles a line that is a block of its own.
func (d *document) startBlocks(c *cursor, matched *int) (done bool) {
	for {
		ind := c.indent()
		rest := strings.TrimLeft(c.s, " \t")
		if rest == "" || ind >= 4 && (d.leaf != paragraph || !strings.HasPrefix(rest, "##")) {
			return false
		}
		continues := d.leaf == paragraph && *matched == len(d.open)
		switch {
		case rest[0] == '>' && len(d.open) < maxDepth:
			d.closeTo(*matched)
			c.skip(ind)
			c.take(1)
			c.skip(1)
			d.push(box{quote: true}, matched)
		case d.ownLine(rest, ind, *matched):
			return true
		case d.leaf == paragraph && d.tableStart(rest, *matched):
			return true
		case !d.item(c, ind, continues, matched):
			return false
		}
	}
}

// ownLine handles a line that is a heading, a rule or the start of a fence.
func (d *document) ownLine(rest string, ind, matched int) bool {
	if heading, ok := scanHeading(rest); ok {
		d.closeTo(matched)
		d.heading(heading)
		return true
	}
	if isRule(rest) {
		d.closeTo(matched)
		d.write([]byte("————"))
		return true
	}
	c, n, ok := scanFence(rest)
	if ok {
		d.closeTo(matched)
		d.leaf, d.begun, d.blanks = fenced, false, 0
		d.fenceChar, d.fenceLen, d.fenceIndent = c, n, ind
	}
	return ok
}

// item opens a list item if the line starts one.
func (d *document) item(c *cursor, ind int, continues bool, matched *int) bool {
	rest := strings.TrimLeft(c.s, " \t")
	m := scanMarker(rest)
	if m.width == 0 {
		return false
	}
	empty := strings.Trim(rest[m.width:], " \t") == ""
	if continues && (empty || m.ordered() && m.number != 1) {
		return false // a line of text that happens to begin like an item
	}
	sibling := *matched < len(d.open) && !d.open[*matched].quote && d.open[*matched].mark.kind == m.kind
	if sibling {
		m.number = max(m.number, d.open[*matched].mark.number+1)
	} else if *matched >= maxDepth {
		return false
	}
	d.closeTo(*matched)
	if sibling {
		d.sibling = *matched
	}
	c.skip(ind)
	c.take(m.width)
	b := box{mark: m, pending: true, empty: empty, indent: ind + m.width + 1}
	if gap := c.indent(); !empty && gap < 5 {
		b.indent = ind + m.width + gap
	}
	c.skip(b.indent - ind - m.width)
	d.push(b, matched)
	return true
}

func (d *document) push(b box, matched *int) {
	d.open = append(d.open, b)
	*matched = len(d.open)
}

// textLine adds a line to a paragraph, a table or indented code.
func (d *document) textLine(c *cursor, matched int) {
	if c.blank() { // nothing but marks
		d.closeTo(matched)
		return
	}
	lazy := matched < len(d.open) && d.leaf == paragraph
	ind := c.indent()
	switch {
	case lazy, d.leaf == paragraph:
		d.para = append(d.para, '\n')
		d.lastLine = len(d.para)
	case d.leaf == table && matched == len(d.open) && strings.IndexByte(c.s, '|') >= 0:
		d.row(c.s)
		return
	case ind >= 4:
		if d.leaf != indented || matched < len(d.open) {
			d.closeTo(matched)
			d.leaf, d.begun, d.blanks = indented, false, 0
		}
		c.skip(4)
		d.codeLine(c)
		return
	default:
		d.closeTo(matched)
		d.leaf, d.lastLine = paragraph, 0
	}
	d.para = append(d.para, strings.Trim(c.s, " \t")...)
}

// closeTo ends the open leaf and all boxes but the first n.
func (d *document) closeTo(n int) {
	d.closeLeaf()
	d.open = d.open[:n]
	d.kept = min(d.kept, n)
}

// closeLeaf writes the open paragraph. Other leaves were written line by line.
func (d *document) closeLeaf() {
	if d.leaf == paragraph {
		d.writeParagraph(false)
	}
	d.leaf = none
}

// closeOpen writes what is settled of a document that goes on.
func (d *document) closeOpen() {
	if d.leaf == paragraph {
		if !d.growing {
			d.para = append(d.para, '\n')
		}
		d.writeParagraph(true)
	}
}
