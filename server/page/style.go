package page

import (
	"crypto/sha256"
	"encoding/base64"
)

// style has relative sizes alone: followers have set a size of letters in WeChat. It stands in each page, so that a page is
// one request, and the policy allows it by its checksum.
const style = `:root{color-scheme:light dark;--bg:#fff;--fg:#1c1e21;--dim:#65686c;--line:#dcdfe3;--soft:#f4f5f7;--link:#0b57a4}
@media (prefers-color-scheme:dark){:root{--bg:#191919;--fg:#e4e6e9;--dim:#9a9da2;--line:#3a3c40;--soft:#26282b;--link:#7db4f0}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);line-height:1.7;overflow-wrap:anywhere;` +
	`font-family:system-ui,-apple-system,"PingFang SC","Noto Sans CJK SC","Microsoft YaHei",sans-serif}
main,footer{max-width:44em;margin:0 auto;padding:1em 1.1em}
article>:first-child{margin-top:0}
.q{margin:0 0 1.2em;padding:.6em .9em;border-radius:.5em;background:var(--soft);color:var(--dim);white-space:pre-wrap}
.e{margin:1.2em 0;color:var(--dim)}
footer{padding-top:0;color:var(--dim)}
footer p{margin:.3em 0;font-size:.8em;white-space:pre-wrap}
h1,h2,h3,h4,h5,h6{line-height:1.35;margin:1.3em 0 .5em}
h1{font-size:1.4em}h2{font-size:1.25em}h3{font-size:1.12em}h4,h5,h6{font-size:1em}
p,ul,ol,dl,blockquote,pre,table,details,figure{margin:.8em 0}
ul,ol{padding-left:1.5em}li{margin:.25em 0}li>p,li>ul,li>ol{margin:.3em 0}
a{color:var(--link)}
img{max-width:100%;height:auto;border-radius:.3em;vertical-align:middle}
blockquote{margin-left:0;padding:.1em 0 .1em .9em;border-left:.25em solid var(--line);color:var(--dim)}
code,kbd,samp{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.92em;background:var(--soft);padding:.1em .3em;border-radius:.25em}
pre{overflow-x:auto;padding:.8em .9em;border-radius:.5em;background:var(--soft);line-height:1.5;white-space:pre;overflow-wrap:normal;tab-size:4}
pre code{padding:0;background:none}
table{display:block;max-width:100%;overflow-x:auto;border-collapse:collapse;overflow-wrap:normal}
th,td{border:1px solid var(--line);padding:.35em .7em;text-align:left;vertical-align:top;min-width:5em}
th{background:var(--soft)}
td[align=right],th[align=right]{text-align:right}td[align=center],th[align=center]{text-align:center}
hr{border:0;border-top:1px solid var(--line);margin:1.4em 0}
summary{color:var(--link)}`

// contentPolicy lets a page have its style and its pictures, and nothing else.
var contentPolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()
