package page

import (
	"bytes"
	"html"
	"net/url"
	"path"
	"slices"
	"strings"

	nethtml "golang.org/x/net/html"
)

const (
	maxTargets = 100 // pictures and files of a page
	maxDepth   = 64  // of elements
	maxURL     = 4096
)

// target is a picture or a file of an answer.
type target struct {
	url     string // absolute
	name    string
	picture bool
}

// references writes HTML anew, from what was understood of it: every tag is one of ours and all else is escaped, so that what
// comes out does nothing but be read. It leaves out elements and attributes that are not allowed, balances the others, so that an
// answer cannot end what stands around it, has pictures and files come through the page's own path, and makes links of players.
type references struct {
	at       string // the page's own address
	settings *Settings
	targets  []target

	out     bytes.Buffer
	open    []element
	openOf  map[string]int
	dropped map[string]int // elements that stand too deep
	unread  bool           // the next text is what an element holds that nobody reads
}

// element is one that is open.
type element struct{ name, end string } // end is its tag; none of a link that leads nowhere

// rewrite returns the HTML that a page may have. It is good until the next call.
func (r *references) rewrite(from []byte) []byte {
	r.out.Reset()
	r.out.Grow(len(from) + 256)
	r.open, r.openOf, r.dropped, r.unread = r.open[:0], map[string]int{}, map[string]int{}, false
	z := nethtml.NewTokenizer(bytes.NewReader(from))
	for {
		switch z.Next() {
		case nethtml.ErrorToken:
			r.closeTo(0)
			return r.out.Bytes()
		case nethtml.StartTagToken, nethtml.SelfClosingTagToken:
			r.start(z)
		case nethtml.EndTagToken:
			name, _ := z.TagName()
			r.end(string(name))
		case nethtml.TextToken:
			if !r.unread {
				r.text(string(z.Text()))
			}
			r.unread = false
		case nethtml.CommentToken, nethtml.DoctypeToken:
		}
	}
}

// start handles a start tag.
func (r *references) start(z *nethtml.Tokenizer) {
	b, more := z.TagName()
	name := string(b)
	attributes := map[string]string{}
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		if _, twice := attributes[string(key)]; !twice {
			attributes[string(key)] = string(value)
		}
	}
	tag, end := startTag(name, attributes), "</"+name+">"
	switch name {
	case "img":
		r.picture(attributes["src"], attributes["alt"])
		return
	case "video", "audio", "source", "embed", "iframe":
		r.player(attributes["src"], name)
	case "a":
		if tag = r.anchor(attributes["href"]); tag == "" {
			end = ""
		}
	case "br", "hr":
		r.out.WriteString(tag)
		return
	}
	r.unread = unreadElements[name]
	if !allowed[name] {
		return
	}
	if len(r.open) >= maxDepth {
		r.dropped[name]++
		return
	}
	r.open = append(r.open, element{name, end})
	r.openOf[name]++
	r.out.WriteString(tag)
}

// end handles an end tag: one that ends nothing goes, one that ends more than its own element ends that first.
func (r *references) end(name string) {
	r.unread = false
	switch {
	case r.dropped[name] > 0:
		r.dropped[name]--
	case r.openOf[name] > 0:
		for i, open := range slices.Backward(r.open) {
			if open.name == name {
				r.closeTo(i)
				return
			}
		}
	}
}

// closeTo ends elements until n are open.
func (r *references) closeTo(n int) {
	for len(r.open) > n {
		e := r.open[len(r.open)-1]
		r.open = r.open[:len(r.open)-1]
		r.openOf[e.name]--
		r.out.WriteString(e.end)
	}
}

// picture writes one that comes through the page's own path; a vector graphic, which could hold scripts, is a link.
func (r *references) picture(src, alt string) {
	u := r.absolute(src)
	if u == nil {
		r.out.WriteString(html.EscapeString(alt))
		return
	}
	if strings.EqualFold(path.Ext(u.Path), ".svg") {
		r.link(u, alt, wordsOf(r.settings.English).picture)
		return
	}
	n := r.add(u, alt, true)
	if n < 0 {
		r.out.WriteString(html.EscapeString(alt))
		return
	}
	r.out.WriteString(`<img loading="lazy" src="` + addressOfTarget(r.at, n) + `" alt="` + html.EscapeString(alt) + `">`)
}

// player writes a link to what an element would play.
func (r *references) player(src, name string) {
	u := r.absolute(src)
	if u == nil {
		return
	}
	w := wordsOf(r.settings.English)
	called := map[string]string{"video": w.video, "source": w.video, "audio": w.audio}[name]
	if called == "" {
		called = w.link
	}
	r.link(u, "", called)
}

