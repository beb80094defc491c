package page

import (
	"strings"
	"testing"
	"time"
)

const at = prefix + "TOKEN"

func made(t *testing.T, markdown string, files ...File) string {
	t.Helper()
	return string(convert(Answer{Markdown: markdown, Files: files}, at, Settings{FilesOrigin: "https://dify.example.com"}).html)
}

func TestConvert(t *testing.T) {
	for name, test := range map[string]struct{ markdown, want string }{
		"paragraphs":           {"甲\n\n乙", "<p>甲</p>\n<p>乙</p>\n"},
		"a line is a line":     {"甲\n乙", "<p>甲<br>\n乙</p>\n"},
		"strong":               {"**重要：**内容", "<p><strong>重要：</strong>内容</p>\n"},
		"strong among letters": {"甲**乙**丙", "<p>甲<strong>乙</strong>丙</p>\n"},
		"strong with links":    {"**[a](https://b.example)**", `<p><strong><a href="https://b.example" rel="nofollow noreferrer">a</a></strong></p>` + "\n"},
		"strong and em":        {"***甲***乙 *丙*", "<p><strong><em>甲</em></strong>乙 <em>丙</em></p>\n"},
		"em in strong":         {"**甲 *乙* 丙**", "<p><strong>甲 <em>乙</em> 丙</strong></p>\n"},
		"strong in a link":     {"[**a**](https://b.example)", `<p><a href="https://b.example" rel="nofollow noreferrer"><strong>a</strong></a></p>` + "\n"},
		"crossing marks":       {"**甲 *乙** 丙*", "<p><strong>甲 *乙</strong> 丙*</p>\n"},
		"struck":               {"~~甲~~乙", "<p><del>甲</del>乙</p>\n"},
		"names":                {"a_b_c __init__ 2*3*4", "<p>a_b_c <strong>init</strong> 2*3*4</p>\n"},
		"lone marks":           {"2 * 3, **", "<p>2 * 3, **</p>\n"},
		"escaped marks":        {`\*a\*`, "<p>*a*</p>\n"},
		"table": {
			"| 甲 | 乙 |\n|---|--:|\n| 1 | 2 |",
			"<table>\n<thead>\n<tr>\n<th>甲</th>\n<th align=\"right\">乙</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td>1</td>\n<td align=\"right\">2</td>\n</tr>\n</tbody>\n</table>\n",
		},
		"tasks":                 {"- [ ] a\n- [x] b", "<ul>\n<li>☐ a</li>\n<li>☑ b</li>\n</ul>\n"},
		"rule, no heading":      {"甲\n---\n乙", "<p>甲</p>\n<hr>\n<p>乙</p>\n"},
		"bare address":          {"见https://a.example/b。", `<p>见<a href="https://a.example/b" rel="nofollow noreferrer">https://a.example/b</a>。</p>` + "\n"},
		"bare addresses":        {"(http://a.example/?b=1&c=2), xhttp://d http:// https://", `<p>(<a href="http://a.example/?b=1&amp;c=2" rel="nofollow noreferrer">http://a.example/?b=1&amp;c=2</a>), xhttp://d http:// https://</p>` + "\n"},
		"addresses in code":     {"`https://a.example` [https://b.example](https://b.example)", `<p><code>https://a.example</code> <a href="https://b.example" rel="nofollow noreferrer">https://b.example</a></p>` + "\n"},
		"code":                  {"```go\nif a < b {}\n```", "<pre><code>if a &lt; b {}\n</code></pre>\n"},
		"formula":               {`\(a_b * c_d * e\) 和 $x_1*y_1*z$`, "<p><code>a_b * c_d * e</code> 和 <code>x_1*y_1*z</code></p>\n"},
		"prices":                {"$5 到 $10", "<p>$5 到 $10</p>\n"},
		"displayed formula":     {"见\n$$\n- a\n+ b_1\n$$\n后", "<p>见</p>\n<pre><code>- a\n+ b_1\n</code></pre>\n<p>后</p>\n"},
		"displayed in brackets": {"\\[\nx = 1\n\\]", "<pre><code>x = 1\n</code></pre>\n"},
		"reasoning":             {"<think>secret</think>\n答案", "<p>答案</p>\n"},
		"in a wrapper":          {"```markdown\n# 甲\n\n```go\n**a**\n```\n\n**乙**\n```", "<h1>甲</h1>\n<pre><code>**a**\n</code></pre>\n<p><strong>乙</strong></p>\n"},
		"HTML":                  {"<b>甲</b><br/>乙<sub>2</sub>", "<p><b>甲</b><br>乙<sub>2</sub></p>\n"},
		"details":               {"<details><summary>更多</summary>\n\n*甲*\n\n</details>", "<details><summary>更多</summary>\n<p><em>甲</em></p>\n</details>"},
		"picture":               {"![图](https://a.example/b.png?x=1&y=2)", `<p><img loading="lazy" src="/a/TOKEN/0" alt="图"></p>` + "\n"},
		"relative picture":      {"![图](/files/tools/b.png?sign=1)", `<p><img loading="lazy" src="/a/TOKEN/0" alt="图"></p>` + "\n"},
		"foreign relative":      {"![图](/wechat?x=1) [a](/b) [c](#d)", "<p>图 a c</p>\n"},
		"link to nowhere, open": {"<a href=/b>甲 [乙](https://c.example) 丙", `<p>甲 <a href="https://c.example" rel="nofollow noreferrer">乙</a> 丙</p>` + "\n"},
		"attributes":            {`<ol start="3" class="x"><li value="9">甲</li></ol>`, `<ol start="3"><li>甲</li></ol>`},
		"address with an &":     {"<div>见https://a.example/?b=1&c=2。</div>", `<div>见<a href="https://a.example/?b=1&amp;c=2" rel="nofollow noreferrer">https://a.example/?b=1&amp;c=2</a>。</div>`},
		"vector graphic":        {"![图](https://a.example/b.svg)", `<p><a href="https://a.example/b.svg" rel="nofollow noreferrer">图</a></p>` + "\n"},
		"file link":             {"[报告](/files/tools/b.pdf?sign=1)", `<p><a href="/a/TOKEN/0" rel="nofollow noreferrer">报告</a></p>` + "\n"},
		"video":                 {`<video src="https://a.example/b.mp4"></video>`, `<p><a href="https://a.example/b.mp4" rel="nofollow noreferrer">视频</a></p>` + "\n"},
		"twice the same":        {"![a](https://a.example/b.png)![a](https://a.example/b.png)", `<p><img loading="lazy" src="/a/TOKEN/0" alt="a"><img loading="lazy" src="/a/TOKEN/0" alt="a"></p>` + "\n"},
		"unbalanced":            {"甲</article></div></main>乙<b>丙", "<p>甲乙<b>丙</b></p>\n"},
		"open table":            {"<table><tr><td>a", "<table><tr><td>a</td></tr></table>"},
		"nothing":               {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := made(t, test.markdown); got != test.want {
				t.Errorf("%q becomes\n%q, want\n%q", test.markdown, got, test.want)
			}
		})
	}
}

