package render

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// maxEntity is how long a character reference can be, from & to ;.
const maxEntity = 33

// entity decodes the character reference at i.
func (p *inline) entity(i int) int {
	s := clip(p.src[i:], maxEntity)
	for n := 1; n < len(s); n++ {
		switch c := s[n]; {
		case c == ';':
			text, ok := decodeEntity(s[:n+1])
			if !ok {
				return p.literal(i, 1)
			}
			p.out = append(p.out, text...)
			return i + n + 1
		case !isAlnum(c) && (c != '#' || n != 1):
			return p.literal(i, 1)
		}
	}
	if len(p.src)-i < maxEntity {
		return p.pending(i, 1)
	}
	return p.literal(i, 1)
}

// decodeEntity returns what the character reference s stands for, nothing for an illegal character.
func decodeEntity(s string) (text string, ok bool) {
	text = html.UnescapeString(s)
	if text == s {
		return "", false
	}
	if strings.HasSuffix(text, ";") && text != ";" { // a prefix of it is an entity without semicolon
		return "", false
	}
	r, n := utf8.DecodeRuneInString(text)
	switch {
	case r == '\u00A0':
		return " ", true
	case n == len(text) && (!legal(r) || r == '\r'):
		return "", true
	}
	return text, true
}

// unescape takes backslashes and character references out of a link's target.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') >= 0 {
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			if s[i] == '\\' && i+1 < len(s) && isPunct(s[i+1]) {
				i++
			}
			b.WriteByte(s[i])
		}
		s = b.String()
	}
	return unescapeHTML(s)
}

// unescapeHTML decodes all character references in s.
func unescapeHTML(s string) string {
	if strings.IndexByte(s, '&') < 0 {
		return s
	}
	var b strings.Builder
	for s != "" {
		n := strings.IndexByte(s, '&')
		if n < 0 {
			break
		}
		b.WriteString(s[:n])
		s = s[n:]
		if end := strings.IndexByte(clip(s, maxEntity), ';'); end > 0 {
			if text, ok := decodeEntity(s[:end+1]); ok {
				b.WriteString(text)
				s = s[end+1:]
				continue
			}
		}
		b.WriteByte('&')
		s = s[1:]
	}
	b.WriteString(s)
	return b.String()
}