// link writes a link to a file of the app's, or to somewhere else.
func (r *references) link(u *url.URL, label, otherwise string) {
	if label == "" {
		label = otherwise
	}
	address := u.String()
	if r.isFile(u) {
		n := r.add(u, label, false)
		if n < 0 {
			r.out.WriteString(html.EscapeString(label))
			return
		}
		address = addressOfTarget(r.at, n)
	}
	r.out.WriteString(anchorTo(address) + html.EscapeString(label) + "</a>")
}

// anchor is the start tag of a link: to the web as it is, to a file through the page, and nowhere else; empty then.
func (r *references) anchor(href string) string {
	href = strings.TrimSpace(href)
	if len(href) > maxURL {
		return ""
	}
	if u, err := url.Parse(href); err == nil && (u.Scheme == "mailto" || u.Scheme == "tel") && !strings.Contains(href, " ") {
		return anchorTo(u.String())
	}
	u := r.absolute(href)
	if u == nil {
		return ""
	}
	address := u.String()
	if r.isFile(u) {
		n := r.add(u, "", false)
		if n < 0 {
			return ""
		}
		address = addressOfTarget(r.at, n)
	}
	return anchorTo(address)
}

func anchorTo(address string) string {
	return `<a href="` + html.EscapeString(address) + `" rel="nofollow noreferrer">`
}

// filesPath is in the addresses of the files that an app keeps.
const filesPath = "/files/"

// absolute is an address of the web, or of a file of the app's; nil for any other.
func (r *references) absolute(address string) *url.URL {
	address = strings.TrimSpace(address)
	if address == "" || len(address) > maxURL {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.User != nil {
		return nil
	}
	if u.Scheme == "" && u.Host == "" && strings.HasPrefix(u.Path, filesPath) {
		if base, err := url.Parse(r.settings.FilesOrigin); err == nil && base.Host != "" {
			return belowRoot(base, u)
		}
		return nil
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil
	}
	return u
}

// belowRoot is the address of a file of the Dify at base, with or without /v1. A path in front of that is Dify's, also where its
// files are.
func belowRoot(base, file *url.URL) *url.URL {
	root := strings.TrimRight(strings.TrimSuffix(strings.TrimRight(base.EscapedPath(), "/"), "/v1"), "/")
	to, err := base.Parse(root + file.EscapedPath())
	if err != nil {
		return nil
	}
	to.RawQuery, to.Fragment = file.RawQuery, file.Fragment
	return to
}

// isFile tells whether an address is one of the app's files: such an address lasts for minutes.
func (r *references) isFile(u *url.URL) bool {
	return strings.Contains(u.Path, filesPath) && u.Query().Has("sign")
}

// add notes a target and returns its number; -1 if there are too many. One that is there already is not added again.
func (r *references) add(u *url.URL, name string, picture bool) int {
	address := u.String()
	for i, t := range r.targets {
		if t.url == address && t.picture == picture {
			return i
		}
	}
	if len(r.targets) >= maxTargets {
		return -1
	}
	r.targets = append(r.targets, target{url: address, name: name, picture: picture})
	return len(r.targets) - 1
}

// files is a list of the files that the text does not refer to itself, nil if there are none.
func (r *references) files(files []File, markdown string) []byte {
	r.out.Reset()
	w := wordsOf(r.settings.English)
	for _, f := range files {
		u := r.absolute(f.URL)
		if u == nil || strings.Contains(markdown, u.EscapedPath()) || strings.Contains(markdown, u.Path) {
			continue
		}
		r.out.WriteString("<p>")
		switch {
		case f.Type == "image" && !strings.EqualFold(path.Ext(u.Path), ".svg"):
			r.picture(f.URL, f.Name)
		default:
			n := r.add(u, f.Name, false)
			if n >= 0 {
				label := f.Name
				if label == "" {
					label = w.file
				}
				r.out.WriteString(anchorTo(addressOfTarget(r.at, n)) + html.EscapeString(label) + "</a>")
			}
		}
		r.out.WriteString("</p>")
	}
	if r.out.Len() == 0 {
		return nil
	}
	return r.out.Bytes()
}

// same tells whether two addresses are of one file, however they are signed.
func same(a, b string) bool {
	u, err := url.Parse(a)
	if err != nil {
		return false
	}
	v, err := url.Parse(b)
	return err == nil && u.Host == v.Host && u.Path == v.Path
}
