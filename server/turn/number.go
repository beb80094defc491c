package turn

import (
	"regexp"
	"sync"
)

// Answers that end in a choice ask for a number: the word that fetches is then meant for them.
var askingForNumber = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(?:回复|回覆|输入|輸入|发送|發送|选择|選擇|点击|请选)[^。！？!?\n]{0,16}?(?:[1１一](?:[^0-9０１２３４５６７８９]|$)|数字|數字|序号|序號|编号|編號)` +
		`|\b(?:reply|respond|enter|choose|type|send|select|pick|press)\b[^.!?\n]{0,32}?\b(?:1|numbers?|digits?)\b`)
})

// asksForNumber tells whether an answer asks its reader for a number.
func asksForNumber(answer string) bool { return askingForNumber().MatchString(answer) }

func isNumber(word string) bool { return word == "1" || word == "１" }
