package desired

import (
	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// keywords are those of the bot as the server reads them.
func keywords(words []v1alpha1.Keyword) []serverconfig.Keyword {
	var all []serverconfig.Keyword
	for i := range words {
		k := &words[i]
		keyword := serverconfig.Keyword{
			Match: serverconfig.KeywordMatch(k.Match), Question: k.Question, Reply: k.Reply, Command: k.Command,
			Handover: k.Handover,
		}
		for _, w := range k.Words {
			keyword.Words = append(keyword.Words, string(w))
		}
		all = append(all, keyword)
	}
	return all
}
