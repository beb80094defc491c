package page

import (
	"html"
	"strings"
)

// allowed are the elements of a page that have an end tag; br, hr and img have none. They do nothing but be read.
var allowed = func() map[string]bool {
	all := map[string]bool{}
	for name := range strings.FieldsSeq(`a b strong i em u s del ins mark small sub sup kbd samp var code pre q cite abbr p div span
		h1 h2 h3 h4 h5 h6 ul ol li dl dt dd blockquote table caption thead tbody tfoot tr th td details summary figure figcaption
		ruby rt rp center`) {
		all[name] = true
	}
	return all
}()

// unreadElements hold text that is no HTML, and that nobody reads.
var unreadElements = map[string]bool{
	"script": true, "style": true, "title": true, "textarea": true, "xmp": true, "iframe": true, "noembed": true, "noframes": true,
	"noscript": true, "plaintext": true,
}

// startTag is an element's start tag with the attributes that it keeps.
func startTag(element string, attributes map[string]string) string {
	var b strings.Builder
	b.WriteString("<" + element)
	for _, key := range []string{"align", "colspan", "rowspan", "start", "open"} {
		if value, ok := attributes[key]; ok && keeps(element, key, value) {
			b.WriteString(" " + key + `="` + html.EscapeString(value) + `"`)
		}
	}
	b.WriteString(">")
	return b.String()
}

// keeps tells whether an element keeps an attribute as the answer has it.
func keeps(element, key, value string) bool {
	switch key {
	case "align":
		return (element == "td" || element == "th") && (value == "left" || value == "center" || value == "right")
	case "colspan", "rowspan":
		return (element == "td" || element == "th") && isNumber(value, 2)
	case "start":
		return element == "ol" && isNumber(value, 9)
	case "open":
		return element == "details" && (value == "" || value == "open")
	}
	return false
}

// isNumber tells whether s is a number of so many digits at most.
func isNumber(s string, most int) bool {
	return s != "" && len(s) <= most && strings.Trim(s, "0123456789") == ""
}
