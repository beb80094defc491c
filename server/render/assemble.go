package render

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// assemble applies the edits to out before hold, and balances the links: the outer one of two wins, an
// empty one goes, a line break inside one is a blank.
func (p *inline) assemble() []byte {
	at := 0
	depth, start, text := 0, 0, 0
	put := func(b []byte) {
		for len(b) > 0 {
			n := bytes.IndexAny(b, "\x01\x02\x03\n")
			if n < 0 {
				p.final = append(p.final, b...)
				return
			}
			p.final = append(p.final, b[:n]...)
			switch b[n] {
			case linkEnd:
				depth--
				if depth == 0 {
					p.final = p.endShown(p.final, start, text)
				}
			case '\n':
				if depth > 0 {
					p.final = append(p.final, ' ')
				} else {
					p.final = append(p.final, '\n')
				}
			}
			b = b[n+1:]
		}
	}
	for _, e := range p.edits {
		if e.pos >= p.hold {
			break
		}
		if e.pos > at {
			put(p.out[at:e.pos])
		}
		if e.insert != "" {
			depth++
			if depth == 1 {
				start = len(p.final)
				p.final = append(p.final, e.insert...)
				text = len(p.final)
			}
		}
		at = max(at, e.pos+e.n)
	}
	if at < p.hold {
		put(p.out[at:p.hold])
	}
	if depth > 0 { // held inside the link
		p.final = p.final[:start]
	}
	return p.final
}

// endShown ends the link that starts at start and whose text starts at text: an empty one goes, and of one that may fit on no
// page the text stays.
func (p *inline) endShown(b []byte, start, text int) []byte {
	switch {
	case len(bytes.TrimSpace(b[text:])) == 0:
		return b[:start]
	case len(b)-start+len("<a ></a>")-2 > p.o.maxLink():
		return append(b[:start], b[text:]...)
	}
	return append(b, linkEnd)
}

// lastStop returns the length of the part of text that ends with its last complete sentence or line.
func lastStop(text []byte) int {
	stop, inLink := 0, false
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		i += n
		switch {
		case r == linkStart:
			inLink = true
		case r == linkEnd:
			inLink = false
		case inLink:
		case r == '\n':
			stop = i - 1
		case endsSentence(r, text[i:]):
			i += closers(text[i:])
			stop = i
		}
	}
	return stop
}

// endsSentence reports whether r, before rest, ends a sentence. The marks of Western text need white space
// behind them: "3.5", "a.com" and "?a=b" are no ends.
func endsSentence(r rune, rest []byte) bool {
	switch r {
	case '。', '！', '？', '；', '…':
		return true
	case '.', '!', '?', ';':
		return len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\n')
	}
	return false
}

// closers returns the length of the ends of sentences, quotations and brackets that text starts with.
func closers(text []byte) int {
	for i := 0; ; {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == '”', r == '’', r == '」', r == '』', r == '）', r == '】', r == '》', r == '"', r == ')',
			r == '。', r == '！', r == '？', r == '…':
		case unicode.Is(unicode.Mn, r):
		default:
			return i
		}
		i += n
	}
}
