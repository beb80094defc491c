package page

import (
	"html"
	"net/url"
	"strings"
)

// text writes text with links of the web addresses in it: also behind a Chinese character, where GFM sees none.
func (r *references) text(s string) {
	linked := r.openOf["a"] == 0 && r.openOf["code"] == 0 && r.openOf["pre"] == 0
	for linked {
		n, size := bareAddress(s)
		if size == 0 {
			break
		}
		address := s[n : n+size]
		r.out.WriteString(html.EscapeString(s[:n]))
		s = s[n+size:]
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.User != nil || len(address) > maxURL {
			r.out.WriteString(html.EscapeString(address))
			continue
		}
		r.out.WriteString(anchorTo(u.String()) + html.EscapeString(address) + "</a>")
	}
	r.out.WriteString(html.EscapeString(s))
}

// bareAddress returns where the first address is, and its length; 0 if there is none.
func bareAddress(s string) (at, size int) {
	for at < len(s) {
		n := strings.Index(s[at:], "http")
		if n < 0 {
			return 0, 0
		}
		at += n
		start := len("http")
		if strings.HasPrefix(s[at+start:], "s") {
			start++
		}
		if !strings.HasPrefix(s[at+start:], "://") || at > 0 && isAlnum(s[at-1]) {
			at += 4
			continue
		}
		end := at + start + 3
		first := end
		for end < len(s) && isAddressByte(s[end]) {
			end++
		}
		for end > first && strings.IndexByte(".,;:!?'*_~", s[end-1]) >= 0 {
			end--
		}
		if end > first && s[end-1] == ')' && !strings.Contains(s[first:end], "(") {
			end--
		}
		if end > first {
			return at, end - at
		}
		at = first
	}
	return 0, 0
}

// isAddressByte tells whether a byte may be in an address.
func isAddressByte(c byte) bool {
	return isAlnum(c) || strings.IndexByte("-._~:/?#@!$&'()*+,;=%", c) >= 0
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
