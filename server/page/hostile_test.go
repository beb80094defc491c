package page

import "strings"

// hostile are answers that try to do more than be read. Scripts that run set window.pwned, or ask /pwned for something.
func hostile() []string {
	const js = "window.pwned=1"
	cases := []string{
		// scripts
		`<script>window.pwned=1</script>`, `<SCRIPT>window.pwned=1</SCRIPT>`, `<script src=/pwned></script>`, `<script
src=/pwned></script>`, `<scr<script>ipt>window.pwned=1</scr</script>ipt>`, `<script/x>window.pwned=1</script>`, `<script>window.pwned=1`,
		`<<script>script>window.pwned=1<</script>/script>`, `<script type=module>window.pwned=1</script>`, `<script>window.pwned=1</script >`,
		`<!--><script>window.pwned=1</script>-->`, `<!--!><script>window.pwned=1</script>`, `<!-- --!><script>window.pwned=1</script>-->`, "<script>/*\n\n*/window.pwned=1</script>",
		`<script>window.pwned=1<!--`, `<![CDATA[<script>window.pwned=1</script>]]>`, `<?xml <script>window.pwned=1</script> ?>`, `<!DOCTYPE x [<script>window.pwned=1</script>]>`,
		// event handlers
		`<img src=x onerror=window.pwned=1>`, `<img src=x onerror="window.pwned=1"//>`, `<img/src=x/onerror=window.pwned=1>`, `<img src=x ONERROR=window.pwned=1>`,
		"<img src=x\nonerror\n=\nwindow.pwned=1>", "<img src=x\x0conerror=window.pwned=1>", `<b onmouseover=window.pwned=1 autofocus onfocus=window.pwned=1 tabindex=1>x</b>`,
		`<body onload=window.pwned=1>`, `<html onclick=window.pwned=1>`, `<details open ontoggle=window.pwned=1>x</details>`, `<details open onbeforetoggle=window.pwned=1>x</details>`,
		`<video><source onerror=window.pwned=1></video>`, `<audio src=x onerror=window.pwned=1>`, `<marquee onstart=window.pwned=1>x</marquee>`, `<input autofocus onfocus=window.pwned=1>`,
		`<select autofocus onfocus=window.pwned=1>`, `<textarea autofocus onfocus=window.pwned=1>`, `<keygen autofocus onfocus=window.pwned=1>`, `<a href=# onclick=window.pwned=1>x</a>`,
		`<p onanimationstart=window.pwned=1 style="animation:x">x</p>`, `<img src="x" alt="` + "``onerror=window.pwned=1" + `">`, `<img src='x' onerror='window.pwned=1'>`,
		`<div contenteditable onblur=window.pwned=1>x</div>`, `<p hidden=until-found onbeforematch=window.pwned=1>x</p>`, `<button popovertarget=x onclick=window.pwned=1>x</button><div popover id=x onbeforetoggle=window.pwned=1>y</div>`,
		`<table background=/pwned><tr><td background=/pwned onclick=window.pwned=1>x`, `<a href="https://a.example/"onclick="window.pwned=1">x</a>`,
		// addresses
		`[x](javascript:window.pwned=1)`, `[x](JaVaScRiPt:window.pwned=1)`, `[x](java	script:window.pwned=1)`, "[x](<java\nscript:window.pwned=1>)", `[x](&#106;avascript:window.pwned=1)`,
		`[x](&#x6A;avascript&colon;window.pwned=1)`, `[x](javascript&Tab;:window.pwned=1)`, `[x](\x01javascript:window.pwned=1)`, `[x](vbscript:x)`, `[x](data:text/html,<script>window.pwned=1</script>)`,
		`[x](data:text/html;base64,PHNjcmlwdD53aW5kb3cucHduZWQ9MTwvc2NyaXB0Pg==)`, `<javascript:window.pwned=1>`, `<a href="javascript:window.pwned=1">x</a>`, `<a href=" javascript:window.pwned=1">x</a>`,
		"<a href=\"java\x0ascript:window.pwned=1\">x</a>", `<a href="//a.example/">x</a>`, `<a href="/wechat?x">x</a>`, `<a href="..">x</a>`, `<a href="?x">x</a>`, `<a href="#x" id=x name=x>x</a>`,
		`<a xlink:href="javascript:window.pwned=1">x</a>`, `<a href="https://a.example/" target=_top ping=/pwned download>x</a>`, `<a href="blob:https://a.example/x">x</a>`, `<a href="file:///etc/passwd">x</a>`,
		`[x][y]` + "\n\n[y]: javascript:window.pwned=1", `![x](javascript:window.pwned=1)`, `![x](data:image/svg+xml,<svg onload=window.pwned=1>)`, `![x" onerror="window.pwned=1](https://a.example/x.png)`,
		`![x](https://a.example/x.png"onerror="window.pwned=1)`, `![x](https://a.example/x.png 'a" onerror="window.pwned=1')`, `[x](https://a.example/"onclick="window.pwned=1)`, `https://a.example/"onclick="window.pwned=1`,
		`<https://a.example/"onclick="window.pwned=1>`, `[x](https://user:pass@a.example/)`, `[x](weixin://dl/x)`, `[x](intent://x#Intent;end)`,
		`<img src="https://a.example/x.png" srcset="/pwned 1x" lowsrc=/pwned dynsrc=/pwned longdesc=/pwned usemap=#x ismap crossorigin>`, `<img src=/pwned>`, `<img src=//127.0.0.1/pwned>`,
		// styles
		`<style>body{display:none}@import "/pwned";</style>`, `<p style="background:url(/pwned)">x</p>`, `<p style="position:fixed;inset:0;background:red">x</p>`, `<link rel=stylesheet href=/pwned>`,
		`<style><img src=x onerror=window.pwned=1></style>`, `<style>@font-face{font-family:x;src:url(/pwned)}</style>`, `<font face=x color=red size=7>x</font>`, `<p class="q" id="x" dir=rtl lang=x title=x>x</p>`,
		`<style></style><style>*{color:red}`, `<link rel=prefetch href=/pwned><link rel=preconnect href=https://a.example>`,
		// frames, objects, forms
		`<iframe src=/pwned></iframe>`, `<iframe srcdoc="<script>parent.window.pwned=1</script>"></iframe>`, `<iframe src="javascript:parent.window.pwned=1"></iframe>`, `<object data=/pwned></object>`,
		`<object data="data:text/html,<script>window.pwned=1</script>"></object>`, `<embed src=/pwned>`, `<applet code=x>`, `<frameset><frame src=/pwned></frameset>`, `<portal src=/pwned></portal>`, `<fencedframe></fencedframe>`,
		`<form action=/pwned><input name=x><button>x</button></form>`, `<button formaction="javascript:window.pwned=1" form=x>x</button>`, `<input type=image src=/pwned formaction=/pwned>`, `<isindex action=/pwned>`,
		`<meta http-equiv=refresh content="0;url=/pwned">`, `<meta http-equiv=refresh content="0;url=javascript:window.pwned=1">`, `<base href=/pwned/>`, `<meta name=referrer content=unsafe-url>`,
		`<dialog open>x</dialog>`, `<slot name=x></slot><template shadowrootmode=open><img src=x onerror=window.pwned=1></template>`,
		// SVG, MathML, and what changes its meaning when it is read again
		`<svg onload=window.pwned=1>`, `<svg><script>window.pwned=1</script></svg>`, `<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s>`, `<svg><a xlink:href="javascript:window.pwned=1"><text y=9>x</text></a></svg>`,
		`<svg><use href="data:image/svg+xml,<svg id=x xmlns='http://www.w3.org/2000/svg'><script>window.pwned=1</script></svg>#x">`, `<svg><set attributeName=onmouseover to=window.pwned=1>`, `<svg><foreignObject><img src=x onerror=window.pwned=1></foreignObject></svg>`,
		`<svg><style><img src=x onerror=window.pwned=1></style></svg>`, `<svg></p><style><a id="</style><img src=1 onerror=window.pwned=1>">`, `<svg><image href=/pwned>`,
		`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.pwned=1&gt;">`, `<form><math><mtext></form><form><mglyph><style></math><img src onerror=window.pwned=1>`,
		`<math href="javascript:window.pwned=1">x</math>`, `<math><annotation-xml encoding="text/html"><script>window.pwned=1</script></annotation-xml></math>`, `<math><mi//xlink:href="data:x,<script>window.pwned=1</script>">`,
		`<noscript><p title="</noscript><img src=x onerror=window.pwned=1>">`, `<textarea><p title="</textarea><img src=x onerror=window.pwned=1>">`, `<title><p title="</title><img src=x onerror=window.pwned=1>">`,
		`<xmp><p title="</xmp><img src=x onerror=window.pwned=1>">`, `<noembed><p title="</noembed><img src=x onerror=window.pwned=1>">`, `<noframes><p title="</noframes><img src=x onerror=window.pwned=1>">`,
		`<plaintext><img src=x onerror=window.pwned=1>`, `<template><img src=x onerror=window.pwned=1></template>`, `<select><option><style></option></select><img src=x onerror=window.pwned=1></style>`,
		`<p title="` + "\u2028" + `x" onclick=window.pwned=1>x`, `<table><caption><svg><title><style><img src=x onerror=window.pwned=1>`, `<a><table><a href="javascript:window.pwned=1">x`, `<ruby><rt><img src=x onerror=window.pwned=1>`,
		`&lt;img src=x onerror=window.pwned=1&gt;`, `&amp;lt;script&amp;gt;window.pwned=1`, `\<script>window.pwned=1</script>`, "`<script>window.pwned=1</script>`", "```html\n<script>window.pwned=1</script>\n```", "    <script>window.pwned=1</script>",
		"```\"><img src=x onerror=window.pwned=1>\nx\n```", `| <img src=x onerror=window.pwned=1> | <script>window.pwned=1</script> |` + "\n|---|---|\n" + `| <svg onload=window.pwned=1> | [x](javascript:window.pwned=1) |`,
		`$<img src=x onerror=window.pwned=1>$`, `\(<script>window.pwned=1</script>\)`, "$$\n<script>window.pwned=1</script>\n$$", `**<img src=x onerror=window.pwned=1>**`, `~~<svg onload=window.pwned=1>~~`, `# <img src=x onerror=window.pwned=1>`,
		`> <img src=x onerror=window.pwned=1>`, `- <img src=x onerror=window.pwned=1>`, `- [x] <img src=x onerror=window.pwned=1>`,
		// out of the article
		`</article></main></body></html><script>window.pwned=1</script>`, `</article></main><footer>假的备案号</footer><main><article>`, `</div></p></section><footer onclick=window.pwned=1>x`, `</style><script>window.pwned=1</script>`, `</title><img src=x onerror=window.pwned=1>`,
		`<table><tr><td>`, `<ul><li><ol><li><blockquote><pre><code><details>`, `<!--`, `<a href="https://a.example/`, `<b`, `<select>`, `<textarea>`, `<svg><desc>`, `<math><mi>`, `<template>`, `<frameset>`,
		"\x00<scr\x00ipt>window.pwned=1</script>", "<img src=x on\x00error=window.pwned=1>", "\ufeff<script>window.pwned=1</script>", "\u202e<script>window.pwned=1</script>", "<img src=x on\u00aderror=window.pwned=1>", "＜script＞window.pwned=1＜/script＞", "<ſcript>window.pwned=1</ſcript>",
		strings.Repeat("<div>", 600) + `<img src=x onerror=window.pwned=1>`, strings.Repeat("<b><i>", 300) + `<svg onload=window.pwned=1>`, strings.Repeat("x\n\n", 6000) + `<script>window.pwned=1</script>`,
		strings.Repeat("字", 5460) + "\n<script>" + strings.Repeat("x", 200) + "\nwindow.pwned=1</script>",
	}
	for _, element := range []string{"body", "details", "p", "a", "img", "table", "td", "li", "h1", "blockquote", "code", "span"} {
		cases = append(cases, "<"+element+` onclick="`+js+`" onload="`+js+`" onpointerrawupdate="`+js+`" onfocus="`+js+`" autofocus tabindex=0 style="animation-name:x">x</`+element+">")
	}
	return cases
}
