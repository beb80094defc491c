package render

import (
	"strings"
	"unicode/utf8"
)

// Private marks of a link inside rendered text. None of them is legal in XML 1.0, so after clean no
// input contains them, and only finish turns them into tags: text that merely looks like a tag, even
// one that arises when marks between its letters are taken away, never becomes one.
const (
	linkStart = '\x01' // attributes follow
	linkText  = '\x02' // text follows
	linkEnd   = '\x03'
)

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

// clean returns s with LF line ends and without bytes that are no UTF-8 or characters illegal in XML 1.0.
func clean(s string) string {
	if isClean(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case r == utf8.RuneError && n == 1:
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
	var out strings.Builder
	out.Grow(len(b) + 64)
	for i := range b {
		switch c := b[i]; {
		case c == linkStart:
			out.WriteString("<a ")
		case c == linkText:
			out.WriteByte('>')
		case c == linkEnd:
			out.WriteString("</a>")
		case c == '<' && looksLikeAnchor(b[i+1:]):
			out.WriteString("＜")
		default:
			out.WriteByte(c)
		}
	}
	return strings.Trim(out.String(), " \t\n")
}

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
