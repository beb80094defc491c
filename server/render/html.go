package render

import (
	"html"
	"strings"
	"unicode/utf8"
)

// maxEntity is how long a character reference can be, from & to ;.
const maxEntity = 33

// htmlTags are the elements whose tags are left out: to, or nothing, is written instead. The end tag of
// an element that is a block ends the line. Other names in angle brackets are text: List<String>, <token>.
var htmlTags = func() map[string]string {
	tags := map[string]string{}
	for name := range strings.FieldsSeq(`a abbr address area article aside audio b base bdi bdo big body
		button canvas caption center cite code col colgroup data datalist del dfn dialog em embed
		fieldset figure font footer form frame frameset head header html i iframe img input ins kbd label
		legend link main map mark meta meter nav noscript object optgroup option output param picture
		progress q rp rt ruby s samp script section select slot small source span strike strong style sub
		sup svg template textarea time title track tt u var video wbr
		tbody tfoot thead think thinking`) {
		tags[name] = ""
	}
	for name := range strings.FieldsSeq(`blockquote br dd details div dl dt figcaption h1 h2 h3 h4 h5 h6 hr li ol p
		pre summary table tr ul`) {
		tags[name] = "\n"
	}
	tags["td"], tags["th"] = " ", " "
	return tags
}()

// angle handles what starts with '<': a tag, an autolink, or text.
func (p *inline) angle(i int) int {
	s := p.src[i:]
	t, n, st := scanTag(s)
	if st == complete {
		if instead, known := htmlTags[t.name]; known || strings.IndexByte(t.name, '-') > 0 {
			p.tag(t, instead)
			return i + n
		}
		return p.literal(i, 1)
	}
	end := strings.IndexAny(clip(s[1:], maxTarget), " \t\n<>")
	switch {
	case end > 0 && s[1+end] == '>' && isAutolink(s[1:1+end]):
		p.out = append(p.out, s[1:1+end]...)
		return i + end + 2
	case st == partial, end < 0 && len(s) < maxTarget:
		return p.pending(i, 1)
	}
	return p.literal(i, 1)
}

// isAutolink reports whether s, from between angle brackets, is an absolute URI or an e-mail address.
func isAutolink(s string) bool {
	n := strings.IndexAny(s, ":@")
	if n < 1 {
		return false
	}
	for i := range n {
		if !isAlnum(s[i]) && strings.IndexByte("+.-_", s[i]) < 0 {
			return false
		}
	}
	return n+1 < len(s) && (s[n] == '@' || n >= 2)
}

func (p *inline) tag(t tag, instead string) {
	switch {
	case t.name == "a" && t.end:
		p.endAnchor()
	case t.name == "a":
		p.endAnchor()
		if attributes := anchorAttributes(t); attributes != "" {
			p.edits = append(p.edits, edit{pos: len(p.out), insert: anchorStart(attributes)})
			p.anchor = len(p.edits) - 1
		}
	case t.name == "img":
		p.image(t)
	case t.name == "li" && !t.end:
		p.instead("\n• ")
	case t.end || t.name == "br" || t.name == "hr" || instead == "\n":
		p.instead(instead)
	}
}

// instead writes what stands for a tag. A line that goes on may become the head of a table, which has no line breaks.
func (p *inline) instead(text string) {
	if p.oneLine && strings.HasPrefix(text, "\n") {
		p.holdAt(len(p.out))
	}
	p.out = append(p.out, text...)
}

func (p *inline) endAnchor() {
	if p.anchor >= 0 {
		p.out = append(p.out, linkEnd)
		p.anchor = -1
	}
}

func (p *inline) image(t tag) {
	alt := cleanAttribute(t.attribute("alt"))
	if alt == "" {
		alt = imageText
	}
	url, ok := linkable(t.attribute("src"))
	if ok {
		p.edits = append(p.edits, edit{pos: len(p.out), insert: anchorStart(`href="` + url + `"`)})
	}
	p.out = append(p.out, alt...)
	if ok {
		p.out = append(p.out, linkEnd)
	}
}

func cleanAttribute(s string) string {
	return strings.Trim(strings.ReplaceAll(s, "\n", " "), " \t")
}

// anchorAttributes returns the attributes of a raw <a> that WeChat understands, "" if it leads nowhere.
func anchorAttributes(t tag) string {
	var attributes []string
	if id := t.attribute("data-miniprogram-appid"); isAppID(id) {
		attributes = append(attributes, `data-miniprogram-appid="`+id+`"`)
		if path := cleanAttribute(t.attribute("data-miniprogram-path")); path != "" {
			attributes = append(attributes, `data-miniprogram-path="`+attribute(path)+`"`)
		}
	}
	if url, ok := linkable(t.attribute("href")); ok {
		attributes = append(attributes, `href="`+url+`"`)
	}
	return strings.Join(attributes, " ")
}

// isAppID reports whether s is the AppID of a mini program: wx and letters and digits, 18 in practice.
func isAppID(s string) bool {
	if len(s) < 3 || len(s) > 64 || !strings.HasPrefix(s, "wx") {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) {
			return false
		}
	}
	return true
}

// entity decodes the character reference at i.
func (p *inline) entity(i int) int {
	s := clip(p.src[i:], maxEntity)
	for n := 1; n < len(s); n++ {
		switch c := s[n]; {
		case c == ';':
			text, ok := decodeEntity(s[:n+1])
			if !ok {
				return p.literal(i, 1)
			}
			p.out = append(p.out, text...)
			return i + n + 1
		case !isAlnum(c) && (c != '#' || n != 1):
			return p.literal(i, 1)
		}
	}
	if len(p.src)-i < maxEntity {
		return p.pending(i, 1)
	}
	return p.literal(i, 1)
}

// decodeEntity returns what the character reference s stands for, nothing for an illegal character.
func decodeEntity(s string) (text string, ok bool) {
	text = html.UnescapeString(s)
	if text == s {
		return "", false
	}
	if strings.HasSuffix(text, ";") && text != ";" { // a prefix of it is an entity without semicolon
		return "", false
	}
	r, n := utf8.DecodeRuneInString(text)
	switch {
	case r == '\u00A0':
		return " ", true
	case n == len(text) && (!legal(r) || r == '\r'):
		return "", true
	}
	return text, true
}

// unescape takes backslashes and character references out of a link's target.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') >= 0 {
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			if s[i] == '\\' && i+1 < len(s) && isPunct(s[i+1]) {
				i++
			}
			b.WriteByte(s[i])
		}
		s = b.String()
	}
	return unescapeHTML(s)
}

// unescapeHTML decodes all character references of an attribute.
func unescapeHTML(s string) string {
	if strings.IndexByte(s, '&') < 0 {
		return s
	}
	var b strings.Builder
	for s != "" {
		n := strings.IndexByte(s, '&')
		if n < 0 {
			break
		}
		b.WriteString(s[:n])
		s = s[n:]
		if end := strings.IndexByte(clip(s, maxEntity), ';'); end > 0 {
			if text, ok := decodeEntity(s[:end+1]); ok {
				b.WriteString(text)
				s = s[end+1:]
				continue
			}
		}
		b.WriteByte('&')
		s = s[1:]
	}
	b.WriteString(s)
	return b.String()
}
