package dify

import (
	"bytes"
	"encoding/hex"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// deltaOf returns the answer member of an event that has nothing else of interest, as nearly all of a stream's events
// are. It reads the event once, where encoding/json would read it twice and ask for eight allocations. It is false
// where it is not sure to read as encoding/json does.
func deltaOf(data []byte) (answer string, sure bool) {
	c := cursor{data}
	if !c.take('{') {
		return "", false
	}
	for {
		key, ok := c.text()
		if !ok || bytes.IndexByte(key, '\\') >= 0 || !c.take(':') {
			return "", false
		}
		if string(key) == `"answer"` && c.at('"') {
			value, ok := c.text()
			if !ok {
				return "", false
			}
			if answer, ok = unquote(value); !ok {
				return "", false
			}
		} else if !c.skip() {
			return "", false
		}
		if c.take('}') {
			c.space()
			return answer, len(c.rest) == 0
		}
		if !c.take(',') {
			return "", false
		}
	}
}

// unquote decodes a JSON string; it is false for what is none.
func unquote(quoted []byte) (string, bool) {
	inner := quoted[1 : len(quoted)-1]
	var room [512]byte // of a delta, which is a few characters
	out := room[:0]
	for len(inner) > 0 {
		switch b := inner[0]; {
		case b == '\\':
			r, n := unescape(inner)
			if n == 0 {
				return "", false
			}
			out, inner = utf8.AppendRune(out, r), inner[n:]
		case b < ' ':
			return "", false
		case b < utf8.RuneSelf:
			out, inner = append(out, b), inner[1:]
		default:
			r, n := utf8.DecodeRune(inner) // U+FFFD for a byte that is no text, as encoding/json does
			out, inner = utf8.AppendRune(out, r), inner[n:]
		}
	}
	return string(out), true
}

// unescape decodes the escape sequence at the beginning of s and returns its length, 0 if it is none. Releases up to
// 1.8.0 escape every character beyond ASCII, those beyond U+FFFF as two surrogates.
func unescape(s []byte) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	if s[1] != 'u' {
		i := strings.IndexByte(`"\/bfnrt`, s[1])
		if i < 0 {
			return 0, 0
		}
		return rune("\"\\/\b\f\n\r\t"[i]), 2
	}
	r, ok := hex4(s[2:])
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		low, ok := hex4(s[8:])
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

func hex4(s []byte) (rune, bool) {
	var b [2]byte
	if len(s) < 4 {
		return 0, false
	}
	if _, err := hex.Decode(b[:], s[:4]); err != nil {
		return 0, false
	}
	return rune(b[0])<<8 | rune(b[1]), true
}

// cursor walks over JSON. It finds the bounds of values; what is within numbers and literals it does not check.
type cursor struct{ rest []byte }

func (c *cursor) space() { c.rest = bytes.TrimLeft(c.rest, " \t\r\n") }

// at says whether the next token begins with b.
func (c *cursor) at(b byte) bool {
	c.space()
	return len(c.rest) > 0 && c.rest[0] == b
}

// take passes over b if it comes next.
func (c *cursor) take(b byte) bool {
	if !c.at(b) {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

// text passes over a string and returns it with its quotes.
func (c *cursor) text() ([]byte, bool) {
	if !c.at('"') {
		return nil, false
	}
	for from := 1; ; {
		i := bytes.IndexByte(c.rest[from:], '"')
		if i < 0 {
			return nil, false
		}
		from += i + 1
		before := bytes.TrimRight(c.rest[:from-1], `\`)
		if escapes := from - 1 - len(before); escapes%2 == 0 {
			s := c.rest[:from]
			c.rest = c.rest[from:]
			return s, true
		}
	}
}

// skip passes over any value.
func (c *cursor) skip() bool {
	depth := 0
	for c.space(); len(c.rest) > 0; c.space() {
		switch b := c.rest[0]; b {
		case '"':
			if _, ok := c.text(); !ok {
				return false
			}
		case '{', '[':
			depth++
			c.rest = c.rest[1:]
		case '}', ']':
			depth--
			c.rest = c.rest[1:]
		case ',', ':':
			if depth == 0 {
				return false
			}
			c.rest = c.rest[1:]
		default:
			c.literal()
		}
		if depth <= 0 {
			return depth == 0
		}
	}
	return false
}

// literal passes over a number, true, false or null.
func (c *cursor) literal() {
	end := bytes.IndexAny(c.rest, ",:{}[]\" \t\r\n")
	if end < 0 {
		end = len(c.rest)
	}
	c.rest = c.rest[max(end, 1):]
}
