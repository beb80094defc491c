package render

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// tag is a tag of HTML, s[at:next].
type tag struct {
	name       string
	at, next   int
	end        bool // </name>
	empty      bool // <name/>
	attributes []html.Attribute
}

// attribute returns the value of an attribute in one line, "" if it is not there.
func (t tag) attribute(keys ...string) string {
	for _, key := range keys {
		for _, a := range t.attributes {
			if a.Key == key {
				return strings.Join(strings.FieldsFunc(clean(a.Val), func(r rune) bool { return r < ' ' }), " ")
			}
		}
	}
	return ""
}

func (t tag) has(key string) bool {
	for _, a := range t.attributes {
		if a.Key == key {
			return true
		}
	}
	return false
}

// maxHTMLTag is how long a tag of HTML can be, but for one that holds an embedded file.
const maxHTMLTag = 8192

// tagReader gives the tokenizer one tag of s at a time: it never reads over a '>', and so never over the end of a tag.
type tagReader struct {
	s       string
	at, end int
}

func (r *tagReader) Read(b []byte) (int, error) {
	if r.at >= r.end {
		return 0, io.EOF
	}
	rest := r.s[r.at:r.end]
	if n := strings.IndexByte(rest, '>'); n >= 0 {
		rest = rest[:n+1]
	}
	n := copy(b, rest)
	r.at += n
	return n, nil
}

// readTag reads the tag at i.
func (f *filter) readTag(i int) (t tag, st state) {
	end, st := tagWindow(f.s, i)
	if st == absent || f.find(">", i) >= end {
		return tag{}, f.unfinished(end)
	}
	f.tags = tagReader{s: f.s, at: i, end: end}
	if f.z == nil {
		f.z = html.NewTokenizer(&f.tags)
	}
	kind := f.z.Next()
	f.z.NextIsNotRawText()
	if kind == html.ErrorToken {
		f.z = nil // it reads no more
		return tag{}, f.unfinished(end)
	}
	t = tag{at: i, next: i + len(f.z.Raw()), end: kind == html.EndTagToken, empty: kind == html.SelfClosingTagToken}
	plain := !strings.ContainsFunc(f.s[i+1:t.next], func(r rune) bool { return r == '<' || r >= utf8.RuneSelf })
	name, more := f.z.TagName()
	if !more && !plain {
		return tag{}, absent // x <b 且 y> z
	}
	t.name = string(name)
	valued := strings.IndexByte(f.s[i:t.next], '=') >= 0
	for more {
		var key, value []byte
		key, value, more = f.z.TagAttr()
		if bytes.ContainsFunc(key, notInKey) || !valued && !switches[string(key)] {
			return tag{}, absent // x <b and c> y
		}
		t.attributes = append(t.attributes, html.Attribute{Key: string(key), Val: string(value)})
	}
	return t, complete
}

// switches are attributes that stand without a value.
var switches = names(`allowfullscreen async autofocus autoplay checked controls default defer disabled download hidden inert
	ismap itemscope loop module multiple muted nomodule noshade novalidate nowrap open playsinline readonly required reversed scoped
	selected setup`)

// notInKey reports whether r does not occur in the name of an attribute.
func notInKey(r rune) bool {
	return r >= utf8.RuneSelf || !isWord(r) && !strings.ContainsRune("-:.@#*", r)
}

// unfinished is the state of a tag that does not end before end.
func (f *filter) unfinished(end int) state {
	if end == len(f.s) && !f.final {
		return partial
	}
	return absent
}

// tagWindow returns how far the tag at i may reach.
func tagWindow(s string, i int) (end int, st state) {
	if len(s)-i <= maxHTMLTag {
		return len(s), complete
	}
	for _, quote := range []string{`"`, `'`} {
		n := strings.Index(s[i:i+512], "="+quote+"data:")
		if n < 0 {
			continue
		}
		n += i + 2
		size := strings.IndexByte(s[n:], quote[0])
		if size < 0 {
			return len(s), absent
		}
		return min(len(s), n+size+maxHTMLTag), complete
	}
	return i + maxHTMLTag, complete
}
