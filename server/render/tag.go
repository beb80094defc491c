package render

import "strings"

// tag is a raw HTML tag.
type tag struct {
	name       string // in lower case
	end        bool   // </name>
	attributes string // as they are written, with the bracket that ends them
}

// scanTag reads the tag that s starts with, and its length. partial: s ends before the tag does.
func scanTag(s string) (t tag, n int, st state) {
	at := 1
	if at < len(s) && s[at] == '/' {
		t.end = true
		at++
	}
	start := at
	for at < len(s) && (isAlnum(s[at]) || at > start && s[at] == '-') {
		at++
	}
	if at < len(s) && (at == start || !isAlnum(s[start]) || digits(s[start:]) > 0) {
		return tag{}, 0, absent
	}
	t.name = strings.ToLower(s[start:at])
	start = at
	for at < len(s) {
		gap := blanks(s[at:])
		at += gap
		switch {
		case at == len(s):
		case s[at] == '>':
			t.attributes = s[start : at+1]
			return t, at + 1, complete
		case s[at] == '/' && at+1 == len(s):
			return tag{}, 0, partial
		case s[at] == '/' && s[at+1] == '>':
			t.attributes = s[start : at+2]
			return t, at + 2, complete
		default:
			_, _, size, st := scanAttribute(s[at:])
			if gap == 0 || t.end || st == absent {
				return tag{}, 0, absent
			}
			if st == partial {
				return tag{}, 0, partial
			}
			at += size
		}
	}
	return tag{}, 0, partial
}

// scanAttribute reads the attribute that s starts with, and its length.
func scanAttribute(s string) (name, value string, n int, st state) {
	for n < len(s) && (isAlnum(s[n]) || strings.IndexByte("_:.-", s[n]) >= 0) {
		n++
	}
	if n == 0 {
		return "", "", 0, absent
	}
	name = s[:n]
	at := n + blanks(s[n:])
	if at == len(s) {
		return name, "", n, partial
	}
	if s[at] != '=' {
		return name, "", n, complete
	}
	at++
	at += blanks(s[at:])
	if at == len(s) {
		return name, "", n, partial
	}
	if q := s[at]; q == '"' || q == '\'' {
		size := strings.IndexByte(s[at+1:], q)
		if size < 0 {
			return name, "", n, partial
		}
		return name, s[at+1 : at+1+size], at + size + 2, complete
	}
	size := strings.IndexAny(s[at:], " \t\n\"'=<>`")
	switch {
	case size < 0:
		return name, "", n, partial
	case size == 0 || s[at+size] != '>' && !isSpace(s[at+size]):
		return name, "", 0, absent
	}
	return name, s[at : at+size], at + size, complete
}

// attribute returns the decoded value of an attribute, "" if it is not there.
func (t tag) attribute(name string) string {
	for s := t.attributes; ; {
		s = s[blanks(s):]
		key, value, n, st := scanAttribute(s)
		if st != complete {
			return ""
		}
		if strings.EqualFold(key, name) {
			return unescapeHTML(value)
		}
		s = s[n:]
	}
}
