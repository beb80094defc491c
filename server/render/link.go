package render

import (
	"strings"
	"unicode/utf8"
)

func (p *inline) openBracket(i int, image bool) int {
	if !image {
		if label, n, ended := footnoteReference(p.src[i:]); n > 0 && !p.isLinked(i, n) {
			return p.footnote(i, n, label)
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
	p.brackets = append(p.brackets, bracket{edit: len(p.edits) - 1, text: len(p.out) + n, image: image})
	return p.literal(i, n)
}

// isLinked reports whether the citation of n bytes at i is the text of a link.
func (p *inline) isLinked(i, n int) bool {
	if i+n == len(p.src) { // it may be
		p.holdAt(len(p.out))
	}
	return p.src[i+1] != '^' && strings.HasPrefix(p.src[i+n:], "(")
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
	if !live {
		return p.literal(i, 1)
	}
	target, n, st := p.destination(i + 1)
	if st == partial {
		p.holdAt(open.pos)
	}
	if st != complete {
		return p.literal(i, 1)
	}
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
		p.out = append(p.out, p.o.words().image...)
	}
	url, ok := p.o.linkable(target)
	switch {
	case !ok && !b.image:
		p.out = append(p.out, contact(target, string(p.out[b.text:]))...)
	case !ok:
	case empty && !b.image:
		p.out = append(p.out, url...)
	default:
		p.edits[b.edit].insert = anchorStart(href(url))
		p.out = append(p.out, linkEnd)
	}
}

// anchor is a link with private marks.
func anchor(attributes, text string) string { return anchorStart(attributes) + text + string(linkEnd) }

func anchorStart(attributes string) string { return string(linkStart) + attributes + string(linkText) }

// state is what became of reading something that src may end in the midst of.
type state int

const (
	absent state = iota
	partial
	complete
)

// destination reads what follows the text of a link at i, (target "title"), and its length. It takes what models write: blanks
// in an address; an address behind a blank or in full-width parentheses.
func (p *inline) destination(i int) (target string, n int, st state) {
	s := p.src[i:]
	for _, open := range []string{"(", " (", "（"} {
		rest, ok := strings.CutPrefix(s, open)
		if !ok {
			continue
		}
		limit := maxTarget
		switch {
		case open != "(" && !isAddress(rest):
			return "", 0, p.cut(len(rest) < len("weixin://"))
		case open != "(": // ends before a blank
			head := clip(rest, maxTarget)
			limit = len(head) - len(strings.TrimLeftFunc(head, notBlank))
		case hasPrefixFold(rest, "data:"): // an embedded picture
			limit = len(rest)
		}
		content, size, closed := cutParenthesis(clip(rest, limit))
		if !closed {
			return "", 0, p.cut(size == len(rest) && (size < maxTarget || limit == size))
		}
		if target, ok = readTarget(content); !ok {
			return "", 0, absent
		}
		return unescape(target), len(open) + size, complete
	}
	return "", 0, p.cut(s == " ")
}

func notBlank(r rune) bool { return !isBlank(r) }

// cut is the state of something that did not end: it may, if the source was all there was of it.
func (p *inline) cut(atEnd bool) state {
	if atEnd && p.open {
		return partial
	}
	return absent
}

// cutParenthesis returns the content of the parenthesis that s is inside of, and where s goes on behind it. Those in it are
// balanced; models close one kind with the other. It does not reach over the next link.
func cutParenthesis(s string) (content string, n int, closed bool) {
	depth, wide := 0, 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		switch {
		case r == '\\' && n+1 < len(s) && isPunct(s[n+1]):
			size = 2
		case (r == '"' || r == '\'') && n > 0 && isSpace(s[n-1]): // a title
			if end := strings.IndexByte(s[n+1:], s[n]); end >= 0 && !strings.Contains(s[n:n+1+end], "](") {
				size = end + 2
			}
		case r == '(':
			depth++
		case r == '（':
			wide++
		case r == ')' && depth > 0:
			depth--
		case r == '）' && wide > 0:
			wide--
		case r == ')' || r == '）':
			return s[:n], n + size, true
		case isPrivate(r), r == ']' && (strings.HasPrefix(s[n:], "](") || strings.HasPrefix(s[n:], "]（")):
			return "", n, false
		}
		n += size
	}
	return "", n, false
}

// readTarget returns the target of content, without its title. Only an address can have blanks.
func readTarget(content string) (target string, ok bool) {
	content = withoutSize(strings.Trim(content, " \t\n"))
	if rest, angle := strings.CutPrefix(content, "<"); angle {
		target, content, ok = strings.Cut(rest, ">")
		return target, ok && !strings.ContainsAny(target, "<\n") && isTitle(content)
	}
	end := strings.IndexAny(content, " \t\n")
	switch {
	case end < 0:
		return content, true
	case isTitle(content[end:]):
		return content[:end], true
	case !isAddress(content) || strings.IndexByte(content, '\n') >= 0:
		return "", false
	}
	for _, quote := range []string{` "`, " '", " “"} {
		content, _, _ = strings.Cut(content, quote)
	}
	return content, true
}

// withoutSize returns the content of a picture's parentheses without the size behind it: ![](https://a.b/c.png =100x20).
func withoutSize(content string) string {
	i := strings.LastIndexByte(content, ' ')
	if size, ok := strings.CutPrefix(content[i+1:], "="); i > 0 && ok && strings.Trim(size, "0123456789xX*%") == "" {
		return strings.TrimRight(content[:i], " \t")
	}
	return content
}

// isTitle reports whether s, behind a target, is a title or nothing.
func isTitle(s string) bool {
	s = strings.Trim(s, " \t\n")
	return s == "" || len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] || s[0] == '(' && strings.IndexByte(s, ')') == len(s)-1
}

// isAddress reports whether s begins as an address that may be linked.
func isAddress(s string) bool {
	for _, begin := range []string{"https://", "http://", "weixin://", filesPath, "www."} {
		if hasPrefixFold(s, begin) {
			return true
		}
	}
	return false
}

// footnoteReference returns the label and the length of the "[^label]" that s starts with, also as Kimi and DeepSeek write it:
// [^1^], [citation:1]. ended is false if s ends where one may go on.
func footnoteReference(s string) (label string, n int, ended bool) {
	const citation = "[citation:"
	open := "[^"
	if strings.HasPrefix(s, citation) {
		open = citation
	}
	label, found := strings.CutPrefix(s, open)
	if !found {
		return "", 0, len(s) > 1 && !strings.HasPrefix(citation, s)
	}
	label = clip(label, 64)
	end := strings.IndexFunc(label, func(r rune) bool { return !isWord(r) })
	switch {
	case end < 0:
		return "", 0, len(label) == 64
	case end == 0 || open == citation && digits(label) < end:
		return "", 0, true
	}
	n = len(open) + end
	switch rest := s[n:]; {
	case rest[0] == ']':
		return label[:end], n + 1, true
	case open == citation || rest[0] != '^':
		return "", 0, true
	case rest == "^":
		return "", 0, false
	case rest[1] == ']':
		return label[:end], n + 2, true
	}
	return "", 0, true
}

// footnote writes the footnote or the reference to one, of n bytes, at i as [label]. It returns where to go on.
func (p *inline) footnote(i, n int, label string) int {
	p.out = append(p.out, "["+label+"]"...)
	next := i + n
	if i > 0 && p.src[i-1] != '\n' {
		return next
	}
	if next == len(p.src) {
		p.holdAt(len(p.out))
	} else if p.src[next] == ':' {
		next++
	}
	return next
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
