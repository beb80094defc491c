package page

import (
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/microcosm-cc/bluemonday"
	"pgregory.net/rapid"
)

// policy is what HTML a page has at most, as a sanitizer of others tells it: it judges what we write.
var policy = sync.OnceValue(func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	for name := range allowed {
		p.AllowElements(name)
	}
	p.AllowElements("br", "hr", "img")
	p.AllowNoAttrs().OnElements("span", "details")
	p.AllowStandardURLs()
	p.AllowURLSchemes("http", "https", "mailto", "tel")
	p.AllowRelativeURLs(true)
	p.RequireNoReferrerOnLinks(true)
	p.RequireNoFollowOnLinks(true)
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("src").Matching(regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+/\d{1,3}$`)).OnElements("img")
	p.AllowAttrs("alt").OnElements("img")
	p.AllowAttrs("loading").Matching(regexp.MustCompile(`^lazy$`)).OnElements("img")
	p.AllowAttrs("align").Matching(regexp.MustCompile(`^(left|center|right)$`)).OnElements("td", "th")
	small := regexp.MustCompile(`^\d{1,2}$`)
	p.AllowAttrs("colspan", "rowspan").Matching(small).OnElements("td", "th")
	p.AllowAttrs("start").Matching(regexp.MustCompile(`^\d{1,9}$`)).OnElements("ol")
	p.AllowAttrs("open").Matching(regexp.MustCompile(`^(open)?$`)).OnElements("details")
	return p
})

// judge fails if the policy would change anything of what an answer becomes.
func judge(t interface {
	Errorf(format string, args ...any)
}, markdown, html string,
) {
	if sane := policy().Sanitize(html); sane != html {
		t.Errorf("%.400q becomes\n%q, of which the policy leaves\n%q", markdown, html, sane)
	}
}

func TestConvert_HostileAnswersAreWithinThePolicy(t *testing.T) {
	for _, markdown := range hostile() {
		judge(t, markdown, made(t, markdown))
	}
}

func TestConvert_WhateverAnAnswerIsMadeOfIsWithinThePolicy(t *testing.T) {
	parts := []string{
		"甲", " ", "\n", "\n\n", "- ", "> ", "`x<y`", "**a**", "$x$", "|a|b|\n|--|:-:|\n|c|d|\n", "<", ">", `"`, "'", "&", "&amp;", "&#39;", "&lt;", "&copy", "&nbsp;", "&#0;", "\x00", "\r",
		"<a>", "<a href=x>", "<a href='https://a.example/c?d=1&copy=2'>", "<a href=' JavaScript:x'>", "<a href='mailto:a b'>", "<a href='MAILTO:a@b'>", "<a href='tel:+1\"'>", "</a>",
		"[a](https://b.example \"t\")", "[a](mailto:a@b.example)", "![p](https://a.example/c.png)", "![p](/files/x?sign=1)", "https://a.example/?b='&c", "<https://a.example>",
		"<b>", "<B class=x>", "</b>", "<b/>", "<p align=center>", "<ol start=5>", "<ol start=x>", "<td align=left colspan=3 x=y>", "<td rowspan=123>", "<table>", "</table>", "<details open>", "<details open=x>", "</details>",
		"<br/>", "<hr size=1>", "<img src=/files/x alt='a\"b' onerror=x>", "<video src=https://a.example/v.mp4>", "<script>", "</script>", "<style>", "<textarea>", "</textarea>", "<svg>", "<math>", "<!--", "-->", "<![CDATA[", "<?x",
	}
	rapid.Check(t, func(rt *rapid.T) {
		markdown := strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 1, 16).Draw(rt, "parts"), "")
		judge(rt, markdown, made(t, markdown))
	})
}