func TestConvert_Files(t *testing.T) {
	got := made(t, "见 [报告](https://dify.example.com/files/tools/a.pdf?sign=1)",
		File{Name: "a.pdf", Type: "document", URL: "https://dify.example.com/files/tools/a.pdf?sign=2"},
		File{Name: "b.png", Type: "image", URL: "https://dify.example.com/files/tools/b.png?sign=2"},
		File{Name: `"c">.mp3`, Type: "audio", URL: "https://dify.example.com/files/tools/c.mp3?sign=2"},
		File{Name: "d", Type: "document", URL: "file:///etc/passwd"})
	want := `<p>见 <a href="/a/TOKEN/0" rel="nofollow noreferrer">报告</a></p>` + "\n" +
		`<p><img loading="lazy" src="/a/TOKEN/1" alt="b.png"></p><p><a href="/a/TOKEN/2" rel="nofollow noreferrer">&#34;c&#34;&gt;.mp3</a></p>`
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestRelativeFilesOfDifyBelowAPath(t *testing.T) {
	for origin, want := range map[string]string{
		"https://d.example": "https://d.example/files/a%2Fb.png?sign=1&x=2", "https://d.example/v1/": "https://d.example/files/a%2Fb.png?sign=1&x=2",
		"https://d.example/dify/v1": "https://d.example/dify/files/a%2Fb.png?sign=1&x=2", "http://[::1]:5001/a/dify/": "http://[::1]:5001/a/dify/files/a%2Fb.png?sign=1&x=2",
	} {
		r := references{settings: &Settings{FilesOrigin: origin}}
		if got := r.absolute("/files/a%2Fb.png?sign=1&x=2"); got == nil || got.String() != want {
			t.Errorf("%s: %v, want %s", origin, got, want)
		}
	}
}

// A piece ends where nothing is open, as a rule, and all of them are the whole.
func TestPieces(t *testing.T) {
	long := strings.Repeat("字", 3000)
	fenced := "```\n" + strings.Repeat("line\n\n", 5000) + "```\n"
	for _, markdown := range []string{"", "a", long + "\n\n" + long + "\n\n" + long, strings.Repeat(long, 3), fenced, strings.Repeat(long+"\n", 5)} {
		var all strings.Builder
		n := 0
		for p := range pieces(markdown) {
			if len(p) > maxPiece || p == "" {
				t.Errorf("a piece has %d bytes", len(p))
			}
			all.WriteString(p)
			n++
		}
		if all.String() != markdown {
			t.Errorf("%d pieces are not the whole of %d bytes", n, len(markdown))
		}
	}
	var first string
	for p := range pieces(long + "\n\n" + long + "\n\n" + long) {
		first = p
		break
	}
	if !strings.HasSuffix(first, "\n\n") {
		t.Error("a piece ends within a paragraph")
	}
}

// Texts that take parsers long: the time must not grow with more than the length.
func TestConvert_HostileSizes(t *testing.T) {
	for name, unit := range map[string]string{
		"asterisks": "*a ", "more asterisks": "**a*", "underscores": "_a __b", "brackets": "[", "links": "[a](", "nested links": "[a](b", "pictures": "![", "angles": "<a ",
		"tags": "<b>", "open lists": "<ul><li>", "backticks": "`a``b", "quotes": "> ", "lists": "- ", "deep lists": "  - a\n", "dollars": "$a", "brackets and backslashes": `\(`, "tables": "|a",
		"references": "[a]: b\n", "entities": "&a;&#x", "addresses": "http://a.b/", "comments": "<!--", "questions": "<?", "cdata": "<![CDATA[", "at": "a@b.", "tildes": "~~a ",
		"fences": "```\n", "closing": "</b>", "hashes": "# ", "text": "字", "definitions": "[^1]: a\n", "emphasis with links": "**[a](b)", "tabs": "\t",
	} {
		t.Run(name, func(t *testing.T) {
			take := func(length int) time.Duration {
				markdown := strings.Repeat(unit, length/len(unit))
				began := time.Now()
				convert(Answer{Markdown: markdown}, at, Settings{})
				return time.Since(began)
			}
			// Four times the length takes four times as long, sixteen times if each part looks at all others. The machine may
			// have had something else to do.
			var quarter, whole time.Duration
			for range 3 {
				quarter, whole = take(maxMarkdown/4), take(maxMarkdown)
				if whole < 10*quarter+100*time.Millisecond {
					return
				}
			}
			t.Errorf("a quarter took %v, the whole %v", quarter, whole)
		})
	}
}
