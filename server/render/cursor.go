package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cursor reads the white space and the marks at the beginning of a line. A tab reaches to the next
// column that is a multiple of four, and can be consumed in part.
type cursor struct {
	s   string // what is left
	col int    // column of s[0], before pad
	pad int    // columns left of a tab that was consumed in part
}

// indent returns how many columns of white space come next.
func (c *cursor) indent() int {
	col := c.col + c.pad
	for i := range len(c.s) {
		switch c.s[i] {
		case ' ':
			col++
		case '\t':
			col += 4 - col%4
		default:
			return col - c.col
		}
	}
	return col - c.col
}

// skip consumes up to n columns of white space.
func (c *cursor) skip(n int) {
	for n > 0 {
		switch {
		case c.pad > 0:
			k := min(n, c.pad)
			c.pad -= k
			c.col += k
			n -= k
		case c.s != "" && c.s[0] == ' ':
			c.take(1)
			n--
		case c.s != "" && c.s[0] == '\t':
			c.pad = 4 - c.col%4
			c.s = c.s[1:]
		default:
			return
		}
	}
}

// take consumes n bytes that are one column each.
func (c *cursor) take(n int) {
	c.s = c.s[n:]
	c.col += n
}

func (c *cursor) blank() bool { return strings.Trim(c.s, " \t") == "" }

// marker is the mark of a list item.
type marker struct {
	kind   byte // '-', '*', '+', or '.' and ')' behind a number
	number int
	width  int // in bytes; 0: no marker
}

// scanMarker returns the marker that s starts with.
func scanMarker(s string) marker {
	if s == "" {
		return marker{}
	}
	m := marker{kind: s[0], width: 1}
	if n := digits(s); n > 0 {
		if n > 9 || n == len(s) || s[n] != '.' && s[n] != ')' {
			return marker{}
		}
		for i := range n {
			m.number = m.number*10 + int(s[i]-'0')
		}
		m.kind, m.width = s[n], n+1
	} else if c := s[0]; c != '-' && c != '*' && c != '+' {
		return marker{}
	}
	if m.width < len(s) && !isSpace(s[m.width]) {
		return marker{}
	}
	return m
}

func (m marker) ordered() bool { return m.kind == '.' || m.kind == ')' }

// scanFence returns the code fence that line starts with: its character and its length, at most maxFence.
func scanFence(line string) (c byte, n int, ok bool) {
	if line == string(codeFence) {
		return codeFence, 1, true
	}
	if line == "" || line[0] != '`' && line[0] != '~' {
		return 0, 0, false
	}
	n = runLength(line, line[0])
	if n < 3 || line[0] == '`' && strings.IndexByte(line[n:], '`') >= 0 {
		return 0, 0, false
	}
	return line[0], min(n, maxFence), true
}

// isFenceEnd reports whether line ends a fence of n characters c.
func isFenceEnd(line string, c byte, n int) bool {
	k := runLength(line, c)
	return k >= n && strings.Trim(line[k:], " \t\n") == ""
}

// isRule reports whether line is a thematic break: three or more of one of -, * and _, and blanks.
func isRule(line string) bool {
	c := line[0]
	if c != '-' && c != '*' && c != '_' {
		return false
	}
	n := 0
	for i := range len(line) {
		switch line[i] {
		case c:
			n++
		case ' ', '\t':
		default:
			return false
		}
	}
	return n >= 3
}

// scanHeading returns the text of an ATX heading. Models forget the blank behind the #; one # alone is a topic then.
func scanHeading(line string) (text string, ok bool) {
	n := runLength(line, '#')
	if n == 0 || n > 6 {
		return "", false
	}
	next, _ := utf8.DecodeRuneInString(line[n:])
	glued := n < len(line) && !unicode.IsSpace(next)
	if glued && n == 1 {
		return "", false
	}
	text = strings.TrimSpace(line[n:])
	bare := strings.TrimRight(text, "#")
	if bare == "" || isSpace(bare[len(bare)-1]) || len(text)-len(bare) == n && (glued || n > 1) {
		text = strings.TrimSpace(bare)
	}
	return text, true
}

func runLength(s string, c byte) int {
	n := 0
	for n < len(s) && s[n] == c {
		n++
	}
	return n
}

func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'z'
}
