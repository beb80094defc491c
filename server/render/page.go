package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Page returns where the page ends that starts at from, and where the next one starts. text[from:end]
// has at most limit bytes, and ends at the last paragraph that fills half of it, else at a line or sentence,
// else behind a comma or a blank, else anywhere, but not inside a link or an address, or inside what a reader takes for one
// character, unless that alone is longer than a page. The white space between two pages belongs to none; the
// indentation of the line that the next page starts with is kept.
//
// end is greater than from unless from is len(text), even if limit is less than a character: a page always
// goes on.
func Page(text string, from, limit int) (end, next int) {
	from = min(max(from, 0), len(text))
	if len(text)-from <= limit {
		return len(text), len(text)
	}
	cut := bestCut(text[from:], limit)
	if cut == 0 {
		_, cut = utf8.DecodeRuneInString(text[from:])
	}
	end = from + cut
	return end, skipSpace(text, end)
}

// The places where a page may end, best first.
const (
	atParagraph = iota
	atSentence  // or line
	atComma     // or blank
	atCharacter
	atRune
	places
)

// bestCut returns where to cut s, which is longer than limit; 0 if not even a rune fits.
func bestCut(s string, limit int) int {
	var cuts [places]int
	if limit > 0 {
		cuts = findCuts(s, limit)
	}
	for _, cut := range cuts[:atCharacter] {
		if cut > 0 && cut >= limit/2 {
			return cut
		}
	}
	best := max(cuts[atParagraph], cuts[atSentence], cuts[atComma])
	for _, cut := range [...]int{best, cuts[atCharacter], cuts[atRune]} {
		if cut > 0 {
			return cut
		}
	}
	return 0
}

// findCuts returns the last cut of each kind at or before limit. White space alone makes no page.
func findCuts(s string, limit int) (cuts [places]int) {
	var c cluster
	var before rune
	linked := 0    // the end of a link that is being passed
	shown := false // there is something to see
	for i, r := range s {
		if i > limit {
			break
		}
		free := !c.joins(before, r) && i >= linked && shown
		if i > 0 {
			cuts[atRune] = i
		}
		if free {
			cuts[atCharacter] = i
			if place := placeBetween(s, i, before, r); place < atCharacter {
				cuts[place] = i
			}
		}
		if (r == '<' || r == 'h') && i >= linked {
			linked = i + linkLength(s[i:])
		}
		shown = shown || r > ' '
		before = r
	}
	return cuts
}

// maxLink is how long a link or an address can be for its end to be looked for.
const maxLink = 8192

// linkLength returns the length of the link or the address that s starts with, 0 if it starts with none.
func linkLength(s string) int {
	s = clip(s, maxLink)
	if !strings.HasPrefix(s, "<a ") {
		return addressLength(s)
	}
	if n := strings.Index(s, "</a>"); n >= 0 {
		return n + len("</a>")
	}
	return 0
}

// placeBetween tells what kind of place lies between l and r, which starts at i.
func placeBetween(s string, i int, l, r rune) int {
	switch {
	case r == '\n' && strings.HasPrefix(s[i+1:], "\n"):
		return atParagraph
	case r == '\n':
		return atSentence
	}
	switch l {
	case '。', '！', '？', '；', '…':
		if closers([]byte(clip(s[i:], utf8.UTFMax))) == 0 {
			return atSentence
		}
	case '.', '!', '?', ';':
		if r == ' ' {
			return atSentence
		}
	case '，', '、', '：':
		return atComma
	case '”', '」', '』', '）', '"', ')':
		if endsBefore(s[:i]) {
			return atSentence
		}
	}
	if r == ' ' {
		return atComma
	}
	return atCharacter
}

// endsBefore reports whether a sentence ends in front of the closing marks at the end of s.
func endsBefore(s string) bool {
	for range 4 {
		r, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
		switch r {
		case '”', '」', '』', '）', '"', ')':
		case '。', '！', '？', '；', '…':
			return true
		default:
			return false
		}
	}
	return false
}

// skipSpace returns where the next page starts: behind the white space at i, but before the indentation of a line.
func skipSpace(text string, i int) int {
	rest := strings.TrimLeft(text[i:], " \t\n")
	next := len(text) - len(rest)
	if rest == "" {
		return next
	}
	if nl := strings.LastIndexByte(text[i:next], '\n'); nl >= 0 {
		return i + nl + 1
	}
	return next
}

// cluster tells which code points belong to one visible character. It knows what occurs in chats: combining
// marks, emoji sequences, flags, keycaps; not the scripts of South Asia in full.
type cluster struct {
	flags int // regional indicators in a row
}

func (c *cluster) joins(l, r rune) bool {
	if r < 0x300 { // nearly all there is: no table to look up
		c.flags = 0
		return l == '\r' && r == '\n'
	}
	if r >= 0x1F1E6 && r <= 0x1F1FF {
		c.flags++
		return c.flags%2 == 0
	}
	c.flags = 0
	switch {
	case l == '\u200D', r == '\u200D':
		return true
	case r >= 0x1F3FB && r <= 0x1F3FF, r >= 0xE0020 && r <= 0xE007F:
		return true
	case r >= 0x4E00 && r <= 0x9FFF:
		return false
	}
	return unicode.In(r, unicode.M)
}
