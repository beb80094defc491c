package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const imageText = "图片" // stands for an image without a description

func (p *inline) openBracket(i int, image bool) int {
	if !image {
		if n, ended := footnoteReference(p.src[i:]); n > 0 {
			return i + n
		} else if !ended {
			p.holdAt(len(p.out))
		}
	}
	if len(p.brackets) == maxBrackets {
		p.depend(p.edits[p.brackets[0].edit].pos)
		p.brackets = append(p.brackets[:0], p.brackets[1:]...)
		p.inactive = max(p.inactive-1, 0)
	}
	n := 1
	if image {
		n = 2
	}
	p.edits = append(p.edits, edit{pos: len(p.out)})
	p.brackets = append(p.brackets, bracket{edit: len(p.edits) - 1, text: len(p.out) + n, src: i, image: image})
	return p.literal(i, n)
}

// closeBracket ends a link, an image, or a bracket of the text.
func (p *inline) closeBracket(i int) int {
	k := len(p.brackets) - 1
	if k < 0 {
		return p.literal(i, 1)
	}
	b := p.brackets[k]
	p.brackets = p.brackets[:k]
	live := b.image || k >= p.inactive
	p.inactive = min(p.inactive, k)
	open := &p.edits[b.edit]
	p.depend(open.pos)
	if i+1 == len(p.src) {
		p.holdAt(open.pos)
	}
	if !live || i+1 == len(p.src) || p.src[i+1] != '(' {
		return p.literal(i, 1)
	}
	target, n, state := p.target(i + 1)
	if state == partial {
		p.holdAt(open.pos)
	}
	if state != complete {
		return p.literal(i, 1)
	}
	p.settle(open.pos, i+1+n)
	open.n = b.text - open.pos
	if !b.image {
		p.inactive = k
	}
	p.endLink(b, target)
	return i + 1 + n
}

// endLink makes the text behind b a link to target, if that is a place to link to.
func (p *inline) endLink(b bracket, target string) {
	empty := b.text == len(p.out)
	if empty && b.image {
		p.out = append(p.out, imageText...)
	}
	url, ok := linkable(target)
	switch {
	case !ok:
	case empty && !b.image:
		p.out = append(p.out, url...)
	default:
		p.edits[b.edit].insert = anchorStart(`href="` + url + `"`)
		p.out = append(p.out, linkEnd)
	}
}

func anchorStart(attributes string) string {
	return string(rune(linkStart)) + attributes + string(rune(linkText))
}

// state is what became of reading something that src may end in the midst of.
type state int

const (
	absent state = iota
	partial
	complete
)

// target reads the "(target "title")" at i and its length.
func (p *inline) target(i int) (target string, n int, st state) {
	s := p.src[i:]
	if len(s) > maxTarget+maxTitle && p.closing(i) > i+maxTarget+maxTitle && !hasPrefixFold(s[1:], "data:") {
		return "", 0, absent // not worth reading: brackets may come by the thousand
	}
	at := 1 + blanks(s[1:])
	if strings.HasPrefix(s[at:], "<") {
		end := strings.IndexAny(clip(s[at+1:], maxTarget), "<>\n")
		if end < 0 {
			return "", 0, p.cut(len(s)-at < maxTarget)
		}
		if s[at+1+end] != '>' {
			return "", 0, absent
		}
		target, at = s[at+1:at+1+end], at+end+2
	} else {
		size, ended := p.bareTarget(i+at, s[at:])
		if !ended {
			return "", 0, p.cut(len(s)-at == size)
		}
		target, at = s[at:at+size], at+size
	}
	gap := blanks(s[at:])
	at += gap
	if at < len(s) && gap > 0 && (s[at] == '"' || s[at] == '\'' || s[at] == '(') {
		size := titleLength(clip(s[at:], maxTitle))
		if size == 0 {
			return "", 0, p.cut(len(s)-at < maxTitle)
		}
		at += size
		at += blanks(s[at:])
	}
	if at == len(s) {
		return "", 0, p.cut(true)
	}
	if s[at] != ')' {
		return "", 0, absent
	}
	return unescape(target), at + 1, complete
}

// closing returns where the first parenthesis behind i closes, len(src) if none does.
func (p *inline) closing(i int) int {
	if p.nextClosing < i {
		p.nextClosing = len(p.src)
		if n := strings.IndexByte(p.src[i:], ')'); n >= 0 {
			p.nextClosing = i + n
		}
	}
	return p.nextClosing
}

// cut is the state of something that did not end: it may, if the source was all there was of it.
func (p *inline) cut(atEnd bool) state {
	if atEnd && p.open {
		return partial
	}
	return absent
}

// bareTarget returns the length of the target without angle brackets at s, which is src[i:], and whether
// something that can follow a target follows it. Parentheses in it are balanced. Only an embedded
// image may be long.
func (p *inline) bareTarget(i int, s string) (n int, ended bool) {
	limit := min(len(s), maxTarget)
	embedded := hasPrefixFold(s, "data:") && i >= p.noTarget
	if embedded {
		limit = len(s)
	}
	depth := 0
	for n < limit {
		switch c := s[n]; {
		case c == '\\' && n+1 < limit && isPunct(s[n+1]):
			n++
		case c == '(':
			depth++
		case c == ')':
			if depth == 0 {
				return n, true
			}
			depth--
		case c <= ' ':
			return n, depth == 0
		}
		n++
	}
	if embedded {
		p.noTarget = i + n
	}
	return n, false
}

// titleLength returns the length of the link title that s starts with, 0 if it does not end.
func titleLength(s string) int {
	end := s[0]
	if end == '(' {
		end = ')'
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case end:
			return i + 1
		}
	}
	return 0
}

// linkable returns target as it is written into an attribute, if WeChat may link there: the web and
// WeChat's own links. A scheme in disguise is none of these.
func linkable(target string) (url string, ok bool) {
	target = strings.TrimFunc(target, func(r rune) bool { return r <= ' ' || unicode.IsSpace(r) })
	for _, scheme := range []string{"https://", "http://", "weixin://"} {
		if len(target) > len(scheme) && hasPrefixFold(target, scheme) {
			return attribute(scheme + target[len(scheme):]), true
		}
	}
	return "", false
}

// attribute percent-encodes what would end an attribute or a tag, and white space.
func attribute(s string) string {
	encode := func(r rune) bool {
		return r <= ' ' || r == '"' || r == '\'' || r == '<' || r == '>' || r == '`' || r == '\\' || unicode.IsSpace(r)
	}
	if strings.IndexFunc(s, encode) < 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i, r := range s {
		if !encode(r) {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(s[i : i+utf8.RuneLen(r)]) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// footnoteReference returns the length of the "[^label]" that s starts with. ended is false if s ends
// where one may go on.
func footnoteReference(s string) (n int, ended bool) {
	if len(s) < 2 || s[1] != '^' {
		return 0, true
	}
	for i, r := range clip(s[2:], 64) {
		if r == ']' && i > 0 {
			return i + 3, true
		}
		if !isWord(r) {
			return 0, true
		}
	}
	return 0, len(s) > 64
}

// footnoteDefinition reports whether a paragraph is the text of a footnote.
func footnoteDefinition(src string) bool {
	n, _ := footnoteReference(src)
	return n > 0 && strings.HasPrefix(src[n:], ":")
}

// blanks returns the length of the white space that s starts with.
func blanks(s string) int {
	n := 0
	for n < len(s) && isSpace(s[n]) {
		n++
	}
	return n
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
