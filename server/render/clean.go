package render

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Private marks. None of them is legal in XML 1.0, so after clean no input contains them. They go from the filter to the
// reader of Markdown, those of links on to finish, which alone makes tags: text that merely looks like a tag, even one that
// arises when marks between its letters are taken away, never becomes one.
const (
	linkStart     = '\x01' // attributes follow
	linkText      = '\x02' // text follows
	linkEnd       = '\x03'
	verbatimStart = '\x04' // text that is no Markdown follows
	verbatimEnd   = '\x05'
	lineBreak     = '\x06' // <br>
	blockEdge     = '\x07' // a new line; nothing reaches over it
	cellEdge      = '\x08' // the same between cells
	hardBlank     = '\x0E' // a blank that is not trimmed
	codeFence     = '\x0F' // a line of its own in front of code and behind it
)

// verbatim returns text, in one line, as the reader of Markdown leaves it.
func verbatim(text string) string {
	if text == "" {
		return ""
	}
	return string(verbatimStart) + strings.ReplaceAll(inOneLine(text), "|", "｜") + string(verbatimEnd)
}

// inOneLine returns text with a blank for all white space.
func inOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// unmarked returns s without private marks, as code is shown that was none to the filter.
func unmarked(s string) string {
	if !hasPrivate(s) {
		return s
	}
	for {
		before, rest, found := strings.Cut(s, string(linkStart))
		if !found {
			break
		}
		_, rest, _ = strings.Cut(rest, string(linkText))
		s = before + rest
	}
	return strings.Map(func(r rune) rune {
		if isPrivate(r) {
			return -1
		}
		return r
	}, s)
}

func hasPrivate(s string) bool { return strings.IndexFunc(s, isPrivate) >= 0 }

func isPrivate(r rune) bool { return r < ' ' && r != '\t' && r != '\n' }

// legal reports whether XML 1.0 allows r (https://www.w3.org/TR/xml/#charsets).
func legal(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r < 0xD800:
		return true
	default:
		return r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
	}
}

// clean returns s with LF line ends, without a byte order mark in front of it, and without bytes that are no UTF-8 or characters illegal in XML 1.0.
func clean(s string) string {
	s = strings.TrimLeft(s, "\uFEFF")
	if isClean(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case r == utf8.RuneError && n == 1, r == '\uFEFF' && b.Len() == 0:
		case r == '\r':
			b.WriteByte('\n')
			if i < len(s) && s[i] == '\n' {
				i++
			}
		case legal(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isClean(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' && c != '\n' && c != '\t':
			return false
		case c == 0xEF && i+2 < len(s) && s[i+1] == 0xBF && s[i+2] >= 0xBE:
			return false // U+FFFE, U+FFFF
		}
	}
	return utf8.ValidString(s)
}

// finish turns rendered lines into what is sent: links become tags, and every other "<a" or "</a" that
// a client could take for one gets a full-width bracket. WeChat text knows no escape, and code or
// decoded entities may well contain a tag that was meant to be read.
func finish(b []byte) string {
	b = bytes.Trim(b, " \t\n"+string(hardBlank))
	var out strings.Builder
	out.Grow(len(b) + 64)
	from := 0
	for i, c := range b {
		instead := finished[c]
		if instead == "" || c == '<' && !looksLikeAnchor(b[i+1:]) {
			continue
		}
		out.Write(b[from:i])
		out.WriteString(instead)
		from = i + 1
	}
	out.Write(b[from:])
	return out.String()
}

// finished is what finish writes instead of a mark.
var finished = [256]string{linkStart: "<a ", linkText: ">", linkEnd: "</a>", hardBlank: " ", '<': "＜"}

// looksLikeAnchor reports whether a '<' followed by b reads as a link's tag.
func looksLikeAnchor(b []byte) bool {
	if len(b) > 0 && b[0] == '/' {
		b = b[1:]
	}
	if len(b) == 0 || b[0]|0x20 != 'a' {
		return false
	}
	return len(b) == 1 || b[1] <= ' ' || b[1] == '>' || b[1] == '/'
}

// hasPrefixFold is strings.HasPrefix with ASCII letters compared in any case.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(s[i]) != lower(prefix[i]) {
			return false
		}
	}
	return true
}

// indexFold is strings.Index for a mark that begins with no letter, with ASCII letters compared in any case.
func indexFold(s, mark string) int {
	for at := 0; ; at++ {
		n := strings.IndexByte(s[at:], mark[0])
		if n < 0 {
			return -1
		}
		at += n
		if hasPrefixFold(s[at:], mark) {
			return at
		}
	}
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }
