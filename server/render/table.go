package render

import (
	"bytes"
	"strings"
)

// isDelimiterRow reports whether line is what stands between head and body of a table: | --- | :-: |
func isDelimiterRow(line string) bool {
	dashes, bars := 0, 0
	for i := range len(line) {
		switch line[i] {
		case '-':
			dashes++
		case '|':
			bars++
		case ':', ' ', '\t':
		default:
			return false
		}
	}
	return dashes > 0 && bars > 0
}

// tableStart turns the last line of the open paragraph into the head of a table if line is a delimiter
// row. A head below other text must begin with a bar: without one the line may have been shown as text
// already. The number of columns is not compared; models miscount. Of the open boxes, line continues the first n: one that is
// not indented below an item's text ends the item.
func (d *document) tableStart(line string, n int) bool {
	if !isDelimiterRow(line) || n < len(d.open) && (line[0] != '|' || d.lastLine == 0) {
		return false
	}
	head := string(d.para[d.lastLine:])
	if !mayBeHead(head, d.lastLine > 0) {
		return false
	}
	d.para = d.para[:max(d.lastLine-1, 0)]
	if len(d.para) > 0 {
		d.writeParagraph(false)
	}
	d.leaf = none
	d.closeTo(n)
	d.leaf, d.begun = table, false
	d.row(head)
	return true
}

// mayBeHead reports whether the last line of a paragraph, below other lines or not, may become the head of a table.
func mayBeHead(line string, below bool) bool {
	return strings.IndexByte(line, '|') >= 0 && (!below || line[0] == '|') && !strings.ContainsAny(line, edges)
}

// row writes a row of the open table.
func (d *document) row(line string) {
	line = strings.TrimPrefix(strings.Trim(line, " \t"), "|")
	if strings.HasSuffix(line, "|") && !strings.HasSuffix(line, `\|`) {
		line = line[:len(line)-1]
	}
	row := d.cells[:0]
	for more := true; more; {
		var cell string
		cell, line, more = cutCell(line)
		text := bytes.Trim(d.text.render(cell, false), " \t\n")
		start := len(row)
		row = append(row, text...)
		for i := start; i < len(row); i++ {
			if row[i] == '\n' {
				row[i] = ' '
			}
		}
		if more {
			row = append(row, "｜"...)
		}
	}
	d.cells = row
	if len(row) == 0 {
		return
	}
	if d.begun {
		d.out = append(d.out, '\n')
	} else {
		d.separate()
	}
	d.begun = true
	d.writeLine(row)
}

// cutCell cuts line behind its first cell. Bars with a backslash are part of a cell, and lose it. Those in code and in formulas are
// too, other than in GitHub's tables: models forget the backslash there.
func cutCell(line string) (cell, rest string, more bool) {
	escaped := false
	end := 0
	for ; end < len(line) && line[end] != '|'; end++ {
		if n := wholeLength(line[end:]); n > 0 {
			escaped = escaped || strings.Contains(line[end:end+n], `\|`)
			end += n - 1
		}
	}
	end = min(end, len(line))
	cell, more = line[:end], end < len(line)
	if more {
		rest = line[end+1:]
	}
	if escaped {
		cell = strings.ReplaceAll(cell, `\|`, "|")
	}
	return strings.Trim(cell, " \t"), rest, more
}

// wholeLength returns the length of what s starts with that no bar divides: an escape, a code span or its backticks, a formula. It is 0
// for anything else.
func wholeLength(s string) int {
	switch {
	case s[0] == '`':
		n := runLength(s, '`')
		if n > maxTicks {
			return n
		}
		if end := spanEnd(s[n:], n); end >= 0 {
			return n + end + n
		}
		return n
	case strings.HasPrefix(s, `\(`):
		if end := strings.Index(clip(s, maxTag), `\)`); end >= 0 {
			return end + len(`\)`)
		}
		return 2
	case s[0] == '\\':
		return min(2, len(s))
	case s[0] == '$' && len(s) > 1 && !isSpace(s[1]):
		// As formulas in text: a price is none.
		if end := strings.IndexByte(s[1:], '$'); end > 0 && !isSpace(s[end]) && digits(s[end+2:]) == 0 {
			return end + 2
		}
	}
	return 0
}
