package render

import (
	"cmp"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// filesPath begins the relative addresses of Dify's files.
const filesPath = "/files/"

// linkable returns target as it is written into an attribute, if WeChat may link there: the web and
// WeChat's own links. A scheme in disguise is none of these.
func (o *Options) linkable(target string) (address string, ok bool) {
	target = strings.TrimFunc(target, func(r rune) bool { return r <= ' ' || unicode.IsSpace(r) })
	target = strings.TrimRight(target, "，。、；！？") // of the sentence
	switch {
	case strings.HasPrefix(target, filesPath):
		target = origin(cmp.Or(o.FilesOrigin, o.Origin)) + target
	case hasPrefixFold(target, "www."):
		target = "http://" + target
	case strings.HasPrefix(target, "//") && hasHost(target[2:]): // of the page's own scheme
		target = "https:" + target
	}
	for _, scheme := range []string{"https://", "http://", "weixin://"} {
		if len(target) > len(scheme) && hasPrefixFold(target, scheme) {
			return attribute(scheme + target[len(scheme):]), true
		}
	}
	return "", false
}

// hasHost reports whether address, without its scheme, begins with a name or a number that has a dot.
func hasHost(address string) bool {
	host, _, _ := strings.Cut(address, "/")
	return host != "" && isAlnum(host[0]) && strings.IndexByte(host, '.') > 0
}

// origin returns the address of Dify without /v1. A path in front of that is Dify's, also where its files are.
func origin(address string) string {
	return strings.TrimRight(strings.TrimSuffix(strings.TrimRight(address, "/"), "/v1"), "/")
}

// tapAddress is the address of a link whose tap sends message as the follower's own.
func (o *Options) tapAddress(message string) string {
	// Clients do not read + as a space.
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	return "weixin://bizmsgmenu?msgmenucontent=" + escape(message) + "&msgmenuid=" + escape(cmp.Or(o.MenuID, defaultMenuID))
}

// anchorAttributes returns the attributes of a raw <a> that WeChat understands, "" if it leads nowhere.
func (o *Options) anchorAttributes(t tag) string {
	var attributes []string
	if message := t.attribute("data-message"); message != "" {
		return href(o.tapAddress(message))
	}
	if id := t.attribute("data-miniprogram-appid"); isAppID(id) {
		attributes = append(attributes, `data-miniprogram-appid="`+id+`"`)
		if path := t.attribute("data-miniprogram-path"); path != "" {
			attributes = append(attributes, `data-miniprogram-path="`+attribute(path)+`"`)
		}
	}
	if address, ok := o.linkable(t.attribute("href", "data-link")); ok {
		attributes = append(attributes, href(address))
	}
	return strings.Join(attributes, " ")
}

func href(address string) string { return `href="` + address + `"` }

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

// attribute percent-encodes what would end an attribute or a tag, and white space.
func attribute(s string) string {
	encode := func(r rune) bool {
		return r <= ' ' || r == '"' || r == '\'' || r == '<' || r == '>' || r == '`' || r == '\\' || r == '|' || unicode.IsSpace(r)
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

// addressLength returns the length of the web address that s starts with, 0 if it starts with none.
func addressLength(s string) int {
	if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
		return 0
	}
	n := strings.IndexByte(s, ':')
	for n < len(s) && isURLByte(s[n]) {
		n++
	}
	return n
}

func isURLByte(c byte) bool {
	return isAlnum(c) || c != 0 && strings.IndexByte("-._~:/?#@!$&'(+,;=%", c) >= 0
}

// contact returns what has to be read behind text that links to a number or a mailbox: WeChat has no such links, and makes
// numbers tappable itself. It is "" for other targets, and if text says it.
func contact(target, text string) string {
	scheme, value, _ := strings.Cut(strings.TrimSpace(target), ":")
	value, _, _ = strings.Cut(value, "?")
	switch strings.ToLower(scheme) {
	case "tel", "sms":
		inNumber := func(r rune) bool { return !isDigit(r) && !strings.ContainsRune("+-() *#,", r) }
		number := strings.Map(digitOf, value)
		said := strings.Map(digitOf, text)
		local := len(said) >= 5 && strings.HasSuffix(number, said) // without the country's number
		if number == "" || strings.ContainsFunc(value, inNumber) || strings.Contains(said, number) || local {
			return ""
		}
	case "mailto":
		if !isAutolink(value) || strings.IndexByte(value, '@') < 0 || strings.Contains(text, value) {
			return ""
		}
	default:
		return ""
	}
	if value = verbatimText(value); text == "" {
		return value
	}
	return "（" + value + "）"
}

// verbatimText returns s without what a reader of Markdown, or a client, would take for a mark.
func verbatimText(s string) string { return strings.NewReplacer("<", "", ">", "", "|", "").Replace(s) }

// digitOf is r if it is a digit, else it goes.
func digitOf(r rune) rune {
	if isDigit(r) {
		return r
	}
	return -1
}
