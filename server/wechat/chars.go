package wechat

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// legal tells whether XML 1.0 allows the character (its production Char).
func legal(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
}

// legalise drops the characters that XML 1.0 forbids, wherever they stand: followers paste control characters, and
// WeChat passes them on. It is ok only for UTF-8. The body itself is never changed, and is returned when there is nothing to drop.
func legalise(body []byte) (legalised []byte, ok bool) {
	if !utf8.Valid(body) {
		return nil, false
	}
	for i := range body {
		if illegalAt(body, i) > 0 {
			return dropIllegal(body, i), true
		}
	}
	return body, true
}

func dropIllegal(body []byte, from int) []byte {
	kept := slices.Clone(body[:from])
	for i := from; i < len(body); {
		if n := illegalAt(body, i); n > 0 {
			i += n
			continue
		}
		kept = append(kept, body[i])
		i++
	}
	return kept
}

// illegalAt is the length of the illegal character at b[i], 0 if there is none. In valid UTF-8 these are the control
// characters below space and U+FFFE, U+FFFF (EF BF BE, EF BF BF).
func illegalAt(b []byte, i int) int {
	c := b[i]
	if c >= 0x20 {
		if c == 0xEF && b[i+1] == 0xBF && b[i+2] >= 0xBE {
			return 3
		}
		return 0
	}
	if c == '\t' || c == '\n' || c == '\r' {
		return 0
	}
	return 1
}

// clean makes a text fit for a reply: without bytes that are not UTF-8 and characters that XML forbids,
// and with line breaks as XML readers report them.
func clean(s string) string {
	if !strings.ContainsFunc(s, unclean) {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case !legal(r):
			return -1
		}
		return r
	}, s)
}

// unclean includes U+FFFD: it is what a byte that is not UTF-8 reads as.
func unclean(r rune) bool { return r == utf8.RuneError || r == '\r' || !legal(r) }
