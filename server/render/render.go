package render

import (
	"cmp"
	"strings"
)

// Options are what rendering cannot know from an answer. Their zero value is of use.
type Options struct {
	// Origin is an address of Dify, as https://dify.example.com/v1, with or without /v1. Relative addresses of files (/files/…)
	// lead there. Without it they are not linked.
	Origin string
	// FilesOrigin is an address of the host that serves Dify's files, if that is another one.
	FilesOrigin string
	// MenuID is sent with the message of a tap-link, which a button becomes: "bot" if empty.
	MenuID string
	// MaxLink bounds the bytes of a link, <a …>text</a>. Of a longer one, which might fit on no page, only the text is
	// shown. 1,600 if 0.
	MaxLink int
	// English tells how to call what has no name of its own.
	English bool
}

const (
	defaultMenuID  = "bot"
	defaultMaxLink = 1600
)

// vocabulary is what things are called that have no name.
type vocabulary struct{ image, audio, video, file, link string }

var (
	chinese = &vocabulary{"图片", "音频", "视频", "文件", "链接"}
	english = &vocabulary{"image", "audio", "video", "file", "link"}
)

func (o *Options) words() *vocabulary {
	if o.English {
		return english
	}
	return chinese
}

func (o *Options) maxLink() int { return cmp.Or(o.MaxLink, defaultMaxLink) }

// Text renders a whole answer: its Markdown, and below it links to the files that the Markdown does not link itself.
// The result has LF lines without trailing blanks, is trimmed, holds no character that XML 1.0 forbids, and its only tags
// are balanced <a> links to http, https, weixin or mini-program targets. It is "" for an answer that
// holds nothing to show. The same arguments always give the same text.
func Text(markdown string, files []File, o Options) string {
	s := o.filtered(clean(markdown), true)
	d := newDocument(&o, len(s))
	d.feed(s)
	d.closeTo(0)
	return finish(o.appendFiles(d.out, files))
}

// Partial renders the part of a still growing answer that can already be shown, "" if there is none
// yet. It ends at the end of a sentence or of a line, and never shows a part of a reasoning tag, of a
// link or of a mark that is still open; the lines of an open code block are shown as they come, but for one in a wrapper that
// names no language, which might be the wrapper's end.
//
// However the Markdown goes on, and whatever files come, Text of the whole starts with Partial of its beginning, but for
// one case that no reader of a stream can foresee: a lone </think> that declares everything before it
// to have been reasoning.
func Partial(markdown string, o Options) string {
	s := o.filtered(clean(markdown), false)
	nl := strings.LastIndexByte(s, '\n') + 1
	d := newDocument(&o, len(s))
	d.feed(s[:nl])
	if tail := s[nl:]; d.leaf != fenced && d.leaf != table && settled(tail) {
		d.growing = true
		d.line(tail)
	}
	d.closeOpen()
	return finish(d.out)
}

// Visible returns the Markdown of a whole answer without the model's reasoning, calls of tools, HTML comments and tokens of
// its template: for what shows an answer in another form than Text. HTML stays.
func Visible(markdown string) string {
	f := newFilter(&Options{}, clean(markdown), true)
	f.keepHTML = true
	return f.run()
}

func newDocument(o *Options, size int) *document {
	return &document{text: inline{o: o}, out: make([]byte, 0, size+size/8+64)}
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
