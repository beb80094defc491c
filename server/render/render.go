package render

import "strings"

// Text renders a whole Markdown answer. Reasoning is removed first (see [Visible]). The result has LF
// lines without trailing blanks, is trimmed, holds no character that XML 1.0 forbids, and its only tags
// are balanced <a> links to http, https, weixin or mini-program targets. It is "" for an answer that
// holds nothing to show.
func Text(markdown string) string {
	d := document{}
	d.feed(Visible(clean(markdown), true))
	d.closeTo(0)
	return finish(d.out)
}

// Partial renders the part of a still growing answer that can already be shown, "" if there is none
// yet. It ends at the end of a sentence or of a line, and never shows a part of a reasoning tag, of a
// link or of a mark that is still open; the lines of an open code block are shown as they come.
//
// However the Markdown goes on, Text of the whole starts with Partial of its beginning, but for one
// case that no reader of a stream can foresee: a lone </think> that declares everything before it
// to have been reasoning.
func Partial(markdown string) string {
	s := Visible(clean(markdown), false)
	nl := strings.LastIndexByte(s, '\n') + 1
	d := document{}
	d.feed(s[:nl])
	if tail := s[nl:]; d.leaf != fenced && d.leaf != table && settled(tail) {
		d.growing = true
		d.line(tail)
	}
	d.closeOpen()
	return finish(d.out)
}

// settled reports whether the kind of block that the unfinished line s belongs to can no longer change.
// It errs on the side of waiting: a table row, a rule or a fence shows only when its line is complete.
func settled(s string) bool {
	if strings.IndexByte(s, '|') >= 0 {
		return false
	}
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			return false
		}
		if s[0] == '>' {
			s = s[1:]
			continue
		}
		m := scanMarker(s)
		if m.width == 0 {
			break
		}
		s = s[m.width:]
	}
	if n := digits(s); n > 0 {
		return len(s) > n+1 || len(s) == n+1 && s[n] != '.' && s[n] != ')'
	}
	s = strings.TrimPrefix(s, "**")
	return s != "" && (s[0] >= 0x80 || isAlnum(s[0]) || s[0] == '"' || s[0] == '\'' || s[0] == '(')
}

// Markdown is [Text], [Partial] and [Page] as methods, for what is given its renderer.
type Markdown struct{}

// Text is [Text].
func (Markdown) Text(markdown string) string { return Text(markdown) }

// Partial is [Partial].
func (Markdown) Partial(markdown string) string { return Partial(markdown) }

// Page is [Page].
func (Markdown) Page(text string, from, limit int) (end, next int) { return Page(text, from, limit) }
