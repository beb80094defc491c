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
// already. The number of columns is not compared; models miscount.
func (d *document) tableStart(line string) bool {
	if !isDelimiterRow(line) {
		return false
	}
	head := string(d.para[d.lastLine:])
	if strings.IndexByte(head, '|') < 0 || d.lastLine > 0 && head[0] != '|' {
		return false
	}
	d.para = d.para[:max(d.lastLine-1, 0)]
	if len(d.para) > 0 {
		d.writeParagraph(false)
	}
	d.leaf, d.begun = table, false
	d.row(head)
	return true
}

// row writes a row of the open table.
func (d *document) row(line string) {
	line = strings.Trim(line, " \t")
	line = strings.TrimPrefix(line, "|")
	if strings.HasSuffix(line, "|") && !strings.HasSuffix(line, `\|`) {
		line = line[:len(line)-1]
	}
	var row []byte
	for i, cell := range splitCells(line) {
		if i > 0 {
			row = append(row, "｜"...)
		}
		text := bytes.Trim(d.text.render(cell, false, len(cell)), " \t\n")
		row = append(row, bytes.ReplaceAll(text, []byte("\n"), []byte(" "))...)
	}
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

// splitCells cuts a row at its bars, and takes the backslash from those that are escaped.
func splitCells(line string) []string {
	var cells []string
	start, escaped := 0, false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line):
			escaped = escaped || line[i+1] == '|'
			i++
		case line[i] == '|':
			cells = append(cells, unescapeBars(line[start:i], escaped))
			start, escaped = i+1, false
		}
	}
	return append(cells, unescapeBars(line[start:], escaped))
}

func unescapeBars(cell string, escaped bool) string {
	if escaped {
		cell = strings.ReplaceAll(cell, `\|`, "|")
	}
	return strings.Trim(cell, " \t")
}
