package render

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostile are patterns that make careless parsers quadratic or deep.
var hostile = []string{
	"*", "**", "* ", "*a ", "**a", "*a*", "_a_", "__a", "~~", "~~a", "a**b", "[", "]", "[]", "[](", "[a](", "[a](b", "[a](<b", "[a](b \"", "[a](b '", "[a](b)",
	"[a](https://b)", "![", "![](", "![a](data:", "![[]", "[![", "`", "``a", "`a", "`a``b```c", "```\n", "~~~~\na\n", "> ", ">", ">\n", "> > a\n", "- ", "-\n", "- - - a\n", "1. ", "1.\n",
	"<", "<a ", "<a x=\"", "<a x='<a y=\"", "<a href=\"https://x\">", "</a>", "<b><i>", "<!--", "<!-- a", "<!-- -->", "<?", "<![CDATA[", "<think>", "</think>", "<think></think>", "`<think></think>",
	"<think", "<details", "<details><summary>", "<details><summary>think", "<details><summary>thinking</summary></details>", "&", "&a", "&#", "&amp;", "&lt;", "|", "|a", "|\n", "|-", "| a |\n|---|\n", "a|b\n-|-\n",
	"\\", "\\(", "\\[", "\\(a", "\\[\n", "$", "$a", "$$", "$a$", "$$a$$\n", "h", "http://", "https://a ", "https://____", "# ", "#", "\n", " ", "\t", "    a\n", "\t\t\n", "---\n", "a\n", "[^1]", "[^1]: a\n", "[^a", "[ ] ",
	"\u0301", "\u200d", "🇨", "\x00", "\r", "\xff", "。", "<a>",
	"<table>", "<tr><td>", "<td>", "</table>", "<sup>", "<sub>", "<style>", "</style>", "<svg ", "<script", "<pre>", "<code>", "<button data-message=a>", "<video>",
	"<source src=", "<img src=\"data:", "<h2>", "</h2>", "<ul><li>", "</ul>", "<p>", "<details>", "<b x=1 ", "<b 重 ", "</b", "<|", "<|a", "<|a|>", "<|channel|>a",
	"<|channel|>a<|message|>", "<|channel>a", "<channel|>", "<|end|>", "<|start|>", "<|im_start|>assistant", "</thinking>", "<thinking><think>", "[THINK]", "[/THINK]", "◁think▷",
	"【1†", "【1", "&lt;think&gt;", " (https://a ", "[a] (https://a", "[a]（https://a", "[a](https://a b", "** ", " **", "~~ ", "***a ***", "****", "__a", "_a_b", "(**a", "**kwargs",
	"a**2 ", "##", "analysis", "[!NOTE]", "> [!NOTE]\n", "<tool_call>", "<answer>", "```md\n", "```md\n```\n", "<think></think>```m", "```md\n```\na\n",
}

// atoms are marks whose pairs are tried.
var atoms = []string{
	"[a](", "](", "<a href=", "<a b=\"", "<b c='", "`", "``", "$", "$$", "\\(", "\\[", "&", "*", "**", "_a ", "| a |\n", "> ", "- ", "<!--", "<think", "<think>", "</think",
	"<details><summary>", "![", "http://a_", "[^a", "    c\n", "```\n", "~~~", "(", ")", "\n", " ", "](data:", "<", "a|b\n", "-|-\n", "\\", "<table>", "<td>", "<sup>", "<style>",
	"<pre>", "<h2>", "<li>", "<a href=\"https://x\">", "</a>", "<|channel|>a", "<|end|>", "[THINK]", "◁think▷", "【1†", "<br>", "](https://a b", " **", "__a", "(**a", "'", "\"", ">",
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

// TestText_HostileInput gives each pattern a size at which a quadratic parser needs minutes in all,
// so that it runs into the time limit of the test run. What comes out is bounded too.
func TestText_HostileInput(t *testing.T) {
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

// TestText_HostilePairs tries each pair of atoms, as TestText_HostileInput does.
func TestText_HostilePairs(t *testing.T) {
	for _, a := range atoms {
		for _, b := range atoms {
			checkHostile(t, repeat(a+b, 1<<10))
		}
	}
}

// BenchmarkPairs reports the time that a byte of the worst pair takes; it should not grow with the size.
func BenchmarkPairs(b *testing.B) {
	for _, kb := range []int{4, 16, 64} {
		b.Run(strconv.Itoa(kb)+"KB", func(b *testing.B) {
			var worst time.Duration
			for b.Loop() {
				worst = 0
				for _, first := range atoms {
					for _, second := range atoms {
						md := repeat(first+second, kb<<10)
						began := time.Now()
						textOf(md)
						partialOf(md)
						worst = max(worst, time.Since(began))
					}
				}
			}
			b.ReportMetric(float64(worst.Nanoseconds())/float64(kb<<10), "ns/B-worst")
		})
	}
}

func checkHostile(t *testing.T, md string) {
	t.Helper()
	text := textOf(md)
	// Each level of nesting writes three bytes at most in front of a line of two.
	if limit := 20*len(md) + 1000; len(text) > limit {
		t.Errorf("%d bytes of %q become %d", len(md), clip(md, 40), len(text))
	}
	part := partialOf(md)
	if !takesBack(md) && !strings.HasPrefix(text, part) {
		t.Errorf("Partial of %q is not the beginning of Text", clip(md, 40))
	}
	for from, n := 0, 0; from < len(text) && n < 200; n++ {
		_, from = Page(text, from, 2040)
	}
}

// TestPartial_HostileInput checks the same patterns where each offset can be looked at.
func TestPartial_HostileInput(t *testing.T) {
	for _, pattern := range hostile {
		md := repeat(pattern, 80)
		checkText(t, textOf(md))
		checkPartial(t, md, 1)
		checkPartial(t, "好。\n"+md+"好。\n\n"+md, 1)
	}
	for _, md := range nested(600) {
		checkText(t, textOf(md))
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
					textOf(md)
				}
			})
		}
	}
}

// samples are recorded Markdown of so many characters, and the same among tags.
func samples(b *testing.B) map[string]string {
	long := []rune(answers(b)["chat-long-markdown-6k.1.13.3.sse"])
	cut := func(n int) string { return string(long[:n]) }
	return map[string]string{
		"400": cut(400), "3000": cut(3000),
		"3000-html": "<think>想。</think>\n" + strings.ReplaceAll(cut(2700), "\n\n", "<br>\n<p><b>甲</b></p>\n\n"),
	}
}

func BenchmarkText(b *testing.B) {
	for name, md := range samples(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(md)))
			b.ReportAllocs()
			for b.Loop() {
				textOf(md)
			}
		})
	}
}

func BenchmarkPartial(b *testing.B) {
	for name, md := range samples(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(md)))
			b.ReportAllocs()
			for b.Loop() {
				partialOf(md)
			}
		})
	}
}

func BenchmarkPage(b *testing.B) {
	text := textOf(answers(b)["chat-long-markdown-6k.1.13.3.sse"])
	b.ReportAllocs()
	for b.Loop() {
		Page(text, 0, 2040)
	}
}
