package wechatsim

import (
	"net/url"
	"strings"
)

// Link is an <a> element of a text.
type Link struct {
	// Label is what the follower sees.
	Label string
	// URL is the href as written.
	URL string
	// Send and MenuID are what a tap-link (weixin://bizmsgmenu) sends as the follower's own message; Send is empty for other links.
	Send, MenuID string
	// AppID and Path name a mini program and its page; AppID is empty for other links.
	AppID, Path string
}

// tapLink starts the address of a link that sends a message. Undocumented, in wide use, on every type of account.
const tapLink = "weixin://bizmsgmenu?"

// Links gives the links of a text as a client makes them out: <a> with an href in double or single quotes, and its end. What is not
// closed, or has no href, is shown as it is written.
func Links(text string) []Link {
	var links []Link
	split(text, nil, func(l Link) { links = append(links, l) })
	return links
}

// Visible gives the text as a client shows it: each link replaced by what show returns for it.
func Visible(text string, show func(Link) string) string {
	var b strings.Builder
	split(text, func(s string) { b.WriteString(s) }, func(l Link) { b.WriteString(show(l)) })
	return b.String()
}

// split walks over a text in order; plain may be nil.
func split(text string, plain func(string), link func(Link)) {
	emit := func(s string) {
		if plain != nil && s != "" {
			plain(s)
		}
	}
	for {
		start := strings.Index(text, "<a ")
		if start < 0 {
			break
		}
		l, length, ok := cutLink(text[start:])
		if !ok {
			start += len("<a ")
			emit(text[:start])
			text = text[start:]
			continue
		}
		emit(text[:start])
		link(l)
		text = text[start+length:]
	}
	emit(text)
}

// cutLink reads the <a> element that s starts with and gives its length.
func cutLink(s string) (Link, int, bool) {
	rest := s[len("<a "):]
	attributes := make(map[string]string, 3)
	for {
		rest = strings.TrimLeft(rest, " \t\r\n")
		if after, ok := strings.CutPrefix(rest, ">"); ok {
			rest = after
			break
		}
		name, value, after, ok := cutAttribute(rest)
		if !ok {
			return Link{}, 0, false
		}
		attributes[name], rest = value, after
	}
	label, after, closed := strings.Cut(rest, "</a>")
	href := attributes["href"]
	if !closed || href == "" || strings.Contains(label, "<a ") {
		return Link{}, 0, false
	}
	l := Link{Label: label, URL: href, AppID: attributes["data-miniprogram-appid"], Path: attributes["data-miniprogram-path"]}
	l.readTap()
	return l, len(s) - len(after), true
}

// cutAttribute reads one name="value" or name='value'.
func cutAttribute(s string) (name, value, rest string, ok bool) {
	name, rest, ok = strings.Cut(s, "=")
	if !ok || rest == "" || (rest[0] != '"' && rest[0] != '\'') || strings.ContainsAny(name, "<> \t\r\n") {
		return "", "", "", false
	}
	value, rest, ok = strings.Cut(rest[1:], rest[:1])
	return name, value, rest, ok
}

// readTap reads what a tap-link sends. A "+" stands for itself: clients do not read it as a space.
func (l *Link) readTap() {
	query, ok := strings.CutPrefix(l.URL, tapLink)
	if !ok {
		return
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if decoded, err := url.PathUnescape(value); err == nil {
			value = decoded
		}
		switch name {
		case "msgmenucontent":
			l.Send = value
		case "msgmenuid":
			l.MenuID = value
		}
	}
}
