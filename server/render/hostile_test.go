package render

import (
	"strconv"
	"strings"
	"testing"
)

// hostile are patterns that make careless parsers quadratic or deep.
var hostile = []string{
	"*", "**", "* ", "*a ", "**a", "*a*", "_a_", "__a", "~~", "~~a", "a**b", "[", "]", "[]", "[](", "[a](", "[a](b", "[a](<b", "[a](b \"", "[a](b '", "[a](b)",
	"[a](https://b)", "![", "![](", "![a](data:", "![[]", "[![", "`", "``a", "`a", "`a``b```c", "```\n", "~~~~\na\n", "> ", ">", ">\n", "> > a\n", "- ", "-\n", "- - - a\n", "1. ", "1.\n",
	"<", "<a ", "<a x=\"", "<a x='<a y=\"", "<a href=\"https://x\">", "</a>", "<b><i>", "<!--", "<!-- a", "<!-- -->", "<?", "<![CDATA[", "<think>", "</think>", "<think></think>", "`<think></think>",
	"<think", "<details", "<details><summary>", "<details><summary>think", "<details><summary>thinking</summary></details>", "&", "&a", "&#", "&amp;", "&lt;", "|", "|a", "|\n", "|-", "| a |\n|---|\n", "a|b\n-|-\n",
	"\\", "\\(", "\\[", "\\(a", "\\[\n", "$", "$a", "$$", "$a$", "$$a$$\n", "h", "http://", "https://a ", "https://____", "# ", "#", "\n", " ", "\t", "    a\n", "\t\t\n", "---\n", "a\n", "[^1]", "[^1]: a\n", "[^a", "[ ] ",
	"\u0301", "\u200d", "🇨", "\x00", "\r", "\xff", "。", "<a>",
}

// repeat returns about size bytes of pattern.
func repeat(pattern string, size int) string {
	return strings.Repeat(pattern, size/len(pattern)+1)
}

// nested are documents whose lines go ever deeper.
func nested(size int) []string {
	var lists, quotes, ticks, fences strings.Builder
	for i := 0; lists.Len() < size; i++ {
		lists.WriteString(strings.Repeat("  ", i%2000) + "- a\n")
	}
	for i := 0; quotes.Len() < size; i++ {
		quotes.WriteString(strings.Repeat(">", i%2000) + " a\n")
	}
	for i := 1; ticks.Len() < size; i++ {
		ticks.WriteString(strings.Repeat("`", i) + " ")
	}
	for i := 1000; i >= 3 && fences.Len() < size; i-- {
		fences.WriteString(strings.Repeat("~", i) + "\n")
	}
	wide := strings.Repeat("|a", 500) + "|\n" + strings.Repeat("|-", 500) + "|\n"
	return []string{
		lists.String(), quotes.String(), ticks.String(), fences.String(), wide + repeat("|\n", size),
		repeat("[", size/2) + repeat("](https://a)", size/2), repeat("<a x=\"", size/2) + repeat("'>", size/2),
		repeat("**", size/2) + repeat("x**", size/2), repeat("> ", size/2) + "\n" + repeat("a\n", size/2),
		"- - - - - - - - - - - - a\n" + repeat("a\n", size),
	}
}

// TestHostileInputTakesLinearTime gives each pattern a size at which a quadratic parser needs minutes in all,
// so that it runs into the time limit of the test run. What comes out is bounded too.
func TestHostileInputTakesLinearTime(t *testing.T) {
	const size = 64 << 10
	var all strings.Builder
	for _, pattern := range hostile {
		checkHostile(t, repeat(pattern, size))
		all.WriteString(repeat(pattern, 4*size/len(hostile)))
	}
	checkHostile(t, all.String())
	for _, document := range nested(size) {
		checkHostile(t, document)
	}
}

func checkHostile(t *testing.T, md string) {
	t.Helper()
	text := Text(md)
	// Each level of nesting writes three bytes at most in front of a line of two.
	if limit := 20*len(md) + 1000; len(text) > limit {
		t.Errorf("%d bytes of %q become %d", len(md), clip(md, 40), len(text))
	}
	part := Partial(md)
	if !strings.Contains(md, "</think") && !strings.HasPrefix(text, part) {
		t.Errorf("Partial of %q is not the beginning of Text", clip(md, 40))
	}
	for from, n := 0, 0; from < len(text) && n < 200; n++ {
		_, from = Page(text, from, 2040)
	}
}

// TestHostileBeginningsAreShownRight checks the same patterns where each offset can be looked at.
func TestHostileBeginningsAreShownRight(t *testing.T) {
	for _, pattern := range hostile {
		if strings.Contains(pattern, "</think") {
			continue // the documented exception
		}
		md := repeat(pattern, 80)
		checkText(t, Text(md))
		checkPartial(t, md, 1)
		checkPartial(t, "好。\n"+md+"好。\n\n"+md, 1)
	}
	for _, md := range nested(600) {
		checkText(t, Text(md))
		checkPartial(t, md, 3)
	}
}

func BenchmarkHostile(b *testing.B) {
	for _, pattern := range []string{"[a](b", "|a", "> ", "*a ", "`a``b```c", "<a x=\"", "- "} {
		for _, kb := range []int{16, 64, 256} {
			md := repeat(pattern, kb<<10)
			b.Run(pattern+"/"+strconv.Itoa(kb)+"KB", func(b *testing.B) {
				b.SetBytes(int64(len(md)))
				for b.Loop() {
					Text(md)
				}
			})
		}
	}
}

func BenchmarkText(b *testing.B) {
	md := answers(b)["chat-long-markdown-6k.1.13.3.sse"]
	b.SetBytes(int64(len(md)))
	b.ReportAllocs()
	for b.Loop() {
		Text(md)
	}
}

func BenchmarkPartial(b *testing.B) {
	md := answers(b)["chat-long-markdown-6k.1.13.3.sse"]
	md = md[:len(md)*2/3]
	b.SetBytes(int64(len(md)))
	b.ReportAllocs()
	for b.Loop() {
		Partial(md)
	}
}

func BenchmarkPage(b *testing.B) {
	text := Text(answers(b)["chat-long-markdown-6k.1.13.3.sse"])
	b.ReportAllocs()
	for b.Loop() {
		Page(text, 0, 2040)
	}
}
