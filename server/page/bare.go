package page

import (
	"bytes"
	"html"
	"net/url"
	"strings"
)

// text writes text, escaped already, with links of the web addresses in it: also behind a Chinese character, where GFM
// sees none.
func (r *references) text(escaped []byte) {
	if r.openOf["a"] > 0 || r.openOf["code"] > 0 || r.openOf["pre"] > 0 {
		r.out.Write(escaped)
		return
	}
	for {
		n, size := bareAddress(escaped)
		if size == 0 {
			r.out.Write(escaped)
			return
		}
		r.out.Write(escaped[:n])
		address := escaped[n : n+size]
		escaped = escaped[n+size:]
		u, err := url.Parse(html.UnescapeString(string(address)))
		if err != nil || u.Host == "" || u.User != nil || len(address) > maxURL {
			r.out.Write(address)
			continue
		}
		r.out.WriteString(`<a href="` + html.EscapeString(u.String()) + `">`)
		r.out.Write(address)
		r.out.WriteString("</a>")
	}
}

// bareAddress returns where the first address is, and its length; 0 if there is none.
func bareAddress(s []byte) (at, size int) {
	for at < len(s) {
		n := bytes.Index(s[at:], []byte("http"))
		if n < 0 {
			return 0, 0
		}
		at += n
		start := len("http")
		if bytes.HasPrefix(s[at+start:], []byte("s")) {
			start++
		}
		if !bytes.HasPrefix(s[at+start:], []byte("://")) || at > 0 && isAlnum(s[at-1]) {
			at += 4
			continue
		}
		end := at + start + 3
		first := end
		for end < len(s) && isAddressByte(s[end:]) {
			end++
		}
		for end > first && strings.IndexByte(".,;:!?'*_~", s[end-1]) >= 0 {
			if s[end-1] == ';' && bytes.HasSuffix(s[:end], []byte("&amp;")) {
				break
			}
			end--
		}
		if end > first && s[end-1] == ')' && !bytes.ContainsRune(s[first:end], '(') {
			end--
		}
		if end > first {
			return at, end - at
		}
		at = first
	}
	return 0, 0
}

// isAddressByte tells whether an address, escaped for HTML, goes on with the first byte of s.
func isAddressByte(s []byte) bool {
	if s[0] == '&' {
		return bytes.HasPrefix(s, []byte("&amp;"))
	}
	return isAlnum(s[0]) || strings.IndexByte("-._~:/?#@!$'()*+,;=%", s[0]) >= 0
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
