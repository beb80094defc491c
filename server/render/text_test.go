package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// textCases are Markdown and what a subscriber sees. They are also the seeds of the properties.
var textCases = []struct{ name, in, want string }{
	// Text.
	{"empty", "", ""},
	{"blank", " \n\t\n  ", ""},
	{"plain", "您好，请问有什么可以帮您？", "您好，请问有什么可以帮您？"},
	{"lines stay lines", "第一行\n第二行", "第一行\n第二行"},
	{"one blank line between paragraphs", "a\n\n\n\nb", "a\n\nb"},
	{"carriage returns", "a\r\nb\rc", "a\nb\nc"},
	{"trailing blanks", "a  \nb\t\n", "a\nb"},
	{"leading blanks of a line", "a\n   b", "a\nb"},
	{"hard break", "a\\\nb", "a\nb"},
	{"ideographic indentation stays", "　　段落", "　　段落"},
	{"characters illegal in XML", "a\x00b\x0bc\x1fd\uFFFEe\uFFFFf", "abcdef"},
	{"bytes that are no UTF-8", "a\xffb\xe4\xb8c", "abc"},
	{"the replacement character is a character", "a\uFFFDb", "a\uFFFDb"},

	// Headings and rules.
	{"heading", "# 标题", "【标题】"},
	{"heading of level six, closed", "###### Title ###", "【Title】"},
	{"heading with marks", "## **重点** `x`", "【重点 x】"},
	{"heading that has its brackets", "# 【公告】", "【公告】"},
	{"empty heading", "#\ntext", "text"},
	{"hash without blank is text", "#话题 好", "#话题 好"},
	{"seven hashes are text", "####### a", "####### a"},
	{"heading interrupts a paragraph", "a\n# b\nc", "a\n\n【b】\n\nc"},
	{"hash at the end of a heading's word", "# C#", "【C#】"},
	{"rule", "a\n\n---\n\nb", "a\n\n————\n\nb"},
	{"rule of stars", "* * *", "————"},
	{"no underlined heading", "text\n---\nmore", "text\n\n————\n\nmore"},
	{"equals signs are text", "text\n===", "text\n==="},

	// Emphasis.
	{"strong", "这是**重点**。", "这是重点。"},
	{"strong with punctuation inside", "**重要：**内容", "重要：内容"},
	{"strong with quotes inside", "他说**“好”**了", "他说“好”了"},
	{"strong of underscores", "__bold__ text", "bold text"},
	{"em", "an *important* word", "an important word"},
	{"em of underscores", "an _important_ word", "an important word"},
	{"strong and em", "***both***", "both"},
	{"nested", "**a *b* c**", "a b c"},
	{"struck", "~~旧价~~ 新价", "旧价 新价"},
	{"strong over lines", "**a\nb**", "a\nb"},
	{"strong inside a word", "un**believ**able", "unbelievable"},
	{"snake case", "the snake_case_name and __x", "the snake_case_name and __x"},
	{"sums", "2*3*4 = 24, 2 * 3 * 4", "2*3*4 = 24, 2 * 3 * 4"},
	{"powers", "2**3**2", "2**3**2"},
	{"arguments", "f(*args, **kwargs)", "f(*args, **kwargs)"},
	{"glob", "*.go and *.md", "*.go and *.md"},
	{"price note", "价格*：100元，*含税", "价格*：100元，*含税"},
	{"unclosed strong", "**a", "**a"},
	{"range", "3~5 天，10~20 元", "3~5 天，10~20 元"},
	{"star that a letter behind it keeps", "*00\n00*0", "*00\n00*0"},
	{"four stars", "a **** b ****", "a **** b ****"},
	{"escaped", `\*a\* \# \_b\_ \\`, `*a* # _b_ \`},
	{"backslash before a letter", `C:\dir`, `C:\dir`},

	// Code.
	{"span", "run `go test ./...` now", "run go test ./... now"},
	{"span keeps marks", "`**a** _b_ <b> &lt;`", "**a** _b_ <b> &lt;"},
	{"span with backticks", "`` a`b ``", "a`b"},
	{"span that is not closed", "a ` b", "a ` b"},
	{"span of many backticks is text", "`````````a`````````", "`````````a`````````"},
	{"fence", "```go\nfunc f() {\n\treturn **x**\n}\n```", "func f() {\n\treturn **x**\n}"},
	{"fence with blank lines", "~~~\n\na\n\n\nb\n\n~~~\nc", "a\n\n\nb\n\nc"},
	{"fence not closed", "```\na\nb", "a\nb"},
	{"longer fence", "````\n```\na\n```\n````", "```\na\n```"},
	{"fence in an item", "1. run:\n   ```sh\n   ls\n     -l\n   ```\n2. done", "1. run:\n  ls\n    -l\n2. done"},
	{"fence ends with its item", "- ```\n  a\nb", "• a\n\nb"},
	{"indented code", "a\n\n    x = *y*\n\n      z\n\nb", "a\n\nx = *y*\n\n  z\n\nb"},
	{"indented code by tab", "\ta\n\t\tb", "a\n\tb"},
	{"reasoning tags in code are text", "`<think>` and\n```\n<think>a</think>\n```", "<think> and\n\n<think>a</think>"},
	{"a tag of ours in code is defused", "```\n<a href=\"https://x\">y</a>\n```", "＜a href=\"https://x\">y＜/a>"},

	// Lists.
	{"bullets", "- 一\n* 二\n+ 三", "• 一\n\n• 二\n\n• 三"},
	{"list", "- 一\n- 二", "• 一\n• 二"},
	{"list after text", "有：\n- 一\n- 二\n\n完", "有：\n\n• 一\n• 二\n\n完"},
	{"loose list", "- a\n\n- b", "• a\n\n• b"},
	{"nested list", "- a\n  - b\n    - c\n- d", "• a\n  • b\n    • c\n• d"},
	{"nested list by four columns", "1. a\n    - b\n2. c", "1. a\n  • b\n2. c"},
	{"list with tab", "-\ta\n\t- b", "• a\n  • b"},
	{"numbers", "1. a\n2. b\n3) c", "1. a\n2. b\n\n3) c"},
	{"numbers count up", "1. a\n1. b\n1. c", "1. a\n2. b\n3. c"},
	{"numbers do not run behind the source", "1. a\n3. c", "1. a\n3. c"},
	{"list goes on after text", "1. a\n\ntext\n\n2. b", "1. a\n\ntext\n\n2. b"},
	{"continued item", "- a\n  b\nc", "• a\n  b\n  c"},
	{"paragraphs in an item", "- a\n\n  b", "• a\n\n  b"},
	{"tasks", "- [ ] a\n- [x] **b**\n1. [X] c", "☐ a\n☑ b\n\n1. ☑ c"},
	{"year is no item", "a\n2024. b", "a\n2024. b"},
	{"dash inside text is no item", "a\n-\nb", "a\n-\nb"},
	{"item with a heading", "- # a\n  b", "• 【a】\n  b"},
	{"empty item", "-\n- a", "• a"},
	{"Chinese numbers", "1、甲\n2、乙", "1、甲\n2、乙"},

	// Quotations.
	{"quotation", "> 引用\n> 二\n三", "> 引用\n> 二\n> 三"},
	{"paragraphs in a quotation", "> a\n>\n> b", "> a\n>\n> b"},
	{"two quotations", "> a\n\n> b", "> a\n\n> b"},
	{"list in a quotation", ">- a\n>- b\n\nc", "> • a\n> • b\n\nc"},
	{"nested quotation", "> a\n>> b", "> a\n>\n> > b"},
	{"code in a quotation", "> ```\n> a\n>\n> b\n> ```", "> a\n>\n> b"},

	// Tables.
	{"table", "| a | b |\n| --- | :-: |\n| 1 | **2** |\n| | 4 |\n\nx", "a｜b\n1｜2\n｜4\n\nx"},
	{"table without outer bars", "a | b\n--|--\n1 | 2", "a｜b\n1｜2"},
	{"table below text", "表：\n| a | b |\n|---|---|\n| 1 | 2 |\n完", "表：\n\na｜b\n1｜2\n\n完"},
	{"table with escaped bar", "| a |\n|---|\n| `x\\|y` |", "a\nx|y"},
	{"table with breaks and links", "| a |\n|---|\n| x<br>y [l](https://b) |", "a\nx y <a href=\"https://b\">l</a>"},
	{"table in an item", "- a\n\n  | x | y |\n  |---|---|\n  | 1 | 2 |", "• a\n\n  x｜y\n  1｜2"},
	{"bars are no table", "a | b\nc | d", "a | b\nc | d"},
	{"head without bar below text is text", "a\nb | c\n---|---", "a\nb | c\n---|---"},

	// Links and images.
	{"link", "见[官网](https://a.b/c?d=1&e=2)。", `见<a href="https://a.b/c?d=1&e=2">官网</a>。`},
	{"link with title", `[a](https://b "t") [c](<https://d e> 'x')`, `<a href="https://b">a</a> <a href="https://d%20e">c</a>`},
	{"link with parentheses", "[a](https://b/c_(d))", `<a href="https://b/c_(d)">a</a>`},
	{"link with marks in its text", "[**a** `b`](https://c)", `<a href="https://c">a b</a>`},
	{"link in strong", "**[a](https://b)**", `<a href="https://b">a</a>`},
	{"link over lines", "[a\nb](https://c)", `<a href="https://c">a b</a>`},
	{"link without text", "[](https://a.b)", "https://a.b"},
	{"WeChat's own link", "[继续](weixin://bizmsgmenu?msgmenucontent=1&msgmenuid=2)", `<a href="weixin://bizmsgmenu?msgmenucontent=1&msgmenuid=2">继续</a>`},
	{"other schemes", "[a](javascript:alert(1)) [b](JaVaScRiPt:x) [c](java&#115;cript:x) [d](mailto:x@y) [e](/rel) [f](//x.y)", `a b c d（x@y） e <a href="https://x.y">f</a>`},
	{"schemes in disguise", "[a](<java\tscript:x>) [b](&#x6A;avascript:x) [c](\\javascript:x) [d](vbscript:x) [e](data:text/html,x)", "a b c d e"},
	{"scheme in capitals", "[a](HTTPS://B.c)", `<a href="https://B.c">a</a>`},
	{"quotes in a target", `[a](https://b/"onx='c)`, `<a href="https://b/%22onx=%27c">a</a>`},
	{"brackets that are no link", "[a] [b](c d) [e", "[a] [b](c d) [e"},
	{"link in brackets", "[[a](https://b)](https://c)", `[<a href="https://b">a</a>](https://c)`},
	{"reference links stay", "[a][1]\n\n[1]: https://b", "[a][1]\n\n[1]: https://b"},
	{"autolink", "<https://a.b/c_d_e> <x@y.z>", "https://a.b/c_d_e x@y.z"},
	{"bare URL", "见 https://a.b/__c__/d*e，好", "见 https://a.b/__c__/d*e，好"},
	{"strong URL", "**https://a.b/c**", "https://a.b/c"},
	{"image", "![图](https://a/b.png)", `<a href="https://a/b.png">图</a>`},
	{"image without description", "![](https://a/b.png)", `<a href="https://a/b.png">图片</a>`},
	{"image with relative URL", "![图](/files/b.png) ![](c.png)", "图 图片"},
	{"embedded image", "![图](data:image/png;base64," + strings.Repeat("A", 9000) + ")。", "图。"},
	{"image in a link", "[![图](https://a/b.png)](https://c)", `<a href="https://c">图</a>`},
	{"exclamation before text", "好![ 坏", "好![ 坏"},

	// HTML.
	{"break", "a<br>b<br/>c<BR />d", "a\nb\nc\nd"},
	{"raw link", `<a target=_blank href='https://x.y/?a=1&amp;b=2'>k</a>`, `<a href="https://x.y/?a=1&b=2">k</a>`},
	{"raw link elsewhere", `<a href="javascript:x">a</a> <A HREF=" &#106;avascript:x">b</A> <a>c</a>`, "a b c"},
	{"mini program", `<a data-miniprogram-appid="wx0123456789abcdef" data-miniprogram-path="pages/index?id=1" href="https://x.y">go</a>`,
		`<a data-miniprogram-appid="wx0123456789abcdef" data-miniprogram-path="pages/index?id=1" href="https://x.y">go</a>`},
	{"mini program without fallback", `<a data-miniprogram-appid=wx01 data-miniprogram-path='p"x'>go</a>`, `<a data-miniprogram-appid="wx01" data-miniprogram-path="p%22x">go</a>`},
	{"raw link not closed", `<a href="https://x.y">a`, `<a href="https://x.y">a</a>`},
	{"raw link without text", `a<a href="https://x.y"></a>b`, "ab"},
	{"raw links nested", `<a href="https://x">a<a href="https://y">b</a>c</a>`, `<a href="https://x">a</a><a href="https://y">b</a>c`},
	{"crossing links", `<a href="https://x">[a</a>b](https://y)`, `<a href="https://x">ab</a>`},
	{"tags go, their text stays", `<div class="x">a <b>b</b> <span style='c'>d</span></div> <my-tag>e</my-tag>`, "a b d\ne"},
	{"paragraph tags", "<p>a</p><p>b</p><ul><li>c</li><li>d</li></ul>", "a\nb\n• c\n• d"},
	{"raw image", `<img src="https://a/b.png" alt="图"> <img src=b.png>`, `<a href="https://a/b.png">图</a> 图片`},
	{"names that are no HTML", "List<String> <token> a<b>c</b> x<y 1<2>0", "List<String> <token> ac x<y 1<2>0"},
	{"entities", "&lt;b&gt; &amp;amp; &copy; &nbsp;&#65;&#x42; &bogus; &", "<b> &amp; ©  AB &bogus; &"},
	{"entities that are illegal", "a&#1;b&#xFFFE;c&#13;d", "abcd"},
	{"entities that make a tag", "&lt;a href=\"javascript:x\"&gt;y&lt;/a&gt;", `＜a href="javascript:x">y＜/a>`},
	{"marks that make a tag", "<**a** href=x>", "＜a href=x>"},
	{"comment", "a<!-- b\n\nc -->d", "ad"},
	{"comment not closed", "a <!-- b", "a <!-- b"},
	{"footnotes", "真的[^1]好[^note]。\n\n[^1]: 出处\n[^note]: 另一个", "真的[1]好[note]。\n\n[1] 出处\n[note] 另一个"},
	{"character class is no footnote", "a [^0-9] b", "a [^0-9] b"},

	// Formulas.
	{"formulas", `$a_b*c*$ \(x_1*y*\) \[E=mc^2\]`, `$a_b*c*$ \(x_1*y*\) \[E=mc^2\]`},
	{"a formula that began before emphasis ended", "**\u200d***。$*$", "\u200d*。$*$"},
	{"code that began before emphasis ended", "x *。y`* x`", "x *。y* x"},
	{"a formula that began before a link ended", "x。[。$](b)$", "x。[。$](b)$"},
	{"an address that goes on behind marks", "_。https://a.b/_c_~~-", "_。https://a.b/_c_~~-"},
	{"a line break in what becomes a table's head", "x<br>。y|z\n---|---\n", "x 。y｜z"},
	{"display formula", "$$\na_b * c_d\n$$", "$$\na_b * c_d\n$$"},
	{"prices", "$5 和 **$10** 和 $", "$5 和 $10 和 $"},
	{"escaped brackets", `\[注\](x) \(好的\)`, "[注](x) (好的)"},

	// Reasoning.
	{"think", "<think>\n想\n</think>\n\n答", "答"},
	{"think with attributes and capitals", "<THINK time='1'>a</Think >b", "b"},
	{"thinking", "<thinking>a</thinking>b", "b"},
	{"think in the midst", "a<think>b</think>c<think>d</think>e", "ace"},
	{"think not closed", "a\n<think>b", "a"},
	{"only a closing tag", "想\n</think>\n答", "答"},
	{"think in think", "<think>a<think>b</think>c</think>d", "d"},
	{"only reasoning", "<think>\na\n</think>\n\n", ""},
	{"code in think", "<think>`</think>` a", "` a"},
	{"open fence in think", "<think>\n```\na\n</think>\nb", "b"},
	{"tag in an open fence", "```\n<think>a</think>b", "b"},
	{"details of Dify 0.15", `<details style="color:gray;" open> <summary> Thinking... </summary>a` + "\n</details>答", "答"},
	{"details in Chinese", "<details><summary>💭 思考过程</summary>a</details>b", "b"},
	{"details that are none", "<details><summary>更多</summary>a</details>b", "更多\na\nb"},
	{"thinker is a word", "<thinker> a", "<thinker> a"},
}

func TestText(t *testing.T) {
	for _, c := range textCases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, textOf(c.in)); diff != "" {
				t.Errorf("Text(%q), -want +got:\n%s", clip(c.in, 200), diff)
			}
		})
	}
}
