package page

import (
	"strings"
	"testing"
)

// typical is an answer of 6,000 characters as models write them.
func typical() Answer {
	block := "## 报名须知\n\n**重要：**请在活动开始前 *三天* 报名，详见 [活动页](https://example.com/events?id=3)。\n\n" +
		"1. 打开公众号，点「活动」\n2. 填写姓名和电话\n   - 会员免费\n   - 非会员 `20` 元\n\n| 日期 | 地点 | 名额 |\n|---|---|--:|\n| 3 月 1 日 | 总馆 | 30 |\n| 3 月 8 日 | 分馆 | 20 |\n\n" +
		"> 如需取消，请提前一天告诉我们，否则会影响下一次报名。\n\n```\n预约号：A-1024\n```\n\n![海报](https://example.com/poster.png)\n\n"
	var b strings.Builder
	for len([]rune(b.String())) < 6000 {
		b.WriteString(block)
	}
	return Answer{Question: "怎么报名？", Markdown: b.String()}
}

func BenchmarkPage(b *testing.B) {
	a, s := typical(), Settings{FilesOrigin: "https://dify.example.com", AILabel: "（内容由AI生成）"}
	b.ReportAllocs()
	for b.Loop() {
		if len(shell(a, convert(a, at, s), s)) < 6000 {
			b.Fatal("the page is short")
		}
	}
}
